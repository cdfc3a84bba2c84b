"""DNS messages: what is read, what is refused, what is written."""

from __future__ import annotations

import ipaddress
import re
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.net import dns

HEADER = struct.Struct("!HHHHHH")


def name_on_the_wire(*labels: bytes) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def question(*labels: bytes, kind: int = dns.A, klass: int = dns.IN) -> bytes:
    return name_on_the_wire(*labels) + struct.pack("!HH", kind, klass)


def message(*questions: bytes, flags: int = 0x0100, additional: tuple[bytes, ...] = (), identifier: int = 7) -> bytes:
    header = HEADER.pack(identifier, flags, len(questions), 0, 0, len(additional))
    return header + b"".join(questions) + b"".join(additional)


def opt(size: int = 1232, *, version: int = 0, flags: int = 0, options: bytes = b"") -> bytes:
    return b"\0" + struct.pack("!HHBBHH", dns.OPT, size, 0, version, flags, len(options)) + options


def query(*labels: bytes, kind: int = dns.A, additional: tuple[bytes, ...] = ()) -> dns.Query:
    return dns.parse(message(question(*labels, kind=kind), additional=additional))


def records(answer: bytes, asked: dns.Query) -> list[tuple[int, int, bytes]]:
    """Type, seconds to live and data of each record of the answer section."""
    position = 12 + len(asked.question)
    found = []
    for _ in range(HEADER.unpack_from(answer)[3]):
        name, kind, _, ttl, size = struct.unpack_from("!HHHIH", answer, position)
        assert name == 0xC00C
        found.append((kind, ttl, answer[position + 12 : position + 12 + size]))
        position += 12 + size
    return found


labels = st.lists(st.binary(min_size=1, max_size=63), max_size=3).filter(lambda some: sum(map(len, some)) < 240)
host_names = st.from_regex(r"[a-z0-9_-]{1,20}(\.[a-z0-9_-]{1,20}){0,3}", fullmatch=True)


@given(st.binary(max_size=600))
def test_no_bytes_raise_anything_but_malformed(data: bytes) -> None:
    try:
        dns.parse(data)
    except dns.Malformed as error:
        assert error.code in (dns.FORMERR, dns.NOTIMP)
        assert len(dns.refusal(data, error.code)) in (0, 12)


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 0xFFFF))
def test_no_bytes_after_a_header_raise_anything_but_malformed(data: bytes, questions: int, others: int) -> None:
    try:
        dns.parse(HEADER.pack(1, 0, questions, others, others, others) + data)
    except dns.Malformed:
        pass


def test_the_worst_message_takes_no_time() -> None:
    # As many records as it can say, and 64 KiB of the shortest.
    shortest = b"\0" + struct.pack("!HHIH", 1, 1, 0, 0)
    data = HEADER.pack(1, 0, 1, 0xFFFF, 0xFFFF, 0xFFFF) + question() + shortest * 6000
    before = time.process_time()
    with pytest.raises(dns.Malformed):
        dns.parse(data[:65535])
    assert time.process_time() - before < 2


@given(labels, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_what_is_asked_is_read(some: list[bytes], kind: int, klass: int, identifier: int) -> None:
    asked = question(*some, kind=kind, klass=klass)
    read = dns.parse(message(asked, identifier=identifier))
    assert (read.id, read.question, read.type, read.klass) == (identifier, asked, kind, klass)
    assert read.name.isascii() and read.name.isprintable() and not any(letter.isupper() for letter in read.name)
    # Dots are between labels and nowhere else.
    assert read.name == "." if not some else re.sub(r"\\(\d{3}|.)", "x", read.name).count(".") == len(some) - 1


@given(host_names, st.lists(st.ip_addresses().map(str), max_size=20), st.booleans())
def test_addresses_come_back(name: str, addresses: list[str], is_new: bool) -> None:
    kind, family = (dns.AAAA, 6) if is_new else (dns.A, 4)
    asked = query(*name.encode().split(b"."), kind=kind)
    assert asked.name == name
    answer = dns.reply(asked, dns.NOERROR, dns.address_records(addresses, kind))
    assert dns.is_answer(answer, asked, asked.id)
    own = [address for address in map(ipaddress.ip_address, addresses) if address.version == family]
    assert records(answer, asked) == [(kind, 0, address.packed) for address in own]


@given(st.ip_addresses())
def test_an_address_is_read_from_its_reversed_name(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    read = dns.reversed_address(address.reverse_pointer)
    assert read is not None
    assert ipaddress.ip_address(read) == address


@pytest.mark.parametrize(
    "name",
    ["1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "256.2.3.4.in-addr.arpa", "a.b.c.d.in-addr.arpa", "in-addr.arpa",
     "1.ip6.arpa", "g." * 32 + "ip6.arpa", "11." * 32 + "ip6.arpa", "1.2.3.4", "."],
)  # fmt: skip
def test_other_names_are_no_addresses(name: str) -> None:
    assert dns.reversed_address(name) is None


def test_the_question_keeps_its_case_and_the_name_has_none() -> None:
    asked = query(b"wEb", b"Example")
    assert asked.name == "web.example"
    assert b"\x03wEb\x07Example" in dns.reply(asked)


def test_a_dot_within_a_label_is_not_one_between_labels() -> None:
    assert query(b"a.b", b"c").name == r"a\.b.c"
    assert query(b"a\\\0\xff", b"c").name == r"a\\\000\255.c"


def test_flags() -> None:
    asked = dns.parse(message(question(b"web"), flags=0x0110))  # RD, CD
    assert HEADER.unpack_from(dns.reply(asked, dns.NXDOMAIN)) == (7, 0x8193, 1, 0, 0, 0)
    asked = dns.parse(message(question(b"web"), flags=0x0000))
    assert HEADER.unpack_from(dns.reply(asked)) == (7, 0x8080, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"", dns.FORMERR, id="nothing"),
        pytest.param(message(question(b"web"))[:11], dns.FORMERR, id="half a header"),
        pytest.param(message(), dns.FORMERR, id="no question"),
        pytest.param(message(question(b"a"), question(b"b")), dns.FORMERR, id="two questions"),
        pytest.param(message(question(b"web"), flags=0x8100), dns.FORMERR, id="an answer"),
        pytest.param(message(question(b"web"), flags=0x2800), dns.NOTIMP, id="an update"),
        pytest.param(message(b"\xc0\x0c\0\1\0\1"), dns.FORMERR, id="a pointer to itself"),
        pytest.param(message(b"\3web\xc0\x0c\0\1\0\1"), dns.FORMERR, id="a pointer back"),
        pytest.param(message(b"\x40" + b"a" * 64 + b"\0\0\1\0\1"), dns.FORMERR, id="a label of 64"),
        pytest.param(message(question(*[b"a" * 63] * 3, b"a" * 62)), dns.FORMERR, id="a name of 256"),
        pytest.param(message(question(b"web")[:-1]), dns.FORMERR, id="half a class"),
        pytest.param(message(b"\3we"), dns.FORMERR, id="half a label"),
        pytest.param(message(b"\3web"), dns.FORMERR, id="no end of the name"),
        pytest.param(message(question(b"web")) + b"x", dns.FORMERR, id="more behind"),
        pytest.param(message(question(b"web"), additional=(opt()[:-1],)), dns.FORMERR, id="half a record"),
        pytest.param(message(question(b"web"), additional=(opt(), opt())), dns.FORMERR, id="two OPT records"),
        pytest.param(message(question(b"web"), additional=(b"\1a" + opt(),)), dns.FORMERR, id="a named OPT record"),
    ],
)
def test_malformed(data: bytes, code: int) -> None:
    with pytest.raises(dns.Malformed) as caught:
        dns.parse(data)
    assert caught.value.code == code


def test_the_longest_name_is_read() -> None:
    assert len(query(*[b"a" * 63] * 3, b"a" * 61).question) == 255 + 4


def test_who_gets_a_refusal_and_who_gets_nothing() -> None:
    assert dns.refusal(message(question(b"web"), flags=0x2900), dns.NOTIMP) == HEADER.pack(7, 0xA984, 0, 0, 0, 0)
    assert dns.refusal(message(question(b"web"), flags=0x8000), dns.FORMERR) == b""
    assert dns.refusal(b"\0" * 11, dns.FORMERR) == b""


def test_opt_is_answered_when_it_was_sent() -> None:
    assert dns.reply(query(b"web")).endswith(b"\3web\0\0\1\0\1")
    plain = query(b"web", additional=(opt(4096, options=b"\0\x0a\0\x08abcdefgh"),))
    assert plain.edns == dns.Edns(4096, 0, 0)
    assert dns.reply(plain).endswith(b"\3web\0\0\1\0\1" + opt(1232))
    assert HEADER.unpack_from(dns.reply(plain))[5] == 1
    # "DNSSEC OK" and nothing else comes back.
    assert dns.reply(query(b"web", additional=(opt(flags=0xC001),))).endswith(opt(flags=0x8000))


def test_bad_version_is_in_the_opt_record() -> None:
    answer = dns.reply(query(b"web", additional=(opt(version=1),)), dns.BADVERS)
    assert dns.code_of(answer) == 0
    assert answer.endswith(b"\0" + struct.pack("!HHBBHH", dns.OPT, 1232, 1, 0, 0, 0))


@pytest.mark.parametrize(
    ("additional", "longest"), [((), 512), ((opt(0),), 512), ((opt(513),), 513), ((opt(65535),), 65535)]
)
def test_how_long_a_datagram_may_be(additional: tuple[bytes, ...], longest: int) -> None:
    assert query(b"web", additional=additional).longest == longest


@given(st.integers(0, 200), st.integers(100, 3000), st.booleans())
def test_what_has_no_room_is_cut_between_records(count: int, longest: int, is_new: bool) -> None:
    asked = query(b"web", additional=(opt(longest),) if is_new else ())
    answer = dns.reply(asked, dns.NOERROR, dns.address_records([f"10.0.0.{n}" for n in range(count)], dns.A), longest)
    room = (longest - 12 - len(asked.question) - (11 if is_new else 0)) // 16
    assert len(answer) <= longest
    assert len(records(answer, asked)) == min(count, room)
    assert bool(answer[2] & 0x02) == (count > room)


def test_any_has_both_kinds_of_addresses() -> None:
    found = dns.address_records(["10.0.0.1", "fd00::1"], dns.ANY)
    assert [record.type for record in found] == [dns.A, dns.AAAA]
    assert dns.address_records(["10.0.0.1", "fd00::1"], 15) == []
    with pytest.raises(OSError):
        dns.address_records(["10.0.0"], dns.A)


def test_pointers() -> None:
    assert dns.pointer_record("web.front") == (dns.PTR, b"\3web\5front\0")
    for name in ("", "a..b", "a" * 64, ".".join(["a" * 63] * 4), "wéb"):
        with pytest.raises(ValueError):
            dns.pointer_record(name)


def test_an_answer_is_to_that_question() -> None:
    asked = query(b"web", kind=0x41)
    answer = dns.reply(asked)
    assert dns.is_answer(answer, asked, 7)
    assert dns.is_answer(answer.replace(b"web", b"WEB"), asked, 7)
    assert not dns.is_answer(answer, asked, 8)
    assert not dns.is_answer(answer.replace(b"web", b"wea"), asked, 7)
    assert not dns.is_answer(answer.replace(b"\0\x41", b"\0\x61"), asked, 7)  # that is no letter
    assert not dns.is_answer(asked.message, asked, 7)
    assert not dns.is_answer(answer[:-1], asked, 7)


def test_passing_on_gives_the_clients_own_question_back() -> None:
    asked = query(b"wEb")
    records = dns.address_records(["10.0.0.1"], dns.A)
    theirs = dns.with_id(dns.reply(query(b"web"), dns.NOERROR, records), 99)
    assert dns.passed_on(theirs, asked, 512) == dns.reply(asked, dns.NOERROR, records)


def test_what_is_passed_on_is_cut_to_what_the_client_takes() -> None:
    asked = query(b"web")
    theirs = dns.reply(asked, dns.NOERROR, dns.address_records(["10.0.0.1"] * 100, dns.A))
    short = dns.passed_on(theirs, asked, 512)
    assert short == HEADER.pack(7, 0x8380, 1, 0, 0, 0) + asked.question
    assert dns.passed_on(theirs, asked, dns.LONGEST) == theirs


def test_the_module_needs_little_of_the_standard_library() -> None:
    import subprocess
    import sys
    from pathlib import Path

    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r});"
        "import containerkit.net.resolver; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    # Every monitor imports it.
    assert not {"ipaddress", "hashlib", "pathlib", "urllib", "logging", "subprocess"} & set(done.stdout.split())
