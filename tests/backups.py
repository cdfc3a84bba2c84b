"""Trees of every kind of file, and what two trees have to have in common."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from pathlib import Path

from containerkit.backup import acl
from containerkit.backup.items import FILE, Item
from containerkit.backup.walk import open_content, walk

ACCESS = "user::rw-,user:1000:r--,group::r--,mask::r--,other::---"
DEFAULT = "user::rwx,group::r-x,group:2000:rwx,mask::rwx,other::r-x"
MINUTE = 1_700_000_000_123_456_789


def make_tree(root: Path) -> Path:
    """Every kind of file that a volume can have."""
    root.mkdir()
    (root / "plain.txt").write_text("hello\n" * 1000)
    (root / "empty").touch()
    (root / "program").write_bytes(b"#!/bin/sh\n")
    os.chown(root / "program", 1234, 4321)
    (root / "program").chmod(0o6755)
    inner = root / "a directory" / "deeper" / ("long-" * 30) / "and"
    inner.mkdir(parents=True)
    (inner / "größe.txt").write_text("ü")
    Path(os.fsdecode(os.fsencode(inner) + b"/no\xff\x80utf8")).write_bytes(b"\xff")
    (root / "link").symlink_to("plain.txt")
    (root / "dangling").symlink_to("/nowhere/" + "far/" * 40)
    os.link(root / "plain.txt", root / "second name")
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    make_socket(root / "socket")
    os.setxattr(root / "plain.txt", "user.note", b"\x00\xffbinary\n")
    os.setxattr(root / "plain.txt", "system.posix_acl_access", acl.from_text(ACCESS) or b"")
    os.setxattr(root / "a directory", "system.posix_acl_default", acl.from_text(DEFAULT) or b"")
    with open(root / "sparse", "wb") as file:
        file.seek(8 << 20)
        file.write(b"data in the middle")
        file.truncate(20 << 20)
    with open(root / "hole", "wb") as file:
        file.truncate(1 << 20)
    (root / "a directory").chmod(0o2750)
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, ns=(MINUTE, MINUTE + len(path.name)), follow_symlinks=False)
    os.utime(root, ns=(MINUTE, MINUTE))
    return root


def make_socket(path: Path) -> None:
    here = os.open(path.parent, os.O_PATH)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/self/fd/{here}/{path.name}")
    listener.close()
    os.close(here)


def look(root: Path, *, without: tuple[str, ...] = ()) -> dict[str, Item]:
    """A tree as a backup should keep it, by path; ``without`` some paths."""
    found = {}
    descriptor = os.open(root, os.O_RDONLY)
    try:
        for item, handle in walk(descriptor):
            item.ctime_ns = item.inode = item.device = 0
            if item.kind == FILE:
                content = open_content(handle)
                with os.fdopen(content, "rb") as file:
                    item.digest = hashlib.sha256(file.read()).hexdigest()
            if item.path not in without:
                found[item.path] = item
    finally:
        os.close(descriptor)
    return found


def room(path: Path) -> int:
    """Bytes on the disk."""
    return path.stat().st_blocks * 512


def listing(root: Path) -> list[str]:
    """Everything below a directory."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))
