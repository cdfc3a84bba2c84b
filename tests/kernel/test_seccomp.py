"""A process with Docker's policy as its filter."""

from __future__ import annotations

import ctypes
import errno
import os
import platform

import pytest

from containerkit.linux import capabilities, seccomp, seccomp_cache
from containerkit.oci.runtime_spec import Seccomp, SeccompSyscall
from containerkit.oci.seccomp_default import default_profile

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a filter without no_new_privs"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are x86_64's"),
]

CALLS = {
    "getpid": 39, "unshare": 272, "mount": 165, "keyctl": 250, "clone3": 435, "add_key": 248, "bpf": 321, "chroot": 161,
}  # fmt: skip


def errno_of(call: str, program: bytes, flags: int = 0) -> int:
    """What a process with the filter gets from a call with arguments of 0; 0 for success."""
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            seccomp.load_filter(program, flags)
            code = ctypes.get_errno() if libc.syscall(CALLS[call], 0, 0, 0, 0, 0) < 0 else 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture(scope="module")
def default() -> bytes:
    return seccomp_cache.compile_filter(default_profile(capabilities.DEFAULT, "x86_64", (6, 1)))


@pytest.mark.parametrize("call", ["unshare", "mount", "keyctl", "add_key", "bpf"])
def test_what_the_policy_forbids_is_refused(call: str, default: bytes) -> None:
    assert errno_of(call, default) == errno.EPERM


def test_clone3_is_not_there(default: bytes) -> None:
    assert errno_of("clone3", default) == errno.ENOSYS


def test_what_it_allows_reaches_the_kernel(default: bytes) -> None:
    assert errno_of("getpid", default) == 0
    assert errno_of("chroot", default) == errno.EFAULT


def test_an_administrators_container_may_unshare() -> None:
    profile = default_profile((*capabilities.DEFAULT, "CAP_SYS_ADMIN"), "x86_64", (6, 1))
    program = seccomp_cache.compile_filter(profile)
    assert errno_of("unshare", program) == 0
    assert errno_of("keyctl", program) == errno.EPERM


def test_flags_are_passed_on() -> None:
    rule = SeccompSyscall(("mount",), "SCMP_ACT_ERRNO", 7)
    profile = Seccomp("SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_LOG",), syscalls=(rule,))
    assert errno_of("mount", seccomp_cache.compile_filter(profile), seccomp.flags_of(profile)) == 7


def test_a_program_the_kernel_cannot_read_is_an_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        seccomp.load_filter(b"\xff" * 8)
