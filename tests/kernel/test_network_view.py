"""What containers say of their networks, and the picture of them, with each choice of ``network``."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from containerkit import Container, Engine, Image, Interface, InvalidState, Network, Route

SUBNET, INNER = "10.123.47.0/24", "10.123.48.0/24"
FOREVER = "sleep 600"


def by_name(container: Container) -> dict[str, Interface]:
    return {one.name: one for one in container.interfaces()}


def ways(container: Container) -> dict[str, Route]:
    """Destination → route, of IPv4."""
    return {one.destination: one for one in container.routes() if not one.destination.startswith("fe80")}


@pytest.fixture
def front(engine: Engine) -> Network:
    return Network.create("front", subnet=SUBNET, engine=engine)


def test_a_bridged_container_has_a_cable_to_the_bridge(image: Image, front: Network) -> None:
    web = image.run(FOREVER, name="web", network="front")
    found = by_name(web)
    assert list(found) == ["lo", "eth0"]
    assert found["lo"].kind == "loopback" and found["lo"].addresses[0] == "127.0.0.1/8" and not found["lo"].mac
    eth0 = found["eth0"]
    assert (eth0.kind, eth0.up, eth0.master) == ("veth", True, None)
    assert eth0.addresses[0] == f"{web.ip_address}/24" and eth0.mac == web.networks["front"].mac_address
    assert eth0.mtu == int(web.exec("cat /sys/class/net/eth0/mtu").stdout)
    # The other end is a link of this machine, and a port of the network's bridge.
    assert os.path.basename(os.readlink(f"/sys/class/net/{eth0.peer}/master")) == front.interface
    found_ways = ways(web)
    assert list(found_ways) == ["default", SUBNET]
    assert found_ways["default"].gateway == front.gateway and found_ways["default"].interface == "eth0"
    assert found_ways[SUBNET].gateway is None and found_ways[SUBNET].source == web.ip_address


def test_a_closed_container_has_loopback_alone(image: Image) -> None:
    closed = image.run(FOREVER, network="none")
    assert list(by_name(closed)) == ["lo"] and closed.routes() == [] and closed.neighbours() == []


def test_an_open_container_sees_this_machines_links(image: Image, front: Network) -> None:
    image.run(FOREVER, name="web", network="front")
    found = image.run(FOREVER, network="host").interfaces()
    assert found[0].name == "lo" and front.interface in {one.name for one in found}
    # Over there is another network: the index of a cable's end there is none of a link here.
    cables = [one for one in found if one.master == front.interface]
    assert [(one.kind, one.peer) for one in cables] == [("veth", None)]


def test_a_joined_container_sees_what_the_other_one_sees(image: Image, front: Network) -> None:
    web = image.run(FOREVER, name="web", network="front")
    joined = image.run(FOREVER, network="container:web")
    assert joined.interfaces() == web.interfaces() and joined.routes() == web.routes()


def test_a_network_more_is_an_interface_more(image: Image, front: Network, engine: Engine) -> None:
    inner = Network.create("inner", subnet=INNER, internal=True, engine=engine)
    web = image.run(FOREVER, name="web", network="front")
    inner.connect(web)
    assert list(by_name(web)) == ["lo", "eth0", "eth1"] and INNER in ways(web)
    inner.disconnect(web)
    assert list(by_name(web)) == ["lo", "eth0"] and INNER not in ways(web)


def test_neighbours_are_those_it_has_spoken_to(image: Image, front: Network) -> None:
    web, other = (image.run(FOREVER, name=name, network="front") for name in ("web", "other"))
    assert other.ip_address not in {one.address for one in web.neighbours()}
    assert web.exec(["ping", "-c", "1", "-W", "10", "other"])
    (found,) = [one for one in web.neighbours() if one.address == other.ip_address]
    assert (found.mac, found.interface) == (other.networks["front"].mac_address, "eth0")


def test_who_does_not_run_has_no_interfaces(image: Image) -> None:
    made = image.create(FOREVER, name="made")
    for look in (made.interfaces, made.routes, made.neighbours):
        with pytest.raises(InvalidState, match="cannot look at its network: it is created"):
            look()


def test_a_paused_container_can_be_looked_at(image: Image, front: Network) -> None:
    assert list(by_name(image.run(FOREVER, network="front").pause())) == ["lo", "eth0"]


def test_it_works_in_an_event_loop_and_in_threads(image: Image, front: Network) -> None:
    web = image.run(FOREVER, network="front")
    expected = web.interfaces()

    async def look() -> list[Interface]:
        return web.interfaces()

    assert asyncio.run(look()) == expected
    found: list[list[Interface]] = []
    threads = [threading.Thread(target=lambda: found.append(web.interfaces())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_a_network_draws_itself_with_its_containers(image: Image, front: Network) -> None:
    image.run(FOREVER, name="web", network="front", ip="10.123.47.10", ports=["127.0.0.1:18472:80"])
    image.create(FOREVER, name="later", network="front")
    image.run(FOREVER, name="guest", network="container:web")
    image.run(FOREVER, name="stranger", network="none")
    graph = front.graph()
    for word in ("front", SUBNET, "10.123.47.1", "web", "10.123.47.10", "127.0.0.1:18472 → 80/tcp", "later", "created",
                 "in the network of web"):  # fmt: skip
        assert word in graph.svg and word in graph._repr_html_()
    assert "stranger" not in graph.svg and front.interface is not None and front.interface not in graph.svg
    assert front.graph().svg == graph.svg and repr(graph) == "NetworkGraph(front: 3 containers)"


def test_all_networks_are_in_one_picture(image: Image, front: Network, engine: Engine) -> None:
    Network.create("inner", subnet=INNER, internal=True, engine=engine)
    image.run(FOREVER, name="both", network=["front", "inner"], ports=["127.0.0.1:18473:80"])
    image.run(FOREVER, name="open", network="host")
    image.run(FOREVER, name="closed", network="none")
    graph = engine.networks.graph()
    for word in ("front", "inner", "internal: no way out", "both", "open", "closed", "no network"):
        assert word in graph.svg
    assert repr(graph) == "NetworkGraph(bridge, host, front, inner: 3 containers)"
    assert "closed" in Network.get("none", engine=engine).graph().svg
    assert "open" in Network.get("host", engine=engine).graph().svg
    assert "closed" not in front.graph().svg
    # A published port leads in by one of them.
    inner = Network.get("inner", engine=engine).graph().svg
    assert "both" in inner and "18473" not in inner and "18473" in front.graph().svg and "18473" in graph.svg


def test_a_picture_can_be_kept_as_a_file(front: Network, engine: Engine) -> None:
    path = engine.paths.root / "front.svg"
    front.graph().save(path)
    assert path.read_text() == front.graph().svg


def test_a_panel_shows_what_goes_over_the_network(image: Image, front: Network) -> None:
    web = image.run(FOREVER, name="web", network="front")
    panel = web.panel()
    web.exec(["ping", "-c", "3", "-i", "0.01", "10.123.47.1"])
    panel.refresh()
    assert panel.last.net_rx_rate > 0 and panel.last.net_tx_rate > 0 and "received" in panel._charts.value
    panel.close()
    alone = image.run(FOREVER, network="none").panel()
    assert "received" not in alone._charts.value
    alone.close()
