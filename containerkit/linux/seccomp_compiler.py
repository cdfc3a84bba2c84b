"""A seccomp profile as a program of classic BPF, by libseccomp.

Sources: the manual pages of libseccomp: seccomp_init(3), seccomp_arch_add(3), seccomp_rule_add(3),
seccomp_export_bpf(3); seccomp(2) for struct seccomp_data; include/uapi/linux/filter.h.

Two things are added to what libseccomp makes of the rules:

- Calls that are newer than everything the profile knows fail with ENOSYS rather than EPERM: C libraries try new calls
  first and fall back only on ENOSYS. (runc does the same.)
- Names that this libseccomp does not know are left out, as the runtime specification asks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from functools import cache

from containerkit.errors import InvalidArgument, RuntimeFailure, Unsupported
from containerkit.linux.libc import libc
from containerkit.oci.runtime_spec import Seccomp, SeccompArg, SeccompSyscall

#: To be raised when the same profile compiles to another program: kept programs are not used then.
REVISION = 1

_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_OPERATORS = {
    f"SCMP_CMP_{name}": place for place, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)
}
_ATTRIBUTE_OPTIMIZE, _BINARY_TREE = 8, 2
#: Numbers above are not given to anything.
_MOST_CALLS = 1024
_X86_64, _X32, _X32_BIT = 0xC000003E, 0x4000003E, 0x40000000


def names() -> tuple[list[str], list[str]]:
    """The actions and operators that a profile may have."""
    return sorted(_ACTIONS), sorted(_OPERATORS)


@cache
def calls() -> frozenset[str]:
    """The system calls of this machine, as far as the library knows them."""
    library = _library()
    resolve = library["seccomp_syscall_resolve_name"]
    found = (_call(library, number) for number in range(_MOST_CALLS))
    return frozenset(name for name in found if name and resolve(name.encode()) >= 0)


def _call(library: ctypes.CDLL, number: int) -> str:
    given = library.seccomp_syscall_resolve_num_arch(library.seccomp_arch_native(), number)
    if not given:
        return ""
    try:
        return (ctypes.string_at(given)).decode()
    finally:
        libc.free(ctypes.c_void_p(given))


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("value_two", ctypes.c_uint64),
    )


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as problem:
        raise Unsupported(
            "seccomp: libseccomp.so.2 is not installed: install Debian's or Ubuntu's package libseccomp2, Fedora's or "
            "conda-forge's libseccomp, or run with security_opt seccomp=unconfined"
        ) from problem
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = library.seccomp_arch_remove.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    library.seccomp_syscall_resolve_num_arch.argtypes = (ctypes.c_uint32, ctypes.c_int)
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Comparison),
    )  # fmt: skip
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return library


def compile_filter(profile: Seccomp) -> bytes:
    """The program: an array of struct sock_filter.

    Raises:
        Unsupported: libseccomp is not installed.
        InvalidArgument: an unknown action, operator or architecture, or a rule that libseccomp refuses.
    """
    library = _library()
    default = _action(profile.default_action, profile.default_errno_ret)
    architectures = [_architecture(library, name) for name in profile.architectures]
    context = library.seccomp_init(default)
    if not context:
        raise InvalidArgument(f"seccomp: default action {profile.default_action}: libseccomp refuses it")
    try:
        _set_architectures(library, context, architectures)
        # Older libraries (before 2.5) have no binary tree; their filters are longer walks, and as right.
        library.seccomp_attr_set(context, _ATTRIBUTE_OPTIMIZE, _BINARY_TREE)
        for rule in profile.syscalls:
            action = _action(rule.action, rule.errno_ret)
            # libseccomp refuses rules that say what the default says.
            if action != default:
                _add(library, context, rule, action)
        program = _export(library, context)
    finally:
        library.seccomp_release(context)
    if not profile.default_action.startswith(("SCMP_ACT_ERRNO", "SCMP_ACT_KILL")):
        return program
    return _unknown_calls(library, profile, architectures or [library.seccomp_arch_native()]) + program


def _action(name: str, error: int | None) -> int:
    if name not in _ACTIONS:
        raise InvalidArgument(f"seccomp: action {name!r}: expected one of {', '.join(_ACTIONS)}")
    if name in _WITH_ERRNO:
        return _ACTIONS[name] | (errno.EPERM if error is None else error) & 0xFFFF
    return _ACTIONS[name]


def _architecture(library: ctypes.CDLL, name: str) -> int:
    token = int(library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode()))
    if token == 0:
        raise InvalidArgument(f"seccomp: architecture {name!r}: unknown to libseccomp")
    return token


def _set_architectures(library: ctypes.CDLL, context: int, tokens: Sequence[int]) -> None:
    """Exactly ``tokens``; the native one, which a new filter has, goes when it is not among them."""
    native = int(library.seccomp_arch_native())
    for token in tokens:
        if token != native:
            _succeed(library.seccomp_arch_add(context, token), "architecture")
    if tokens and native not in tokens:
        _succeed(library.seccomp_arch_remove(context, native), "architecture")


def _add(library: ctypes.CDLL, context: int, rule: SeccompSyscall, action: int) -> None:
    groups = _comparisons(rule.args)
    for name in rule.names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            continue
        for group in groups:
            array = (_Comparison * len(group))(*group)
            result = library.seccomp_rule_add_array(context, action, number, len(group), array)
            _succeed(result, f"rule for {name}")


def _comparisons(arguments: Sequence[SeccompArg]) -> list[list[_Comparison]]:
    """The conditions of a rule, all of which have to hold; a list for each rule that becomes of it.

    One rule of libseccomp looks at an argument once. Where a profile gives two conditions for one argument, each
    becomes a rule of its own, of which any may hold: that is what runc makes of it, and profiles are written for it.
    """
    built = [_comparison(argument) for argument in arguments]
    indexes = [argument.index for argument in arguments]
    return [[one] for one in built] if len(set(indexes)) < len(indexes) else [built]


def _comparison(argument: SeccompArg) -> _Comparison:
    if argument.op not in _OPERATORS:
        raise InvalidArgument(f"seccomp: operator {argument.op!r}: expected one of {', '.join(_OPERATORS)}")
    if not 0 <= argument.index <= 5:
        raise InvalidArgument(f"seccomp: argument {argument.index}: expected 0 to 5")
    return _Comparison(argument.index, _OPERATORS[argument.op], argument.value, argument.value_two)


def _succeed(result: int, what: str) -> None:
    # libseccomp returns negative errnos. EEXIST: said twice.
    if result < 0 and result != -errno.EEXIST:
        raise InvalidArgument(f"seccomp: {what}: {os.strerror(-result).lower()}", errno=-result)


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        result = library.seccomp_export_bpf(context, descriptor)
        if result < 0:
            raise RuntimeFailure(f"seccomp: export: {os.strerror(-result).lower()}", errno=-result)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _unknown_calls(library: ctypes.CDLL, profile: Seccomp, tokens: Sequence[int]) -> bytes:
    """Instructions before the program: ENOSYS for numbers above the highest that the profile names.

    x86_64 and x32 share an architecture in the kernel; x32's numbers have bit 30 set.
    """
    encoded = [name.encode() for rule in profile.syscalls for name in rule.names]
    highest = {
        token: max((library.seccomp_syscall_resolve_name_arch(token, name) for name in encoded), default=-1)
        for token in tokens
    }
    program = b""
    for token, number in highest.items():
        if number < 0 or token == _X32:
            continue
        above = [(_JUMP_GREATER, 0, 1, number), (_RETURN, 0, 0, _ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS)]
        if token == _X86_64:
            # x32's numbers are none of these: they are left to the program proper.
            above.insert(0, (_JUMP_AT_LEAST, len(above), 0, _X32_BIT))
        block = [(_LOAD, 0, 0, _ARCH), (_JUMP_EQUAL, 0, len(above) + 1, token), (_LOAD, 0, 0, _NUMBER), *above]
        program += b"".join(struct.pack("=HBBI", *instruction) for instruction in block)
    return program


# Classic BPF: opcodes, and offsets in struct seccomp_data.
_LOAD, _RETURN = 0x20, 0x06
_JUMP_EQUAL, _JUMP_GREATER, _JUMP_AT_LEAST = 0x15, 0x25, 0x35
_NUMBER, _ARCH = 0, 4
