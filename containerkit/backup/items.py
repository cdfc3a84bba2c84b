"""What a backup knows of one file.

Words: *item* (one name of the tree, and all that is said of it), *region* (offset and length of the data between two
holes of a sparse file), *torn* (of a content that changed its size while it was read), *elsewhere* (of a content that
is in the backup's base, not in the backup itself).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

FILE: Final = "file"
DIRECTORY: Final = "directory"
SYMLINK: Final = "symlink"
HARDLINK: Final = "hardlink"
FIFO: Final = "fifo"
SOCKET: Final = "socket"
CHAR: Final = "char"
BLOCK: Final = "block"
KINDS: Final = frozenset((FILE, DIRECTORY, SYMLINK, HARDLINK, FIFO, SOCKET, CHAR, BLOCK))
ROOT: Final = "."

#: Items without attributes share this one; nobody adds to it.
NO_XATTRS: Final[dict[str, bytes]] = {}


@dataclass(slots=True)
class Item:
    """One name of the tree.

    Args:
        path: relative to the tree, ``"."`` for its root; bytes that are no UTF-8 as surrogates (PEP 383).
        kind: one of :data:`KINDS`. Of a file with several names the first is a ``"file"``, the others ``"hardlink"``.
        size: bytes of a file's content; 0 for everything else.
        mtime_ns, ctime_ns: nanoseconds since the epoch.
        inode: where the file system has it.
        device: the number of that, 0 when it is not known. Not compared.
        link: a symbolic link's target; of a hard link the path of the first name.
        major, minor: of a device.
        xattrs: ``user.*``, ``security.capability`` and ACLs, by name. Not to be changed in place.
        digest: SHA-256 of a file's content, holes as zeros, in hexadecimal digits; empty until it was read.
        extents: the regions of a sparse file, in order; None for one without holes.
        blocks: names of the blocks that the content was cut into; none where that is one, and its name the digest.
        elsewhere: the content is in the base.
        torn: the file changed its size while it was read: the content was cut or filled up with zeros.
    """

    path: str
    kind: str = FILE
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    device: int = field(default=0, compare=False)
    link: str = ""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=lambda: NO_XATTRS)
    digest: str = ""
    extents: tuple[tuple[int, int], ...] | None = None
    blocks: tuple[str, ...] = ()
    elsewhere: bool = False
    torn: bool = False

    def is_unchanged(self, earlier: Item) -> bool:
        """Whether it is what it was, going by all that a change of content or attributes would change, too.

        Attributes are not compared, a change of them changes ``ctime``. Nor is the device: its number may be another
        one after each start of the machine. A content that was torn is not known.
        """
        return (
            self.ctime_ns == earlier.ctime_ns
            and self.inode == earlier.inode
            and self.kind == earlier.kind
            and self.size == earlier.size
            and self.mtime_ns == earlier.mtime_ns
            and self.mode == earlier.mode
            and self.uid == earlier.uid
            and self.gid == earlier.gid
            and not earlier.torn
        )
