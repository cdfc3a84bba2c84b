"""DNS, from whoever is in a container; and the host's resolv.conf."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from hypothesis import strategies as st

from containerkit.linux.loop import Loop
from containerkit.net import dns, etcfiles
from containerkit.net.conversation import Conversation
from tests.fuzz.case import parser
from tests.fuzz.edits import spoiled, text


def _query(name: bytes, kind: int = dns.A, more: bytes = b"", records: int = 0) -> bytes:
    labels = b"".join(bytes((len(label),)) + label for label in name.split(b".") if label)
    return struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, records) + labels + b"\0" + struct.pack("!HH", kind, dns.IN) + more


_OPT = b"\0" + struct.pack("!HHIH", dns.OPT, 1232, 0x8000, 0)
_QUERIES = (
    _query(b"web.example"),
    _query(b"WEB", dns.AAAA, _OPT, 1),
    _query(b"1.0.0.10.in-addr.arpa", dns.PTR),
    _query(b"x" * 63 + b"." + b"y" * 63),
    _query(b"", dns.ANY),
    _query(b"a\\.\xff"),
    _query(b"a", 1, b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + b"abcd", 1),
    _query(b"1." * 32 + b"ip6.arpa", dns.PTR),
)


@parser("dns", spoiled(*_QUERIES), errors=(dns.Malformed,), examples=150)
def _dns(data: bytes) -> None:
    refused = dns.refusal(data, dns.FORMERR)
    assert dns.refusal(refused, dns.FORMERR) == b""
    query = dns.parse(data)
    dns.reversed_address(query.name)
    for records in ([], dns.address_records(["10.0.0.1", "::1"] * 40, dns.ANY)):
        answer = dns.reply(query, records=records, longest=query.longest)
        assert len(answer) <= max(query.longest, 12 + len(query.question) + 11)
        assert dns.is_answer(answer, query, query.id)
        dns.passed_on(answer, query, query.longest)


@parser(
    "dns answer",
    spoiled(*[dns.reply(dns.parse(one), records=dns.address_records(["10.0.0.1"] * 3, dns.A)) for one in _QUERIES[:3]]),
)
def _answer(data: bytes) -> None:
    query = dns.parse(_QUERIES[1])
    if dns.is_answer(data, query, query.id):
        dns.code_of(data)
        passed = dns.passed_on(data, query, 512)
        assert len(passed) <= 512


@parser(
    "dns connection",
    spoiled(
        st.lists(st.sampled_from(_QUERIES), max_size=20).map(
            lambda some: b"".join(len(one).to_bytes(2, "big") + one for one in some)
        )
    ),
)
def _connection(data: bytes) -> None:
    loop = Loop()
    heard: list[bytes] = []
    ended: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with ours, theirs:
        talk = Conversation(loop, ours, heard.append, lambda: ended.append(1), longest=4096)
        theirs.setblocking(False)
        while data and not ended:
            with suppress(OSError):  # it has hung up
                theirs.send(data[:5000])
            data = data[5000:]
            for _ in range(3):
                if not ended:
                    loop.after(0, lambda: None)
                    loop.turn()
            for _ in heard:
                talk.say(b"answer")
            heard.clear()
            try:
                while theirs.recv(65536):
                    pass
            except OSError:
                pass  # nothing more, or it has hung up
        talk.close()


_RESOLV = "# x\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nsearch a b.c\ndomain d\noptions ndots:2 use-vc\n"


@parser("resolv.conf", text(_RESOLV))
def _resolv(data: str) -> None:
    said = etcfiles.resolv_conf(data)
    assert etcfiles.resolv_conf(said) == said
    etcfiles.upstreams(data)
