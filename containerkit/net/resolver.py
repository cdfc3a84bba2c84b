"""Answers a container's DNS questions: names of containers from the store, everything else from upstream servers.

The monitor listens inside of the container's network namespace, at 127.0.0.11, by UDP and TCP. A question walks through
the files like this::

    resolver.py       a datagram, or a message of a connection (conversation.py)
    dns.py            is read
    resolver.py       a name, or an address, of ours: answered at once
    forwarding.py     anything else: upstream, which may take a while (waiting.py)
    dns.py            the answer, cut to what the client takes

Nothing here waits, and no question, answer or failure of the store ends the monitor.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from containerkit.linux.loop import READABLE, Loop
from containerkit.net import dns
from containerkit.net.conversation import Conversation
from containerkit.net.forwarding import Datagrams, Place, Streams, Upstream, new_stream
from containerkit.net.waiting import Waiting

#: Connections at a time. The one that has been quiet longest makes room for another.
_MOST_CONNECTIONS = 32
#: Datagrams that are read before others have their turn.
_AT_ONCE = 32
#: Octets of a question; names have 255.
_LONGEST_QUESTION = 4096
#: Names whose addresses' order is remembered.
_MOST_TURNS = 1000


class Names(Protocol):
    """What is answered here. Both are called for each question, and may raise anything: that is SERVFAIL."""

    def addresses(self, name: str) -> list[str] | None:
        """The IPv4 and IPv6 addresses of a name, which is in lower case and without a last dot; None: not ours."""

    def name_of(self, address: str) -> str | None:
        """The name at an address (as ``inet_ntop`` writes it); None: not ours."""


class Resolver:
    """The answering end.

    Args:
        udp, tcp: bound where the container asks, or listening there; the resolver's own from now on.
        names: what is ours. May be replaced.
        upstreams: who is asked for the rest, one after the other. With none of them, what is not ours does not exist.
            May be replaced; questions that are under way keep theirs.
        outside: for each address family (``AF_INET``, ``AF_INET6``) an unconnected UDP socket from which upstream
            servers are asked, the resolver's own from now on. What is missing is opened when it is needed.
        stream: makes a TCP socket of an address family, to ask an upstream server.
        patience: seconds that an upstream server has before the next one is asked.
        idle: seconds that a connection may be quiet.
    """

    def __init__(
        self,
        loop: Loop,
        udp: socket.socket,
        tcp: socket.socket,
        names: Names,
        upstreams: Sequence[Upstream] = (),
        outside: Mapping[int, socket.socket] | None = None,
        *,
        stream: Callable[[int], socket.socket] = new_stream,
        patience: float = 2.0,
        idle: float = 10.0,
    ) -> None:
        self.names, self.upstreams = names, upstreams
        self._loop, self._udp, self._tcp = loop, udp, tcp
        self._datagrams, self._streams = Datagrams(loop, patience, outside or {}), Streams(loop, patience, stream)
        self._connections: Waiting[Conversation] = Waiting(loop, idle, _MOST_CONNECTIONS, Conversation.close)
        self._turns: dict[tuple[str, int], int] = {}
        udp.setblocking(False)
        tcp.setblocking(False)
        tcp.listen(_MOST_CONNECTIONS)
        loop.add(udp.fileno(), self._receive)
        loop.add(tcp.fileno(), self._accept)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer, or is connected."""
        return not len(self._connections) and self._datagrams.is_idle and self._streams.is_idle

    def close(self) -> None:
        """Nobody is answered any more."""
        for listening in (self._udp, self._tcp):
            self._loop.remove(listening.fileno())
            listening.close()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._datagrams.close()
        self._streams.close()

    def _receive(self, _: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                message, client = self._udp.recvfrom(_LONGEST_QUESTION)
            except OSError:
                return  # no more for now
            self._handle_datagram(message, client)

    def _handle_datagram(self, message: bytes, client: Place) -> None:
        def reply(answer: bytes) -> None:
            try:
                if answer:
                    self._udp.sendto(answer, client)
            except OSError:
                pass  # no room, or nobody there: it will ask again if it wants to know

        try:
            query = dns.parse(message)
        except dns.Malformed as error:
            reply(dns.refusal(message, error.code))
        else:
            self._handle(query, self._datagrams, query.longest, reply)

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._tcp.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError:
            # No descriptors left: whoever waits there would wake us at once, again and again.
            self._loop.change(self._tcp.fileno(), 0)
            self._loop.after(1, self._listen_again)
            return
        conversation = Conversation(
            self._loop,
            connection,
            lambda message: self._handle_message(conversation, message),
            lambda: self._forget(descriptor),
            longest=_LONGEST_QUESTION,
        )
        descriptor = conversation.descriptor
        crowded_out = self._connections.put(descriptor, conversation)
        if crowded_out is not None:
            crowded_out.close()

    def _listen_again(self) -> None:
        if self._tcp.fileno() >= 0:
            self._loop.change(self._tcp.fileno(), READABLE)

    def _forget(self, descriptor: int) -> None:
        self._connections.take(descriptor)

    def _handle_message(self, conversation: Conversation, message: bytes) -> None:
        # Single octets are no sign of life: only who says something whole keeps its connection.
        self._connections.put(conversation.descriptor, conversation)
        try:
            query = dns.parse(message)
        except dns.Malformed as error:
            self._reject(conversation, dns.refusal(message, error.code))
        else:
            self._handle(query, self._streams, dns.LONGEST, lambda answer: self._say(conversation, answer))

    def _say(self, conversation: Conversation, answer: bytes) -> None:
        if conversation.is_open:
            self._connections.put(conversation.descriptor, conversation)
            conversation.say(answer)

    def _reject(self, conversation: Conversation, refusal: bytes) -> None:
        if refusal:
            conversation.say(refusal)
        else:
            self._forget(conversation.descriptor)
            conversation.close()

    def _handle(
        self, query: dns.Query, elsewhere: Datagrams | Streams, longest: int, reply: Callable[[bytes], None]
    ) -> None:
        try:
            answer = self._own_answer(query, longest)
        except Exception:
            # A store whose disk is full, a name that DNS does not have: whatever it is, the container runs on.
            answer = dns.reply(query, dns.SERVFAIL)
        if answer is not None:
            reply(answer)
        else:
            elsewhere.ask(query, self.upstreams, lambda message: reply(dns.passed_on(message, query, longest)))

    def _own_answer(self, query: dns.Query, longest: int) -> bytes | None:
        """The answer, unless somebody else has it."""
        if query.edns and query.edns.version > 0:
            return dns.reply(query, dns.BADVERS)
        if query.type in (dns.AXFR, dns.IXFR):
            return dns.reply(query, dns.REFUSED)  # zones are transferred as many messages
        records = self._records(query)
        if records is not None:
            return dns.reply(query, dns.NOERROR, records, longest)
        # Not REFUSED, which musl does not take for an answer: it would wait until its time is up (res_msend.c). glibc
        # would turn to the next server, and in the end call it the server's failure.
        return None if self.upstreams else dns.reply(query, dns.NXDOMAIN)

    def _records(self, query: dns.Query) -> list[dns.Record] | None:
        """What there is of the type asked for under a name of ours; None when it is not ours."""
        if query.klass not in (dns.IN, dns.ANY):
            return None
        address = dns.reversed_address(query.name)
        if address is not None:
            name = self.names.name_of(address)
            return None if name is None else [dns.pointer_record(name)] if query.type in (dns.PTR, dns.ANY) else []
        addresses = self.names.addresses(query.name)
        return None if addresses is None else self._in_turn(query, dns.address_records(addresses, query.type))

    def _in_turn(self, query: dns.Query, records: list[dns.Record]) -> list[dns.Record]:
        """Another one first each time: most clients take the first.

        Counted for each name and type: clients ask in patterns (A, AAAA, A, …), which one count for all would follow.
        """
        if len(records) < 2:
            return records
        if len(self._turns) >= _MOST_TURNS:
            self._turns.clear()
        turn = self._turns.get((query.name, query.type), 0) % len(records)
        self._turns[query.name, query.type] = turn + 1
        return records[turn:] + records[:turn]
