"""What a tar archive says of an item, and whether it says the same as the manifest.

Source: GNU tar manual, "Storing Sparse Files" (format 1.0: the map of the regions is at the begin of the content).
"""

from __future__ import annotations

import os

from containerkit.backup import acl
from containerkit.backup.items import BLOCK, CHAR, DIRECTORY, FIFO, FILE, HARDLINK, ROOT, SYMLINK, Item
from containerkit.layers import tar
from containerkit.layers.tar import Entry

#: Sockets have none.
KINDS = {
    FILE: tar.FILE, DIRECTORY: tar.DIRECTORY, SYMLINK: tar.SYMLINK, HARDLINK: tar.HARDLINK, FIFO: tar.FIFO,
    CHAR: tar.CHAR, BLOCK: tar.BLOCK_DEVICE,
}  # fmt: skip
_SPARSE_DIRECTORY = "GNUSparseFile.0"


def sparse_map(item: Item) -> bytes:
    """The map of the regions, as it stands before them; empty for a file without holes."""
    if item.extents is None:
        return b""
    found = list(item.extents)
    if not found or sum(found[-1]) < item.size:
        found.append((item.size, 0))  # the hole at the end
    text = "".join(f"{number}\n" for number in (len(found), *(number for region in found for number in region)))
    return text.encode() + bytes(-len(text) % tar.BLOCK)


def stored_size(item: Item) -> int:
    """Bytes of an item's content in the archive."""
    if item.extents is None:
        return item.size
    return len(sparse_map(item)) + sum(length for _, length in item.extents)


def header(item: Item) -> bytes:
    """The blocks that announce an item."""
    entry = entry_of(item)
    records = {}
    if item.extents is not None:
        records = {
            "GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.name": os.fsencode(entry.name),
            "GNU.sparse.realsize": str(item.size).encode(),
        }  # fmt: skip
        above, _, name = entry.name.rpartition("/")
        entry.name = f"{above}/{_SPARSE_DIRECTORY}/{name}"
        entry.size = stored_size(item)
    for attribute, record in acl.RECORDS.items() if item.xattrs else ():
        if attribute in item.xattrs and (text := acl.to_text(item.xattrs[attribute])) is not None:
            records[record] = text.encode()
    return tar.header(entry, records)


def entry_of(item: Item) -> Entry:
    """An item as an archive has it; of a sparse file the size that it has when its holes are filled."""
    name = "./" if item.path == ROOT else f"./{item.path}"
    link = f"./{item.link}" if item.kind == HARDLINK else item.link
    return Entry(
        name, KINDS[item.kind], item.mode, item.uid, item.gid, item.size, item.mtime_ns, link, item.major, item.minor,
        item.xattrs,
    )  # fmt: skip
