"""The grammar of DNS messages: questions read, answers written.

RFC 1035 section 4; for IPv6 addresses RFC 3596, for OPT records RFC 6891.

::

    message   header, questions, answers, authorities, additional records
    header    id, flags, the number of each                    12 octets
    question  name, type, class
    record    name, type, class, seconds to live, length, data
    name      labels of 1 to 63 octets, each after its length, then 0; or a pointer to an earlier name

Nothing here waits, sends or keeps anything. What comes from outside is read once from its start to its end, and no
pointer is ever followed: no bytes can make that take long.

Names are compared without regard to case (RFC 4343). The question goes back as it came, octet for octet: some who ask
mix the case to make answers hard to forge.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import NamedTuple

#: Types (RFC 1035 section 3.2.2; IXFR RFC 1995, AAAA RFC 3596, OPT RFC 6891).
A, PTR, AAAA, OPT, IXFR, AXFR, ANY = 1, 12, 28, 41, 251, 252, 255
#: The class of the Internet.
IN = 1
#: What became of a question. BADVERS has more bits than the header's four: the others are in the OPT record.
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
#: The longest message there can be, and the longest in a datagram for somebody who did not say more in an OPT record.
LONGEST, SHORT = 65535, 512

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_OPT = struct.Struct("!BHHBBHH")
_RESPONSE, _OPCODE, _TRUNCATED, _RECURSION, _AVAILABLE, _NO_CHECK = 0x8000, 0x7800, 0x0200, 0x0100, 0x0080, 0x0010
#: The name of the (only) question: a pointer to what follows the header.
_SAME_NAME = b"\xc0\x0c"
#: Records hold for the transaction in progress (RFC 1035 section 3.2.1). A container that is started again has another
#: address the next moment, and asking again costs no more than a wake-up on this machine.
_SECONDS_TO_LIVE = 0
#: The size of datagrams that we say we take: what gets through everywhere without fragments.
_OUR_SIZE = 1232


class Malformed(ValueError):
    """Not a query that can be answered with more than ``code``."""

    def __init__(self, message: str, code: int = FORMERR) -> None:
        super().__init__(message)
        self.code = code


class Edns(NamedTuple):
    """What an OPT record says (RFC 6891 section 6.1)."""

    size: int
    version: int
    flags: int


class Query(NamedTuple):
    """A query with its one question.

    ``question`` is that on the wire; ``name`` is for people and for comparing: in lower case, without the last dot
    (the root is ``.``), and unusual octets are escaped as in a zone file, so a dot always is one between labels.
    """

    message: bytes
    id: int
    flags: int
    question: bytes
    name: str
    type: int
    klass: int
    edns: Edns | None

    @property
    def longest(self) -> int:
        """How long a datagram with the answer may be."""
        return SHORT if self.edns is None else max(SHORT, self.edns.size)


class Record(NamedTuple):
    """An answer's type and data. Its name is the question's."""

    type: int
    data: bytes


def parse(message: bytes) -> Query:
    """Read a query.

    Raises:
        Malformed: it is none, or not one that anybody answers.
    """
    if len(message) < _HEADER.size:
        raise Malformed("shorter than a header")
    identifier, flags, questions, *records = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        raise Malformed("an answer")
    if flags & _OPCODE:
        raise Malformed("not a standard query", NOTIMP)
    if questions != 1:
        raise Malformed("not one question")  # RFC 9619: there is never more than one
    labels, position = _labels(message, _HEADER.size)
    if len(message) < position + _QUESTION.size:
        raise Malformed("the question ends too early")
    kind, klass = _QUESTION.unpack_from(message, position)
    position += _QUESTION.size
    question = message[_HEADER.size : position]
    name = ".".join(map(_text, labels)) or "."
    return Query(message, identifier, flags, question, name, kind, klass, _edns(message, position, sum(records)))


def _labels(message: bytes, position: int) -> tuple[list[bytes], int]:
    """A name's labels, and where it ends. A pointer is not one of a question's: before it is nothing to point to."""
    labels = []
    start = position
    while position < len(message) and (size := message[position]):
        position += 1 + size
        # A first octet above 63 is a pointer, or a kind of label that was given up (RFC 6891 section 5).
        if size > 63 or position - start > 254 or position > len(message):
            raise Malformed("the name is none")
        labels.append(message[position - size : position])
    if position >= len(message):
        raise Malformed("the name ends too early")
    return labels, position + 1


def _text(label: bytes) -> str:
    """A label as a zone file has it (RFC 1035 section 5.1), in lower case."""
    return "".join(
        f"\\{octet:03}" if not 33 <= octet <= 126 else f"\\{octet:c}" if octet in b'.\\"();@$' else chr(octet)
        for octet in label.lower()
    )


def _edns(message: bytes, position: int, records: int) -> Edns | None:
    """What the OPT record among those that follow a question says."""
    found = None
    for _ in range(records):
        is_root = message[position : position + 1] == b"\0"
        position = _after_name(message, position)
        if len(message) < position + _RECORD.size:
            raise Malformed("a record ends too early")
        kind, klass, ttl, size = _RECORD.unpack_from(message, position)
        position += _RECORD.size + size
        if kind == OPT:
            if found is not None or not is_root:
                raise Malformed("more than one OPT record, or one with a name")
            found = Edns(klass, ttl >> 16 & 0xFF, ttl & 0xFFFF)
    if position != len(message):
        raise Malformed("not as long as it says")
    return found


def _after_name(message: bytes, position: int) -> int:
    """Where a record's name ends. Where its pointer leads is nobody's concern."""
    while position < len(message) and 0 < message[position] < 64:
        position += 1 + message[position]
    return position + (2 if message[position : position + 1] >= b"\xc0" else 1)


def reply(query: Query, code: int = NOERROR, records: Iterable[Record] = (), longest: int = LONGEST) -> bytes:
    """The answer to a query. When not all records have room in ``longest``, it says so and has those that do.

    That is for those who cannot ask again over TCP (musl before 1.2.4): some addresses are better than none. An answer
    without records has no SOA record either, which forbids to keep it (RFC 2308 section 5): the name may be there soon.
    """
    opt = _opt(query, code)
    room = longest - _HEADER.size - len(query.question) - len(opt)
    body, count, truncated = b"", 0, 0
    for kind, data in records:
        record = _SAME_NAME + _RECORD.pack(kind, IN, _SECONDS_TO_LIVE, len(data)) + data
        if len(body) + len(record) > room:
            truncated = _TRUNCATED
            break
        body += record
        count += 1
    header = _HEADER.pack(query.id, _flags(query.flags, code) | truncated, 1, count, 0, 1 if opt else 0)
    return header + query.question + body + opt


def refusal(message: bytes, code: int) -> bytes:
    """The answer to something whose question could not be read; nothing when it must not have one.

    An answer is never answered: two who did would not stop.
    """
    if len(message) < _HEADER.size or message[2] & 0x80:
        return b""
    identifier, flags, *_ = _HEADER.unpack_from(message)
    return _HEADER.pack(identifier, _flags(flags, code), 0, 0, 0, 0)


def _flags(asked: int, code: int) -> int:
    # Recursion is always available: glibc takes an empty answer without that bit for one of a server that is lame.
    return _RESPONSE | asked & (_OPCODE | _RECURSION | _NO_CHECK) | _AVAILABLE | code & 0xF


def _opt(query: Query, code: int) -> bytes:
    """Our OPT record, for those who sent theirs (RFC 6891 section 6.1.1). "DNSSEC OK" goes back (RFC 3225)."""
    if query.edns is None:
        return b""
    return _OPT.pack(0, OPT, _OUR_SIZE, code >> 4, 0, query.edns.flags & 0x8000, 0)


def address_records(addresses: Iterable[str], kind: int) -> list[Record]:
    """Records of those addresses that are of the type asked for; of both types for ``ANY``.

    Raises:
        OSError: one is no address.
    """
    found = []
    for address in addresses:
        own, family = (AAAA, socket.AF_INET6) if ":" in address else (A, socket.AF_INET)
        if kind in (own, ANY):
            found.append(Record(own, socket.inet_pton(family, address)))
    return found


def pointer_record(name: str) -> Record:
    """The record that says that an address is that of ``name``.

    Raises:
        ValueError: DNS has no such names.
    """
    labels = [label.encode("ascii") for label in name.split(".")]
    data = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(data) > 255 or not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"{name}: not a domain name")
    return Record(PTR, data)


def reversed_address(name: str) -> str | None:
    """The address whose name is asked for under that name (RFC 1035 section 3.5, RFC 3596 section 2.5)."""
    parts = name.split(".")[::-1]
    try:
        if parts[:2] == ["arpa", "in-addr"] and len(parts) == 6:
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, ".".join(parts[2:])))
        if parts[:2] == ["arpa", "ip6"] and len(parts) == 34 and all(len(part) == 1 for part in parts[2:]):
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex("".join(parts[2:])))
    except (OSError, ValueError):
        pass  # somebody's own name there: it is no address
    return None


def with_id(message: bytes, identifier: int) -> bytes:
    """The same message with another id."""
    return identifier.to_bytes(2, "big") + message[2:]


def is_answer(message: bytes, query: Query, identifier: int) -> bool:
    """Whether that is an answer to this query, which had been sent with that id."""
    end = _HEADER.size + len(query.question)
    if len(message) < end:
        return False
    own, flags, questions, *_ = _HEADER.unpack_from(message)
    name, theirs = len(query.question) - _QUESTION.size, message[_HEADER.size : end]
    return (
        (own, questions, flags & (_RESPONSE | _OPCODE)) == (identifier, 1, _RESPONSE)
        and theirs[:name].lower() == query.question[:name].lower()
        and theirs[name:] == query.question[name:]
    )


def code_of(message: bytes) -> int:
    """What an answer says became of the question."""
    return message[3] & 0xF


def passed_on(message: bytes, query: Query, longest: int) -> bytes:
    """Somebody else's answer as that to a query of our own client; without records when it is too long for it."""
    if len(message) > longest:
        short = reply(query, code_of(message))
        return short[:2] + (int.from_bytes(short[2:4], "big") | _TRUNCATED).to_bytes(2, "big") + short[4:]
    end = _HEADER.size + len(query.question)
    return query.id.to_bytes(2, "big") + message[2 : _HEADER.size] + query.question + message[end:]
