"""Options that are more than one value: what starts a container again, what tells its health, what bounds its log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from containerkit.errors import InvalidArgument
from containerkit.options import values
from containerkit.options.values import Duration


class RestartPolicy(NamedTuple):
    """``name``: no, on-failure, always or unless-stopped; ``retries``: how often at most after failures, 0 for ever."""

    name: str = "no"
    retries: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.retries}" if self.retries else self.name


_POLICIES = ("no", "on-failure", "always", "unless-stopped")
_RETRIES = re.compile(r"[0-9]{0,9}")


def restart_policy(value: Any, option: str) -> RestartPolicy:
    """Of ``"always"``, ``"on-failure:3"``, or docker's ``{"Name": "on-failure", "MaximumRetryCount": 3}``.

    Raises:
        InvalidArgument: no such policy.
    """
    if isinstance(value, Mapping):
        name, retries = str(value.get("Name", "")), str(value.get("MaximumRetryCount", 0))
    else:
        name, _, retries = str(value).partition(":")
    if name not in _POLICIES or not _RETRIES.fullmatch(retries) or (name != "on-failure" and retries.strip("0")):
        raise InvalidArgument(f"{option} {value!r}: expected no, on-failure, on-failure:N, always or unless-stopped")
    return RestartPolicy(name, int(retries or 0))


class Healthcheck(NamedTuple):
    """How a container is asked whether it is well; None: as the image says, else docker's default.

    Args:
        test: ``["CMD", "program", "argument"]``, ``["CMD-SHELL", "command line"]``, ``["NONE"]``, or a command line.
        interval: seconds from the end of one probe to the next (30).
        timeout: seconds after which a probe has failed (30).
        retries: failures in a row that make it unhealthy (3).
        start_period: seconds from the start in which failures do not count (0).
        start_interval: seconds between probes in that time (5).
    """

    test: Sequence[str] | str = ()
    interval: Duration | None = None
    timeout: Duration | None = None
    retries: int | None = None
    start_period: Duration | None = None
    start_interval: Duration | None = None


_TIMES = ("interval", "timeout", "start_period", "start_interval")


def healthcheck(value: Any, option: str) -> Healthcheck:
    """Of a mapping, a :class:`Healthcheck`, or a command line.

    Raises:
        InvalidArgument: an unknown member, or a value that cannot be right.
    """
    given = {"test": value} if isinstance(value, str) else value
    if isinstance(given, Healthcheck):
        given = given._asdict()
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"{option} {value!r}: expected a mapping or a Healthcheck")
    if unknown := sorted(set(given) - set(Healthcheck._fields)):
        raise InvalidArgument(f"{option}: {unknown[0]}: unknown; known are {', '.join(Healthcheck._fields)}")
    found: dict[str, Any] = {str(name): item for name, item in given.items() if item is not None}
    for name in _TIMES:
        if name in found:
            found[name] = values.duration(found[name], f"{option} {name}")
    retries = found.get("retries", 1)
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 1:
        raise InvalidArgument(f"{option} retries {retries!r}: expected a whole number from 1 up")
    return Healthcheck(**{**found, "test": _test(found.get("test", ()), option)})


def _test(value: Any, option: str) -> tuple[str, ...]:
    if isinstance(value, str):
        form, _, rest = value.partition(" ")
        if form == "NONE":
            return ("NONE",)
        if form == "CMD":
            return ("CMD", *(values.command(rest, f"{option} test") or ()))
        return ("CMD-SHELL", rest if form == "CMD-SHELL" else value)
    words = values.command(value, f"{option} test") or ()
    if words and words[0] not in ("CMD", "CMD-SHELL", "NONE"):
        words = ("CMD", *words)
    if words[:1] in (("CMD",), ("CMD-SHELL",)) and len(words) < 2:
        raise InvalidArgument(f"{option} test {value!r}: {words[0]}: no command")
    return words


class LogOptions(NamedTuple):
    """Bounds of a log on disk: at most ``max_file`` files of ``max_size`` bytes each (-1: one file, without bound)."""

    max_size: int = 10 << 20
    max_file: int = 3


def log_options(value: Any, option: str) -> LogOptions:
    """Of ``{"max_size": "10m", "max_file": 3}``; docker's spelling with hyphens and numbers as text, too.

    Raises:
        InvalidArgument: an unknown member, or a value that cannot be right.
    """
    if isinstance(value, LogOptions):
        value = value._asdict()
    if not isinstance(value, Mapping):
        raise InvalidArgument(f'{option} {value!r}: expected a mapping like {{"max_size": "10m", "max_file": 3}}')
    given = {str(name).replace("-", "_"): item for name, item in value.items()}
    if unknown := sorted(set(given) - set(LogOptions._fields)):
        raise InvalidArgument(f"{option}: {unknown[0]}: unknown; known are max_size and max_file")
    size = values.size(given.get("max_size", LogOptions().max_size), f"{option} max_size")
    files = str(given.get("max_file", LogOptions().max_file))
    if size != -1 and size < _LEAST:
        raise InvalidArgument(f"{option} max_size {size}: at least {_LEAST} bytes, or -1 for no bound")
    if not re.fullmatch(r"[0-9]{1,4}", files) or not 1 <= int(files) <= 1000:
        raise InvalidArgument(f"{option} max_file {files}: expected a whole number from 1 to 1000")
    return LogOptions(size, int(files))


#: One block of the log's format.
_LEAST = 64 << 10
