"""Entries become files, below one directory whatever the archive says.

An archive is a stranger's. Every name is resolved by the kernel with the directory as root (openat2(2),
``RESOLVE_IN_ROOT``): symbolic links of the archive, absolute ones too, lead where they would lead inside the container.
Names with ``..`` are refused, and so is a hard link to what is not in the archive before it.

Whiteouts (image-spec, layer.md, "Whiteouts") are written as overlayfs reads them (kernel,
Documentation/filesystems/overlayfs.rst): a character device 0/0, and ``trusted.overlay.opaque`` on a directory. They
speak of the layers below, never of what the same layer has. Overlayfs's attributes in an archive are dropped: they
could redirect a directory to another.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, ENAMETOOLONG

from containerkit.errors import InvalidArgument
from containerkit.layers import tar
from containerkit.layers.bounds import MAX_DEPTH
from containerkit.layers.tar import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    FILE,
    HARDLINK,
    SYMLINK,
    Entry,
)
from containerkit.linux import mounts
from containerkit.linux.confinement import is_confined
from containerkit.linux.files import lstat_at

WHITEOUT, OPAQUE_MARK = ".wh.", ".wh..wh..opq"
#: aufs's own files, which old images still carry.
_AUFS = ".wh..wh."
#: By whether overlayfs runs in a user namespace.
OPAQUE = {False: "trusted.overlay.opaque", True: "user.overlay.opaque"}
_DROPPED_XATTRS = ("trusted.overlay.", "user.overlay.")
_DEFAULT_ACL = "system.posix_acl_default"

_DIRECTORY_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODES = {CHAR: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}


def apply(reader: tar.Reader, root: str | os.PathLike[str], subject: str) -> int:
    """Make the files of an archive below ``root``, an empty directory. Returns the bytes their contents take.

    Args:
        subject: names the archive in errors.

    Raises:
        InvalidArgument: an entry that leaves the root or cannot be.
        OSError: the disk is full, device nodes are not allowed, and the like.
    """
    descriptor = os.open(root, _DIRECTORY_FLAGS)
    tree = _Tree(descriptor, reader, subject)
    try:
        for entry in reader:
            tree.add(entry)
        tree.finish()
        return tree.size
    finally:
        tree.close()
        os.close(descriptor)


class _Tree:
    def __init__(self, root: int, reader: tar.Reader, subject: str) -> None:
        self._root = root
        self._reader = reader
        self._subject = subject
        self._parent: tuple[str, int] = ("", root)  # the directory of the last entry: the next is mostly there too
        self._directories: dict[str, tuple[int, bytes | None]] = {}  # time and default ACL, given at the end
        self.size = 0

    def close(self) -> None:
        self._remember("", self._root)

    def add(self, entry: Entry) -> None:
        path = self._clean(entry.name)
        try:
            if not path:
                self._set_root(entry)
                return
            parent, _, name = path.rpartition("/")
            directory = self._open_parent(parent)
            if name.startswith(WHITEOUT):
                self._whiteout(directory, name)
            else:
                self._make(entry, path, directory, name)
        except (NotADirectoryError, FileNotFoundError, FileExistsError) as error:
            raise self._refuse(entry.name, "what is above it is no directory") from error
        except OSError as error:
            if error.errno == ENAMETOOLONG:
                raise self._refuse(entry.name, "the name is too long") from error
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
            finally:
                os.close(found)

    def _refuse(self, name: str, reason: str) -> InvalidArgument:
        shown = name if len(name) <= 200 else name[:200] + "…"
        return InvalidArgument(f"{self._subject}: entry {shown!r}: {reason}")

    def _clean(self, name: str) -> str:
        """The path below the root: no leading slash, no ``.``, never ``..``."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self._refuse(name, "leads out of its directory")
        if "\0" in name:
            raise self._refuse(name, "has a zero byte")
        if len(parts) > MAX_DEPTH:
            raise self._refuse(name, f"more than {MAX_DEPTH} directories deep")
        return "/".join(parts)

    def _remember(self, path: str, descriptor: int) -> None:
        if self._parent[1] != self._root:
            os.close(self._parent[1])
        self._parent = (path, descriptor)

    def _open_parent(self, path: str) -> int:
        """A descriptor of the directory at ``path``, made where the archive did not say so; stays this object's."""
        if self._parent[0] != path:
            self._remember(path, self._open_directory(path) if path else self._root)
        return self._parent[1]

    def _open_directory(self, path: str) -> int:
        try:
            return mounts.openat2(self._root, path, _DIRECTORY_FLAGS)
        except FileNotFoundError:
            parent, _, name = path.rpartition("/")
            above = self._open_directory(parent) if parent else os.dup(self._root)
            try:
                # Fails where a link of that name leads nowhere yet: it is not ours to say where it should.
                os.mkdir(name, 0o755, dir_fd=above)
                os.chmod(name, 0o755, dir_fd=above)  # whatever the umask is
            finally:
                os.close(above)
            return mounts.openat2(self._root, path, _DIRECTORY_FLAGS)

    def _set_root(self, entry: Entry) -> None:
        if entry.kind != DIRECTORY:
            raise self._refuse(entry.name, "is not a directory, and has the root's name")
        self._set_directory(entry, "", self._root, ".")

    def _whiteout(self, directory: int, name: str) -> None:
        if name == OPAQUE_MARK:
            os.setxattr(f"/proc/self/fd/{directory}", OPAQUE[is_confined()], b"y")
            return
        hidden = name[len(WHITEOUT) :]
        if name.startswith(_AUFS) or hidden in ("", ".", ".."):
            return
        found = lstat_at(directory, hidden)
        if found is None:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
        elif stat.S_ISDIR(found.st_mode):
            # This layer has a directory of that name: of the one below, nothing shows through it.
            _set_opaque(directory, hidden)

    def _make(self, entry: Entry, path: str, directory: int, name: str) -> None:
        if entry.kind == DIRECTORY:
            self._make_directory(directory, name)
            self._set_directory(entry, path, directory, name)
            return
        source = self._link_source(entry) if entry.kind == HARDLINK else None
        try:
            self._clear(directory, name)
            if source is not None:
                os.link(source[1], name, src_dir_fd=source[0], dst_dir_fd=directory, follow_symlinks=False)
            elif entry.kind == FILE:
                self._write(entry, directory, name)
            else:
                self._make_node(entry, directory, name)
        finally:
            if source is not None:
                os.close(source[0])

    def _clear(self, directory: int, name: str) -> None:
        """Make room for ``name``: the last entry of a name is the one that counts."""
        found = lstat_at(directory, name)
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
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
        if found is not None and stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            _set_opaque(directory, name)  # it was deleted below, then made anew

    def _link_source(self, entry: Entry) -> tuple[int, str]:
        """The directory and the name of the file that a hard link is another name of."""
        parent, _, name = self._clean(entry.link).rpartition("/")
        if not name:
            raise self._refuse(entry.name, "is a hard link to a directory")
        try:
            directory = mounts.openat2(self._root, parent or ".", _DIRECTORY_FLAGS)
        except OSError as error:
            raise self._refuse(entry.name, f"is a hard link to {entry.link}, which is not in the archive") from error
        found = lstat_at(directory, name)
        if found is None or stat.S_ISDIR(found.st_mode) or self._clean(entry.name) == self._clean(entry.link):
            os.close(directory)
            reason = "which is not in the archive before it" if found is None else "which cannot have two names"
            raise self._refuse(entry.name, f"is a hard link to {entry.link}, {reason}")
        return directory, name

    def _write(self, entry: Entry, directory: int, name: str) -> None:
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            while data := self._reader.read():
                while data:
                    data = data[os.write(descriptor, data) :]
            self.size += entry.size
            _chown(descriptor, entry)
            os.chmod(descriptor, entry.mode)  # after chown(2), which takes set-user-ID away
            for key, value in _xattrs(entry):
                os.setxattr(descriptor, key, value)
            _set_time(descriptor, entry.mtime)
        finally:
            os.close(descriptor)

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
        for key, value in _xattrs(entry):
            os.setxattr(path, key, value, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)

    def _set_directory(self, entry: Entry, path: str, directory: int, name: str) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            _chown(descriptor, entry)
            os.chmod(descriptor, entry.mode)
            for key, value in _xattrs(entry):
                if key != _DEFAULT_ACL:
                    os.setxattr(descriptor, key, value)
        finally:
            os.close(descriptor)
        self._directories[path] = (entry.mtime, entry.xattrs.get(_DEFAULT_ACL))


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
        os.setxattr(descriptor, OPAQUE[is_confined()], b"y")
    finally:
        os.close(descriptor)


def _xattrs(entry: Entry) -> list[tuple[str, bytes]]:
    return [(key, value) for key, value in entry.xattrs.items() if not key.startswith(_DROPPED_XATTRS)]


def _set_time(descriptor: int, mtime: int) -> None:
    os.utime(descriptor, ns=(mtime, mtime))
