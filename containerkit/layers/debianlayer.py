"""A Debian root file system that was just made, as a layer: without what belongs to this machine or to the making.

Deterministic: the same packages give the same layer. What was made now has the time of the archive that the packages
are from.
"""

from __future__ import annotations

import email.utils
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path

from containerkit.layers.compression import Readable
from containerkit.layers.pack import Archive
from containerkit.layers.tar import DIRECTORY, Entry
from containerkit.layers.write import add_tree

#: Part of every fingerprint: raise it when the same packages would give another layer.
FORMAT = 2

_SWEPT = ("dev", "run", "tmp", "proc", "sys", "var/tmp")
_LEFT_OUT = (
    *(f"{directory}/*" for directory in _SWEPT), "debootstrap", "debootstrap/*",
    "etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/.pwd.lock", "etc/apt/apt.conf.d/*mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/*mmdebstrap", "var/lib/dpkg/*-old", "var/lib/dpkg/lock*", "var/cache/debconf/*-old",
)  # fmt: skip
#: Of these the directories stay: programs expect them.
_EMPTIED = ("var/cache/apt/*", "var/cache/ldconfig/*", "var/lib/apt/lists/*", "var/log/*")
_PASSWORDS = ("etc/shadow", "etc/shadow-")


def add_debian(archive: Archive, root: str | os.PathLike[str]) -> None:
    """Append the tree ``root``."""
    add_tree(_Tidy(archive, released(root)), root)


def released(root: str | os.PathLike[str]) -> int | None:
    """When the newest of the package lists in it was made, in epoch seconds; None when they do not say."""
    found = []
    for path in Path(root, "var/lib/apt/lists").glob("*Release"):
        line = re.search(rb"(?m)^Date: (.*)$", path.read_bytes())
        if line is not None and (date := email.utils.parsedate_tz(line[1].decode())) is not None:
            found.append(int(email.utils.mktime_tz(date)))
    return max(found, default=None)


class _Tidy(Archive):
    """Hands on to ``archive`` what belongs into it."""

    def __init__(self, archive: Archive, latest: int | None) -> None:
        self._archive, self._latest = archive, latest

    def add(self, entry: Entry, content: Readable | bytes = b"") -> None:
        """As its base; what does not belong is left out."""
        if _matches(entry.name, _LEFT_OUT) or (entry.kind != DIRECTORY and _matches(entry.name, _EMPTIED)):
            return
        if self._latest is not None:
            is_swept = entry.name in _SWEPT  # its time is that of the sweeping
            entry.mtime = self._latest * 10**9 if is_swept else min(entry.mtime, self._latest * 10**9)
            if entry.name in _PASSWORDS and not isinstance(content, bytes):
                # The third field is the day on which the password was changed: shadow(5).
                content = re.sub(rb"(?m)^([^:\n]*:[^:\n]*:)\d+", rb"\g<1>%d" % (self._latest // 86400), content.read())
                entry.size = len(content)
        self._archive.add(entry, content)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
