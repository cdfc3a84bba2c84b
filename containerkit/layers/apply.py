"""Entries become files, below one directory whatever the archive says.

An archive is a stranger's. Every name is resolved by the kernel with the directory as root (openat2(2),
``RESOLVE_IN_ROOT``): symbolic links of the archive, absolute ones too, lead where they would lead inside the container.
Names with ``..`` are refused, and so is a hard link to what is not in the archive before it.

Whiteouts (image-spec, layer.md, "Whiteouts") are written as overlayfs reads them (kernel,
Documentation/filesystems/overlayfs.rst): a character device 0/0, and ``trusted.overlay.opaque`` on a directory. They
speak of the layers below, never of what the same layer has. Overlayfs's attributes in an archive are dropped: they
could redirect a directory to another. On a file system that takes neither, and which overlayfs could not use either,
a socket says the same: no archive has sockets, so nothing else is meant by one.

Directories that the archive does not name are made as, and where, the layers below have them (:mod:`below`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from errno import EINVAL, ELOOP, ENAMETOOLONG, ENOTSUP, EPERM
from pathlib import Path
from typing import NamedTuple, Protocol

from containerkit.errors import InvalidArgument
from containerkit.layers import tar
from containerkit.layers.below import Below
from containerkit.layers.bounds import MAX_DEPTH
from containerkit.layers.compression import is_zeros
from containerkit.layers.tar import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
    shown,
)
from containerkit.layers.whiteouts import OPAQUE, OPAQUE_MARK, WHITEOUT, is_whiteout
from containerkit.linux import mounts
from containerkit.linux.confinement import is_confined
from containerkit.linux.files import lstat_at

#: aufs's own files, which old images still carry.
_AUFS = ".wh..wh."
_DROPPED_XATTRS = ("trusted.overlay.", "user.overlay.")
#: How a file system says that it has no such thing.
_REFUSALS = (EPERM, ENOTSUP, EINVAL)
_DEFAULT_ACL = "system.posix_acl_default"
#: Bytes of what is remembered of directories until the end, and how much one takes beside its name: half a million.
_REMEMBERED, _OF_EACH = 128 << 20, 200

_DIRECTORY_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODES = {CHAR: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}


class Applied(NamedTuple):
    """What became of an archive: the bytes of its files' contents, and those that were really written, holes not.

    Args:
        names_root: it says what the root is like.
    """

    size: int
    stored: int
    names_root: bool


def apply(
    reader: tar.Reader, root: str | os.PathLike[str], subject: str, lower: Sequence[str | Path] | None = ()
) -> Applied:
    """Make the files of an archive below ``root``, an empty directory.

    Args:
        subject: names the archive in errors.
        lower: the layers below, uppermost first; None when they are not there yet.

    Raises:
        InvalidArgument: an entry that leaves the root or cannot be.
        NotYetThere: the layers below would have to say where an entry belongs.
        OSError: the disk is full, device nodes are not allowed, and the like.
    """
    descriptor = os.open(root, _DIRECTORY_FLAGS)
    tree = Tree(descriptor, reader, subject, lower)
    try:
        for entry in reader:
            tree.add(entry)
        tree.finish()
        return Applied(tree.size, tree.stored, tree.names_root)
    finally:
        tree.close()
        os.close(descriptor)


class Content(Protocol):
    """The content of the current entry."""

    def read(self) -> bytes: ...


class Tree:
    """The files of an archive as its entries come.

    Args:
        root: a descriptor of the empty directory that they are made in.
        reader: from which the content of each file is read, to its end.
        lower: the layers below, uppermost first; None when they are not there yet.
    """

    def __init__(self, root: int, reader: Content, subject: str, lower: Sequence[str | Path] | None = ()) -> None:
        self._root = root
        self._reader = reader
        self._subject = subject
        self._below = Below(root, lower)
        # The directory of the last entry: the next is mostly there too. Its path, where that is, a descriptor of it.
        self._parent: tuple[str, str, int] = ("", "", root)
        self._directories: dict[str, tuple[int, bytes | None]] = {}  # time and default ACL, given at the end
        self._remembered = 0  # bytes of them
        self.size = self.stored = 0
        self.names_root = False
        self._give_later("", 0, None)

    def close(self) -> None:
        """Let descriptors go."""
        self._remember("", "", self._root)
        self._below.close()

    def add(self, entry: Entry) -> None:
        """Make a file.

        Raises:
            InvalidArgument: the entry leaves the root, or cannot be.
        """
        path = self._clean(entry.name)
        self.stored += tar.BLOCK
        try:
            if not path:
                self._set_root(entry)
                return
            parent, _, name = path.rpartition("/")
            if f"/{WHITEOUT}" in f"/{parent}":
                self._check_aufs(entry.name, parent)
                return
            where, directory = self._open_parent(parent)
            if name.startswith(WHITEOUT):
                self._whiteout(directory, name)
            else:
                self._make(entry, f"{where}/{name}" if where else name, directory, name)
        except (NotADirectoryError, FileNotFoundError, FileExistsError) as error:
            raise self._refuse(entry.name, "what is above it is no directory") from error
        except OSError as error:
            if error.errno == ENAMETOOLONG:
                raise self._refuse(entry.name, "the name is too long") from error
            if error.errno == ELOOP:
                raise self._refuse(entry.name, "too many symbolic links above it") from error
            error.filename = entry.name
            raise

    def finish(self) -> None:
        """What making files in a directory would change, or would be changed by: its time, and its default ACL."""
        for path, (mtime, acl) in self._directories.items():
            try:
                # The path may lead elsewhere by now: only what is still a directory there is changed.
                found = mounts.openat2(self._root, path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                if acl is not None:
                    os.setxattr(found, _DEFAULT_ACL, acl)
                _set_time(found, mtime)
            except OSError as error:
                error.filename = path or "."
                raise
            finally:
                os.close(found)

    def _refuse(self, name: str, reason: str) -> InvalidArgument:
        return InvalidArgument(f"{self._subject}: entry {shown(name)}: {reason}")

    def _check_aufs(self, name: str, parent: str) -> None:
        """Below a whiteout there is nothing, but in old images aufs's own directories, which nobody needs."""
        if not any(part.startswith(_AUFS) for part in parent.split("/")):
            raise self._refuse(name, "is below a whiteout")

    def _give_later(self, path: str, mtime: int, acl: bytes | None) -> None:
        """Remember what a directory gets at the end."""
        self._remembered += len(path) + len(acl or b"") + _OF_EACH
        if self._remembered > _REMEMBERED:
            raise self._refuse(path, "more directories than fit into memory")
        self._directories[path] = (mtime, acl)

    def _clean(self, name: str) -> str:
        """The path below the root: no leading slash, no ``.``, never ``..``."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refuse(name, "leads out of its directory")
        if len(parts) > MAX_DEPTH:
            raise self._refuse(name, f"more than {MAX_DEPTH} directories deep")
        return "/".join(parts)

    def _remember(self, path: str, where: str, descriptor: int) -> None:
        if self._parent[2] != self._root:
            os.close(self._parent[2])
        self._parent = (path, where, descriptor)

    def _open_parent(self, path: str) -> tuple[str, int]:
        """Where the directory ``path`` is, made where the archive did not say so, and a descriptor of this object's."""
        if self._parent[0] != path:
            self._remember(path, *(self._open_directory(path) if path else ("", self._root)))
        return self._parent[1:]

    def _open_directory(self, path: str) -> tuple[str, int]:
        try:
            return path, mounts.openat2(self._root, path, _DIRECTORY_FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            where, missing = self._below.lead(path)
            if where.count("/") >= MAX_DEPTH:
                raise self._refuse(path, f"more than {MAX_DEPTH} directories deep") from None
            for entry in missing:
                self._imply(entry)
            return where, mounts.openat2(self._root, where or ".", _DIRECTORY_FLAGS)

    def _imply(self, entry: Entry) -> None:
        """Make a directory that the archive did not name."""
        parent, _, name = entry.name.rpartition("/")
        above = mounts.openat2(self._root, parent or ".", _DIRECTORY_FLAGS)
        try:
            found = lstat_at(above, name)
            if found is not None and not is_whiteout(found, in_layer=True):
                raise NotADirectoryError
            self._make_directory(above, name)
            self._set_directory(entry, entry.name, above, name)
        finally:
            os.close(above)

    def _set_root(self, entry: Entry) -> None:
        if entry.kind != DIRECTORY:
            raise self._refuse(entry.name, "is not a directory, and has the root's name")
        self.names_root = True
        self._set_directory(entry, "", self._root, ".")

    def _whiteout(self, directory: int, name: str) -> None:
        if name == OPAQUE_MARK:
            _make_opaque(directory)
            return
        hidden = name[len(WHITEOUT) :]
        if name.startswith(_AUFS) or hidden in ("", ".", ".."):
            return
        found = lstat_at(directory, hidden)
        if found is None:
            _make_whiteout(directory, hidden)
        elif stat.S_ISDIR(found.st_mode):
            # This layer has a directory of that name: of the one below, nothing shows through it.
            _set_opaque(directory, hidden)

    def _make(self, entry: Entry, path: str, directory: int, name: str) -> None:
        if entry.kind == DIRECTORY:
            self._make_directory(directory, name)
            self._set_directory(entry, path, directory, name)
            return
        make = {FILE: self._write, HARDLINK: self._link}.get(entry.kind, self._make_node)
        try:
            make(entry, directory, name)
        except FileExistsError:
            self._clear(directory, name)
            make(entry, directory, name)

    def _clear(self, directory: int, name: str) -> None:
        """Make room for ``name``: the last entry of a name is the one that counts."""
        if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            # Only ever an empty one: an archive that turns a filled directory into a file contradicts itself.
            try:
                os.rmdir(name, dir_fd=directory)
            except OSError as error:
                raise self._refuse(name, "takes the place of a directory that is not empty") from error
        else:
            os.unlink(name, dir_fd=directory)

    def _make_directory(self, directory: int, name: str) -> None:
        found = lstat_at(directory, name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            return
        if found is not None:
            os.unlink(name, dir_fd=directory)
        os.mkdir(name, 0o755, dir_fd=directory)
        if found is not None and is_whiteout(found, in_layer=True):
            _set_opaque(directory, name)  # it was deleted below, then made anew

    def _link(self, entry: Entry, directory: int, name: str) -> None:
        where, source = self._link_source(entry)
        try:
            os.link(source, name, src_dir_fd=where, dst_dir_fd=directory, follow_symlinks=False)
        finally:
            os.close(where)

    def _link_source(self, entry: Entry) -> tuple[int, str]:
        """The directory and the name of the file that a hard link is another name of."""
        parent, _, name = self._clean(entry.link).rpartition("/")
        link = shown(entry.link)
        if not name:
            raise self._refuse(entry.name, "is a hard link to a directory")
        try:
            directory = self._find_directory(parent)
        except OSError as error:
            raise self._refuse(entry.name, f"is a hard link to {link}, which is not in the archive") from error
        try:
            found = lstat_at(directory, name)
        except OSError:
            found = None  # no file has such a name
        if found is None or stat.S_ISDIR(found.st_mode) or self._clean(entry.name) == self._clean(entry.link):
            os.close(directory)
            reason = "which is not in the archive before it" if found is None else "which cannot have two names"
            raise self._refuse(entry.name, f"is a hard link to {link}, {reason}")
        return directory, name

    def _find_directory(self, path: str) -> int:
        """A descriptor of what the archive has of the directory ``path``."""
        try:
            return mounts.openat2(self._root, path or ".", _DIRECTORY_FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return mounts.openat2(self._root, self._below.lead(path)[0] or ".", _DIRECTORY_FLAGS)

    def _write(self, entry: Entry, directory: int, name: str) -> None:
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            self._copy(descriptor)
            self.size += entry.size
            _chown(descriptor, entry)
            os.chmod(descriptor, entry.mode)  # after chown(2), which takes set-user-ID away
            _set_attributes(descriptor, entry)
            _set_time(descriptor, entry.mtime)
        finally:
            os.close(descriptor)

    def _copy(self, descriptor: int) -> None:
        # Where there are but zeros a hole is left: sparse files stay so, and zeros fill no disk.
        size = hole = 0
        while data := self._reader.read():
            size += len(data)
            if is_zeros(data):
                hole = os.lseek(descriptor, len(data), os.SEEK_CUR)
                continue
            self.stored += len(data)
            while data:
                data = data[os.write(descriptor, data) :]
        if hole == size:
            os.ftruncate(descriptor, size)

    def _make_node(self, entry: Entry, directory: int, name: str) -> None:
        if entry.kind == SYMLINK:
            os.symlink(entry.link, name, dir_fd=directory)
            self.size += len(entry.link)
        else:
            if entry.kind != FIFO and is_confined():
                return  # an ordinary user makes no devices: those that a container needs are the host's
            device = os.makedev(entry.major, entry.minor) if entry.kind != FIFO else 0
            os.mknod(name, _NODES[entry.kind] | 0o600, device, dir_fd=directory)
        _chown(name, entry, directory)
        path = f"/proc/self/fd/{directory}/{name}"
        if entry.kind != SYMLINK:
            os.chmod(path, entry.mode)
        _set_attributes(path, entry)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)

    def _set_directory(self, entry: Entry, path: str, directory: int, name: str) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            _chown(descriptor, entry)
            os.chmod(descriptor, entry.mode)
            _set_attributes(descriptor, entry, later=_DEFAULT_ACL)
        finally:
            os.close(descriptor)
        self._give_later(path, entry.mtime, entry.xattrs.get(_DEFAULT_ACL))


def _chown(target: int | str, entry: Entry, directory: int | None = None) -> None:
    try:
        if directory is None:
            os.chown(target, entry.uid, entry.gid)
        else:
            os.chown(target, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    except OSError as error:
        # A user that this namespace does not have: the file is its root's, as everything is where there is one user.
        if error.errno != EINVAL or not is_confined():
            raise


def _set_opaque(directory: int, name: str) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        _make_opaque(descriptor)
    finally:
        os.close(descriptor)


def _make_opaque(directory: int) -> None:
    try:
        os.setxattr(f"/proc/self/fd/{directory}", OPAQUE[is_confined()], b"y")
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        _make_socket(directory, OPAQUE_MARK)


def _make_whiteout(directory: int, name: str) -> None:
    try:
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        _make_socket(directory, name)


def _make_socket(directory: int, name: str) -> None:
    try:
        os.mknod(name, stat.S_IFSOCK, dir_fd=directory)
    except FileExistsError:
        pass


def _set_attributes(target: int | str, entry: Entry, later: str = "") -> None:
    for key, value in entry.xattrs.items():
        if key == later or key.startswith(_DROPPED_XATTRS):
            continue
        try:
            # Not through a link; a descriptor is none.
            os.setxattr(target, key, value, follow_symlinks=isinstance(target, int))
        except PermissionError:
            # Some are for root of the machine alone (trusted.…): an ordinary user does without.
            if not is_confined():
                raise


def _set_time(descriptor: int, mtime: int) -> None:
    os.utime(descriptor, ns=(mtime, mtime))
