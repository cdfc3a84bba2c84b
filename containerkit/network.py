"""Network: a handle on one network."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from containerkit import engine as engines
from containerkit.errors import AlreadyExists, InvalidArgument, InvalidState, NotFound
from containerkit.options import foreign, network_name
from containerkit.options.networks import aliases as read_aliases
from containerkit.sessions import session
from containerkit.store.netrows import DEFAULT_NETWORK
from containerkit.supervise.networks import design, membership
from containerkit.views import html
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine
    from containerkit.reading.netgraph import NetworkGraph
    from containerkit.store.netrows import NetworkRecord

#: Networks that are no rows: the host's own, and none at all.
_MODES = ("host", "none")
Texts = str | Sequence[str] | None


@foreign.answers
class Network(Shown):
    """A network that containers are on. Made by ``create``, ``get`` and ``list``; reads its current state when asked.

    Built in are ``bridge``, which containers are on that name no other; ``host``, this machine's own; and ``none``.
    ``engine``, where it is taken: where; default: :func:`containerkit.default_engine`.
    """

    def __init__(self, engine: Engine, id: str, name: str) -> None:
        self._engine = engine
        self._id = id
        self._last_name = name

    # -- finding and making ------------------------------------------------------------------------------------------

    @classmethod
    def get(cls, name_or_id: str, *, engine: Engine | None = None) -> Network:
        """The network of that name, id, or unique beginning of an id.

        Raises:
            NotFound: there is none.
        """
        if not isinstance(name_or_id, str):
            raise InvalidArgument(f"network {name_or_id!r}: expected a name or an id")
        engine = engine or engines.default_engine()
        if name_or_id in _MODES:
            return cls(engine, name_or_id, name_or_id)
        if name_or_id == DEFAULT_NETWORK:
            record = membership.default(engine.store, engine.configuration)
        else:
            record = engine.store.networks.find(name_or_id)
        return cls(engine, record.id, record.name)

    @classmethod
    def list(cls, *, engine: Engine | None = None) -> list[Network]:
        """All networks: the built-in ones, then the others by name."""
        engine = engine or engines.default_engine()
        others = sorted((r.name, r.id) for r in engine.store.networks.list() if r.name != DEFAULT_NETWORK)
        built_in = [cls.get(name, engine=engine) for name in (DEFAULT_NETWORK, *_MODES)]
        return built_in + [cls(engine, id, name) for name, id in others]

    @classmethod
    @foreign.knows_keywords
    def create(
        cls,
        name: str,
        *,
        driver: str = "bridge",
        subnet: Texts = None,
        gateway: Texts = None,
        ip_range: Texts = None,
        internal: bool = False,
        ipv6: bool = False,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        exist_ok: bool = False,
        engine: Engine | None = None,
    ) -> Network:
        """A new network. Its containers find each other by name, and are apart from those of other networks.

        >>> front = ck.Network.create("front", subnet="10.123.0.0/24", exist_ok=True)
        >>> web = ck.run("busybox", "httpd -f -h /etc", name="web", network="front")
        >>> ck.call("busybox", "nslookup web", network=front).exit_code
        0

        Args:
            name: letters, digits, ``_``, ``.`` and ``-``.
            driver: ``"bridge"``; ``"macvlan"`` (its containers are hosts of the outer network); ``"vxlan"`` (one
                network over several hosts).
            subnet: ``"10.1.0.0/24"``, an IPv6 one, or one of each; default: a free one.
            gateway: this machine's address in it; default: the first.
            ip_range: the part of the subnet whose addresses are given to containers.
            internal: its containers reach each other, and nothing else.
            ipv6: it has an IPv6 subnet, too.
            options: of bridges: ``mtu`` (bytes), ``icc`` (False: its containers do not reach each other),
                ``masquerade`` (False: what leaves keeps its address), ``bridge_name``; of macvlans: ``parent`` (a link
                of this machine), ``mode``, ``mtu``; of vxlans, as of bridges, and ``vni`` (its number), ``peers`` (the
                other hosts' addresses), ``local``, ``device``, ``port`` (of UDP). Docker's long names, too.
            labels: ``{"key": "value"}``.
            exist_ok: a network of that name is taken as it is.

        Raises:
            AlreadyExists: the name is taken.
            InvalidArgument: what cannot be right; a subnet that this machine or another network has.
        """
        engine = engine or engines.default_engine()
        network_name(name)
        try:
            if name in (*_MODES, DEFAULT_NETWORK):
                raise AlreadyExists(f"network {name}: is built in")
            wanted = design.row(
                engine.store, name, driver=driver, subnets=_texts(subnet), gateways=_texts(gateway),
                ranges=_texts(ip_range), internal=internal, ipv6=ipv6, labels=session.labelled(engine, labels),
                options=options,
            )  # fmt: skip
            record = engine.store.networks.insert(wanted)
        except AlreadyExists:
            if not exist_ok:
                raise
            return cls.get(name, engine=engine)
        return cls(engine, record.id, record.name)

    # -- what it is --------------------------------------------------------------------------------------------------

    def _record(self) -> NetworkRecord | None:
        """Its row; None of those that have none."""
        if self._id in _MODES:
            return None
        record = self._engine.store.networks.read(self._id)
        if record is None:
            raise NotFound(f"network {self._last_name}: not found (removed)")
        return record

    @property
    def id(self) -> str:
        """64 hexadecimal digits; of ``host`` and ``none`` their name."""
        return self._id

    @property
    def name(self) -> str:
        """Its name."""
        return self._last_name

    @property
    def driver(self) -> str:
        """bridge, macvlan, vxlan, host or null."""
        record = self._record()
        return record.driver if record is not None else {"none": "null"}.get(self._id, self._id)

    def _subnet(self, place: int, version: int) -> str | None:
        record = self._record()
        rows = record.subnets if record is not None else []
        return next((row[place] for row in rows if (":" in row[0]) == (version == 6)), None)

    @property
    def subnet(self) -> str | None:
        """Its IPv4 subnet, else its IPv6 one."""
        return self._subnet(0, 4) or self._subnet(0, 6)

    @property
    def gateway(self) -> str | None:
        """This machine's address in that subnet."""
        return self._subnet(1, 4) or self._subnet(1, 6)

    @property
    def subnet6(self) -> str | None:
        """Its IPv6 subnet."""
        return self._subnet(0, 6)

    @property
    def gateway6(self) -> str | None:
        """This machine's address in that subnet."""
        return self._subnet(1, 6)

    @property
    def ip_range(self) -> str | None:
        """The part of the subnet whose addresses are given to containers, where it is a part."""
        return self._subnet(2, 4) or self._subnet(2, 6) or None

    @property
    def interface(self) -> str | None:
        """The link of this machine that its containers are plugged into, once it was needed."""
        record = self._record()
        return None if record is None else record.interface

    @property
    def internal(self) -> bool:
        """Whether its containers reach nothing but each other."""
        record = self._record()
        return record is not None and bool(record.internal)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        record = self._record()
        return {} if record is None else record.labels

    @property
    def options(self) -> dict[str, str]:
        """Its driver's options."""
        record = self._record()
        return {} if record is None else record.options

    @property
    def created(self) -> datetime | None:
        """When it was made (UTC)."""
        record = self._record()
        return None if record is None else datetime.fromtimestamp(record.created, timezone.utc)

    @property
    def containers(self) -> builtins.list[Container]:
        """The containers that have an address there now, by name."""
        from containerkit.container import Container

        found = [self._engine.store.containers.read(one.container) for one in self._members()]
        records = sorted((record for record in found if record is not None), key=lambda record: record.name)
        return [Container(self._engine, record.id, record.name) for record in records]

    def _members(self) -> builtins.list[Any]:
        return [] if self._id in _MODES else self._engine.store.networks.of_network(self._id)

    def inspect(self) -> dict[str, Any]:
        """Everything about it, shaped as ``docker network inspect``."""
        from containerkit.reading import inspection

        return inspection.network(self._engine.store, self._record(), self._id, self.driver)

    # -- what is done to it ------------------------------------------------------------------------------------------

    def connect(self, container: Container | str, *, ip: Texts = None, aliases: Sequence[str] = ()) -> Network:
        """Put a container on it, running or not.

        >>> front = ck.Network.create("front").connect(box, aliases=["db"])
        >>> ck.call("busybox", "nslookup db", network="front").exit_code
        0

        Args:
            container: a Container, a name or an id.
            ip: the address that it shall have, or an IPv4 and an IPv6 one; default: the next free.
            aliases: more names for it.

        Raises:
            AlreadyExists: it is there already.
            InvalidArgument: an address that is not of the network.
            InvalidState: the address is somebody else's; the container has no networks of its own.
        """
        wish = membership.wish(self._own("connect"), _texts(ip), read_aliases(aliases, "aliases"))
        membership.connect(self._engine.store, self._container(container), wish)
        return self

    def disconnect(self, container: Container | str) -> Network:
        """Take a container off it, running or not.

        Raises:
            NotFound: it is not there.
        """
        membership.disconnect(self._engine.store, self._container(container), self._own("disconnect"))
        return self

    def _own(self, verb: str) -> NetworkRecord:
        record = self._record()
        if record is None:
            raise InvalidState(f"network {self._id}: cannot {verb}: it is chosen when a container is made")
        return record

    def _container(self, container: Container | str) -> Any:
        from containerkit.container import Container

        found = Container.get(container, engine=self._engine) if isinstance(container, str) else container
        return found._record()

    def remove(self) -> Network:
        """Remove it, with its bridge. Containers that do not run are left, and have to be taken off it to start again.

        Raises:
            InvalidState: a container has an address there; it is built in.
        """
        membership.remove(self._engine.store, self._own("remove"))
        return self

    def graph(self) -> NetworkGraph:
        """A picture: this machine, the network, its containers with addresses and status, and their published ports.

        ``ck.networks.graph()`` has all networks in one.
        """
        from containerkit.reading import netgraph

        return netgraph.draw(self._engine.store, [self])

    # -- looks -------------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and (self._id, self._engine) == (other._id, other._engine)

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        try:
            parts = [self.driver, *(text for text in (self.subnet, "internal" if self.internal else "") if text)]
        except NotFound:
            parts = ["removed"]
        return f"Network({self._last_name!r}, {', '.join(parts)})"

    def _repr_html_(self) -> str:
        try:
            rows = {
                "driver": self.driver, "subnet": self.subnet, "gateway": self.gateway, "IPv6 subnet": self.subnet6,
                "internal": "yes" if self.internal else None, "link": self.interface,
                "containers": ", ".join(one.name for one in self.containers) or None,
            }  # fmt: skip
        except NotFound:
            return html.note(f"network {self._last_name}: removed")
        return html.card(f"network {self._last_name}", self.driver, {k: v for k, v in rows.items() if v is not None})


def _texts(value: Texts) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(map(str, value))
