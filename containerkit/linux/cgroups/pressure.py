"""Pressure stall information: the time that processes waited for a resource.

Source: Documentation/accounting/psi.rst; cgroup-v2.rst, "cpu.pressure".
"""

from __future__ import annotations

from collections.abc import Mapping

from containerkit.linux.cgroups import files
from containerkit.values import frozen

RESOURCES = ("cpu", "io", "irq", "memory")


@frozen
class Pressure:
    """Waiting for one resource.

    Args:
        some10, some60, some300: percent of the last so many seconds in which some process waited.
        full10, full60, full300: in which all of them did, and nothing went on.
        some_seconds, full_seconds: in all.
    """

    some10: float = 0.0
    some60: float = 0.0
    some300: float = 0.0
    some_seconds: float = 0.0
    full10: float = 0.0
    full60: float = 0.0
    full300: float = 0.0
    full_seconds: float = 0.0


def read(directory: str) -> Mapping[str, Pressure]:
    """By resource, what the cgroup at that v2 directory waited for; empty where the kernel does not tell."""
    found = {}
    for resource in RESOURCES:
        try:
            found[resource] = parse(files.read(f"{directory}/{resource}.pressure"))
        except (OSError, ValueError, TypeError, OverflowError):
            continue  # not counted by this kernel, or switched off; or told in another way
    return found


def parse(text: bytes) -> Pressure:
    """One file: a line for some, and mostly one for full."""
    values: dict[str, float] = {}
    for line in text.decode().splitlines():
        kind, *pairs = line.split()
        for pair in pairs:
            name, _, value = pair.partition("=")
            if name == "total":
                values[f"{kind}_seconds"] = int(value) / 1e6
            else:
                values[f"{kind}{name.removeprefix('avg')}"] = float(value)
    return Pressure(**values)
