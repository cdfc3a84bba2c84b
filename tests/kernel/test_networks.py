"""Networks: what a container is on, by which address; made, connected, disconnected, removed."""

from __future__ import annotations

import ipaddress
import socket

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image, Network
from tests import hosts
from tests.hosts import Host, get, web
from tests.waiting import eventually


def links_of(container: Container) -> dict[str, list[str]]:
    """Its links and their addresses, as the kernel has them; not its loopback, nor what a link gives itself."""
    found: dict[str, list[str]] = {}
    for line in container.exec("ip -o addr show").stdout.splitlines():
        _, name, _, address, *_ = line.split()
        if name != "lo" and not address.startswith("fe80"):
            found.setdefault(name, []).append(address)
    return found


def default_route(container: Container) -> str:
    lines = container.exec("ip route").stdout.splitlines()
    return "; ".join(line.strip() for line in lines if line.startswith("default"))


def sleeper(engine: Engine, name: str | None = None, **options: object) -> Container:
    return engine.run("busybox", "sleep 60", name=name, **options)  # type: ignore[arg-type]  # as they come


# -- the built-in ones -------------------------------------------------------------------------------------------------


def test_a_container_that_names_no_network_is_on_the_bridge(engine: Engine, image: Image) -> None:
    one, two = sleeper(engine), sleeper(engine)
    bridge = engine.networks["bridge"]
    subnet = ipaddress.ip_network(str(bridge.subnet))
    for container in (one, two):
        assert ipaddress.ip_address(str(container.ip_address)) in subnet
        assert links_of(container) == {"eth0": [f"{container.ip_address}/{subnet.prefixlen}"]}
        assert default_route(container) == f"default via {bridge.gateway} dev eth0"
    assert one.ip_address != two.ip_address and {one, two} == set(bridge.containers)
    assert one.exec(["ping", "-c1", "-W10", str(two.ip_address)])
    assert one.exec(["ping", "-c1", "-W10", str(bridge.gateway)])
    assert f"{bridge.gateway}/{subnet.prefixlen}" in hosts.ip("addr", "show", str(bridge.interface))


def test_it_reaches_what_is_outside_by_this_machines_address(engine: Engine, image: Image, outside: Host) -> None:
    container = sleeper(engine)
    code = "import socket; s=socket.create_server(('', 8000)); print('ready', flush=True); print(s.accept()[1][0])"
    with outside.program("python3", "-c", code, ready="ready") as server:
        assert container.exec(["nc", "-w10", outside.address, "8000"], input="").exit_code == 0
        assert server.stdout is not None and server.stdout.read().strip() == outside.here


def test_none(engine: Engine, image: Image) -> None:
    container = sleeper(engine, network="none")
    assert links_of(container) == {} and container.ip_address is None and container.networks == {}
    assert container.exec(["ping", "-c1", "-W10", "127.0.0.1"])
    with pytest.raises(ck.InvalidState, match="cannot connect: its network is 'none'"):
        engine.networks["bridge"].connect(container)


def test_host(engine: Engine, image: Image, outside: Host) -> None:
    container = sleeper(engine, network="host")
    assert outside.link in links_of(container) and container.exec("hostname").stdout.strip() == socket.gethostname()
    with pytest.raises(ck.InvalidState, match="cannot connect"):
        engine.networks["bridge"].connect(container)
    assert engine.networks["host"].driver == "host"


def test_the_network_of_another_container(engine: Engine, image: Image) -> None:
    server = web(engine, "web")
    joined = sleeper(engine, network="container:web")
    assert links_of(joined) == links_of(server) and hosts.ask(joined, "127.0.0.1") == "web"
    assert joined.exec("cat /etc/hosts").stdout == server.exec("cat /etc/hosts").stdout
    assert joined.exec("hostname").stdout == server.exec("hostname").stdout
    with pytest.raises(ck.InvalidArgument, match="ports"):
        sleeper(engine, network="container:web", ports=["80"])
    server.stop(timeout=0)
    with pytest.raises(ck.InvalidState, match="container:web does not run"):
        joined.stop(timeout=0).start()


# -- made by hand ------------------------------------------------------------------------------------------------------


def test_a_network_as_it_was_asked_for(engine: Engine, image: Image) -> None:
    net = Network.create(
        "own", subnet="198.19.40.0/24", gateway="198.19.40.254", ip_range="198.19.40.64/30",
        labels={"for": "tests"}, engine=engine,
    )  # fmt: skip
    assert (net.subnet, net.gateway, net.ip_range) == ("198.19.40.0/24", "198.19.40.254", "198.19.40.64/30")
    given = [sleeper(engine, network="own") for _ in range(4)]
    assert {one.ip_address for one in given} == {f"198.19.40.{n}" for n in range(64, 68)}
    with pytest.raises(ck.InvalidState, match="no free address is left"):
        sleeper(engine, network="own")
    fixed = sleeper(engine, "fixed", network="own", ip="198.19.40.7", mac_address="02:11:22:33:44:55")
    assert links_of(fixed) == {"eth0": ["198.19.40.7/24"]}
    assert default_route(fixed) == "default via 198.19.40.254 dev eth0"
    assert fixed.exec("cat /sys/class/net/eth0/address").stdout == "02:11:22:33:44:55\n"
    with pytest.raises(ck.InvalidState, match=r"ip 198\.19\.40\.7: is container fixed's"):
        sleeper(engine, network="own", ip="198.19.40.7")
    for address in ("198.19.40.254", "198.19.40.255", "198.19.41.1"):
        with pytest.raises(ck.InvalidArgument, match=address.replace(".", r"\.")):
            sleeper(engine, network="own", ip=address)
    inspected = net.inspect()
    assert inspected["Labels"] == {"for": "tests"} and len(inspected["Containers"]) == 5
    assert {one["IPv4Address"] for one in inspected["Containers"].values()} >= {"198.19.40.7/24"}
    with pytest.raises(ck.AlreadyExists):
        Network.create("own", engine=engine)
    assert Network.create("own", exist_ok=True, engine=engine) == net


def test_a_full_network_is_a_clear_error_and_has_room_again(engine: Engine, image: Image) -> None:
    Network.create("small", subnet="198.19.41.0/29", engine=engine)
    full = [sleeper(engine, network="small") for _ in range(5)]
    with pytest.raises(ck.InvalidState, match=r"network small: no free address is left in 198\.19\.41\.0/29"):
        sleeper(engine, network="small")
    assert len(engine.containers) == 5
    address = full[2].ip_address
    full[2].kill()
    assert full[2].ip_address is None
    assert sleeper(engine, network="small").ip_address == address
    with pytest.raises(ck.InvalidState, match="no free address"):
        full[2].start()
    assert full[2].status == "exited"


def test_subnets_that_clash_are_not_chosen_and_refused(engine: Engine, image: Image, outside: Host) -> None:
    one = Network.create("one", engine=engine)
    beyond = "198.19.42.0/24"
    hosts.ip("route", "add", beyond, "via", outside.address)
    wider = str(ipaddress.ip_network(f"{outside.here}/16", strict=False))
    for wanted, whose in ((str(one.subnet), "network one"), (wider, outside.link), (beyond, outside.link)):
        with pytest.raises(ck.InvalidArgument, match=f"clashes with .*{whose}"):
            Network.create("two", subnet=wanted, engine=engine)
    assert [net.name for net in engine.networks] == ["bridge", "host", "none", "one"]
    # What the next network would get is somebody's now.
    found = Network.create("two", engine=engine)
    free = str(found.subnet)
    found.remove()
    hosts.ip("route", "add", free, "via", outside.address)
    assert not ipaddress.ip_network(str(Network.create("two", engine=engine).subnet)).overlaps(
        ipaddress.ip_network(free)
    )


def test_ipv6(engine: Engine, image: Image, outside: Host) -> None:
    net = Network.create("six", subnet=["198.19.43.0/24", "fd00:c5::/64"], engine=engine)
    chosen = Network.create("chosen", ipv6=True, engine=engine)
    assert net.gateway6 == "fd00:c5::1" and str(chosen.subnet6).startswith("fd")
    server = web(engine, "web", network="six", ip=["198.19.43.9", "fd00:c5::9"], ports=["127.0.0.1::80", "[::]::80"])
    client = sleeper(engine, network=["six", "chosen"])
    assert links_of(server) == {"eth0": ["198.19.43.9/24", "fd00:c5::9/64"]}
    assert server.networks["six"].ip6_address == "fd00:c5::9"
    assert hosts.ask(client, "fd00:c5::9") == "web" and len(links_of(client)["eth1"]) == 2
    # Outside: from there by the published port, with the client's address; to there with this machine's.
    ((_, port),) = [one for one in server.port(80) if one[0] == "::"]
    assert outside.get(f"http://[{outside.here6}]:{port}/cgi-bin/peer") == f"[{outside.address6}]"
    assert get(f"http://[::1]:{port}/") == "web"
    assert client.exec(["ping", "-6", "-c1", "-W10", outside.address6])
    only = Network.create("only", subnet="fd00:c6::/64", engine=engine)
    assert only.subnet6 == "fd00:c6::/64" and only.subnet


def test_containers_of_one_network_may_be_kept_apart(engine: Engine, image: Image, outside: Host) -> None:
    Network.create("apart", options={"icc": False}, engine=engine)
    server = web(engine, "web", network="apart", ports=["8080-8999:80"])
    client = sleeper(engine, network="apart")
    places = (str(server.ip_address), (str(server.ip_address), 80), outside.address)
    assert eventually(lambda: hosts.reached(client, *places) == [outside.address])
    assert outside.get(f"http://{outside.here}:{server.port(80)[0][1]}/") == "web"


# -- several, and while running ----------------------------------------------------------------------------------------


def test_several_networks(engine: Engine, image: Image) -> None:
    nets = [Network.create(name, engine=engine) for name in ("one", "two")]
    container = sleeper(engine, network=["one", "two"], network_aliases=["both"])
    assert list(container.networks) == ["one", "two"] and list(links_of(container)) == ["eth0", "eth1"]
    assert [container.networks[net.name].gateway for net in nets] == [net.gateway for net in nets]
    assert default_route(container) == f"default via {nets[0].gateway} dev eth0"
    for net in nets:
        assert container.networks[net.name].aliases == ("both",)
        assert web(engine, f"on-{net.name}", network=net.name)
        assert hosts.ask(container, f"on-{net.name}") == f"on-{net.name}"


def test_connected_and_disconnected_while_it_runs(engine: Engine, image: Image, outside: Host) -> None:
    one, two = (Network.create(name, engine=engine) for name in ("one", "two"))
    container = web(engine, "web", network="one", ports=["127.0.0.1::80"])
    ((address, port),) = container.port(80)
    two.connect(container, ip=str(ipaddress.ip_network(str(two.subnet))[99]), aliases=["second"])
    assert list(links_of(container)) == ["eth0", "eth1"]
    assert container.networks["two"].ip_address == str(ipaddress.ip_network(str(two.subnet))[99])
    peer = sleeper(engine, network="two")
    assert hosts.ask(peer, "second") == "web" and get(f"http://{address}:{port}/") == "web"
    with pytest.raises(ck.AlreadyExists):
        two.connect("web")
    before = container.networks["one"]
    one.disconnect(container)
    assert list(links_of(container)) == ["eth1"]
    assert default_route(container) == f"default via {two.gateway} dev eth1"
    assert container.port(80) == [(address, port)] and get(f"http://{address}:{port}/") == "web"
    assert container.exec(["ping", "-c1", "-W10", outside.address])
    hosts_file = container.exec("cat /etc/hosts").stdout
    assert str(before.ip_address) not in hosts_file and str(container.networks["two"].ip_address) in hosts_file
    with pytest.raises(ck.NotFound, match="is not on network one"):
        one.disconnect("web")
    two.disconnect(container)
    assert links_of(container) == {} and get(f"http://{address}:{port}/", patience=0.4) is None
    one.connect(container)
    assert get(f"http://{address}:{port}/") == "web"
    assert hosts.ask(sleeper(engine, network="one"), "web") == "web"


def test_the_default_bridge_is_left_and_entered_too(engine: Engine, image: Image) -> None:
    own = Network.create("own", engine=engine)
    container = web(engine, "web")
    assert "127.0.0.11" not in container.exec("cat /etc/resolv.conf").stdout
    own.connect(container)
    assert container.exec("cat /etc/resolv.conf").stdout.startswith("nameserver 127.0.0.11\n")
    assert hosts.look_up(container, "web") == [container.networks["own"].ip_address]
    engine.networks["bridge"].disconnect(container)
    assert list(container.networks) == ["own"]
    own.disconnect(container)
    engine.networks["bridge"].connect(container)
    assert "127.0.0.11" not in container.exec("cat /etc/resolv.conf").stdout


def test_a_stopped_container_is_connected_for_its_next_start(engine: Engine, image: Image) -> None:
    own = Network.create("own", engine=engine)
    container = sleeper(engine, "web")
    container.stop(timeout=0)
    own.connect("web")
    engine.networks["bridge"].disconnect("web")
    assert container.start().networks["own"].ip_address == container.ip_address
    assert list(links_of(container)) == ["eth1"]


def test_an_address_rests_before_another_container_has_it(engine: Engine, image: Image) -> None:
    Network.create("own", subnet="198.19.44.0/24", engine=engine)
    seen = []
    for _ in range(3):
        with sleeper(engine, network="own") as container:
            seen.append(container.ip_address)
    assert len(set(seen)) == 3


# -- removal -----------------------------------------------------------------------------------------------------------


def test_removal(engine: Engine, image: Image) -> None:
    own = Network.create("own", engine=engine)
    running, interface = sleeper(engine, "running", network="own"), own.interface
    with pytest.raises(ck.InvalidState, match="network own: in use by running"):
        own.remove()
    running.stop(timeout=0)
    own.remove()
    assert "own" not in engine.networks and str(interface) not in hosts.ip("link") and not hosts.has_firewall(engine)
    with pytest.raises(ck.NotFound, match="removed"):
        running.start()
    assert running.status == "exited"
    with pytest.raises(ck.InvalidState, match="built in"):
        engine.networks["bridge"].remove()


def test_prune_removes_what_nobody_is_on(engine: Engine, image: Image) -> None:
    for name in ("used", "unused"):
        Network.create(name, engine=engine)
    container = sleeper(engine, network="used")
    assert engine.prune().networks == ("unused",)
    assert hosts.has_firewall(engine) and container.exec("true")
    container.remove(force=True)
    assert engine.prune().networks == ("used",) and not hosts.has_firewall(engine)


# -- the configuration -------------------------------------------------------------------------------------------------


def test_the_default_bridge_as_configured(engine: Engine, image: Image) -> None:
    wanted = {"bridge": "ckconf0", "bridge_address": "198.19.45.1/24", "bridge_mtu": "1400"}
    configured = Engine(engine.paths.root, engine.paths.run, configuration=wanted)
    container = configured.run("busybox", "sleep 60")
    bridge = configured.networks["bridge"]
    assert (bridge.interface, bridge.subnet, bridge.gateway) == ("ckconf0", "198.19.45.0/24", "198.19.45.1")
    assert "198.19.45.1/24" in hosts.ip("addr", "show", "ckconf0") and "mtu 1400" in hosts.ip("link", "show", "ckconf0")
    assert container.exec("cat /sys/class/net/eth0/mtu").stdout == "1400\n"
    container.remove(force=True)
    configured.prune()
    configured.close()
    assert "ckconf0" not in hosts.ip("link")


def test_a_bridge_of_ones_own_is_used_and_left_as_it_is(engine: Engine, image: Image) -> None:
    hosts.ip("link", "add", "ckmine0", "type", "bridge")
    try:
        hosts.ip("address", "add", "198.19.46.1/24", "dev", "ckmine0")
        hosts.ip("link", "set", "ckmine0", "up")
        mine = Engine(engine.paths.root, engine.paths.run, configuration={"bridge": "ckmine0"})
        container = web(mine, "web", ports=["127.0.0.1::80"])
        assert str(container.ip_address).startswith("198.19.46.")
        assert default_route(container) == "default via 198.19.46.1 dev eth0"
        assert get(f"http://127.0.0.1:{container.port(80)[0][1]}/") == "web"
        container.remove(force=True)
        mine.prune()
        mine.close()
        assert "198.19.46.1/24" in hosts.ip("addr", "show", "ckmine0")
    finally:
        hosts.ip("link", "delete", "ckmine0")
