"""``oci-layout`` and ``index.json``: what makes the root an image layout for skopeo, podman, crane and others.

Source: opencontainers/image-spec, image-layout.md. Both are written for others and never read here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from containerkit.oci import codec
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import Descriptor
from containerkit.oci.reference import Reference
from containerkit.store.paths import Paths


def write(paths: Paths, entries: Sequence[tuple[Descriptor, str | None]]) -> None:
    """Replace the index, atomically; called under the metadata's write lock, so that the last writer is the newest.

    Not synced: the next change writes it anew.

    Args:
        entries: manifests, each with a full reference or None.
    """
    described = tuple(
        entry if reference is None else replace(entry, annotations={oci.REF_NAME: Reference.parse(reference).familiar})
        for entry, reference in entries
    )
    _replace(paths, "index.json", codec.dumps(oci.index(described)))
    if not (paths.root / "oci-layout").exists():
        _replace(paths, "oci-layout", oci.LAYOUT)


def _replace(paths: Paths, name: str, text: str) -> None:
    partial = paths.root / f".{name}.partial"
    partial.write_text(text)
    os.rename(partial, paths.root / name)
