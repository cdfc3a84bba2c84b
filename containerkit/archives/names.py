"""How an entry of an index says what its image is called.

==================  ============================================  =========================================
who writes          ``io.containerd.image.name``                  ``org.opencontainers.image.ref.name``
==================  ============================================  =========================================
containerd, docker  the whole reference                           its tag only: ``1``
podman, skopeo      –                                             what the user typed, mostly a whole reference
containerkit        the whole reference                           the same
==================  ============================================  =========================================

The specification (image-spec, annotations.md) leaves it to the writer what a reference name is. One without ``/`` and
``:`` cannot be told from a tag alone, and is no name here.
"""

from __future__ import annotations

from collections.abc import Mapping

from containerkit.errors import InvalidArgument
from containerkit.oci.manifest import IMAGE_NAME, REF_NAME
from containerkit.oci.reference import Reference


def annotate(reference: str) -> dict[str, str]:
    """What an index says of an image that is called so."""
    full = Reference.parse(reference).full
    return {IMAGE_NAME: full, REF_NAME: full}


def tag_of(annotations: Mapping[str, str]) -> str | None:
    """The tag that an entry's image gets, or None.

    Raises:
        InvalidArgument: containerd's annotation is not a reference.
    """
    if name := annotations.get(IMAGE_NAME):
        return clean(name)
    name = annotations.get(REF_NAME, "")
    if "/" not in name and ":" not in name:
        return None
    try:
        return clean(name)
    except InvalidArgument:
        return None  # anything may stand there


def clean(reference: str) -> str | None:
    """A reference as a tag: without its digest, which what is loaded has anyway; None when nothing else is there.

    Raises:
        InvalidArgument: not a reference.
    """
    parsed = Reference.parse(reference)
    return f"{parsed.name}:{parsed.tag}" if parsed.tag else None
