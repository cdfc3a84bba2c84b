"""Networks, drawn: who is on which, by what address, and what is reached from outside (views/network.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from containerkit.errors import NotFound
from containerkit.options import Settings
from containerkit.reading import connections, listing
from containerkit.views import html
from containerkit.views import network as views
from containerkit.views.network import Net, Node
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    import os

    from containerkit.network import Network
    from containerkit.store.containers import ContainerRecord
    from containerkit.store.store import Store


class NetworkGraph(Shown):
    """A picture of networks as they were when it was asked for: in a notebook it shows itself.

    ``svg`` is its text, for a page or a file of its own. The same networks give the same text.
    """

    def __init__(self, nets: Sequence[Net], nodes: Sequence[Node]) -> None:
        self._nets, self._nodes = tuple(nets), tuple(nodes)

    @property
    def svg(self) -> str:
        """A whole file, in the colours of its reader's light or dark theme."""
        return views.picture(self._nets, self._nodes, standalone=True)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as a file, ``networks.svg``."""
        Path(path).write_text(self.svg, encoding="utf-8")

    def _repr_html_(self) -> str:
        # Within the page, and not as an image: so it has the page's colours.
        return f'<div {html.PLAIN} style="overflow-x:auto">{views.picture(self._nets, self._nodes)}</div>'

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return (
            f"NetworkGraph({', '.join(net.name for net in self._nets)}: {views.count(len(self._nodes), 'container')})"
        )


def draw(store: Store, networks: Sequence[Network]) -> NetworkGraph:
    """One network with its containers, running or not; or all networks, with those that are on none, too."""
    names = {network.name for network in networks}
    nodes = [_node(store, record, names) for record in listing.records(store, all=True)]
    wanted = nodes if len(names) > 1 else [node for node in nodes if _is_on(node, *names)]
    there = {node.name for node in wanted}
    wanted = [node for node in nodes if node.name in there or node.joins in there]
    used = {net for node in wanted for net, _ in node.addresses}
    shown = [one for one in networks if one.name != "none" and (one.name in used or one.name != "host")]
    # Of its other networks nothing is drawn: a container's card says what is in the picture.
    return NetworkGraph([_net(one) for one in shown], [_within(one, names) for one in wanted])


def _net(network: Network) -> Net:
    if network.driver == "host":
        return Net(network.name, "this machine's own")
    subnets = [text for text in (network.subnet, network.subnet6) if text]
    gateways = [text for text in (network.gateway, network.gateway6) if text]
    says = "gateway" if network.driver == "macvlan" else "this machine is"
    parts = [network.driver, *dict.fromkeys(subnets)]
    parts += [f"{says} {', '.join(dict.fromkeys(gateways))}"] if gateways else []
    parts += ["internal: no way out"] if network.internal else []
    return Net(network.name, " · ".join(parts), is_closed=network.internal)


def _node(store: Store, record: ContainerRecord, names: set[str]) -> Node:
    """``names`` are the networks that are drawn: ports that lead to it by another one are not."""
    settings = Settings.read(record.options)
    kind, _, other = settings.network.partition(":")
    if kind == "container":
        return Node(record.name, record.status, joins=_name(store, other))
    if kind == "host":
        return Node(record.name, record.status, (("host", "this machine's addresses"),))
    endpoints = connections.of(store, record)
    addresses = tuple((name, one.ip_address or one.ip6_address or "") for name, one in endpoints.items())
    shown = [one for name, one in endpoints.items() if name in names]
    drawn = {address for one in shown for address in (one.ip_address, one.ip6_address)}
    published = [one for one in record.published if one.address in drawn or one.address6 in drawn]
    return Node(record.name, record.status, addresses, _ports(connections.ports(published)))


def _name(store: Store, name_or_id: str) -> str:
    try:
        return store.containers.find(name_or_id).name
    except NotFound:
        return name_or_id  # it has been removed


def _ports(published: Mapping[str, Sequence[tuple[str, int]]]) -> tuple[str, ...]:
    return tuple(
        f"{'' if host in ('0.0.0.0', '') else f'[{host}]:' if ':' in host else f'{host}:'}{port} → {key}"
        for key, hosts in published.items()
        for host, port in hosts
    )


def _is_on(node: Node, network: str) -> bool:
    if network == "none":
        return not node.addresses and not node.joins
    return network in {name for name, _ in node.addresses}


def _within(node: Node, names: set[str]) -> Node:
    return Node(node.name, node.status, tuple(one for one in node.addresses if one[0] in names), node.ports, node.joins)
