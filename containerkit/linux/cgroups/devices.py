"""The devices controller: which device nodes may be made, read and written.

Source: Documentation/admin-guide/cgroup-v1/devices.rst. v2 has no files for it: see ``device_filter``.

Rules are taken in order, a later one over an earlier one.
"""

from __future__ import annotations

from containerkit.errors import InvalidArgument
from containerkit.linux.cgroups.controller import Write, no_stats, no_writes
from containerkit.oci.runtime_spec import DeviceCgroup, Resources

V1, V2 = "devices", ""
FILES_V1: tuple[str, ...] = ()
FILES_V2: tuple[str, ...] = ()

#: Docker's rules: nothing, but any node may be made (to open it is another matter), and these may be used:
#: null, zero, full, random, urandom; tty, console, ptmx; and pseudo-terminals.
DEFAULT_DEVICES = (
    DeviceCgroup(False),
    DeviceCgroup(True, "c", access="m"),
    DeviceCgroup(True, "b", access="m"),
    *(DeviceCgroup(True, "c", 1, minor) for minor in (3, 5, 7, 8, 9)),
    *(DeviceCgroup(True, "c", 5, minor) for minor in (0, 1, 2)),
    DeviceCgroup(True, "c", 136),
)


def limits(resources: Resources) -> str:
    # A list that allows everything limits nothing.
    return "devices" if any(not rule.allow for rule in resources.devices) else ""


def writes_v1(resources: Resources) -> list[Write]:
    writes = []
    for rule in resources.devices:
        validate(rule)
        file = "devices.allow" if rule.allow else "devices.deny"
        if is_everything(rule):
            writes.append(Write(file, "a"))
            continue
        numbers = f"{_number(rule.major)}:{_number(rule.minor)}"
        writes.extend(Write(file, f"{kind} {numbers} {rule.access}") for kind in kinds(rule))
    return writes


def _number(value: int | None) -> str:
    return "*" if value is None or value < 0 else str(value)


def kinds(rule: DeviceCgroup) -> str:
    """The kernel's letters: ``u`` is another name for c, ``a`` is both."""
    return {"": "bc", "a": "bc", "u": "c"}.get(rule.type, rule.type)


def is_everything(rule: DeviceCgroup) -> bool:
    """Whether the rule is about every access to every device.

    The kernel takes any line with type ``a`` so, whatever its numbers say: one with numbers is written as b and c.
    """
    numbered = any(value is not None and value >= 0 for value in (rule.major, rule.minor))
    return rule.type in ("", "a") and not numbered and set(rule.access) == set("rwm")


def validate(rule: DeviceCgroup) -> None:
    """Refuse what neither version could express.

    Raises:
        InvalidArgument: the type is not a, b, c or u; the access is not of r, w, m.
    """
    if rule.type not in ("", "a", "b", "c", "u"):
        raise InvalidArgument(f"limit devices: type {rule.type!r}: expected a, b or c")
    if not rule.access or set(rule.access) - set("rwm"):
        raise InvalidArgument(f"limit devices: access {rule.access!r}: expected letters of rwm")


writes_v2 = no_writes
stats_v1 = stats_v2 = no_stats
