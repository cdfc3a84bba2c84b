"""Values as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def size(count: float) -> str:
    """Bytes as a person reads them: ``1.5 MiB`` (powers of 1024)."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def plain(said: str, most: int = 80) -> str:
    """A stranger's words for a message: on one line, at most so many characters, without what steers a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in said[: 2 * most]).split())[:most]


def cell(column: str, value: Any) -> str:
    """One value of a table."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if column in ("size", "added"):
        return size(value)
    return str(value)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], empty: str = "nothing") -> str:
    """Columns in line, with a head."""
    if not rows:
        return empty
    cells = [[name.replace("_", " ").upper() for name in columns]]
    cells += [[cell(name, row.get(name)) for name in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return "\n".join("  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in cells)
