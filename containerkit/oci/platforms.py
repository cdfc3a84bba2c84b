"""Platforms: ``os/architecture[/variant]``, which one this machine is, and which of an index's manifests suits it.

Sources: opencontainers/image-spec, image-index.md; Go's GOARCH and GOARM, which its values are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from containerkit.errors import InvalidArgument, NotFound
from containerkit.oci.manifest import Descriptor, Platform
from containerkit.views.text import plain

#: uname(2)'s machine → architecture and variant.
_MACHINES = {
    "x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"),
    "i686": ("386", ""), "i386": ("386", ""), "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""), "mips64": ("mips64le", ""), "loongarch64": ("loong64", ""),
}  # fmt: skip
#: What people write → what the specification writes, and a variant.
_ALIASES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""), "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"), "i386": ("386", ""), "i686": ("386", ""),
}  # fmt: skip
#: Variants, each of which runs what is for those after it, and what no variant means.
_VARIANTS = {"amd64": ("v4", "v3", "v2", "v1"), "arm64": ("v9", "v8"), "arm": ("v8", "v7", "v6", "v5")}
_IMPLIED = {"amd64": "v1", "arm64": "v8", "arm": "v7"}
#: So many platforms an error names.
_NAMED = 20


def this_machine() -> Platform:
    """The platform of this machine."""
    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform(architecture, "linux", variant)


def parse(text: str) -> Platform:
    """The platform that ``"linux/arm/v7"``, ``"linux/amd64"`` or ``"arm64"`` is.

    Raises:
        InvalidArgument: anything else.
    """
    parts = text.lower().split("/")
    if len(parts) == 1 and parts != ["linux"]:
        parts = ["linux", *parts]
    if len(parts) not in (2, 3) or not all(part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise InvalidArgument(f'platform {text!r}: write os/architecture[/variant], as in "linux/amd64"')
    architecture, variant = _ALIASES.get(parts[1], (parts[1], ""))
    return Platform(architecture, parts[0], parts[2] if len(parts) == 3 else variant)


def text(found: Platform) -> str:
    """``os/architecture[/variant]``."""
    return "/".join(part for part in (found.os, found.architecture, found.variant) if part)


def matches(found: Platform, wanted: Platform) -> bool:
    """Whether an image for ``found`` is one for ``wanted``: the same, or an older variant, or one that does not say."""
    if (found.os, found.architecture) != (wanted.os, wanted.architecture):
        return False
    return not wanted.variant or not found.variant or found.variant in _runs(wanted)


def _runs(wanted: Platform) -> tuple[str, ...]:
    """The variants that a platform runs, its own first."""
    own = _variant(wanted)
    known = _VARIANTS.get(wanted.architecture, ())
    return known[known.index(own) :] if own in known else (own,)


def _variant(found: Platform) -> str:
    return found.variant or _IMPLIED.get(found.architecture, "")


def choose(manifests: Sequence[Descriptor], wanted: Platform, where: str) -> Descriptor:
    """The manifest for a platform: of the newest variant that it runs; of several such the first.

    Raises:
        NotFound: there is none; those that there are, are named.
    """
    described = [(one, one.platform) for one in manifests if one.platform and one.platform.architecture != "unknown"]
    suitable = [(one, its) for one, its in described if matches(its, wanted)]
    for variant in _runs(wanted):
        for one, its in suitable:
            if _variant(its) == variant:
                return one
    if suitable:
        return suitable[0][0]
    if len(manifests) == 1 and not described:
        return manifests[0]  # an index that does not say: there is nothing to choose
    there = sorted({plain(text(its), 40) for _, its in described})
    names = ", ".join(there[:_NAMED]) + (f" and {len(there) - _NAMED} more" if len(there) > _NAMED else "")
    raise NotFound(f"{where}: not for {text(wanted)} (there is {names or 'nothing for any platform'})")
