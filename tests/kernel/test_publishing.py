"""Published ports: from outside, from this machine, from containers; who may have which."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from tests import hosts
from tests.hosts import SILENCE, Host, elements, get, web
from tests.servers import free_port
from tests.waiting import eventually


def test_published_port_is_reachable_from_another_host(engine: Engine, image: Image, outside: Host) -> None:
    port = free_port()
    web(engine, "web", ports=[f"{port}:80"])
    assert outside.get(f"http://{outside.here}:{port}/") == "web"
    assert outside.get(f"http://[{outside.here6}]:{port}/") == "web"


def test_the_other_hosts_address_is_kept(engine: Engine, image: Image, outside: Host) -> None:
    port = free_port()
    web(engine, "web", ports={80: port})
    assert outside.get(f"http://{outside.here}:{port}/cgi-bin/peer") == f"[::ffff:{outside.address}]"


def test_all_addresses_of_one_kind(engine: Engine, image: Image, outside: Host) -> None:
    port = free_port()
    web(engine, "four", ports=[f"0.0.0.0:{port}:80"])
    assert outside.get(f"http://{outside.here}:{port}/cgi-bin/peer") == f"[::ffff:{outside.address}]"
    assert outside.get(f"http://[{outside.here6}]:{port}/", patience=SILENCE) is None
    with pytest.raises(ck.RuntimeFailure, match="is in use by container four"):
        engine.run("busybox", "true", ports=[f"127.0.0.1:{port}:80"])
    web(engine, "six", ports=[f"[::]:{port}:80"])
    assert outside.get(f"http://[{outside.here6}]:{port}/") == "six"
    assert get(f"http://127.0.0.1:{port}/") == "four" and get(f"http://[::1]:{port}/") == "six"


def test_published_port_is_reachable_from_127_0_0_1(engine: Engine, image: Image, outside: Host) -> None:
    port = free_port()
    web(engine, "web", ports=[f"{port}:80"])
    for address in ("127.0.0.1", "[::1]", "localhost", outside.here, f"[{outside.here6}]"):
        assert get(f"http://{address}:{port}/") == "web", address


def test_a_port_of_127_0_0_1_is_not_reachable_from_outside(engine: Engine, image: Image, outside: Host) -> None:
    container = web(engine, "web", ports=["127.0.0.1::80"])
    ((address, port),) = container.port(80)
    assert address == "127.0.0.1" and get(f"http://127.0.0.1:{port}/") == "web"
    assert outside.get(f"http://{outside.here}:{port}/", patience=SILENCE) is None
    # Nor by somebody who sends to 127.0.0.1 over the cable.
    hosts.ip("-n", outside.name, "route", "add", "table", "7", "127.0.0.1", "via", outside.here)
    hosts.ip("-n", outside.name, "rule", "add", "pref", "0", "to", "127.0.0.1", "lookup", "7")
    assert outside.get(f"http://127.0.0.1:{port}/", patience=SILENCE) is None
    assert get(f"http://127.0.0.2:{port}/", patience=SILENCE) is None


def test_a_port_of_one_address_is_not_reachable_at_another(engine: Engine, image: Image, outside: Host) -> None:
    port = free_port()
    one = web(engine, "one", ports=[f"{outside.here}:{port}:80", f"[{outside.here6}]:{port}:80"])
    web(engine, "two", ports=[f"127.0.0.1:{port}:80"])
    assert outside.get(f"http://{outside.here}:{port}/") == "one"
    assert outside.get(f"http://[{outside.here6}]:{port}/") == "one"
    assert get(f"http://127.0.0.1:{port}/") == "two"
    assert get(f"http://[::1]:{port}/", patience=SILENCE) is None
    assert sorted(one.port(80)) == sorted([(outside.here, port), (outside.here6, port)])


def test_containers_reach_it_by_the_hosts_addresses(engine: Engine, image: Image, outside: Host) -> None:
    """Itself, a neighbour on its network, and one of another network."""
    port = free_port()
    engine.networks.restore()
    own, other = (ck.Network.create(name, engine=engine) for name in ("own", "other"))
    server = web(engine, "web", network="own", ports=[f"{port}:80"])
    neighbour = engine.run("busybox", "sleep 60", network="own")
    stranger = engine.run("busybox", "sleep 60", network="other")
    default = engine.run("busybox", "sleep 60")
    for container in (server, neighbour, stranger, default):
        assert hosts.ask(container, outside.here, port=port) == "web", container
    assert hosts.ask(server, str(own.gateway), port=port) == "web"
    assert hosts.ask(stranger, str(other.gateway), port=port) == "web"
    # Not by the address that it has there.
    assert hosts.ask(stranger, str(server.ip_address), patience=1) is None


def test_any_port_of_a_range_of_the_host(engine: Engine, image: Image) -> None:
    first = free_port(21)
    names = [web(engine, name, ports=[f"127.0.0.1:{first}-{first + 20}:80"]) for name in ("one", "two")]
    numbers = [container.port(80)[0][1] for container in names]
    assert len(set(numbers)) == 2 and all(first <= number <= first + 20 for number in numbers)
    assert [get(f"http://127.0.0.1:{number}/") for number in numbers] == ["one", "two"]


def test_a_range_leads_to_a_range(engine: Engine, image: Image) -> None:
    first = free_port(3)
    script = "for p in 80 81 82; do httpd -p $p -h /www; done; exec sleep 60"
    container = engine.run("busybox", ["sh", "-c", f"mkdir /www; {script}"], ports=[f"{first}-{first + 2}:80-82"])
    assert container.ports == {f"8{n}/tcp": [("0.0.0.0", first + n)] for n in range(3)}
    assert container.port("81/tcp") == [("0.0.0.0", first + 1)] and container.port(90) == []


def test_datagrams(engine: Engine, image: Image, outside: Host) -> None:
    container = hosts.echo(engine, ports=["5000/udp"])
    ((_, port),) = container.port("5000/udp")
    for address in (outside.here, outside.here6):
        answer = outside.run(*hosts.ASK, address, str(port))
        assert answer == f"anybody? {outside.address}\n" if address == outside.here else "anybody?" in answer
    for address in ("127.0.0.1", "::1", outside.here):
        out = subprocess.run([*hosts.ASK, address, str(port)], capture_output=True, text=True, check=False)
        assert out.stdout.startswith("anybody? "), (address, out.stderr)
    assert get(f"http://127.0.0.1:{port}/", patience=SILENCE) is None


def test_a_client_that_goes_on_asking_reaches_the_next_container(engine: Engine, image: Image, outside: Host) -> None:
    """The kernel remembers where the datagrams of a client went: until that container has ended, not longer."""
    port = free_port()
    for name in ("one", "two"):
        container = hosts.echo(engine, ports=[f"{port}:5000/udp"], name=name)
        answer = outside.run(*hosts.ASK, outside.here, str(port), "4321")
        assert answer == f"anybody? {outside.address}\n", name
        container.stop(timeout=0)
        if name == "one":
            outside.run(*hosts.SAY, outside.here, str(port), "4321")  # to nobody


def test_sctp_is_refused(engine: Engine, image: Image) -> None:
    with pytest.raises(ck.Unsupported, match="sctp"):
        engine.run("busybox", "true", ports=["80:80/sctp"])


def test_what_inspect_says(engine: Engine, image: Image) -> None:
    port = free_port()
    container = engine.run("busybox", "sleep 60", ports={"80": ("127.0.0.1", port), "53/udp": None}, expose=[99])
    ports = container.inspect()["NetworkSettings"]["Ports"]
    ((_, dns),) = container.port("53/udp")
    assert ports == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}],
        "53/udp": [{"HostIp": "0.0.0.0", "HostPort": str(dns)}],
        "99/tcp": None,
    }
    container.stop(timeout=0)
    assert container.ports == {} and container.port(80) == []
    bindings = container.inspect()["HostConfig"]["PortBindings"]
    assert bindings["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": str(port)}]


def test_publish_all_publishes_what_the_image_exposes(engine: Engine, busybox_tar: Path) -> None:
    Image.import_(busybox_tar, tag="busybox", changes=["EXPOSE 80", "EXPOSE 53/udp"], engine=engine)
    container = web(engine, "all", publish_all=True, expose=[8080])
    assert set(container.ports) == {"80/tcp", "53/udp", "8080/tcp"}
    assert get(f"http://127.0.0.1:{container.port(80)[0][1]}/") == "all"
    assert web(engine, "none").ports == {}


def test_a_taken_port_is_known_before_anything_starts(engine: Engine, image: Image) -> None:
    port = free_port()
    holder = web(engine, "holder", ports=[f"{port}:80"])
    before = elements(engine)
    for wanted in (f"{port}:80", f"127.0.0.1:{port}:80", f"{port}-{port}:80"):
        with pytest.raises(ck.RuntimeFailure, match=rf"{port}/tcp: is in use by container holder") as failure:
            engine.run("busybox", "sleep 60", ports=[wanted], name="late")
        assert failure.value.exit_code == 125
    assert len(engine.containers) == 1 and elements(engine) == before
    holder.remove(force=True)
    with web(engine, "late", ports=[f"{port}:80"]):
        assert get(f"http://127.0.0.1:{port}/") == "late"


def test_a_port_of_another_program(engine: Engine, image: Image) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for wanted in (f"127.0.0.1:{port}:80", f"{port}:80"):
            with pytest.raises(ck.RuntimeFailure, match=rf"is in use by .* \(pid {os.getpid()}\) \(None is any free"):
                engine.run("busybox", "sleep 60", ports=[wanted])
        created = engine.create("busybox", "sleep 60", ports=[f"127.0.0.1:{port}:80"])
        with pytest.raises(ck.RuntimeFailure, match="in use"):
            created.start()
        assert created.status == "created" and created.ip_address is None
    assert created.start().port(80) == [("127.0.0.1", port)]
    with pytest.raises(ck.RuntimeFailure, match=r"198\.51\.100\.7 is no address of this machine"):
        engine.run("busybox", "true", ports=["198.51.100.7:80:80"])


def test_nobody_else_gets_the_port_meanwhile(engine: Engine, image: Image) -> None:
    port = free_port()
    with engine.run("busybox", "sleep 60", ports=[f"{port}:80"]):
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with pytest.raises(OSError, match="in use"):
                socket.create_server((address, port), family=family)
    socket.create_server(("127.0.0.1", port)).close()


def test_a_port_is_free_at_once_however_the_container_ends(engine: Engine, image: Image) -> None:
    port = free_port()
    for end in ("by itself", "stop", "kill", "remove"):
        container = web(engine, "again", ports=[f"{port}:80"], replace=True, init=True)
        assert get(f"http://127.0.0.1:{port}/") == "again"
        if end == "by itself":
            container.exec("killall httpd")
            container.wait(timeout=60)
        elif end == "remove":
            container.remove(force=True)
        else:
            container.stop(timeout=0) if end == "stop" else container.kill()
        assert elements(engine) == []


def test_random_ports_of_two_processes_are_different(engine: Engine, image: Image) -> None:
    script = (
        "import sys, containerkit as ck\n"
        "engine = ck.Engine(root=sys.argv[1], run=sys.argv[2])\n"
        "for _ in range(8): engine.run('busybox', 'sleep 60', ports=['80', '127.0.0.1::81', '53/udp'])"
    )
    command = [sys.executable, "-c", script, str(engine.paths.root), str(engine.paths.run)]
    workers = [subprocess.Popen(command) for _ in range(2)]
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    found = [(key[-3:], port) for one in engine.containers for key, places in one.ports.items() for _, port in places]
    assert len(found) == len(set(found)) == 48 and len({one.ip_address for one in engine.containers}) == 16


def test_ports_stay_while_a_container_is_started_again(engine: Engine, image: Image, outside: Host) -> None:
    port = free_port()
    container = web(engine, "web", ports=[f"{port}:80"], restart="always", init=True)
    address = container.ip_address
    for count in (1, 2):
        container.exec("killall httpd")
        assert eventually(lambda: container.restart_count == count and container.status == "running")  # noqa: B023
        container.wait_for(ck.until.port(80), timeout=60)
        for url in (f"http://127.0.0.1:{port}/", f"http://[::1]:{port}/"):
            assert get(url) == "web"
        assert outside.get(f"http://{outside.here}:{port}/") == "web"
        with pytest.raises(OSError, match="in use"):
            socket.create_server(("127.0.0.1", port))
    assert container.ip_address == address and container.restart_count == 2
    container.restart(timeout=0)
    container.wait_for(ck.until.port(80), timeout=60)
    assert get(f"http://[::1]:{port}/") == "web"
