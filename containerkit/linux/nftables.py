"""nftables: elements by hand, for the path of a start; everything else by libnftables, as nft(8) takes it.

A process that has used the library holds ten megabytes more than before: one that lives on asks a child
(:func:`apart`). Either way a call is one transaction of the kernel's: all of it, or nothing.

Sources: libnftables(3), nft(8), include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import ClassVar, NamedTuple

from containerkit.errors import ContainerkitError, RuntimeFailure, Unsupported
from containerkit.linux import process
from containerkit.linux.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    attribute,
)

_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 16, 17, 10  # NFNL_MSG_BATCH_…, NFNL_SUBSYS_NFTABLES
_GETTABLE, _NEWSETELEM, _DELSETELEM = 1, 12, 14  # NFT_MSG_…
_NFPROTO_INET, _NFTA_TABLE_NAME = 1, 1
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _LIST_ELEM = 1, 2, 3, 1  # NFTA_SET_ELEM_LIST_…, NFTA_LIST_ELEM
_ELEM_KEY, _ELEM_DATA, _DATA_VALUE = 1, 2, 1  # NFTA_SET_ELEM_…, NFTA_DATA_VALUE
_OUTPUT_JSON = 1 << 4
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
#: Bytes of a socket's buffers that one element takes, as a message or as its refusal, with what the kernel adds.
_ROOM = 2048


class Element(NamedTuple):
    """One element of a map: ``key`` and ``data`` as the kernel has them, each part on four bytes."""

    map: str
    key: bytes
    data: bytes


class Channel:
    """A socket to nftables, in the network namespace that this process is in when it is made.

    To close it is to wait until the kernel has destroyed what anybody has deleted before, which takes it up to 20 ms:
    better not in the middle of a start. Who has done with it may :meth:`keep` it for the next one in this process, if
    that is in the same network namespace.
    """

    _kept: ClassVar[Channel | None] = None

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)

    @classmethod
    def take(cls) -> Channel:
        """The one that is kept, or a new one."""
        found, cls._kept = cls._kept, None
        return found or cls()

    @classmethod
    def is_kept(cls) -> bool:
        """Whether one is."""
        return cls._kept is not None

    @classmethod
    def close_kept(cls) -> None:
        """Nobody comes to take it any more."""
        if cls._kept is not None:
            cls.take().close()

    def keep(self) -> None:
        """Let the next one have it: for processes that do one thing after the other."""
        Channel.close_kept()
        if process.readable(self._socket.fileno(), 0):
            self.close()  # an answer is left over, or was lost
        else:
            Channel._kept = self

    def close(self) -> None:
        self._socket.close()

    def has_table(self, name: str) -> bool:
        """Whether there is an ``inet`` table of that name.

        Raises:
            OSError: this kernel has no nftables, or there is no right to look.
        """
        body = attribute(_NFTA_TABLE_NAME, name)
        self._socket.send(_message(_SUBSYSTEM << 8 | _GETTABLE, 0, 1, body))
        code = _error(self._socket.recv(8192))
        if code not in (0, errno.ENOENT):
            raise OSError(code, "nftables cannot be asked")
        return code == 0

    def add(self, table: str, elements: Sequence[Element]) -> None:
        """Add elements of maps; those that are there with the same data are no error.

        Raises:
            OSError: ENOENT: there is no such table; EEXIST: a key is there with other data.
        """
        self._transact(_NEWSETELEM, NLM_F_CREATE, table, elements)

    def delete(self, table: str, elements: Sequence[Element]) -> None:
        """Delete elements.

        Raises:
            OSError: ENOENT: one is not there.
        """
        self._transact(_DELSETELEM, 0, table, elements)

    def _transact(self, kind: int, flags: int, table: str, elements: Sequence[Element]) -> None:
        parts = [_message(_BATCH_BEGIN, 0, 0, b"", resource=_SUBSYSTEM)]
        last = len(elements)
        for number, element in enumerate(elements, 1):
            body = _of(table, element, with_data=kind == _NEWSETELEM)
            # Only the last is acknowledged: more answers than the socket has room for would be lost.
            wanted = flags | (NLM_F_ACK if number == last else 0)
            parts.append(_message(_SUBSYSTEM << 8 | kind, wanted, number, body))
        parts.append(_message(_BATCH_END, 0, last + 1, b"", resource=_SUBSYSTEM))
        self._make_room(last)
        self._socket.send(b"".join(parts))
        problem, is_over = 0, not elements
        while not is_over:
            data = self._socket.recv(65536)
            while len(data) >= 16:
                length, _, _, number, _ = struct.unpack_from("=IHHII", data)
                problem = problem or _error(data)
                # In order; what is refused before the first message is refused for all.
                is_over = is_over or number in (0, last)
                data = data[(length + 3) & ~3 :]
        if problem:
            raise OSError(problem, f"nftables: {os.strerror(problem)}")

    def _make_room(self, count: int) -> None:
        """For so many elements on their way, and a refusal of each on the way back."""
        size = _ROOM * count
        for name, forced in ((socket.SO_SNDBUF, _SO_SNDBUFFORCE), (socket.SO_RCVBUF, _SO_RCVBUFFORCE)):
            if size > self._socket.getsockopt(socket.SOL_SOCKET, name):
                try:
                    self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
                except PermissionError:  # in a user namespace of an older kernel: what everybody may have
                    self._socket.setsockopt(socket.SOL_SOCKET, name, size)


def _message(kind: int, flags: int, number: int, body: bytes, *, resource: int = 0) -> bytes:
    family = 0 if kind in (_BATCH_BEGIN, _BATCH_END) else _NFPROTO_INET
    header = struct.pack("=IHHII", 20 + len(body), kind, flags | NLM_F_REQUEST, number, 0)
    return header + struct.pack("=BB", family, 0) + struct.pack("!H", resource) + body


def _error(answer: bytes) -> int:
    """The errno of an answer, 0 for none."""
    if struct.unpack_from("=H", answer, 4)[0] != NLMSG_ERROR:
        return 0
    return -int(struct.unpack_from("=i", answer, 16)[0])


def _of(table: str, element: Element, *, with_data: bool) -> bytes:
    parts = [attribute(_ELEM_KEY, [attribute(_DATA_VALUE, element.key)])]
    if with_data:
        parts.append(attribute(_ELEM_DATA, [attribute(_DATA_VALUE, element.data)]))
    return (
        attribute(_LIST_TABLE, table)
        + attribute(_LIST_SET, element.map)
        + attribute(_LIST_ELEMENTS, [attribute(_LIST_ELEM, parts)])
    )


# -- by the library ----------------------------------------------------------------------------------------------------


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        raise Unsupported(
            'libnftables: not installed: networks need it (Debian package libnftables1), or network="none"'
        ) from None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    return library


@cache
def is_installed() -> bool:
    """Whether the library is there."""
    try:
        _library()
    except Unsupported:
        return False
    return True


def run(commands: str, *, json: bool = False) -> str:
    """Execute ``commands``; what they print.

    Args:
        json: what they print is to be JSON (libnftables-json(5)).

    Raises:
        RuntimeFailure: the kernel refused; the text is nft's own.
        Unsupported: the library is not installed.
    """
    library = _library()
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    try:
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_output_set_flags(context, _OUTPUT_JSON if json else 0)
        if library.nft_run_cmd_from_buffer(context, commands.encode()):
            text = library.nft_ctx_get_error_buffer(context).decode(errors="replace").strip()
            raise RuntimeFailure(f"nftables: {text.splitlines()[0] if text else 'refused'}")
        return str(library.nft_ctx_get_output_buffer(context).decode(errors="replace"))
    finally:
        library.nft_ctx_free(context)


def apart(function: Callable[[], object]) -> None:
    """Call ``function``, which uses the library, in a child: what that takes of memory goes with it.

    Raises:
        RuntimeFailure: what the child has raised, in its words.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except (ContainerkitError, OSError) as error:
            theirs.send(str(error).encode()[:4000])
        finally:
            os._exit(code)
    theirs.close()
    with ours:
        text = ours.recv(4096).decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeFailure(text or "nftables: the child that lays the firewall was killed")
