"""Programs and the loader's cache, damaged: nothing is found in them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from containerkit.layers import elf

HEAD = b"\x7fELF\x02\x01".ljust(18, b"\0") + struct.pack("<H", 62)


def program(*segments: tuple[int, int, int, int], rest: bytes = b"") -> bytes:
    """A 64-bit file with these segments: type, offset, address, size."""
    head = HEAD.ljust(32, b"\0") + struct.pack("<Q", 64)
    head = head.ljust(54, b"\0") + struct.pack("<HH", 56, len(segments))
    table = b"".join(
        struct.pack("<IIQQQQ", kind, 0, offset, address, address, size).ljust(56, b"\0")
        for kind, offset, address, size in segments
    )
    return head.ljust(64, b"\0") + table + rest


@pytest.mark.parametrize(
    "data",
    [
        HEAD, program((3, 2**64 - 1, 0, 1)), program((2, 2**64 - 8, 0, 2**63)), program((2, 0, 0, 2**64 - 1)),
        program((3, 120, 0, 1), rest=b"x" * 100_000),  # a name without an end
    ],
)  # fmt: skip
def test_a_damaged_program_names_nothing(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "program").write_bytes(data)
    assert elf.read(str(tmp_path / "program")) is None


def test_a_name_ends_where_it_ends(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(program((3, 120, 0, 1), rest=b"/lib/ld.so\0x"))
    found = elf.read(str(tmp_path / "program"))
    assert found is not None and (found.interpreter, found.needed) == ("/lib/ld.so", ())


@pytest.mark.parametrize("rest", [b"", struct.pack("=II", 2**32 - 1, 0), struct.pack("=II", 1, 0) + b"\xff" * 60])
def test_a_damaged_cache_lists_nothing(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "cache").write_bytes(b"glibc-ld.so.cache1.1" + rest)
    assert not [name for name, _ in elf._cache_entries(str(tmp_path / "cache")) if name]
