"""A backup becomes a tree again, in an empty directory.

First all directories, then all contents as the archive has them, then everything that has none: as long as contents
are written, there is no symbolic link that could lead elsewhere. What each directory is like comes last, as making
files in it would change its time. Every name comes from the manifest, which has none that leads out
(:mod:`manifest`), and is made by way of its directory's descriptor.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from errno import EINVAL

from containerkit.backup.chain import contents
from containerkit.backup.items import BLOCK, CHAR, DIRECTORY, FIFO, FILE, HARDLINK, ROOT, SOCKET, SYMLINK, Item
from containerkit.backup.manifest import is_path
from containerkit.backup.members import Piece
from containerkit.backup.opened import Opened
from containerkit.backup.sources import Source
from containerkit.backup.staging import Staged
from containerkit.backup.write import Teller, Told
from containerkit.errors import InvalidArgument, InvalidState, NotFound, StorageError
from containerkit.layers.tar import shown
from containerkit.linux import mounts
from containerkit.linux.confinement import is_confined
from containerkit.store.trees import remove_tree
from containerkit.views import text

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_INSIDE = mounts.RESOLVE_BENEATH | mounts.RESOLVE_NO_SYMLINKS
_NODES = {FIFO: stat.S_IFIFO, SOCKET: stat.S_IFSOCK, CHAR: stat.S_IFCHR, BLOCK: stat.S_IFBLK}


@dataclass
class Plan:
    """What is made of a backup.

    Args:
        contents: the files, by the path of the content in the backup.
        others: links and nodes, in order.
    """

    directories: list[Item] = field(default_factory=list)
    contents: dict[str, Item] = field(default_factory=dict)
    others: list[Item] = field(default_factory=list)


def plan(items: Iterable[Item], paths: Iterable[str] | None, subject: str) -> Plan:
    """What is made when only ``paths`` are wanted, with what is in them, and the directories above them.

    Raises:
        NotFound: one of them is not in the backup.
        InvalidArgument: one of them leads out of it.
    """
    items = list(items)
    if paths is not None:
        chosen = _chosen(items, [_clean(path, subject) for path in paths], subject)
        return _split(_with_contents(chosen, items))
    return _split((item.path, item) for item in items)


def _split(chosen: Iterable[tuple[str, Item]]) -> Plan:
    made = Plan()
    for source, item in chosen:
        if item.kind == DIRECTORY:
            made.directories.append(item)
        elif item.kind == FILE:
            made.contents[source] = item
        else:
            made.others.append(item)
    return made


def _with_contents(chosen: list[Item], items: list[Item]) -> Iterator[tuple[str, Item]]:
    """Where the content of each is, and what is made: a name of a file whose first is not chosen gets the content."""
    kept = {item.path for item in chosen}
    firsts = {item.path: item for item in items if item.kind not in (DIRECTORY, HARDLINK)}
    moved: dict[str, str] = {}
    for item in chosen:
        if item.kind != HARDLINK or item.link in kept:
            yield item.path, item
        elif item.link in moved:
            yield item.path, replace(item, link=moved[item.link])
        else:
            moved[item.link] = item.path
            yield item.link, replace(firsts[item.link], path=item.path)


def _clean(path: str, subject: str) -> str:
    inner = "/".join(part for part in path.split("/") if part not in ("", ".")) or ROOT
    if not is_path(inner):
        raise InvalidArgument(f"{subject}: path {shown(path)}: leads out of it, or cannot be")
    return inner


def _chosen(items: list[Item], paths: list[str], subject: str) -> list[Item]:
    known = {item.path for item in items}
    for path in paths:
        if path not in known:
            raise NotFound(f"{subject}: {shown(path)} is not in it")
    if ROOT in paths:
        return items
    wanted = set(paths)
    above = {ROOT}.union(*(_above(path) for path in paths))
    return [item for item in items if item.path in above or not wanted.isdisjoint((item.path, *_above(item.path)))]


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def unpack(
    backup: Opened,
    target: str | os.PathLike[str] | int,
    *,
    paths: Iterable[str] | None = None,
    base: Source | None = None,
    passphrase: str | None = None,
    told: Told | None = None,
) -> None:
    """Make the tree in ``target``, an empty directory; after an error it is empty again.

    Args:
        target: a path, or a descriptor of it.
        paths: only these, with what is in them, and the directories above them.
        base: where the backup is that this one is incremental to; beside it, when None.
        passphrase: of the bases.
        told: is told how far it is.

    Raises:
        NotFound: a path is not in the backup, or its base not there.
        InvalidState: the directory is not empty.
        InvalidArgument: something is damaged or cut off, or the base is another one.
        StorageError: there is no room for it.
        OSError: something cannot be made.
    """
    root = os.open(".", _DIRECTORY, dir_fd=target) if isinstance(target, int) else os.open(target, _DIRECTORY)
    try:
        wanted = plan(backup.manifest.items, paths, backup.subject)
        if os.listdir(f"/proc/self/fd/{root}"):
            raise InvalidState(f"{backup.subject}: the directory it would be restored to is not empty")
        _check_room(wanted, root, backup.subject)
        tree = _Tree(root)
        teller = Teller(told, sum(item.size for item in wanted.contents.values()))
        try:
            tree.make_directories(wanted.directories)
            for item, pieces in contents(backup, wanted.contents, base, passphrase):
                tree.write(item, pieces)
                teller.add(item.size)
            tree.finish(wanted)
            teller.end()
        except BaseException:
            _empty(root)
            raise
        finally:
            tree.close()
    finally:
        os.close(root)


def build(tree: Staged, target: str | os.PathLike[str]) -> None:
    """Make the tree that was staged in an empty directory of the same file system; the copies become its files."""
    root = os.open(target, _DIRECTORY)
    try:
        wanted = plan(tree.items, None, os.fspath(target))
        made = _Tree(root)
        try:
            made.make_directories(wanted.directories)
            for item, handle in tree.walk():
                if item.kind == FILE:
                    made.adopt(item, handle)
            made.finish(wanted)
        finally:
            made.close()
    finally:
        os.close(root)


def _check_room(wanted: Plan, root: int, subject: str) -> None:
    room = os.statvfs(f"/proc/self/fd/{root}")
    needed = sum(_stored(item) for item in wanted.contents.values())
    if needed > (free := room.f_bavail * room.f_frsize):
        raise StorageError(f"{subject}: unpacks to {text.size(needed)}, and {text.size(free)} are free")


def _stored(item: Item) -> int:
    return item.size if item.extents is None else sum(length for _, length in item.extents)


def _empty(root: int) -> None:
    path = f"/proc/self/fd/{root}"
    for name in os.listdir(path):
        remove_tree(f"{path}/{name}")


class _Tree:
    """Files are made below ``root``, the descriptor of an empty directory."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._above, self._parent = "", root  # of the file that was made last

    def close(self) -> None:
        """Let descriptors go."""
        if self._parent != self._root:
            os.close(self._parent)
        self._above, self._parent = "", self._root

    def _place(self, path: str) -> tuple[int, str]:
        """A descriptor of the directory that a file is in, and its name there."""
        above, _, name = path.rpartition("/")
        if above != self._above:
            parent = mounts.openat2(self._root, above, _DIRECTORY, resolve=_INSIDE) if above else self._root
            self.close()
            self._above, self._parent = above, parent
        return self._parent, name

    def make_directories(self, items: list[Item]) -> None:
        """Make directories, for nobody else as yet."""
        for item in items:
            if item.path != ROOT:
                parent, name = self._place(item.path)
                os.mkdir(name, 0o700, dir_fd=parent)

    def write(self, item: Item, pieces: Iterable[Piece]) -> None:
        """Make a file with its content."""
        parent, name = self._place(item.path)
        file = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            end = 0
            for start, data in pieces:
                while data:
                    written = os.pwrite(file, data, start)
                    start, data = start + written, data[written:]
                end = start
            if end < item.size:
                os.ftruncate(file, item.size)
            _dress(file, item)
        finally:
            os.close(file)

    def adopt(self, item: Item, handle: int) -> None:
        """Make a file that is there, and has the content, one of the tree.

        Args:
            handle: its descriptor (O_PATH).
        """
        parent, name = self._place(item.path)
        os.link(f"/proc/self/fd/{handle}", name, dst_dir_fd=parent, follow_symlinks=True)
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            _dress(file, item)
        finally:
            os.close(file)

    def finish(self, wanted: Plan) -> None:
        """Everything without content; then what directories are like, those inside first."""
        for item in wanted.others:
            self._make(item)
        for item in reversed(wanted.directories):
            path = item.path
            descriptor = mounts.openat2(self._root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=_INSIDE)
            try:
                _dress(descriptor, item)
            finally:
                os.close(descriptor)

    def _make(self, item: Item) -> None:
        if item.kind == HARDLINK:
            above, _, first = item.link.rpartition("/")
            source = mounts.openat2(self._root, above or ".", _DIRECTORY, resolve=_INSIDE)
            try:
                parent, name = self._place(item.path)
                os.link(first, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            finally:
                os.close(source)
            return
        if item.kind in (CHAR, BLOCK) and is_confined():
            return  # an ordinary user makes no devices
        parent, name = self._place(item.path)
        if item.kind == SYMLINK:
            os.symlink(item.link, name, dir_fd=parent)
        else:
            os.mknod(name, _NODES[item.kind] | 0o600, os.makedev(item.major, item.minor), dir_fd=parent)
        _chown(name, item, parent)
        path = f"/proc/self/fd/{parent}/{name}"
        if item.kind != SYMLINK:
            os.chmod(path, item.mode)
        _set_attributes(path, item)
        os.utime(name, ns=(item.mtime_ns, item.mtime_ns), dir_fd=parent, follow_symlinks=False)


def _dress(descriptor: int, item: Item) -> None:
    _chown(descriptor, item)
    os.fchmod(descriptor, item.mode)  # after chown(2), which takes set-user-ID away
    _set_attributes(descriptor, item)
    os.utime(descriptor, ns=(item.mtime_ns, item.mtime_ns))


def _chown(target: int | str, item: Item, parent: int | None = None) -> None:
    try:
        os.chown(target, item.uid, item.gid, dir_fd=parent, follow_symlinks=isinstance(target, int))
    except OSError as error:
        # A user that this namespace does not have: the file is its root's, as everything is where there is one user.
        if error.errno != EINVAL or not is_confined():
            raise


def _set_attributes(target: int | str, item: Item) -> None:
    for name, value in item.xattrs.items():
        try:
            # Not through a link; a descriptor is none.
            os.setxattr(target, name, value, follow_symlinks=isinstance(target, int))
        except PermissionError:
            if not is_confined():
                raise
