"""What an ordinary user does with networks: scenarios, run as those of scenarios.py."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import containerkit as ck
from containerkit import Container, Engine
from containerkit.linux.routes import own_address
from containerkit.network import Network
from containerkit.supervise import control
from tests.waiting import eventually

SERVE = ["sh", "-c", "echo content of $HOSTNAME >/tmp/x; exec httpd -f -p 80 -h /tmp"]
ECHO = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 7));"
    "print(flush=True)\nwhile True: s.sendto(*s.recvfrom(2000))"
)


@contextmanager
def server(address: str) -> Iterator[int]:
    """A port of this machine where everybody is told who they are."""
    with socket.create_server((address, 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    client, (host, _) = listening.accept()
                except OSError:
                    return
                with client:
                    client.sendall(f"hello {host}\n".encode())

        threading.Thread(target=answer, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)


def get(host: str, port: int) -> str:
    """What a web server of :data:`SERVE` says, once it is there."""
    for _ in range(100):
        try:
            with socket.create_connection((host, port), 5) as client:
                client.sendall(b"GET /x HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(4096), b""))
        except ConnectionError:
            answer = b""
        if answer:
            return answer.split(b"\r\n\r\n")[1].decode().strip()
        time.sleep(0.05)
    raise AssertionError(f"{host}:{port}: no answer")


def fetch(box: Container, name: str, port: int = 80) -> str:
    """The same from inside of a container. pasta of 2023 does not pass on the end of a connection that we end first."""
    script = f"printf 'GET /x HTTP/1.0\\r\\n\\r\\n' | timeout 3 nc {name} {port} | tail -n 1"
    for _ in range(100):
        if answer := box.exec(["sh", "-c", script]).stdout:
            return answer.strip()
        time.sleep(0.05)
    raise AssertionError(f"{name}:{port}: no answer")


def hears(box: Container, address: str, port: int) -> bool:
    """Whether the container reaches :func:`server`."""
    return "hello" in box.exec(["sh", "-c", f"timeout 2 nc -w 1 {address} {port} </dev/null"]).stdout


def keeper(engine: Engine) -> int:
    """The pid of the keeper."""
    with control.connect(engine.paths.keeper) as connection:
        return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)


def ours() -> list[tuple[str, int]]:
    """Processes of this user that networks need: names and pids."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}").st_uid not in (0, os.getuid()):
                continue
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        name = status.split()[1]
        owner = re.search(r"Uid:\s+(\d+)", status)
        if owner and int(owner[1]) == os.getuid() and "State:\tZ" not in status:
            found.append((name, int(pid)))
    return [one for one in found if re.match("containerkit-ne|passt|pasta|slirp", one[0])]


def exits() -> list[int]:
    """Those of them that lead outside."""
    return [pid for name, pid in ours() if not name.startswith("containerkit")]


def run_other(name: str, here: Path, **environment: str) -> str:
    """What a scenario of another SDK process prints."""
    words = [sys.executable, "-W", "always", "-m", "tests.rootless.scenarios", name, str(here)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def default_network(engine: Engine, here: Path, users: int) -> None:
    """The default bridge: an address, the outside, this machine by its address and by name, never its loopback."""
    address = own_address()
    with server(address) as port, server("127.0.0.1") as hidden:
        box = engine.run("busybox", "sleep 60", name="box", stop_timeout=0, add_hosts={"machine": "host-gateway"})
        assert box.exec("ip route").stdout.startswith("default via 10.")
        assert eventually(lambda: hears(box, address, port)) and eventually(lambda: hears(box, "machine", port))
        gateway = box.exec("ip route").stdout.split()[2]
        assert not any(hears(box, one, hidden) for one in ("127.0.0.1", gateway, "10.0.2.2", address))
        other = engine.run("busybox", SERVE, name="other", stop_timeout=0)
        assert fetch(box, other.exec("hostname -i").stdout.strip()).startswith("content of")
    assert [name for name, _ in ours() if name.startswith("pas")], ours()
    box.remove(force=True)
    other.remove(force=True)
    # Not with the last container, but soon after: the next one would need it again.
    assert eventually(lambda: not ours())
    assert not Path(engine.paths.keeper).exists()


def user_networks(engine: Engine, here: Path, users: int) -> None:
    """Names and aliases, networks that are apart, an internal one; put on and taken off while it runs."""
    address = own_address()
    one, two = Network.create("one", engine=engine), Network.create("two", engine=engine, ipv6=True)
    closed = Network.create("closed", engine=engine, internal=True)
    web = engine.run("busybox", SERVE, name="web", network="one", network_aliases=["www"], hostname="web")
    box = engine.run("busybox", "sleep 60", name="box", network="one")
    assert fetch(box, "web") == fetch(box, "www") == "content of web"
    assert box.exec("ping -c 1 -W 10 web").exit_code == 0
    assert box.exec("nslookup nobody").exit_code
    away = engine.run("busybox", "sleep 60", name="away", network="two")
    assert away.exec("nslookup web").exit_code and "inet6 fd" in away.exec("ip addr show eth0").stdout
    one.connect(away)
    assert fetch(away, "www") == "content of web"
    one.disconnect(away)
    assert away.exec("nslookup web").exit_code and "eth1" not in away.exec("ip addr").stdout
    shut = engine.run("busybox", "sleep 60", name="shut", network="closed")
    with server(address) as port:
        assert eventually(lambda: hears(away, address, port)) and not hears(shut, address, port)
    for container in (web, box, away, shut):
        container.remove(force=True)
    for network in (one, two, closed):
        network.remove()


def ports(engine: Engine, here: Path, users: int) -> None:
    """Published: at every address of this machine, TCP and UDP; what is taken is said, with who has it."""
    with socket.create_server(("", 0)) as spare:
        number = spare.getsockname()[1]
    web = engine.run(
        "busybox", SERVE, name="web", hostname="web", ports=[f"{number}:80", "80", "7/udp"], stop_timeout=0
    )
    places = dict(web.ports)
    for host in ("127.0.0.1", "::1", own_address()):
        assert get(host, number) == "content of web"
    other = next(port for _, port in places["80/tcp"] if port != number)
    assert get("127.0.0.1", other) == "content of web"
    box = engine.run("busybox", "sleep 60", name="box")
    assert fetch(box, own_address(), number) == "content of web"
    echoes(web, places["7/udp"][0][1])
    try:
        engine.run("busybox", "sleep 60", ports=[f"{number}:80"])
    except ck.RuntimeFailure as error:
        assert f"port {number}/tcp: is in use by container web" in str(error), error
    else:
        raise AssertionError("a port was taken twice")
    start = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if start > 80:
        try:
            engine.run("busybox", "sleep 60", ports=["80:80"])
        except ck.RuntimeFailure as error:
            assert f"ports below {start} are root's" in str(error), error
        else:
            raise AssertionError("port 80 is root's")
    web.stop()
    web.start()
    assert get("127.0.0.1", number) == "content of web"
    web.remove(force=True)
    engine.run("busybox", SERVE, name="web", hostname="again", ports=[f"{number}:80"])
    assert get("127.0.0.1", number) == "content of again"


def echoes(box: Container, port: int) -> None:
    """Datagrams to a server that is started in the container's network."""
    pid = str(box._record().pid)
    words = ["nsenter", "-t", pid, "-U", "-n", "--preserve-credentials", sys.executable, "-c", ECHO]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            client.sendto(b"datagram", ("127.0.0.1", port))
            assert client.recv(100) == b"datagram"
        process.kill()


def processes(engine: Engine, here: Path, users: int) -> None:
    """Two SDK processes at once: one keeper, containers that reach each other, and join each other's network."""
    Network.create("shared", engine=engine)
    words = [sys.executable, "-m", "tests.rootless.scenarios", "_start_many", str(here)]
    others = [subprocess.Popen([*words], env={**os.environ, "NAME": name}) for name in ("a1", "b1", "c1")]
    assert [other.wait() for other in others] == [0, 0, 0]
    assert eventually(lambda: len(ours()) == 3), ours()  # one keeper, its relief, and the program
    for name in ("a1", "b1", "c1"):
        for other in ("a1", "b1", "c1"):
            assert fetch(engine.containers[name], other) == f"content of {other}"
    look = "ip -o addr show eth0 | grep -o 'inet [0-9.]*'"
    joined = engine.call("busybox", ["sh", "-c", look], network="container:a1")
    theirs = engine.containers["a1"].exec("hostname -i").stdout.strip()
    assert joined.stdout.split()[1] == theirs, joined
    lonely = engine.run("busybox", "sleep 60", name="lonely", network="none")
    assert "joined" in run_other("_join", here)
    lonely.remove(force=True)


def _start_many(engine: Engine, here: Path, users: int) -> None:
    name = os.environ["NAME"]
    engine.run("busybox", SERVE, name=name, hostname=name, network="shared")


def _join(engine: Engine, here: Path, users: int) -> None:
    assert engine.call("busybox", "ls /sys/class", network="container:lonely")
    assert engine.call("busybox", "kill -0 1", network="none", pid="container:lonely")
    try:
        engine.call("busybox", "true", pid="container:lonely")
    except ck.InvalidState as error:
        assert "user namespace" in str(error)
    else:
        raise AssertionError("two user namespaces")
    print("joined")


def killed_keeper(engine: Engine, here: Path, users: int) -> None:
    """Kill -9 of the keeper: containers go on, its program goes, and the next start finds them, and the outside."""
    address = own_address()
    Network.create("mine", engine=engine)
    with server(address) as port:
        web = engine.run("busybox", SERVE, name="web", hostname="web", network="mine", ports=["80"])
        first, outside = keeper(engine), ours()
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: not ours())
        assert get("127.0.0.1", web.ports["80/tcp"][0][1]) == "content of web", outside
        assert not hears(web, address, port)
        # What only looks, or removes, works too; and so does a process that was not there.
        Network.create("more", engine=engine).remove()
        box = engine.run("busybox", "sleep 60", name="box", network="mine")
        assert keeper(engine) != first and fetch(box, "web") == "content of web"
        assert eventually(lambda: hears(box, address, port) and hears(web, address, port))
        # The program alone: it is there again after a while.
        assert eventually(lambda: len(exits()) == 1), ours()
        os.kill(exits()[0], signal.SIGKILL)
        assert eventually(lambda: hears(box, address, port))
    box.remove(force=True)
    web.remove(force=True)
    assert eventually(lambda: not ours())


def killed_others(engine: Engine, here: Path, users: int) -> None:
    """Kill -9 of a monitor, and of an SDK process: ports, names and namespaces are free again."""
    Network.create("mine", engine=engine)
    with socket.create_server(("", 0)) as spare:
        number = spare.getsockname()[1]
    for _ in range(2):
        web = engine.run("busybox", SERVE, name="web", hostname="web", network="mine", ports=[f"{number}:80"])
        assert get("127.0.0.1", number) == "content of web"
        monitor = web._record().monitor
        assert monitor is not None
        os.kill(monitor, signal.SIGKILL)
        web.wait(timeout=60)
        web.remove()
    words = [sys.executable, "-m", "tests.rootless.scenarios", "_endless", str(here)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        process.kill()
    box = engine.run("busybox", "sleep 60", name="box", network="mine")
    assert fetch(box, "orphan") == "content of orphan"
    for container in engine.containers:
        container.remove(force=True)
    assert eventually(lambda: not ours())


def _endless(engine: Engine, here: Path, users: int) -> None:
    engine.run("busybox", SERVE, name="orphan", hostname="orphan", network="mine")
    print("up", flush=True)
    while True:
        engine.call("busybox", "true", network="mine")


def ways_out(engine: Engine, here: Path, users: int) -> None:
    """slirp4netns where pasta is not; where neither is, containers reach each other, and a warning says what helps."""
    programs = here / "programs"
    programs.mkdir()
    Network.create("mine", engine=engine)
    with server(own_address()) as port:
        environment = {"PATH": str(programs), "PORT": str(port)}
        told = run_other("_look_out", here, **environment)
        assert "outside: False" in told and "RuntimeWarning" in told and "apt-get install passt" in told, told
        assert eventually(lambda: not ours())
        (programs / "slirp4netns").symlink_to("/usr/bin/slirp4netns")
        told = run_other("_look_out", here, **environment, PATIENCE="60")
        assert "outside: True" in told and "Warning" not in told, told
        assert eventually(lambda: not ours())


def _look_out(engine: Engine, here: Path, users: int) -> None:
    web = engine.run("busybox", SERVE, name="web", hostname="web", network="mine", ports=["80"])
    assert get("127.0.0.1", web.ports["80/tcp"][0][1]) == "content of web"
    box = engine.run("busybox", "sleep 60", name="box", network="mine")
    assert fetch(box, "web") == "content of web"
    patience = float(os.environ.get("PATIENCE", "0"))
    heard = eventually(lambda: hears(box, own_address(), int(os.environ["PORT"])), patience)
    print("outside:", heard, sorted(ours()))
    for container in (web, box):
        container.remove(force=True)


def root_only(engine: Engine, here: Path, users: int) -> None:
    """Drivers that take links of this machine are refused; what doctor() says of the way out."""
    for driver, options in (("macvlan", {"parent": "lo"}), ("vxlan", {"vni": 5, "peers": "192.0.2.9"})):
        try:
            Network.create("x", engine=engine, driver=driver, options=options)
        except ck.Unsupported as error:
            assert f"driver {driver}: is root's" in str(error)
        else:
            raise AssertionError(f"{driver}: is root's")
    found = engine.doctor()
    assert found["pasta or slirp4netns"].ok and found["/dev/net/tun"].ok
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.call("busybox", "true")


SCENARIOS = [
    "default_network", "user_networks", "ports", "processes", "killed_keeper", "killed_others", "ways_out",
    "root_only",
]  # fmt: skip
