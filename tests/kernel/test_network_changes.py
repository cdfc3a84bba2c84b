"""Networks of containers that change, or end, at awkward moments."""

from __future__ import annotations

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image, Network
from containerkit.linux import nftables
from containerkit.supervise.networks import bridging
from tests.hosts import elements, get, web
from tests.processes import kill_monitor
from tests.waiting import eventually


def sleeper(engine: Engine, name: str | None = None, **options: object) -> Container:
    return engine.run("busybox", "sleep 60", name=name, stop_timeout=0, **options)  # type: ignore[arg-type]


def links(container: Container) -> list[str]:
    return container.exec("ls /sys/class/net").stdout.split()


def test_a_cell_that_creates_a_network_can_be_run_again(engine: Engine) -> None:
    first = Network.create("app", subnet="198.19.60.0/24", exist_ok=True, engine=engine)
    assert Network.create("app", subnet="198.19.60.0/24", exist_ok=True, engine=engine) == first
    with pytest.raises(ck.AlreadyExists, match="^network app: exists already"):
        Network.create("app", subnet="198.19.60.0/24", engine=engine)


def test_the_port_of_a_container_whose_monitor_was_killed_can_be_published_at_once(
    engine: Engine, image: Image
) -> None:
    first = web(engine, "first", ports=["8080-8999:80"])
    ((_, port),) = first.port(80)
    kill_monitor(engine, first)  # its ports may be taken still
    second = web(engine, "second", ports=[f"{port}:80"])
    assert get(f"http://127.0.0.1:{port}/") == "second"
    assert first.status == "exited" and get(f"http://127.0.0.1:{port}/") == "second"
    second.remove(force=True)
    assert elements(engine) == []


def test_networks_can_change_while_the_restart_policy_waits(engine: Engine, image: Image) -> None:
    own = Network.create("own", engine=engine)
    box = engine.run("busybox", ["sh", "-c", "sleep 0.2; exit 1"], name="box", restart="always")
    assert eventually(lambda: box.status == "restarting")
    own.connect(box)
    own.disconnect(box)
    own.connect(box)
    assert list(box.networks) == ["bridge", "own"]
    box.remove(force=True)
    own.remove()


def test_a_change_that_fails_leaves_the_container_as_it_was(engine: Engine, image: Image) -> None:
    own = Network.create("own", subnet="198.19.61.0/24", engine=engine)
    box, other = sleeper(engine, "box"), sleeper(engine, "other", network="own", ip="198.19.61.9")
    with pytest.raises(ck.InvalidState, match="198.19.61.9: is container other"):
        own.connect(box, ip="198.19.61.9")
    assert list(box.networks) == ["bridge"] and links(box) == ["eth0", "lo"]
    own.connect(box)
    assert links(box) == ["eth0", "eth1", "lo"] and other.status == "running"


def test_who_is_put_on_another_network_in_the_place_of_one_is_there(engine: Engine, image: Image) -> None:
    one, two = (Network.create(name, engine=engine) for name in ("one", "two"))
    box = sleeper(engine, "box")
    one.connect(box)
    # As when another process does the second half before the monitor has seen the first.
    engine.store.networks.disconnect(box.id, one.id)
    two.connect(box)
    address = box.networks["two"].ip_address
    assert address is not None and address in box.exec("ip addr show eth1").stdout


def test_who_had_joined_a_container_that_ends_gives_its_address_back(engine: Engine, image: Image) -> None:
    first = sleeper(engine, "first")
    joined = sleeper(engine, "joined", network="container:first")
    assert links(joined) == ["eth0", "lo"]
    first.stop()
    assert links(joined) == ["lo"]


def test_a_bridge_that_is_another_network_s_by_now_stays(engine: Engine, image: Image) -> None:
    old = engine.store.networks.find(engine.networks["bridge"].id)
    engine.store.networks.delete(old.id)
    box = sleeper(engine, "box")
    new = engine.networks["bridge"]
    assert new.interface == old.interface
    places = (str(engine.store.paths.database), str(engine.paths.root), engine.store.paths.network_lock)
    bridging.take_down(*places, old)
    assert box.exec(["ping", "-c1", "-W10", str(new.gateway)]).exit_code == 0


def test_ports_without_a_network_are_said_to_be_nobody_s(engine: Engine, image: Image) -> None:
    with pytest.warns(RuntimeWarning, match="^ports: nothing is published: with network 'host'"):
        engine.call("busybox", "true", network="host", ports=["80"])


def test_where_there_can_be_no_networks_who_names_none_is_on_none(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nftables, "is_installed", lambda: False)
    with pytest.warns(RuntimeWarning, match="libnftables is not installed"):
        assert links(sleeper(engine, "box")) == ["lo"]
    # Who names one means it: here, where the library is, it works.
    assert links(sleeper(engine, "named", network="bridge")) == ["eth0", "lo"]


def test_a_link_that_is_there_is_no_network_s_bridge(engine: Engine) -> None:
    with pytest.raises(ck.InvalidArgument, match="there is a link lo already"):
        Network.create("own", options={"bridge_name": "lo"}, engine=engine)
    Network.create("own", options={"bridge_name": "ckown0"}, engine=engine)
    with pytest.raises(ck.InvalidArgument, match="ckown0 is network own's"):
        Network.create("other", options={"bridge_name": "ckown0"}, engine=engine)
