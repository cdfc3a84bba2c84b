"""nftables, by libnftables: commands as nft(8) takes them, in process, each call one transaction of the kernel's.

Sources: libnftables(3), nft(8), include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from functools import cache

from containerkit.errors import RuntimeFailure, Unsupported

NETLINK_NETFILTER = 12
_NLMSG_ERROR, _NLM_F_REQUEST = 2, 1
_NFT_MSG_GETTABLE = (10 << 8) | 1  # NFNL_SUBSYS_NFTABLES
_NFPROTO_INET, _NFTA_TABLE_NAME = 1, 1
_OUTPUT_JSON = 1 << 4


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


def load() -> None:
    """Have the library ready, where there is one: loading takes milliseconds, which forked children need not spend."""
    try:
        _library()
    except Unsupported:
        pass  # whoever needs it says so


def run(commands: str, *, linger: bool = False, json: bool = False) -> str:
    """Execute ``commands``, all or none; what they print.

    Args:
        linger: leave the socket to the end of this process. To close it is to wait until the kernel has destroyed what
            was deleted, which takes it up to 20 ms.
        json: what they print is to be JSON (libnftables-json(5)).

    Raises:
        RuntimeFailure: the kernel refused; the text is nft's own.
        Unsupported: the library is not installed.
    """
    library = _library()
    # A new one for each call: one that is kept would keep what it has seen of the ruleset, too.
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    try:
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_buffer_output(context)
        if json:
            library.nft_ctx_output_set_flags(context, _OUTPUT_JSON)
        if library.nft_run_cmd_from_buffer(context, commands.encode()):
            text = library.nft_ctx_get_error_buffer(context).decode(errors="replace").strip()
            raise RuntimeFailure(f"nftables: {text.splitlines()[0] if text else 'refused'}")
        return str(library.nft_ctx_get_output_buffer(context).decode(errors="replace"))
    finally:
        if not linger:
            library.nft_ctx_free(context)


def has_table(name: str) -> bool:
    """Whether there is an ``inet`` table of that name: one message, the library is not needed.

    Raises:
        OSError: this kernel has no nftables, or there is no right to look.
    """
    data = name.encode() + b"\0"
    body = struct.pack("=BBH", _NFPROTO_INET, 0, 0) + struct.pack("=HH", len(data) + 4, _NFTA_TABLE_NAME) + data
    body += b"\0" * (-len(body) % 4)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as channel:
        channel.send(struct.pack("=IHHII", 16 + len(body), _NFT_MSG_GETTABLE, _NLM_F_REQUEST, 1, 0) + body)
        answer = channel.recv(8192)
    if struct.unpack_from("=H", answer, 4)[0] != _NLMSG_ERROR:
        return True
    code = -struct.unpack_from("=i", answer, 16)[0]
    if code != errno.ENOENT:
        raise OSError(code, "nftables cannot be asked")
    return False
