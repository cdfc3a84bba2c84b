"""Networks that go beyond this machine: macvlan, on a link of the outer network, and vxlan, over several hosts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image, Network
from tests import hosts
from tests.hosts import Host, get, web
from tests.waiting import eventually


@pytest.fixture
def parent(nothing_is_left: None) -> Iterator[Host]:
    """A host on an outer network whose link on this machine has no address: containers have addresses there."""
    with hosts.host() as host:
        hosts.ip("address", "flush", "dev", host.link)
        yield host


def sleeper(engine: Engine, name: str | None = None, **options: object) -> Container:
    return engine.run("busybox", "sleep 60", name=name, **options)  # type: ignore[arg-type]  # as they come


def create(engine: Engine, parent: Host, mode: str = "bridge") -> Network:
    subnet = parent.address.rpartition(".")[0]
    return Network.create(
        "outer", driver="macvlan", subnet=f"{subnet}.0/24", gateway=parent.address, ip_range=f"{subnet}.64/26",
        options={"parent": parent.link, "mode": mode}, engine=engine,
    )  # fmt: skip


# -- macvlan -----------------------------------------------------------------------------------------------------------


def test_containers_of_a_macvlan_are_hosts_of_the_outer_network(engine: Engine, image: Image, parent: Host) -> None:
    net = create(engine, parent)
    server, client = web(engine, "web", network="outer", network_aliases=["www"]), sleeper(engine, network="outer")
    assert parent.get(f"http://{server.ip_address}/cgi-bin/peer") == f"[::ffff:{parent.address}]"
    assert hosts.ask(client, "www", path="/cgi-bin/peer") == f"[::ffff:{client.ip_address}]"
    assert client.exec(["ping", "-c1", "-W10", parent.address])
    assert 64 <= int(str(server.ip_address).rpartition(".")[2]) < 128 and net.gateway == parent.address
    server.stop(timeout=0).start()
    assert eventually(lambda: parent.get(f"http://{server.ip_address}/") == "web")
    with pytest.raises(ck.Unsupported, match="on a macvlan"):
        sleeper(engine, network="outer", ports=["80"])
    client.remove(force=True)
    server.remove(force=True)
    net.remove()
    assert parent.link in hosts.ip("link")


def test_a_private_macvlan_keeps_its_containers_apart(engine: Engine, image: Image, parent: Host) -> None:
    create(engine, parent, "private")
    server, client = web(engine, "web", network="outer"), sleeper(engine, network="outer")
    assert parent.get(f"http://{server.ip_address}/") == "web"
    assert hosts.ask(client, str(server.ip_address), patience=0.5) is None


def test_a_macvlan_and_a_bridge(engine: Engine, image: Image, parent: Host) -> None:
    """Connected while it runs; published ports lead by the bridge."""
    net = create(engine, parent)
    server = web(engine, "web", ports=["127.0.0.1::80"])
    net.connect(server)
    assert parent.get(f"http://{server.networks['outer'].ip_address}/") == "web"
    assert get(f"http://127.0.0.1:{server.port(80)[0][1]}/") == "web"
    net.disconnect(server)
    assert list(server.networks) == ["bridge"]


def test_what_a_macvlan_needs(engine: Engine, image: Image, parent: Host) -> None:
    with pytest.raises(ck.InvalidArgument, match="needs the option parent"):
        Network.create("bad", driver="macvlan", subnet="198.19.60.0/24", engine=engine)
    with pytest.raises(ck.InvalidArgument, match="there is no link nowhere0"):
        Network.create("bad", driver="macvlan", subnet="198.19.60.0/24", options={"parent": "nowhere0"}, engine=engine)
    net = create(engine, parent)
    hosts.ip("link", "delete", parent.link)
    with pytest.raises(ck.RuntimeFailure, match=f"link {parent.link}: there is none"):
        sleeper(engine, network="outer")
    net.remove()


# -- vxlan -------------------------------------------------------------------------------------------------------------

#: An engine of another host: its network, a web server there; a line that asks somebody here; until its input ends.
THERE = """
import sys
from pathlib import Path
import containerkit as ck
from tests import hosts
from tests.engines import emptied
place, tar, peer, network_range = sys.argv[1:]
with emptied(Path(place) / "root", Path(place) / "run") as engine:
    ck.Image.import_(tar, tag="busybox", engine=engine)
    ck.Network.create("wide", driver="vxlan", subnet="198.19.61.0/24", gateway="198.19.61.254", ip_range=network_range,
                      options={"vni": 61, "peers": [peer], "port": 4790}, engine=engine)
    server = hosts.web(engine, "there", network="wide")
    print(server.ip_address, flush=True)
    for line in sys.stdin:
        print(hosts.ask(server, *line.split()), flush=True)
    server.remove(force=True)
    print(*engine.prune().networks, flush=True)
"""


def test_containers_of_two_hosts_on_one_vxlan(
    engine: Engine, image: Image, outside: Host, tmp_path: Path, busybox_tar: Path
) -> None:
    net = Network.create(
        "wide", driver="vxlan", subnet="198.19.61.0/24", gateway="198.19.61.1", ip_range="198.19.61.0/26",
        options={"vni": 61, "peers": [outside.address], "port": 4790}, engine=engine,
    )  # fmt: skip
    here = web(engine, "here", network="wide")
    arguments = [
        sys.executable,
        "-c",
        THERE,
        str(tmp_path / "there"),
        str(busybox_tar),
        outside.here,
        "198.19.61.64/26",
    ]
    with outside.program(*arguments) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            there = process.stdout.readline().strip()
            assert there.startswith("198.19.61.")
            assert hosts.ask(here, there) == "there"
            assert hosts.ask(here, there, path="/cgi-bin/peer") == f"[::ffff:{here.ip_address}]"
            process.stdin.write(f"{here.ip_address}\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == "here"
            assert here.exec("cat /sys/class/net/eth0/mtu").stdout == "1450\n"
            # Much more than one packet.
            many = here.exec(["sh", "-c", f"ping -c1 -W10 -s 9000 {there}"])
            assert many, many.stdout
            process.stdin.close()
            assert process.stdout.readline().strip() == "wide" and process.wait(timeout=60) == 0
        finally:
            # Whatever went wrong: it removes what it has made when its input ends.
            process.stdin.close()
            process.wait(timeout=60)
    assert hosts.ask(here, there, patience=0.5) is None
    here.remove(force=True)
    net.remove()


def test_what_a_vxlan_needs(engine: Engine) -> None:
    for options, problem in (
        ({"vni": 1}, "needs the option peers"),
        ({"peers": "1.2.3.4"}, "needs the option vni"),
        ({"vni": 1, "peers": "host"}, "not an IPv4 address"),
        ({"vni": 0, "peers": "1.2.3.4"}, "vni"),
    ):
        with pytest.raises(ck.InvalidArgument, match=problem):
            Network.create("wide", driver="vxlan", options=options, engine=engine)
