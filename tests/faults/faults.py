"""Which call a fault hits: a kill hits any, an error only what a file system could answer so."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from enum import Enum
from errno import EIO, ENOSPC
from pathlib import Path

from tests.faults.listening import DESCRIPTORS, PATHS, Call

_AT_FDCWD = -100
#: What takes room on a disk. Data that is written late is refused late: by fsync(2).
_GROWS = frozenset({
    "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "open", "openat", "creat",
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "fallocate", "fsync", "fdatasync", "sendfile",
    "copy_file_range",
})  # fmt: skip


class Kind(Enum):
    """What happens at a call."""

    KILL = "the caller is killed"
    KILL_ALL = "all its processes are killed"
    NO_SPACE = "no space left from here on"
    IO_ERROR = "input/output error"


@dataclass(frozen=True)
class Fault:
    """``kind`` at the ``number``-th call (from 1) that it can hit."""

    kind: Kind
    number: int

    def __str__(self) -> str:
        return f"{self.kind.name} at {self.number}"


def can_hit(kind: Kind, call: Call, place: Path) -> bool:
    """Whether ``kind`` can be the answer to this call. Errors are for files below ``place``, the test's directory."""
    if kind in (Kind.KILL, Kind.KILL_ALL):
        return True
    if kind is Kind.NO_SPACE and call.name not in _GROWS:
        return False
    try:
        found = subject(call)
    except OSError:
        return False  # its process has ended
    return found.startswith(f"{place}/")


def error_of(kind: Kind) -> int:
    """The number that the call fails with; 0 for none."""
    return {Kind.NO_SPACE: ENOSPC, Kind.IO_ERROR: EIO}.get(kind, 0)


def subject(call: Call) -> str:
    """The path that a call is about, as its process sees it; empty for what has none."""
    if call.name in DESCRIPTORS:
        link = f"/proc/{call.thread}/fd/{_number(call.arguments[DESCRIPTORS[call.name]])}"
        return os.readlink(link) if stat.S_ISREG(os.stat(link).st_mode) else ""
    if call.name not in PATHS:
        return ""
    place, directory = PATHS[call.name]
    name = _text(call.thread, call.arguments[place])
    if os.path.isabs(name):
        return os.path.normpath(name)
    base = _AT_FDCWD if directory is None else _number(call.arguments[directory])
    at = "cwd" if base == _AT_FDCWD else f"fd/{base}"
    return os.path.join(os.readlink(f"/proc/{call.thread}/{at}"), name)


def _number(argument: int) -> int:
    """An int, as the kernel takes it out of a register."""
    low = argument & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


def _text(thread: int, address: int) -> str:
    with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        found = b""
        # To the end of its page, and the next one only when the text goes on there.
        while b"\0" not in found and len(found) < 4096:
            found += memory.read(4096 - (address + len(found)) % 4096)
    return os.fsdecode(found.split(b"\0", 1)[0])


def spread(kind: Kind, total: int, count: int | None) -> list[Fault]:
    """Faults at ``count`` of the calls from 1 to ``total``, evenly; None for all of them."""
    if count is None or count >= total:
        return [Fault(kind, number) for number in range(1, total + 1)]
    return [Fault(kind, 1 + (2 * place + 1) * total // (2 * count)) for place in range(count)]
