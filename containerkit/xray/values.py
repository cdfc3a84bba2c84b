"""What an x-ray shows: a value per namespace, cgroup, mount, layer, link …"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from containerkit.errors import InvalidArgument, InvalidState
from containerkit.reading.top import ProcessInfo
from containerkit.values import frozen
from containerkit.views import frames, text
from containerkit.views import xray as drawing
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    import pandas


@frozen
class NamespaceView:
    """A namespace that it is in.

    Args:
        type: ``mount``, ``pid``, ``network`` …
        inode: the kernel's name for it: the same inode is the same namespace.
        whose: ``own``; ``host``: that of this process; ``shared``: of other containers, too.
        shared_with: the running containers of this engine that are in it, too.
    """

    type: str
    inode: int
    whose: str
    shared_with: tuple[str, ...] = ()

    def __str__(self) -> str:
        return {"own": "own", "host": "host's"}.get(self.whose, f"shared with {', '.join(self.shared_with)}")


@frozen
class CgroupView:
    """Its place in one controller's tree.

    Args:
        controller: ``memory``, ``cpu`` …
        version: of cgroups, 1 or 2.
        path: the directory.
        limits: file → what it says now, of those that were written for this container; rules about devices are counted.
        use: what the kernel counts, as in :class:`~containerkit.Stats`.
    """

    controller: str
    version: int
    path: str
    limits: Mapping[str, str]
    use: Mapping[str, int | float]


@frozen
class MountView:
    """A mount, as the container's processes see it.

    Args:
        target: where.
        type: of the file system.
        source: what was mounted, in the kernel's words.
        what: the same in a person's words.
        read_only: nothing can be written through it.
        options: the kernel's words for it.
    """

    target: str
    type: str
    source: str
    what: str
    read_only: bool
    options: tuple[str, ...]


@frozen
class LayerView:
    """A directory that its root file system is stacked of.

    Args:
        number: 1 is the lowest.
        diff_id: of the image's layer; empty for the container's own.
        path: on this machine.
        size: bytes of its files; None: not known.
        writable: the container's own: what it changes comes here.
        created_by: the step of the image that made it.
    """

    number: int
    diff_id: str
    path: str
    size: int | None
    writable: bool = False
    created_by: str = ""


@frozen
class CapabilityView:
    """The rights of its first process, in the kernel's order.

    Args:
        effective: those that count now.
        bounding: those that it, and whatever it executes, can ever have.
        dropped: those that the kernel knows and ``bounding`` has not.
    """

    effective: tuple[str, ...] = ()
    bounding: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@frozen
class SeccompView:
    """Its filter of system calls, counted over those that this machine has.

    Args:
        mode: ``filter``, ``none``, ``strict``; None: it does not run.
        allowed: so many calls go through.
        conditional: so many depend on their arguments.
        denied: so many do not.
    """

    mode: str | None
    allowed: int = 0
    conditional: int = 0
    denied: int = 0


@frozen
class LinkView:
    """A link of its network, and the other end of its cable.

    Args:
        name, index: inside; the index is None where only inside knows it.
        kind: ``veth``, ``loopback`` …
        addresses: with the bits of their subnet.
        mac: its hardware address.
        peer, peer_index: the other end, on this machine.
        bridge: the bridge that the other end is a port of.
        network: by its name.
    """

    name: str
    index: int | None
    kind: str
    addresses: tuple[str, ...]
    mac: str
    peer: str | None = None
    peer_index: int | None = None
    bridge: str | None = None
    network: str | None = None


@frozen
class IdRange:
    """Users (``kind`` is ``uid``) or groups (``gid``): ``size`` of them from ``inside`` on are ``outside`` … here."""

    kind: str
    inside: int
    outside: int
    size: int


_COLUMNS = {
    "namespaces": ("type", "inode", "whose", "shared_with"),
    "cgroups": ("controller", "version", "path", "limits", "use"),
    "mounts": ("target", "type", "source", "what", "read_only", "options"),
    "layers": ("number", "diff_id", "path", "size", "writable", "created_by"),
    "capabilities": ("capability", "effective", "bounding"),
    "seccomp": ("mode", "allowed", "conditional", "denied"),
    "network": ("name", "index", "kind", "addresses", "mac", "peer", "peer_index", "bridge", "network"),
    "ids": ("kind", "inside", "outside", "size"),
    "processes": ("pid", "container_pid", "ppid", "user", "state", "cpu_seconds", "memory_bytes", "command"),
}


@frozen
class XRay(Shown):
    """A container as the kernel sees it, at one moment.

    Args:
        name, status, image: of the container.
        namespaces: of its first process.
        cgroups: a controller each.
        mounts: in the order in which they were made.
        layers: the lowest first.
        capabilities, seccomp: of its first process; of one that has ended, what it would have.
        network: its links, loopback first.
        ids: how its users and groups are called here.
        processes: by pid.
        missing: part → why it is not there: the container has ended, or this user may not look.
    """

    name: str
    status: str
    image: str
    namespaces: tuple[NamespaceView, ...] = ()
    cgroups: tuple[CgroupView, ...] = ()
    mounts: tuple[MountView, ...] = ()
    layers: tuple[LayerView, ...] = ()
    capabilities: CapabilityView = CapabilityView()
    seccomp: SeccompView = SeccompView(None)
    network: tuple[LinkView, ...] = ()
    ids: tuple[IdRange, ...] = ()
    processes: tuple[ProcessInfo, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    def rows(self, part: str) -> list[dict[str, Any]]:
        """The rows of a part, by the names of its values.

        Raises:
            InvalidArgument: there is no such part.
            InvalidState: nothing of it is there to show.
        """
        if part not in _COLUMNS:
            raise InvalidArgument(f"part {part!r}: expected one of {', '.join(_COLUMNS)}")
        if part in self.missing:
            raise InvalidState(f"container {self.name}: {part}: {self.missing[part]}")
        return list(self._rows(part))

    def _rows(self, part: str) -> Iterator[dict[str, Any]]:
        if part == "capabilities":
            for name in (*self.capabilities.bounding, *self.capabilities.dropped):
                held = (name in self.capabilities.effective, name in self.capabilities.bounding)
                yield dict(zip(_COLUMNS[part], (name, *held), strict=True))
            return
        found = getattr(self, part)
        for one in found if isinstance(found, tuple) else (found,):
            yield {column: getattr(one, column) for column in _COLUMNS[part]}

    def frame(self, part: str = "namespaces") -> pandas.DataFrame:
        """A part as a pandas frame; as :meth:`rows`."""
        return frames.frame(self.rows(part), _COLUMNS[part])

    def __repr__(self) -> str:
        own = [one.type for one in self.namespaces if one.whose == "own"]
        counts = [
            f"{len(self.namespaces)} namespaces ({len(own)} own)", f"{len(self.mounts)} mounts",
            f"{len(self.layers)} layers", f"{len(self.capabilities.bounding)} capabilities",
        ]  # fmt: skip
        gone = f"; without {', '.join(self.missing)}" if self.missing else ""
        return f"XRay({self.name!r}, {self.status}: {', '.join(counts)}{gone})"

    def _repr_html_(self) -> str:
        return drawing.picture(
            drawing.Head(self.name, self.status, self.image),
            {part: [*self._drawn(part)] for part in _COLUMNS if part not in self.missing},
            self.missing,
        )

    def _drawn(self, part: str) -> Iterator[dict[str, Any]]:
        """Rows with amounts in words."""
        for row in self._rows(part):
            if part == "cgroups":
                row["part"] = _part(row["controller"], row["use"], row["limits"])
                row["amounts"] = {name: _amount(name, value) for name, value in row["use"].items()}
                row["limits"] = {name: _limit(name, value) for name, value in row["limits"].items()}
            yield row


def _part(controller: str, use: Mapping[str, float], limits: Mapping[str, str]) -> float | None:
    """How much of a limit is used, 0 to 1."""
    bounds = [int(value) for value in limits.values() if value.isdigit()]
    if controller not in ("memory", "pids") or not bounds or not bounds[0]:
        return None
    return min(next(iter(use.values())) / bounds[0], 1.0)


def _amount(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return text.size(value)
    return f"{value:.2f} s" if name.endswith("_seconds") else f"{value:g}"


def _limit(name: str, value: str) -> str:
    is_size = value.isdigit() and name.startswith("memory") and not name.endswith(("oom_control", "swappiness"))
    return text.size(int(value)) if is_size else value
