"""Containers as Python objects, over a native Linux container runtime.

>>> import containerkit as ck
>>> image = ck.Image.from_host("sh", "echo", tag="hello")
>>> ck.call("hello", "echo hello").stdout
'hello\\n'

A map of this tree, from what a user holds to the kernel; imports go downward (a noun's own widget is imported when it
is opened):

================================  ==================================================================
``notebook/`` ``testing/``        widgets and magics; pytest fixtures for users
``verbs`` ``engine``              the verbs: of the module, of one root directory
``image`` ``container``           the nouns; what is to be read of an image, and of a container, is in
``network`` ``volume``            ``imagefacts`` and ``containerfacts``
``collection``                    an engine's containers, images … as collections and tables
``recipes/``                      an image that is described with ``with_…`` and not built yet
``volumebackups/``                a backup, a directory of them, and the way there and back
``sessions/``                     what ends with a block, or with its process
``functions/``                    Python functions that run in containers
``measuring/``                    what containers use: stats, recordings, comparisons, metrics
``xray/`` ``stepping/``           what a container is to the kernel; a start, one operation at a time
``running/``                      a container made and started; more processes in it, its files, conditions
``reading/``                      what is to be known of containers: logs, events, processes, ``inspect()``
``diagnosis/``                    what this machine lacks; what a store has lost
``builder/``                      a Dockerfile, or a recipe, becomes an image: contexts, steps, the cache
``supervise/``                    spawner, monitor, helper; networks, volumes, output; out of memory; after a kill
``runtime/``                      a bundle becomes processes: plan, operations, init; ``containerkit-runtime``
``net/``                          bridges, addresses, published ports, names; who does what: ``supervise/networks/``
``archives/``                     images as one file: docker-archives, OCI layouts
``backup/``                       a tree of files becomes a backup, and a tree again
``registry/``                     images from and to afar: the distribution protocol
``store/``                        what is on disk: blobs, images, layers, containers, volumes, leases
``layers/``                       tar unpacked and packed; programs of this machine
``linux/``                        the kernel, one file per facility
``configuration``                 what is set for all calls
``dockerfile/``                   the Dockerfile language: text to typed instructions, and back
``oci/``                          the specifications' values and grammars: configs, references, ``config.json``
``options/`` ``results``          typed inputs, and what others call them; typed outputs
``progress``                      how far long work is
``views/`` ``errors``             how values look; what can go wrong
``values``                        frozen dataclasses that cost little to define
================================  ==================================================================

Start reading at :mod:`containerkit.supervise`, which walks one ``run`` through its files, from ``verbs``, ``engine``
and ``running/starting`` on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from containerkit.builder.buildcache import BuildCache, CachedStep
    from containerkit.builder.report import BuildReport, BuildStep
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
    from containerkit.functions.function import Function
    from containerkit.image import Image
    from containerkit.layers.diff import Change
    from containerkit.layers.listing import LayerEntry
    from containerkit.linux.netview import Interface, Neighbour, Route
    from containerkit.measuring.comparison import ImageComparison, RecordingComparison, compare
    from containerkit.measuring.metrics import MetricsServer
    from containerkit.measuring.recording import Recording
    from containerkit.measuring.recordings import Recordings
    from containerkit.measuring.stats import Stats
    from containerkit.network import Network
    from containerkit.options import Healthcheck, Mount, PortMapping
    from containerkit.progress import Progress
    from containerkit.reading.connections import Endpoint
    from containerkit.reading.event import Event
    from containerkit.reading.netgraph import NetworkGraph
    from containerkit.reading.top import ProcessInfo
    from containerkit.recipes.chain import Chain
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
    from containerkit.running.conditions import Condition, until
    from containerkit.running.process import Process
    from containerkit.sessions.session import Session
    from containerkit.stepping.stepper import Stepper
    from containerkit.stepping.values import Stepped
    from containerkit.store.usage import Usage
    from containerkit.supervise.volumes.drivers import VolumeDriver
    from containerkit.verbs import (
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
    from containerkit.volume import Volume
    from containerkit.volumebackups.backup import Backup, Changes
    from containerkit.volumebackups.collection import Backups
    from containerkit.xray.values import XRay

__version__ = "0.1.0"

# Where public names are: imported at the first use, so that `import containerkit` costs next to nothing.
_MODULES = {
    "container": "Container",
    "engine": "Engine default_engine set_default_engine",
    "errors":
        "AlreadyExists BuildError ContainerkitError InvalidArgument InvalidState MapFailed NotFound OutOfMemory "
        "PermissionDenied ProcessFailed RegistryError RuntimeFailure StorageError Timeout Unsupported",
    "image": "Image",
    "network": "Network",
    "options": "Healthcheck Mount PortMapping",
    "progress": "Progress",
    "results": "Doctor Finding LayerDetails LogLine Plan PruneReport Result SearchResult SearchResults",
    "verbs":
        "boot build build_cache call containers dashboard doctor events function images info login logout networks "
        "prune pull record run run_form search serve_metrics session step version volumes",
    "volume": "Volume",
    "builder.buildcache": "BuildCache CachedStep",
    "builder.report": "BuildReport BuildStep",
    "functions.function": "Function",
    "layers.diff": "Change",
    "layers.listing": "LayerEntry",
    "linux.netview": "Interface Neighbour Route",
    "measuring.comparison": "ImageComparison RecordingComparison compare",
    "measuring.metrics": "MetricsServer",
    "measuring.recording": "Recording",
    "measuring.recordings": "Recordings",
    "measuring.stats": "Stats",
    "reading.connections": "Endpoint",
    "reading.event": "Event",
    "reading.netgraph": "NetworkGraph",
    "reading.top": "ProcessInfo",
    "recipes.chain": "Chain",
    "running.conditions": "Condition until",
    "running.process": "Process",
    "sessions.session": "Session",
    "stepping.stepper": "Stepper",
    "stepping.values": "Stepped",
    "store.usage": "Usage",
    "supervise.volumes.drivers": "VolumeDriver",
    "volumebackups.backup": "Backup Changes",
    "volumebackups.collection": "Backups",
    "xray.values": "XRay",
}  # fmt: skip
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

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
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise import_module("containerkit.options.foreign").no_such_name(name)

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
