"""Containers as Python objects, over a native Linux container runtime.

>>> import containerkit as ck
>>> image = ck.Image.from_host("sh", "echo", tag="hello")
>>> ck.call("hello", "echo hello").stdout
'hello\\n'

A map of this tree, from what a user holds to the kernel; imports go downward only:

================================  ==================================================================
``notebook/``                     widgets (public names only)
``image`` ``container``           the nouns; ``process``, ``event``, ``files``, ``stats`` … are what they give
``network`` ``volume`` ``backups``
``engine`` ``collection``         one root directory: the default engine; its collections as tables
``supervise/``                    spawner, monitor, helper; output; health; restarts; after a kill
``runtime/``                      a bundle becomes processes: plan, operations, init; ``containerkit-runtime``
``net/``                          bridges, addresses, published ports, names
``archives/``                     images as one file: docker-archives, OCI layouts
``backup/``                       a tree of files becomes a backup, and a tree again
``registry/``                     images from and to afar: the distribution protocol
``store/``                        what is on disk: blobs, images, layers, containers, volumes, leases
``layers/``                       tar to and from directories; programs of this machine
``linux/``                        the kernel, one file per facility
``oci/``                          the specifications' values and grammars
``configuration``                 what is set for all calls
``options/`` ``results``          typed inputs, typed outputs
``progress``                      how far long work is
``views/`` ``errors``             how values look; what can go wrong
================================  ==================================================================

Start reading at :mod:`containerkit.supervise`, which walks one ``run`` through its files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from containerkit.backupdirectory import Backups
    from containerkit.backups import Backup, Changes
    from containerkit.conditions import Condition, until
    from containerkit.connections import Endpoint
    from containerkit.container import Container
    from containerkit.engine import Engine, default_engine, set_default_engine
    from containerkit.errors import (
        AlreadyExists,
        BuildError,
        ContainerkitError,
        InvalidArgument,
        InvalidState,
        NotFound,
        PermissionDenied,
        ProcessFailed,
        RegistryError,
        RuntimeFailure,
        StorageError,
        Timeout,
        Unsupported,
    )
    from containerkit.event import Event
    from containerkit.image import Image
    from containerkit.layers.diff import Change
    from containerkit.layers.listing import LayerEntry
    from containerkit.linux.netview import Interface, Neighbour, Route
    from containerkit.module import (
        boot,
        call,
        containers,
        doctor,
        events,
        images,
        info,
        login,
        logout,
        networks,
        prune,
        pull,
        run,
        search,
        version,
        volumes,
    )
    from containerkit.netgraph import NetworkGraph
    from containerkit.network import Network
    from containerkit.options import Healthcheck, Mount, PortMapping
    from containerkit.process import Process
    from containerkit.progress import Progress
    from containerkit.recording import Recording
    from containerkit.results import (
        Doctor,
        Finding,
        LayerDetails,
        LogLine,
        Plan,
        PruneReport,
        Result,
        SearchResult,
        SearchResults,
    )
    from containerkit.stats import Stats
    from containerkit.store.usage import Usage
    from containerkit.supervise.drivers import VolumeDriver
    from containerkit.top import ProcessInfo
    from containerkit.volume import Volume

__version__ = "0.1.0"

# name → the module that has it: imported at the first use, so that `import containerkit` costs next to nothing.
_HOMES = {
    **dict.fromkeys(
        ("AlreadyExists", "BuildError", "ContainerkitError", "InvalidArgument", "InvalidState", "NotFound",
         "PermissionDenied", "ProcessFailed", "RegistryError", "RuntimeFailure", "StorageError", "Timeout",
         "Unsupported"),
        "errors",
    ),
    **dict.fromkeys(
        ("boot", "call", "containers", "doctor", "events", "images", "info", "login", "logout", "networks", "prune",
         "pull", "run", "search", "version", "volumes"),
        "module",
    ),
    **dict.fromkeys(("Engine", "default_engine", "set_default_engine"), "engine"),
    **dict.fromkeys(
        ("Doctor", "Finding", "LayerDetails", "LogLine", "Plan", "PruneReport", "Result", "SearchResult",
         "SearchResults"),
        "results",
    ),
    **dict.fromkeys(("Interface", "Neighbour", "Route"), "linux.netview"),
    "Backup": "backups", "Backups": "backupdirectory", "Change": "layers.diff", "Changes": "backups",
    "Condition": "conditions", "Container": "container", "Endpoint": "connections", "Event": "event",
    "Healthcheck": "options", "Image": "image", "LayerEntry": "layers.listing", "Mount": "options",
    "Network": "network", "NetworkGraph": "netgraph", "PortMapping": "options", "Process": "process",
    "ProcessInfo": "top", "Progress": "progress", "Recording": "recording", "Stats": "stats", "Usage": "store.usage",
    "Volume": "volume", "VolumeDriver": "supervise.drivers", "until": "conditions",
}  # fmt: skip

__all__ = [
    "AlreadyExists",
    "Backup",
    "Backups",
    "BuildError",
    "Change",
    "Changes",
    "Condition",
    "Container",
    "ContainerkitError",
    "Doctor",
    "Endpoint",
    "Engine",
    "Event",
    "Finding",
    "Healthcheck",
    "Image",
    "Interface",
    "InvalidArgument",
    "InvalidState",
    "LayerDetails",
    "LayerEntry",
    "LogLine",
    "Mount",
    "Neighbour",
    "Network",
    "NetworkGraph",
    "NotFound",
    "PermissionDenied",
    "Plan",
    "PortMapping",
    "Process",
    "ProcessFailed",
    "ProcessInfo",
    "Progress",
    "PruneReport",
    "Recording",
    "RegistryError",
    "Result",
    "Route",
    "RuntimeFailure",
    "SearchResult",
    "SearchResults",
    "Stats",
    "StorageError",
    "Timeout",
    "Unsupported",
    "Usage",
    "Volume",
    "VolumeDriver",
    "boot",
    "call",
    "containers",
    "default_engine",
    "doctor",
    "events",
    "images",
    "info",
    "login",
    "logout",
    "networks",
    "prune",
    "pull",
    "run",
    "search",
    "set_default_engine",
    "until",
    "version",
    "volumes",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'containerkit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"containerkit.{home}"), name)
    # Collections depend on the default engine, which can change: they are asked for each time.
    if name not in ("containers", "images", "networks", "volumes"):
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
