"""What a container uses now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import field, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from containerkit.errors import InvalidState, NotFound
from containerkit.linux.cgroups import Cgroup, CgroupStats
from containerkit.linux.cgroups.pressure import Pressure
from containerkit.options import Settings
from containerkit.supervise import configjson
from containerkit.values import frozen
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.store.containers import ContainerRecord
    from containerkit.store.store import Store

#: The most important ones: those that are shown.
SHOWN = ("cpu_usage_seconds", "memory_bytes", "memory_limit_bytes", "pids", "io_read_bytes", "io_write_bytes",
         "net_rx_bytes", "net_tx_bytes", "throttled_seconds", "oom_kills")  # fmt: skip
_EPOCH = datetime.fromtimestamp(0, timezone.utc)


@frozen
class Stats(CgroupStats):
    """Counters since the start, and levels of now.

    Args:
        time: when it was read (UTC).
        net_rx_bytes, net_tx_bytes: over all links of the container but loopback; 0 where these are the host's.
        pressure: resource → how long processes waited for it (PSI), where the kernel tells: cgroup v2.
    """

    time: datetime = _EPOCH
    net_rx_bytes: int = 0
    net_tx_bytes: int = 0
    pressure: Mapping[str, Pressure] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in SHOWN)
        return f"Stats({shown})"

    def _repr_html_(self) -> str:
        return html.card("stats", "", {name: _show(name, getattr(self, name)) for name in SHOWN})


def _show(name: str, value: Any) -> str:
    if value is None:
        return "no limit"
    return text.size(value) if name.endswith("_bytes") else f"{value:.6g}"


def read_stats(store: Store, record: ContainerRecord) -> tuple[Stats, dict[str, list[int]]]:
    """Everything the kernel counts about the run of ``record``, and of each of its links, as :func:`network_counters`.

    Raises:
        InvalidState: it has ended meanwhile.
    """
    cgroup = Cgroup(configjson.cgroup(store, record.id))
    try:
        counted, waited = cgroup.stats(), cgroup.pressure()
        links = network_counters(record.pid) if has_links(record) else {}
    except (NotFound, OSError) as error:
        raise InvalidState(f"container {record.name}: cannot measure: it has ended") from error
    received, sent = (sum(numbers[place] for numbers in links.values()) for place in (0, 8))
    stats = Stats(
        **{one.name: getattr(counted, one.name) for one in fields(CgroupStats)},
        time=datetime.fromtimestamp(time.time(), timezone.utc),
        net_rx_bytes=received,
        net_tx_bytes=sent,
        pressure=waited,
    )
    return stats, links


def has_links(record: ContainerRecord) -> bool:
    """Whether its links are its own: those of the host count what everybody sends, and are left out."""
    return Settings.read(record.options).network != "host"


def network_bytes(pid: int | None) -> tuple[int, int]:
    """Bytes received and sent over all links but loopback, in the network namespace of ``pid`` (proc_pid_net(5))."""
    received = sent = 0
    for name, counters in _links(pid):
        if name != b"lo":
            numbers = counters.split(None, 9)
            received += int(numbers[0])
            sent += int(numbers[8])
    return received, sent


def network_counters(pid: int | None) -> dict[str, list[int]]:
    """Link, all but loopback → what is counted of it, in the order of proc_pid_net(5)."""
    return {os.fsdecode(name): [*map(int, counters.split())] for name, counters in _links(pid) if name != b"lo"}


def _links(pid: int | None) -> Iterator[tuple[bytes, bytes]]:
    # Opened each time: as long as it is open, the namespace stays, with its cables.
    descriptor = os.open(f"/proc/{pid}/net/dev", os.O_RDONLY | os.O_CLOEXEC)
    text = b""
    try:
        while part := os.read(descriptor, 8192):  # some lines at a time
            text += part
    finally:
        os.close(descriptor)
    # A name may have any bytes but a line's end: of white space, only the blanks before it are not its own.
    for line in text.split(b"\n")[2:-1]:
        name, _, counters = line.lstrip(b" ").partition(b":")
        yield name, counters
