"""Our table of the default policy against Docker's own file, where that is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerkit.errors import InvalidArgument
from containerkit.linux import capabilities
from containerkit.oci import seccomp_profile
from containerkit.oci.runtime_spec import Seccomp
from containerkit.oci.seccomp_default import default_profile

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "seccomp" / "default.json"
SETS = {
    "docker's": capabilities.DEFAULT,
    "none": (),
    "all": capabilities.NAMES,
    "admin": (*capabilities.DEFAULT, "CAP_SYS_ADMIN"),
    "network": (*capabilities.DEFAULT, "CAP_NET_ADMIN"),
    **{name: (name,) for name in capabilities.NAMES},
}
MACHINES = ("x86_64", "aarch64", "s390x", "riscv64", "ppc64le", "i686", "armv7l", "loongarch64")

Meaning = tuple[str, int, frozenset[str], dict[str, frozenset[object]]]


def meaning(profile: Seccomp) -> Meaning:
    """What a profile says, whatever the order and grouping of its rules."""
    calls: dict[str, set[object]] = {}
    for rule in profile.syscalls:
        error = (1 if rule.errno_ret is None else rule.errno_ret) if rule.action == "SCMP_ACT_ERRNO" else 0
        for name in rule.names:
            calls.setdefault(name, set()).add((rule.action, error, rule.args))
    # A call that is allowed as it is needs no further conditions.
    for said in calls.values():
        if ("SCMP_ACT_ALLOW", 0, ()) in said:
            said.intersection_update({("SCMP_ACT_ALLOW", 0, ())})
    assert profile.default_errno_ret is not None
    return (
        profile.default_action, profile.default_errno_ret, frozenset(profile.architectures),
        {name: frozenset(said) for name, said in calls.items()},
    )  # fmt: skip


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("held", SETS.values(), ids=SETS)
def test_the_policy_is_dockers(held: tuple[str, ...], machine: str) -> None:
    if not REFERENCE.exists():
        pytest.skip(f"needs Docker's profiles/seccomp/default.json at {REFERENCE}")
    text = REFERENCE.read_text()
    for kernel in ((6, 18), (4, 8), (4, 7), (3, 10)):
        theirs = seccomp_profile.loads(text, held, machine, kernel)
        assert meaning(default_profile(held, machine, kernel)) == meaning(theirs)


def allowed(profile: Seccomp) -> set[str]:
    rules = [rule for rule in profile.syscalls if rule.action == "SCMP_ACT_ALLOW" and not rule.args]
    return {name for rule in rules for name in rule.names}


def test_capabilities_open_their_calls() -> None:
    plain = allowed(default_profile(capabilities.DEFAULT, "x86_64", (6, 1)))
    admin = allowed(default_profile((*capabilities.DEFAULT, "CAP_SYS_ADMIN"), "x86_64", (6, 1)))
    assert not plain & {"mount", "unshare", "clone", "clone3", "keyctl", "bpf", "reboot", "init_module"}
    assert {"mount", "unshare", "clone", "clone3", "bpf"} <= admin
    assert not admin & {"keyctl", "reboot", "init_module", "userfaultfd", "io_uring_setup"}
    assert {"read", "openat2", "futex_waitv", "chroot", "ptrace"} <= plain


def test_tracing_waits_for_a_kernel_that_cannot_be_fooled() -> None:
    assert "ptrace" not in allowed(default_profile((), "x86_64", (4, 7)))


CONDITIONAL = """{"defaultAction": "SCMP_ACT_ALLOW",
 "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
             {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}],
 "syscalls": [
  {"name": "a", "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_KILL", "CAP_BPF"]}},
  {"names": ["b"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_KILL", "CAP_BPF"]}},
  {"names": ["c"], "action": "SCMP_ACT_ERRNO", "includes": {"arches": ["amd64"], "minKernel": "5.10"}},
  {"names": ["d"], "action": "SCMP_ACT_ERRNO", "excludes": {"arches": ["amd64"]}},
  {"names": ["e"], "action": "SCMP_ACT_ERRNO", "excludes": {"minKernel": "5.9"}}]}"""


@pytest.mark.parametrize(
    ("held", "machine", "kernel", "names"),
    [
        ((), "x86_64", (5, 9), "b"), ((), "x86_64", (5, 10), "bc"), (("CAP_KILL",), "riscv64", (5, 8), "de"),
        (("CAP_KILL", "CAP_BPF"), "riscv64", (6, 0), "ad"),
    ],
)  # fmt: skip
def test_conditions_of_a_docker_profile(
    held: tuple[str, ...], machine: str, kernel: tuple[int, int], names: str
) -> None:
    profile = seccomp_profile.loads(CONDITIONAL, held, machine, kernel)
    assert "".join(rule.names[0] for rule in profile.syscalls) == names
    assert profile.architectures == (
        ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86") if machine == "x86_64" else ("SCMP_ARCH_RISCV64",)
    )


@pytest.mark.parametrize("version", ["5.²", "9" * 5000 + ".1", "5", "5.1.1"])
def test_a_kernel_s_version_that_is_none_is_refused(version: str) -> None:
    text = CONDITIONAL.replace('"5.10"', f'"{version}"')
    with pytest.raises(InvalidArgument, match="profile x: minKernel"):
        seccomp_profile.loads(text, (), "x86_64", (5, 10), "profile x")
