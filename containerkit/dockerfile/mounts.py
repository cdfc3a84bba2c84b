"""``RUN --mount``: what is mounted while one command runs.

::

    mount = field { "," field }          a field with a comma is quoted as in CSV
    field = name "=" value | name        ro, rw, readonly, readwrite and required need no value
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from containerkit.dockerfile.problems import shown
from containerkit.errors import InvalidArgument, suggestion
from containerkit.options.values import size
from containerkit.values import frozen

Fields = tuple[tuple[str, str], ...]

#: What people write → what it is.
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "readonly": "ro", "readwrite": "rw"}
_SWITCHES = ("ro", "rw", "required")
_OWNED = ("uid", "gid", "mode")
_ALLOWED = {
    "bind": ("target", "source", "from", "ro", "rw"),
    "cache": ("target", "source", "from", "ro", "rw", "id", "sharing", *_OWNED),
    "tmpfs": ("target", "size"),
    "secret": ("target", "source", "id", "required", "env", *_OWNED),
    "ssh": ("target", "id", "required", *_OWNED),
}
_SHARING = ("shared", "private", "locked")
_TRUTH = {"true": True, "1": True, "": True, "false": False, "0": False}


@frozen
class RunMount:
    """One mount of one command.

    Args:
        type: bind, cache, tmpfs, secret or ssh.
        target: where; relative to the working directory. Empty: a secret's is ``/run/secrets/ID``, an ssh agent's
            ``/run/buildkit/ssh_agent.N``, and a secret with ``env`` alone is no file.
        source: what of ``from_``.
        from_: a stage, an image or a context; empty for the build's own context (bind) or nothing (cache).
        read_only: True for a bind that does not say ``rw``.
        sharing: of a cache: shared, private or locked.
        id: of a cache its name (default: the target), of a secret or an ssh agent that under which it was given.
        uid, gid, mode: of the directory or file; None as the type's default.
        size: bytes of a tmpfs; None without a limit.
        required: an absent secret or agent is an error.
        env: a secret also or only is this variable.
    """

    type: str = "bind"
    target: str = ""
    source: str = ""
    from_: str = ""
    read_only: bool = False
    sharing: str = "shared"
    id: str = ""
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    size: int | None = None
    required: bool = False
    env: str = ""


def fields(text: str) -> Fields:
    """Names and values, names as the specification writes them.

    Raises:
        InvalidArgument: a name there is not, or not for this type.
    """
    rows = list(csv.reader(io.StringIO(text), strict=False))
    found = []
    for field in rows[0] if rows else ():
        name, equals, value = field.partition("=")
        name = _ALIASES.get(name.lower(), name.lower())
        if not equals and name not in _SWITCHES:
            raise InvalidArgument(f"RUN: --mount: {shown(field)} needs a value ({name or 'name'}=…)")
        found.append((name, value))
    kind = dict(found).get("type", "bind")
    if "$" not in kind and kind not in _ALLOWED:
        raise InvalidArgument(f"RUN: --mount: there is no type {shown(kind)}{suggestion(kind, _ALLOWED)}")
    for name, _ in found:
        allowed = _ALLOWED.get(kind, ())
        if name != "type" and allowed and name not in allowed:
            raise InvalidArgument(f"RUN: --mount: type {kind} has no {shown(name)}{suggestion(name, allowed)}")
    if "$" in dict(found).get("from", ""):
        raise InvalidArgument("RUN: --mount: from cannot have variables (name a stage, and use them in its FROM)")
    return tuple(found)


def parse(found: Fields) -> RunMount:
    """The mount that fields without variables say.

    Raises:
        InvalidArgument: a value that cannot be right, or a target that is missing.
    """
    said = dict(found)
    kind = said.get("type", "bind")
    if kind not in _ALLOWED:
        raise InvalidArgument(f"RUN: --mount: there is no type {shown(kind)}{suggestion(kind, _ALLOWED)}")
    target = said.get("target", "")
    if kind in ("bind", "cache", "tmpfs") and not target:
        raise InvalidArgument(f"RUN: --mount: type {kind} needs a target")
    sharing = said.get("sharing", "shared").lower()
    if sharing not in _SHARING:
        raise InvalidArgument(f"RUN: --mount: sharing {shown(sharing)} is none of {', '.join(_SHARING)}")
    return RunMount(
        kind, target, said.get("source", ""), said.get("from", ""), _is_read_only(said, kind), sharing, _id(said, kind),
        _number(said, "uid"), _number(said, "gid"), _number(said, "mode", 8),
        size(said["size"], "RUN: --mount: size") if "size" in said else None,
        _truth(said, "required"), said.get("env", ""),
    )  # fmt: skip


def _is_read_only(said: dict[str, str], kind: str) -> bool:
    if "rw" in said:
        return not _truth(said, "rw")
    return _truth(said, "ro") if "ro" in said else kind == "bind"


def _id(said: dict[str, str], kind: str) -> str:
    if kind == "cache":
        return said.get("id") or said.get("target", "")
    if kind == "secret":
        found = said.get("id") or (said.get("source") or said.get("target", "")).rpartition("/")[2]
        if not found:
            raise InvalidArgument("RUN: --mount: type secret needs an id")
        return found
    return said.get("id") or ("default" if kind == "ssh" else "")


def _number(said: dict[str, str], name: str, base: int = 10) -> int | None:
    if name not in said:
        return None
    try:
        return int(said[name], base)
    except ValueError:
        digits = "an octal number" if base == 8 else "a number"
        raise InvalidArgument(f"RUN: --mount: {name} {shown(said[name])} is not {digits}") from None


def _truth(said: dict[str, str], name: str) -> bool:
    if name not in said:
        return False
    if said[name].lower() not in _TRUTH:
        raise InvalidArgument(f"RUN: --mount: {name} {shown(said[name])} is neither true nor false")
    return _TRUTH[said[name].lower()]


def write(found: Fields) -> str:
    """As ``fields`` reads it again."""
    texts: Sequence[str] = [name if name in _SWITCHES and not value else f"{name}={value}" for name, value in found]
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow(texts)
    return row.getvalue()
