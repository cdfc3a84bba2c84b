"""Containers as Python objects, over a native Linux container runtime.

>>> import containerkit as ck
>>> image = ck.Image.from_host("sh", "echo", tag="hello")
>>> ck.call("hello", "echo hello").stdout
'hello\\n'

A map of this tree, from what a user holds to the kernel; imports go downward only:

================================  ==================================================================
``notebook/`` ``testing/``        widgets and magics (public names only); pytest fixtures for users
``image`` ``container``           the nouns; ``process``, ``event``, ``files`` … are what they give
``network`` ``volume`` ``backups``
``imagefacts``                    what is to be read of an image …
``containerfacts`` ``inspection`` … and of a container; ``mountinfo``, ``netinfo``, ``top``, ``connections`` are parts
``backupdirectory`` ``moving``    many backups; volumes to backups and back
``xray/`` ``stepping/``           what a container is to the kernel; a start, one operation at a time
``chain``                         an image that is said and not built yet: a ``recipe``, by ``fluent``'s ``with_…``
``measuring/``                    what containers use: stats, recordings, comparisons, metrics
``functions/``                    Python functions that run in containers
``module`` ``engine``             the verbs: of the module, of one root directory
``collection`` ``listing``        an engine's collections as tables
``starting`` ``execution``        options become a container that runs, or one more process in it
``lifetimes`` ``watchdog``        sessions: what ends with a block, or with its process
``diagnosis`` ``damage``          what this machine lacks; what a store has lost
``remote``                        registries, as an engine asks them
``building`` ``builder/``         a Dockerfile, or a recipe, becomes an image: contexts, steps, the cache
``supervise/``                    spawner, monitor, helper; output; health; restarts; after a kill
``runtime/``                      a bundle becomes processes: plan, operations, init; ``containerkit-runtime``
``net/``                          bridges, addresses, published ports, names
``archives/``                     images as one file: docker-archives, OCI layouts
``backup/``                       a tree of files becomes a backup, and a tree again
``registry/``                     images from and to afar: the distribution protocol
``store/``                        what is on disk: blobs, images, layers, containers, volumes, leases
``layers/``                       tar to and from directories; programs of this machine
``linux/``                        the kernel, one file per facility
``configuration``                 what is set for all calls
``dockerfile/``                   the Dockerfile language: text to typed instructions, and back
``oci/``                          the specifications' values and grammars
``options/`` ``results``          typed inputs, typed outputs
``progress``                      how far long work is
``views/`` ``errors``             how values look; what can go wrong
================================  ==================================================================

Start reading at :mod:`containerkit.supervise`, which walks one ``run`` through its files, from ``module``, ``engine``
and ``starting`` on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from containerkit.backupdirectory import Backups
    from containerkit.backups import Backup, Changes
    from containerkit.buildcache import BuildCache, CachedStep
    from containerkit.builder.report import BuildReport, BuildStep
    from containerkit.chain import Chain
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
        MapFailed,
        NotFound,
        OutOfMemory,
        PermissionDenied,
        ProcessFailed,
        RegistryError,
        RuntimeFailure,
        StorageError,
        Timeout,
        Unsupported,
    )
    from containerkit.event import Event
    from containerkit.functions.function import Function
    from containerkit.image import Image
    from containerkit.layers.diff import Change
    from containerkit.layers.listing import LayerEntry
    from containerkit.lifetimes import Session
    from containerkit.linux.netview import Interface, Neighbour, Route
    from containerkit.measuring.comparison import ImageComparison, RecordingComparison, compare
    from containerkit.measuring.metrics import MetricsServer
    from containerkit.measuring.recording import Recording
    from containerkit.measuring.recordings import Recordings
    from containerkit.measuring.stats import Stats
    from containerkit.module import (
        boot,
        build,
        build_cache,
        call,
        containers,
        dashboard,
        doctor,
        events,
        function,
        images,
        info,
        login,
        logout,
        networks,
        prune,
        pull,
        record,
        run,
        run_form,
        search,
        serve_metrics,
        session,
        step,
        version,
        volumes,
    )
    from containerkit.netgraph import NetworkGraph
    from containerkit.network import Network
    from containerkit.options import Healthcheck, Mount, PortMapping
    from containerkit.process import Process
    from containerkit.progress import Progress
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
    from containerkit.stepping.stepper import Stepper
    from containerkit.stepping.values import Stepped
    from containerkit.store.usage import Usage
    from containerkit.supervise.drivers import VolumeDriver
    from containerkit.top import ProcessInfo
    from containerkit.volume import Volume
    from containerkit.xray.values import XRay

__version__ = "0.1.0"

# name → the module that has it: imported at the first use, so that `import containerkit` costs next to nothing.
_HOMES = {
    **dict.fromkeys(
        ("AlreadyExists", "BuildError", "ContainerkitError", "InvalidArgument", "InvalidState", "MapFailed",
         "NotFound", "OutOfMemory", "PermissionDenied", "ProcessFailed", "RegistryError", "RuntimeFailure",
         "StorageError", "Timeout", "Unsupported"),
        "errors",
    ),
    **dict.fromkeys(
        ("boot", "build", "build_cache", "call", "containers", "dashboard", "doctor", "events", "function", "images",
         "info", "login", "logout", "networks", "prune", "pull", "record", "run", "run_form", "search", "serve_metrics",
         "session", "step", "version", "volumes"),
        "module",
    ),
    **dict.fromkeys(("Engine", "default_engine", "set_default_engine"), "engine"),
    **dict.fromkeys(
        ("Doctor", "Finding", "LayerDetails", "LogLine", "Plan", "PruneReport", "Result", "SearchResult",
         "SearchResults"),
        "results",
    ),
    **dict.fromkeys(("ImageComparison", "RecordingComparison", "compare"), "measuring.comparison"),
    **dict.fromkeys(("Interface", "Neighbour", "Route"), "linux.netview"),
    "Backup": "backups", "Backups": "backupdirectory", "BuildCache": "buildcache", "BuildReport": "builder.report",
    "BuildStep": "builder.report", "CachedStep": "buildcache", "Chain": "chain", "Change": "layers.diff",
    "Changes": "backups",
    "Condition": "conditions", "Container": "container", "Endpoint": "connections", "Event": "event",
    "Function": "functions.function", "Healthcheck": "options", "Image": "image", "LayerEntry": "layers.listing",
    "MetricsServer": "measuring.metrics", "Mount": "options", "Network": "network", "NetworkGraph": "netgraph",
    "PortMapping": "options", "Process": "process", "ProcessInfo": "top", "Progress": "progress",
    "Recording": "measuring.recording", "Recordings": "measuring.recordings", "Session": "lifetimes",
    "Stats": "measuring.stats", "Stepped": "stepping.values", "Stepper": "stepping.stepper", "Usage": "store.usage",
    "Volume": "volume", "VolumeDriver": "supervise.drivers", "XRay": "xray.values", "until": "conditions",
}  # fmt: skip

__all__ = [
    "AlreadyExists",
    "Backup",
    "Backups",
    "BuildCache",
    "BuildError",
    "BuildReport",
    "BuildStep",
    "CachedStep",
    "Chain",
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
    "Function",
    "Healthcheck",
    "Image",
    "ImageComparison",
    "Interface",
    "InvalidArgument",
    "InvalidState",
    "LayerDetails",
    "LayerEntry",
    "LogLine",
    "MapFailed",
    "MetricsServer",
    "Mount",
    "Neighbour",
    "Network",
    "NetworkGraph",
    "NotFound",
    "OutOfMemory",
    "PermissionDenied",
    "Plan",
    "PortMapping",
    "Process",
    "ProcessFailed",
    "ProcessInfo",
    "Progress",
    "PruneReport",
    "Recording",
    "RecordingComparison",
    "Recordings",
    "RegistryError",
    "Result",
    "Route",
    "RuntimeFailure",
    "SearchResult",
    "SearchResults",
    "Session",
    "Stats",
    "Stepped",
    "Stepper",
    "StorageError",
    "Timeout",
    "Unsupported",
    "Usage",
    "Volume",
    "VolumeDriver",
    "XRay",
    "boot",
    "build",
    "build_cache",
    "call",
    "compare",
    "containers",
    "dashboard",
    "default_engine",
    "doctor",
    "events",
    "function",
    "images",
    "info",
    "login",
    "logout",
    "networks",
    "prune",
    "pull",
    "record",
    "run",
    "run_form",
    "search",
    "serve_metrics",
    "session",
    "set_default_engine",
    "step",
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
    if name not in ("build_cache", "containers", "images", "networks", "volumes"):
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext containerkit``: the cell magics of :mod:`containerkit.notebook.magics`."""
    from containerkit.notebook.magics import load

    load(shell)
