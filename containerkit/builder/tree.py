"""Files to be copied, wherever they are: in directories that are stacked, or in an archive.

Names are relative to the root, which is ``""``; bytes that are no UTF-8 are surrogate escapes. Nothing leads outside: a
link is read here, and followed by asking for another name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from containerkit.errors import InvalidArgument, InvalidState, from_os_error
from containerkit.layers import write
from containerkit.layers.bounds import MAX_DEPTH
from containerkit.layers.compression import Readable
from containerkit.layers.stack import Directory, Node, Stack
from containerkit.layers.tar import BLOCK_DEVICE, CHAR, DIRECTORY, FILE, SYMLINK, Entry
from containerkit.linux import mounts

#: Tar has no word for it: nothing of a tree that is copied.
SOCKET = b"socket"
_BELOW = mounts.RESOLVE_BENEATH | mounts.RESOLVE_NO_SYMLINKS
#: As many as the kernel follows (path_resolution(7)).
_MAX_LINKS = 40
#: Nanoseconds: a file that has changed this short a time ago may change again without its times telling.
_FRESH = 2 * 10**9

#: Path, size, time of change of content and of status (nanoseconds), inode; and the digest of a file's content.
FileKey = tuple[str, int, int, int, int]
Digests = MutableMapping[FileKey, str]


@dataclass(frozen=True, slots=True)
class File:
    """What is there under a name. ``mtime`` in nanoseconds since the epoch.

    Args:
        same: equal for all names of one file that has several, else None.
        place: where its tree finds it again.
        stamp: what changes when its content does.
        is_implied: a directory that an archive has files in, and does not name.
    """

    path: str
    kind: bytes
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: str = ""
    major: int = 0
    minor: int = 0
    same: object = None
    place: int = 0
    stamp: tuple[int, ...] = ()
    is_implied: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def entry(self, name: str) -> Entry:
        """What an archive says of it."""
        return Entry(
            name, self.kind, self.mode, self.uid, self.gid, self.size, self.mtime, self.link, self.major, self.minor
        )


class Tree:
    """Files by name. Goes to another process, as long as nothing of it is opened.

    Args:
        subject: how errors call it.
        keeps_owners: its files' owners and attributes mean something where they are copied to.
    """

    def __init__(self, subject: str, *, keeps_owners: bool) -> None:
        self.subject, self.keeps_owners = subject, keeps_owners

    def opened(self) -> AbstractContextManager[None]:
        """Everything below is for such a block; blocks may be in one another."""
        return nullcontext()

    def afresh(self) -> Tree:
        """The same files, for another thread to open."""
        return self  # of most nothing is

    def get(self, path: str) -> File | None:
        """What ``path`` is, itself: no link on the way is followed."""
        raise NotImplementedError

    def list(self, path: str) -> list[File]:
        """What is in a directory, in the order of the names' bytes."""
        raise NotImplementedError

    def content(self, file: File) -> AbstractContextManager[Readable]:
        """The content of a regular file.

        Raises:
            InvalidState: it is another one by now, or has become so when the block ends.
        """
        raise NotImplementedError

    def attributes(self, file: File) -> dict[str, bytes]:
        """The extended attributes that come along."""
        return {}

    def digest(self, file: File) -> str:
        """Of a regular file's content: sha256 in hex."""
        with self.content(file) as content:
            return digest_of(content)

    def read(self, path: str, limit: int) -> bytes | None:
        """The content of the regular file ``path``, or that a link there leads to; None where there is none.

        Raises:
            InvalidArgument: it has more than ``limit`` bytes.
        """
        file = self.get(self.follow(path))
        if file is None or file.kind != FILE:
            return None
        if file.size > limit:
            raise InvalidArgument(f"file {path}: more than {limit} bytes")
        with self.content(file) as content:
            return b"".join(iter(lambda: content.read(1 << 18), b""))

    def left_out(self, path: str) -> str:
        """Why a file is not seen that is there; empty where that is not so."""
        return ""

    def follow(self, path: str) -> str:
        """Where ``path`` leads, links followed inside the tree.

        Raises:
            InvalidArgument: in circles.
        """

        def link_at(path: str) -> str | None:
            file = self.get(path)
            return file.link if file is not None and file.kind == SYMLINK else None

        try:
            return follow(path, link_at)
        except OSError as error:
            raise InvalidArgument(f"source {path}: too many links") from error


def follow(path: str, link_at: Callable[[str], str | None]) -> str:
    """Where ``path`` leads; what is absent is kept as it is.

    Args:
        link_at: what the link at a path says, or None where there is none.

    Raises:
        OSError: ELOOP: more links than the kernel follows.
    """
    parts, here, links = deque(path.split("/")), list[str](), 0
    while parts:
        part = parts.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            del here[-1:]
            continue
        target = link_at("/".join((*here, part)))
        if target is None:
            here.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        parts.extendleft(reversed(target.split("/")))
        here = [] if target.startswith("/") else here
    return "/".join(here)


def walk(tree: Tree, file: File) -> Iterator[File]:
    """``file`` and all below, a directory before what is in it.

    Raises:
        InvalidArgument: directories that are too deep.
    """
    yield file
    if file.kind != DIRECTORY:
        return
    if file.path.count("/") >= MAX_DEPTH:
        raise InvalidArgument(f"directory {file.path[:100]}…: more than {MAX_DEPTH} directories deep")
    for child in tree.list(file.path):
        yield from walk(tree, child)


def digest_of(content: Readable) -> str:
    """sha256 in hex."""
    hasher = hashlib.sha256()
    while data := content.read(1 << 18):
        hasher.update(data)
    return hasher.hexdigest()


class Layers(Tree):
    """Directories stacked as overlayfs does it, or one that is none of an image.

    Args:
        directories: uppermost first.
        digests: of files whose times say that they are as they were; more are added.
        keeps_owners: they are an image's; False: a directory of this machine.
    """

    def __init__(
        self, directories: Sequence[str | Path], subject: str, digests: Digests | None = None, *,
        keeps_owners: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(subject, keeps_owners=keeps_owners)
        self._paths, self._digests = tuple([str(path) for path in directories]), digests
        self._stack: Stack | None = None
        self._directories: dict[str, Directory | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        # The digests stay where they are: whoever writes a layer needs none.
        return self.__dict__ | {"_digests": None}

    def afresh(self) -> Layers:
        return Layers(self._paths, self.subject, self._digests, keeps_owners=self.keeps_owners)

    @contextmanager
    def opened(self) -> Iterator[None]:
        if self._stack is not None:
            yield
            return
        with Stack(self._paths, has_upper=not self.keeps_owners) as self._stack:
            self._directories[""] = self._stack.tree()
            try:
                yield
            finally:
                self._stack = None
                self._directories.clear()

    def get(self, path: str) -> File | None:
        if not path:
            root = self._directory("")
            if root is None or not root.layers:
                return File("", DIRECTORY)
            with root.handle_itself() as descriptor:
                return self._file("", root, Node(os.fstat(descriptor), root.layers))
        parent, _, name = path.rpartition("/")
        with self._blaming(path):
            directory = self._directory(parent)
            node = directory.child(name) if directory is not None else None
            return self._file(path, directory, node) if directory is not None and node is not None else None

    def list(self, path: str) -> list[File]:
        with self._blaming(path or "."):
            directory = self._directory(path)
            if directory is None:
                return []
            prefix, found = f"{path}/" if path else "", []
            for name, node in sorted(directory.children().items(), key=lambda item: os.fsencode(item[0])):
                if node.is_directory:
                    self._directories[prefix + name] = directory.enter(name, node)
                found.append(self._file(prefix + name, directory, node))
            return found

    def _directory(self, path: str) -> Directory | None:
        if path not in self._directories:
            parent, _, name = path.rpartition("/")
            above = self._directory(parent)
            node = above.child(name) if above is not None else None
            is_there = above is not None and node is not None and node.is_directory
            self._directories[path] = above.enter(name, node) if above is not None and is_there else None
        return self._directories[path]

    def _file(self, path: str, directory: Directory, node: Node) -> File:
        found, layer = node.found, node.layers[0]
        kind = write.KINDS.get(stat.S_IFMT(found.st_mode), SOCKET)
        is_device = kind in (CHAR, BLOCK_DEVICE)
        return File(
            path, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid,
            found.st_size if kind == FILE else 0, found.st_mtime_ns,
            directory.readlink(path.rpartition("/")[2], node) if kind == SYMLINK else "",
            os.major(found.st_rdev) if is_device else 0, os.minor(found.st_rdev) if is_device else 0,
            (found.st_dev, found.st_ino) if found.st_nlink > 1 and kind != DIRECTORY else None,
            layer, stamp_of(found),
        )  # fmt: skip

    @contextmanager
    def content(self, file: File) -> Iterator[IO[bytes]]:
        with self._blaming(file.path), self._open(file, os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._changed(file)
            with open(descriptor, "rb", buffering=0, closefd=False) as content:
                yield content
            if stamp_of(os.fstat(descriptor)) != file.stamp:
                raise self._changed(file)

    @contextmanager
    def _open(self, file: File, flags: int) -> Iterator[int]:
        assert self._stack is not None
        try:
            descriptor = mounts.openat2(self._stack.roots[file.place], file.path or ".", flags, resolve=_BELOW)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise self._changed(file) from error
            raise
        try:
            if stamp_of(os.fstat(descriptor)) != file.stamp:
                raise self._changed(file)
            yield descriptor
        finally:
            os.close(descriptor)

    def attributes(self, file: File) -> dict[str, bytes]:
        if not self.keeps_owners:
            return {}
        with self._open(file, os.O_PATH | os.O_NOFOLLOW) as descriptor:
            return write.attributes(descriptor)

    def digest(self, file: File) -> str:
        key: FileKey = (f"{self._paths[file.place]}/{file.path}", *file.stamp[:4])  # type: ignore[assignment] # four
        if self._digests is not None and (known := self._digests.get(key)) is not None:
            return known
        found = super().digest(file)
        if self._digests is not None and _is_settled(file):
            self._digests[key] = found
        return found

    def _changed(self, file: File) -> InvalidState:
        return InvalidState(f"file {file.path}: changed while {self.subject} was read (build again)")

    @contextmanager
    def _blaming(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = None
            raise from_os_error(error, f"file {path} of {self.subject}") from error


def stamp_of(found: os.stat_result) -> tuple[int, ...]:
    """What changes when a file does."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _is_settled(file: File) -> bool:
    return time.time_ns() - file.stamp[2] > _FRESH
