"""A directory of backups, of any number of volumes. What several have is there once.

::

    DIR/
        containerkit-backups                                 format; with a passphrase, what its key is made with
        packs/<random>.pack                                  blocks of content (module packs)
        snapshots/<volume>/<UTC time>-<id>.json.zst          a manifest: which blocks each file consists of

A backup reads only what has changed since the last one of that volume, and keeps only the blocks that are not there.
It is there when its manifest is; before that, all its blocks are on the disk. Whatever was killed before has left packs
that the next backup finds blocks in, or ``.part`` files.

Who reads or writes holds a shared lock on the file ``containerkit-backups`` (flock(2)), who removes packs an exclusive
one: two may write at once, nobody loses blocks that they count on. No lock is turned into the other kind: the kernel
lets go of it meanwhile. Each ``.part`` is locked by its writer: one that is not belongs to nobody.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import io
import json
import os
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import zstandard

from containerkit.backup import manifest as manifests
from containerkit.backup import packs, parts, secrecy
from containerkit.backup.cutting import Cutter, places
from containerkit.backup.earlier import Earlier
from containerkit.backup.items import FILE, Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.members import Piece
from containerkit.backup.packs import Packs
from containerkit.backup.parts import Part
from containerkit.backup.retention import Retention, kept
from containerkit.backup.staging import Staged
from containerkit.backup.trees import Living, Tree
from containerkit.backup.write import About, Teller, Told, about_tree
from containerkit.errors import InvalidArgument, InvalidState, NotFound, from_os_error
from containerkit.linux.files import sync_directory

MARKER = "containerkit-backups"
_FORMAT = 1
_SUFFIX = ".json.zst"
#: Of a pack: it is written anew when less of it is in use.
_WORTH = 0.5


@dataclass(frozen=True)
class Kept:
    """One backup of a directory, by the name of its manifest's file."""

    volume: str
    name: str

    @property
    def created(self) -> float:
        """Seconds since the epoch."""
        return datetime.strptime(self.name[:22] + "+0000", "%Y%m%dT%H%M%S.%f%z").timestamp()

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
            part = self.path / f"{MARKER}.{os.urandom(4).hex()}.part"
            part.write_text(json.dumps({"format": _FORMAT, **said}) + "\n")
            try:
                os.link(part, marker)  # the first one wins
            except FileExistsError:
                pass
            part.unlink()
        return self._again(passphrase)

    def _again(self, passphrase: str | None) -> secrecy.Secrecy:
        try:
            said = json.loads((self.path / MARKER).read_text())
            known = said.get("format") == _FORMAT
        except FileNotFoundError as error:
            raise NotFound(f"{self.subject}: not a directory of backups") from error
        except (ValueError, AttributeError) as error:
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
                found += [Kept(one, name) for name in os.listdir(root / one) if name.endswith(_SUFFIX)]
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

    def manifest(self, one: Kept) -> Manifest:
        """What a backup says of itself.

        Raises:
            InvalidArgument: it is damaged.
            NotFound: it is gone.
        """
        subject = f"backup {self._file(one)}"
        try:
            data = self._secrecy.open(self._file(one).read_bytes())
            lines = _unpacked(data, subject)
        except FileNotFoundError as error:
            raise NotFound(f"{subject}: not found") from error
        except ValueError as error:
            raise packs.damaged(self._file(one)) from error
        return manifests.loads(lines, subject)

    def reading(self, one: Kept) -> Snapshot:
        """A backup, to be read."""
        return Snapshot(self, one, self.manifest(one))

    # -- a backup is made --------------------------------------------------------------------------------------------

    def add(
        self,
        root: str | os.PathLike[str] | Staged,
        about: About,
        *,
        by_content: bool = False,
        last: Manifest | None = None,
        told: Told | None = None,
    ) -> tuple[Kept, Manifest]:
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
        earlier = Earlier(None if by_content else last or self.last(about.volume))
        writer = self._packs.writer()
        try:
            tree: Tree = root if isinstance(root, Staged) else Living(root)
            teller = Teller(told, tree.total() if told is not None else 0)
            cutter = Cutter(writer, self._secrecy, teller, is_still=tree.is_still)
            items = list(cutter.add(iter(tree), earlier, self._packs))
            writer.finish()
            said = about_tree(tree, items, about)
            said.added = writer.added
            return self._keep(said), said
        except OSError as error:
            raise from_os_error(error, self.subject) from error
        finally:
            writer.discard()

    def last(self, volume: str) -> Manifest | None:
        """The manifest of the last backup of a volume."""
        for one in reversed(self.list(volume)):
            with contextlib.suppress(InvalidArgument, NotFound):
                return self.manifest(one)
        return None

    def _keep(self, said: Manifest) -> Kept:
        moment = datetime.fromtimestamp(said.created, timezone.utc)
        one = Kept(said.volume, f"{moment:%Y%m%dT%H%M%S.%f}-{said.id[:12]}{_SUFFIX}")
        path = self._file(one)
        path.parent.mkdir(exist_ok=True)
        for directory in (self.path / "packs", path.parent):
            sync_directory(directory)
        part = Part(path)
        try:
            part.file.write(self._secrecy.seal(_packed(manifests.dumps(said))))
            part.finish()
        finally:
            part.close()
        sync_directory(path.parent)
        return one

    def _clean(self) -> None:
        """Remove what writers have left that were killed."""
        for path in [*(self.path / "packs").glob("*.part"), *(self.path / "snapshots").glob("*/*.part")]:
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

    def collect(self) -> int:
        """Free what no backup consists of; bytes.

        Raises:
            InvalidArgument: a manifest is damaged: what it consists of is not known, and nothing is freed.
            InvalidState: somebody else may be here: it was not opened ``alone``.
        """
        if not self._is_alone:
            raise InvalidState(f"{self.subject}: somebody else may be reading or writing")
        used = {
            bytes.fromhex(block) for one in self.list() for item in self.manifest(one).items for block in item.blocks
        }
        freed = 0
        writer = self._packs.writer()
        for name, blocks in list(self._packs.by_pack()):
            here = [(block, length) for block, length in blocks if block in used]
            if sum(length for _, length in here) >= _WORTH * max(sum(length for _, length in blocks), 1):
                continue
            staying = [(block, self._packs.raw(block)) for block, _ in here]
            freed += self._rewrite(name, staying, writer)
        self._clean()
        return freed

    def _rewrite(self, name: str, staying: builtins.list[tuple[bytes, bytes]], writer: packs.Writer) -> int:
        before = writer.added
        writer.replace(staying)
        return self._packs.remove(name) - (writer.added - before)


class Snapshot:
    """One backup, open: what a restore and a verification read from (:mod:`chain`)."""

    is_foreign = False

    def __init__(self, directory: Directory, one: Kept, said: Manifest) -> None:
        self._directory, self.manifest = directory, said
        self.subject = f"backup {directory._file(one)}"

    def close(self) -> None:
        """Nothing: the directory is the caller's."""

    def beside(self, name: str) -> str | None:
        """It needs no other."""
        return None

    def contents(self, wanted: Set[str]) -> Iterator[tuple[Item, Iterator[Piece]]]:
        """Files and their contents.

        Raises:
            InvalidArgument: a block is damaged or missing.
        """
        for item in self.manifest.items:
            if item.kind == FILE and item.path in wanted:
                yield item, self._pieces(item)

    def _pieces(self, item: Item) -> Iterator[Piece]:
        cut = list(places(item))
        if len(cut) != len(item.blocks):
            raise InvalidArgument(f"{self.subject}: damaged: {item.path} has {len(item.blocks)} blocks")
        for (start, length), block in zip(cut, item.blocks, strict=True):
            data = self._directory._packs.read(bytes.fromhex(block), self.subject)
            if len(data) != length:
                raise InvalidArgument(f"{self.subject}: damaged: a block of {item.path} has another size")
            yield start, data


def is_directory(path: str | os.PathLike[str]) -> bool:
    """Whether there is a directory of backups."""
    return os.path.exists(os.path.join(path, MARKER))


def _packed(lines: Iterator[bytes]) -> bytes:
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    return b"".join([*(compressor.compress(line) for line in lines), compressor.flush()])


def _unpacked(data: bytes, subject: str) -> Iterator[bytes]:
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as stream:
            yield from io.BufferedReader(stream, 1 << 18)
    except zstandard.ZstdError as error:
        raise InvalidArgument(f"{subject}: damaged: {str(error).lower()}") from error
