"""The firewall: who reaches whom, and what happens when somebody takes it away."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image, Network
from tests import hosts
from tests.engines import emptied
from tests.hosts import SILENCE, Host, elements, get, has_firewall, nft, reached, web
from tests.waiting import eventually

PATIENCE = 0.5


@pytest.fixture
def another(tmp_path: Path, busybox_tar: Path, engine: Engine) -> Iterator[Engine]:
    """A second engine on this machine."""
    with emptied(tmp_path / "root2", tmp_path / "run2") as another:
        Image.import_(busybox_tar, tag="busybox", engine=another)
        yield another


def sleeper(engine: Engine, name: str | None = None, **options: object) -> Container:
    return engine.run("busybox", "sleep 60", name=name, **options)  # type: ignore[arg-type]  # as they come


def rules(engine: Engine) -> int:
    found = json.loads(nft("--json", "list", "table", "inet", hosts.table(engine)))["nftables"]
    return sum("rule" in one for one in found)


# -- who reaches whom --------------------------------------------------------------------------------------------------


def test_a_neighbour_that_knows_the_way_does_not_get_in(engine: Engine, image: Image, outside: Host) -> None:
    net = Network.create("six", subnet=["198.19.50.0/24", "fd00:c7::/64"], engine=engine)
    container = web(engine, "web", network="six", ports=["127.0.0.1::81", "8080-8999:8080"])
    hosts.ip("-n", outside.name, "route", "add", str(net.subnet), "via", outside.here)
    hosts.ip("-n", outside.name, "route", "add", str(net.subnet6), "via", outside.here6)
    place = container.networks["six"]
    assert outside.get(f"http://{place.ip_address}/", patience=PATIENCE) is None
    assert outside.get(f"http://[{place.ip6_address}]/", patience=PATIENCE) is None
    ping = outside.command("busybox", "ping", "-c1", "-W1", str(place.ip_address))
    assert subprocess.run(ping, capture_output=True, check=False).returncode != 0
    # It is there: from this machine it answers.
    assert get(f"http://{place.ip_address}/") == "web" == get(f"http://[{place.ip6_address}]/")


def test_only_what_is_published_is_reachable(engine: Engine, image: Image, outside: Host) -> None:
    container = web(engine, "web", ports=["8080-8999:80"])
    container.exec(["sh", "-c", "httpd -p 81 -h /www"])
    ((_, port),) = container.port(80)
    assert outside.get(f"http://{outside.here}:{port}/") == "web"
    for other in (81, port + 1):
        assert outside.get(f"http://{outside.here}:{other}/", patience=PATIENCE) is None


#: Sends a frame with a SYN for 127.0.0.1 to the host at the other end, and tells whether an answer comes.
ASK_LOOPBACK = """
import socket, struct, sys, time
here, mac, port = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), int(sys.argv[3])
def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    return ~((total >> 16) + total) & 0xFFFF
source, target = socket.inet_aton(here), socket.inet_aton("127.0.0.1")
tcp = struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
sum_ = checksum(source + target + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)
tcp = tcp[:16] + struct.pack("!H", sum_) + tcp[18:]
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, source, target)
ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
link.bind(("eth0", 0))
link.settimeout(0.2)
own = link.getsockname()[4]
answers = 0
for _ in range(3):
    link.send(mac + own + bytes([8, 0]) + ip + tcp)
    until = time.monotonic() + 0.4
    while time.monotonic() < until:
        try:
            data = link.recv(2048)
        except TimeoutError:
            continue
        answers += data[:6] == own and data[23] == 6 and struct.unpack_from("!H", data, 34)[0] == port
print(answers)
"""


def test_a_neighbour_that_asks_127_0_0_1_over_the_cable_gets_no_answer(
    engine: Engine, image: Image, outside: Host
) -> None:
    container = web(engine, "web", ports=["127.0.0.1::80"])
    ((_, port),) = container.port(80)
    assert get(f"http://127.0.0.1:{port}/") == "web"
    outside.run("busybox", "ping", "-c1", "-W10", outside.here)  # this host knows the way back
    name = json.loads(hosts.ip("-j", "addr", "show", "to", outside.here))[0]["ifname"]
    mac = Path(f"/sys/class/net/{name}/address").read_text().strip()
    answers = outside.run(sys.executable, "-S", "-c", ASK_LOOPBACK, outside.address, mac, str(port))
    assert answers.strip() == "0"


def test_a_container_does_not_pass_for_this_machine(engine: Engine, image: Image) -> None:
    box = sleeper(engine, cap_add=["NET_RAW"])
    gateway = str(engine.networks["bridge"].gateway)
    code = """
import socket, struct, sys
target, port = sys.argv[1], int(sys.argv[2])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for source in ("127.0.0.2", sys.argv[3]):
    udp = struct.pack("!HHHH", 5000, port, 8 + 4, 0) + source[:4].encode()
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source),
                     socket.inet_aton(target))
    raw.sendto(ip + udp, (target, 0))
"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((gateway, 0))
        server.settimeout(3)
        words = [gateway, str(server.getsockname()[1]), str(box.ip_address)]
        enter = ["nsenter", f"--net=/proc/{box.pid}/ns/net", sys.executable, "-S", "-c", code, *words]
        subprocess.run(enter, check=True)
        # The honest one arrives, the other does not.
        assert server.recvfrom(100)[1][0] == box.ip_address
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.recv(100)


def test_nobody_is_believed_to_be_a_router(engine: Engine, image: Image) -> None:
    net = Network.create("six", ipv6=True, engine=engine)
    box = sleeper(engine, network="six")
    for name in ("accept_ra", "autoconf"):
        assert Path(f"/proc/sys/net/ipv6/conf/{net.interface}/{name}").read_text().strip() == "0"
        assert box.exec(["cat", f"/proc/sys/net/ipv6/conf/eth0/{name}"]).stdout.strip() == "0"


def test_two_networks_do_not_reach_each_other(engine: Engine, image: Image) -> None:
    one, two = (Network.create(name, ipv6=True, engine=engine) for name in ("one", "two"))
    server = web(engine, "web", network="one")
    neighbour, stranger, default = (sleeper(engine, network=name) for name in ("one", "two", "bridge"))
    place = server.networks["one"]
    addresses = (str(place.ip_address), str(place.ip6_address))
    everything: list[str | tuple[str, int]] = [*addresses, *((address, 80) for address in addresses)]
    assert eventually(lambda: reached(neighbour, *everything) == everything)
    # Of that network a stranger reaches this machine's address.
    gateways = [str(two.gateway), str(one.gateway)]
    assert eventually(lambda: reached(stranger, *everything, *gateways) == gateways)
    assert reached(default, *everything) == [] == reached(server, str(default.ip_address))
    two.connect(server)
    assert hosts.ask(stranger, "web") == "web"


def test_two_engines_do_not_reach_each_other(engine: Engine, image: Image, another: Engine, outside: Host) -> None:
    server, client = web(engine, "web", ports=["8080-8999:80"]), sleeper(another)
    mine, theirs = engine.networks["bridge"], another.networks["bridge"]
    assert mine.interface != theirs.interface and mine.subnet != theirs.subnet
    assert reached(client, str(server.ip_address), (str(server.ip_address), 80)) == []
    assert hosts.ask(client, outside.here, port=server.port(80)[0][1]) == "web"
    assert another.prune().networks == () and has_firewall(another)
    client.remove(force=True)
    another.prune()
    assert not has_firewall(another) and has_firewall(engine)
    assert outside.get(f"http://{outside.here}:{server.port(80)[0][1]}/") == "web"


def test_from_an_internal_network_nothing_is_reached(engine: Engine, image: Image, outside: Host) -> None:
    net = Network.create("inside", internal=True, ipv6=True, engine=engine)
    server = web(engine, "web", network="inside")
    client = sleeper(engine, network="inside")
    open_one = web(engine, "open", ports=["8080-8999:80"])
    ((_, port),) = open_one.port(80)
    assert hosts.ask(client, "web") == "web" and hosts.ask(client, str(server.networks["inside"].ip6_address)) == "web"
    with outside.program(sys.executable, "-m", "http.server", "8000"):
        assert eventually(lambda: hosts.get(f"http://{outside.address}:8000/") is not None)
        places: list[str | tuple[str, int]] = [
            (outside.address, 8000), (outside.address6, 8000), (str(open_one.ip_address), 80), (outside.here, port),
            (str(net.gateway), port), (str(net.gateway6), port),
        ]  # fmt: skip
        assert eventually(lambda: reached(open_one, places[0]))
        places += [place[0] for place in places]
        assert reached(client, *places) == []
        # Nor with ways of its own making.
        root = sleeper(engine, network="inside", cap_add=["NET_ADMIN"])
        for gateway in (net.gateway, net.gateway6):
            assert root.exec(["ip", "route", "add", "default", "via", str(gateway)])
        assert reached(root, *places) == []


def test_nobody_gets_into_an_internal_network(engine: Engine, image: Image, outside: Host) -> None:
    net = Network.create("inside", internal=True, engine=engine)
    with pytest.raises(ck.Unsupported, match="^container web: ports: network inside is internal"):
        web(engine, "web", network="inside", ports=["8080-8999:80"])
    server = web(engine, "web", network="inside")
    hosts.ip("-n", outside.name, "route", "add", str(net.subnet), "via", outside.here)
    assert outside.get(f"http://{server.ip_address}/", patience=PATIENCE) is None
    assert hosts.ask(sleeper(engine), str(server.ip_address), patience=PATIENCE) is None


def test_what_leaves_may_keep_its_address(engine: Engine, image: Image, outside: Host) -> None:
    net = Network.create("routed", options={"masquerade": False}, engine=engine)
    hosts.ip("-n", outside.name, "route", "add", str(net.subnet), "via", outside.here)
    container = sleeper(engine, network="routed")
    code = "import socket; s=socket.create_server(('', 8000)); print('ready', flush=True); print(s.accept()[1][0])"
    with outside.program(sys.executable, "-S", "-c", code, ready="ready") as server:
        assert container.exec(["nc", "-w10", outside.address, "8000"], input="")
        assert server.stdout is not None and server.stdout.read().strip() == container.ip_address


def test_a_container_does_not_reach_this_machines_loopback(engine: Engine, image: Image) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        root = sleeper(engine, cap_add=["NET_ADMIN"], sysctls={"net.ipv4.conf.all.route_localnet": "1"})
        gateway = str(engine.networks["bridge"].gateway)
        script = (
            "ip rule add pref 0 to 127.0.0.0/8 lookup 7 && ip route add 127.0.0.0/8 via $0 table 7;"
            "ip rule del pref 0 lookup local; ip rule add pref 100 lookup local; nc -w 1 127.0.0.1 $1 </dev/null"
        )
        root.exec(["sh", "-c", script, gateway, str(port)])
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()


# -- what others do to it ----------------------------------------------------------------------------------------------


def test_other_tables_are_not_touched(engine: Engine, image: Image) -> None:
    name = "inet test_of_hosts"
    nft(f"table {name} {{ chain forward {{ type filter hook forward priority 10; policy accept; counter; }}; }}")
    try:
        before = [line for line in nft("--stateless", "list", "table", *name.split()).splitlines() if line.strip()]
        web(engine, "web", ports=["8080-8999:80"]).remove(force=True)
        engine.prune()
        after = [line for line in nft("--stateless", "list", "table", *name.split()).splitlines() if line.strip()]
        assert before == after
    finally:
        nft("delete", "table", *name.split())


@pytest.mark.parametrize("cure", ["the next start", "networks.restore()"])
def test_a_firewall_that_was_flushed(engine: Engine, image: Image, outside: Host, cure: str) -> None:
    container = web(engine, "web", ports=["8080-8999:80", "127.0.0.1::80"])
    net = Network.create("own", internal=True, engine=engine)
    ports = sorted(port for _, port in container.port(80))
    before = sorted(elements(engine))
    nft("delete", "table", "inet", hosts.table(engine))
    # Published ports answer all the same, by way of the monitor.
    for port in ports:
        assert get(f"http://127.0.0.1:{port}/") == "web"
    assert outside.get(f"http://{outside.here}:{container.port(80)[0][1]}/") == "web"
    if cure == "the next start":
        sleeper(engine, network="own")
    else:
        engine.networks.restore()
    assert sorted(elements(engine)) == before
    peer = outside.get(f"http://{outside.here}:{container.port(80)[0][1]}/cgi-bin/peer")
    assert peer == f"[::ffff:{outside.address}]"
    assert reached(sleeper(engine, network="own"), str(net.gateway)) == []
    container.remove(force=True)
    assert elements(engine) == []


def test_a_container_ends_well_without_the_firewall(engine: Engine, image: Image) -> None:
    container = web(engine, "web", ports=["127.0.0.1::80"])
    nft("delete", "table", "inet", hosts.table(engine))
    container.stop(timeout=0)
    assert container.status == "exited" and not has_firewall(engine)
    ((address, port),) = container.start().port(80)
    assert eventually(lambda: get(f"http://{address}:{port}/", patience=SILENCE) == "web")


def test_rules_are_constant_however_many_ports_are_published(engine: Engine, image: Image) -> None:
    sleeper(engine)
    before = rules(engine)
    first = 21000
    container = sleeper(engine, ports=[f"{first}-{first + 499}:{first}-{first + 499}"])
    assert rules(engine) == before and len(elements(engine)) == 500 == len(container.ports)
    assert container.restart(timeout=0).status == "running" and len(elements(engine)) == 500
    nft("delete", "table", "inet", hosts.table(engine))
    container.stop(timeout=0)  # none of these elements is there
    many = sleeper(engine, ports=[f"{first}-{first + 1999}:{first}-{first + 1999}/udp"])
    assert rules(engine) == before and len(elements(engine)) == 2000
    many.remove(force=True)
    assert elements(engine) == []
