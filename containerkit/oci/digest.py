"""Digests: ``sha256:<64 hex digits>`` of some bytes.

Source: opencontainers/image-spec, descriptor.md, "Digests", and config.md, "Layer ChainID". The specification knows
sha512 too; nobody writes it, and a store with two names for the same bytes would not be content-addressed: only
sha256 is accepted.
"""

from __future__ import annotations

import re

from containerkit.errors import InvalidArgument

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def of(data: bytes) -> str:
    """The digest of ``data``."""
    # Not at the top: it brings OpenSSL, and whoever reads digests makes few.
    import hashlib

    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    """Whether ``text`` is a digest that this package can check."""
    return _DIGEST.fullmatch(text) is not None


def hex_of(digest: str) -> str:
    """The 64 hex digits of a digest: safe as a file name.

    Raises:
        InvalidArgument: not a sha256 digest.
    """
    found = _DIGEST.fullmatch(digest)
    if found is None:
        raise InvalidArgument(f"digest {digest[:80]!r}: expected sha256: and 64 lower-case hex digits")
    return found[1]


def chain(parent: str | None, diff_id: str) -> str:
    """The chain id of a layer on top of ``parent`` (a chain id; None: it is the lowest)."""
    return diff_id if parent is None else of(f"{parent} {diff_id}".encode())


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The chain id of each layer, the lowest first."""
    chains: list[str] = []
    for diff_id in diff_ids:
        chains.append(chain(chains[-1] if chains else None, diff_id))
    return tuple(chains)
