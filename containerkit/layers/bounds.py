"""Bounds on what a stranger's archive or tree may ask for."""

from __future__ import annotations

from containerkit.errors import InvalidArgument

#: Deeper trees are a trap for whoever walks them.
MAX_DEPTH = 256
#: What an archive may unpack to: so many bytes always, and so many times its own size. Trees of files are packed to a
#: tenth at best; a stream of one byte to a thousandth by gzip, and to nearly nothing by zstd.
HARMLESS, RATIO = 1 << 30, 200


def check_proportion(unpacked: int, packed: int, subject: str, harmless: int = HARMLESS) -> None:
    """
    Raises:
        InvalidArgument: so much does not come out of so little by itself.
    """
    if unpacked > max(harmless, RATIO * packed):
        raise InvalidArgument(f"{subject}: {unpacked} bytes and more out of {packed}: a decompression bomb")
