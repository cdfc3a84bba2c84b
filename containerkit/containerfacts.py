"""What a container is: read when somebody asks."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, overload

from containerkit.errors import InvalidState, NotFound
from containerkit.oci.runtime_spec import Spec
from containerkit.options import Mount, Settings
from containerkit.reading import connections, inspection, mountinfo, template
from containerkit.store.containers import ALIVE
from containerkit.supervise import configjson, ending
from containerkit.supervise.configure.process import describe_command
from containerkit.supervise.health import Health
from containerkit.views import html
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.image import Image
    from containerkit.linux.netview import Interface, Neighbour, Route
    from containerkit.reading.connections import Endpoint
    from containerkit.store.containers import ContainerRecord


class ContainerFacts(Shown):
    """All that is to be read of a :class:`~containerkit.Container`; nothing here changes it."""

    def __init__(self, engine: Engine, id: str, name: str) -> None:
        self._engine = engine
        self._id = id
        self._last_name = name

    def _truth(self) -> ContainerRecord | None:
        return ending.current(self._engine.store, self._id)

    def _record(self) -> ContainerRecord:
        record = self._truth()
        if record is None:
            raise NotFound(f"container {self._last_name}: not found (removed)")
        self._last_name = record.name
        return record

    def _file(self, name: str) -> str:
        return os.path.join(self._engine.store.paths.containers, self._id, name)

    def _spec(self) -> Spec:
        return configjson.read(self._engine.store, self._id)

    def _running(self, verb: str, states: frozenset[str] = frozenset({"running"})) -> ContainerRecord:
        record = self._record()
        if record.state not in states:
            raise InvalidState(f"container {record.name}: cannot {verb}: it is {record.status}")
        return record

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self._id

    @property
    def short_id(self) -> str:
        """The first 12 digits of the id."""
        return self._id[:12]

    @property
    def name(self) -> str:
        """Its name."""
        return self._record().name

    @property
    def image(self) -> Image:
        """The image it was made from.

        Raises:
            NotFound: the image has been removed by force; or there is none, as for a step of a build.
        """
        from containerkit.image import Image

        record = self._record()
        if not record.image:
            raise NotFound(f"container {record.name}: has no image that could be asked for ({record.image_reference})")
        return Image.get(record.image, engine=self._engine)

    @property
    def status(self) -> str:
        """created, running, paused, restarting, exited or dead."""
        return self._record().status

    @property
    def exit_code(self) -> int | None:
        """How the last run ended; None before the first end."""
        return self._record().exit_code

    @property
    def pid(self) -> int | None:
        """The host's pid of the container's pid 1, while it runs."""
        return self._record().pid

    @property
    def oom_killed(self) -> bool:
        """Whether the kernel ended a process of the last run because memory ran out."""
        return bool(self._record().oom_killed)

    @property
    def health(self) -> str | None:
        """starting, healthy or unhealthy, as its health check says; None without one."""
        health = Health.loads(self._record().health)
        return None if health is None else health.status

    @property
    def restart_count(self) -> int:
        """How often its restart policy has started it since somebody did."""
        return self._record().restarts

    @property
    def ip_address(self) -> str | None:
        """Its address on the first of its networks, while it runs (IPv4, else IPv6)."""
        found = next(iter(self.networks.values()), None)
        return None if found is None else found.ip_address or found.ip6_address

    @property
    def networks(self) -> dict[str, Endpoint]:
        """The networks that it is on, by name, in the order of its interfaces."""
        return connections.of(self._engine.store, self._record())

    @property
    def ports(self) -> dict[str, list[tuple[str, int]]]:
        """What it publishes while it runs: ``{"80/tcp": [("0.0.0.0", 8080)]}``, addresses and ports of the host."""
        return connections.ports(self._record().published)

    def port(self, port: int | str) -> list[tuple[str, int]]:
        """Where one of its ports is published: addresses and ports of the host; as ``docker port``.

        Args:
            port: 80, or ``"53/udp"``.
        """
        return connections.port(self._record(), port)

    def interfaces(self) -> list[Interface]:
        """Its links, as ``ip address`` in it would show them, loopback first; with any choice of ``network``.

        Raises:
            InvalidState: it does not run.
        """
        from containerkit.reading import netinfo

        return netinfo.interfaces(self._running("look at its network", ALIVE - {"restarting"}))

    def routes(self) -> list[Route]:
        """The ways that it knows, as ``ip route`` in it would show them. As :meth:`interfaces`."""
        from containerkit.reading import netinfo

        return netinfo.routes(self._running("look at its network", ALIVE - {"restarting"}))

    def neighbours(self) -> list[Neighbour]:
        """Whom it has spoken to of late, as ``ip neighbour`` in it would show it. As :meth:`interfaces`."""
        from containerkit.reading import netinfo

        return netinfo.neighbours(self._running("look at its network", ALIVE - {"restarting"}))

    @property
    def mounts(self) -> list[Mount]:
        """Its volumes, binds and what else is mounted for it, by target; of a volume ``source`` is the name."""
        return mountinfo.mounts(Settings.read(self._record().options))

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels and its own."""
        return dict(Settings.read(self._record().options).labels or {})

    @property
    def created(self) -> datetime:
        """When it was made (UTC)."""
        return _moment(self._record().created)

    @property
    def started(self) -> datetime | None:
        """When it was last started (UTC)."""
        moment = self._record().started
        return None if moment is None else _moment(moment)

    @property
    def finished(self) -> datetime | None:
        """When it last ended (UTC)."""
        moment = self._record().finished
        return None if moment is None else _moment(moment)

    @overload
    def inspect(self) -> dict[str, Any]: ...

    @overload
    def inspect(self, *, format: str) -> str: ...

    def inspect(self, *, format: str | None = None) -> dict[str, Any] | str:
        """Everything about it, shaped as ``docker inspect``.

        Args:
            format: a template of Go's, as docker takes: ``"{{.State.Pid}}"``; then the text that it gives.

        Raises:
            InvalidArgument: a template that cannot be carried out.
        """
        found = inspection.container(self._engine.store, self._record(), self._spec(), self._file("log"))
        return found if format is None else template.render(format, found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ContainerFacts) and (self._id, self._engine) == (other._id, other._engine)

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        record = self._truth()
        if record is None:
            return f"Container({self._last_name!r}, removed)"
        ended = f" ({record.exit_code})" if record.status == "exited" else ""
        return f"Container({record.name!r}, {record.status}{ended}, image={record.image_reference!r})"

    def _repr_html_(self) -> str:
        record = self._truth()
        if record is None:
            return html.note(f"container {self._last_name}: removed")
        rows = {
            "image": record.image_reference,
            "command": describe_command(record.command),
            "status": record.status if record.exit_code is None else f"{record.status} ({record.exit_code})",
        }
        addresses = {name: one.ip_address or one.ip6_address for name, one in self.networks.items()}
        if any(addresses.values()):
            rows["networks"] = ", ".join(f"{name} {address}" for name, address in addresses.items() if address)
        if published := connections.ports(record.published):
            rows["ports"] = ", ".join(f"{ip}:{port} → {key}" for key, hosts in published.items() for ip, port in hosts)
        return html.card(f"container {record.name}", record.status, rows)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
