"""Platforms: ``os/architecture[/variant]``, which one this machine is, and which of an index's manifests suits it.

Sources: opencontainers/image-spec, image-index.md; Go's GOARCH and GOARM, which its values are.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

from containerkit.errors import InvalidArgument, NotFound
from containerkit.oci.manifest import Descriptor, Platform

#: uname(2)'s machine → architecture and variant.
_MACHINES = {
    "x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"),
    "i686": ("386", ""), "i386": ("386", ""), "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""), "mips64": ("mips64le", ""), "loongarch64": ("loong64", ""),
}  # fmt: skip
#: What people write → what the specification writes.
_ALIASES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386", "armel": "arm"}
#: A variant that is not written means this one.
_IMPLIED = {"arm64": "v8", "arm": "v7"}


def this_machine() -> Platform:
    """The platform of this machine."""
    machine = platform.machine()
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform(architecture, "linux", variant)


def parse(text: str) -> Platform:
    """The platform that ``"linux/arm/v7"``, ``"linux/amd64"`` or ``"arm64"`` is.

    Raises:
        InvalidArgument: anything else.
    """
    parts = text.lower().split("/")
    if len(parts) == 1:
        parts = ["linux", *parts]
    if len(parts) > 3 or not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise InvalidArgument(f'platform {text!r}: write os/architecture[/variant], as in "linux/amd64"')
    system, architecture = parts[0], _ALIASES.get(parts[1], parts[1])
    return Platform(architecture, system, parts[2] if len(parts) == 3 else "")


def text(found: Platform) -> str:
    """``os/architecture[/variant]``."""
    return "/".join(part for part in (found.os, found.architecture, found.variant) if part)


def matches(found: Platform, wanted: Platform) -> bool:
    """Whether an image for ``found`` is one for ``wanted``."""
    if (found.os, found.architecture) != (wanted.os, wanted.architecture):
        return False
    return not wanted.variant or _variant(found) == _variant(wanted)


def _variant(found: Platform) -> str:
    return found.variant or _IMPLIED.get(found.architecture, "")


def choose(manifests: Sequence[Descriptor], wanted: Platform, where: str) -> Descriptor:
    """The manifest for a platform; of several the first. An older arm's runs on a newer one where there is no better.

    Raises:
        NotFound: there is none; those that there are, are named.
    """
    described = [one for one in manifests if one.platform is not None and one.platform.architecture != "unknown"]
    for candidate in _candidates(wanted):
        for one in described:
            if one.platform is not None and matches(one.platform, candidate):
                return one
    if len(manifests) == 1 and not described:
        return manifests[0]  # an index that does not say: there is nothing to choose
    there = sorted({text(one.platform) for one in described if one.platform is not None})
    raise NotFound(f"{where}: not for {text(wanted)} (there is {', '.join(there) or 'nothing for any platform'})")


def _candidates(wanted: Platform) -> list[Platform]:
    if wanted.architecture != "arm":
        return [wanted]
    variant = _variant(wanted)
    older = [one for one in ("v8", "v7", "v6", "v5") if one <= variant]
    return [replace(wanted, variant=one) for one in older]
