"""Images: which there are, what they are called, and what each uses.

An image's content never changes, so what its blobs say is parsed once per process; only names are asked for each time.
"""

from __future__ import annotations

import builtins
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from containerkit.errors import (
    InvalidArgument,
    InvalidState,
    NotFound,
    StorageError,
    from_os_error,
)
from containerkit.oci import codec
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ImageConfig, parse_time
from containerkit.oci.manifest import Descriptor, Manifest
from containerkit.oci.reference import Reference
from containerkit.store import events, layout
from containerkit.store.blobs import Blobs
from containerkit.store.database import Database
from containerkit.store.ingest import Ingest
from containerkit.store.layers import Layers
from containerkit.store.paths import Paths
from containerkit.store.workspace import Workspace


@dataclass(frozen=True)
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


_BY_TAG = "SELECT i.* FROM tags t JOIN images i ON i.id = t.image WHERE t.reference = ?"
_BY_ID = "SELECT * FROM images WHERE id = ?"
_BY_PREFIX = "SELECT * FROM images WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"
_BY_DIGEST = "SELECT i.* FROM digests d JOIN images i ON i.id = d.image WHERE d.reference = ?"
_TAGS = "SELECT reference FROM tags WHERE image = ?"
_DIGESTS = "SELECT reference FROM digests WHERE image = ?"


class Images:
    """The images of one store. Every change is one transaction, and ``index.json`` follows it."""

    def __init__(self, database: Database, blobs: Blobs, layers: Layers, paths: Paths) -> None:
        self._database = database
        self._blobs = blobs
        self._layers = layers
        self._paths = paths
        self._parsed: dict[tuple[str, str], ImageRecord] = {}  # by id and manifest; without tags

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
        tag = None if reference is None else Reference.parse(reference).full
        known = tuple([Reference.parse(digest).full for digest in digests])
        source = ingest or self._blobs
        parsed = _parse(manifest, source.read(manifest.digest), source)
        try:
            while not self._commit(parsed, tag, ingest, known, action):
                # Unpacked again when a removal by another process took one for garbage: it had no row yet.
                self._layers.ensure(parsed.chain_ids, parsed.layers, source)
        except OSError as error:
            raise from_os_error(error, f"image {reference or parsed.id}") from error
        return self.get(parsed.id)

    def _commit(
        self, parsed: ImageRecord, tag: str | None, ingest: Ingest | None, known: tuple[str, ...], action: str
    ) -> bool:
        """Write the rows; False when a layer is not unpacked."""
        with self._database.transaction() as connection:
            if not all(self._layers.path(chain_id).exists() for chain_id in parsed.chain_ids):
                return False
            self._insert(connection, parsed, ingest, is_registry_s=bool(known))
            for digest in known:
                connection.execute(
                    "INSERT OR REPLACE INTO digests (reference, image) VALUES (?, ?)", (digest, parsed.id)
                )
            if tag is not None:
                self._tag(connection, tag, parsed.id)
            self._write_index(connection)
            names = tag or next(iter(known), "")
            events.add(connection, "image", action, parsed.id, _familiar(names) or parsed.id, {})
        events.tell(self._database)
        return True

    def _insert(
        self, connection: sqlite3.Connection, parsed: ImageRecord, ingest: Ingest | None, *, is_registry_s: bool
    ) -> None:
        row = connection.execute(_BY_ID, (parsed.id,)).fetchone()
        manifest = parsed.manifest
        if row is not None and not (is_registry_s and row["manifest"] != manifest.digest):
            # The same config, maybe in another manifest (layers compressed otherwise): one of them is enough.
            used = connection.execute("SELECT digest FROM uses WHERE image = ? AND kind = 'blob'", (parsed.id,))
            blobs = [row["digest"] for row in used]
        else:
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
            elif not self._blobs.exists(digest):
                raise NotFound(f"blob {digest}: not in the store")
        _sync_directory(self._blobs.directory)

    def get(self, reference: str) -> ImageRecord:
        """The image of that reference, id, or unique beginning of an id.

        Raises:
            NotFound: none, or several ids begin like this.
            StorageError: its manifest or config is damaged.
        """
        return self._record(self._find(reference)[0])

    def _find(self, text: str) -> tuple[sqlite3.Row, str | None]:
        """The row, and the full reference that led to it; None where the id did."""
        connection = self._database.connection()
        by_id = text if text.startswith("sha256:") else f"sha256:{text}"
        if digests.is_digest(by_id):
            row = connection.execute(_BY_ID, (by_id,)).fetchone()
            if row is None:
                raise NotFound(f"image {text}: not found locally")
            return row, None
        wrong: InvalidArgument | None = None
        try:
            wanted = Reference.parse(text)
            if wanted.digest:
                # The tag beside a digest is a remark: the digest says which.
                full = f"{wanted.name}@{wanted.digest}"
                row = connection.execute(_BY_DIGEST, (full,)).fetchone()
            else:
                full = wanted.full
                row = connection.execute(_BY_TAG, (full,)).fetchone()
            if row is not None:
                return row, full
        except InvalidArgument as error:
            wrong = error
        return self._find_prefix(connection, text, wrong), None

    @staticmethod
    def _find_prefix(connection: sqlite3.Connection, text: str, wrong: InvalidArgument | None) -> sqlite3.Row:
        prefix = text.removeprefix("sha256:")
        rows: list[sqlite3.Row] = []
        if prefix and set(prefix) <= set("0123456789abcdef"):
            rows = connection.execute(_BY_PREFIX, (f"sha256:{prefix}",)).fetchall()
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise NotFound(f"image {text}: several ids begin like this")
        if wrong is not None and not text.startswith("sha256:"):
            raise wrong
        raise NotFound(f"image {text}: not found locally")

    def _record(self, row: sqlite3.Row) -> ImageRecord:
        key = (row["id"], row["manifest"])
        parsed = self._parsed.get(key)
        if parsed is None:
            manifest = Descriptor(row["media_type"], row["manifest"], row["manifest_size"])
            try:
                found = _parse(manifest, self._blobs.read(manifest.digest), self._blobs)
            except (NotFound, StorageError) as error:
                raise StorageError(f"image {row['id']}: {error.message}") from error
            parsed = self._parsed[key] = replace(found, size=row["size"])
        return replace(parsed, tags=self._names(_TAGS, row["id"]), digests=self._names(_DIGESTS, row["id"]))

    def _names(self, query: str, id: str) -> tuple[str, ...]:
        rows = self._database.connection().execute(query, (id,))
        return tuple(sorted(Reference.parse(row["reference"]).familiar for row in rows))

    def list(
        self, reference: str | None = None, dangling: bool | None = None, labels: Mapping[str, str] | None = None
    ) -> list[ImageRecord]:
        """The images, the newest in the store first.

        Args:
            reference: only those with such a tag; a name without a tag means all its tags.
            dangling: only those without any tag (True), or with one (False); a digest is no tag.
            labels: only those with these labels; an empty value matches any.
        """
        rows = self._database.connection().execute("SELECT * FROM images ORDER BY created DESC, id").fetchall()
        records = [self._record(row) for row in rows]
        return [
            record
            for record in records
            if (reference is None or _has_tag(record, reference))
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
        row, _ = self._find(id)
        try:
            with self._database.transaction() as connection:
                self._tag(connection, wanted.full, row["id"])
                self._write_index(connection)
                events.add(connection, "image", "tag", row["id"], wanted.familiar, {})
            events.tell(self._database)
        except sqlite3.IntegrityError as error:
            raise NotFound(f"image {id}: not found locally") from error
        return self._record(row)

    def know(self, id: str, reference: str, action: str) -> None:
        """Write down that a registry knows the image by ``name@sha256:…``, with an event. Idempotent."""
        full = Reference.parse(reference).full
        with self._database.transaction() as connection:
            if connection.execute(_BY_ID, (id,)).fetchone() is None:
                return  # removed meanwhile
            connection.execute("INSERT OR REPLACE INTO digests (reference, image) VALUES (?, ?)", (full, id))
            events.add(connection, "image", action, id, _familiar(full), {})
        events.tell(self._database)

    def repositories_with(self, digest: str, reference: Reference) -> builtins.list[str]:
        """The paths of other repositories of the registry of ``reference`` that are known to have a blob, sorted."""
        rows = self._database.connection().execute(
            "SELECT DISTINCT d.reference FROM digests d JOIN uses u ON u.image = d.image"
            " WHERE u.kind = 'blob' AND u.digest = ?", (digest,)
        )  # fmt: skip
        known = {Reference.parse(row["reference"]) for row in rows}
        return sorted({one.path for one in known if one.domain == reference.domain and one.path != reference.path})

    @staticmethod
    def _tag(connection: sqlite3.Connection, reference: str, id: str) -> None:
        # Not left to a foreign key: those are off unless each connection turns them on.
        if connection.execute(_BY_ID, (id,)).fetchone() is None:
            raise NotFound(f"image {id}: not found locally")
        connection.execute("INSERT OR REPLACE INTO tags (reference, image) VALUES (?, ?)", (reference, id))

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
                row, named = self._find(reference)
                tags = [found["reference"] for found in connection.execute(_TAGS, (row["id"],))]
                if named is not None and set(tags) - {named}:
                    for table in ("tags", "digests"):
                        connection.execute(f"DELETE FROM {table} WHERE reference = ?", (named,))
                    events.add(connection, "image", "untag", row["id"], _familiar(named), {})
                else:
                    if len(tags) > 1 and not force:
                        names = ", ".join(sorted(Reference.parse(tag).familiar for tag in tags))
                        raise InvalidState(
                            f"image {reference}: it has several tags: {names} (remove those, or force=True)"
                        )
                    _refuse_in_use(connection, reference, row["id"], force)
                    _forget(connection, row["id"])
                self._write_index(connection)
            events.tell(self._database)
            self.collect()
        except OSError as error:
            raise from_os_error(error, f"image {reference}") from error

    def prune(self, *, all: bool = False) -> builtins.list[ImageRecord]:
        """Remove images that no container was made from: those without a tag, or, with ``all``, any of them.

        Returns:
            What is gone.
        """
        pruned = []
        for record in self.list(dangling=None if all else True):
            with self._database.transaction() as connection:
                (row,) = connection.execute(
                    "SELECT (SELECT count(*) FROM containers WHERE image = ?1) AS users,"
                    " (SELECT count(*) FROM tags WHERE image = ?1) AS tags", (record.id,)
                )  # fmt: skip
                if row["users"] or (row["tags"] and not all):
                    continue
                _forget(connection, record.id)
                pruned.append(record)
        if pruned:
            with self._database.transaction() as connection:
                self._write_index(connection)
        self.collect()
        return pruned

    def collect(self) -> None:
        """Free blobs and layers that no image uses. Idempotent; what is on its way in is not touched.

        A transaction of its own after the rows are gone: a crash between the two leaves garbage for the next call,
        where the other order would leave rows without blobs. The write lock is only taken when there is work.
        """
        connection = self._database.connection()
        if not any(self._garbage(connection)):
            return
        with Workspace(self._paths.tmp) as trash, self._database.transaction() as connection:
            blobs, layers = self._garbage(connection)
            for digest in blobs:
                self._blobs.delete(digest)
            for chain_id in layers:
                self._layers.discard(chain_id, trash.path)

    def _garbage(self, connection: sqlite3.Connection) -> tuple[set[str], set[str]]:
        # The directories first: what gets its name after that has its row before the query of a transaction.
        present = {"blob": set(self._blobs.names()), "layer": set(self._layers.names())}
        for row in connection.execute("SELECT DISTINCT kind, digest FROM uses"):
            present[row["kind"]].discard(row["digest"])
        return present["blob"], present["layer"]

    def _write_index(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT i.*, t.reference FROM images i LEFT JOIN tags t ON t.image = i.id ORDER BY 1, 7"
        )
        entries = [
            (Descriptor(row["media_type"], row["manifest"], row["manifest_size"]), row["reference"]) for row in rows
        ]
        layout.write(self._paths, entries)


def _parse(manifest: Descriptor, data: bytes, source: Blobs | Ingest) -> ImageRecord:
    where = f"manifest {manifest.digest}"
    found: Manifest = oci.read_manifest(data, where)
    config = codec.loads(ImageConfig, source.read(found.config.digest), f"config {found.config.digest}")
    if len(config.rootfs.diff_ids) != len(found.layers):
        raise InvalidArgument(f"{where}: {len(found.layers)} layers, and {len(config.rootfs.diff_ids)} in its config")
    chain_ids = digests.chain_ids(config.rootfs.diff_ids)
    for digest in (found.config.digest, *config.rootfs.diff_ids, *(layer.digest for layer in found.layers)):
        digests.hex_of(digest)
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


def _familiar(reference: str) -> str:
    return Reference.parse(reference).familiar if reference else ""


def _forget(connection: sqlite3.Connection, id: str) -> None:
    events.add(connection, "image", "delete", id, id, {})
    for table, column in (("tags", "image"), ("digests", "image"), ("uses", "image"), ("images", "id")):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (id,))


def _refuse_in_use(connection: sqlite3.Connection, reference: str, id: str, force: bool) -> None:
    users = connection.execute("SELECT name, status FROM containers WHERE image = ? ORDER BY number", (id,)).fetchall()
    alive = [row["name"] for row in users if row["status"] not in ("created", "exited", "dead")]
    if alive:
        raise InvalidState(f"image {reference}: container {alive[0]} is running from it (remove that container first)")
    if users and not force:
        raise InvalidState(f"image {reference}: container {users[0]['name']} uses it (remove that, or force=True)")


def _sync_directory(path: os.PathLike[str]) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
