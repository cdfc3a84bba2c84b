"""Archives of images for tests, made by hand: right ones, to be made wrong."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Link:
    """A symbolic link, or a hard one, to another name of the archive."""

    target: str
    hard: bool = False


#: name → content; the order counts.
Files = dict[str, "bytes | Link"]


def tar(files: Mapping[str, bytes | Link] | Sequence[tuple[str, bytes | Link]]) -> bytes:
    """A tar of these files, as bytes; of pairs, one name may come several times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            member = tarfile.TarInfo(name)
            if isinstance(content, Link):
                member.type = tarfile.LNKTYPE if content.hard else tarfile.SYMTYPE
                member.linkname = content.target
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hexed(data: bytes) -> str:
    return digest(data)[7:]


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def config(*layers: bytes, architecture: str = ARCHITECTURE, **more: Any) -> bytes:
    """The config of an image of these layers (their plain tars)."""
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return text({"architecture": architecture, "os": "linux", "rootfs": rootfs, "config": {}, **more})


def docker(*layers: bytes, tags: list[str] | None = None, **more: Any) -> Files:
    """The files of a docker-archive of one image."""
    made = config(*layers, **more)
    item = {"Config": f"{hexed(made)}.json", "RepoTags": tags, "Layers": [f"{hexed(layer)}.tar" for layer in layers]}
    files: Files = {f"{hexed(layer)}.tar": layer for layer in layers}
    return {"manifest.json": text([item]), f"{hexed(made)}.json": made, **files}


def described(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def blob(data: bytes) -> Files:
    return {f"blobs/sha256/{hexed(data)}": data}


def image(*layers: bytes, blobs: Mapping[bytes, tuple[bytes, str]] | None = None, **more: Any) -> tuple[bytes, Files]:
    """The manifest of an image in a layout, and its blobs.

    Args:
        blobs: plain layer → how it is stored, and the suffix of its media type.
    """
    stored = {layer: (blobs or {}).get(layer, (layer, "")) for layer in layers}
    made = config(*layers, **more)
    described_layers = [described(stored[layer][0], LAYER + stored[layer][1]) for layer in layers]
    manifest = text(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": described(made, CONFIG), "layers": described_layers}
    )
    files = blob(manifest) | blob(made)
    for data, _ in stored.values():
        files |= blob(data)
    return manifest, files


def index(*entries: dict[str, Any]) -> bytes:
    return text({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def layout(entries: list[dict[str, Any]], *blobs: Files) -> Files:
    """The files of a layout with these entries in its index."""
    files: Files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index(*entries)}
    for some in blobs:
        files |= some
    return files
