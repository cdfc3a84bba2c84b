"""A directory of backups, of any number of volumes. What several have is there once.

::

    DIR/
        containerkit-backups                                 format; with a passphrase, what its key is made with
        packs/<time>-<random>.pack                           blocks of contents, and of manifests (module packs)
        snapshots/<volume>/<UTC time>-<id>.json.zst          a backup: which blocks have its manifest (module snapshots)

A backup reads only what has changed since the last one of that volume, and keeps only the blocks that are not there:
of contents, and of its manifest, which says of each file which blocks it consists of. It is there when its own file is;
before that, all its blocks are on the disk. Whatever was killed before has left packs that the next backup finds blocks
in, or ``.part`` files.

Who reads or writes holds a shared lock on the file ``containerkit-backups`` (flock(2)), who removes packs an exclusive
one: two may write at once, nobody loses blocks that they count on. No lock is turned into the other kind: the kernel
lets go of it meanwhile. Each ``.part`` is locked by its writer: one that is not belongs to nobody.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from containerkit.backup import manifest as manifests
from containerkit.backup import packs, secrecy, snapshots
from containerkit.backup.cutting import Cutter, blocks
from containerkit.backup.earlier import Earlier
from containerkit.backup.items import FILE, Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.packs import BLOCK, Packs
from containerkit.backup.retention import Retention, kept
from containerkit.backup.snapshots import Group, Last, Snapshot, Summary
from containerkit.backup.staging import Staged
from containerkit.backup.trees import Living, Tree
from containerkit.backup.write import About, Teller, Told, about_tree
from containerkit.errors import InvalidArgument, InvalidState, NotFound, from_os_error
from containerkit.linux import parts
from containerkit.linux.files import sync_directory
from containerkit.linux.parts import Part
from containerkit.values import frozen

MARKER = "containerkit-backups"
_FORMAT = 2
_SUFFIX = ".json.zst"
#: Of a pack: it is written anew when less of it is in use.
_WORTH = 0.5
#: Bytes of a manifest's line, which names each block of a file.
_LONGEST = manifests.LARGEST // BLOCK * 70 + manifests.MAX_LINE


def _moment(name: str) -> datetime:
    return datetime.strptime(name[:22] + "+0000", "%Y%m%dT%H%M%S.%f%z")


def _is_name(name: str) -> bool:
    """Whether a file can be a backup's: others may lie there."""
    with contextlib.suppress(ValueError):
        return name.endswith(_SUFFIX) and _moment(name) is not None
    return False


@frozen
class Kept:
    """One backup of a directory, by the name of its file."""

    volume: str
    name: str

    @property
    def created(self) -> float:
        """Seconds since the epoch."""
        return _moment(self.name).timestamp()

    @property
    def id(self) -> str:
        """Its name without what all have."""
        return self.name.removesuffix(_SUFFIX)


class Directory:
    """A directory of backups; a context manager that holds its lock.

    Args:
        create: make it, when it is not there.
        alone: wait until nobody else is here, and keep others out.

    Raises:
        InvalidArgument: the passphrase is missing or wrong; it is something else's directory.
        NotFound: there is none, and not ``create``.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, passphrase: str | None = None, create: bool = False, alone: bool = False
    ) -> None:
        self.path = Path(path).absolute()
        self._is_alone = alone
        self.subject = f"backups {self.path}"
        try:
            self._secrecy = self._begin(passphrase) if create else self._again(passphrase)
            self._lock = os.open(self.path / MARKER, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error, self.subject) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            self._packs = Packs(self.path / "packs", self._secrecy)
        except BaseException:
            os.close(self._lock)
            raise

    def _begin(self, passphrase: str | None) -> secrecy.Secrecy:
        for name in ("packs", "snapshots"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        marker = self.path / MARKER
        if not marker.exists():
            _, said = secrecy.begin(passphrase, self.subject)
            part = Part(marker)
            try:
                part.file.write(json.dumps({"format": _FORMAT, **said}).encode() + b"\n")
                part.finish(is_first=True)
            finally:
                part.close()
        return self._again(passphrase)

    def _again(self, passphrase: str | None) -> secrecy.Secrecy:
        try:
            said = json.loads((self.path / MARKER).read_bytes())
            known = said.get("format") == _FORMAT
        except FileNotFoundError as error:
            raise NotFound(f"{self.subject}: not a directory of backups") from error
        except (ValueError, AttributeError, RecursionError) as error:
            raise InvalidArgument(f"{self.subject}: damaged: {MARKER}") from error
        if not known:
            raise InvalidArgument(f"{self.subject}: of another format than {_FORMAT}")
        return secrecy.again(passphrase, said, self.subject)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the lock and files go."""
        if self._lock >= 0:
            self._packs.close()
            os.close(self._lock)
            self._lock = -1

    # -- what is there -----------------------------------------------------------------------------------------------

    def list(self, volume: str | None = None) -> list[Kept]:
        """The backups, the oldest first."""
        root = self.path / "snapshots"
        volumes = sorted(os.listdir(root)) if volume is None else [volume]
        found = []
        for one in volumes:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found += [Kept(one, name) for name in os.listdir(root / one) if _is_name(name)]
        return sorted(found, key=lambda kept: (kept.name, kept.volume))

    def find(self, id: str, volume: str | None = None) -> Kept:
        """The backup of that id, or with a digest that begins so; ``"latest"`` for the last.

        Raises:
            NotFound: none, or several.
        """
        known = self.list(volume)
        if id == "latest":
            found = known[-1:]
        else:
            found = [one for one in known if one.id == id or one.id.partition("-")[2].startswith(id[:12])]
            # The same content twice: the newer one is as good.
            found = found[-1:] if len({one.id.partition("-")[2] for one in found}) == 1 else found
        if len(found) != 1:
            raise NotFound(f"{self.subject}: {id}: " + ("several begin like this" if found else "not found"))
        return found[0]

    def _file(self, one: Kept) -> Path:
        return self.path / "snapshots" / one.volume / one.name

    def _subject(self, one: Kept) -> str:
        return f"backup {self._file(one)}"

    def summary(self, one: Kept) -> Summary:
        """What a backup says of itself as a whole.

        Raises:
            InvalidArgument: it is damaged.
            NotFound: it is gone.
            StorageError: its disk is broken, or read-only.
        """
        try:
            data = self._secrecy.open(self._file(one).read_bytes())
        except FileNotFoundError as error:
            raise NotFound(f"{self._subject(one)}: not found") from error
        except ValueError as error:
            raise packs.damaged(self._file(one)) from error
        return snapshots.loads(data, self._subject(one))

    def manifest(self, one: Kept) -> Manifest:
        """All that a backup says of itself.

        Raises:
            InvalidArgument: it is damaged.
            NotFound: it is gone.
        """
        return manifests.loads(self._lines(one), self._subject(one), longest=_LONGEST)

    def _lines(self, one: Kept) -> Iterator[bytes]:
        summary = self.summary(one)
        yield manifests.dump_head(summary, summary.count)
        for group in summary.groups:
            yield from self._group(group, one).splitlines(keepends=True)

    def _group(self, group: Group, one: Kept) -> bytes:
        return b"".join(self._packs.read(bytes.fromhex(block), self._subject(one)) for block in group)

    def _items(self, group: Group, one: Kept) -> builtins.list[Item]:
        return snapshots.items(self._group(group, one), self._subject(one))

    def reading(self, one: Kept) -> Snapshot:
        """A backup, to be read."""
        subject = self._subject(one)
        return Snapshot(subject, self.manifest(one), lambda block: self._packs.read(bytes.fromhex(block), subject))

    # -- a backup is made --------------------------------------------------------------------------------------------

    def add(
        self,
        root: str | os.PathLike[str] | Staged,
        about: About,
        *,
        by_content: bool = False,
        last: Last | None = None,
        told: Told | None = None,
    ) -> tuple[Kept, Summary]:
        """A backup of a tree.

        Args:
            root: its path; or what was staged of it.
            by_content: files are read to see whether they have changed.
            last: what :meth:`last` says of its volume, where that was asked before.
            told: is told how far it is.

        Raises:
            StorageError: the disk is full.
        """
        self._clean()
        last = None if by_content else last or self.last(about.volume)
        earlier = Earlier() if last is None else last.earlier
        writer = self._packs.writer()
        try:
            tree: Tree = root if isinstance(root, Staged) else Living(root)
            teller = Teller(told, 0 if last is None else last.summary.size, tree.total)
            cutter = Cutter(writer, self._secrecy, teller, is_still=tree.is_still)
            said = about_tree(tree, list(cutter.add(tree.walk(earlier), earlier)), about)
            groups = snapshots.shelve(said, last, lambda data: self._put(writer, data))
            writer.finish()
            said.added = writer.added
            summary = snapshots.summary(said, groups)
            return self._keep(summary), summary
        except OSError as error:
            raise from_os_error(error, self.subject) from error
        finally:
            writer.discard()

    def _put(self, writer: packs.Writer, data: bytes) -> str:
        """A block of a manifest. One that is there is read: many backups would be damaged with it."""
        name = self._secrecy.name(data)
        if name in self._packs:
            with contextlib.suppress(InvalidArgument):
                self._packs.read(name, self.subject)
        if name not in writer:
            writer.put(name, self._secrecy.seal(packs.packed(data)))
        return name.hex()

    def last(self, volume: str) -> Last | None:
        """The last backup of a volume, as far as it is not damaged."""
        for one in reversed(self.list(volume)):
            with contextlib.suppress(InvalidArgument, NotFound):
                return self._compared(one, self.summary(one))
        return None

    def _compared(self, one: Kept, summary: Summary) -> Last:
        groups = []
        for group in summary.groups:
            with contextlib.suppress(InvalidArgument):
                groups.append((self._items(group, one), group))
        # A file that a pack of was lost is read again.
        there = (item for items, _ in groups for item in items if self._has(item))
        return Last(
            summary, Earlier(there, summary.settled_ns), {items[0].path: (items, group) for items, group in groups}
        )

    def _has(self, item: Item) -> bool:
        return item.kind != FILE or all(bytes.fromhex(block) in self._packs for block in blocks(item))

    def _keep(self, said: Summary) -> Kept:
        moment = datetime.fromtimestamp(said.created, timezone.utc)
        one = Kept(said.volume, f"{moment:%Y%m%dT%H%M%S.%f}-{said.id[:12]}{_SUFFIX}")
        path = self._file(one)
        path.parent.mkdir(exist_ok=True)
        for directory in (self.path / "packs", path.parent):
            sync_directory(directory)
        part = Part(path)
        try:
            part.file.write(self._secrecy.seal(snapshots.dumps(said)))
            part.finish()
        finally:
            part.close()
        sync_directory(path.parent)
        return one

    def _clean(self) -> None:
        """Remove what writers have left that were killed."""
        for place in ("*.part", "packs/*.part", "snapshots/*/*.part"):
            for path in self.path.glob(place):
                parts.sweep(path)

    # -- and goes ----------------------------------------------------------------------------------------------------

    def remove(self, one: Kept) -> None:
        """Forget a backup; its blocks go with :meth:`collect`.

        Raises:
            NotFound: it is gone.
        """
        try:
            self._file(one).unlink()
        except FileNotFoundError as error:
            raise NotFound(f"backup {self._file(one)}: not found") from error
        except OSError as error:
            raise from_os_error(error, f"backup {one.id}") from error
        with contextlib.suppress(OSError):
            self._file(one).parent.rmdir()

    def expired(self, retention: Retention, volume: str | None = None) -> builtins.list[Kept]:
        """What would not be kept, of each volume by itself."""
        found: builtins.list[Kept] = []
        for name in sorted({one.volume for one in self.list(volume)}):
            backups = self.list(name)
            staying = kept([one.created for one in backups], retention)
            found += [one for place, one in enumerate(backups) if place not in staying]
        return found

    def collect(self, expired: Sequence[Kept] = ()) -> int:
        """Remove backups, and free what no other consists of; bytes.

        Raises:
            InvalidArgument: one that stays is damaged: what it consists of is not known, and nothing goes.
            InvalidState: somebody else may be here: it was not opened ``alone``.
        """
        if not self._is_alone:
            raise InvalidState(f"{self.subject}: somebody else may be reading or writing")
        used = self._used([one for one in self.list() if one not in expired])
        for one in expired:
            self.remove(one)
        writer = self._packs.writer()
        try:
            return self._shrink(used, writer)
        except OSError as error:
            raise from_os_error(error, self.subject) from error
        finally:
            writer.discard()
            self._clean()

    def _shrink(self, used: set[bytes], writer: packs.Writer) -> int:
        """Have no pack that mostly holds what nobody uses; the bytes that are free now."""
        freed = 0
        for name, there in list(self._packs.by_pack()):
            here = [(block, length) for block, length in there if block in used]
            if sum(length for _, length in here) >= _WORTH * max(sum(length for _, length in there), 1):
                continue
            staying = [(block, self._packs.raw(block)) for block, _ in here]
            freed += self._rewrite(name, staying, writer)
        return freed

    def _used(self, backups: builtins.list[Kept]) -> set[bytes]:
        """The blocks that they consist of. Each group is looked at once: most have it in common."""
        seen: set[Group] = set()
        found: set[bytes] = set()
        for one in backups:
            for group in self.summary(one).groups:
                if group not in seen:
                    seen.add(group)
                    found.update(map(bytes.fromhex, group))
                    for item in self._items(group, one):
                        if item.kind == FILE:
                            found.update(map(bytes.fromhex, blocks(item)))
        return found

    def _rewrite(self, name: str, staying: builtins.list[tuple[bytes, bytes]], writer: packs.Writer) -> int:
        before = writer.added
        writer.replace(staying)
        return self._packs.remove(name) - (writer.added - before)


def is_directory(path: str | os.PathLike[str]) -> bool:
    """Whether there is a directory of backups."""
    return os.path.exists(os.path.join(path, MARKER))
