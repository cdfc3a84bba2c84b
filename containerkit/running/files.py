"""A container's files: copied in and out, and as paths. Whatever it does meanwhile, nothing leads outside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from containerkit.errors import InvalidState, NotFound, from_os_error
from containerkit.layers.copy import Copier
from containerkit.layers.pack import PlainArchive
from containerkit.layers.write import add_root
from containerkit.linux import mounts
from containerkit.linux.parts import replacing
from containerkit.store import rights
from containerkit.supervise.rootfs import Root, View

_PATH_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def _errors(subject: str) -> Iterator[None]:
    try:
        yield
    except IsADirectoryError as error:
        raise InvalidState(f"{subject}: a directory is there, and cannot be replaced by a file") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidState(f"{subject}: a file is there, where a directory is wanted") from error
    except OSError as error:
        raise from_os_error(error, subject) from error


def absolute(path: str | os.PathLike[str]) -> str:
    """The path from ``/``; a last ``/`` or ``/.`` stays, for it means something."""
    return os.path.join(os.getcwd(), os.fspath(path))


@rights.held
def copy_in(root: Root, source: str | os.PathLike[str], path: str, *, archive: bool) -> None:
    """As ``Container.copy_in``."""
    given = os.fspath(source)
    with root() as view, _errors(f"{root.subject}: {path}"):
        parent, name, content = _source(given, lambda base: os.open(base, _PATH_DIRECTORY))
        try:
            target, new_name = _target(
                path, content, name, lambda base: mounts.openat2(view.descriptor, base, _PATH_DIRECTORY)
            )
            copier = Copier(None, view.first) if archive else Copier(view.maker)
            _copy(copier, parent, name, content, target, new_name)
        finally:
            os.close(parent)


@rights.held
def copy_out(root: Root, path: str, destination: str | os.PathLike[str], *, archive: bool) -> None:
    """As ``Container.copy_out``."""
    given = os.fspath(destination)
    with root() as view, _errors(f"{root.subject}: {path}"):
        parent, name, content = _source(path, lambda base: mounts.openat2(view.descriptor, base, _PATH_DIRECTORY))
        try:
            with _errors(f"{root.subject}: {path} to {given}"):
                target, new_name = _target(given, content, name, lambda base: os.open(base, _PATH_DIRECTORY))
                uid, gid = view.first
                copier = Copier(None, (-uid, -gid)) if archive else Copier(view.person or (os.geteuid(), os.getegid()))
                _copy(copier, parent, name, content, target, new_name)
        finally:
            os.close(parent)


@rights.held
def export(root: Root, destination: str) -> None:
    """As ``Container.export``."""
    with root() as view, _errors(f"{root.subject}: export to {destination}"), replacing(destination) as file:
        archive = PlainArchive(file)
        add_root(archive, view.descriptor, view.first)
        archive.end()
        if view.person is not None:
            os.chown(file.fileno(), *view.person)


def _copy(copier: Copier, parent: int, name: str, content: bool, target: int, new_name: str) -> None:
    """Copy and close ``target``; without a new name, what is in the directory goes into it."""
    try:
        if new_name:
            copier.copy(parent, name, target, new_name)
            return
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        source = os.open(name, flags, dir_fd=parent)
        try:
            copier.copy_content(source, target)
        finally:
            os.close(source)
    finally:
        os.close(target)


def _source(path: str, enter: Callable[[str], int]) -> tuple[int, str, bool]:
    """The directory that holds what is copied, its name there, and whether only its content is meant (``/.``)."""
    content = path.endswith("/.") or path == "."
    plain = path.rstrip("/").removesuffix("/.").rstrip("/") or "/"
    directory, name = os.path.split(plain)
    if name in ("", ".", ".."):
        return enter(plain), ".", content or name != "."
    parent = enter(directory or ("." if not path.startswith("/") else "/"))
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except BaseException:
        os.close(parent)
        raise
    return parent, name, content


def _target(path: str, content: bool, name: str, enter: Callable[[str], int]) -> tuple[int, str]:
    """The directory to copy into, and the name there; an empty one to put the content into the directory itself."""
    try:
        directory = enter(path)
    except (FileNotFoundError, NotADirectoryError):
        base, new_name = os.path.split(path.rstrip("/"))
        if path.endswith("/") and not content and name != ".":
            raise
        return enter(base or ("/" if path.startswith("/") else ".")), new_name
    return directory, "" if content or name == "." else name


def _seen(found: os.stat_result, first: tuple[int, int]) -> os.stat_result:
    if first == (0, 0):
        return found
    fields = list(found)
    fields[stat.ST_UID] -= first[0]
    fields[stat.ST_GID] -= first[1]
    return os.stat_result(fields, {name: getattr(found, name) for name in dir(found) if name.startswith("st_")})


class ContainerPath:
    """A path in a container, with the methods of ``pathlib.Path``.

    Symbolic links lead where they lead inside; paths are absolute. Each call looks anew.
    """

    def __init__(self, root: Root, path: str | PurePosixPath) -> None:
        self._root = root
        self._path = PurePosixPath("/") / path

    def __truediv__(self, other: str) -> ContainerPath:
        return ContainerPath(self._root, self._path / other)

    joinpath = __truediv__

    def lives_in(self) -> int:
        """As :meth:`Root.lives_in`."""
        return self._root.lives_in()

    def __str__(self) -> str:
        return str(self._path)

    def __repr__(self) -> str:
        return f"ContainerPath({str(self._path)!r}, {self._root.subject})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContainerPath) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, PurePosixPath]:
        return self._root.subject, self._path

    @property
    def name(self) -> str:
        """The last part."""
        return self._path.name

    @property
    def suffix(self) -> str:
        """``".txt"``."""
        return self._path.suffix

    @property
    def parent(self) -> ContainerPath:
        """The directory it is in."""
        return ContainerPath(self._root, self._path.parent)

    @contextmanager
    def _open(self, flags: int, mode: int = 0) -> Iterator[int]:
        with self._root() as root, self._opened(root, flags, mode) as descriptor:
            yield descriptor

    @contextmanager
    def _opened(self, root: View, flags: int, mode: int = 0) -> Iterator[int]:
        with _errors(f"{self._root.subject}: {self._path}"):
            descriptor = mounts.openat2(root.descriptor, str(self._path), flags | os.O_CLOEXEC, mode=mode)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    @rights.held
    def read_bytes(self) -> bytes:
        """The content of the file.

        Raises:
            NotFound: no such file.
            InvalidState: it is no regular file.
        """
        with self._open(os.O_RDONLY | os.O_NONBLOCK) as descriptor:
            self._check_regular(descriptor)
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding, errors)

    @rights.held
    def write_bytes(self, data: bytes) -> int:
        """Replace the content; the file is made when it is absent. Returns the number of bytes."""
        with self._open(os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o644) as descriptor:
            self._check_regular(descriptor)
            os.ftruncate(descriptor, 0)
            with open(descriptor, "wb", closefd=False) as file:
                return file.write(data)

    def write_text(self, text: str, encoding: str = "utf-8") -> int:
        """Replace the content by text. Returns the number of characters."""
        self.write_bytes(text.encode(encoding))
        return len(text)

    def _check_regular(self, descriptor: int) -> None:
        # A fifo would block, and a device may do anything when it is read.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidState(f"{self._root.subject}: {self._path}: not a regular file")

    @rights.held
    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """stat(2) of it, with the owners that the container sees."""
        with self._root() as root, self._opened(root, os.O_PATH | (0 if follow_symlinks else os.O_NOFOLLOW)) as found:
            return _seen(os.fstat(found), root.first)

    def _mode(self, *, follow_symlinks: bool = True) -> int:
        try:
            return self.stat(follow_symlinks=follow_symlinks).st_mode
        except (NotFound, InvalidState):
            return 0

    def exists(self) -> bool:
        """Whether there is something."""
        return self._mode() != 0

    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self._mode())

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self._mode())

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link itself."""
        return stat.S_ISLNK(self._mode(follow_symlinks=False))

    @rights.held
    def readlink(self) -> str:
        """Where the symbolic link points, as it is written."""
        with self._open(os.O_PATH | os.O_NOFOLLOW) as descriptor:
            return os.readlink("", dir_fd=descriptor)

    def iterdir(self) -> Iterator[ContainerPath]:
        """What is in the directory, sorted."""
        return (self / name for name in self._names())

    @rights.held
    def _names(self) -> list[str]:
        with self._open(os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            return sorted(os.listdir(descriptor))

    @rights.held
    def mkdir(self, mode: int = 0o777, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the directory."""
        if parents and self._path != self._path.parent:
            self.parent.mkdir(parents=True, exist_ok=True)
        if exist_ok and self.is_dir():
            return
        with self.parent._open(_PATH_DIRECTORY) as descriptor:
            os.mkdir(self._path.name, mode, dir_fd=descriptor)

    @rights.held
    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the file."""
        with self.parent._open(_PATH_DIRECTORY) as descriptor:
            try:
                os.unlink(self._path.name, dir_fd=descriptor)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    @rights.held
    def rmdir(self) -> None:
        """Remove the empty directory."""
        with self.parent._open(_PATH_DIRECTORY) as descriptor:
            os.rmdir(self._path.name, dir_fd=descriptor)

    @rights.held
    def chmod(self, mode: int) -> None:
        """Change its mode."""
        with self._open(os.O_PATH) as descriptor:
            os.chmod(f"/proc/self/fd/{descriptor}", mode)
