"""Files of this machine as a layer, with the few files and directories that make a root file system of them.

Deterministic: the same files here give the same layer. Directories take the newest time of what the layer has in them,
not their own, which changes with every neighbour that is installed; made-up files take the newest time of all.
"""

from __future__ import annotations

import hashlib
import os
import stat

from containerkit.layers.hostprograms import HostFiles
from containerkit.layers.pack import Packer
from containerkit.layers.tar import DIRECTORY, FILE, HARDLINK, SYMLINK, Entry
from containerkit.layers.write import add_file, entry_of

#: Part of every fingerprint: raise it when the same files would give another image.
FORMAT = 1

_FILES = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
}
_DIRECTORIES = {
    ".": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755,
    "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "var": 0o755, "var/tmp": 0o1777,
}  # fmt: skip


def fingerprint(files: HostFiles, programs: tuple[str, ...]) -> str:
    """A digest of everything that decides what an image of ``programs`` is, short of reading the files."""
    hasher = hashlib.sha256(f"{FORMAT}\n{_FILES}{_DIRECTORIES}{files.directories}{programs}\n".encode())
    for path in sorted(files.found):
        found = files.found[path]
        values = [found.st_mode, found.st_uid, found.st_gid]
        if not stat.S_ISDIR(found.st_mode):
            values += [found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns]
        hasher.update(f"{path}\0{values}\n".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def newest(files: HostFiles) -> int:
    """The newest time of the files and links, epoch nanoseconds."""
    return max((f.st_mtime_ns for f in files.found.values() if not stat.S_ISDIR(f.st_mode)), default=0)


def add_host_files(packer: Packer, files: HostFiles) -> None:
    """Append the layer of ``files``.

    Raises:
        InvalidState: a file changed while it was read.
        OSError: one cannot be read.
    """
    times = _directory_times(files)
    latest = newest(files)
    names = {path[1:]: found for path, found in files.found.items()}
    first_names: dict[tuple[int, int], str] = {}
    for name in sorted({*names, *_FILES, *_DIRECTORIES}, key=os.fsencode):
        found = names.get(name)
        if found is not None:
            _add_found(packer, name, found, times, first_names)
        elif name in _FILES:
            data = _FILES[name].encode()
            packer.add(Entry(name, FILE, 0o644, size=len(data), mtime=latest), data)
        else:
            packer.add(
                Entry("./" if name == "." else name, DIRECTORY, _DIRECTORIES[name], mtime=times.get(name, latest))
            )


def _add_found(
    packer: Packer, name: str, found: os.stat_result, times: dict[str, int], first_names: dict[tuple[int, int], str]
) -> None:
    path = f"/{name}"
    if stat.S_ISDIR(found.st_mode):
        entry = entry_of(name, DIRECTORY, path, found)
        entry.mtime = times.get(name, 0)
        packer.add(entry)
    elif stat.S_ISLNK(found.st_mode):
        packer.add(entry_of(name, SYMLINK, path, found))
    elif stat.S_ISREG(found.st_mode):
        entry = entry_of(name, FILE, path, found)
        first = first_names.setdefault((found.st_dev, found.st_ino), name)
        if first != name:
            entry.kind, entry.link, entry.size, entry.xattrs = HARDLINK, first, 0, {}
            packer.add(entry)
        else:
            add_file(packer, entry, path)


def _directory_times(files: HostFiles) -> dict[str, int]:
    """By directory, the newest time of the files and links anywhere below it."""
    times: dict[str, int] = {}
    for path, found in files.found.items():
        if stat.S_ISDIR(found.st_mode):
            continue
        above = path[1:]
        while above:
            above = above.rpartition("/")[0]
            times[above or "."] = max(times.get(above or ".", 0), found.st_mtime_ns)
    return times
