"""An image by its name: here, or from its registry.

Most are here: nothing that speaks to registries is imported before one has to be asked.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypedDict, Unpack

from containerkit.configuration import Configuration
from containerkit.errors import InvalidArgument, NotFound
from containerkit.oci import digest as digests
from containerkit.oci import platforms
from containerkit.oci.manifest import Platform
from containerkit.registry.names import candidates
from containerkit.store.images import ImageRecord
from containerkit.store.store import Store

if TYPE_CHECKING:
    from containerkit.options import Duration
    from containerkit.progress import Choice
    from containerkit.registry.deadline import Deadline

POLICIES = ("always", "missing", "never")


class Fetching(TypedDict, total=False):
    """As for :func:`containerkit.registry.client.fetch`."""

    tls_verify: bool | None
    progress: Choice
    timeout: Duration | Deadline | None


def lookup(store: Store, configuration: Configuration, text: str) -> tuple[str, ImageRecord]:
    """The local image of that reference, id, or unique beginning of an id, and how it is called.

    A short name may be that of an additional registry.

    Raises:
        NotFound: there is none.
    """
    try:
        return text, store.images.get(text)
    except NotFound:
        is_short = configuration.registries.additional and not _is_id(text)
        for candidate in candidates(text, configuration.registries)[:-1] if is_short else ():
            with suppress(NotFound):
                return candidate.familiar, store.images.get(candidate.full)
        raise


def obtain(
    store: Store,
    configuration: Configuration,
    text: str,
    policy: str,
    platform: str | None,
    **how: Unpack[Fetching],
) -> tuple[str, ImageRecord]:
    """The image of a reference, from here or from its registry, and how it is called.

    Args:
        policy: ``"always"`` asks the registry, ``"missing"`` when it is not here, ``"never"`` not at all.
        how: it is fetched.

    Raises:
        NotFound: it is not here, or not for that platform, and the registry has it not or is not asked.
        RegistryError: the registry refuses, or sends something else than it announced.
    """
    if policy not in POLICIES:
        raise InvalidArgument(f"pull {policy!r}: expected {', '.join(map(repr, POLICIES))}")
    chosen = platform or configuration.platform
    wanted = platforms.parse(chosen) if chosen else None
    missing = None
    if policy != "always":
        try:
            name, record = lookup(store, configuration, text)
            found = record.config
            here = Platform(found.architecture, found.os, found.variant)
            if not platform or wanted is None or platforms.matches(here, wanted):
                return name, record
            missing = NotFound(f"image {text}: is for {platforms.text(here)}, not for {platforms.text(wanted)}")
        except NotFound as error:
            missing = error
        if policy == "never":
            raise NotFound(f'{missing.message} (pull policy "never")')
        if _is_id(text):
            raise missing  # no registry knows it by that
    from containerkit.registry import client

    return client.fetch(store, configuration, text, wanted, missing, **how)


def _is_id(text: str) -> bool:
    return digests.is_digest(text if text.startswith("sha256:") else f"sha256:{text}")
