"""One root directory: its store, its collections (collection.py), and the verbs of the module on it.

The engine and the four nouns know each other: nouns ask for the default engine, an engine's verbs return nouns. They
are one layer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from containerkit import options as opts
from containerkit.collection import ContainerCollection, ImageCollection, NetworkCollection, VolumeCollection
from containerkit.configuration import Configuration
from containerkit.errors import (
    InvalidArgument,
    InvalidState,
    NotFound,
    PermissionDenied,
    from_os_error,
)
from containerkit.oci import platforms
from containerkit.options import BUILD_DEFAULTS, BuildOptions, Command, RunOptions, foreign, shows_options
from containerkit.results import Doctor, PruneReport, Result, SearchResults
from containerkit.store.paths import Paths
from containerkit.views import html
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    from containerkit.builder.buildcache import BuildCache
    from containerkit.builder.context import Source
    from containerkit.container import Container
    from containerkit.functions.function import Function
    from containerkit.image import Image
    from containerkit.measuring.metrics import MetricsServer
    from containerkit.measuring.recordings import Recordings
    from containerkit.progress import Choice
    from containerkit.reading.event import Event, Filters
    from containerkit.sessions.session import Session
    from containerkit.stepping.stepper import Stepper
    from containerkit.store.store import Store

P = ParamSpec("P")
R = TypeVar("R")


class Engine(Shown):
    """An isolated store and runtime.

    >>> engine = ck.Engine("elsewhere")
    >>> len(engine.images), len(ck.images)
    (0, 1)
    >>> engine.close()

    Args:
        root: where images and containers are kept; default: the default engine's place.
        run: where runtime state is kept; default: that engine's, or below ``root`` when that is given.
        configuration: instead of the configuration files and variables: a mapping with their members (see
            :mod:`containerkit.configuration`).

    Raises:
        InvalidArgument: something in the configuration cannot be right.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        run: str | Path | None = None,
        *,
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        self.configuration = Configuration.load() if configuration is None else Configuration().updated(configuration)
        default = Paths.default(self.configuration)
        chosen = Path(root).absolute() if root is not None else default.root
        below = chosen / "run" if root is not None else default.run
        self.paths = Paths(chosen, Path(run).absolute() if run is not None else below)
        self._store: Store | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Engine({str(self.paths.root)!r})"

    def _repr_html_(self) -> str:
        nouns = {name: str(len(getattr(self, name))) for name in ("images", "containers", "volumes")}
        return html.card("engine", "", {"root": str(self.paths.root), **nouns})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Engine) and self.paths == other.paths

    def __hash__(self) -> int:
        return hash(self.paths)

    @property
    def store(self) -> Store:
        """The store, opened at its first use; what killed processes left is cleaned up then.

        Raises:
            PermissionDenied: the root is another user's.
            StorageError: the root cannot be written.
        """
        if self._store is None:
            with self._lock:
                if self._store is None:
                    self._store = self._open()
        return self._store

    def _open(self) -> Store:
        from containerkit.store import reserve, rights
        from containerkit.store.store import Store
        from containerkit.supervise import abandoned, recover, worker

        rights.delegate, rights.is_needed = worker.call, os.geteuid() != 0
        try:
            self.paths.create()
            store = Store(self.paths)
            recover.sweep(store)
            abandoned.sweep(store)
            reserve.keep(self.paths.root)
        except OSError as error:
            found = from_os_error(error, f"engine {self.paths.root}")
            if isinstance(found, PermissionDenied):
                found.args = (f"{found}: choose a CONTAINERKIT_ROOT that is user {os.geteuid()}'s, or be root",)
                found.message = found.args[0]
            raise found from error
        return store

    def close(self) -> None:
        """Close files. Containers go on; the next use opens the store again."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    @property
    def images(self) -> ImageCollection:
        """The local images."""
        return ImageCollection(self)

    @property
    def containers(self) -> ContainerCollection:
        """The containers, ended ones too."""
        return ContainerCollection(self)

    @property
    def networks(self) -> NetworkCollection:
        """The networks, the built-in ones too."""
        return NetworkCollection(self)

    @property
    def build_cache(self) -> BuildCache:
        """What builds keep from one time to the next."""
        from containerkit.builder.buildcache import BuildCache

        return BuildCache(self)

    @property
    def volumes(self) -> VolumeCollection:
        """The volumes."""
        return VolumeCollection(self)

    @shows_options(RunOptions)
    def run(self, image: str | Image, command: Command = None, **options: Unpack[RunOptions]) -> Container:
        """Start a container and return at once.

        Args:
            image: a reference, an id or an Image.
            command: a list, or a string split as a shell splits words; default: the image's own.

        Raises:
            NotFound: the image is not there.
            AlreadyExists: the name is in use, and not ``replace=True``.
            InvalidArgument: an option that cannot be right.
            RuntimeFailure: it could not be started; nothing of it is left.
        """
        _call_spawner()
        from containerkit.running import starting

        chosen = starting.settle(self, command, options)
        record = starting.run(self, self._image(image, options), chosen, options)
        from containerkit.container import Container

        return Container(self, record.id, record.name)

    @shows_options(RunOptions)
    def step(self, image: str | Image, command: Command = None, **options: Unpack[RunOptions]) -> Stepper:
        """A start as :meth:`run` makes it, one operation at a time; see :class:`~containerkit.Stepper`."""
        _call_spawner()
        from containerkit.running import starting

        chosen = starting.settle(self, command, options)
        found = self._image(image, options)
        from containerkit.stepping.stepper import Stepper

        return Stepper(self, found, chosen, options)

    @shows_options(RunOptions)
    def create(self, image: str | Image, command: Command = None, **options: Unpack[RunOptions]) -> Container:
        """Make a container without starting it; otherwise as :meth:`run`.

        Args:
            image: a reference, an id or an Image.
            command: a list, or a string split as a shell splits words; default: the image's own.
        """
        _call_spawner()
        from containerkit.running import starting

        chosen = starting.settle(self, command, options)
        record = starting.create(self, self._image(image, options), chosen, options)
        from containerkit.container import Container

        return Container(self, record.id, record.name)

    @shows_options(RunOptions)
    def call(
        self,
        image: str | Image,
        command: Command = None,
        *,
        input: bytes | str | None = None,
        timeout: opts.Duration | None = None,
        check: bool = False,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Run a command to its end in a container of its own, and remove that.

        Args:
            image: a reference, an id or an Image.
            command: a list, or a string split as a shell splits words.
            input: what it reads from standard input.
            timeout: seconds, or ``"1m30s"``; then it is killed, with everything it started.
            check: raise when the exit code is not 0.

        Raises:
            Timeout: time was up; ``result`` has the output so far.
            ProcessFailed: with ``check``; ``result`` has everything.
        """
        _call_spawner()
        from containerkit.running import starting

        chosen = starting.settle(self, command, {**options, **starting.OF_A_CALL})
        seconds = None if timeout is None else opts.duration(timeout, "timeout")
        found = self._image(image, options)
        return starting.call(self, found, chosen, options, input=input, seconds=seconds, check=check)

    @overload
    def function(self, function: Callable[P, R], /) -> Function[P, R]: ...

    @overload
    def function(
        self, function: None = None, /, *, image: str | Image = "host", timeout: opts.Duration | None = None,
        **options: Unpack[RunOptions],
    ) -> Callable[[Callable[P, R]], Function[P, R]]: ...  # fmt: skip

    @shows_options(RunOptions)
    def function(
        self, function: Callable[..., Any] | None = None, /, *, image: str | Image = "host",
        timeout: opts.Duration | None = None, **options: Unpack[RunOptions],
    ) -> Any:  # fmt: skip
        """Make a function run in a container each time it is called: ``@ck.function(memory="64m")``.

        What it gives is unpickled here, with your rights: take only functions and images that may run code here.

        Args:
            function: what follows the ``@``.
            image: a reference, an id or an Image, which has ``python3`` of this minor version; or ``"host"``: this
                machine's own files, with its interpreter and modules. There the function reads what you can read, but
                ``/run``; what it writes is kept in memory, counts there, and is gone at the end.
            timeout: seconds for each call, or ``"1m30s"``; then it is ended, with all that it has started.
            options: as for ``run``, for the container of each call; ``network`` is ``"none"`` when not said.

        Returns:
            A :class:`~containerkit.functions.function.Function`; its ``map`` takes many inputs, its ``local`` runs it
            here.

        Raises:
            InvalidArgument: an option that cannot be right; a generator or a coroutine.
        """
        from containerkit.functions.function import decorated

        return decorated(function, image, timeout, options, self)

    def _image(self, image: str | Image, options: Mapping[str, Any]) -> Image:
        from containerkit.image import Image

        if isinstance(image, Image):
            wanted = options.get("platform")
            if wanted and not platforms.matches(platforms.parse(image.platform), platforms.parse(wanted)):
                raise NotFound(f"image {image._reference}: is for {image.platform}, not for {wanted}")
            return image
        if not isinstance(image, str):
            raise InvalidArgument(f"image {image!r}: expected a reference, an id or an Image")
        if len(image.split()) > 1:
            raise InvalidArgument(
                f'image {image[:300]!r}: a name has no spaces: write run("busybox", "ls /", tty=True): image, command, '
                "and options as keywords"
            )
        return Image._obtain(self, image, str(options.get("pull") or "missing"), options.get("platform"))

    @shows_options(BuildOptions, BUILD_DEFAULTS)
    def build(
        self, context: Source = ".", *, dockerfile: str | os.PathLike[str] | None = None,
        contexts: Mapping[str, Source | Image] | None = None, **options: Unpack[BuildOptions],
    ) -> Image:  # fmt: skip
        """An image from a Dockerfile and the files beside it; see :meth:`Image.build`.

        Args:
            context: what COPY and ADD see: a directory, an archive, a mapping of names to contents, or None.
            dockerfile: its path, here or in the context; default: the context's ``Dockerfile``.
            contexts: more contexts, or images, by name.
        """
        from containerkit.image import Image

        return Image.build(context, dockerfile=dockerfile, contexts=contexts, engine=self, **options)

    @foreign.knows_keywords
    def pull(
        self, reference: str, *, policy: str = "always", platform: str | None = None, tls_verify: bool | None = None,
        progress: Choice = "auto", timeout: opts.Duration | None = None,
    ) -> Image:  # fmt: skip
        """An image from its registry. What of it is here already is not fetched; a pull that was broken off goes on.

        >>> image = ck.pull("debian:stable")  # doctest: +SKIP
        >>> ck.pull("busybox", policy="missing").tags
        ('busybox:latest',)

        Args:
            reference: ``[registry/]name[:tag][@digest]``.
            policy: ``"always"`` asks the registry, ``"missing"`` when the image is not here, ``"never"`` not at all.
            platform: ``"linux/arm64"``; default: the configuration's, else this machine's.
            tls_verify: False: from a registry without TLS, or with a certificate that nobody vouches for.
            progress: ``"auto"``: a widget in a notebook, bars on a terminal; True, False, or a Progress.
            timeout: seconds; what has been downloaded by then is kept for the next pull.

        Raises:
            NotFound, RegistryError, Unsupported, StorageError, Timeout: as :meth:`Image.pull` says.
        """
        from containerkit.image import Image

        return Image.pull(
            reference, policy=policy, platform=platform, tls_verify=tls_verify, progress=progress, timeout=timeout,
            engine=self,
        )  # fmt: skip

    def login(
        self, registry: str = "docker.io", username: str = "", password: str | None = None, *,
        tls_verify: bool | None = None, timeout: opts.Duration | None = 60,
    ) -> str:  # fmt: skip
        """Log in: ask the registry whether it knows us, and keep that where docker keeps it.

        >>> ck.login("registry.example.com", "ada")  # doctest: +SKIP

        Args:
            registry: its name, as references begin with it.
            username, password: what is not given is asked for.
            tls_verify: False: a registry without TLS, or with a certificate that nobody vouches for.
            timeout: seconds.

        Returns:
            Where it is kept now, in words.

        Raises:
            RegistryError: the registry refuses, or cannot be reached; nothing is kept then.
        """
        from containerkit.registry import client

        return client.login(registry, username, password, client.session(self.configuration, tls_verify, timeout))

    def logout(self, registry: str = "docker.io") -> bool:
        """Forget the login at a registry, in docker's file and podman's; whether there was one."""
        from containerkit.registry import client

        return client.logout(registry)

    def search(
        self, term: str, *, limit: int = 25, tls_verify: bool | None = None, timeout: opts.Duration | None = 60
    ) -> SearchResults:
        """Look for images: on Docker Hub, or in the catalogue of a private registry, with its tags.

        >>> ck.search("nginx", limit=3)  # doctest: +SKIP

        Args:
            term: what names have in them; ``"registry.lan:5000/term"`` looks there, ``"registry.lan:5000/"`` at all.
            limit: of how many results at most.
            tls_verify: as for :meth:`login`.
            timeout: seconds.

        Raises:
            RegistryError: it cannot be reached, or has no catalogue.
        """
        from containerkit.registry import client

        found = client.search(term, limit, client.session(self.configuration, tls_verify, timeout))
        return SearchResults(tuple(found))

    def events(
        self,
        *,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        filters: Filters | None = None,
        follow: bool = False,
    ) -> Iterator[Event]:
        """What happened to containers, images, networks and volumes, whichever process did it, oldest first.

        >>> result = ck.call("busybox", "true")
        >>> [event.action for event in ck.events(filters={"type": "container"})]
        ['create', 'start', 'die', 'destroy']

        Args:
            since, until: a datetime or epoch seconds.
            filters: ``container`` (name or id), ``event``, ``image``, ``label``, ``network``, ``type``, ``volume``; a
                value, or a list of which one has to match.
            follow: go on with what happens from now on (or from ``since``), until ``until``.
        """
        from containerkit.reading.event import events

        return events(self.store, since=since, until=until, filters=filters, follow=follow)

    def dashboard(self, *, interval: float = 1.0) -> Any:
        """All containers, live, as a widget: what they use, with their limits; buttons; logs, terminals and panels.

        >>> ck.dashboard()  # doctest: +SKIP

        Args:
            interval: seconds between two looks, 0.25 at least; 0 for none: then its ``refresh()`` is the only way.

        Raises:
            InvalidArgument: another interval.
        """
        if interval != 0 and not interval >= 0.25:
            raise InvalidArgument(f"dashboard: interval {interval}: at least 0.25 seconds, or 0")
        from containerkit.notebook.dashboard import Dashboard

        return Dashboard(self, interval)

    @shows_options(RunOptions)
    def run_form(self, image: str = "", command: str = "", **options: Unpack[RunOptions]) -> Any:
        """A form to run a container with, as a widget; it shows the line of Python that it stands for.

        Args:
            image, command: what is filled in; the options, too, as for :meth:`run`.
        """
        from containerkit.notebook.runform import RunForm

        return RunForm(self, image, command, options)

    def prune(
        self, *, all: bool = False, volumes: bool = False, filters: Mapping[str, str] | None = None
    ) -> PruneReport:
        """Remove the containers that do not run, the images that have no name and no container, and the networks that
        no container is on. The default network's bridge goes, too; it is made anew when it is needed. A disk that is
        full keeps it from nothing: the store has a reserve for that.

        >>> over = ck.run("busybox", "true", name="over").wait()
        >>> ck.prune().containers
        ('over',)

        Args:
            all: images with names, too, when no container was made from them; downloads that were broken off; and what
                builds keep.
            volumes: anonymous volumes that no container uses, too (``ck.volumes.prune(all=True)``: others as well).
            filters: only containers like that, as for ``Container.list``, and no images, networks or volumes.
        """
        from containerkit.store import reserve

        with reserve.spent(self.paths.root):
            return self._prune(all, volumes, filters)

    def _prune(self, all: bool, volumes: bool, filters: Mapping[str, str] | None) -> PruneReport:
        from containerkit.container import Container
        from containerkit.reading import listing
        from containerkit.store import downloads, rights, trees
        from containerkit.store.containers import OWNED
        from containerkit.supervise.networks import membership

        names, freed = [], 0
        for record in listing.records(self.store, all=True, filters=filters):
            if record.state in OWNED:
                continue
            try:
                size = rights.call(trees.disk_usage, self.paths.containers / record.id)
            except FileNotFoundError:
                size = 0  # whoever removed it was killed between its files and its row
            try:
                Container(self, record.id, record.name).remove()
            except (InvalidState, NotFound):
                continue  # somebody has just started it, or removed it
            names.append(record.name)
            freed += size
        images: list[str] = []
        unused: list[str] = []
        gone: list[str] = []
        if filters is None:
            if volumes:
                report = self.volumes.prune()
                gone, freed = [*report.volumes], freed + report.space_reclaimed
            unused = membership.prune(self.store)
            images, space = self.store.images.prune(all=all)
            freed += space
            if all:
                freed += downloads.sweep(self.paths.downloads, 0) + self.build_cache.prune().space_reclaimed
        return PruneReport(tuple(sorted(names)), tuple(sorted(images)), tuple(sorted(unused)), tuple(gone), freed)

    def boot(self) -> list[Container]:
        """Start what should run after a reboot: containers with restart policy ``always``, and ``unless-stopped``.

        Those that run already, and those that somebody had stopped (with ``unless-stopped``), are left alone. Whom
        others are linked to, or whose namespaces they join, starts before these.

        Returns:
            The containers that were started.
        """
        from containerkit.container import Container
        from containerkit.reading import listing
        from containerkit.supervise import linking

        started = []
        for record in linking.in_order(listing.records(self.store, all=True)):
            policy = record.options.get("restart", ["no"])[0]
            wanted = policy == "always" or (policy == "unless-stopped" and not record.stopped)
            if wanted and record.state == "exited":
                started.append(Container(self, record.id, record.name).start())
        return started

    @property
    def _session(self) -> str:
        """The id of the session that what is made now belongs to; empty for none."""
        from containerkit.sessions.session import current

        return current(self)

    def record(self, *containers: str | Container, interval: opts.Duration = 0.1) -> Recordings:
        """Measure several containers around a block: ``with ck.record("web", "db") as rec: …``, then ``rec.frame()``.

        >>> with ck.record(interval=0.1) as recordings:
        ...     result = box.exec("sleep 1")
        >>> "memory_bytes" in recordings["box"].frame()
        True

        Args:
            containers: names, ids or containers; none for all that run, and those that are started meanwhile.
            interval: seconds between samples.

        Raises:
            NotFound: no such container.
            InvalidState: one of them does not run.
        """
        from containerkit.container import Container
        from containerkit.measuring.recordings import Recordings

        found = [one if isinstance(one, Container) else Container.get(one, engine=self) for one in containers]
        records = [one._running("measure") for one in found] if containers else None
        return Recordings(self.store, records, opts.duration(interval, "interval"))

    def serve_metrics(self, *, port: int = 9323, host: str = "127.0.0.1") -> MetricsServer:
        """Serve what containers use to Prometheus, at ``http://host:port/metrics``, with cAdvisor's names and labels.

        It goes on in the background until ``close()``, the end of a ``with`` block, or of this process.

        >>> with ck.serve_metrics(port=9323) as metrics:
        ...     metrics.url
        'http://127.0.0.1:9323/metrics'

        Args:
            port: 0 for any free one.
            host: ``"0.0.0.0"`` for all addresses of this machine: anybody who reaches it sees names, images and labels.

        Raises:
            Unsupported: prometheus_client is not installed.
            RuntimeFailure: the port is in use.
        """
        from containerkit.measuring.metrics import MetricsServer

        return MetricsServer(self, host, port)

    def session(self) -> Session:
        """A time at whose end everything goes that was made in it, also when this process is killed before.

        ``with ck.session(): …`` holds for the block; ``session = ck.session()`` for a whole notebook or script, until
        ``session.close()`` or its end. See :class:`Session` for what belongs to it.

        >>> with ck.session():
        ...     worker = ck.run("busybox", "sleep 600", name="worker")
        >>> "worker" in ck.containers
        False
        """
        from containerkit.sessions.session import Session

        return Session(self)

    def doctor(self, *, verify: bool = False) -> Doctor:
        """What this machine has of what containers need; of what is missing, what is lost and how to mend it.

        >>> ck.doctor()  # doctest: +SKIP

        Args:
            verify: read every blob of the store, and compare every unpacked layer with its blob, too. What is damaged
                is taken away, so that a pull fetches it and a start unpacks it anew; the finding says of what images
                it is.
        """
        from containerkit.diagnosis import checks

        return checks.examine(self.store, verify=verify)

    def version(self) -> dict[str, str]:
        """Versions of containerkit, the specification it executes, Python and the kernel."""
        import platform

        from containerkit import __version__
        from containerkit.oci.runtime_spec import SPEC_VERSION

        return {
            "containerkit": __version__,
            "runtime-spec": SPEC_VERSION,
            "python": platform.python_version(),
            "kernel": platform.release(),
        }

    def info(self) -> dict[str, Any]:
        """What this engine and this machine are."""
        import platform

        records = self.store.containers.list()
        return {
            "containers": len(records),
            "running": sum(record.status == "running" for record in records),
            "images": len(self.images),
            "volumes": len(self.volumes),
            "root": str(self.paths.root),
            "run": str(self.paths.run),
            "kernel": platform.release(),
            "architecture": platform.machine(),
            "cpus": os.cpu_count(),
        }


def _call_spawner() -> None:
    """Have it begin: it imports what it needs while this process does the same."""
    from containerkit.supervise.client import spawner

    spawner.ensure()


_default: Engine | None = None
_default_lock = threading.Lock()


def default_engine() -> Engine:
    """The engine that module-level calls use: ``CONTAINERKIT_ROOT`` and ``CONTAINERKIT_RUN``, or the user's places."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Engine()
        return _default


def set_default_engine(engine: Engine | None) -> None:
    """Make ``engine`` the one that module-level calls use; None for the environment's."""
    global _default
    with _default_lock:
        _default = engine
