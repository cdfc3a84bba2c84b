"""The end of a backup's file says where its manifest is, so that this is read without the rest.

Sources: RFC 8878, 3.1.2 (skippable frames); RFC 1952, 2.3.1.1 (extra fields).

What is said has a fixed size, and so has its wrapping, which whoever else reads the file passes over: a skippable frame
in zstd, a member without content that has an extra field in gzip, nothing where nothing is compressed (tar does not
read on after an archive's end).
"""

from __future__ import annotations

import struct

from containerkit.values import frozen

_SAID = struct.Struct("<16sQQ32s")
_MAGIC = b"containerkit-end"
_ZSTD = struct.pack("<II", 0x184D2A5C, _SAID.size)
_GZIP = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H2sH", _SAID.size + 4, b"CK", _SAID.size)
#: A last block without content, its checksum, its size.
_GZIP_END = b"\x03\0" + bytes(8)
_WRAPPINGS = {"zstd": (_ZSTD, b""), "gzip": (_GZIP, _GZIP_END), "none": (b"", b"")}
#: No file has a longer one.
LONGEST = max(len(before) + len(after) for before, after in _WRAPPINGS.values()) + _SAID.size


@frozen
class Trailer:
    """Where the manifest is.

    Args:
        offset: of its first byte in the file.
        size: its bytes, uncompressed.
        digest: their SHA-256.
        compression: of the file.
    """

    offset: int
    size: int
    digest: bytes
    compression: str

    def dumps(self) -> bytes:
        """The last bytes of the file."""
        before, after = _WRAPPINGS[self.compression]
        return before + _SAID.pack(_MAGIC, self.offset, self.size, self.digest) + after


def size_of(compression: str) -> int:
    """Bytes of a trailer in the file."""
    return sum(map(len, _WRAPPINGS[compression])) + _SAID.size


def find(tail: bytes, size: int) -> Trailer | None:
    """What the last bytes of a file of ``size`` bytes say; None when that is nothing of this kind."""
    for compression, (before, after) in _WRAPPINGS.items():
        said = tail[len(tail) - len(after) - _SAID.size : len(tail) - len(after)]
        if len(said) == _SAID.size and said.startswith(_MAGIC) and tail.endswith(before + said + after):
            _, offset, length, digest = _SAID.unpack(said)
            is_inside = offset < size - size_of(compression)
            return Trailer(offset, length, digest, compression) if is_inside else None
    return None
