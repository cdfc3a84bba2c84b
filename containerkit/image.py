"""Images as objects."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, ParamSpec, TypeVar, Unpack

from containerkit import engine as engines
from containerkit.errors import InvalidArgument
from containerkit.imagefacts import ImageFacts
from containerkit.options import (
    BUILD_DEFAULTS,
    BuildOptions,
    Command,
    Duration,
    RunOptions,
    duration,
    foreign,
    shows_options,
)
from containerkit.recipes.instructions import Fluent

if TYPE_CHECKING:
    from containerkit.builder.context import Source
    from containerkit.container import Container
    from containerkit.dockerfile import Dockerfile, Instruction
    from containerkit.engine import Engine
    from containerkit.layers.diff import Change
    from containerkit.progress import Choice
    from containerkit.recipes.chain import Chain
    from containerkit.recipes.recipe import NamedImage, Origin, Recipe
    from containerkit.registry.finding import Fetching
    from containerkit.results import Result, SearchResults

P = ParamSpec("P")
R = TypeVar("R")


@foreign.answers
class Image(ImageFacts, Fluent):
    """A handle on one image: cheap, equal to others of the same id; names are looked up when they are asked for.

    Made by :meth:`get`, :meth:`list`, :meth:`pull`, :meth:`build`, :meth:`load`, :meth:`import_`, :meth:`from_host` and
    :meth:`from_debian`; and, step by step, by the ``with_…`` of another. ``engine``, of each of these: where; default:
    :func:`containerkit.default_engine`.
    """

    __slots__ = ()

    @classmethod
    def get(cls, reference: str, *, engine: Engine | None = None) -> Image:
        """The local image of that reference, id, or unique beginning of an id.

        >>> ck.Image.get("busybox") == ck.images["busybox"] == image
        True

        Raises:
            NotFound: there is none.
            InvalidArgument: neither a reference nor an id.
        """
        from containerkit.registry import finding

        engine = engine or engines.default_engine()
        name, record = finding.lookup(engine.store, engine.configuration, reference)
        return Image(engine, record.id, name)

    @classmethod
    @foreign.knows_keywords
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
    def _obtain(
        cls, engine: Engine, reference: str, policy: str, platform: str | None, **how: Unpack[Fetching]
    ) -> Image:
        from containerkit.registry import finding

        name, record = finding.obtain(engine.store, engine.configuration, reference, policy, platform, **how)
        return Image(engine, record.id, name)

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

        >>> [one.tags for one in ck.Image.list("busybox")]
        [('busybox:latest',)]

        Args:
            reference: only those with such a tag; a name without a tag means all its tags.
            dangling: only those without any tag (True), or with one (False).
            labels: only those with these labels; an empty value matches any.
        """
        engine = engine or engines.default_engine()
        return [Image(engine, record.id) for record in engine.store.images.list(reference, dangling, labels)]

    @classmethod
    @shows_options(BuildOptions, BUILD_DEFAULTS)
    def build(
        cls,
        context: Source = ".",
        *,
        dockerfile: str | os.PathLike[str] | None = None,
        contexts: Mapping[str, Source | Image] | None = None,
        engine: Engine | None = None,
        **options: Unpack[BuildOptions],
    ) -> Image:
        """An image from a Dockerfile and the files beside it. Steps that were carried out before are taken from the
        cache; :meth:`explain` of the result says which, and why the others were not.

        Args:
            context: what COPY and ADD see: a directory, a tar archive (a path, its bytes, or one open for reading), a
                mapping of names to contents, or None for nothing. A ``.dockerignore`` in it is heeded.
            dockerfile: its path, here or in the context; default: the context's ``Dockerfile``.
            contexts: more contexts by name, for ``COPY --from=NAME`` and ``RUN --mount=from=NAME``: as ``context``, or
                an image, which ``FROM NAME`` finds, too. They go before stages and images of that name.

        Raises:
            BuildError: the Dockerfile cannot be read, with every error's line; or a step failed: ``image`` is what
                there was before it.
            NotFound: the Dockerfile, a base image or the target is not there.
            InvalidArgument: an unknown option, or a value that cannot be right.
            Timeout: time was up.
            StorageError: the disk is full.
        """
        return cls._build(engine, context, options, dockerfile=dockerfile, contexts=contexts)

    @classmethod
    @shows_options(BuildOptions, BUILD_DEFAULTS)
    def from_dockerfile(
        cls,
        text: str | bytes | Dockerfile,
        *,
        context: Source = None,
        contexts: Mapping[str, Source | Image] | None = None,
        engine: Engine | None = None,
        **options: Unpack[BuildOptions],
    ) -> Image:
        """An image from the text of a Dockerfile, or from one that was parsed; otherwise as :meth:`build`.

        >>> ck.Image.from_dockerfile('FROM busybox\\nCMD ["echo", "hello"]', tag="hello").call().stdout
        'hello\\n'

        Args:
            text: the Dockerfile.
            context: what COPY and ADD see; default: nothing.
            contexts: more contexts, or images, by name.
        """
        return cls._build(engine, context, options, text=text, contexts=contexts)

    @classmethod
    def _build(cls, engine: Engine | None, context: Source, options: BuildOptions, **what: Any) -> Image:
        from containerkit.builder import request
        from containerkit.supervise.client import spawner

        engine = engine or engines.default_engine()
        spawner.ensure()  # it imports what it needs while this process does the same
        made = request.build(engine, context, options, **what, failed=lambda record: Image(engine, record.id))
        return Image(engine, made.image.id, next(iter(request.several(options.get("tag"))), ""), made.report)

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

        >>> os.makedirs("files/srv")
        >>> ck.Image.import_("files", tag="files:1", changes=["WORKDIR /srv"]).config.working_dir
        '/srv'

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
        return Image(engine, imports.import_(engine.store, source, tag, changes).id, tag or "")

    @classmethod
    def from_host(cls, *programs: str, tag: str | None = None, engine: Engine | None = None) -> Image:
        """An image of programs of this machine with the libraries they need: no network, no registry.

        The way to begin where no registry can be reached, and the quickest everywhere: ``from_host("sh", "ls")`` takes
        some milliseconds. Its programs are as new as this machine's, and no others can be installed: for that, see
        :meth:`from_debian`.

        >>> ck.Image.from_host("sh", "ls", tag="tools").call("ls -d /etc").stdout
        '/etc\\n'

        Args:
            programs: names (``"sh"``, ``"ls"``) or paths. The first becomes the image's command.
            tag: the reference it gets.

        Raises:
            NotFound: no such program.
            StorageError: the disk is full or cannot be written.
        """
        from containerkit.store import imports

        engine = engine or engines.default_engine()
        return Image(engine, imports.from_host(engine.store, programs, tag).id, tag or "")

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

        >>> saved = image.save("busybox.tar")
        >>> ck.Image.load("busybox.tar") == [saved]
        True

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
        return [Image(engine, id, name) for id, name in load.load(engine.store, source, choose(progress))]

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
        apt keeps none either, and its dpkg does not wait for the disk. Its command is ``bash``.

        >>> ck.Image.from_debian("bookworm", ["curl"], tag="debian")  # doctest: +SKIP

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
        return Image(engine, record.id, tag or "")

    def browse(self) -> Any:
        """A widget to look into it: layers, history, config, and the files of each layer (ipywidgets)."""
        from containerkit.notebook.browser import ImageBrowser

        return ImageBrowser(self)

    def save(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: Literal["docker", "oci"] = "docker",
        compression: Literal["none", "gzip", "zstd"] | None = None,
        progress: Choice = "auto",
    ) -> Image:
        """Write it, with all its tags, as an archive; see ``images.save`` of :class:`containerkit.Engine`.

        >>> image.save("busybox.tar.zst").tags
        ('busybox:latest',)

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

        >>> app = image.with_copy({"page": "hello"}, "/").build()
        >>> [(change.kind, change.path) for change in image.diff(app)]
        [('added', '/page')]

        Args:
            other: an image, or the reference or id of one.
        """
        from containerkit.layers import diff
        from containerkit.store import rights

        if not isinstance(other, (str, Image)):
            raise InvalidArgument(f"image {other!r}: expected a reference, an id or an Image")
        theirs = other if isinstance(other, Image) else Image.get(other, engine=self._engine)
        return rights.call(diff.between, self._directories(), theirs._directories())

    def tag(self, reference: str) -> Image:
        """Give it another name; an image that had that name loses it.

        >>> image.tag("mine:1").tags
        ('busybox:latest', 'mine:1')

        Returns:
            It, by its new name: ``image.tag("registry.lan:5000/app:1").push()`` goes there.

        Raises:
            InvalidArgument: not a reference.
        """
        self._engine.store.images.tag(self.id, reference)
        return Image(self._engine, self.id, reference)

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

        >>> image.tag("registry.example.com/busybox:1").push()  # doctest: +SKIP

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
        from containerkit.registry import client

        client.send(
            self._engine.store, self._engine.configuration, self._record, reference or self._reference,
            tls_verify=tls_verify, progress=progress, timeout=timeout, compression=compression,
        )  # fmt: skip
        if reference is not None:
            self.tag(reference)
        return self

    def remove(self, *, force: bool = False) -> Image:
        """Take away the name this handle was got by, and with its last name the image.

        A handle without a name (got by an id) takes the image with all its names.

        >>> name = image.tag("mine:1").remove()
        >>> "mine:1" in ck.images, "busybox" in ck.images
        (False, True)

        Args:
            force: also when a container that does not run was made from it; and, by id, with several names.

        Raises:
            NotFound: it is gone already.
            InvalidState: a container uses it, or it has several names.
        """
        self._engine.store.images.remove(self._name or self.id, force)
        return self

    @shows_options(RunOptions)
    def run(self, command: Command = None, **options: Unpack[RunOptions]) -> Container:
        """Start a container of this image; see :func:`containerkit.run`.

        >>> image.run("sleep 600", name="sleeper").status
        'running'

        Args:
            command: a list, or a string split as a shell splits words; default: the image's own.
        """
        return self._engine.run(self, command, **options)

    @shows_options(RunOptions)
    def create(self, command: Command = None, **options: Unpack[RunOptions]) -> Container:
        """Make a container of this image without starting it.

        Args:
            command: a list, or a string split as a shell splits words; default: the image's own.
        """
        return self._engine.create(self, command, **options)

    @shows_options(RunOptions)
    def call(
        self,
        command: Command = None,
        *,
        input: bytes | str | None = None,
        timeout: Duration | None = None,
        check: bool = False,
        **options: Unpack[RunOptions],
    ) -> Result:
        """Run a command to its end in a container of this image; see :func:`containerkit.call`.

        >>> image.call("echo hello").stdout
        'hello\\n'

        Args:
            command: a list, or a string split as a shell splits words; default: the image's own.
            input: what it reads from standard input.
            timeout: seconds, or ``"1m30s"``; then it is killed, with everything it started.
            check: raise when the exit code is not 0.
        """
        return self._engine.call(self, command, input=input, timeout=timeout, check=check, **options)

    def call_python(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a Python function in a container of this image: ``image.call_python(math.sqrt, 2)``.

        For limits, or many calls, see :func:`containerkit.function`, which says more of both. What it gives is
        unpickled here, with your rights: take only functions and images that may run code here.

        >>> ck.Image.get("python").call_python(sum, [1, 2])  # doctest: +SKIP
        3
        """
        from containerkit.functions.function import Function

        return Function(function, self, None, {}, self._engine)(*args, **kwargs)

    def _with(self, instruction: Instruction, origins: Sequence[Origin | None] = ()) -> Chain:
        from containerkit.recipes.chain import Chain
        from containerkit.recipes.recipe import NamedImage, Part, Recipe

        recipe = Recipe(NamedImage(self, self._reference))
        return Chain(self._engine, recipe.with_part(Part(instruction, tuple(origins))))

    def _as_origin(self) -> NamedImage | Recipe:
        from containerkit.recipes.recipe import NamedImage

        return NamedImage(self, self._reference)
