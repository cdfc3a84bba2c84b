"""bpf(2), as far as device filters of cgroups need it.

Sources: bpf(2); include/uapi/linux/bpf.h (union bpf_attr).
"""

from __future__ import annotations

import ctypes
import os
import struct

from containerkit.linux.libc import check, libc

BPF_PROG_LOAD, BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_GET_FD_BY_ID, BPF_PROG_QUERY = 5, 8, 9, 13, 16
BPF_PROG_TYPE_CGROUP_DEVICE, BPF_CGROUP_DEVICE = 15, 6
BPF_F_ALLOW_MULTI = 2

_NUMBERS = {"x86_64": 321, "s390x": 351, "ppc64le": 361, "i686": 357, "armv7l": 386}
_long = ctypes.c_long


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char], what: str) -> int:
    """bpf(2); ``attributes`` is a union bpf_attr, of which the kernel takes the missing rest as zeros."""
    number = _NUMBERS.get(os.uname().machine, 280)
    return check(libc.syscall(_long(number), _long(command), attributes, _long(len(attributes))), what)


def load_device_program(instructions: bytes) -> int:
    """BPF_PROG_LOAD: a descriptor of the program. The verifier's complaint, if any, is in the ``OSError``."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    name = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII", BPF_PROG_TYPE_CGROUP_DEVICE, len(instructions) // 8, ctypes.addressof(code),
        ctypes.addressof(name), 0, 0, 0, 0, 0,
    )  # fmt: skip
    return bpf(BPF_PROG_LOAD, _buffer(attributes), "BPF_PROG_LOAD")


def attach_device_program(cgroup: int, program: int) -> None:
    """BPF_PROG_ATTACH beside what is attached already; every one of them has to say yes."""
    _attach(BPF_PROG_ATTACH, cgroup, program, BPF_F_ALLOW_MULTI)


def detach_device_program(cgroup: int, program: int) -> None:
    """BPF_PROG_DETACH."""
    _attach(BPF_PROG_DETACH, cgroup, program, 0)


def _attach(command: int, cgroup: int, program: int, flags: int) -> None:
    bpf(command, _buffer(struct.pack("=IIII", cgroup, program, BPF_CGROUP_DEVICE, flags)), "cgroup device program")


def device_programs(cgroup: int) -> list[int]:
    """Descriptors of the programs attached to that cgroup itself: BPF_PROG_QUERY. The caller closes them."""
    ids = (ctypes.c_uint32 * 64)()
    attributes = _buffer(
        struct.pack("=IIIIQII", cgroup, BPF_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids), 0) + bytes(24)
    )
    bpf(BPF_PROG_QUERY, attributes, "BPF_PROG_QUERY")
    (count,) = struct.unpack_from("=I", attributes, 24)
    return [
        bpf(BPF_PROG_GET_FD_BY_ID, _buffer(struct.pack("=III", number, 0, 0)), "BPF_PROG_GET_FD_BY_ID")
        for number in ids[:count]
    ]


def replace_device_program(directory: str, instructions: bytes) -> None:
    """Make ``instructions`` the one device program of the v2 cgroup at ``directory``.

    The new one is attached before the old ones go: at no moment is more allowed than either allows.
    """
    program = load_device_program(instructions)
    try:
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            old = device_programs(cgroup)
            try:
                attach_device_program(cgroup, program)
                for other in old:
                    detach_device_program(cgroup, other)
            finally:
                for other in old:
                    os.close(other)
        finally:
            os.close(cgroup)
    finally:
        os.close(program)


def _buffer(data: bytes) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(data, len(data))
