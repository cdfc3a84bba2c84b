"""The relay of published ports: what clients send arrives, whole, and what does not work is told and not waited for."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from containerkit.linux.loop import Loop
from containerkit.net.relay import Relay
from tests.waiting import eventually

MiB = 1 << 20
RESET = struct.pack("ii", 1, 0)


class Running:
    """A relay in its loop, in a thread of its own."""

    def __init__(self, listening: socket.socket, target: tuple[str, int], **options: float) -> None:
        self.address = listening.getsockname()
        self.turns = 0
        self._loop, self._is_over = Loop(), False
        reader, self._writer = os.pipe()
        self._loop.add(reader, lambda _: self._end(reader))
        self.relay = Relay(self._loop, listening, target, **options)  # type: ignore[arg-type]  # limit is an int
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            self._loop.turn()
            self.turns += 1

    def _end(self, reader: int) -> None:
        self._is_over = True
        self.relay.close()
        self.relay.close()
        self._loop.remove(reader)
        os.close(reader)

    def stop(self) -> None:
        os.close(self._writer)
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self.relay.count == 0
        # Nothing of the relay is left in the loop: neither descriptors nor timers.
        assert not self._loop._acts
        assert all(timer.is_cancelled for _, _, timer in self._loop._timers)

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.address[:2], 5)
        client.settimeout(60)
        return client

    def await_count(self, count: int) -> None:
        assert eventually(lambda: self.relay.count == count)


def bound(kind: socket.SocketKind, address: str = "127.0.0.1") -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        found.bind((address, 0))
    except OSError as error:
        found.close()
        pytest.skip(f"{address}: {error}")
    found.settimeout(60)
    if kind == socket.SOCK_STREAM:
        found.listen(256)
    return found


@contextmanager
def relaying(
    target: tuple[str, int],
    kind: socket.SocketKind = socket.SOCK_STREAM,
    address: str = "127.0.0.1",
    **options: float,
) -> Iterator[Running]:
    running = Running(bound(kind, address), target, **options)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> Iterator[None]:
    before = os.listdir("/proc/self/fd")
    yield
    assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """What the relay leads to."""
    with bound(socket.SOCK_STREAM) as found:
        yield found


def accept(server: socket.socket) -> socket.socket:
    connection, _ = server.accept()
    connection.settimeout(60)
    return connection


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_hundred_connections_at_once_carry_what_was_sent(address: str) -> None:
    def payload(side: str, number: int) -> bytes:
        source = random.Random(f"{side}{number}")
        return source.randbytes(source.choice((0, 1, 1000, 65536, 65537, 300_000)))

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
        async def send() -> None:
            for start in range(0, len(data), 10_000):
                writer.write(data[start : start + 10_000])
                await writer.drain()
            writer.write_eof()

        _, found = await asyncio.gather(send(), reader.read())
        writer.close()
        await writer.wait_closed()
        return found

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = int.from_bytes(await reader.readexactly(2))
        assert await exchange(reader, writer, payload("server", number)) == payload("client", number)

    async def ask(number: int, at: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*at)
        writer.write(number.to_bytes(2))
        assert await exchange(reader, writer, payload("client", number)) == payload("server", number)

    async def talk() -> None:
        failures: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(what))
        async with await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256) as target:
            with relaying(target.sockets[0].getsockname(), address=address) as running:
                await asyncio.wait_for(asyncio.gather(*(ask(n, running.address[:2]) for n in range(100))), 20)
                await asyncio.to_thread(running.await_count, 0)
        assert not failures

    asyncio.run(talk())


def test_the_end_of_a_request_is_passed_on_and_then_the_answer(server: socket.socket) -> None:
    with relaying(server.getsockname()) as running, running.connect() as client:
        client.sendall(b"request" * 100_000)
        client.shutdown(socket.SHUT_WR)
        with accept(server) as connection:
            assert read_all(connection) == b"request" * 100_000
            time.sleep(0.05)
            connection.sendall(b"answer")
        assert read_all(client) == b"answer"
        running.await_count(0)


def test_an_answer_s_end_leaves_the_other_way_open(server: socket.socket) -> None:
    with relaying(server.getsockname()) as running, running.connect() as client, accept(server) as connection:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"hello"
        client.sendall(b"still here")
        assert connection.recv(100) == b"still here"
        assert running.relay.count == 1


def test_a_slow_reader_stops_the_sender_and_gets_everything(server: socket.socket) -> None:
    data = random.Random(1).randbytes(50 * MiB)
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        while sent < len(data):
            sent += connection.send(data[sent : sent + 65536])
        connection.close()

    with relaying(server.getsockname()) as running, running.connect() as client:
        thread = threading.Thread(target=send, args=[accept(server)], daemon=True)
        thread.start()
        # Until the kernel's buffers are full.
        before = -1
        while sent != before:
            before = sent
            time.sleep(0.2)
        assert sent < 30 * MiB, "it is kept somewhere"
        turns = running.turns
        time.sleep(0.3)
        assert running.turns - turns < 5, "it does not wait, it spins"
        digest, count = hashlib.sha256(), 0
        while got := client.recv(MiB):
            digest.update(got)
            count += len(got)
        thread.join(60)
        assert (count, digest.digest()) == (len(data), hashlib.sha256(data).digest())


def test_a_client_that_is_done_does_not_keep_the_loop_busy(server: socket.socket) -> None:
    with relaying(server.getsockname()) as running, running.connect() as client, accept(server) as connection:
        # Both ways of the client are over, and the target does not take what it sent.
        connection.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
        sent, turns = 0, -1
        while running.turns != turns:  # until the relay reads no more; there is still room for the end of the file
            turns = running.turns
            sent += client.send(bytes(65536))
            time.sleep(0.02)
        client.close()
        time.sleep(0.1)
        turns = running.turns
        time.sleep(0.3)
        assert running.turns - turns < 5, "it does not wait, it spins"
        assert len(read_all(connection)) == sent
        running.await_count(0)


def test_a_target_that_refuses_resets_the_client() -> None:
    closed = socket.socket()
    with closed, ExitStack() as stack:
        closed.bind(("127.0.0.1", 0))
        running = stack.enter_context(relaying(closed.getsockname(), patience=0.05))
        for _ in range(3):
            with pytest.raises(ConnectionResetError), running.connect() as client:
                client.recv(1)
            time.sleep(0.1)
        running.await_count(0)


def test_a_target_without_a_route_resets_the_client() -> None:
    with (
        relaying(("255.255.255.255", 80)) as running,
        pytest.raises(ConnectionResetError),
        running.connect() as client,
    ):
        client.recv(1)


@contextmanager
def deaf() -> Iterator[tuple[str, int]]:
    """A target whose queue is full: it answers no more."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        while True:
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
            if not select.select([], [filler], [], 0.1)[1]:
                break
        yield listening.getsockname()


def test_a_target_that_does_not_answer_resets_the_client_in_time() -> None:
    with deaf() as target, relaying(target, patience=0.4) as running:
        started = time.monotonic()
        with running.connect() as client:
            client.sendall(b"anybody?")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        assert 0.4 <= time.monotonic() - started < 30


def test_a_target_that_has_answered_may_take_its_time(server: socket.socket) -> None:
    with relaying(server.getsockname(), patience=0.1) as running, running.connect() as client:
        with accept(server) as connection:
            time.sleep(0.3)
            connection.sendall(b"at last")
        assert read_all(client) == b"at last"


def test_a_client_that_leaves_while_the_target_does_not_answer_is_forgotten() -> None:
    with deaf() as target, relaying(target) as running:
        client = running.connect()
        running.await_count(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        running.await_count(0)


def test_a_client_s_reset_is_passed_on(server: socket.socket) -> None:
    with relaying(server.getsockname()) as running, running.connect() as client, accept(server) as connection:
        client.sendall(b"x")
        assert connection.recv(1) == b"x"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        running.await_count(0)


def test_a_target_s_reset_is_passed_on_after_its_answer(server: socket.socket) -> None:
    loop = Loop()
    listening = bound(socket.SOCK_STREAM)
    relay = Relay(loop, listening, server.getsockname())
    with socket.create_connection(listening.getsockname(), 5) as client:
        client.sendall(b"x")
        while not select.select([server], [], [], 0)[0]:
            loop.turn()
        connection = accept(server)
        while not select.select([connection], [], [], 0)[0]:
            loop.turn()
        # The answer and the reset are both there before the relay looks.
        connection.sendall(b"no" * 10_000)
        connection.close()  # with something unread: the kernel makes it a reset, tcp(7)
        while relay.count:
            loop.turn()
        got = b""
        with pytest.raises(ConnectionResetError):
            while data := client.recv(65536):
                got += data
        assert got == b"no" * 10_000
    relay.close()


def test_more_connections_than_there_may_be_wait(server: socket.socket) -> None:
    with relaying(server.getsockname(), limit=2) as running, ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(3)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        ends = [stack.enter_context(accept(server)) for _ in range(2)]
        assert {end.recv(1) for end in ends} == {b"0", b"1"}
        turns = running.turns
        time.sleep(0.2)
        assert running.relay.count == 2 and running.turns - turns < 5
        clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        clients[0].close()
        third = stack.enter_context(accept(server))
        assert third.recv(1) == b"2"


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_clients_wait_and_the_loop_rests(server: socket.socket) -> None:
    with relaying(server.getsockname()) as running, socket.socket() as client:
        client.settimeout(60)
        with no_more_descriptors():
            client.connect(running.address)
            client.sendall(b"patient")
            time.sleep(0.1)
            turns = running.turns
            time.sleep(0.6)
            assert running.turns - turns < 10
        with accept(server) as connection:
            assert connection.recv(100) == b"patient"


def test_closing_ends_everything_that_is_under_way(server: socket.socket) -> None:
    with ExitStack() as stack:
        with relaying(server.getsockname()) as running:
            for _ in range(20):
                client = stack.enter_context(running.connect())
                connection = stack.enter_context(accept(server))
                client.sendall(bytes(100_000))
                assert connection.recv(10) == bytes(10)
            assert running.relay.count == 20
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionResetError):
            read_all(connection)


@contextmanager
def echo(prefix: bytes = b"") -> Iterator[tuple[str, int]]:
    """A server of datagrams that sends back what it gets."""
    with bound(socket.SOCK_DGRAM) as found:

        def serve() -> None:
            while True:
                data, client = found.recvfrom(65535)
                if data == b"end":
                    return
                found.sendto(prefix + data, client)

        found.settimeout(20)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield found.getsockname()
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"end", found.getsockname())
            thread.join(60)


def datagrams_to(address: tuple[str, int]) -> socket.socket:
    """A socket that takes answers from that address only."""
    found = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    found.settimeout(60)
    found.connect(address)
    return found


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_datagrams_of_several_clients_are_answered(address: str) -> None:
    with echo() as target, relaying(target, socket.SOCK_DGRAM, address) as running, ExitStack() as stack:
        clients = [stack.enter_context(datagrams_to(running.address[:2])) for _ in range(30)]
        for turn in range(3):
            for number, client in enumerate(clients):
                client.send(b"%d of %d" % (turn, number))
            for number, client in enumerate(clients):
                assert client.recv(100) == b"%d of %d" % (turn, number)
        largest = random.Random(2).randbytes(65507)
        for data in (b"", largest, b"x"):
            clients[0].send(data)
            assert clients[0].recv(65535) == data
        assert running.relay.count == 30


@pytest.mark.parametrize(
    ("bound_to", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::", "::1"), ("::", "127.0.0.2")],
)
def test_an_answer_comes_from_the_address_that_was_asked(bound_to: str, asked: str) -> None:
    with (
        echo() as target,
        relaying(target, socket.SOCK_DGRAM, bound_to) as running,
        datagrams_to((asked, running.address[1])) as client,
    ):
        client.send(b"who?")
        assert client.recv(100) == b"who?"


def test_one_socket_that_asks_two_addresses_gets_both_answers() -> None:
    with (
        echo() as target,
        relaying(target, socket.SOCK_DGRAM, "0.0.0.0") as running,
        bound(socket.SOCK_DGRAM, "0.0.0.0") as client,
    ):
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
            client.sendto(address.encode(), (address, running.address[1]))
            assert client.recvfrom(100) == (address.encode(), (address, running.address[1]))


def test_a_silent_client_is_forgotten() -> None:
    with echo() as target, ExitStack() as stack:
        for idle, count in ((600, 3), (0.3, 0)):
            running = stack.enter_context(relaying(target, socket.SOCK_DGRAM, idle=idle))
            clients = [stack.enter_context(datagrams_to(running.address)) for _ in range(3)]
            for _ in range(2):
                for client in clients:
                    client.send(b"x")
                    assert client.recv(10) == b"x"
                running.await_count(count)


def test_who_sends_only_or_hears_only_is_not_silent() -> None:
    with (
        bound(socket.SOCK_DGRAM) as target,
        relaying(target.getsockname(), socket.SOCK_DGRAM, idle=2.2) as running,
        datagrams_to(running.address) as sender,
        datagrams_to(running.address) as hearer,
    ):
        hearer.send(b"x")
        place = target.recvfrom(10)[1]
        seen = set()
        for _ in range(12):
            sender.send(b"x")
            seen.add(target.recvfrom(10)[1])
            target.sendto(b"y", place)
            assert hearer.recv(10) == b"y"
            time.sleep(0.2)
        assert len(seen) == 1


def test_the_client_that_was_silent_for_longest_makes_room() -> None:
    with (
        bound(socket.SOCK_DGRAM) as target,
        relaying(target.getsockname(), socket.SOCK_DGRAM, limit=2) as running,
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(datagrams_to(running.address)) for _ in range(3)]

        def ours(number: int) -> object:
            clients[number].send(b"x")
            return target.recvfrom(10)[1]

        first, second = ours(0), ours(1)
        assert ours(0) == first
        ours(2)
        assert running.relay.count == 2
        assert ours(0) == first
        assert ours(1) != second


def test_datagrams_reach_a_target_that_was_not_there_before() -> None:
    with bound(socket.SOCK_DGRAM) as reserved:
        target = reserved.getsockname()
    loop, listening = Loop(), bound(socket.SOCK_DGRAM)
    relay = Relay(loop, listening, target)
    with datagrams_to(listening.getsockname()) as client:
        client.send(b"early")
        loop.turn()  # it goes, and that nobody was there comes back at once
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.settimeout(60)
            late.bind(target)
            client.send(b"now")
            loop.turn()
            assert late.recv(100) == b"now"
    relay.close()


def test_a_target_that_refuses_datagrams_does_not_keep_the_loop_busy() -> None:
    with bound(socket.SOCK_DGRAM) as reserved:
        target = reserved.getsockname()
    with relaying(target, socket.SOCK_DGRAM) as running, datagrams_to(running.address) as client:
        client.send(b"x")
        running.await_count(1)
        turns = running.turns
        time.sleep(0.1)
        assert running.turns - turns < 5


def test_datagrams_are_lost_without_descriptors_and_the_loop_rests() -> None:
    with echo() as target, relaying(target, socket.SOCK_DGRAM) as running, datagrams_to(running.address) as client:
        with no_more_descriptors():
            client.send(b"lost")
            time.sleep(0.1)
            turns = running.turns
            time.sleep(0.1)
            assert running.turns - turns < 5 and running.relay.count == 0
        client.send(b"found")
        assert client.recv(100) == b"found"
