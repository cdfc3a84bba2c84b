"""What a step depends on, by name; and which of it has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

#: Of files, a report names so many.
_NAMED = 5

Inputs = Mapping[str, str]


def key(inputs: Inputs) -> str:
    """The digest of all of them."""
    digest = hashlib.sha256()
    for name in sorted(inputs):
        for part in (name, inputs[name]):
            data = part.encode("utf-8", "surrogateescape")
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.hexdigest()


def digest(text: str | bytes) -> str:
    """A word that stands for a long or a secret one."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text).hexdigest()


def changes(before: Inputs, now: Inputs) -> list[str]:
    """What is another one, in words, the instruction itself first: ``["file app.py changed", "arg V added"]``."""
    found = sorted(_changed(before, now), key=lambda change: (_weight(change), change))
    files = [change for change in found if change.startswith("file ")]
    if len(files) > _NAMED:
        rest = [change for change in found if not change.startswith("file ")]
        return [*rest, *files[:_NAMED], f"{len(files) - _NAMED} more files"]
    return found


def _changed(before: Inputs, now: Inputs) -> Iterator[str]:
    for name in before.keys() | now.keys():
        if name not in now:
            yield f"{name} removed"
        elif name not in before:
            yield f"{name} added"
        elif before[name] != now[name]:
            yield f"{name} changed"


def _weight(change: str) -> int:
    """The files below are another step's doing: they come last."""
    return 2 if change.startswith("the files below") else 0 if change.startswith("the instruction") else 1
