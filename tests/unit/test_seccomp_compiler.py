"""Profiles as programs, run by a small interpreter of classic BPF."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.linux import capabilities, seccomp, seccomp_cache, seccomp_compiler
from containerkit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall
from containerkit.oci.seccomp_default import default_profile

X86_64, I386 = 0xC000003E, 0x40000003
ALLOW, KILL = 0x7FFF0000, 0x00000000
NUMBERS = {"read": 0, "socket": 41, "clone": 56, "unshare": 272, "personality": 135, "clone3": 435, "keyctl": 250}

try:
    seccomp_compiler.compile_filter(Seccomp("SCMP_ACT_ALLOW"))
except Unsupported:
    pytest.skip("libseccomp.so.2 is not installed", allow_module_level=True)


def error(number: int) -> int:
    return 0x00050000 | number


def run(program: bytes, number: int, *arguments: int, arch: int = X86_64) -> int:
    """What the program answers to a call."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *(*arguments, *[0] * 6)[:6])
    accumulator = place = 0
    while True:
        code, yes, no, value = struct.unpack_from("=HBBI", program, place * 8)
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            place += value
        elif code == 0x06:
            return int(value)
        else:
            truth = {
                0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]  # fmt: skip
            place += yes if truth else no


def _profile(*arguments: SeccompArg, action: str = "SCMP_ACT_ERRNO", errno_ret: int | None = None) -> Seccomp:
    rule = SeccompSyscall(("socket",), action, errno_ret, arguments)
    return Seccomp("SCMP_ACT_ALLOW", architectures=("SCMP_ARCH_X86_64",), syscalls=(rule,))


def one(action: str, *arguments: SeccompArg, errno_ret: int | None = None) -> bytes:
    return seccomp_cache.compile_filter(_profile(*arguments, action=action, errno_ret=errno_ret))


@pytest.fixture(scope="module")
def default() -> bytes:
    return seccomp_cache.compile_filter(default_profile(capabilities.DEFAULT, "x86_64", (6, 1)))


@pytest.mark.parametrize(
    ("call", "arguments", "answer"),
    [
        ("read", (), ALLOW), ("unshare", (0x20000,), error(errno.EPERM)), ("keyctl", (), error(errno.EPERM)),
        ("clone3", (), error(errno.ENOSYS)), ("clone", (0x11,), ALLOW), ("clone", (0x10000011,), error(errno.EPERM)),
        ("socket", (2,), ALLOW), ("socket", (40,), error(errno.EPERM)), ("socket", (38,), error(errno.EPERM)),
        ("socket", (39,), ALLOW), ("socket", (41,), ALLOW), ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x40000,), error(errno.EPERM)),
    ],
)  # fmt: skip
def test_default_profile(default: bytes, call: str, arguments: tuple[int, ...], answer: int) -> None:
    assert run(default, NUMBERS[call], *arguments) == answer


def test_32_bit_programs_are_held_to_the_same_rules(default: bytes) -> None:
    assert run(default, 3, arch=I386) == ALLOW  # read
    assert run(default, 310, arch=I386) == error(errno.EPERM)  # unshare
    assert run(default, 0x40000000, arch=X86_64) == ALLOW  # x32's read
    assert run(default, 0x40000000 + 272, arch=X86_64) == error(errno.EPERM)


def test_another_architecture_is_killed(default: bytes) -> None:
    assert run(default, 0, arch=0xC00000B7) == KILL


@pytest.mark.parametrize("arch", [X86_64, I386])
def test_a_call_newer_than_the_profile_is_not_there(default: bytes, arch: int) -> None:
    assert run(default, 0x3FFF, arch=arch) == error(errno.ENOSYS)


def test_where_everything_is_allowed_so_are_newer_calls() -> None:
    assert run(one("SCMP_ACT_ERRNO"), 0x3FFF) == ALLOW


@pytest.mark.parametrize(
    ("operator", "value", "two", "hits", "misses"),
    [
        ("EQ", 5, 0, 5, 6), ("NE", 5, 0, 6, 5), ("LT", 5, 0, 4, 5), ("LE", 5, 0, 5, 6), ("GE", 5, 0, 5, 4),
        ("GT", 5, 0, 6, 5), ("MASKED_EQ", 0xF0, 0x50, 0x5A, 0x6A), ("EQ", 1 << 40, 0, 1 << 40, 0),
    ],
)  # fmt: skip
def test_arguments_are_compared(operator: str, value: int, two: int, hits: int, misses: int) -> None:
    program = one("SCMP_ACT_ERRNO", SeccompArg(1, value, f"SCMP_CMP_{operator}", two), errno_ret=7)
    assert run(program, 41, 0, hits) == error(7)
    assert run(program, 41, 0, misses) == ALLOW


def test_conditions_on_different_arguments_hold_together() -> None:
    program = one("SCMP_ACT_ERRNO", SeccompArg(0, 1, "SCMP_CMP_EQ"), SeccompArg(1, 2, "SCMP_CMP_EQ"))
    assert [run(program, 41, *pair) for pair in ((1, 2), (1, 3), (0, 2))] == [error(1), ALLOW, ALLOW]


def test_of_conditions_on_one_argument_any_holds() -> None:
    program = one("SCMP_ACT_ERRNO", SeccompArg(0, 1, "SCMP_CMP_EQ"), SeccompArg(0, 2, "SCMP_CMP_EQ"))
    assert [run(program, 41, value) for value in (1, 2, 3)] == [error(1), error(1), ALLOW]


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        ("SCMP_ACT_KILL", 0), ("SCMP_ACT_KILL_PROCESS", 0x80000000), ("SCMP_ACT_TRAP", 0x30000),
        ("SCMP_ACT_LOG", 0x7FFC0000), ("SCMP_ACT_TRACE", 0x7FF00001), ("SCMP_ACT_ERRNO", error(1)),
    ],
)  # fmt: skip
def test_actions(action: str, answer: int) -> None:
    assert run(one(action), 41) == answer


def test_unknown_calls_are_left_out() -> None:
    rule = SeccompSyscall(("no_such_call", "socket"), "SCMP_ACT_ERRNO")
    assert run(seccomp_cache.compile_filter(Seccomp("SCMP_ACT_ALLOW", syscalls=(rule,))), 41) == error(1)


def test_a_rule_that_repeats_the_default_is_no_error() -> None:
    assert run(one("SCMP_ACT_ALLOW"), 41) == ALLOW


@pytest.mark.parametrize(
    "profile",
    [
        Seccomp("SCMP_ACT_MAYBE"),
        Seccomp("SCMP_ACT_ALLOW", architectures=("SCMP_ARCH_Z80",)),
        _profile(SeccompArg(0, 1, "=")),
        _profile(SeccompArg(6, 1, "SCMP_CMP_EQ")),
    ],
    ids=["action", "architecture", "operator", "argument"],
)  # fmt: skip
def test_what_is_wrong_in_a_profile_is_named(profile: Seccomp) -> None:
    with pytest.raises(InvalidArgument, match=r"^seccomp: "):
        seccomp_cache.compile_filter(profile)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp_cache, "_known", {})


def test_a_kept_program_is_used_without_libseccomp(
    tmp_path: Path, forgetful: None, monkeypatch: pytest.MonkeyPatch, default: bytes
) -> None:
    profile = default_profile(capabilities.DEFAULT, "x86_64", (6, 1))
    directory = str(tmp_path / "cache")
    assert seccomp_cache.filter_for(profile, directory) == default
    seccomp_cache._known.clear()

    def gone(profile: Seccomp) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(seccomp_cache, "compile_filter", gone)
    assert seccomp_cache.filter_for(profile, directory) == default
    with pytest.raises(AssertionError):
        seccomp_cache.filter_for(Seccomp("SCMP_ACT_LOG"), directory)


def test_a_damaged_program_is_made_again(tmp_path: Path, forgetful: None) -> None:
    profile = Seccomp("SCMP_ACT_LOG")
    program = seccomp_cache.filter_for(profile, str(tmp_path))
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(program[:-3])
    seccomp_cache._known.clear()
    assert seccomp_cache.filter_for(profile, str(tmp_path)) == kept.read_bytes() == program


def test_a_place_that_cannot_be_written_is_done_without(tmp_path: Path, forgetful: None) -> None:
    (tmp_path / "file").write_text("")
    assert seccomp_cache.filter_for(Seccomp("SCMP_ACT_LOG"), str(tmp_path / "file" / "cache"))


def test_flags() -> None:
    names = ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG", "UNKNOWN")
    assert seccomp.flags_of(Seccomp("SCMP_ACT_ALLOW", flags=names)) == 6
