"""An image as it is compared: what its archive (``docker save``, ``Image.save``) has, layer by layer and stacked."""

from __future__ import annotations

import hashlib
import json
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.peers.builds.case import THEN

_KINDS = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "pipe", tarfile.CHRTYPE: "device", tarfile.BLKTYPE: "block device",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One path of a layer.

    Args:
        mtime: whole seconds, as docker keeps them; None: of the build, not of the context.
        same: the first of the names that a file has in its layer, where it has several.
    """

    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ""
    link: str = ""
    mtime: int | None = None
    same: str = ""
    xattrs: tuple[tuple[str, str], ...] = ()
    content: bytes = b""

    def described(self) -> str:
        """What is compared of it, on one line."""
        shown = [self.kind, f"{self.mode:04o}", f"{self.uid}:{self.gid}"]
        shown += [f"{self.size} bytes {self.sha256[:12]}"] if self.kind == "file" else []
        shown += [f"-> {self.link}"] if self.link else []
        shown += [f"of {self.mtime}"] if self.mtime is not None else []
        shown += [f"also {self.same}"] if self.same else []
        shown += [f"{name}={value!r}" for name, value in self.xattrs]
        return ", ".join(shown)


#: Paths without a leading slash; whiteouts as ``d/.wh.name`` (kind ``whiteout``).
Tree = Mapping[str, Entry]


@dataclass(frozen=True)
class Step:
    """One entry of the history."""

    created_by: str
    empty: bool
    comment: str
    author: str


@dataclass(frozen=True)
class Built:
    """An image; ``tree`` is what its layers come to."""

    config: Mapping[str, Any]
    about: Mapping[str, Any]
    history: tuple[Step, ...]
    layers: tuple[Tree, ...]

    @property
    def tree(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for layer in self.layers:
            _stack(found, layer)
        return found

    def changes(self) -> list[Tree]:
        """Layer by layer, without directories that are only named there: as they were before but for their time."""
        below: dict[str, Entry] = {}
        found: list[Tree] = []
        for layer in self.layers:
            found.append({path: entry for path, entry in layer.items() if not _is_named_only(entry, below.get(path))})
            _stack(below, layer)
        return found


def read(path: Path) -> Built:
    """Of the only image in the archive."""
    with tarfile.open(path) as archive:
        (item,) = json.loads(_file(archive, "manifest.json"))
        image = json.loads(_file(archive, item["Config"]))
        layers = tuple(dict(_entries(archive, name)) for name in item.get("Layers") or ())
    steps = tuple(
        Step(one.get("created_by", ""), one.get("empty_layer", False), one.get("comment", ""), one.get("author", ""))
        for one in image.get("history", ())
    )
    about = {key: image.get(key) for key in ("architecture", "os", "variant", "author") if image.get(key)}
    return Built(_config(image.get("config") or {}), about, steps, layers)


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What says something: a docker of this age also writes the keys of containers, and empty ones."""
    names = (
        "ArgsEscaped", "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell",
        "StopSignal", "StopTimeout", "User", "Volumes", "WorkingDir",
    )  # fmt: skip
    return {name: config[name] for name in names if config.get(name)}


def _file(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None, name
    return file.read()


def _entries(archive: tarfile.TarFile, layer: str) -> Iterator[tuple[str, Entry]]:
    found: dict[str, Entry] = {}
    names: dict[str, list[str]] = {}
    with tarfile.open(fileobj=archive.extractfile(layer)) as members:
        for member in members:
            path = member.name.strip("/").removeprefix("./")
            if path in ("", "."):
                continue
            if member.islnk():
                first = member.linkname.strip("/").removeprefix("./")
                found[path] = found[first]
                names.setdefault(first, [first]).append(path)
            else:
                found[path] = _entry(members, member, path)
    for several in names.values():
        for name in several:
            found[name] = replace(found[name], same=min(several))
    yield from sorted(found.items())


def _entry(members: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Entry:
    if path.rpartition("/")[2].startswith(".wh."):
        return Entry("whiteout", 0, 0, 0)
    file = members.extractfile(member) if member.isreg() else None
    content = file.read() if file else b""
    prefix = "SCHILY.xattr."
    xattrs = {key.removeprefix(prefix): value for key, value in member.pax_headers.items() if key.startswith(prefix)}
    return Entry(
        _KINDS[member.type], 0o777 if member.issym() else stat.S_IMODE(member.mode), member.uid, member.gid,
        len(content), hashlib.sha256(content).hexdigest() if file else "", member.linkname if member.issym() else "",
        # A directory's time is that of the last change in it, which the build may be.
        int(member.mtime) if member.mtime <= THEN and not member.isdir() else None,
        xattrs=tuple(sorted(xattrs.items())), content=content,
    )  # fmt: skip


def _stack(below: dict[str, Entry], layer: Tree) -> None:
    """A layer on what is below it: first what it takes away."""
    for path, entry in layer.items():
        directory, _, name = path.rpartition("/")
        front = f"{directory}/" if directory else ""
        if name == ".wh..wh..opq":
            _remove(below, directory, itself=False)
        elif entry.kind == "whiteout":
            _remove(below, front + name.removeprefix(".wh."))
    for path, entry in layer.items():
        if entry.kind != "whiteout":
            if entry.kind != "directory":
                _remove(below, path)
            below[path] = entry


def _remove(tree: dict[str, Entry], path: str, *, itself: bool = True) -> None:
    for name in [name for name in tree if name.startswith(f"{path}/") or (itself and name == path)]:
        del tree[name]


def _is_named_only(entry: Entry, before: Entry | None) -> bool:
    return entry.kind == "directory" and before == entry
