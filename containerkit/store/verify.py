"""Whether what is on the disk is still what it was: every blob is read, every unpacked layer compared with its blob.

What is damaged loses its name: the next pull fetches a blob anew, and the next start unpacks a layer anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from containerkit.errors import ContainerkitError, NotFound, from_os_error
from containerkit.layers.compare import difference
from containerkit.oci.manifest import Descriptor
from containerkit.store import rights
from containerkit.store.containers import OWNED
from containerkit.store.layers import showing
from containerkit.store.store import Store
from containerkit.store.unpacking import unpack
from containerkit.store.workspace import Workspace
from containerkit.values import frozen


@frozen
class Damage:
    """What is wrong, and of which images, by id; ``held``: the container whose files it is, so that it stays."""

    text: str
    images: tuple[str, ...]
    held: str = ""


def images(store: Store) -> Iterator[Damage]:
    """The images of which nobody can say what they are: their manifest or config cannot be read."""
    for id, reason in store.images.unreadable():
        yield Damage(f"image {id}: {reason}", (id,))


def blobs(store: Store) -> Iterator[Damage]:
    """The blobs whose bytes are not those their names stand for, and those that are missing."""
    used = store.images.users("blob")
    for digest in sorted({*store.blobs.names(), *used}):
        try:
            is_whole = _is_whole(store, digest)
        except NotFound:
            # Absent, and not just removed with its images.
            if owners := store.images.users("blob").get(digest, ()):
                yield Damage(f"blob {digest} is missing", owners)
            continue
        except OSError as error:
            yield Damage(from_os_error(error, f"blob {digest}").message, used.get(digest, ()))
            continue
        if not is_whole:
            yield Damage(f"blob {digest} is damaged", used.get(digest, ()))


def _is_whole(store: Store, digest: str) -> bool:
    with store.blobs.open(digest) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a raw file is one
        if f"sha256:{found}" == digest:
            return True
        with store.database.transaction():
            # Unless a pull has just put another in its place: names are given under the same lock.
            if os.path.exists(file.name) and os.path.samestat(os.stat(file.name), os.fstat(file.fileno())):
                store.blobs.delete(digest)
    return False


def layers(store: Store) -> Iterator[Damage]:
    """The unpacked layers whose files are not what their blobs say."""
    used, seen = store.images.users("layer"), set()
    for record in store.images.list():
        for number, (chain_id, layer) in enumerate(zip(record.chain_ids, record.layers, strict=False)):
            if chain_id in seen or not store.layers.path(chain_id).exists() or not store.blobs.exists(layer.digest):
                continue
            seen.add(chain_id)
            wrong = _compare(store, record.chain_ids[: number + 1], record.layers[: number + 1])
            if wrong and store.layers.path(chain_id).exists():
                held = _discard(store, chain_id, used.get(chain_id, ()))
                yield Damage(f"layer {chain_id} is damaged: {wrong}", used.get(chain_id, ()), held)


def _compare(store: Store, chain_ids: tuple[str, ...], layers: tuple[Descriptor, ...]) -> str:
    """What is wrong with the last of these layers."""
    blobs = [store.blobs.path(layer.digest) if store.blobs.exists(layer.digest) else "" for layer in layers]
    chain = [*zip(blobs, chain_ids, (None, *chain_ids), layers, strict=False)]
    try:
        with Workspace(store.paths.tmp) as space:
            return rights.call(_unpack_and_compare, space.path, store.layers.path(chain_ids[-1]), chain)
    except ContainerkitError as error:
        return error.message
    except OSError as error:
        return from_os_error(error, "it").message


#: Of each layer: its blob, its chain id, that of the one below, its descriptor.
_Chain = Sequence[tuple[str, str, str | None, Descriptor]]


def _unpack_and_compare(space: Path, path: Path, chain: _Chain) -> str:
    right = _unpack(space / "alone", chain[-1], () if len(chain) == 1 else None)
    if right is None:
        # It depends on those below: not on what is on the disk, which may be damaged itself.
        if not all(blob for blob, *_ in chain):
            return ""  # nobody can say
        below: tuple[Path, ...] = ()
        for number, one in enumerate(chain):
            right = _unpack(space / str(number), one, showing(below)[::-1])
            assert right is not None  # all that it depends on is there
            below = (*below, right)
    assert right is not None
    return difference(right, path)


def _unpack(space: Path, one: tuple[str, str, str | None, Descriptor], lower: Sequence[Path] | None) -> Path | None:
    """Where the layer's files are now; None when it depends on those below, and they are not there."""
    blob, chain_id, parent, layer = one
    space.mkdir()
    root = space / "fs"
    return root if unpack(root, blob, chain_id, parent, layer, lower) is not None else None


def _discard(store: Store, chain_id: str, owners: tuple[str, ...]) -> str:
    """Take the layer away, or tell the name of a container that has it mounted: then it stays."""
    with Workspace(store.paths.tmp) as trash, store.database.transaction() as connection:
        rows = connection.execute("SELECT name, image, status FROM containers ORDER BY number").fetchall()
        for row in rows:
            if row["image"] in owners and row["status"] in OWNED:
                return str(row["name"])
        store.layers.discard(chain_id, trash.path)
    return ""
