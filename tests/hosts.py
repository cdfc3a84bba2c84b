"""Other hosts for tests: network namespaces with a cable to this machine, and programs that run there.

::

    this machine                     the other host
    ckhN  198.18.x.1  ───────────  eth0  198.18.x.2
          fd00:c4:x::1                   fd00:c4:x::2

Addresses are those for measuring networks (RFC 2544), which nobody uses.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import containerkit as ck
from containerkit import Container, Engine, Image
from containerkit.net.firewall import table_of

_numbers = itertools.count()


@dataclass(frozen=True)
class Host:
    """Another host.

    Args:
        name: of its network namespace.
        link: this machine's end of the cable.
        here, here6: this machine's addresses on the cable.
        address, address6: the other host's.
    """

    name: str
    link: str
    here: str
    address: str
    here6: str
    address6: str

    def command(self, *arguments: str) -> list[str]:
        """The command that runs ``arguments`` there. All but the network is this machine's (not so: ip-netns(8))."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *arguments]

    def run(self, *arguments: str, input: str | None = None, timeout: float = 30) -> str:
        """What a program prints there."""
        done = subprocess.run(
            self.command(*arguments), input=input, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def get(self, url: str, *, patience: float = 5) -> str | None:
        """What a web server says to that host, None when there is no answer."""
        return get(url, patience=patience, within=self.command())

    @contextlib.contextmanager
    def program(self, *arguments: str, ready: str = "") -> Iterator[subprocess.Popen[str]]:
        """A program that runs there meanwhile; ``ready``: a line that it prints before it is of use."""
        with program(self.command(*arguments), ready=ready) as process:
            yield process

    @contextlib.contextmanager
    def names(self, **records: str) -> Iterator[Path]:
        """A DNS server there, at port 53: name → address. Yields the file in which it writes what it was asked."""
        pairs = [f"{name.replace('_', '.')}={address}" for name, address in records.items()]
        asked = Path(f"/tmp/{self.name}.asked")
        script = str(Path(__file__).with_name("dns_server.py"))
        with self.program(sys.executable, "-S", script, str(asked), self.address, *pairs, ready="ready"):
            try:
                yield asked
            finally:
                asked.unlink(missing_ok=True)


@contextlib.contextmanager
def host() -> Iterator[Host]:
    """Another host, for a while."""
    name, number = f"ckh-{os.getpid()}-{next(_numbers)}", random.randrange(1, 255)
    link = f"ckh{os.getpid() % 100000}x{name.rpartition('-')[2]}"
    other = Host(
        name, link, f"198.18.{number}.1", f"198.18.{number}.2", f"fd00:c4:{number:x}::1", f"fd00:c4:{number:x}::2"
    )
    ip("netns", "add", name)
    try:
        # A namespace takes its end along, and a veth the other end.
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        for address in (f"{other.here}/24", f"{other.here6}/64"):
            ip("address", "add", address, "dev", link, *(["nodad"] if ":" in address else []))
        ip("link", "set", link, "up")
        for address in (f"{other.address}/24", f"{other.address6}/64"):
            ip("-n", name, "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        for inside in ("eth0", "lo"):
            ip("-n", name, "link", "set", inside, "up")
        yield other
    finally:
        # The namespace lives on for a while where a socket of it does.
        subprocess.run(["ip", "link", "delete", link], stderr=subprocess.DEVNULL, check=False)
        ip("netns", "delete", name)


def ip(*arguments: str) -> str:
    """ip(8)."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def program(command: Sequence[str], *, ready: str = "") -> Iterator[subprocess.Popen[str]]:
    """A program that runs meanwhile; ``ready``: a line that it prints before it is of use."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if ready:
                assert process.stdout.readline().strip() == ready
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def get(url: str, *, patience: float = 5, within: Sequence[str] = ()) -> str | None:
    """What a web server says, None when there is no answer."""
    command = [*within, "curl", "--silent", "--fail", "--globoff", "--max-time", str(patience), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


#: Seconds after which nobody answers any more: what is dropped stays silent.
SILENCE = 0.4

_SITE = r"""
mkdir -p /www/cgi-bin && echo "$0" >/www/index.html
printf '#!/bin/sh\necho; echo "$REMOTE_ADDR"\n' >/www/cgi-bin/peer && chmod +x /www/cgi-bin/peer
exec httpd -f -p 80 -h /www
"""


#: Perl needs no modules for it, and is on every Debian.
_ECHO = r"""
socket(S, 2, 2, 17); bind(S, pack("S n a4 x8", 2, 5000, "\0\0\0\0")) or die;
while ($who = recv(S, $text, 4096, 0)) {
    ($family, $port, $address) = unpack("S n a4", $who);
    send(S, "$text " . join(".", unpack("C4", $address)), 0, $who);
}
"""


def echo(engine: Engine, **options: object) -> Container:
    """A container that answers datagrams at port 5000 with what they say, and the client's address."""
    Image.from_host("perl", tag="echo", engine=engine)
    container = engine.run("echo", ["perl", "-e", _ECHO], **options)  # type: ignore[arg-type]  # as they come
    return container.wait_for(ck.until.port(5000, "udp"), timeout=60)


_DATAGRAM = """
import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
ours = socket.socket(family, socket.SOCK_DGRAM)
ours.settimeout(3)
ours.bind(('::' if family == socket.AF_INET6 else '0.0.0.0', int((sys.argv + ['0'])[3])))
ours.connect((sys.argv[1], int(sys.argv[2])))
ours.send(b'anybody?')
"""
#: A program that sends a datagram to an address and port, from a port if one is named; ASK prints the answer.
SAY = (sys.executable, "-S", "-c", _DATAGRAM)
ASK = (sys.executable, "-S", "-c", _DATAGRAM + "print(ours.recv(100).decode())")


def web_command(text: str) -> list[str]:
    """A web server that says ``text``, and at ``/cgi-bin/peer`` the client's address."""
    return ["sh", "-c", _SITE, text]


def web(engine: Engine, name: str, **options: object) -> Container:
    """A container with a web server that says its name."""
    container = engine.run("busybox", web_command(name), name=name, **options)  # type: ignore[arg-type]  # as they come
    return container.wait_for(ck.until.port(80), timeout=60)


def ask(container: Container, address: str, *, port: int = 80, path: str = "/", patience: float = 5) -> str | None:
    """What a web server says to a container, None when there is no answer."""
    target = f"[{address}]" if ":" in address else address
    script = f"printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | timeout {patience} nc {target} {port} | tail -n 1"
    return container.exec(["sh", "-c", script]).stdout.strip() or None


def reached(container: Container, *places: str | tuple[str, int]) -> list[str | tuple[str, int]]:
    """Which of these answer a container: an address a ping, an address and a port a connection. A second for all."""
    attempts = []
    for number, place in enumerate(places):
        command = f"ping -c1 -W1 {place}" if isinstance(place, str) else f"nc {place[0]} {place[1]}"
        attempts.append(f"(timeout 1 {command} </dev/null >/dev/null 2>&1 && echo {number}) &")
    out = container.exec(["sh", "-c", "\n".join([*attempts, "wait"])]).stdout
    return [places[number] for number in sorted(map(int, out.split()))]


def look_up(container: Container, name: str, *options: str) -> list[str]:
    """The addresses (or the name, of an address) that a container is told."""
    out = container.exec(["nslookup", *options, name]).stdout
    answer = out.partition("\n\n")[2]
    found = [line.split()[-1] for line in answer.splitlines() if line.startswith(("Address", name)) or "name =" in line]
    return found


def table(engine: Engine) -> str:
    """The name of the engine's table."""
    return table_of(str(engine.paths.root))


def cables(network: ck.Network) -> list[str]:
    """The links that hang on its bridge."""
    return [line.split()[1].partition("@")[0] for line in ip("-o", "link").splitlines()
            if f" master {network.interface} " in line]  # fmt: skip


def elements(engine: Engine) -> list[str]:
    """What is published, as the firewall has it: ``tcp . 8080 : 10.0.0.2 . 80``."""
    found = []
    for name in ("any4", "at4", "any6", "at6"):
        out = nft("list", "map", "inet", table(engine), name)
        _, _, inside = out.partition("elements = {")
        found += [part.strip() for part in inside.partition("}")[0].split(",") if part.strip()]
    return found


def has_firewall(engine: Engine) -> bool:
    """Whether the engine's table is there."""
    return f"table inet {table(engine)}\n" in nft("list", "tables")


def nft(*arguments: str) -> str:
    """nft(8)."""
    done = subprocess.run(["nft", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"nft {' '.join(arguments)}: {done.stderr}"
    return done.stdout
