"""The grammar of single values: sizes, durations, commands, signals, names, variables.

A function takes what a person writes and the option's name, and gives what the machine needs.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from containerkit.errors import InvalidArgument

Command = str | Sequence[str] | None
Size = int | str
Duration = float | str

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,19})?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,19})?)(ns|us|µs|ms|s|m|h)")
#: What the kernel counts in: 63 bits of bytes; seconds of a hundred years.
_LARGEST, _LONGEST = 2**63 - 1, 100 * 366 * 86400
_SIGNAL = re.compile(r"(?:SIG)?(RTMIN|RTMAX|[A-Z][A-Z0-9]*)([+-][0-9]{1,3})?|([0-9]{1,3})")
#: Words that are an operator to a shell.
_OF_SHELLS = frozenset({"|", "||", "&&", "&", ";", ">", ">>", "<", "2>&1"})
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def size(value: Size, option: str = "size") -> int:
    """Bytes of ``64``, ``"64m"``, ``"1.5g"``, ``"512KiB"`` (powers of 1024, as docker).

    Raises:
        InvalidArgument: not a size.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif (text := str(value).strip()) == "-1":
        return -1
    elif match := _SIZE.fullmatch(text):
        found = int(float(match[1]) * _UNITS[match[2].lower()])
    else:
        raise InvalidArgument(f'{option} {value!r}: not a size; write bytes, or a number with b, k, m or g as in "64m"')
    if abs(found) > _LARGEST:
        raise InvalidArgument(f"{option}: more bytes than there can be ({_LARGEST})")
    return found


def duration(value: Duration, option: str = "duration") -> float:
    """Seconds of ``2.5``, ``"1m30s"``, ``"300ms"``.

    Raises:
        InvalidArgument: not a duration, or negative.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= _LONGEST else -1.0
    else:
        text = str(value).strip()
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text or not parts:
            raise InvalidArgument(
                f'{option} {value!r}: not a duration; write seconds, or a text like "1m30s" or "300ms"'
            )
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 <= seconds <= _LONGEST:
        raise InvalidArgument(f"{option} {value!r}: cannot be negative, nor longer than a hundred years")
    return seconds


def command(value: Command, option: str = "command") -> tuple[str, ...] | None:
    """The arguments of a list, or of a string split as a shell splits words. No shell runs.

    Warns of a string with words that mean something to a shell alone.

    Raises:
        InvalidArgument: unbalanced quotes, or something that is not text.
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            arguments = tuple(shlex.split(value))
        except ValueError as error:
            raise InvalidArgument(f"{option} {value!r}: {str(error).lower()}") from error
        if meant := _OF_SHELLS.intersection(arguments):
            warnings.warn(
                f'{option} {value!r}: no shell runs: {min(meant)} is an argument; write ["sh", "-c", {value!r}]',
                stacklevel=_callers_level(),
            )
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        arguments = tuple(value)
    else:
        raise InvalidArgument(f"{option} {value!r}: expected a list of arguments, or a string")
    for argument in arguments:
        if not isinstance(argument, str):
            raise InvalidArgument(f"{option}: argument {argument!r} is not a string: write {str(argument)!r}")
        if not is_transmissible(argument):
            raise InvalidArgument(f"{option}: argument {argument!r}: holds a NUL or what is not Unicode text")
    return arguments


def _callers_level() -> int:
    """The ``stacklevel`` of the line that called this package."""
    here, frame, level = os.path.dirname(os.path.dirname(__file__)) + os.sep, sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame, level = frame.f_back, level + 1
    return level


def is_transmissible(text: str) -> bool:
    """Whether execve(2) and JSON can carry it: no NUL, no lone surrogates."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def signal_number(value: str | int, option: str = "signal") -> int:
    """The number of ``"TERM"``, ``"SIGTERM"``, ``15``, ``"RTMIN+3"``.

    Raises:
        InvalidArgument: there is no such signal.
    """
    found = _SIGNAL.fullmatch(str(value).upper())
    if found is None:
        number = 0
    elif found[3]:
        number = int(found[3])
    elif found[1] in ("RTMIN", "RTMAX"):
        number = signal.Signals[f"SIG{found[1]}"] + int(found[2] or 0)
    else:
        number = 0 if found[2] else getattr(signal, f"SIG{found[1]}", 0)
    if number not in signal.valid_signals():
        raise InvalidArgument(f"{option} {value}: unknown; see signal(7)")
    return int(number)


def container_name(value: str) -> str:
    """A name as docker allows it.

    Raises:
        InvalidArgument: anything else.
    """
    if not _NAME.fullmatch(value):
        raise InvalidArgument(
            f"name {value!r}: use letters, digits, _ . - and at least two, beginning with a letter or digit"
        )
    return value


def ip_address(text: str) -> str:
    """An IPv4 or IPv6 address as the kernel writes it, ``""`` when the text is none."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return ""


def environment(value: Mapping[str, str] | Sequence[str], option: str = "env") -> tuple[str, ...]:
    """``("A=1", …)`` from a mapping or from such strings."""
    if isinstance(value, str):
        raise InvalidArgument(f'{option} {value!r}: expected a mapping like {{"A": "1"}}, or a list like ["A=1"]')
    if isinstance(value, Mapping) and (unset := [name for name, one in value.items() if one is None]):
        raise InvalidArgument(f'{option} {unset[0]}: None is no value; leave it out, or write "" for an empty one')
    pairs = [f"{k}={v}" for k, v in value.items()] if isinstance(value, Mapping) else list(texts(value, option))
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if not name or not equals or not is_transmissible(pair):
            raise InvalidArgument(f"{option} {pair!r}: write NAME=value")
    return tuple(pairs)


def texts(value: Any, option: str) -> tuple[str, ...]:
    """A list of strings; one string alone is most likely a mistake."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        meant = f", [{value!r}]" if isinstance(value, str) else ""
        raise InvalidArgument(f"{option} {value!r}: expected a list{meant}")
    return tuple(str(item) for item in value)
