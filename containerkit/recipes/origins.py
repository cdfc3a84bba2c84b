"""What ``with_copy`` and the like are given for files: paths as a Dockerfile has them, and where they are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from containerkit.builder.fetch import is_url
from containerkit.dockerfile import Copy, literal
from containerkit.dockerfile.mounts import Fields
from containerkit.errors import InvalidArgument
from containerkit.recipes.instructions import Fluent
from containerkit.recipes.recipe import Contents, Directory, Origin

Path = str | os.PathLike[str]


def several(source: Path | Sequence[Path]) -> list[Path]:
    """One path or more, as a list."""
    found = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    if not found:
        raise InvalidArgument("source: none is given")
    return found


def pattern(path: Path, text: str | None = None) -> str:
    """``text``, or the path, as COPY reads it: what was given as text can have wildcards, in a ``Path`` each character
    is itself."""
    said = os.fspath(path) if text is None else text
    return said if isinstance(path, str) else re.sub(r"([\\*?\[])", r"\\\1", said)


def here(paths: Sequence[Path]) -> tuple[list[str], Directory]:
    """Paths in a directory of this machine, and that directory: the current one where they are all in it.

    Others are said as from the directory that they are in; of a single one that is a directory, as its content.
    """
    current = os.getcwd()
    inside = [_inside(path, current) for path in paths]
    if None not in inside:
        return [one for one in inside if one is not None], Directory(current, is_context=True)
    found = [os.path.abspath(path) for path in paths]
    if len(found) == 1 and os.path.isdir(found[0]):
        return ["."], Directory(found[0], is_context=False)
    above = os.path.commonpath([os.path.dirname(path) for path in found])
    said = [pattern(path, os.path.relpath(at, above)) for path, at in zip(paths, found, strict=True)]
    return said, Directory(above, is_context=False)


def from_(source: Path | Sequence[Path], other: Fluent | str | None) -> tuple[list[str], str, Origin | None]:
    """Paths in another image, or as :func:`here`; what COPY says of it itself; and what it does not."""
    paths = several(source)
    if other is None:
        said, directory = here(paths)
        return said, "", directory
    said = [pattern(path) for path in paths]
    if isinstance(other, str):
        return said, other, None
    if not isinstance(other, Fluent):
        raise InvalidArgument(f"from_ {other!r}: expected an Image, or the reference of one")
    return said, "", other._as_origin()


def here_or_afar(paths: Sequence[Path]) -> tuple[list[str], Directory | None]:
    """As :func:`here`, of paths among which URLs may be; their directory is to be the build's context."""
    afar = [path for path in paths if isinstance(path, str) and is_url(path)]
    near = [path for path in paths if path not in afar]
    if not near:
        return afar, None
    said, directory = here(near)
    named = dict(zip(map(id, near), said, strict=True))
    return [named.get(id(path), str(path)) for path in paths], Directory(directory.path, is_context=True)


def _inside(path: Path, current: str) -> str | None:
    """A path from the current directory, as it was given if that is one; None when it is not in it."""
    text = os.fspath(path)
    if os.path.isabs(text):
        relative = os.path.relpath(text, current)
        return pattern(path, relative) if _is_below(relative) else None
    return pattern(path) if _is_below(os.path.normpath(text)) else None


def _is_below(relative: str) -> bool:
    return relative != ".." and not relative.startswith("../")


def of_contents(
    contents: Mapping[str, bytes | str], destination: str, flags: Mapping[str, Any]
) -> tuple[Copy, tuple[Origin, ...]]:
    """COPY of files that are given: written into the Dockerfile where they can be, in a context otherwise."""
    if not contents:
        raise InvalidArgument("source: no contents are given")
    files = {name: data.encode() if isinstance(data, str) else bytes(data) for name, data in contents.items()}
    place = destination if destination.endswith("/") else f"{destination}/"
    inline = literal.copy_contents(files, place, **flags)
    return (inline, ()) if inline else (literal.copy(["."], place, **flags), (Contents(files),))


def mount(said: str | Mapping[str, Any]) -> tuple[Fields, Origin | None]:
    """What ``with_run`` is given for a mount, and what its files are from, where it does not say that itself."""
    origin: Origin | None = None
    if isinstance(said, Mapping):
        given = said.get("from")
        if isinstance(given, Fluent):
            origin = given._as_origin()
            said = {name: value for name, value in said.items() if name != "from"}
        said = {name: "" if value is True else str(value) for name, value in said.items()}
    elif not isinstance(said, str):
        raise InvalidArgument(f'mount {said!r}: expected text like "type=cache,target=/c", or a mapping')
    fields = literal.mount_fields(said)
    values = dict(fields)
    if origin is None and values.get("type", "bind") == "bind" and not values.get("from"):
        origin = Directory(os.getcwd(), is_context=True)
    return fields, origin
