"""The eBPF program of device rules, run by a small interpreter, against the rules read one by one."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containerkit.linux.cgroups import DEFAULT_DEVICES
from containerkit.linux.cgroups.device_filter import compile_rules
from containerkit.oci.runtime_spec import DeviceCgroup


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """Whether the program lets ``access`` through."""
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = {0: bits << 16 | {"b": 1, "c": 2}[kind], 4: major, 8: minor}
    registers = [0] * 11
    place = 0
    while True:
        code, packed, offset, value = struct.unpack_from("=BBhi", program, place * 8)
        target, source = packed & 15, packed >> 4
        place += 1
        if code == 0x61:
            assert source == 1, "only the context is memory"
            registers[target] = context[offset]
        elif code == 0xB4:
            registers[target] = value
        elif code == 0xBC:
            registers[target] = registers[source]
        elif code == 0x54:
            registers[target] &= value
        elif code == 0x74:
            registers[target] >>= value
        elif code == 0x55:
            place += offset if registers[target] != value else 0
        elif code == 0x45:
            place += offset if registers[target] & value else 0
        elif code == 0x05:
            place += offset
        elif code == 0x95:
            return bool(registers[0])
        else:
            raise AssertionError(f"opcode {code:#x}")


def by_the_rules(rules: Sequence[DeviceCgroup], kind: str, major: int, minor: int, access: str) -> bool:
    """Every access is decided by the last rule that speaks of it; of what no rule speaks is denied."""

    def decided(letter: str) -> bool:
        for rule in reversed(rules):
            kinds = {"a": "bc", "": "bc", "u": "c"}.get(rule.type, rule.type)
            numbers = ((rule.major, major), (rule.minor, minor))
            if kind in kinds and letter in rule.access and all(w in (None, -1, n) for w, n in numbers):
                return rule.allow
        return False

    return all(decided(letter) for letter in access)


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    [
        ("c", 1, 3, "rw", True), ("c", 1, 11, "r", False), ("c", 136, 7, "rw", True), ("c", 5, 2, "rwm", True),
        ("b", 8, 0, "r", False), ("b", 8, 0, "m", True), ("b", 8, 0, "rm", False), ("c", 10, 229, "w", False),
    ],
)  # fmt: skip
def test_docker_defaults(kind: str, major: int, minor: int, access: str, allowed: bool) -> None:
    assert run(compile_rules(DEFAULT_DEVICES), kind, major, minor, access) is allowed


def test_privileged_allows_everything() -> None:
    assert run(compile_rules((DeviceCgroup(True),)), "b", 8, 0, "rwm")


def test_no_rules_allow_nothing() -> None:
    assert not run(compile_rules(()), "c", 1, 3, "r")


def test_two_rules_together_allow_what_neither_does_alone() -> None:
    rules = (DeviceCgroup(False), DeviceCgroup(True, "c", 1, 3, "r"), DeviceCgroup(True, "c", 1, 3, "w"))
    assert run(compile_rules(rules), "c", 1, 3, "rw")


rule = st.builds(
    DeviceCgroup, st.booleans(), st.sampled_from(["", "a", "b", "c", "u"]),
    st.sampled_from([None, -1, 1, 5, 300]), st.sampled_from([None, 3, 70000]),
    st.sampled_from(["r", "w", "m", "rw", "rwm", "wr"]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(rule, max_size=8), st.sampled_from("bc"), st.sampled_from([1, 5, 300, 9]), st.sampled_from([3, 70000, 4]),
    st.sampled_from(["r", "w", "m", "rw", "rwm"]),
)  # fmt: skip
def test_any_list_of_rules_means_what_it_says(
    rules: list[DeviceCgroup], kind: str, major: int, minor: int, access: str
) -> None:
    assert run(compile_rules(rules), kind, major, minor, access) == by_the_rules(rules, kind, major, minor, access)
