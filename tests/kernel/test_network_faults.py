"""Networks when things go wrong: kills at any moment, many at once, bridges and cables that somebody has removed."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image, Network
from tests import hosts
from tests.hosts import Host, cables, elements, get, web
from tests.processes import kill_monitor
from tests.waiting import eventually

OPTIONS = """
import os, signal, sys, threading, time
import containerkit as ck
root, run, *delays = sys.argv[1:]

def start(engine, number):
    engine.run(
        "busybox", "sleep 60", name=f"killed-{number}", network=["own", "bridge"],
        ports=["80", f"127.0.0.1:{24000 + number}:81", f"{24000 + number}:53/udp"],
    )

def wait(milliseconds):
    end = time.monotonic() + float(milliseconds) / 1000
    while time.monotonic() < end:
        pass
"""

#: Children that start a container each, and are killed: so many milliseconds after they have begun.
SDK = """
for number, delay in enumerate(delays):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            engine = ck.Engine(root=root, run=run)
            engine.call("busybox", "true", network="none")
            os.write(writer, b"go")
            start(engine, number)
        finally:
            os._exit(0)
    os.read(reader, 2)
    wait(delay)
    os.kill(child, 9)
    os.waitpid(child, 0)
"""

#: The same of monitors: after they have said who they are.
MONITORS = """
engine = ck.Engine(root=root, run=run)
killed = 0
for number, delay in enumerate(delays):
    name = f"containerkit-monitor killed-{number}"

    def kill():
        global killed
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline") as file:
                        if file.read().rstrip(" \\0") != name:
                            continue
                    wait(delay)
                    os.kill(int(pid), 9)
                    killed += 1
                    return
                except OSError:
                    pass

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        start(engine, number)
    except ck.RuntimeFailure:
        pass
    killer.join()
print(killed, flush=True)
"""

MANY = """
import sys
import containerkit as ck
root, run, count = sys.argv[1:]
engine = ck.Engine(root=root, run=run)
for _ in range(2):
    found = [engine.run("busybox", "sleep 600", network="own", ports=["80"]) for _ in range(int(count))]
    print(*(one.ip_address for one in found), *(one.port(80)[0][1] for one in found), flush=True)
    for one in found:
        one.remove(force=True)
"""

#: A monitor with few descriptors: limits are those of the process that starts it.
FEW = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
import containerkit as ck
root, run = sys.argv[1:]
check = {"test": "true", "interval": 0.2, "retries": 1}
server = ck.Engine(root=root, run=run).run(
    "busybox", ["sh", "-c", "echo here >/tmp/index.html; exec httpd -f -p 80 -h /tmp"], name="few", ports=["80"],
    healthcheck=check,
)
server.wait_for(ck.until.port(80), timeout=60)
"""


def sleeper(engine: Engine, name: str | None = None, **options: object) -> Container:
    return engine.run("busybox", "sleep 60", name=name, **options)  # type: ignore[arg-type]  # as they come


def script(engine: Engine, text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", text, str(engine.paths.root), str(engine.paths.run), *arguments]


def nothing_of_any(engine: Engine, *networks: Network) -> None:
    """No address, cable, published port or directory of a container is left."""
    assert list(engine.paths.containers.iterdir()) == []
    for network in networks:
        assert network.containers == [] and network.inspect()["Containers"] == {}
        assert eventually(lambda: cables(network) == []), cables(network)  # noqa: B023
    assert elements(engine) == []


# -- kills -------------------------------------------------------------------------------------------------------------


def test_a_killed_monitor_leaves_nothing_after_the_next_look(engine: Engine, image: Image) -> None:
    own = Network.create("own", engine=engine)
    container = web(engine, "web", network=["own", "bridge"], ports=["127.0.0.1::80"])
    ((_, port),) = container.port(80)
    kill_monitor(engine, container)
    assert container.status == "exited" and container.exit_code == 137
    assert container.ip_address is None and container.ports == {} and own.containers == []
    assert elements(engine) == [] and eventually(lambda: cables(own) == [])
    with web(engine, "next", network="own", ports=[f"127.0.0.1:{port}:80"]):
        assert get(f"http://127.0.0.1:{port}/") == "next"
    container.start()
    assert eventually(lambda: get(f"http://127.0.0.1:{container.port(80)[0][1]}/", patience=0.5) == "web")


@pytest.mark.parametrize("whom", ["the SDK", "the monitor"])
def test_kills_at_every_moment_of_a_start(engine: Engine, image: Image, whom: str) -> None:
    own = Network.create("own", engine=engine)
    sleeper(engine).remove(force=True)  # the default bridge is there
    victims, delays = (SDK, range(0, 48, 8)) if whom == "the SDK" else (MONITORS, range(0, 50, 2))
    moments = [str(delay + random.uniform(0, 5)) for delay in delays]
    command = script(engine, OPTIONS + victims, *moments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert whom == "the SDK" or int(done.stdout) > len(moments) / 2, "hardly any was killed"
    for container in engine.containers:
        if container.status == "running":
            assert container.exec(["ip", "link", "show", "eth1"]), container
        container.remove(force=True)
    nothing_of_any(engine, own, engine.networks["bridge"])
    # And there is room: the same ports, by somebody else.
    again = [sleeper(engine, network="own", ports=[f"127.0.0.1:{24000 + number}:81"]) for number in range(3)]
    assert len({one.ip_address for one in again}) == 3


def test_two_processes_start_and_remove_many_on_one_network(engine: Engine, image: Image) -> None:
    own = Network.create("own", subnet="198.19.70.0/24", engine=engine)
    workers = [
        subprocess.Popen(script(engine, MANY, "15"), stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    for out, _ in said:
        for line in out.splitlines():
            words = line.split()
            assert len(words) == 30 == len(set(words))
    nothing_of_any(engine, own)


# -- too much of it ----------------------------------------------------------------------------------------------------


def test_clients_cannot_use_up_a_monitors_descriptors(engine: Engine, image: Image) -> None:
    subprocess.run(script(engine, FEW), check=True, timeout=60)
    server = Container.get("few", engine=engine)
    ((_, port),) = server.port(80)
    with ExitStack() as stack:
        for _ in range(200):  # to ::1: the container has no IPv6, and they are relayed
            client = stack.enter_context(socket.socket(socket.AF_INET6))
            client.setblocking(False)
            client.connect_ex(("::1", port))
        time.sleep(3)
        assert server.status == "running" and server.health == "healthy"
        with server.attach():
            assert server.exec("true")
    with ThreadPoolExecutor() as pool:
        done, stats = pool.submit(server.exec, ["echo", "here"]), pool.submit(server.stats)
        assert done.result().stdout.strip() == "here" and stats.result().pids
    assert eventually(lambda: get(f"http://[::1]:{port}/") == "here")


# -- what somebody has removed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cure", ["the next start", "networks.restore()"])
def test_a_bridge_that_was_deleted(engine: Engine, image: Image, outside: Host, cure: str) -> None:
    net = Network.create("six", ipv6=True, engine=engine)
    server = web(engine, "web", network="six", ports=["8080-8999:80"])
    client = sleeper(engine, network="six")
    ((_, port),) = server.port(80)
    hosts.ip("link", "delete", str(net.interface))
    assert outside.get(f"http://{outside.here}:{port}/", patience=0.5) is None
    if cure == "the next start":
        sleeper(engine, network="six")
    else:
        engine.networks.restore()
    assert len(cables(net)) == (3 if cure == "the next start" else 2)
    assert hosts.ask(client, "web") == "web"
    assert hosts.ask(client, str(server.networks["six"].ip6_address)) == "web"
    assert outside.get(f"http://{outside.here}:{port}/cgi-bin/peer") == f"[::ffff:{outside.address}]"
    assert client.exec(["ping", "-c1", "-W10", outside.address])
    assert hosts.ask(server, outside.here, port=port) == "web"  # itself, by way of this machine


def test_apart_stays_apart_when_the_bridge_is_made_again(engine: Engine, image: Image) -> None:
    net = Network.create("apart", options={"icc": False}, engine=engine)
    server, client = web(engine, "web", network="apart"), sleeper(engine, network="apart")
    hosts.ip("link", "delete", str(net.interface))
    engine.networks.restore()
    assert hosts.ask(client, str(server.ip_address), patience=0.5) is None
    assert client.exec(["ping", "-c1", "-W10", str(net.gateway)])


def test_a_link_of_that_name_that_is_somebody_elses(engine: Engine, image: Image) -> None:
    """A bridge whose name nobody has chosen is made under another one."""
    bridge = engine.networks["bridge"]
    taken = str(bridge.interface)
    hosts.ip("link", "add", taken, "type", "bridge")
    try:
        container = web(engine, "web", ports=["127.0.0.1::80"])
        assert bridge.interface != taken and get(f"http://127.0.0.1:{container.port(80)[0][1]}/") == "web"
        Network.create("named", options={"bridge_name": "ckname0"}, engine=engine)
        hosts.ip("link", "add", "ckname0", "type", "bridge")
        with pytest.raises(ck.InvalidArgument, match="there is a link ckname0 already"):
            Network.create("other", options={"bridge_name": "ckname0"}, engine=engine)
        with pytest.raises(ck.RuntimeFailure, match="link ckname0: is there already"):
            sleeper(engine, network="named")
        engine.networks["named"].remove()
        assert "ckname0" in hosts.ip("link")
    finally:
        for name in (taken, "ckname0"):
            subprocess.run(["ip", "link", "delete", name], stderr=subprocess.DEVNULL, check=False)


def test_a_cable_that_was_cut(engine: Engine, image: Image) -> None:
    own = Network.create("own", engine=engine)
    container = web(engine, "web", network="own")
    (cable,) = cables(own)
    hosts.ip("link", "delete", cable)
    own.disconnect(container)
    own.connect(container)
    assert hosts.ask(sleeper(engine, network="own"), "web") == "web"
    container.stop(timeout=0).start()
    assert container.status == "running"
