"""The contents of a backup, those that are in its base too; each is what was backed up, or there is an error."""

from __future__ import annotations

from collections.abc import Iterator

from containerkit.backup import archive
from containerkit.backup.archive import Archive
from containerkit.backup.hashing import Digests
from containerkit.backup.items import FILE, Item
from containerkit.backup.members import Piece
from containerkit.backup.opened import Opened
from containerkit.backup.packing import digest_zeros
from containerkit.backup.sources import Source
from containerkit.backup.write import Teller, Told
from containerkit.errors import InvalidArgument, NotFound
from containerkit.layers.tar import shown

#: Of backups that are each incremental to the next.
_LONGEST = 10_000


def verify(
    backup: Opened, *, base: Source | None = None, passphrase: str | None = None, told: Told | None = None
) -> None:
    """Read all that a restore would read.

    Args:
        base: where the backup is that this one is incremental to; beside it, when None.
        passphrase: of the bases.
        told: is told how far it is.

    Raises:
        InvalidArgument: something is damaged or cut off, or the base is another one.
        NotFound: the base is not there.
    """
    wanted = {item.path: item for item in backup.manifest.items if item.kind == FILE}
    teller = Teller(told, sum(item.size for item in wanted.values()))
    for item, pieces in contents(backup, wanted, base, passphrase):
        for _ in pieces:
            pass
        teller.add(item.size)
    teller.end()


def contents(
    backup: Opened, wanted: dict[str, Item], base: Source | None = None, passphrase: str | None = None
) -> Iterator[tuple[Item, Iterator[Piece]]]:
    """The contents that are wanted, by path in the backup, and the pieces of each, which have to be read to their end.

    Args:
        wanted: is empty at the end.
        base: where the backup is that this one is incremental to; beside it, when None.
        passphrase: of the bases.

    Raises:
        InvalidArgument: something is damaged or cut off, or the base is another one.
        NotFound: the base is not there.
    """
    current, left = backup, wanted
    with Digests() as digests:
        for _ in range(_LONGEST):
            try:
                here = {item.path for item in current.manifest.items if _is_stored(item) and item.path in left}
                # The backup itself is read in any case: that says whether it is damaged.
                for found, pieces in current.contents(here) if here or current is backup else ():
                    item = left.pop(found.path)
                    yield item, _checked(pieces, item, current.subject, digests)
                if not left:
                    return
                if lost := here & left.keys():
                    raise InvalidArgument(f"{current.subject}: damaged: the content of {shown(min(lost))} is missing")
                following = _open_base(current, base, passphrase)
            finally:
                if current is not backup:
                    current.close()
            current, base = following, None
    raise InvalidArgument(f"{backup.subject}: more than {_LONGEST} backups that are incremental to each other")


def _is_stored(item: Item) -> bool:
    return item.kind == FILE and not item.elsewhere


def _open_base(backup: Opened, base: Source | None, passphrase: str | None) -> Archive:
    said = backup.manifest
    if not said.parent:
        raise InvalidArgument(f"{backup.subject}: damaged: contents are elsewhere, and it is not incremental")
    place = base if base is not None else backup.beside(said.parent_name) if said.parent_name else None
    if place is None:
        raise NotFound(f"{backup.subject}: is incremental to {said.parent[:12]}: say where that one is (base=…)")
    try:
        found = archive.open(place, passphrase=passphrase)
    except NotFound as error:
        raise NotFound(f"{backup.subject}: is incremental to one that is not there: {error}") from error
    if found.manifest.id != said.parent:
        found.close()
        raise InvalidArgument(f"{backup.subject}: is incremental to {said.parent[:12]}, and {found.subject} is another")
    return found


def _checked(pieces: Iterator[Piece], item: Item, subject: str, digests: Digests) -> Iterator[Piece]:
    """The same; an error at the end when they are not what was backed up."""
    end = 0
    for start, data in pieces:
        if start > end:
            digest_zeros(digests, start - end)
        digests.update(data)
        end = start + len(data)
        yield start, data
    digest_zeros(digests, item.size - end)
    if digests.end() != item.digest:
        raise InvalidArgument(f"{subject}: damaged: {shown(item.path)} is not what was backed up")
