"""Directories stacked as overlayfs stacks them, read as the one tree they come to, with nothing mounted.

Source: Documentation/filesystems/overlayfs.rst: a character device 0/0 is a whiteout, a directory with the opaque
attribute hides what lies below it, and directories of one name are merged down to the first that is none. What stands
for these where a file system has neither, apply.py says.

Strangers have made these trees, and a container may be changing the uppermost: each directory is opened by the kernel
below its own root and through no symbolic link (openat2(2)), so nothing of this machine is ever taken for a part of it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from containerkit.layers.whiteouts import is_opaque, is_whiteout
from containerkit.linux import mounts
from containerkit.linux.files import lstat_at

_BELOW = mounts.RESOLVE_BENEATH | mounts.RESOLVE_NO_SYMLINKS
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)
#: As many as the kernel follows (path_resolution(7)).
_MAX_LINKS = 40
#: Of a path whose links are a stranger's: each may be as long as a path, and every step looks into every layer.
_MAX_STEPS = 1000


class Node(NamedTuple):
    """What a name stands for: its status, and the numbers of the directories of the stack that it consists of."""

    found: os.stat_result
    layers: tuple[int, ...]

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.found.st_mode)


class Stack:
    """The directories ``layers``, uppermost first; for a ``with``, which holds a descriptor of each.

    Args:
        has_upper: the first of them is a container's own.
    """

    def __init__(self, layers: Sequence[str | Path], *, has_upper: bool = False) -> None:
        self.layers, self.has_upper = tuple(str(layer) for layer in layers), has_upper
        self.roots: tuple[int, ...] = ()
        self._open = ExitStack()

    def __enter__(self) -> Stack:
        with ExitStack() as stack:
            self.roots = tuple([_opened(stack, layer) for layer in self.layers])
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def tree(self, layers: Sequence[str | Path] | None = None) -> Directory:
        """The root of the tree that all come to, or some of them: ``layers``, uppermost first."""
        numbers = {layer: number for number, layer in enumerate(self.layers)}
        return Directory(
            self, "", tuple([numbers[str(layer)] for layer in (self.layers if layers is None else layers)])
        )


def _opened(stack: ExitStack, path: str) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


class Directory:
    """One directory of the tree. ``path`` has no slash at its ends; without any ``layers`` it is empty, or absent."""

    def __init__(self, stack: Stack, path: str, layers: tuple[int, ...]) -> None:
        self._stack, self.path, self.layers = stack, path, layers

    @property
    def parts(self) -> tuple[str, ...]:
        """The directories of the stack that are merged here: two of equal path and parts are the same."""
        return tuple([self._stack.layers[index] for index in self.layers])

    def layer(self, node: Node) -> str:
        """The directory of the stack that a child's status is of."""
        return self._stack.layers[node.layers[0]]

    def children(self) -> dict[str, Node]:
        """What is in it, by name."""
        view = _View(self.layers, self._stack.has_upper)
        for index in self.layers:
            with self._entered(index) as directory:
                if directory is None:
                    continue
                for name in os.listdir(directory):
                    if name not in view.closed and (status := lstat_at(directory, name)) is not None:
                        view.add(directory, name, status, index)
        return view.nodes()

    def child(self, name: str) -> Node | None:
        """What ``name`` in it is, or None."""
        view = _View(self.layers, self._stack.has_upper)
        for index in self.layers:
            with self._entered(index) as directory:
                if directory is not None and (status := lstat_at(directory, name)) is not None:
                    view.add(directory, name, status, index)
            if name in view.closed:
                break
        return view.nodes().get(name)

    def enter(self, name: str, node: Node | None) -> Directory:
        """The directory ``name`` in it, whose node that is; an empty one where it is no directory."""
        path = f"{self.path}/{name}" if self.path else name
        return Directory(self._stack, path, node.layers if node is not None and node.is_directory else ())

    def resolve(self, path: str) -> str:
        """Of a root: where ``path`` leads below it, relative to it; links followed, what is absent kept as it is."""
        return self.follow(path)[0][-1].path

    def follow(self, path: str, *, is_strict: bool = False) -> tuple[list[Directory], set[int]]:
        """Of a root: itself and the directories that lead to where ``path`` does, the last one being that.

        What is absent, or no directory, is kept as an empty one; links, too, after as many as the kernel follows.

        Returns:
            Beside them, the directories of the stack, by number, that the links are in that were followed.

        Raises:
            OSError: with ``is_strict``: ELOOP: too many links, or too long ones.
        """
        parts, here, links, steps, owners = deque(path.split("/")), [self], 0, 0, set[int]()
        while parts:
            part = parts.popleft()
            steps += 1
            if part in ("", "."):
                continue
            if part == "..":
                here = here[:-1] or here
                continue
            node = here[-1].child(part)
            is_link = node is not None and stat.S_ISLNK(node.found.st_mode)
            if is_strict and ((is_link and links == _MAX_LINKS) or steps > _MAX_STEPS):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if node is not None and is_link and links < _MAX_LINKS:
                links += 1
                owners.add(node.layers[0])
                target = here[-1].readlink(part, node)
                parts.extendleft(reversed(target.split("/")))
                here = here[:1] if target.startswith("/") else here
            else:
                here.append(here[-1].enter(part, node))
        return here, owners

    @contextmanager
    def handle(self, name: str, node: Node) -> Iterator[int]:
        """A descriptor (O_PATH) of what ``name`` in it is: of the uppermost one, where directories are merged."""
        with self._entered(node.layers[0]) as directory:
            if directory is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
            descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def handle_itself(self) -> Iterator[int]:
        """A descriptor of it: of the uppermost one, where directories are merged."""
        with self._entered(self.layers[0]) as descriptor:
            if descriptor is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
            yield descriptor

    def readlink(self, name: str, node: Node) -> str:
        """Where a symbolic link in it points, as it is written."""
        with self.handle(name, node) as descriptor:
            return os.readlink("", dir_fd=descriptor)

    @contextmanager
    def _entered(self, index: int) -> Iterator[int | None]:
        """A descriptor of its part in one directory of the stack; None where a container has just taken it away."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        try:
            descriptor = mounts.openat2(self._stack.roots[index], self.path or ".", flags, resolve=_BELOW)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class Places:
    """Where something is mounted in a tree, and the directories that lead there; as paths relative to its ``root``."""

    def __init__(self, root: Directory, mounted: Iterable[str]) -> None:
        self.ends = {root.resolve(path) for path in mounted}
        self.way = {path[:index] for path in self.ends for index, letter in enumerate(path) if letter == "/"}

    def __contains__(self, path: str) -> bool:
        return path in self.ends or path in self.way


class _View:
    """Names as the parts of a directory are added, uppermost first."""

    def __init__(self, layers: tuple[int, ...], has_upper: bool) -> None:
        self._lowest, self._has_upper = layers[-1] if layers else 0, has_upper
        self._found: dict[str, tuple[os.stat_result, list[int]]] = {}
        #: Names of which nothing further down shows.
        self.closed: set[str] = set()

    def add(self, directory: int, name: str, status: os.stat_result, index: int) -> None:
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and index != self._lowest and is_opaque(f"/proc/self/fd/{directory}/{name}"):
            self.closed.add(name)
        if not is_directory:
            self.closed.add(name)
            is_own = self._has_upper and index == 0
            if is_whiteout(status, in_layer=not is_own) or name in self._found:
                return
        self._found.setdefault(name, (status, []))[1].append(index)

    def nodes(self) -> dict[str, Node]:
        return {name: Node(status, tuple(layers)) for name, (status, layers) in self._found.items()}
