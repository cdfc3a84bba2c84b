"""A seccomp profile as people write it for Docker: conditions on capabilities, machine and kernel are worked out.

Source: moby, profiles/seccomp (its JSON is the runtime specification's, with ``archMap``, ``includes`` and ``excludes``
besides). A profile in the specification's own form passes through as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from containerkit.errors import InvalidArgument
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall
from containerkit.values import frozen

#: ``uname -m`` → the names that profiles use.
_MACHINES = {"x86_64": "amd64", "i686": "x86", "aarch64": "arm64", "armv7l": "arm"}


@frozen
class _Condition:
    arches: tuple[str, ...] = ()
    caps: tuple[str, ...] = ()
    min_kernel: str = ""


@frozen
class _Rule:
    action: str
    names: tuple[str, ...] = ()
    name: str = ""
    errno_ret: int | None = None
    args: tuple[SeccompArg, ...] = ()
    includes: _Condition = _Condition()
    excludes: _Condition = _Condition()


@frozen
class _ArchitectureMap:
    architecture: str
    sub_architectures: tuple[str, ...] = ()


@frozen
class _Profile:
    default_action: str
    default_errno_ret: int | None = None
    architectures: tuple[str, ...] = ()
    arch_map: tuple[_ArchitectureMap, ...] = ()
    flags: tuple[str, ...] = ()
    syscalls: tuple[_Rule, ...] = ()


def loads(
    text: str | bytes, capabilities: Iterable[str], machine: str, kernel: tuple[int, int], where: str = ""
) -> Seccomp:
    """The profile for a container.

    Args:
        text: the JSON.
        capabilities: the container's bounding set.
        machine: as ``uname -m`` says.
        kernel: version and patch level.
        where: names the document in errors.

    Raises:
        InvalidArgument: not JSON, or not a profile.
    """
    profile = codec.loads(_Profile, text, where)
    held = frozenset(capabilities)
    rules = [rule for rule in profile.syscalls if _applies(rule, held, _MACHINES.get(machine, machine), kernel, where)]
    return Seccomp(
        default_action=profile.default_action,
        default_errno_ret=profile.default_errno_ret,
        architectures=profile.architectures or _architectures(profile, machine),
        flags=profile.flags,
        syscalls=tuple(
            SeccompSyscall(rule.names or (rule.name,), rule.action, rule.errno_ret, rule.args) for rule in rules
        ),
    )


def _architectures(profile: _Profile, machine: str) -> tuple[str, ...]:
    wanted = f"SCMP_ARCH_{machine.upper()}"
    for entry in profile.arch_map:
        if entry.architecture == wanted:
            return (wanted, *entry.sub_architectures)
    return ()


def _applies(rule: _Rule, held: frozenset[str], machine: str, kernel: tuple[int, int], where: str) -> bool:
    """Every condition of ``includes`` has to hold, with every capability in it; none of ``excludes`` may."""
    wanted, unwanted = rule.includes, rule.excludes
    if machine in unwanted.arches or held.intersection(unwanted.caps):
        return False
    if unwanted.min_kernel and kernel >= _version(unwanted.min_kernel, where):
        return False
    if (wanted.arches and machine not in wanted.arches) or not held.issuperset(wanted.caps):
        return False
    return not wanted.min_kernel or kernel >= _version(wanted.min_kernel, where)


def _version(text: str, where: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})\.([0-9]{1,5})", text)
    if found is None:
        raise InvalidArgument(f"{where}: minKernel {text[:40]!r}: expected a version such as 4.8")
    return int(found[1]), int(found[2])
