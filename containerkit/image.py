"""Images as objects."""

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Unpack

from containerkit import engine as engines
from containerkit.errors import InvalidArgument, NotFound
from containerkit.options import Command, Duration, RunOptions, duration, shows_options
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine
    from containerkit.layers.diff import Change
    from containerkit.layers.listing import LayerEntry
    from containerkit.oci.image_config import ContainerConfig
    from containerkit.progress import Choice
    from containerkit.results import LayerDetails, Result, SearchResults
    from containerkit.store.images import ImageRecord
    from containerkit.store.usage import Usage


class Image:
    """A handle on one image: cheap, equal to others of the same id; names are looked up when they are asked for.

    Made by :meth:`get`, :meth:`list`, :meth:`pull`, :meth:`load`, :meth:`import_`, :meth:`from_host` and
    :meth:`from_debian`.
    """

    __slots__ = ("_engine", "_id", "_name")

    def __init__(self, engine: Engine, id: str, name: str = "") -> None:
        self._engine = engine
        self._id = id
        self._name = name  # how the user called it, when that was a reference

    @classmethod
    def get(cls, reference: str, *, engine: Engine | None = None) -> Image:
        """The local image of that reference, id, or unique beginning of an id.

        Raises:
            NotFound: there is none.
            InvalidArgument: neither a reference nor an id.
        """
        from containerkit import remote

        engine = engine or engines.default_engine()
        name, record = remote.lookup(engine.store, engine.configuration, reference)
        return cls(engine, record.id, name)

    @classmethod
    def pull(
        cls,
        reference: str,
        *,
        policy: str = "always",
        platform: str | None = None,
        tls_verify: bool | None = None,
        progress: Choice = "auto",
        timeout: Duration | None = None,
        engine: Engine | None = None,
    ) -> Image:
        """An image from its registry. What of it is here already is not fetched; a pull that was broken off goes on.

        Args:
            reference: ``[registry/]name[:tag][@digest]``; a short name is looked for in the configuration's additional
                registries, then on docker.io.
            policy: ``"always"`` asks the registry, ``"missing"`` when the image is not here, ``"never"`` not at all.
            platform: ``"linux/arm64"``; default: the configuration's, else this machine's.
            tls_verify: False: from a registry without TLS, or with a certificate that nobody vouches for.
            progress: ``"auto"``: a widget in a notebook, bars on a terminal; True, False, or a Progress.
            timeout: seconds; what has been downloaded by then is kept for the next pull.

        Raises:
            NotFound: the registry does not have it, or not for that platform.
            RegistryError: it cannot be reached, refuses, or sends something else than it announced.
            Unsupported: it is no image.
            StorageError: the disk is full.
            Timeout: time was up.
        """
        engine = engine or engines.default_engine()
        return cls._obtain(
            engine, reference, policy, platform, tls_verify=tls_verify, progress=progress, timeout=timeout
        )

    @classmethod
    def _obtain(cls, engine: Engine, reference: str, policy: str, platform: str | None, **how: Any) -> Image:
        from containerkit import remote

        name, record = remote.obtain(engine.store, engine.configuration, reference, policy, platform, **how)
        return cls(engine, record.id, name)

    @staticmethod
    def search(term: str, *, limit: int = 25, engine: Engine | None = None) -> SearchResults:
        """Look for images on Docker Hub, or in a private registry's catalogue; see :meth:`Engine.search`."""
        return (engine or engines.default_engine()).search(term, limit=limit)

    @classmethod
    def list(
        cls,
        reference: str | None = None,
        *,
        dangling: bool | None = None,
        labels: Mapping[str, str] | None = None,
        engine: Engine | None = None,
    ) -> list[Image]:
        """The local images, the newest here first.

        Args:
            reference: only those with such a tag; a name without a tag means all its tags.
            dangling: only those without any tag (True), or with one (False).
            labels: only those with these labels; an empty value matches any.
        """
        engine = engine or engines.default_engine()
        return [cls(engine, record.id) for record in engine.store.images.list(reference, dangling, labels)]

    @classmethod
    def import_(
        cls,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        tag: str | None = None,
        changes: Sequence[str] = (),
        engine: Engine | None = None,
    ) -> Image:
        """An image of one layer from a directory or an archive.

        Owners, modes, times, extended attributes, hard links and devices are kept.

        Args:
            source: a directory, a tar archive (plain, gzip, zstd, xz or bzip2), or one open for reading.
            tag: the reference it gets.
            changes: Dockerfile instructions for its config: ``['CMD ["sh"]', "ENV A=1"]``.

        Raises:
            NotFound: no such file.
            InvalidArgument: not an archive, or one that leaves its root; a wrong instruction or reference.
            StorageError: the disk is full or cannot be written. Nothing is left of a failed import.
        """
        from containerkit.store import imports

        engine = engine or engines.default_engine()
        return cls(engine, imports.import_(engine.store, source, tag, changes).id, tag or "")

    @classmethod
    def from_host(cls, *programs: str, tag: str | None = None, engine: Engine | None = None) -> Image:
        """An image of programs of this machine with the libraries they need: no network, no registry.

        The way to begin where no registry can be reached, and the quickest everywhere: ``from_host("sh", "ls")`` takes
        some milliseconds. Its programs are as new as this machine's, and no others can be installed: for that, see
        :meth:`from_debian`.

        Args:
            programs: names (``"sh"``, ``"ls"``) or paths. The first becomes the image's command.
            tag: the reference it gets.

        Raises:
            NotFound: no such program.
            StorageError: the disk is full or cannot be written.
        """
        from containerkit.store import imports

        engine = engine or engines.default_engine()
        return cls(engine, imports.from_host(engine.store, programs, tag).id, tag or "")

    @classmethod
    def load(
        cls,
        source: str | os.PathLike[str] | bytes | BinaryIO,
        *,
        progress: Choice = "auto",
        engine: Engine | None = None,
    ) -> builtins.list[Image]:
        """The images of an archive, in its order, with their tags: what :meth:`save` and other tools write.

        Docker's archives and OCI layouts, plain, gzip, zstd, xz or bzip2. Of an index for several platforms, this
        machine's image.

        Args:
            source: a path (of a layout's directory, too), the archive's bytes, or a stream, which is read to its end
                and need not be seekable.
            progress: as for :meth:`pull`.

        Raises:
            NotFound: no such file.
            InvalidArgument: no archive of images, or a damaged one. Nothing is left of it then.
            StorageError: the disk is full or cannot be written.
        """
        from containerkit.archives import load
        from containerkit.progress import choose

        engine = engine or engines.default_engine()
        return [cls(engine, id, name) for id, name in load.load(engine.store, source, choose(progress))]

    @classmethod
    def from_debian(
        cls,
        suite: str = "bookworm",
        packages: Sequence[str] = (),
        *,
        tag: str | None = None,
        fresh: bool = False,
        timeout: Duration | None = None,
        progress: Choice = "auto",
        engine: Engine | None = None,
    ) -> Image:
        """A minimal Debian system, with apt, and with more packages: where no registry can be reached, a whole
        distribution to begin with.

        Made by mmdebstrap (or debootstrap) from where this machine's apt gets its packages: its sources, keys, proxies.
        It takes half a minute; a second call with the same suite and packages finds the image of the first. Package
        lists and caches are left out, as is what belongs to this machine; the same packages give the same image. Its
        command is ``bash``.

        Args:
            suite: ``"bookworm"``, ``"trixie"``, ``"sid"`` …; one that this machine has no sources of is asked for
                where its own is from.
            packages: names of more packages.
            tag: the reference it gets.
            fresh: make it anew, with the packages' newest versions.
            timeout: seconds.
            progress: ``"auto"``: a widget in a notebook, bars on a terminal; True, False, or a Progress.

        Raises:
            NotFound: no such suite or package.
            InvalidArgument: not a name of one.
            Unsupported: no tool is installed, or this user has no subordinate ids.
            BuildError: the tool failed; the error has its last lines.
            Timeout: time was up. Nothing is left then, nor after an interrupt or a kill.
        """
        from containerkit.progress import choose
        from containerkit.store import debian

        engine = engine or engines.default_engine()
        record = debian.from_debian(
            engine.store, suite, packages, tag, fresh=fresh, progress=choose(progress),
            timeout=None if timeout is None else duration(timeout, "timeout"),
        )  # fmt: skip
        return cls(engine, record.id, tag or "")

    @property
    def _record(self) -> ImageRecord:
        return self._engine.store.images.get(self._id)

    @property
    def _reference(self) -> str:
        """How the user calls it."""
        return self._name or next(iter(self.tags), self._id)

    @property
    def engine(self) -> Engine:
        """The engine it lives in."""
        return self._engine

    @property
    def id(self) -> str:
        """``sha256:`` and the digest of its config."""
        return self._id

    @property
    def short_id(self) -> str:
        """The first 12 digits of :attr:`id`."""
        return self._id.removeprefix("sha256:")[:12]

    @property
    def tags(self) -> tuple[str, ...]:
        """The references that name it, sorted: ``("busybox:1",)``."""
        return self._record.tags

    @property
    def digest(self) -> str:
        """The digest of its manifest: what a registry knows it by."""
        return self._record.manifest.digest

    @property
    def digests(self) -> tuple[str, ...]:
        """What registries know it by, sorted: ``("registry.lan:5000/app@sha256:…",)``."""
        return self._record.digests

    @property
    def size(self) -> int:
        """Bytes of its files, unpacked."""
        return self._record.size

    @property
    def created(self) -> datetime:
        """When it was made, as its config says."""
        return self._record.created

    @property
    def platform(self) -> str:
        """``"linux/amd64"``."""
        config = self._record.config
        return "/".join(part for part in (config.os, config.architecture, config.variant) if part)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.config.labels or {})

    @property
    def config(self) -> ContainerConfig:
        """What its containers get where their caller says nothing."""
        return self._record.config.config

    @property
    def layers(self) -> tuple[str, ...]:
        """The digest of each layer's uncompressed tar, the lowest first."""
        return self._record.config.rootfs.diff_ids

    def inspect(self) -> dict[str, Any]:
        """What ``docker image inspect`` gives, under the same names."""
        from containerkit import inspection

        return inspection.image(self._record)

    def layer_details(self) -> builtins.list[LayerDetails]:
        """Its layers, the lowest first: digests, sizes, and the step that made each."""
        from containerkit import inspection

        return inspection.layers(self._record, self._layer_sizes())

    def files(self, layer: int) -> builtins.list[LayerEntry]:
        """What is in one of its layers, sorted by path; what the layer takes away is ``deleted``.

        Args:
            layer: 1 for the lowest.

        Raises:
            NotFound: it has no such layer.
        """
        from containerkit.layers.listing import entries
        from containerkit.store import rights

        record = self._record
        if not 1 <= layer <= len(record.layers):
            raise NotFound(f"image {self._reference}: layer {layer}: it has {len(record.layers)}")
        directories = self._engine.store.layers.ensure(record.chain_ids, record.layers)
        return rights.call(entries, str(directories[layer - 1]))

    def _layer_sizes(self) -> builtins.list[int]:
        layers, record = self._engine.store.layers, self._record
        layers.ensure(record.chain_ids, record.layers)  # one that was damaged may have been taken away
        return [layers.size(chain_id) for chain_id in record.chain_ids]

    def browse(self) -> Any:
        """A widget to look into it: layers, history, config, and the files of each layer (ipywidgets)."""
        from containerkit.notebook.browser import ImageBrowser

        return ImageBrowser(self)

    def history(self) -> builtins.list[dict[str, Any]]:
        """How it was made, the last step first: ``created``, ``created_by``, ``comment``, ``empty_layer``, ``size``."""
        from containerkit import inspection

        return inspection.history(self._record, self._layer_sizes())

    def save(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: Literal["docker", "oci"] = "docker",
        compression: Literal["none", "gzip", "zstd"] | None = None,
        progress: Choice = "auto",
    ) -> Image:
        """Write it, with all its tags, as an archive; see ``images.save`` of :class:`containerkit.Engine`.

        Args:
            path: the archive's, where it appears when it is whole; or a file open for writing bytes.
            format: ``"docker"``, or ``"oci"``, which keeps digests.
            compression: of the whole archive; default: as the path ends (``.tar.gz``, ``.tgz``, ``.tar.zst``).
            progress: as for :meth:`pull`.

        Raises:
            StorageError: a blob is damaged, or the disk is full. Nothing is left of a failed save.
        """
        self._engine.images.save(path, self, format=format, compression=compression, progress=progress)
        return self

    def diff(self, other: Image | str) -> builtins.list[Change]:
        """What ``other`` changes of this image's files, sorted by path: ``base.diff(app)`` has what ``app`` adds.

        Names, kinds, owners, modes, times, attributes and contents count. What both have from the same layers is not
        looked at, so that two images of one base are compared in no time.

        Args:
            other: an image, or the reference or id of one.
        """
        from containerkit.layers import diff
        from containerkit.store import rights

        if not isinstance(other, (str, Image)):
            raise InvalidArgument(f"image {other!r}: expected a reference, an id or an Image")
        theirs = other if isinstance(other, Image) else Image.get(other, engine=self._engine)
        return rights.call(diff.between, self._directories(), theirs._directories())

    def _directories(self) -> builtins.list[Path]:
        """Its layers on the disk, uppermost first."""
        record = self._record
        return [*reversed(self._engine.store.layers.showing(record.chain_ids, record.layers))]

    def tag(self, reference: str) -> Image:
        """Give it another name; an image that had that name loses it.

        Returns:
            It, by its new name: ``image.tag("registry.lan:5000/app:1").push()`` goes there.

        Raises:
            InvalidArgument: not a reference.
        """
        self._engine.store.images.tag(self._id, reference)
        return Image(self._engine, self._id, reference)

    def push(
        self,
        reference: str | None = None,
        *,
        compression: str | None = None,
        tls_verify: bool | None = None,
        progress: Choice = "auto",
        timeout: Duration | None = None,
    ) -> Image:
        """Send it to a registry. Blobs that are there already are not sent.

        Args:
            reference: where to: ``registry/name:tag``, which it is tagged with here, too; default: the name that this
                handle was got by.
            compression: of its layers there: ``"gzip"`` for who pulls with docker before version 23, which reads no
                zstd; default: as they are. The image is the same; its digest there is another.
            tls_verify: False: to a registry without TLS, or with a certificate that nobody vouches for.
            progress: as for :meth:`pull`.
            timeout: seconds.

        Raises:
            RegistryError: the registry cannot be reached, or refuses.
            StorageError: a blob is damaged.
            Timeout: time was up.
        """
        from containerkit import remote

        remote.send(
            self._engine.store, self._engine.configuration, self._record, reference or self._reference,
            tls_verify=tls_verify, progress=progress, timeout=timeout, compression=compression,
        )  # fmt: skip
        if reference is not None:
            self.tag(reference)
        return self

    def usage(self) -> Usage:
        """How much room it takes on the disk: ``total``, ``shared`` with other images, ``unique``: bytes."""
        from containerkit.store import usage

        return usage.of_images(self._engine.store)[self._record.id]

    def remove(self, *, force: bool = False) -> Image:
        """Take away the name this handle was got by, and with its last name the image.

        A handle without a name (got by an id) takes the image with all its names.

        Args:
            force: also when a container that does not run was made from it; and, by id, with several names.

        Raises:
            NotFound: it is gone already.
            InvalidState: a container uses it, or it has several names.
        """
        self._engine.store.images.remove(self._name or self._id, force)
        return self

    @shows_options
    def run(self, command: Command = None, **options: Unpack[RunOptions]) -> Container:
        """Start a container of this image; see :func:`containerkit.run`."""
        return self._engine.run(self, command, **options)

    @shows_options
    def create(self, command: Command = None, **options: Unpack[RunOptions]) -> Container:
        """Make a container of this image without starting it."""
        return self._engine.create(self, command, **options)

    @shows_options
    def call(
        self,
        command: Command = None,
        *,
        input: bytes | str | None = None,
        timeout: Duration | None = None,
        check: bool = False,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Run a command to its end in a container of this image; see :func:`containerkit.call`."""
        return self._engine.call(self, command, input=input, timeout=timeout, check=check, **options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and (self._id, self._engine) == (other._id, other._engine)

    def __hash__(self) -> int:
        return hash((self._id, self._engine))

    def _repr_html_(self) -> str:
        try:
            record = self._record
        except NotFound:
            return html.note(f"image {self._name or self.short_id}: removed")
        rows = {
            "id": self.short_id, "tags": ", ".join(record.tags) or "<none>", "platform": self.platform,
            "size": f"{text.size(record.size)} in {len(record.layers)} layer{'s' if len(record.layers) != 1 else ''}",
            "command": " ".join((*(record.config.config.entrypoint or ()), *(record.config.config.cmd or ()))),
        }  # fmt: skip
        return html.card(f"image {next(iter(record.tags), self.short_id)}", "", rows)

    def __repr__(self) -> str:
        name = f"{self._name!r}, " if self._name else ""
        return f"Image({name}sha256:{self.short_id})"
