"""The resolver of a container: a real loop, real sockets, and upstream servers played by the tests."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from containerkit.errors import StorageError
from containerkit.linux.loop import Loop
from containerkit.net import conversation, dns, forwarding, resolver
from containerkit.net.forwarding import Upstream
from containerkit.net.resolver import Resolver

HERE = "127.0.0.1"
#: Nobody is asked for long here.
PATIENCE = 0.2


class Store:
    """Names as the resolver is given them."""

    def __init__(self) -> None:
        self.calls = 0
        self.known: dict[str, list[str]] = {
            "web": ["10.1.0.2"],
            "both": ["10.1.0.3", "fd00::3"],
            "many": ["10.1.0.4", "10.1.0.5", "10.1.0.6"],
            "none": [],
            "crowd": [f"10.2.0.{n}" for n in range(100)],
            "broken": ["nonsense"],
        }

    def addresses(self, name: str) -> list[str] | None:
        self.calls += 1
        if name == "disk-full":
            raise StorageError("store: no space left on device")
        return self.known.get(name)

    def name_of(self, address: str) -> str | None:
        if address == "10.1.0.9":
            raise RuntimeError("a surprise")
        return {"10.1.0.2": "web", "fd00::3": "both", "10.1.0.8": "x" * 64}.get(address)


def bind_both() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket with the same port."""
    while True:
        tcp = socket.socket()
        tcp.bind((HERE, 0))
        udp = socket.socket(type=socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
            return udp, tcp
        except OSError:
            udp.close()
            tcp.close()


class Running:
    """A resolver with its loop in a thread of its own."""

    def __init__(self, upstreams: Sequence[Upstream] = (), *, patience: float = PATIENCE, idle: float = 10.0) -> None:
        self.loop = Loop()
        self.names = Store()
        udp, tcp = bind_both()
        self.place = udp.getsockname()
        outside: dict[int, socket.socket] = {socket.AF_INET: socket.socket(type=socket.SOCK_DGRAM)}
        self.resolver = Resolver(
            self.loop, udp, tcp, self.names, upstreams, outside, patience=patience, idle=idle
        )  # fmt: skip
        self._wake, self._bell = os.pipe()
        self.loop.add(self._wake, lambda _: os.read(self._wake, 1))
        self.turns = 0
        self._is_over = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._is_over:
                self.loop.turn()
                self.turns += 1
        except BaseException as failure:
            self._failure = failure

    def close(self) -> None:
        self._is_over = True
        os.write(self._bell, b"x")
        self._thread.join(60)
        self.resolver.close()
        self.loop.remove(self._wake)
        assert not self.loop._acts
        assert all(timer.is_cancelled for _, _, timer in self.loop._timers)
        os.close(self._wake)
        os.close(self._bell)
        if self._failure is not None:
            raise self._failure

    def connect(self) -> socket.socket:
        return socket.create_connection(self.place, timeout=60)

    def open(self) -> socket.socket:
        client = socket.socket(type=socket.SOCK_DGRAM)
        client.connect(self.place)
        client.settimeout(60)
        return client

    def ask(self, message: bytes) -> bytes:
        with self.open() as client:
            client.send(message)
            return client.recv(65535)

    def ask_over_tcp(self, message: bytes) -> bytes:
        with self.connect() as client:
            say(client, message)
            return hear(client)


class Server:
    """An upstream server. What it answers is what ``act`` makes of each message."""

    def __init__(self, act: Callable[[bytes], bytes | None]) -> None:
        self.act = act
        self.asked: list[bytes] = []
        self._silent: list[socket.socket] = []
        self.udp, self.tcp = bind_both()
        self.tcp.listen()
        self.upstream = Upstream(*self.udp.getsockname())
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def _serve_udp(self) -> None:
        while True:
            message, self.client = self.udp.recvfrom(65535)
            if message == b"stop":
                return
            self.asked.append(message)
            answer = self.act(message)
            if answer is not None:
                self.udp.sendto(answer, self.client)

    def _serve_tcp(self) -> None:
        while True:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            try:
                message = hear(client)
                self.asked.append(message)
                answer = self.act(message)
                if answer is None:
                    self._silent.append(client)
                    continue
                say(client, answer)
            except (OSError, EOFError):
                pass
            client.close()

    def close(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as bell:
            bell.sendto(b"stop", self.upstream)
        self.tcp.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        for one in (self.udp, self.tcp, *self._silent):
            one.close()


def say(client: socket.socket, message: bytes) -> None:
    client.sendall(len(message).to_bytes(2, "big") + message)


def hear(client: socket.socket) -> bytes:
    def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = client.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    return read(int.from_bytes(read(2), "big"))


def question(name: str, kind: int = dns.A, *, identifier: int = 7, size: int = 0) -> bytes:
    wire = b"".join(bytes((len(label),)) + label for label in name.encode().split(b".")) + b"\0"
    opt = b"\0" + struct.pack("!HHIH", dns.OPT, size, 0, 0) if size else b""
    return (
        struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 1 if opt else 0) + wire + struct.pack("!HH", kind, 1) + opt
    )


def addresses(answer: bytes) -> list[str]:
    """The addresses in an answer, whose other names are pointers."""
    count = int.from_bytes(answer[6:8], "big")
    position = answer.index(b"\0", 12) + 5
    found = []
    for _ in range(count):
        size = int.from_bytes(answer[position + 10 : position + 12], "big")
        data = answer[position + 12 : position + 12 + size]
        found.append(socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, data))
        position += 12 + size
    return found


def with_address(address: str) -> Callable[[bytes], bytes]:
    def act(message: bytes) -> bytes:
        query = dns.parse(message)
        return dns.reply(query, dns.NOERROR, dns.address_records([address], query.type))

    return act


def with_code(code: int) -> Callable[[bytes], bytes]:
    return lambda message: dns.reply(dns.parse(message), code)


def silent(message: bytes) -> None:
    return None


def closed_port() -> Upstream:
    udp, tcp = bind_both()
    with udp, tcp:
        return Upstream(*udp.getsockname())


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = len(descriptors())
    yield
    assert len(descriptors()) == before


Start = Callable[..., Running]
Serve = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Running] = []

    def make(
        upstreams: Sequence[Upstream | Server] = (), *, patience: float = PATIENCE, idle: float = 10.0
    ) -> Running:  # fmt: skip
        places = [one.upstream if isinstance(one, Server) else one for one in upstreams]
        running.append(Running(places, patience=patience, idle=idle))
        return running[-1]

    yield make
    for one in running:
        one.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def make(act: Callable[[bytes], bytes | None]) -> Server:
        servers.append(Server(act))
        return servers[-1]

    yield make
    for one in servers:
        one.close()


@pytest.fixture(params=["UDP", "TCP"])
def way(request: pytest.FixtureRequest) -> Callable[[Running, bytes], bytes]:
    return Running.ask if request.param == "UDP" else Running.ask_over_tcp


Way = Callable[[Running, bytes], bytes]


# Names of ours.


def test_a_container_is_found_by_its_name(start: Start, way: Way) -> None:
    running = start()
    assert addresses(way(running, question("web"))) == ["10.1.0.2"]
    assert addresses(way(running, question("WeB"))) == ["10.1.0.2"]
    assert addresses(way(running, question("both", dns.AAAA))) == ["fd00::3"]


@pytest.mark.parametrize(("name", "kind"), [("web", dns.AAAA), ("none", dns.A), ("web", 15)])
def test_a_name_without_such_an_address_exists_all_the_same(start: Start, name: str, kind: int) -> None:
    answer = start().ask(question(name, kind))
    assert (dns.code_of(answer), addresses(answer)) == (dns.NOERROR, [])


def test_an_address_has_its_containers_name(start: Start, way: Way) -> None:
    running = start()
    assert way(running, question("2.0.1.10.in-addr.arpa", dns.PTR)).endswith(b"\3web\0")
    reversed_name = "3." + "0." * 27 + "0.0.d.f.ip6.arpa"
    assert way(running, question(reversed_name, dns.PTR)).endswith(b"\4both\0")
    assert dns.code_of(way(running, question("7.0.1.10.in-addr.arpa", dns.PTR))) == dns.NXDOMAIN


def test_each_address_comes_first_in_its_turn(start: Start) -> None:
    running = start()
    firsts = []
    for _ in range(6):
        found = addresses(running.ask(question("many")))
        assert sorted(found) == ["10.1.0.4", "10.1.0.5", "10.1.0.6"]
        firsts.append(found[0])
        running.ask(question("many", dns.AAAA))  # as libc asks for both
        running.ask(question("many", dns.ANY))
    assert firsts == ["10.1.0.4", "10.1.0.5", "10.1.0.6"] * 2


def test_a_long_answer_is_cut_and_comes_whole_over_tcp(start: Start) -> None:
    running = start()
    answer = running.ask(question("crowd"))
    assert answer[2] & 0x02
    assert len(answer) <= 512
    assert len(addresses(answer)) == 30
    assert len(addresses(running.ask_over_tcp(question("crowd")))) == 100
    assert len(addresses(running.ask(question("crowd", size=4096)))) == 100


@pytest.mark.parametrize("name", ["disk-full", "broken", "9.0.1.10.in-addr.arpa", "8.0.1.10.in-addr.arpa"])
def test_trouble_with_the_names_is_the_servers_failure_and_not_its_end(start: Start, way: Way, name: str) -> None:
    running = start()
    assert dns.code_of(way(running, question(name, dns.PTR if "arpa" in name else dns.A))) == dns.SERVFAIL
    assert addresses(way(running, question("web"))) == ["10.1.0.2"]


def test_names_are_asked_each_time(start: Start) -> None:
    running = start()
    assert dns.code_of(running.ask(question("new"))) == dns.NXDOMAIN
    running.names.known["new"] = ["10.1.0.7"]
    assert addresses(running.ask(question("new"))) == ["10.1.0.7"]
    running.resolver.names = Store()
    assert dns.code_of(running.ask(question("new"))) == dns.NXDOMAIN


def test_what_nobody_answers_here(start: Start, way: Way) -> None:
    running = start()
    assert dns.code_of(way(running, question("web", dns.AXFR))) == dns.REFUSED
    assert way(running, b"\0\7\x28" + question("web")[3:]) == struct.pack("!HHHHHH", 7, 0xA880, 0, 0, 0, 0)[:2] + (
        b"\xa8\x84" + b"\0" * 8
    )
    newer = question("web", size=1232)
    newer = newer[:-5] + b"\1" + newer[-4:]
    assert way(running, newer)[-6:-4] == b"\1\0"  # BADVERS


def test_nonsense_is_a_format_error(start: Start, way: Way) -> None:
    running = start()
    assert way(running, question("web")[:-1]) == b"\0\7\x81\x81" + b"\0" * 8
    assert way(running, question("web") + b"\0" * 5000 if way is Running.ask else question("web") + b"\0")[3] & 15 == 1


def test_an_answer_is_not_answered(start: Start) -> None:
    running = start()
    with running.open() as client:
        client.send(dns.reply(dns.parse(question("web"))))
        client.send(b"x")
        client.send(question("web", identifier=8))
        assert client.recv(512)[:2] == b"\0\x08"
    with running.connect() as client, pytest.raises((EOFError, ConnectionResetError)):
        say(client, dns.reply(dns.parse(question("web"))))
        hear(client)


# Names of others.


def test_other_names_are_asked_upstream(start: Start, serve: Serve, way: Way) -> None:
    server = serve(with_address("192.0.2.1"))
    running = start([server])
    for name in ("example.org", "single"):
        answer = way(running, question(name.upper(), identifier=77))
        assert answer[:2] == b"\0\x4d"
        assert dns.parse(question(name.upper())).question in answer
        assert addresses(answer) == ["192.0.2.1"]
    assert dns.parse(server.asked[0]).question == dns.parse(question("EXAMPLE.ORG")).question
    assert len({message[:2] for message in server.asked}) > 1
    assert addresses(way(running, question("web"))) == ["10.1.0.2"]
    assert len(server.asked) == 2


def test_addresses_of_others_are_asked_upstream(start: Start, serve: Serve) -> None:
    server = serve(with_code(dns.NXDOMAIN))
    assert dns.code_of(start([server]).ask(question("1.2.0.192.in-addr.arpa", dns.PTR))) == dns.NXDOMAIN
    assert len(server.asked) == 1


def test_an_internal_network_has_no_other_names(start: Start, way: Way) -> None:
    # Not REFUSED: musl would go on waiting.
    answer = way(start(), question("example.org"))
    assert dns.code_of(answer) == dns.NXDOMAIN
    assert answer[3] & 0x80


def test_the_next_server_is_asked_when_the_first_is_silent(start: Start, serve: Serve, way: Way) -> None:
    first, second = serve(silent), serve(with_address("192.0.2.2"))
    before = time.monotonic()
    assert addresses(way(start([first, second]), question("example.org"))) == ["192.0.2.2"]
    assert time.monotonic() - before >= PATIENCE
    assert len(first.asked) == len(second.asked) == 1


@pytest.mark.parametrize("code", [dns.SERVFAIL, dns.REFUSED, dns.NOTIMP])
def test_the_next_server_is_asked_at_once_when_the_first_cannot_say(
    start: Start, serve: Serve, way: Way, code: int
) -> None:
    first, second = serve(with_code(code)), serve(with_address("192.0.2.2"))
    running = start([first, second], patience=5)
    assert addresses(way(running, question("example.org"))) == ["192.0.2.2"]
    # When nobody can, the last one's word counts.
    running.resolver.upstreams = [first.upstream]
    assert dns.code_of(way(running, question("example.org"))) == code
    assert len(first.asked) == 2


def test_the_next_server_is_asked_at_once_when_the_first_ones_port_is_closed(
    start: Start, serve: Serve, way: Way
) -> None:
    second = serve(with_address("192.0.2.2"))
    running = start([closed_port(), second], patience=5)
    assert addresses(way(running, question("example.org"))) == ["192.0.2.2"]
    turns = running.turns
    time.sleep(0.05)
    assert running.turns - turns < 5  # the news of the failure does not keep it awake


def test_closed_ports_only_are_a_failure_at_once(start: Start, way: Way) -> None:
    running = start([closed_port(), Upstream("no address"), closed_port()], patience=5)
    for _ in range(3):
        assert dns.code_of(way(running, question("example.org"))) == dns.SERVFAIL
    running.resolver.upstreams = [closed_port()]
    assert dns.code_of(way(running, question("example.org"))) == dns.SERVFAIL


def test_silence_of_all_is_a_failure_in_the_end(start: Start, serve: Serve, way: Way) -> None:
    servers = [serve(silent), serve(silent)]
    before = time.monotonic()
    assert dns.code_of(way(start(servers), question("example.org"))) == dns.SERVFAIL
    assert time.monotonic() - before >= 2 * PATIENCE


def test_a_lost_datagram_is_sent_again_to_the_only_server(start: Start, serve: Serve) -> None:
    def act(message: bytes) -> bytes | None:
        return with_address("192.0.2.1")(message) if len(server.asked) == 2 else None

    server = serve(act)
    assert addresses(start([server]).ask(question("example.org"))) == ["192.0.2.1"]


def test_a_late_answer_still_counts(start: Start, serve: Serve) -> None:
    def late(message: bytes) -> bytes:
        time.sleep(1.5 * PATIENCE)
        return with_address("192.0.2.1")(message)

    assert addresses(start([serve(late), serve(silent)]).ask(question("example.org"))) == ["192.0.2.1"]


def test_an_answer_that_is_too_late_is_nobodys(start: Start, serve: Serve) -> None:
    def late(message: bytes) -> bytes:
        time.sleep(3 * PATIENCE if len(server.asked) == 1 else 0)
        return with_address("192.0.2.1")(message)

    server = serve(late)
    running = start([server])
    with running.open() as client:
        client.send(question("example.org", identifier=1))
        assert dns.code_of(client.recv(512)) == dns.SERVFAIL
        time.sleep(2 * PATIENCE)
        client.send(question("example.net", identifier=2))
        assert client.recv(512)[:2] == b"\0\2"


def test_a_question_is_answered_once(start: Start, serve: Serve) -> None:
    running = start([serve(with_address("192.0.2.1")), serve(silent)], patience=0.1)
    with running.open() as client:
        client.send(question("example.org"))
        assert addresses(client.recv(512)) == ["192.0.2.1"]
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(512)


def test_forged_answers_do_not_count(start: Start, serve: Serve) -> None:
    def forged(message: bytes) -> bytes:
        wrong = with_address("203.0.113.66")(message)
        with socket.socket(type=socket.SOCK_DGRAM) as somebody:
            somebody.bind((HERE, 0))
            somebody.sendto(wrong, server.client)  # from another port
        with socket.socket(type=socket.SOCK_DGRAM) as somebody:
            somebody.bind(("127.0.0.2", server.upstream.port))
            somebody.sendto(wrong, server.client)  # from another address
        others = [bytes((wrong[0] ^ 1,)) + wrong[1:], message, wrong[:20], b"", b"x"]
        others.append(with_address("203.0.113.66")(message.replace(b"example", b"exbmple")))
        for other in others:
            server.udp.sendto(other, server.client)
        return with_address("192.0.2.1")(message)

    server = serve(forged)
    running = start([server], patience=2)
    for _ in range(5):
        assert addresses(running.ask(question("example.org"))) == ["192.0.2.1"]


def test_a_server_that_talks_nonsense_over_tcp_is_passed_over(start: Start, serve: Serve) -> None:
    first, second = serve(lambda message: message), serve(with_address("192.0.2.2"))
    assert addresses(start([first, second], patience=5).ask_over_tcp(question("example.org"))) == ["192.0.2.2"]


def test_many_questions_are_under_way_at_once(start: Start, serve: Serve) -> None:
    held: list[bytes] = []

    def act(message: bytes) -> None:
        held.append(message)
        if len(held) == 100:
            for one in reversed(held):
                server.udp.sendto(with_address(f"192.0.2.{dns.parse(one).name[1:]}")(one), server.client)

    server = serve(act)
    running = start([server], patience=5)
    with running.open() as client:
        for n in range(100):
            client.send(question(f"n{n}", identifier=n))
        answers = {answer[1]: addresses(answer) for answer in (client.recv(512) for _ in range(100))}
    assert answers == {n: [f"192.0.2.{n}"] for n in range(100)}


def test_too_many_questions_under_way_drop_the_oldest(
    start: Start, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_MOST_DATAGRAMS", 3)
    running = start([serve(silent)], patience=5)
    with running.open() as client:
        for n in range(5):
            client.send(question("example.org", identifier=n))
        assert [(client.recv(512)[1], n) for n in range(2)] == [(0, 0), (1, 1)]
    assert len(running.resolver._datagrams._under_way) == 3


def test_too_many_questions_over_tcp_drop_the_oldest(
    start: Start, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "_MOST_STREAMS", 2)
    running = start([serve(silent)], patience=3)
    with running.connect() as client:
        for n in range(200):
            say(client, question("example.org", identifier=n))
        assert [hear(client)[1] for _ in range(198)] == [*range(198)]


def test_a_long_answer_from_upstream_is_cut_for_who_takes_no_more(start: Start, serve: Serve) -> None:
    def act(message: bytes) -> bytes:
        return dns.reply(dns.parse(message), dns.NOERROR, dns.address_records(["192.0.2.1"] * 100, dns.A))

    running = start([serve(act)])
    answer = running.ask(question("example.org"))
    assert answer[2] & 0x02
    assert len(answer) <= 512
    assert len(addresses(running.ask(question("example.org", size=4000)))) == 100
    assert len(addresses(running.ask_over_tcp(question("example.org")))) == 100


def test_truncation_upstream_is_the_clients_to_know(start: Start, serve: Serve) -> None:
    def act(message: bytes) -> bytes:
        answer = dns.reply(dns.parse(message))
        return answer[:2] + bytes((answer[2] | 0x02,)) + answer[3:]

    assert start([serve(act)]).ask(question("example.org"))[2] & 0x02


def test_upstream_servers_can_be_replaced(start: Start, serve: Serve) -> None:
    first, second = serve(with_address("192.0.2.1")), serve(with_address("192.0.2.2"))
    running = start([first])
    assert addresses(running.ask(question("example.org"))) == ["192.0.2.1"]
    running.resolver.upstreams = [second.upstream]
    assert addresses(running.ask(question("example.org"))) == ["192.0.2.2"]
    running.resolver.upstreams = []
    assert dns.code_of(running.ask(question("example.org"))) == dns.NXDOMAIN


def test_an_upstream_server_has_an_ipv6_address(start: Start) -> None:
    if not os.path.exists("/proc/net/if_inet6") or "00000001 01 80" not in open("/proc/net/if_inet6").read():
        pytest.skip("this machine has no ::1")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::1", 0))
        running = start([Upstream("0:0::1", server.getsockname()[1])], patience=60)
        with running.open() as client:
            client.send(question("example.org"))
            message, place = server.recvfrom(512)
            server.sendto(with_address("192.0.2.1")(message), place)
            assert addresses(client.recv(512)) == ["192.0.2.1"]
    # The port is closed now: that is told too.
    running.resolver.upstreams = [*running.resolver.upstreams, Upstream("fe80::1%nowhere")]
    before = time.monotonic()
    assert dns.code_of(running.ask(question("example.org"))) == dns.SERVFAIL
    assert time.monotonic() - before < 50


def test_the_form_of_addresses() -> None:
    assert Upstream("192.0.2.1").place() == (socket.AF_INET, ("192.0.2.1", 53))
    assert Upstream("0:0::1", 5353).place() == (socket.AF_INET6, ("::1", 5353, 0, 0))
    assert Upstream("fe80::1%lo").place() == (socket.AF_INET6, ("fe80::1", 53, 0, socket.if_nametoindex("lo")))
    assert Upstream("fe80::1%7").place() == (socket.AF_INET6, ("fe80::1", 53, 0, 7))
    assert Upstream("2001:db8::1%7").place() == (socket.AF_INET6, ("2001:db8::1", 53, 0, 0))
    for nonsense in ("", "localhost", "1.2.3", "::g", "fe80::1%nowhere"):
        with pytest.raises(OSError):
            Upstream(nonsense).place()


# Connections.


def test_several_questions_on_one_connection(start: Start, serve: Serve) -> None:
    running = start([serve(with_address("192.0.2.1"))])
    with running.connect() as client:
        asked = [question("web" if n % 2 else f"n{n}", identifier=n) for n in range(20)]
        client.sendall(b"".join(len(one).to_bytes(2, "big") + one for one in asked))
        answers = {answer[1]: addresses(answer)[0] for answer in (hear(client) for _ in range(20))}
    assert answers == {n: "10.1.0.2" if n % 2 else "192.0.2.1" for n in range(20)}


def test_a_question_byte_by_byte(start: Start) -> None:
    running = start()
    with running.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = question("web")
        for octet in len(message).to_bytes(2, "big") + message:
            client.send(bytes((octet,)))
            time.sleep(0.002)
        assert addresses(hear(client)) == ["10.1.0.2"]


def test_an_upstream_answer_byte_by_byte(start: Start, serve: Serve) -> None:
    listening = socket.create_server((HERE, 0))
    running = start([Upstream(*listening.getsockname())], patience=5)
    with listening, running.connect() as client:
        say(client, question("example.org"))
        server, _ = listening.accept()
        with server:
            answer = with_address("192.0.2.1")(hear(server))
            for octet in len(answer).to_bytes(2, "big") + answer:
                server.send(bytes((octet,)))
                time.sleep(0.002)
            assert addresses(hear(client)) == ["192.0.2.1"]


def test_who_has_said_everything_still_gets_the_answers(start: Start, serve: Serve) -> None:
    running = start([serve(with_address("192.0.2.1"))])
    with running.connect() as client:
        say(client, question("example.org"))
        say(client, question("web"))
        client.shutdown(socket.SHUT_WR)
        assert sorted(addresses(hear(client))[0] for _ in range(2)) == ["10.1.0.2", "192.0.2.1"]
        assert client.recv(1) == b""


def test_quiet_connections_are_closed(start: Start) -> None:
    running = start(idle=1)
    with running.connect() as quiet, running.connect() as slow, running.connect() as busy:
        for _ in range(6):
            time.sleep(0.25)
            try:
                slow.send(b"\0")  # never a whole question: that is quiet too
            except OSError:
                pass
            say(busy, question("web"))
            hear(busy)
        assert quiet.recv(1) == b""
        try:
            assert slow.recv(1) == b""
        except ConnectionResetError:
            pass
        say(busy, question("web"))
        hear(busy)
    assert len(running.resolver._connections) <= 1


def test_who_waits_for_an_answer_is_not_quiet(start: Start, serve: Serve) -> None:
    def slow(message: bytes) -> bytes:
        time.sleep(0.25)
        return with_address("192.0.2.1")(message)

    with start([serve(slow)], patience=5, idle=0.4).connect() as client:
        time.sleep(0.25)
        say(client, question("example.org"))
        assert addresses(hear(client)) == ["192.0.2.1"]


def test_the_quietest_connection_makes_room_for_another(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "_MOST_CONNECTIONS", 3)
    running = start()
    clients = [running.connect() for _ in range(3)]
    for client in reversed(clients):
        say(client, question("web"))
        hear(client)
    clients.append(running.connect())
    say(clients[-1], question("web"))
    hear(clients[-1])
    assert clients[2].recv(1) == b""
    for client in (clients[0], clients[1], clients[3]):
        say(client, question("web"))
        hear(client)
    for client in clients:
        client.close()


def test_a_message_that_no_question_needs_ends_the_connection(start: Start) -> None:
    with start().connect() as client:
        client.sendall(b"\xff\xff")
        assert client.recv(1) == b""


def test_who_never_reads_does_not_fill_the_memory(start: Start) -> None:
    running = start()
    # The kernel keeps little for either.
    running.resolver._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect(running.place)
        client.settimeout(0.3)
        asked = len(question("crowd")).to_bytes(2, "big") + question("crowd")
        # One after the other, until it does not listen: of many at once it takes the next when there is room.
        calls = -1
        while calls < running.names.calls:
            calls = running.names.calls
            client.sendall(asked)
            deadline = time.monotonic() + 0.3
            while running.names.calls == calls and time.monotonic() < deadline:
                time.sleep(0.0005)
        with pytest.raises(TimeoutError):
            while True:
                client.sendall(asked * 1000)
        (one,) = running.resolver._connections
        assert conversation._MOST_UNREAD <= len(one._output) < conversation._MOST_UNREAD + 2000
        assert len(one._input) < 40_000
        turns = running.turns
        time.sleep(0.05)
        assert running.turns - turns < 5
        # Once it reads, it is listened to again.
        client.settimeout(60)
        for _ in range(60):
            assert len(addresses(hear(client))) == 100
    assert addresses(running.ask(question("web"))) == ["10.1.0.2"]


def test_a_client_that_goes_away_leaves_nothing(start: Start, serve: Serve) -> None:
    server = serve(silent)
    running = start([server], patience=0.1)
    before = len(descriptors())
    for _ in range(20):
        with running.connect() as client:
            say(client, question("example.org"))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # gone with a reset
        with running.open() as other:
            other.send(question("example.org"))
    time.sleep(0.5)
    assert len(descriptors()) == before + len(server._silent)
    assert not running.resolver._connections and not running.resolver._streams._under_way


def test_nothing_is_left_of_questions_under_way(start: Start, serve: Serve) -> None:
    # The fixtures look for descriptors.
    running = start([serve(silent)], patience=5)
    with running.connect() as client, running.open() as other:
        say(client, question("example.org"))
        other.send(question("example.org"))
        time.sleep(0.05)
        assert len(running.resolver._streams._under_way) == len(running.resolver._datagrams._under_way) == 1
        running.close()
        assert client.recv(1) == b""
        running.close = lambda: None  # type: ignore[method-assign] # it is


def test_without_descriptors_it_rests(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = start()

    def no_more(_: socket.socket) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", no_more)
        client = running.connect()
        time.sleep(0.1)
        assert running.turns < 5
    with client:
        say(client, question("web"))
        assert addresses(hear(client)) == ["10.1.0.2"]


# Others' programs.


def test_dig(start: Start, serve: Serve) -> None:
    if shutil.which("dig") is None:
        pytest.skip("dig (Debian: bind9-dnsutils) is not installed")
    running = start([serve(with_address("192.0.2.1"))])

    def dig(*arguments: str) -> str:
        command = ["dig", f"@{HERE}", "-p", str(running.place[1]), "+tries=1", "+time=3", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        assert ";; Warning" not in done.stdout, done.stdout
        return done.stdout

    assert dig("+short", "web") == "10.1.0.2\n"
    assert dig("+short", "both", "AAAA") == "fd00::3\n"
    assert dig("+short", "-x", "10.1.0.2") == "web.\n"
    assert dig("+short", "-x", "fd00::3") == "both.\n"
    assert dig("+short", "+tcp", "both") == "10.1.0.3\n"
    assert dig("+short", "example.org") == dig("+short", "+tcp", "example.org") == "192.0.2.1\n"
    # Cut at 512 octets, it asks again over TCP by itself.
    cut = dig("+bufsize=512", "crowd")
    assert "(TCP)" in cut and "ANSWER: 100" in cut
    whole = dig("+bufsize=4096", "crowd")
    assert "(UDP)" in whole and "ANSWER: 100" in whole and "EDNS: version: 0, flags:; udp: 1232" in whole
    assert "ANSWER: 30" in dig("+noedns", "+ignore", "crowd")
    assert "status: NOERROR" in dig("web", "MX") and "ANSWER: 0" in dig("web", "MX")
    assert "status: SERVFAIL" in dig("disk-full")
    assert "status: BADVERS" in dig("+edns=1", "+noednsnegotiation", "web")
    running.resolver.upstreams = []
    assert "status: NXDOMAIN" in dig("example.org")
    assert "status: NXDOMAIN" in dig("+tcp", "-x", "192.0.2.9")
