"""Tar archives for tests: right ones, by the standard library, and blocks of wrong ones, made by hand."""

from __future__ import annotations

import io
import tarfile

from containerkit.layers import tar as ours

END = ours.END


def info(name: str, kind: bytes = tarfile.REGTYPE, **values: object) -> tarfile.TarInfo:
    """A member: a file, or of another kind; ``values`` are attributes of it."""
    made = tarfile.TarInfo(name)
    made.type = kind
    for key, value in values.items():
        setattr(made, key, value)
    return made


Member = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]


def tar(*members: Member, form: int = tarfile.PAX_FORMAT, **files: bytes) -> bytes:
    """An archive of these members, and of files by name."""
    out = io.BytesIO()
    pairs = [member if isinstance(member, tuple) else (member, b"") for member in members]
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for member, data in (*pairs, *((info(name), data) for name, data in files.items())):
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def block(kind: bytes = b"0", name: bytes = b"x", data: bytes = b"", link: bytes = b"", **fields: bytes) -> bytes:
    """A header as it is, whatever is in its fields (mode, uid, gid, size, mtime, major, minor), and its content."""
    values = {
        "mode": b"0000644", "uid": b"0", "gid": b"0", "size": b"%o" % len(data), "mtime": b"0", "major": b"0",
        "minor": b"0", **fields,
    }  # fmt: skip
    mode, uid, gid, size, mtime, major, minor = values.values()
    packed = ours._HEADER.pack(
        name, mode, uid, gid, size, mtime, b" " * 8, kind, link, b"ustar\0", b"00", b"", b"", major, minor, b""
    )
    header = bytearray(packed)
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data + bytes(-len(data) % 512)


def number(value: int, width: int = 12) -> bytes:
    """A number in base 256, as GNU writes those that do not fit; negative ones too."""
    return (value & (1 << 8 * width) - 1 | (0x80 << 8 * (width - 1) if value >= 0 else 0)).to_bytes(width, "big")


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """A pax header with these records, of the entry that follows; of kind ``g``, of all that follow."""
    return block(kind, b"pax", b"".join(ours._record(key, value) for key, value in records))
