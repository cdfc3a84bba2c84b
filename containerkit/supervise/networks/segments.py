"""From rows of networks and endpoints to what ``net/`` takes: bridges, cables, translations. Pure.

Options of a network that are read here (docker's long names mean the same): ``mtu``, ``icc`` (``"false"``: its
containers do not reach each other), ``masquerade`` (``"false"``: what leaves keeps its address), ``parent`` and
``mode`` (macvlan), ``vni``, ``peers``, ``local``, ``port`` and ``device`` (vxlan), ``existing`` (a bridge that is not
ours), ``movable`` (nobody has chosen its bridge's name).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from containerkit.net.firewall import Bridge, Translation
from containerkit.net.links import Plug, Segment, Vxlan
from containerkit.store.netrows import Endpoint, NetworkRecord, PublishedPort

#: Bytes that a vxlan puts around every packet, over IPv4.
_VXLAN_OVERHEAD = 50


def segment(record: NetworkRecord) -> Segment:
    """What containers of that network are plugged into."""
    options = record.options
    mtu = int(options.get("mtu", 0))
    if record.driver == "macvlan":
        return Segment("macvlan", record.interface, record.id, mtu=mtu, mode=options.get("mode", "bridge"))
    vxlan = None
    if record.driver == "vxlan":
        peers = tuple(part.strip() for part in options["peers"].split(",") if part.strip())
        vxlan = Vxlan(
            int(options["vni"]), peers, options.get("local", ""), options.get("device", ""),
            int(options.get("port", 4789)),
        )  # fmt: skip
        mtu = mtu or 1500 - _VXLAN_OVERHEAD
    gateways = tuple((gateway, _bits(net)) for net, gateway, _ in record.subnets)
    return Segment(
        "bridge", record.interface, record.id, gateways, mtu, not _is_on(options, "icc"),
        not _is_on(options, "existing", "false"), vxlan=vxlan,
    )  # fmt: skip


def _bits(net: str) -> int:
    return int(net.rpartition("/")[2])


def _is_on(options: dict[str, str], name: str, default: str = "true") -> bool:
    return options.get(name, default) == "true"


def may_move(record: NetworkRecord) -> bool:
    """Whether its bridge may have another name, where that is taken."""
    return _is_on(record.options, "movable", "false")


def bridge(record: NetworkRecord) -> Bridge | None:
    """What the firewall knows of a network; None: nothing, its packets do not pass this machine's."""
    if record.driver == "macvlan":
        return None
    options = record.options
    nets = tuple(net for net, _, _ in record.subnets)
    return Bridge(record.interface, nets, bool(record.internal), _is_on(options, "icc"), _is_on(options, "masquerade"))


def plugs(endpoints: Sequence[Endpoint], *, publishes: bool = False) -> list[Plug]:
    """The cables of a container whose addresses are leased. The first network with a way out has the default route.

    Args:
        publishes: it has published ports.
    """
    found: list[Plug] = []
    routed: set[bool] = set()
    for endpoint in endpoints:
        record = endpoint.network
        if record is None or endpoint.mac is None:
            continue
        addresses, routes = [], []
        for net, gateway, _ in record.subnets:
            is_v6 = ":" in net
            address = endpoint.address6 if is_v6 else endpoint.address
            if address is None:
                continue
            addresses.append((address, _bits(net)))
            if not record.internal and is_v6 not in routed and gateway:
                routed.add(is_v6)
                routes.append(gateway)
        name = f"eth{endpoint.place}"
        found.append(Plug(segment(record), name, tuple(addresses), endpoint.mac, tuple(routes), publishes))
    return found


def serving(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint that published ports lead to: the first on a bridge, one with a way out before an internal one."""
    bridged = [one for one in endpoints if one.network is not None and one.network.driver != "macvlan"]
    return next((one for one in bridged if not one.network or not one.network.internal), next(iter(bridged), None))


def translations(ports: Iterable[PublishedPort]) -> list[Translation]:
    """What the firewall does for published ports."""
    found = [
        Translation(port.protocol, port.host_ip, port.host_port, address, port.container_port)
        for port in ports
        for address in (port.address, port.address6)
        if address
    ]
    return [one for one in found if one.is_possible]
