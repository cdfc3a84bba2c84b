"""What steps of builds came to, by all that they depend on: the rows of the build cache.

A row keeps its layer, the blob and the unpacked directory, as an image keeps its own: by rows of ``uses``, whose user
is ``build:<key>``. A row whose layer is damaged or gone is as good as none.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from containerkit.oci.manifest import Descriptor
from containerkit.store.database import Database
from containerkit.values import frozen

if TYPE_CHECKING:
    from containerkit.store.ingest import Ingest

#: What begins the name of a step as a user.
BUILD = "build:"
_NOT_READ: Mapping[str, str] = {}


@frozen
class Step:
    """One step that was carried out.

    Args:
        key: the digest of its inputs.
        place: which instruction of which build it was: what is looked at when the key is another one the next time.
        slot: which step of that build, by its number: looked at when it is another instruction.
        instruction: as it was written.
        inputs: what it depended on, by name; each a word or a digest. Read by :meth:`BuildSteps.last` alone.
        layer: what it came to; None when no file is another one.
        diff_id, chain_id: of the layer; the chain it was made in, where it is unpacked.
        size: bytes of the layer's files.
        created, used: epoch seconds.
    """

    key: str
    place: str
    slot: str
    instruction: str
    inputs: Mapping[str, str]
    layer: Descriptor | None
    diff_id: str = ""
    chain_id: str = ""
    size: int = 0
    created: float = 0.0
    used: float = 0.0


class BuildSteps:
    """The table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, key: str) -> Step | None:
        """The step of that key."""
        row = self._database.connection().execute("SELECT * FROM build_steps WHERE key = ?", (key,)).fetchone()
        return None if row is None else _step(row)

    def last(self, place: str, slot: str) -> Step | None:
        """What was carried out at that place the last time; else in that slot."""
        for column, value in (("place", place), ("slot", slot)):
            query = f"SELECT * FROM build_steps WHERE {column} = ? ORDER BY used DESC LIMIT 1"
            row = self._database.connection().execute(query, (value,)).fetchone()
            if row is not None:
                return _step(row, json.loads(_unpacked(row["inputs"])))
        return None

    def list(self) -> list[Step]:
        """All, the one that was used last first."""
        rows = self._database.connection().execute("SELECT * FROM build_steps ORDER BY used DESC, key")
        return [_step(row) for row in rows]

    def write(self, made: Sequence[Step], found: Iterable[str], ingest: Ingest) -> None:
        """Keep the steps that a build has carried out, with their blobs, and note which it has found.

        Args:
            found: the keys of those.
            ingest: where the blobs wait.
        """
        now = time.time()
        with self._database.transaction() as connection:
            connection.executemany("UPDATE build_steps SET used = ? WHERE key = ?", [(now, key) for key in found])
            for step in made:
                _insert(connection, step, now)
                if step.layer is not None:
                    ingest.publish(step.layer.digest)

    def trim(self, max_size: int, max_age: float) -> int:
        """Forget what was used the longest time ago, until the rest is within the bounds; how many that were.

        Args:
            max_size: bytes of the layers' files.
            max_age: seconds since the last use.
        """
        rows = self._database.connection().execute("SELECT key, size, used FROM build_steps ORDER BY used DESC, key")
        oldest, total, beyond = time.time() - max_age, 0, []
        for row in rows:
            total += row["size"]
            if total > max_size or row["used"] < oldest:
                beyond.append(row["key"])
        if beyond:
            self.remove(beyond)
        return len(beyond)

    def report(self, image: str, report: bytes) -> None:
        """Keep how an image was built, as long as it is there."""
        packed = _packed(report)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO build_reports (image, report) SELECT id, ? FROM images WHERE id = ?",
                (packed, image),
            )

    def report_of(self, image: str) -> bytes | None:
        """How an image was built."""
        query = "SELECT report FROM build_reports WHERE image = ?"
        row = self._database.connection().execute(query, (image,)).fetchone()
        return None if row is None else _unpacked(row["report"])

    def remove(self, keys: Iterable[str]) -> None:
        """Forget steps; their layers are garbage unless others keep them."""
        wanted = [(key,) for key in keys]
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM build_steps WHERE key = ?", wanted)
            connection.executemany("DELETE FROM uses WHERE image = ?", [(BUILD + key,) for (key,) in wanted])


def _packed(data: bytes) -> bytes:
    # Not at the top: it is for builds alone.
    import zstandard

    return zstandard.ZstdCompressor(level=1).compress(data)


def _unpacked(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompress(data)


def _insert(connection: sqlite3.Connection, step: Step, now: float) -> None:
    inputs = _packed(json.dumps(dict(step.inputs)).encode())
    layer = step.layer
    described = (None, None, None) if layer is None else (layer.digest, layer.media_type, layer.size)
    connection.execute(
        "INSERT OR REPLACE INTO build_steps (key, place, slot, instruction, inputs, layer, media_type, layer_size,"
        " diff_id, chain_id, size, created, used) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (step.key, step.place, step.slot, step.instruction, inputs, *described, step.diff_id, step.chain_id, step.size,
         step.created, now),
    )  # fmt: skip
    user = BUILD + step.key
    connection.execute("DELETE FROM uses WHERE image = ?", (user,))
    if layer is not None:
        uses = ((user, "blob", layer.digest), (user, "layer", step.chain_id))
        connection.executemany("INSERT INTO uses (image, kind, digest) VALUES (?, ?, ?)", uses)


def _step(row: sqlite3.Row, inputs: Mapping[str, str] = _NOT_READ) -> Step:
    layer = None if row["layer"] is None else Descriptor(row["media_type"], row["layer"], row["layer_size"])
    return Step(
        row["key"], row["place"], row["slot"], row["instruction"], inputs, layer, row["diff_id"], row["chain_id"],
        row["size"], row["created"], row["used"],
    )  # fmt: skip
