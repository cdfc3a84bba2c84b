"""What a controller's file has to offer.

A controller is a module: ``memory.py`` is the memory controller. Its functions are pure, so that a test compares
writes without root.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from containerkit.oci.runtime_spec import Resources

#: File name → its content, as statistics are parsed from.
Texts = Mapping[str, bytes]
#: Fields of ``CgroupStats``.
Figures = dict[str, Any]


class Write(NamedTuple):
    """One value for one file.

    Args:
        file: name in the cgroup's directory.
        value: what is written.
        otherwise: what is written instead when the kernel has no such file.
        optional: the limits hold without it when the kernel has no such file.
    """

    file: str
    value: str
    otherwise: Write | None = None
    optional: bool = False


class Controller(Protocol):
    """A module of this package."""

    #: Its names in v1 and v2; empty where that version has no such controller.
    V1: str
    V2: str
    #: What its statistics are read from.
    FILES_V1: tuple[str, ...]
    FILES_V2: tuple[str, ...]

    def limits(self, resources: Resources) -> str:
        """What of ``resources`` is this controller's, in the words of an error message; empty for nothing."""

    def writes_v1(self, resources: Resources) -> list[Write]:
        """The writes that apply ``resources`` on v1."""

    def writes_v2(self, resources: Resources) -> list[Write]:
        """The writes that apply ``resources`` on v2."""

    def stats_v1(self, texts: Texts) -> Figures:
        """Fields of ``CgroupStats`` from the texts of ``FILES_V1`` (those that could be read)."""

    def stats_v2(self, texts: Texts) -> Figures:
        """Fields of ``CgroupStats`` from the texts of ``FILES_V2`` (those that could be read)."""


def no_limits(resources: Resources) -> str:
    """``limits`` of a controller that limits nothing."""
    return ""


def no_writes(resources: Resources) -> list[Write]:
    """``writes_v1`` or ``writes_v2`` of one that has none there."""
    return []


def no_stats(texts: Texts) -> Figures:
    """``stats_v1`` or ``stats_v2`` of one that counts nothing there."""
    return {}


def number(text: bytes | None) -> int:
    """A file that is one number; 0 when it is not there."""
    return int(text) if text else 0


def limit(text: bytes | None) -> int | None:
    """A file that is one number or ``max``; None for no limit."""
    if not text or text.startswith(b"max"):
        return None
    value = int(text)
    # v1 says "unlimited" with the largest multiple of the page size that fits.
    return value if value < 1 << 62 else None


def pairs(text: bytes | None) -> dict[str, int]:
    """A flat keyed file: ``name number`` a line."""
    words = (text or b"").decode().split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()}


def chosen(value: int) -> str:
    """A limit as v2 writes it: negative is ``max``."""
    return "max" if value < 0 else str(value)
