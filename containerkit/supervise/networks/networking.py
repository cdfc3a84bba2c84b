"""A container's networks, as its monitor keeps them: cables, published ports, names.

::

    take_ports      before anything else: what is taken is known at once
    go_in           an ordinary user's: to where its networks are
    connect         while the init mounts: cables, addresses, the resolver's sockets
    publish         once the row says which ports: whoever finds the monitor killed knows what to undo
    portable        to another process (supervise/relief.py), which resumes
    refresh         a network more or less, while it runs
    disconnect      the run has ended; ports stay taken while the restart policy waits
    close
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Sequence

from containerkit.errors import RuntimeFailure
from containerkit.linux import nftables, process
from containerkit.linux.files import locked
from containerkit.linux.loop import Loop
from containerkit.linux.namespaces import inside_network
from containerkit.net import links, publishing
from containerkit.net.etcfiles import RESOLVER
from containerkit.net.firewall import Firewall, Translation
from containerkit.net.forwarding import Upstream
from containerkit.net.links import Plug
from containerkit.net.publishing import Bound
from containerkit.net.relay import Relay
from containerkit.net.resolver import Resolver
from containerkit.store.containers import Containers
from containerkit.store.database import Database
from containerkit.store.netrows import DEFAULT_NETWORK, Endpoint, NetworkRecord, PublishedPort
from containerkit.store.networks import Networks
from containerkit.supervise.messages import Networked
from containerkit.supervise.networks import bridging, segments
from containerkit.supervise.networks.inside import Inside, Place
from containerkit.supervise.relief import Descriptor
from containerkit.values import frozen

_NAMES_PORT = 53
#: Seconds after which a start is well over.
_SETTLE = 0.2
#: Seconds that a killed process takes to end, at most, and between two looks.
_DYING, _PAUSE = 5.0, 0.05
#: What a monitor has besides, and connections that it relays.
_DESCRIPTORS = 512
_REDIRECT = """
table ip containerkit_resolver {{
    chain output {{
        type nat hook output priority -100; policy accept;
        ip daddr {address} udp dport 53 dnat to {address}:{udp}
        ip daddr {address} tcp dport 53 dnat to {address}:{tcp}
    }}
}}
"""


@frozen
class Laid:
    """What is there of a running container's networks.

    Args:
        network: its network namespace, or -1.
        answering: the resolver's sockets, UDP and TCP.
        place: where an ordinary user's are.
    """

    network: Descriptor
    plugs: tuple[Plug, ...]
    records: tuple[NetworkRecord, ...]
    bound: tuple[Bound, ...]
    translations: tuple[Translation, ...]
    ports: tuple[PublishedPort, ...]
    answering: tuple[socket.socket, ...]
    place: Place | None


class Names:
    """What the resolver knows: the rows, as they are at this moment."""

    def __init__(self, networks: Networks, links: Sequence[tuple[str, str]]) -> None:
        self._networks = networks
        self._links = {alias.lower(): name for alias, name in links}
        self.records: list[NetworkRecord] = []

    def addresses(self, name: str) -> list[str] | None:
        """Those of the container of that name, alias or short id, on a network that we are on, too."""
        ids = self._ids()
        name = self._links.get(name.lower(), name)
        found = self._networks.resolve(ids, name)
        head, _, network = name.rpartition(".")
        if found is None and head:
            ids = self._ids(network)
            found = self._networks.resolve(ids, head) if ids else None
        return found

    def name_of(self, address: str) -> str | None:
        """Whose address that is."""
        return self._networks.name_of(self._ids(), address)

    def _ids(self, network: str = "") -> list[str]:
        """The networks that have names, which the default one does not; all of them, or the one that is called so."""
        named = [record for record in self.records if record.name != DEFAULT_NETWORK]
        return [record.id for record in named if not network or record.name.lower() == network.lower()]


class Networking:
    """The networks of one container, from its monitor's side; ``inside``: it goes there, which root's does not."""

    def __init__(
        self, loop: Loop, database: Database, id: str, request: Networked, inside: Inside | None = None
    ) -> None:
        self._loop, self._database, self._id, self._request = loop, database, id, request
        self._inside = inside
        self._networks, self._containers = Networks(database), Containers(database)
        self._firewall = Firewall(request.root)
        self._names = Names(self._networks, request.links)
        self._bound: list[Bound] = []
        self._relays: list[Relay] = []
        self._relayed: list[tuple[str, int]] = []
        self._answering: tuple[socket.socket, ...] = ()
        self._resolver: Resolver | None = None
        self._network = -1
        self._plugs: list[Plug] = []
        self._laid: list[Translation] = []
        #: What is published, for the row.
        self.ports: list[PublishedPort] = []

    # -- start -------------------------------------------------------------------------------------------------------

    def take_ports(self) -> None:
        """Bind what shall be published; what is bound already stays.

        Raises:
            RuntimeFailure: a port is taken.
        """
        ports = self._request.ports
        if self._bound or not ports:
            return
        self._allow_descriptors()
        try:
            self._bound = publishing.bind(ports, self._holder)
        except RuntimeFailure as error:
            if error.errno != errno.EADDRINUSE or not self._was_killed():
                raise
            self._bound = self._bind_soon()

    def _was_killed(self) -> bool:
        """Whether one of the ports is that of a container whose monitor was killed."""
        dying = bridging.killed(self._database, self._request.root)
        return any(
            port.protocol == wanted.protocol and (wanted.first <= port.host_port <= wanted.last)
            for port in dying
            for wanted in self._request.ports
        )

    def _bind_soon(self) -> list[Bound]:
        """The kernel closes a dying process's descriptors one by one: its lease may be free and its ports not yet."""
        deadline = time.monotonic() + _DYING
        while time.monotonic() < deadline:
            try:
                return publishing.bind(self._request.ports, lambda *_: "")
            except RuntimeFailure as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            time.sleep(_PAUSE)
        return publishing.bind(self._request.ports, self._holder)

    def _allow_descriptors(self) -> None:
        # For each port its socket, its relay's, and connections.
        process.allow_descriptors(2 * len(self._request.ports) + _DESCRIPTORS)

    def go_in(self) -> None:
        """From here on this process is in the network namespace where its networks are.

        Raises:
            OSError: the kernel refuses.
        """
        if self._inside is not None:
            self._inside.enter()

    def _holder(self, protocol: str, host_ip: str, port: int) -> str:
        # Not at the top: every monitor would have the options' grammar in its memory.
        from containerkit.options.ports import overlap

        for name, _, ports in bridging.published(self._database, self._request.root):
            for one in ports:
                if (one.protocol, one.host_port) == (protocol, port) and overlap(one.host_ip, host_ip):
                    return name
        return ""

    def connect(self, network: int) -> None:
        """Plug in the container's network namespace, a descriptor, which is held until the run ends.

        Raises:
            RuntimeFailure: a bridge cannot be made.
            OSError: the kernel refuses.
        """
        self._network = network
        endpoints = self._ready_endpoints()
        self._names.records = _records(endpoints)
        self._plugs = segments.plugs(endpoints, publishes=bool(self._bound))
        links.plug_in(network, self._plugs)
        self._answer()
        self._lead_to(segments.serving(endpoints))

    def _ready_endpoints(self) -> list[Endpoint]:
        """Where it is; bridges and the firewall are there by then."""
        endpoints = self._networks.of_container(self._id)
        records = _records(endpoints)
        is_bridged = any(segments.bridge(record) is not None for record in records)
        missing = [record.id for record in records if not links.is_ready(segments.segment(record))]
        if not missing and (not is_bridged or self._firewall.is_laid()):
            return endpoints
        with locked(self._request.lock):
            self._apart(lambda: self._make(missing, is_bridged=is_bridged))
        return self._networks.of_container(self._id)

    def _make(self, missing: Sequence[str], *, is_bridged: bool) -> None:
        """In a child: what this process has opened is not to be used."""
        database = Database(self._database.path)
        if is_bridged and not Firewall(self._request.root).is_laid():
            bridging.lay(database, self._request.root)
        for id in missing:
            bridging.make(Networks(database), self._request.root, id)

    def _answer(self) -> None:
        """The resolver, at an address of the container's own loopback; it is there once it is needed."""
        is_needed = self._request.has_names or any(one.name != DEFAULT_NETWORK for one in self._names.records)
        if self._answering or not is_needed:
            return
        with inside_network(self._network):
            try:
                # Where it serves names itself, that port is left to it.
                found = _listening(0 if self._request.serves_names else _NAMES_PORT)
            except OSError:
                found = _listening(0)  # it does, and did not say so
            udp, tcp = (one.getsockname()[1] for one in found)
            if udp != _NAMES_PORT:
                rules = _REDIRECT.format(address=RESOLVER, udp=udp, tcp=tcp)
                self._apart(lambda: nftables.run(rules))
        self._answering = found
        self._resolve()

    def _resolve(self) -> None:
        udp, tcp = self._answering
        if self._inside is None:
            self._resolver = Resolver(self._loop, udp, tcp, self._names, self._upstreams())
        else:
            self._resolver = Resolver(
                self._loop, udp, tcp, self._names, self._upstreams(), self._inside.outside(), stream=self._inside.stream
            )

    def _upstreams(self) -> Sequence[Upstream]:
        """Nobody, where every network is internal."""
        is_closed = all(record.internal for record in self._names.records)
        return () if is_closed else [Upstream(server) for server in self._request.servers]

    def _lead_to(self, endpoint: Endpoint | None) -> None:
        self.ports = [
            PublishedPort(
                bound.wanted.protocol, bound.wanted.host_ip, bound.host_port, bound.wanted.port,
                (endpoint.address if endpoint else None) or "", (endpoint.address6 if endpoint else None) or "",
            )
            for bound in self._bound
        ]  # fmt: skip

    def publish(self) -> None:
        """Let what comes to the ports through; the last step of a start, and of a change.

        Raises:
            RuntimeFailure: the firewall cannot be laid; the place where its networks are is about to go.
        """
        if self._inside is not None:
            self._inside.check()
        wanted = segments.translations(self.ports)
        if wanted != self._laid:
            self._translate(wanted)
        self._relay()
        self._loop.after(_SETTLE, self._firewall.settle)

    def _relay(self) -> None:
        """Pass on what comes to the bound sockets; where that is not another place now, connections stay."""
        targets = [(port.address or port.address6, port.container_port) for port in self.ports]
        if targets == self._relayed:
            return
        self._close_relays()
        # To sockets of their own: a port stays bound when its relay is closed.
        self._relays = [
            Relay(self._loop, bound.socket.dup(), target)
            for bound, target in zip(self._bound, targets, strict=True)
            if target[0]
        ]
        self._relayed = targets

    def _close_relays(self) -> None:
        for relay in self._relays:
            relay.close()
        self._relays, self._relayed = [], []

    def _translate(self, wanted: list[Translation]) -> None:
        gone = [one for one in self._laid if one not in wanted]
        if gone:
            self._firewall.remove(gone)
        try:
            self._firewall.add(wanted)
        except OSError:
            # Somebody has removed the table, or something of a killed monitor is left in it.
            with locked(self._request.lock):
                self._apart(lambda: bridging.lay(Database(self._database.path), self._request.root))
            self._firewall.add(wanted)
        self._laid = wanted

    def _apart(self, function: Callable[[], object]) -> None:
        """As ``nftables.apart``: where many ports are taken, the library, which uses select(2), finds no room else."""

        def alone() -> None:
            for bound in self._bound:
                bound.socket.close()
            function()

        nftables.apart(alone)

    # -- while it runs -----------------------------------------------------------------------------------------------

    def portable(self) -> Laid | None:
        """For another process to go on with; None while somebody is served."""
        is_idle = self._resolver is None or self._resolver.is_idle
        if not is_idle or any(relay.count for relay in self._relays):
            return None
        return Laid(
            Descriptor(self._network), tuple(self._plugs), tuple(self._names.records), tuple(self._bound),
            tuple(self._laid), tuple(self.ports), self._answering,
            None if self._inside is None else self._inside.portable(),
        )  # fmt: skip

    def resume(self, found: Laid) -> None:
        """Go on with what another process has made."""
        if found.place is not None:
            self._inside = Inside.resume(found.place)
        self._network, self._plugs, self._names.records = found.network, [*found.plugs], [*found.records]
        self._bound, self._laid, self.ports = [*found.bound], [*found.translations], [*found.ports]
        self._answering = found.answering
        if self._bound:
            self._allow_descriptors()
        if self._answering:
            self._resolve()
        self._relay()

    def refresh(self) -> None:
        """Do what the rows say that is not so yet: networks that it has been connected to, or taken off.

        Raises:
            RuntimeFailure, OSError: as :meth:`connect`.
        """
        if self._network < 0:
            return  # it waits for its next start, which sees to all
        endpoints = self._ready_endpoints()
        wanted = segments.plugs(endpoints, publishes=bool(self._bound))
        there = {plug.identity: plug for plug in self._plugs}
        self._plugs, self._names.records = wanted, _records(endpoints)
        gone = there.keys() - {plug.identity for plug in wanted}
        links.unplug(self._network, [there[identity].name for identity in gone])
        links.plug_in(self._network, [plug for plug in wanted if plug.identity not in there])
        with inside_network(self._network):
            links.route(wanted)
        self._answer()
        if self._resolver is not None:
            self._resolver.upstreams = self._upstreams()
        self._lead_to(segments.serving(endpoints))

    # -- the end -----------------------------------------------------------------------------------------------------

    def disconnect(self) -> None:
        """The run has ended: nothing of its namespace is held any more."""
        if self._resolver is not None:
            self._resolver.close()
            self._answering, self._resolver = (), None
        self._close_relays()
        if self._network >= 0:
            if self._plugs and self._containers.has_joiners(self._id):
                # They live on in this namespace; the addresses are others' from now on.
                with contextlib.suppress(OSError):
                    links.unplug(self._network, [plug.name for plug in self._plugs])
            os.close(self._network)
            self._network = -1

    def close(self) -> None:
        """Give the ports back. It has ended for good."""
        self.disconnect()
        if self._laid:
            self._firewall.remove(self._laid)
            self._laid = []
        for bound in self._bound:
            bound.socket.close()
        self._bound = []
        self._firewall.keep()


def _listening(port: int) -> tuple[socket.socket, socket.socket]:
    """Sockets for questions, of datagrams and of connections, at that port of the container's own loopback; 0: at any.

    Raises:
        OSError: it is taken.
    """
    with contextlib.ExitStack() as undo:
        found = []
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            bound = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            undo.callback(bound.close)
            bound.bind((RESOLVER, port))
            found.append(bound)
        undo.pop_all()
        return found[0], found[1]


def _records(endpoints: Sequence[Endpoint]) -> list[NetworkRecord]:
    return [endpoint.network for endpoint in endpoints if endpoint.network is not None and endpoint.mac is not None]
