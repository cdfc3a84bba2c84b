"""Device rules as an eBPF program: a pure function from rules to bytes.

Sources: include/uapi/linux/bpf.h (struct bpf_insn, struct bpf_cgroup_dev_ctx); Documentation/bpf/standardization/
instruction-set.rst; cgroup-v2.rst, "Device controller".

The program is asked with the kind of device, its numbers, and the accesses wanted. It keeps the accesses that no rule
has decided yet and goes through the rules from the last to the first, for a later rule wins: an allowing rule takes
its accesses off that set, a denying one that meets it says no. When the set is empty it says yes, at the end no.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from containerkit.linux.cgroups import devices
from containerkit.oci.runtime_spec import DeviceCgroup

# Opcodes: class, source and operation are added up as the instruction set says.
_LOAD_WORD = 0x61  # dst = *(u32 *)(src + offset)
_MOVE = 0xB4  # 32 bit, immediate
_COPY = 0xBC  # 32 bit, register
_AND = 0x54
_RIGHT_SHIFT = 0x74
_JUMP_NOT_EQUAL = 0x55
_JUMP_IF_BITS = 0x45  # JSET: any of the immediate's bits
_JUMP = 0x05
_EXIT = 0x95

_KIND = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL = 7

# Registers: 1 is the context; what it holds is copied out.
_ANSWER, _CONTEXT, _UNDECIDED, _TYPE, _MAJOR, _MINOR = 0, 1, 2, 3, 4, 5

Instruction = tuple[int, int, int, int, int]  # opcode, destination, source, offset, immediate


def compile_rules(rules: Sequence[DeviceCgroup]) -> bytes:
    """The program of BPF_PROG_TYPE_CGROUP_DEVICE for ``rules``, in order, a later one over an earlier one.

    Raises:
        InvalidArgument: a rule names no known type or access.
    """
    program: list[Instruction] = [
        (_LOAD_WORD, _UNDECIDED, _CONTEXT, 0, 0),
        (_COPY, _TYPE, _UNDECIDED, 0, 0),
        (_AND, _TYPE, 0, 0, 0xFFFF),
        (_RIGHT_SHIFT, _UNDECIDED, 0, 0, 16),
        (_LOAD_WORD, _MAJOR, _CONTEXT, 4, 0),
        (_LOAD_WORD, _MINOR, _CONTEXT, 8, 0),
    ]
    for rule in reversed(rules):
        devices.validate(rule)
        if devices.is_everything(rule):
            # Nothing before it can matter; and the verifier refuses code that is never reached.
            program += _answer(rule.allow)
            break
        for kind in devices.kinds(rule):
            program += _rule(rule, kind)
    else:
        program += _answer(False)
    return b"".join(
        struct.pack("=BBhi", code, destination | source << 4, offset, value)
        for code, destination, source, offset, value in program
    )


def _rule(rule: DeviceCgroup, kind: str) -> list[Instruction]:
    tests = [(_TYPE, _KIND[kind])]
    tests += [
        (register, value)
        for register, value in ((_MAJOR, rule.major), (_MINOR, rule.minor))
        if value is not None and value >= 0
    ]
    action = _allow(rule.access) if rule.allow else _deny(rule.access)
    # A test that fails jumps over the tests after it and the action.
    jumps = [
        (_JUMP_NOT_EQUAL, register, 0, len(tests) - place - 1 + len(action), value)
        for place, (register, value) in enumerate(tests)
    ]
    return [*jumps, *action]


def _bits(access: str) -> int:
    return sum(_ACCESS[letter] for letter in set(access))


def _allow(access: str) -> list[Instruction]:
    return [
        (_AND, _UNDECIDED, 0, 0, _ALL & ~_bits(access)),
        (_JUMP_NOT_EQUAL, _UNDECIDED, 0, 2, 0),
        *_answer(True),
    ]


def _deny(access: str) -> list[Instruction]:
    # JSET has no opposite: it jumps over the jump that leaves.
    return [
        (_JUMP_IF_BITS, _UNDECIDED, 0, 1, _bits(access)),
        (_JUMP, 0, 0, 2, 0),
        *_answer(False),
    ]


def _answer(allowed: bool) -> list[Instruction]:
    return [(_MOVE, _ANSWER, 0, 0, int(allowed)), (_EXIT, 0, 0, 0, 0)]
