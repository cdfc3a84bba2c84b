"""What a container uses now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any

from containerkit.errors import InvalidState, NotFound
from containerkit.linux.cgroups import Cgroup, CgroupStats
from containerkit.linux.cgroups.pressure import Pressure
from containerkit.views import html, text

_SHOWN = ("cpu_usage_seconds", "memory_bytes", "memory_limit_bytes", "pids", "io_read_bytes", "io_write_bytes",
          "net_rx_bytes", "net_tx_bytes", "throttled_seconds", "oom_kills")  # fmt: skip
_EPOCH = datetime.fromtimestamp(0, timezone.utc)


@dataclass(frozen=True)
class Stats(CgroupStats):
    """Counters since the start, and levels of now.

    Args:
        time: when it was read (UTC).
        net_rx_bytes, net_tx_bytes: over all links of the container but loopback.
        pressure: resource → how long processes waited for it (PSI), where the kernel tells: cgroup v2.
    """

    time: datetime = _EPOCH
    net_rx_bytes: int = 0
    net_tx_bytes: int = 0
    pressure: Mapping[str, Pressure] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in _SHOWN)
        return f"Stats({shown})"

    def _repr_html_(self) -> str:
        return html.card("stats", "", {name: _show(name, getattr(self, name)) for name in _SHOWN})


def _show(name: str, value: Any) -> str:
    if value is None:
        return "no limit"
    return text.size(value) if name.endswith("_bytes") else f"{value:.6g}"


def read_stats(cgroup: str, pid: int | None) -> Stats:
    """Read everything the kernel counts about the container with that cgroup and init.

    Raises:
        InvalidState: it has ended meanwhile.
    """
    try:
        counted = Cgroup(cgroup).stats()
        waited = Cgroup(cgroup).pressure()
        received, sent = network_bytes(pid)
    except (NotFound, OSError) as error:
        raise InvalidState("container: cannot measure: it has ended") from error
    values = {one.name: getattr(counted, one.name) for one in fields(CgroupStats)}
    return Stats(
        **values,
        time=datetime.fromtimestamp(time.time(), timezone.utc),
        net_rx_bytes=received,
        net_tx_bytes=sent,
        pressure=waited,
    )


def network_bytes(pid: int | None) -> tuple[int, int]:
    """Bytes received and sent over all links but loopback, in the network namespace of ``pid`` (proc_pid_net(5))."""
    with open(f"/proc/{pid}/net/dev") as file:
        lines = file.read().splitlines()[2:]
    received = sent = 0
    for line in lines:
        name, _, counters = line.partition(":")
        if name.strip() != "lo":
            numbers = counters.split()
            received, sent = received + int(numbers[0]), sent + int(numbers[8])
    return received, sent
