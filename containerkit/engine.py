"""One root directory: its store, its collections (collection.py), and the verbs of the module on it.

The engine and the four nouns know each other: nouns ask for the default engine, an engine's verbs return nouns. They
are one layer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from containerkit import options as opts
from containerkit.collection import ContainerCollection, ImageCollection, NetworkCollection, VolumeCollection
from containerkit.configuration import Configuration
from containerkit.errors import (
    InvalidArgument,
    InvalidState,
    NotFound,
    from_os_error,
)
from containerkit.oci import platforms
from containerkit.options import Command, RunOptions, shows_options
from containerkit.results import Doctor, PruneReport, Result, SearchResults
from containerkit.store.paths import Paths

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.event import Event, Filters
    from containerkit.image import Image
    from containerkit.progress import Choice
    from containerkit.store.store import Store


class Engine:
    """An isolated store and runtime.

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
        from containerkit.store import rights
        from containerkit.store.store import Store
        from containerkit.supervise import recover, worker

        rights.delegate, rights.is_needed = worker.call, os.geteuid() != 0
        try:
            self.paths.create()
            store = Store(self.paths)
            recover.sweep(store)
        except OSError as error:
            raise from_os_error(error, f"engine {self.paths.root}") from error
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
    def volumes(self) -> VolumeCollection:
        """The volumes."""
        return VolumeCollection(self)

    @shows_options
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
        found = self._image(image, options)
        from containerkit.container import Container

        return Container._run(self, found, command, options)

    @shows_options
    def create(self, image: str | Image, command: Command = None, **options: Unpack[RunOptions]) -> Container:
        """Make a container without starting it; otherwise as :meth:`run`."""
        found = self._image(image, options)
        from containerkit.container import Container

        return Container._create(self, found, command, options)

    @shows_options
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
        found = self._image(image, options)
        from containerkit.container import Container

        return Container._call(self, found, command, options, input=input, timeout=timeout, check=check)

    def _image(self, image: str | Image, options: Mapping[str, Any]) -> Image:
        from containerkit.supervise.client import spawner

        # It imports what it needs while this process does the same.
        spawner.ensure()
        from containerkit.image import Image

        if isinstance(image, Image):
            wanted = options.get("platform")
            if wanted and not platforms.matches(platforms.parse(image.platform), platforms.parse(wanted)):
                raise NotFound(f"image {image._reference}: is for {image.platform}, not for {wanted}")
            return image
        if not isinstance(image, str):
            raise InvalidArgument(f"image {image!r}: expected a reference, an id or an Image")
        return Image._obtain(self, image, str(options.get("pull") or "missing"), options.get("platform"))

    def pull(
        self, reference: str, *, policy: str = "always", platform: str | None = None, tls_verify: bool | None = None,
        progress: Choice = "auto", timeout: opts.Duration | None = None,
    ) -> Image:  # fmt: skip
        """An image from its registry; see :meth:`Image.pull`."""
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
        from containerkit import remote

        return remote.login(registry, username, password, remote.session(self.configuration, tls_verify, timeout))

    def logout(self, registry: str = "docker.io") -> bool:
        """Forget the login at a registry, in docker's file and podman's; whether there was one."""
        from containerkit import remote

        return remote.logout(registry)

    def search(
        self, term: str, *, limit: int = 25, tls_verify: bool | None = None, timeout: opts.Duration | None = 60
    ) -> SearchResults:
        """Look for images: on Docker Hub, or in the catalogue of a private registry, with its tags.

        Args:
            term: what names have in them; ``"registry.lan:5000/term"`` looks there, ``"registry.lan:5000/"`` at all.
            limit: of how many results at most.
            tls_verify: as for :meth:`login`.
            timeout: seconds.

        Raises:
            RegistryError: it cannot be reached, or has no catalogue.
        """
        from containerkit import remote

        found = remote.search(term, limit, remote.session(self.configuration, tls_verify, timeout))
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

        Args:
            since, until: a datetime or epoch seconds.
            filters: ``container`` (name or id), ``event``, ``image``, ``label``, ``network``, ``type``, ``volume``; a
                value, or a list of which one has to match.
            follow: go on with what happens from now on (or from ``since``), until ``until``.
        """
        from containerkit.event import events

        return events(self.store, since=since, until=until, filters=filters, follow=follow)

    def prune(
        self, *, all: bool = False, volumes: bool = False, filters: Mapping[str, str] | None = None
    ) -> PruneReport:
        """Remove the containers that do not run, the images that have no name and no container, and the networks that
        no container is on. The default network's bridge goes, too; it is made anew when it is needed.

        Args:
            all: images with names, too, when no container was made from them; and downloads that were broken off.
            volumes: anonymous volumes that no container uses, too (``ck.volumes.prune(all=True)``: others as well).
            filters: only containers like that, as for ``Container.list``, and no images, networks or volumes.
        """
        from containerkit import listing
        from containerkit.container import Container
        from containerkit.store import downloads, rights, trees
        from containerkit.store.containers import OWNED
        from containerkit.supervise import networks

        names, freed = [], 0
        for record in listing.records(self.store, all=True, filters=filters):
            if record.state in OWNED:
                continue
            try:
                size = rights.call(trees.disk_usage, self.paths.containers / record.id)
                Container(self, record.id, record.name).remove()
            except (InvalidState, NotFound, FileNotFoundError):
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
            unused = networks.prune(self.store)
            images, space = self.store.images.prune(all=all)
            freed += space
            if all:
                freed += downloads.sweep(self.paths.downloads, 0)
        return PruneReport(tuple(sorted(names)), tuple(sorted(images)), tuple(sorted(unused)), tuple(gone), freed)

    def boot(self) -> list[Container]:
        """Start what should run after a reboot: containers with restart policy ``always``, and ``unless-stopped``.

        Those that run already, and those that somebody had stopped (with ``unless-stopped``), are left alone. Whom
        others are linked to, or whose namespaces they join, starts before these.

        Returns:
            The containers that were started.
        """
        from containerkit import listing
        from containerkit.container import Container
        from containerkit.supervise import linking

        started = []
        for record in linking.in_order(listing.records(self.store, all=True)):
            policy = record.options.get("restart", ["no"])[0]
            wanted = policy == "always" or (policy == "unless-stopped" and not record.stopped)
            if wanted and record.state == "exited":
                started.append(Container(self, record.id, record.name).start())
        return started

    def doctor(self, *, verify: bool = False) -> Doctor:
        """What this machine has of what containers need; of what is missing, what is lost and how to mend it.

        Args:
            verify: read every blob of the store, and compare every unpacked layer with its blob, too. What is damaged
                is taken away, so that a pull fetches it and a start unpacks it anew; the finding says of what images
                it is.
        """
        from containerkit import diagnosis

        return diagnosis.examine(self.store, verify=verify)

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
