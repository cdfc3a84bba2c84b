"""Images: which there are, what they are called, and what each uses.

An image's content never changes, so what its blobs say is parsed once per process; only names are asked for each time.
"""

from __future__ import annotations

import builtins
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from containerkit.errors import (
    ContainerkitError,
    InvalidArgument,
    InvalidState,
    NotFound,
    StorageError,
    from_os_error,
)
from containerkit.layers.bounds import check_proportion
from containerkit.linux.files import sync_directory
from containerkit.oci import digest as digests
from containerkit.oci import image_config
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ImageConfig, parse_time
from containerkit.oci.manifest import Descriptor, Manifest
from containerkit.oci.reference import Reference
from containerkit.store import events, imagerows, layout, rights
from containerkit.store.blobs import Blobs
from containerkit.store.database import Database
from containerkit.store.layers import Layers
from containerkit.store.paths import Paths
from containerkit.store.trees import disk_usage
from containerkit.store.workspace import Workspace
from containerkit.values import frozen

if TYPE_CHECKING:
    from containerkit.store.ingest import Ingest

#: What an image may unpack to whatever it is packed to; otherwise it is as with a layer (layers/bounds.py). The same
#: small layer may be in it many times.
HARMLESS_IMAGE = 8 << 30


@frozen
class ImageRecord:
    """One image at one moment.

    ``id`` is the digest of its config, ``tags`` and ``digests`` (``busybox@sha256:…``: what registries know it by)
    are in familiar form and sorted, ``size`` is the bytes of its unpacked layers, ``layers`` are the blobs, the lowest
    first.
    """

    id: str
    manifest: Descriptor
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    created: datetime
    size: int
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    chain_ids: tuple[str, ...]


@frozen
class _New:
    """What is to become an image, with the tags it gets, and what registries know it by; both written out."""

    image: ImageRecord
    tags: tuple[str, ...]
    digests: tuple[str, ...]

    @property
    def name(self) -> str:
        """How people call it."""
        names = [*self.tags, *self.digests]
        return Reference.parse(names[0]).familiar if names else self.image.id


class Images:
    """The images of one store. Every change is one transaction, and ``index.json`` follows it."""

    def __init__(self, database: Database, blobs: Blobs, layers: Layers, paths: Paths) -> None:
        self._database = database
        self._blobs = blobs
        self._layers = layers
        self._paths = paths
        # By id and manifest; its names are those of the last look.
        self._parsed: dict[tuple[str, str], ImageRecord] = {}

    def add(
        self,
        manifest: Descriptor,
        reference: str | None = None,
        ingest: Ingest | None = None,
        digests: Sequence[str] = (),
        *,
        action: str = "import",
    ) -> ImageRecord:
        """Make an image of blobs, unpack its layers, and tag it. Idempotent.

        An image that is there (the same config) keeps its manifest, unless this one is a registry's.

        Args:
            reference: the tag it gets; another image that had it loses it. One with a digest alone is no tag.
            ingest: where those of its blobs wait that are not in the store yet.
            digests: what a registry knows it by: ``name@sha256:…``.
            action: what the event says of it: import, pull, load, commit.

        Raises:
            InvalidArgument: the manifest, the config or a layer is not what it says, or not a reference.
            NotFound: a blob is missing.
            StorageError: a blob is damaged, or the disk is full.
        """
        new = self._new(manifest, () if reference is None else (reference,), ingest, digests)
        return self._add([new], ingest, action)[0]

    def add_all(
        self, wanted: Sequence[tuple[Descriptor, Sequence[str]]], ingest: Ingest | None = None, *, action: str
    ) -> tuple[ImageRecord, ...]:
        """As :meth:`add`, for several images, each with its tags: all of them, or none."""
        return self._add([self._new(manifest, tags, ingest) for manifest, tags in wanted], ingest, action)

    def _new(
        self, manifest: Descriptor, references: Sequence[str], ingest: Ingest | None, digests: Sequence[str] = ()
    ) -> _New:
        source = ingest or self._blobs
        tags, known = (tuple([Reference.parse(name).full for name in names]) for names in (references, digests))
        return _New(_parse(manifest, source.read(manifest.digest), source), tags, known)

    def _add(self, new: Sequence[_New], ingest: Ingest | None, action: str) -> tuple[ImageRecord, ...]:
        try:
            with self.keeping([chain_id for one in new for chain_id in one.image.chain_ids]):
                for one in new:
                    self._unpack(one.image, ingest or self._blobs)
                return self._commit(new, ingest, action)
        except Exception as error:
            with suppress(OSError, ContainerkitError):
                self.collect()  # what was unpacked before the one that is wrong
            if isinstance(error, OSError) and not isinstance(error, ContainerkitError):
                raise from_os_error(error, f"image {new[0].name}") from error
            raise

    @contextmanager
    def keeping(self, chain_ids: Sequence[str]) -> Iterator[None]:
        """Layers that are no garbage until the end of the block: an image shall have them then."""
        with self._layers.needed(chain_ids):
            yield
        # Unless it was removed at once, by somebody who had to leave them.
        connection = self._database.connection()
        if not all(imagerows.is_used(connection, "layer", chain_id) for chain_id in chain_ids):
            self.collect()

    def _unpack(self, parsed: ImageRecord, source: Blobs | Ingest) -> None:
        """See that every layer is unpacked, and that its blob is what the image's config says.

        Nothing is taken on trust: the blob of a layer that is unpacked here already is looked into, too.
        """
        chain_ids, diff_ids = parsed.chain_ids, parsed.config.rootfs.diff_ids
        stored = packed = 0
        for number, (chain_id, diff_id, layer) in enumerate(zip(chain_ids, diff_ids, parsed.layers, strict=False)):
            self._layers.match(chain_id, diff_id, layer, source)
            stored += self._layers.unpack(chain_id, chain_ids[:number], layer, source)
            packed += layer.size
            check_proportion(stored, packed, f"image {parsed.id}", HARMLESS_IMAGE)

    def _commit(self, new: Sequence[_New], ingest: Ingest | None, action: str) -> tuple[ImageRecord, ...]:
        """Write the rows; what they say now."""
        with self._database.transaction() as connection:
            for one in new:
                id = one.image.id
                self._insert(connection, one.image, ingest, is_registry_s=bool(one.digests))
                for digest in one.digests:
                    imagerows.know(connection, digest, id)
                for tag in one.tags:
                    imagerows.tag(connection, tag, id)
                events.add(connection, "image", action, id, one.name, {})
            self._write_index(connection)
            # Not later: somebody may remove it at once.
            records = tuple([self._record(imagerows.find(connection, one.image.id)[0]) for one in new])
        events.tell(self._database)
        return records

    def _insert(
        self, connection: sqlite3.Connection, parsed: ImageRecord, ingest: Ingest | None, *, is_registry_s: bool
    ) -> None:
        row = imagerows.by_id(connection, parsed.id)
        manifest, source = parsed.manifest, ingest or self._blobs
        used = connection.execute("SELECT digest FROM uses WHERE image = ? AND kind = 'blob'", (parsed.id,))
        blobs = [row["digest"] for row in used]
        is_other = row is not None and row["manifest"] != manifest.digest
        # The same config, maybe in another manifest (layers compressed otherwise): one of them is enough, a whole one.
        if row is None or (is_other and (is_registry_s or not all(source.exists(digest) for digest in blobs))):
            blobs = [manifest.digest, parsed.id, *(layer.digest for layer in parsed.layers)]
            size = sum(self._layers.size(chain_id) for chain_id in parsed.chain_ids)
            connection.execute(
                "INSERT OR REPLACE INTO images (id, manifest, media_type, manifest_size, size, created)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (parsed.id, manifest.digest, manifest.media_type, manifest.size, size, time.time()),
            )
            uses = [(parsed.id, "blob", digest) for digest in dict.fromkeys(blobs)]
            uses += [(parsed.id, "layer", chain_id) for chain_id in dict.fromkeys(parsed.chain_ids)]
            connection.execute("DELETE FROM uses WHERE image = ?", (parsed.id,))
            connection.executemany("INSERT INTO uses (image, kind, digest) VALUES (?, ?, ?)", uses)
        for digest in blobs:
            if ingest is not None:
                ingest.publish(digest)
            else:
                self._blobs.size(digest)
        sync_directory(self._blobs.directory)

    def get(self, reference: str) -> ImageRecord:
        """The image of that reference, id, or unique beginning of an id.

        Raises:
            NotFound: none, or several ids begin like this.
            StorageError: its manifest or config is damaged.
        """
        return self._record(imagerows.find(self._database.connection(), reference)[0])

    def _record(self, row: sqlite3.Row, names: tuple[tuple[str, ...], tuple[str, ...]] | None = None) -> ImageRecord:
        """What a row is of; ``names`` where they are known."""
        key = (row["id"], row["manifest"])
        parsed = self._parsed.get(key)
        if parsed is None:
            manifest = Descriptor(row["media_type"], row["manifest"], row["manifest_size"])
            try:
                found = _parse(manifest, self._blobs.read(manifest.digest), self._blobs)
            except (NotFound, StorageError) as error:
                if imagerows.by_id(self._database.connection(), row["id"]) is None:
                    raise NotFound(f"image {row['id']}: removed meanwhile") from error
                raise StorageError(f"image {row['id']}: {error.message}") from error
            parsed = self._parsed[key] = replace(found, size=row["size"])
        tags, known = names or self.names(row["id"])
        if (parsed.tags, parsed.digests) != (tags, known):
            parsed = self._parsed[key] = replace(parsed, tags=tags, digests=known)
        return parsed

    def names(self, id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tags of an image, and what registries know it by; whatever state it is in."""
        return imagerows.names(self._database.connection(), id)

    def users(self, kind: str) -> dict[str, tuple[str, ...]]:
        """By digest or chain id: the ids of the images that use that ``"blob"`` or ``"layer"``."""
        return imagerows.users(self._database.connection(), kind)

    def unreadable(self) -> Iterator[tuple[str, str]]:
        """The ids of images whose manifest or config is damaged or missing, and what it is."""
        for row in self._rows():
            self._parsed.pop((row["id"], row["manifest"]), None)  # what was read once may have rotted since
            try:
                self._record(row)
            except NotFound:
                continue  # removed meanwhile
            except StorageError as error:
                yield row["id"], error.message.removeprefix(f"image {row['id']}: ")

    def _record_or_none(self, row: sqlite3.Row, names: tuple[tuple[str, ...], tuple[str, ...]]) -> ImageRecord | None:
        try:
            return self._record(row, names)
        except (NotFound, StorageError):
            return None

    def _rows(self) -> builtins.list[sqlite3.Row]:
        return self._database.connection().execute("SELECT * FROM images ORDER BY created DESC, id").fetchall()

    def list(
        self, reference: str | None = None, dangling: bool | None = None, labels: Mapping[str, str] | None = None
    ) -> builtins.list[ImageRecord]:
        """The images, the newest in the store first; without those whose manifest or config is damaged.

        Args:
            reference: only those with such a tag; a name without a tag means all its tags.
            dangling: only those without any tag (True), or with one (False); a digest is no tag.
            labels: only those with these labels; an empty value matches any.
        """
        rows = self._rows()
        names = imagerows.all_names(self._database.connection())
        records = (self._record_or_none(row, names.get(row["id"], ((), ()))) for row in rows)
        return [
            record
            for record in records
            if record is not None
            and (reference is None or _has_tag(record, reference))
            and (dangling is None or dangling is not bool(record.tags))
            and _has_labels(record, labels or {})
        ]

    def tag(self, id: str, reference: str) -> ImageRecord:
        """Give the image ``id`` (or that of a reference) another tag; an image that had it loses it. Idempotent.

        Raises:
            NotFound: no such image.
            InvalidArgument: not a reference, or one with a digest.
        """
        wanted = Reference.parse(reference)
        if wanted.digest:
            raise InvalidArgument(f"image {reference}: a tag cannot have a digest")
        row, _ = imagerows.find(self._database.connection(), id)
        try:
            with self._database.transaction() as connection:
                imagerows.tag(connection, wanted.full, row["id"])
                self._write_index(connection)
                events.add(connection, "image", "tag", row["id"], wanted.familiar, {})
            events.tell(self._database)
        except sqlite3.IntegrityError as error:
            raise NotFound(f"image {id}: not found locally") from error
        except OSError as error:
            raise from_os_error(error, f"image {reference}") from error
        return self._record(row)

    def know(self, id: str, reference: str, action: str) -> None:
        """Write down that a registry knows the image by ``name@sha256:…``, with an event. Idempotent."""
        full = Reference.parse(reference).full
        with self._database.transaction() as connection:
            if imagerows.by_id(connection, id) is None:
                return  # removed meanwhile
            imagerows.know(connection, full, id)
            events.add(connection, "image", action, id, imagerows.familiar(full), {})
        events.tell(self._database)

    def repositories_with(self, digest: str, reference: Reference) -> builtins.list[str]:
        """The paths of other repositories of the registry of ``reference`` that are known to have a blob, sorted."""
        rows = self._database.connection().execute(
            "SELECT DISTINCT d.reference FROM digests d JOIN uses u ON u.image = d.image"
            " WHERE u.kind = 'blob' AND u.digest = ?", (digest,)
        )  # fmt: skip
        known = {Reference.parse(row["reference"]) for row in rows}
        return sorted({one.path for one in known if one.domain == reference.domain and one.path != reference.path})

    def remove(self, reference: str, force: bool = False) -> None:
        """Take away a tag, and the image with its last one; by id, the image with all its tags.

        What no other image uses is freed: blobs and layers.

        Args:
            force: also when it has several tags (by id), or a container that does not run was made from it. Such a
                container cannot be started again.

        Raises:
            NotFound: no such image.
            InvalidState: a container uses it, or it has several tags.
        """
        try:
            with self._database.transaction() as connection:
                row, named = imagerows.find(connection, reference)
                tags, _ = imagerows.names(connection, row["id"])
                if named is not None and set(tags) - {imagerows.familiar(named)}:
                    imagerows.untag(connection, named, row["id"])
                else:
                    if len(tags) > 1 and not force:
                        raise InvalidState(
                            f"image {reference}: it has several tags: {', '.join(tags)} (remove those, or force=True)"
                        )
                    imagerows.refuse_in_use(connection, reference, row["id"], force)
                    imagerows.forget(connection, row["id"])
                self._write_index(connection)
            events.tell(self._database)
            self.collect()
        except OSError as error:
            raise from_os_error(error, f"image {reference}") from error

    def prune(self, *, all: bool = False) -> tuple[builtins.list[str], int]:
        """Remove images that no container was made from: those without a tag, or, with ``all``, any of them.

        Returns:
            What is gone, by its first tag or its id; and the bytes that are free now, garbage of others too.
        """
        pruned = []
        try:
            with self._database.transaction() as connection:
                for id in imagerows.unused(connection, all=all):
                    pruned.append(next(iter(imagerows.names(connection, id)[0]), id))
                    imagerows.forget(connection, id)
                if pruned:
                    self._write_index(connection)
            if pruned:
                events.tell(self._database)
            return pruned, self.collect()
        except OSError as error:
            raise from_os_error(error, "images: prune") from error

    def collect(self) -> int:
        """Free blobs and layers that no image uses. Idempotent; what is on its way in is not touched.

        A transaction of its own after the rows are gone: a crash between the two leaves garbage for the next call,
        where the other order would leave rows without blobs. The write lock is only taken when there is work.

        Returns:
            The bytes that are free now.
        """
        garbage = self._garbage(self._database.connection())
        if not garbage:
            return 0
        with Workspace(self._paths.tmp) as trash:
            freed = 0
            with self._database.transaction() as connection:
                # Looked at once more, for somebody may have come to use one; not all that there are.
                for kind, digest in garbage:
                    if imagerows.is_used(connection, kind, digest):
                        continue
                    if kind == "blob":
                        freed += self._blobs.delete(digest)
                    else:
                        self._layers.discard(digest, trash.path)
            # Without the directory of the trash itself.
            return freed + rights.call(disk_usage, trash.path) - os.stat(trash.path).st_blocks * 512

    def _garbage(self, connection: sqlite3.Connection) -> builtins.list[tuple[str, str]]:
        """Blobs and layers that nobody uses, by kind."""
        # The directories first: what gets its name after that has its row before the query.
        present = {("blob", digest) for digest in self._blobs.names()}
        present |= {("layer", chain_id) for chain_id in self._layers.names()}
        return sorted(present.difference(map(tuple, connection.execute("SELECT DISTINCT kind, digest FROM uses"))))

    def _write_index(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT i.media_type, i.manifest, i.manifest_size, t.reference"
            " FROM images i LEFT JOIN tags t ON t.image = i.id ORDER BY i.id, t.reference"
        )
        layout.write(self._paths, [tuple(row) for row in rows])


def _parse(manifest: Descriptor, data: bytes, source: Blobs | Ingest) -> ImageRecord:
    where = f"manifest {manifest.digest}"
    found: Manifest = oci.read_manifest(data, where)
    config = image_config.read(source.read(found.config.digest), found.config.digest, len(found.layers))
    chain_ids = digests.chain_ids(config.rootfs.diff_ids)
    return ImageRecord(
        found.config.digest, manifest, (), (), parse_time(config.created), 0, config, found.layers, chain_ids
    )


def _has_tag(record: ImageRecord, reference: str) -> bool:
    wanted = Reference.parse(reference)
    if ":" in reference.rpartition("/")[2] or "@" in reference:
        return wanted.familiar in record.tags
    return any(Reference.parse(tag).name == wanted.name for tag in record.tags)


def _has_labels(record: ImageRecord, wanted: Mapping[str, str]) -> bool:
    labels = record.config.config.labels or {}
    return all(key in labels and value in ("", labels[key]) for key, value in wanted.items())
