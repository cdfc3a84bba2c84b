"""What ``Container.wait_for`` waits for: ``ck.until.healthy()``, ``ck.until.log("ready")``, ``ck.until.port(80)`` …

A condition is asked again and again, a few hundredths of a second apart: most of them (a file, a port, an answer) are
told of by nobody.
"""

from __future__ import annotations

import os
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from containerkit.errors import InvalidArgument, InvalidState, NotFound, Timeout
from containerkit.linux import namespaces as ns
from containerkit.supervise import worker
from containerkit.values import frozen

if TYPE_CHECKING:
    from containerkit.container import Container

#: Seconds between two looks: the first, and the longest. A look that takes long is followed by a pause as long.
_FIRST, _LONGEST = 0.005, 0.1
_LOG_LINES = 10
#: Seconds that a look may take at least, and that one at an HTTP server takes at most.
_LEAST, _LOOK = 0.1, 5.0
_LISTENS = {"tcp": "0A", "udp": "07"}


class Condition(ABC):
    """Something that a running container will be, some time."""

    @abstractmethod
    def is_met(self, container: Container, left: float) -> bool:
        """Whether it is so now; to be answered within ``left`` seconds."""

    @abstractmethod
    def __str__(self) -> str:
        """In the words of an error message."""


def wait(container: Container, condition: Condition, timeout: float) -> None:
    """As ``Container.wait_for``; ``timeout`` in seconds."""
    if not isinstance(condition, Condition):
        raise InvalidArgument(f"condition {condition!r}: expected one of ck.until: healthy(), log(text), port(80), …")
    name = container.name
    if container.status == "created":
        raise InvalidState(f"container {name}: cannot wait for {condition}: it was never started")
    deadline = time.monotonic() + timeout
    pause = _FIRST
    while True:
        # The state before the look: what it wrote before its end is seen all the same.
        is_over = container.status not in ("running", "paused", "restarting")
        began = time.monotonic()
        try:
            if condition.is_met(container, max(deadline - began, _LEAST)):
                return
        except (InvalidState, NotFound, Timeout):
            pass  # it took too long, has just ended, or is between two runs; if it was removed, the next look says so
        if is_over:
            text = f"container {name}: ended (exit code {container.exit_code}) before {condition}"
            raise InvalidState(text, log=container.logs(tail=_LOG_LINES))
        now = time.monotonic()
        if now >= deadline:
            text = f"container {name}: not {condition} after {timeout:g} s"
            raise Timeout(text, log=container.logs(tail=_LOG_LINES))
        time.sleep(min(max(pause, now - began), max(deadline - now, 0.0)))
        pause = min(pause * 1.5, _LONGEST)


@frozen
class _Healthy(Condition):
    def is_met(self, container: Container, left: float) -> bool:
        health = container.health
        if health is None:
            raise InvalidArgument(f"container {container.name}: healthy: it has no health check")
        return health == "healthy"

    def __str__(self) -> str:
        return "healthy"


@frozen
class _Log(Condition):
    text: str | re.Pattern[str]

    def is_met(self, container: Container, left: float) -> bool:
        # What an earlier run has said does not count.
        lines = container.log_lines(since=container.started)
        if isinstance(self.text, str):
            return any(self.text in line.text for line in lines)
        return any(self.text.search(line.text) for line in lines)

    def __str__(self) -> str:
        return f"a log line with {self.text!r}" if isinstance(self.text, str) else f"a log line of {self.text.pattern}"


@frozen
class _Port(Condition):
    number: int
    protocol: str = "tcp"

    def is_met(self, container: Container, left: float) -> bool:
        pid = container.pid
        return pid is not None and any(self._is_in(f"/proc/{pid}/net/{self.protocol}{v}") for v in ("", "6"))

    def _is_in(self, table: str) -> bool:
        # proc(5), /proc/net/tcp: the second column is ADDRESS:PORT, the fourth the state.
        try:
            with open(table) as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            return False  # it has just ended, or there is no IPv6
        return any(row[1].endswith(f":{self.number:04X}") and row[3] == _LISTENS[self.protocol] for row in rows)

    def __str__(self) -> str:
        return f"listening on port {self.number}/{self.protocol}"


@frozen
class _Http(Condition):
    path: str
    port: int
    status: int | None

    def is_met(self, container: Container, left: float) -> bool:
        pid = container.pid
        if pid is None:
            return False
        answer: int | None = worker.call(status_of, (Place(pid), self.port, self.path, min(left, _LOOK)), {})
        return answer is not None and (200 <= answer < 400 if self.status is None else answer == self.status)

    def __str__(self) -> str:
        return f"answering http on port {self.port}, {self.path}"


@frozen
class Place:
    """The network of a process."""

    pid: int

    def lives_in(self) -> int:
        """In whose user namespace it can be entered."""
        return self.pid


def status_of(place: Place, port: int, path: str, seconds: float) -> int | None:
    """The status of an HTTP answer from ``port`` on that network's loopback; None without one in time.

    To be called in a process of its own: it enters the network.
    """
    import http.client

    def late(*_: object) -> None:
        raise TimeoutError

    # A server may say a letter a second: that is no silence that a socket would notice.
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        network = os.open(f"/proc/{place.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            ns.setns(network, ns.CLONE_NEWNET)
        finally:
            os.close(network)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None


@frozen
class _Exec(Condition):
    command: tuple[str, ...]

    def is_met(self, container: Container, left: float) -> bool:
        return bool(container.exec(list(self.command), timeout=left))

    def __str__(self) -> str:
        return f"{' '.join(self.command)} succeeding"


@frozen
class _File(Condition):
    path: str

    def is_met(self, container: Container, left: float) -> bool:
        return container.path(self.path).exists()

    def __str__(self) -> str:
        return f"{self.path} there"


class Until:
    """Makes conditions. Its one instance is ``ck.until``.

    >>> web = ck.run("busybox", "httpd -f -h /etc").wait_for(ck.until.http("/passwd"), timeout=10)
    """

    def healthy(self) -> Condition:
        """Its health check says healthy."""
        return _Healthy()

    def log(self, text: str | re.Pattern[str]) -> Condition:
        """A line of its log, of this run, has ``text`` in it, or matches the pattern."""
        return _Log(text)

    def port(self, number: int, protocol: str = "tcp") -> Condition:
        """Something in it listens on that port, ``"tcp"`` or ``"udp"``."""
        if not isinstance(number, int) or not 0 < number < 65536 or protocol not in _LISTENS:
            raise InvalidArgument(f"port {number}/{protocol}: expected 1 to 65535, and tcp or udp")
        return _Port(number, protocol)

    def http(self, path: str = "/", *, port: int = 80, status: int | None = None) -> Condition:
        """A GET of ``path`` on its own loopback is answered with that status; without one, with 200 to 399."""
        self.port(port)
        if not path.startswith("/"):
            raise InvalidArgument(f"path {path!r}: must begin with /")
        return _Http(path, port, status)

    def exec(self, command: Sequence[str]) -> Condition:
        """The command, run in it, exits with 0."""
        if isinstance(command, str) or not command:
            raise InvalidArgument(f"command {command!r}: expected a list of arguments")
        return _Exec(tuple(command))

    def file(self, path: str) -> Condition:
        """There is a file (or directory) at ``path`` in it."""
        return _File(path)


until = Until()
