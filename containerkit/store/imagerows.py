"""Rows of images, of their names, and of the blobs and layers that they use, within the transactions that change them.

References are written out in rows (``docker.io/library/busybox:1``); people see them in familiar form.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache

from containerkit.errors import InvalidArgument, InvalidState, NotFound, suggestion
from containerkit.oci import digest as digests
from containerkit.oci.reference import Reference
from containerkit.store import events

_BY_TAG = "SELECT i.* FROM tags t JOIN images i ON i.id = t.image WHERE t.reference = ?"
_BY_ID = "SELECT * FROM images WHERE id = ?"
_BY_PREFIX = "SELECT * FROM images WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"
_BY_DIGEST = "SELECT i.* FROM digests d JOIN images i ON i.id = d.image WHERE d.reference = ?"
_UNUSED = (
    "SELECT id FROM images i WHERE NOT EXISTS (SELECT 1 FROM containers WHERE image = i.id) AND NOT EXISTS"
    " (SELECT 1 FROM containers WHERE instr(spec, 'sha256:') AND instr(spec, i.id))"
)
#: Containers that were made from the image, or have it mounted: each by an index.
_USING = """
SELECT number, name, status FROM containers WHERE image = ?1
UNION SELECT number, name, status FROM containers WHERE instr(spec, 'sha256:') AND instr(spec, ?1)
"""


def by_id(connection: sqlite3.Connection, id: str) -> sqlite3.Row | None:
    """The row of that whole id."""
    row: sqlite3.Row | None = connection.execute(_BY_ID, (id,)).fetchone()
    return row


def find(connection: sqlite3.Connection, text: str) -> tuple[sqlite3.Row, str | None]:
    """The row for a reference, an id, or a beginning of an id; and the reference that led to it, None where the id did.

    Raises:
        NotFound: none, or several ids begin like this.
        InvalidArgument: neither a reference nor an id.
    """
    id = text if text.startswith("sha256:") else f"sha256:{text}"
    if digests.is_digest(id):
        row = by_id(connection, id)
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
    return _find_prefix(connection, text, wrong), None


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
    tags = (familiar(row["reference"]) for row in connection.execute("SELECT reference FROM tags"))
    raise NotFound(f"image {text}: not found locally{suggestion(text, tags)}")


def names(connection: sqlite3.Connection, id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tags of an image, and what registries know it by; familiar, and sorted."""
    tags, known = (
        tuple(sorted(familiar(row["reference"]) for row in connection.execute(query, (id,))))
        for query in ("SELECT reference FROM tags WHERE image = ?", "SELECT reference FROM digests WHERE image = ?")
    )
    return tags, known


def all_names(connection: sqlite3.Connection) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """By id, of every image that has one, its :func:`names`: two queries, however many images there are."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for kind, table in enumerate(("tags", "digests")):
        for image, reference in connection.execute(f"SELECT image, reference FROM {table}"):
            found.setdefault(image, ([], []))[kind].append(familiar(reference))
    return {id: (tuple(sorted(tags)), tuple(sorted(known))) for id, (tags, known) in found.items()}


@lru_cache(1 << 14)
def familiar(reference: str) -> str:
    """As people see it."""
    return Reference.parse(reference).familiar


def tag(connection: sqlite3.Connection, reference: str, id: str) -> None:
    """Name an image; another one that was called so is not any more.

    Raises:
        NotFound: the image is gone.
    """
    # Not left to a foreign key: those are off unless each connection turns them on.
    if by_id(connection, id) is None:
        raise NotFound(f"image {id}: not found locally")
    connection.execute("INSERT OR REPLACE INTO tags (reference, image) VALUES (?, ?)", (reference, id))


def know(connection: sqlite3.Connection, reference: str, id: str) -> None:
    """A registry knows an image by ``name@sha256:…``."""
    connection.execute("INSERT OR REPLACE INTO digests (reference, image) VALUES (?, ?)", (reference, id))


def untag(connection: sqlite3.Connection, reference: str, id: str) -> None:
    """Take a name away from an image, of either kind."""
    for table in ("tags", "digests"):
        connection.execute(f"DELETE FROM {table} WHERE reference = ?", (reference,))
    events.add(connection, "image", "untag", id, familiar(reference), {})


def forget(connection: sqlite3.Connection, id: str) -> None:
    """Take away all rows of an image."""
    events.add(connection, "image", "delete", id, id, {})
    for table in ("tags", "digests", "uses", "build_reports"):
        connection.execute(f"DELETE FROM {table} WHERE image = ?", (id,))
    connection.execute("DELETE FROM images WHERE id = ?", (id,))


def is_used(connection: sqlite3.Connection, kind: str, digest: str) -> bool:
    """Whether an image, or a step of a build, uses that ``"blob"`` or ``"layer"``."""
    found = connection.execute("SELECT 1 FROM uses WHERE kind = ? AND digest = ? LIMIT 1", (kind, digest))
    return found.fetchone() is not None


def users(connection: sqlite3.Connection, kind: str) -> dict[str, tuple[str, ...]]:
    """By digest or chain id: the ids of the images that use that ``"blob"`` or ``"layer"``."""
    found: dict[str, tuple[str, ...]] = {}
    for row in connection.execute("SELECT digest, image FROM uses WHERE kind = ? ORDER BY 1, 2", (kind,)):
        found[row["digest"]] = (*found.get(row["digest"], ()), row["image"])
    return found


def unused(connection: sqlite3.Connection, *, all: bool) -> list[str]:
    """The ids of images that no container was made from, or has mounted; without ``all``, of those without a tag."""
    query = _UNUSED if all else f"{_UNUSED} AND id NOT IN (SELECT image FROM tags)"
    return [row["id"] for row in connection.execute(query)]


def refuse_in_use(connection: sqlite3.Connection, reference: str, id: str, force: bool) -> None:
    """See that no container needs an image; with ``force``, that none which runs does.

    Raises:
        InvalidState: one does.
    """
    rows = connection.execute(f"{_USING} ORDER BY number", (id,)).fetchall()
    alive = [row["name"] for row in rows if row["status"] not in ("created", "exited", "dead")]
    if alive:
        raise InvalidState(f"image {reference}: container {alive[0]} is running from it (remove that container first)")
    if rows and not force:
        raise InvalidState(f"image {reference}: container {rows[0]['name']} uses it (remove that, or force=True)")
