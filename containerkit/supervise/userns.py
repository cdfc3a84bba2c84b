"""``userns="remap"``: which users of the host a container's users are.

Source: subuid(5), user_namespaces(7).
"""

from __future__ import annotations

from containerkit.linux import confinement
from containerkit.oci.runtime_spec import IDMapping

#: The name whose ranges in ``/etc/subuid`` and ``/etc/subgid`` are taken.
OWNER = "containerkit"
#: Where there is none: a range that is set aside for nothing (systemd, "Users, Groups, UIDs and GIDs").
_BASE, _SIZE = 0x7000_0000, 65536


def maps() -> tuple[tuple[IDMapping, ...], tuple[IDMapping, ...]]:
    """The maps of users and of groups."""
    return (_range("/etc/subuid"),), (_range("/etc/subgid"),)


def _range(path: str) -> IDMapping:
    for first, count in confinement.ranges(path, (OWNER,)):
        return IDMapping(0, first, min(count, _SIZE))
    return IDMapping(0, _BASE, _SIZE)
