"""Questions that others answer: passed on to upstream servers, over UDP or TCP as they came.

A question is given an id of our own and sent to the first server. If that is silent, the next is asked as well, and the
first good answer counts, whichever of those who were asked it comes from. One that cannot or will not answer (SERVFAIL,
NOTIMP, REFUSED, a closed port) makes the next one's turn come at once, as libc does it, which sees only us.

An answer is one when it comes from a server that was asked, with the id and the question it was asked (RFC 5452
section 9.1). All datagrams leave from one port for each family, since an ordinary user's sockets are made before the
namespace is entered. We keep no answers, so a forged one would have to come in time for each question anew.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from containerkit.linux.loop import GONE, Loop
from containerkit.net import dns
from containerkit.net.conversation import Conversation
from containerkit.net.waiting import Waiting

#: Questions under way. Those over TCP cost a descriptor each.
_MOST_DATAGRAMS, _MOST_STREAMS = 512, 64
#: Datagrams that are read before others have their turn.
_AT_ONCE = 32
#: linux/in.h, linux/in6.h: failures of single datagrams are told, with the datagram.
_IP_RECVERR, _IPV6_RECVERR = 11, 25

#: The kernel's form of an address, as the socket module has it.
Place = tuple[Any, ...]


class Upstream(NamedTuple):
    """A server to ask: a textual address, with the interface where that is needed (``fe80::1%eth0``)."""

    address: str
    port: int = 53

    def place(self) -> tuple[int, Place]:
        """Its family and address, in the form in which what comes from there has it.

        Raises:
            OSError: no address, or no such interface.
        """
        host, _, zone = self.address.partition("%")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        packed = socket.inet_pton(family, host)
        host = socket.inet_ntop(family, packed)
        if family == socket.AF_INET:
            return family, (host, self.port)
        # Only of link-local addresses (fe80::/10) does the kernel say where they are.
        is_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
        scope = 0 if not zone or not is_local else int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
        return family, (host, self.port, 0, scope)


class _Question:
    """One that is under way."""

    def __init__(
        self, query: dns.Query, identifier: int, servers: list[Upstream], reply: Callable[[bytes], None]
    ) -> None:
        self.query, self.id, self.servers, self.reply = query, identifier, servers, reply
        self.asked: list[Place] = []
        self.refusal: bytes | None = None
        self.conversations: list[Conversation] = []

    def message(self) -> bytes:
        return dns.with_id(self.query.message, self.id)


class _Forwarder:
    """What is the same over UDP and TCP."""

    def __init__(self, loop: Loop, patience: float, most: int) -> None:
        self._loop = loop
        self._under_way: Waiting[_Question] = Waiting(loop, patience, most, self._ask_next)

    def ask(self, query: dns.Query, servers: Sequence[Upstream], reply: Callable[[bytes], None]) -> None:
        """Ask the servers one after the other; ``reply`` is called with an answer, in the end one that says SERVFAIL.

        An answer's id and the case of its question's name may be others than the query's.
        """
        identifier = int.from_bytes(os.urandom(2), "big")
        while identifier in self._under_way:
            identifier = int.from_bytes(os.urandom(2), "big")
        # Datagrams get lost: the only server is asked again when it is silent.
        turns = [*servers] if len(servers) > 1 else [*servers] * 2
        self._ask_next(_Question(query, identifier, turns, reply))

    @property
    def is_idle(self) -> bool:
        """Whether no question is under way."""
        return not len(self._under_way)

    def close(self) -> None:
        """Forget all questions."""
        for question in self._under_way:
            self._hang_up(question)
        self._under_way.clear()

    def _ask_next(self, question: _Question) -> None:
        while question.servers:
            crowded_out = self._under_way.put(question.id, question)
            if crowded_out is not None:
                self._give_up(crowded_out)
            try:
                family, place = question.servers.pop(0).place()
                question.asked.append(place)
                self._send(question, family, place)
                return
            except OSError:
                if question.id not in self._under_way:
                    return  # that was found out on the way
        self._give_up(question)

    def _send(self, question: _Question, family: int, place: Place) -> None:
        raise NotImplementedError

    def _heard(self, question: _Question, place: Place, message: bytes) -> None:
        """An answer to it has come."""
        if dns.code_of(message) in (dns.SERVFAIL, dns.NOTIMP, dns.REFUSED):
            question.refusal = message
            self._refused(question, place)
        else:
            self._finish(question, message)

    def _refused(self, question: _Question, place: Place) -> None:
        """Who is there will not answer it, now or later."""
        if place == question.asked[-1]:  # otherwise somebody else has been asked meanwhile
            if question.servers and _is_at(question.servers[0], place):
                question.servers.pop(0)
            self._ask_next(question)

    def _give_up(self, question: _Question) -> None:
        self._finish(question, question.refusal or dns.reply(question.query, dns.SERVFAIL))

    def _finish(self, question: _Question, message: bytes) -> None:
        self._under_way.take(question.id)
        self._hang_up(question)
        question.reply(message)

    def _hang_up(self, question: _Question) -> None:
        for conversation in question.conversations:
            conversation.close()


def _is_at(server: Upstream, place: Place) -> bool:
    try:
        return server.place()[1] == place
    except OSError:
        return False


class Datagrams(_Forwarder):
    """Questions passed on over UDP.

    Args:
        outside: a socket for each address family, ours from now on; what is missing is made when it is needed.
    """

    def __init__(self, loop: Loop, patience: float, outside: Mapping[int, socket.socket]) -> None:
        super().__init__(loop, patience, _MOST_DATAGRAMS)
        self._sockets: dict[int, socket.socket] = {}
        for family, udp in outside.items():
            self._adopt(family, udp)

    def close(self) -> None:
        super().close()
        for udp in self._sockets.values():
            self._loop.remove(udp.fileno())
            udp.close()
        self._sockets.clear()

    def _adopt(self, family: int, udp: socket.socket) -> None:
        self._sockets[family] = udp
        udp.setblocking(False)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            udp.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        self._loop.add(udp.fileno(), lambda events: self._ready(udp, events))

    def _send(self, question: _Question, family: int, place: Place) -> None:
        if family not in self._sockets:
            self._adopt(family, socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        udp = self._sockets[family]
        try:
            udp.sendto(question.message(), place)
        except OSError:
            # ip(7), IP_RECVERR: that may be the news of another one's failure.
            self._hear_of_failures(udp)
            udp.sendto(question.message(), place)

    def _ready(self, udp: socket.socket, events: int) -> None:
        if events & GONE:
            self._hear_of_failures(udp)
        for _ in range(_AT_ONCE):
            try:
                message, place = udp.recvfrom(dns.LONGEST)
            except OSError:
                return  # no more for now
            question = self._under_way.get(int.from_bytes(message[:2], "big"))
            if question and place in question.asked and dns.is_answer(message, question.query, question.id):
                self._heard(question, place, message)

    def _hear_of_failures(self, udp: socket.socket) -> None:
        """Empty the queue of errors: ports that are closed, hosts that are not reached (ICMP)."""
        while True:
            try:
                message, _, _, place = udp.recvmsg(dns.SHORT, 0, socket.MSG_ERRQUEUE)
            except OSError:
                return
            question = self._under_way.get(int.from_bytes(message[:2], "big"))
            if question and place in question.asked:
                self._refused(question, place)


def new_stream(family: int) -> socket.socket:
    """A TCP socket of this network namespace."""
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


class Streams(_Forwarder):
    """Questions passed on over TCP, each on a connection of its own.

    Args:
        stream: makes a socket of an address family.
    """

    def __init__(self, loop: Loop, patience: float, stream: Callable[[int], socket.socket] = new_stream) -> None:
        super().__init__(loop, patience, _MOST_STREAMS)
        self._stream = stream

    def _send(self, question: _Question, family: int, place: Place) -> None:
        connection = self._stream(family)
        connection.setblocking(False)
        try:
            connection.connect(place)
        except BlockingIOError:
            pass  # it is being made
        except OSError:
            connection.close()
            raise

        def heard(message: bytes) -> None:
            if dns.is_answer(message, question.query, question.id):
                self._heard(question, place, message)
            else:
                self._refused(question, place)

        conversation = Conversation(
            self._loop, connection, heard, lambda: self._refused(question, place), longest=dns.LONGEST
        )
        question.conversations.append(conversation)
        conversation.say(question.message())
