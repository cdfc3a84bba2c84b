"""Files are copied from one tree into another, and nobody who changes either meanwhile leads the copy astray.

Every step goes from the descriptor of a directory to a name in it, without following a symbolic link; only the path
that the copy begins with, and the one it ends at, are resolved, by the kernel and inside their roots. A file appears
under its name when it is whole.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from typing import ClassVar

from containerkit.errors import InvalidArgument, InvalidState
from containerkit.layers.bounds import MAX_DEPTH
from containerkit.linux import mounts
from containerkit.linux.files import copy_content

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Not blocking: a fifo may have taken the file's place.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KEPT_XATTRS = ("user.", "security.capability", "system.posix_acl_")


@dataclass
class Copier:
    """One copy.

    Args:
        owner: user and group of everything that is made; None to keep each one's own (archive mode).
        shift: what is added to a user and a group that is kept: the two trees count them differently.
        sockets: sockets are made anew; otherwise they are left out.
    """

    #: Whether a directory that is there already gets the original's owner, mode and time, too.
    dresses_all: ClassVar[bool] = False
    #: Overlayfs's own notes.
    dropped_xattrs: ClassVar[tuple[str, ...]] = ("user.overlay.",)

    owner: tuple[int, int] | None = None
    shift: tuple[int, int] = (0, 0)
    sockets: bool = False
    _top: int = -1
    _links: dict[tuple[int, int], str] = field(default_factory=dict)

    def copy(self, source: int, name: str, target: int, new_name: str) -> None:
        """Copy ``name`` in the directory ``source`` to ``new_name`` in the directory ``target``.

        A directory that is there is added to, another file is replaced; sockets are left out.

        Raises:
            InvalidState: a file became something else meanwhile.
            OSError: something cannot be read or made: EEXIST for a directory where a file is, EISDIR the other way.
        """
        self._top = target
        self._copy(source, name, target, new_name, new_name, 0)

    def copy_content(self, source: int, target: int) -> None:
        """Copy what is in one directory into another."""
        self._top = target
        self._copy_children(source, target, "", 0)

    def _copy(self, source: int, name: str, target: int, new_name: str, path: str, depth: int) -> None:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            self._copy_directory(source, name, target, new_name, path, depth)
        elif not self._is_done(found, target, new_name, path):
            self._replace(source, name, target, new_name, found)

    def _is_done(self, found: os.stat_result, target: int, new_name: str, path: str) -> bool:
        """Whether nothing is left to copy: of a socket that is not wanted, or another name of what has been copied."""
        if stat.S_ISSOCK(found.st_mode) and not self.sockets:
            return True
        return found.st_nlink > 1 and self._link(found, target, new_name, path)

    def _copy_directory(self, source: int, name: str, target: int, new_name: str, path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise InvalidArgument(f"copy: {path[:100]}…: more than {MAX_DEPTH} directories deep")
        inner = os.open(name, _DIRECTORY, dir_fd=source)
        try:
            try:
                os.mkdir(new_name, 0o700, dir_fd=target)
                is_new = True
            except FileExistsError:
                is_new = False
            outer = os.open(new_name, _DIRECTORY, dir_fd=target)
            try:
                self._copy_children(inner, outer, f"{path}/", depth + 1)
                if is_new or self.dresses_all:
                    self.dress(outer, inner, os.fstat(inner))
            finally:
                os.close(outer)
        finally:
            os.close(inner)

    def _copy_children(self, source: int, target: int, prefix: str, depth: int) -> None:
        for name in sorted(os.listdir(source)):
            self._copy(source, name, target, name, prefix + name, depth)

    def _link(self, found: os.stat_result, target: int, new_name: str, path: str) -> bool:
        """Make it another name of a file that has been copied; False when it is the first."""
        first = self._links.setdefault((found.st_dev, found.st_ino), path)
        if first == path:
            return False
        copied = mounts.openat2(self._top, first, os.O_PATH | os.O_NOFOLLOW)
        try:
            temporary = _temporary(new_name)
            os.link(f"/proc/self/fd/{copied}", temporary, dst_dir_fd=target, follow_symlinks=True)
            os.replace(temporary, new_name, src_dir_fd=target, dst_dir_fd=target)
        finally:
            os.close(copied)
        return True

    def _replace(self, source: int, name: str, target: int, new_name: str, found: os.stat_result) -> None:
        temporary = _temporary(new_name)
        try:
            self._make(source, name, target, temporary, found)
            os.replace(temporary, new_name, src_dir_fd=target, dst_dir_fd=target)
        except BaseException:
            try:
                os.unlink(temporary, dir_fd=target)
            except OSError:
                pass
            raise

    def _make(self, source: int, name: str, target: int, new_name: str, found: os.stat_result) -> None:
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), new_name, dir_fd=target)
            os.chown(new_name, *self._owner_of(found), dir_fd=target, follow_symlinks=False)
            os.utime(new_name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)
            return
        if not stat.S_ISREG(found.st_mode):
            os.mknod(new_name, found.st_mode, found.st_rdev, dir_fd=target)
            made = mounts.openat2(target, new_name, os.O_PATH | os.O_NOFOLLOW)
            try:
                self.dress(made, -1, found)
            finally:
                os.close(made)
            return
        self._copy_file(source, name, target, new_name)

    def _copy_file(self, source: int, name: str, target: int, new_name: str) -> None:
        reader = os.open(name, _READ, dir_fd=source)
        try:
            found = os.fstat(reader)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidState(f"copy: {name} became something else while it was copied")
            writer = os.open(new_name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
            try:
                copy_content(reader, writer)
                self.dress(writer, reader, found)
            finally:
                os.close(writer)
        finally:
            os.close(reader)

    def _owner_of(self, found: os.stat_result) -> tuple[int, int]:
        return self.owner or (found.st_uid + self.shift[0], found.st_gid + self.shift[1])

    def dress(self, made: int, original: int, found: os.stat_result) -> None:
        """Give what was made owner, mode, attributes and times, in the order in which one does not undo another.

        Args:
            made, original: descriptors; -1 for an original that is not open.
            found: the original's status.
        """
        path = f"/proc/self/fd/{made}"
        os.chown(path, *self._owner_of(found))
        os.chmod(path, stat.S_IMODE(found.st_mode))
        if self.owner is None and original >= 0:
            for key in os.listxattr(original):
                if key.startswith(_KEPT_XATTRS) and not key.startswith(self.dropped_xattrs):
                    os.setxattr(path, key, os.getxattr(original, key))
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _temporary(name: str) -> str:
    return f".{name[:200]}.{secrets.token_hex(6)}"
