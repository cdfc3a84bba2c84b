"""``oci-layout`` and ``index.json``: what makes the root an image layout for skopeo, podman, crane and others.

Source: opencontainers/image-spec, image-layout.md. Both are written for others and never read here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from containerkit.oci import codec
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import Descriptor
from containerkit.oci.reference import Reference
from containerkit.store.paths import Paths


def write(paths: Paths, entries: Iterable[tuple[str, str, int, str | None]]) -> None:
    """Replace the index, atomically; called under the metadata's write lock, so that the last writer is the newest.

    Not synced: the next change writes it anew.

    Args:
        entries: manifests (media type, digest, size), each with a full reference or None.
    """
    text = codec.dumps(oci.index(()))
    assert text.count("[]") == 1
    _replace(paths, "index.json", text.replace("[]", f"[{','.join(_entry(*entry) for entry in entries)}]"))
    if not (paths.root / "oci-layout").exists():
        _replace(paths, "oci-layout", oci.LAYOUT)


@lru_cache(1 << 14)
def _entry(media_type: str, digest: str, size: int, reference: str | None) -> str:
    # Kept: at each change of one image it is all of them that are written.
    found = Descriptor(media_type, digest, size)
    if reference is not None:
        found = replace(found, annotations={oci.REF_NAME: Reference.parse(reference).familiar})
    return codec.dumps(found)


def _replace(paths: Paths, name: str, text: str) -> None:
    partial = paths.root / f".{name}.partial"
    partial.write_text(text)
    os.rename(partial, paths.root / name)
