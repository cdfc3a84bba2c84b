"""Access control lists: as the kernel keeps them in an attribute, and as tar archives say them.

Sources: linux/posix_acl_xattr.h (a version, then entries of tag, permissions and id, little-endian); acl(5), "ACL TEXT
FORMS"; star(1), ``SCHILY.acl.access`` and ``SCHILY.acl.default``. Ids are written as numbers: names are a machine's.
"""

from __future__ import annotations

import struct

_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NOBODY = 0xFFFFFFFF
_TAGS = {0x01: "user", 0x02: "user", 0x04: "group", 0x08: "group", 0x10: "mask", 0x20: "other"}
_NAMED = (0x02, 0x08)
#: The attribute's name, and that of the record in an archive.
RECORDS = {
    "system.posix_acl_access": "SCHILY.acl.access",
    "system.posix_acl_default": "SCHILY.acl.default",
}


def to_text(value: bytes) -> str | None:
    """``user::rw-,user:1000:r--,group::r--,mask::r--,other::---``; None for what is no such list."""
    if len(value) % _ENTRY.size != _VERSION.size or value[:4] != _VERSION.pack(2):
        return None
    said = []
    for tag, permissions, number in _ENTRY.iter_unpack(value[_VERSION.size :]):
        if tag not in _TAGS:
            return None
        letters = "".join(letter if permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        said.append(f"{_TAGS[tag]}:{number if tag in _NAMED else ''}:{letters}")
    return ",".join(said)


def from_text(text: str) -> bytes | None:
    """The attribute's value; None for a text that is no list, or one with names of users in it."""
    entries = []
    for line in text.replace("\n", ",").split(","):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        fields = said.split(":")
        if len(fields) < 3 or len(fields) > 4:
            return None
        kind, who, letters = fields[0], fields[3] if len(fields) == 4 else fields[1], fields[2]
        tags = [tag for tag, name in _TAGS.items() if name.startswith(kind) and (tag in _NAMED) == bool(who)]
        if len(tags) != 1 or not kind or set(letters) - set("rwx-") or (who and not who.isdecimal()):
            return None
        number = int(who) if who else _NOBODY
        if number > _NOBODY:
            return None
        permissions = sum(bit for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if letter in letters)
        entries.append((tags[0], number, permissions))
    entries.sort()
    packed = b"".join(_ENTRY.pack(tag, permissions, number) for tag, number, permissions in entries)
    return _VERSION.pack(2) + packed if entries else None
