"""A child that takes a process's memory over: clone3(2) with CLONE_VM and CLONE_VFORK, from Python.

A fork copies page tables, and then both sides pay for each page that they write to: milliseconds for an interpreter.
Here nothing is copied. The child goes on, in the same memory and on the same stack, where its maker called; the maker
stands still in the kernel until the child has executed a program, and then has the memory back, with all that the child
has made of it, and goes on where that has left: :func:`execute` raises :class:`Executed` there. When the child ends
without that, the maker ends, too.

::

    maker                                            child
      | swapcontext(3): to a small stack of its own    .
      |   syscall(clone3) --------------------------->| the same place
      |   stands still                                | back on the large stack, which is its own from here on
      |   .                                           | puts the small one right, and has it lead to _exit(2)
      |   .                                           | ...
      |   .                                           | swapcontext(3): to the program's stack; the small one
      |   .                                           |   leads back to this place now
      |   goes on: Executed <----------------------------- execve(2)

The small stack is why the maker cannot stumble over what the child has written meanwhile: it comes to the large one
only where a call waits there. Whoever sends SIGKILL to it while it stands still ends it, and not the child.

What belongs to a process and not to its memory is the maker's own as before: descriptors, directories, users,
namespaces, signals. Objects that the child has left must therefore own no descriptor.

Sources: clone(2), vfork(2), execve(2), makecontext(3); sysdeps/unix/sysv/linux of glibc for the head of ``ucontext_t``.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence
from typing import NoReturn

from containerkit.linux.libc import check, libc, syscall_number
from containerkit.linux.namespaces import CLONE_INTO_CGROUP, CLONE_PARENT

CLONE_VM, CLONE_VFORK, CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID = 0x100, 0x4000, 0x100000, 0x200000
# More than ucontext_t takes on any machine, and the head that all of 64 bits have: uc_flags, uc_link, uc_stack.
_CONTEXT_SIZE, _HEAD = 8192, struct.Struct("QQQi4xQ")
_STACK_SIZE, _TOP = 65536, 512
_clone3, _set_tid_address = (ctypes.c_long(syscall_number(name)) for name in ("clone3", "set_tid_address"))
_syscall, _execve, _exit = (ctypes.cast(one, ctypes.c_void_p) for one in (libc.syscall, libc.execve, libc._exit))
# Looked up now, as those in libc.py. Some C libraries do without (musl).
_HAS_CONTEXTS = all(hasattr(libc, name) for name in ("getcontext", "makecontext", "swapcontext"))


class _Context:
    """A place to go on at, with a stack of its own."""

    def __init__(self) -> None:
        self.data = ctypes.create_string_buffer(_CONTEXT_SIZE)
        self.stack = ctypes.create_string_buffer(_STACK_SIZE)

    def call(self, function: ctypes.c_void_p, *arguments: object, then: _Context | None = None) -> None:
        """Whoever goes there calls ``function``, and goes on to ``then`` after that."""
        libc.getcontext(self.data)
        link = 0 if then is None else ctypes.addressof(then.data)
        _HEAD.pack_into(self.data, 0, 0, link, ctypes.addressof(self.stack), 0, _STACK_SIZE)
        libc.makecontext(self.data, function, ctypes.c_int(len(arguments)), *arguments)


# Made before they are needed: what takes over touches no new page for them.
_large, _small, _program = _Context(), _Context(), _Context()
# The child's pid while it has its maker's memory. Written by the kernel: before the child runs; 0 again when it has
# executed a program or ended, before the maker goes on.
_lives = ctypes.c_int(0)


class Executed(BaseException):
    """In the maker: its child has executed a program, or was killed in doing so; the memory is the maker's again."""


def take_over(flags: int, cgroup: int | None = None, *, shares_memory: bool = True) -> None:
    """Go on as a child of the caller's parent; the caller comes back from :func:`execute`, if it comes back.

    To be called in a process with one thread. Python's own after-fork work is done, as os.fork does.

    Args:
        flags: CLONE_NEW… flags.
        cgroup: descriptor of a v2 cgroup directory the child is born in (CLONE_INTO_CGROUP).
        shares_memory: False where the kernel wants memory of its own: before it is executed, a program that shares
            another's memory is not in a new time namespace.

    Raises:
        OSError: the kernel refuses; the caller is as before.
    """
    flags |= CLONE_PARENT
    if cgroup is not None:
        flags |= CLONE_INTO_CGROUP
    if shares_memory and _HAS_CONTEXTS:
        _share(flags, cgroup or 0)
    elif check(libc.syscall(_clone3, *_arguments(flags, cgroup or 0)), "clone3"):
        os._exit(0)  # the maker, of memory that is its own
    ctypes.pythonapi.PyOS_AfterFork_Child()


def _share(flags: int, cgroup: int) -> None:
    # At its end the kernel would write 0 where the C library has the number by which its locks know their owner.
    libc.syscall(_set_tid_address, ctypes.c_void_p(None))
    flags |= CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID
    arguments = _arguments(flags, cgroup, ctypes.addressof(_lives))
    _small.call(_syscall, _clone3, *arguments, then=_large)
    top = _small.stack.raw[-_TOP:]
    ctypes.set_errno(0)
    libc.swapcontext(_large.data, _small.data)
    if number := ctypes.get_errno():
        raise OSError(number, os.strerror(number), "clone3")
    if not _lives.value:
        os._exit(0)  # the maker, of a child that was killed before it could lead it away from here
    ctypes.memmove(ctypes.addressof(_small.stack) + _STACK_SIZE - _TOP, top, _TOP)
    _large.call(_exit, ctypes.c_int(0))


def execute(path: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> NoReturn:
    """execve(2), as os.execve; where the process has a maker's memory, the maker goes on after it.

    Raises:
        OSError: the kernel refuses; the process is as before.
        Executed: in the maker.
    """
    if not _lives.value:
        os.execve(path, arguments, environment)
    settings = [f"{name}={value}" for name, value in environment.items()]
    # Kept until the switch: the call has their addresses.
    words = ctypes.c_char_p(_bytes(path)), _strings(arguments), _strings(settings)
    _program.call(_execve, *words, then=_large)
    ctypes.set_errno(0)
    libc.swapcontext(_large.data, _program.data)
    if not _lives.value:
        raise Executed
    number = ctypes.get_errno()
    _large.call(_exit, ctypes.c_int(0))
    raise OSError(number, os.strerror(number), path)


def _strings(texts: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * (len(texts) + 1))(*map(_bytes, texts), None)


def _bytes(text: str) -> bytes:
    data = os.fsencode(text)
    if b"\0" in data:
        raise ValueError("embedded null byte")
    return data


def _arguments(flags: int, cgroup: int, tid: int = 0) -> tuple[ctypes.c_char_p, ctypes.c_long]:
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, …, cgroup
    arguments = struct.pack("11Q", flags, 0, tid, tid, 0, 0, 0, 0, 0, 0, cgroup)
    return ctypes.c_char_p(arguments), ctypes.c_long(len(arguments))
