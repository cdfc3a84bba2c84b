"""The verbs of the module: those of the default engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from containerkit.collection import ContainerCollection, ImageCollection, NetworkCollection, VolumeCollection
from containerkit.engine import Engine, default_engine
from containerkit.options import (
    BUILD_DEFAULTS,
    BuildOptions,
    Command,
    Duration,
    RunOptions,
    explained_by,
    foreign,
    shows_options,
)

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
    from containerkit.results import Doctor, PruneReport, Result, SearchResults
    from containerkit.sessions.session import Session
    from containerkit.stepping.stepper import Stepper

P = ParamSpec("P")
R = TypeVar("R")

images: ImageCollection
containers: ContainerCollection
networks: NetworkCollection
volumes: VolumeCollection
build_cache: BuildCache


def __getattr__(name: str) -> Any:
    if name in ("images", "containers", "networks", "volumes", "build_cache"):
        return getattr(default_engine(), name)
    raise AttributeError(name)


@shows_options(RunOptions)
def run(image: str | Image, command: Command = None, **options: Unpack[RunOptions]) -> Container:
    """Start a container and return at once.

    >>> web = ck.run("busybox", "httpd -f -h /etc", name="web", ports={80: 8080}, memory="64m")
    >>> web.status
    'running'

    Args:
        image: a reference, an id or an Image.
        command: a list, or a string split as a shell splits words; default: the image's own.

    Raises:
        NotFound: the image is not there.
        AlreadyExists: the name is in use, and not ``replace=True``.
        InvalidArgument: an option that cannot be right.
        RuntimeFailure: it could not be started; nothing of it is left.
    """
    return default_engine().run(image, command, **options)


@shows_options(RunOptions)
def step(image: str | Image, command: Command = None, **options: Unpack[RunOptions]) -> Stepper:
    """A start as ``run`` makes it, one operation at a time: ``next()``, and what it has changed.

    >>> with ck.step("busybox", "true") as start:
    ...     first = start.next().step.operation

    Args:
        image: a reference, an id or an Image.
        command: a list, or a string split as a shell splits words; default: the image's own.
    """
    return default_engine().step(image, command, **options)


@shows_options(RunOptions)
def call(
    image: str | Image,
    command: Command = None,
    *,
    input: bytes | str | None = None,
    timeout: Duration | None = None,
    check: bool = False,
    **options: Unpack[RunOptions],
) -> Result:
    """Run a command to its end in a container of its own, and remove that.

    >>> ck.call("busybox", "echo hello").stdout
    'hello\\n'
    >>> ck.call("busybox", ["sh", "-c", "echo $HOME; exit 3"]).exit_code
    3

    Args:
        image: a reference, an id or an Image.
        command: a list, or a string split as a shell splits words; default: the image's own.
        input: what it reads from standard input.
        timeout: seconds, or ``"1m30s"``; then it is killed, with everything it started.
        check: raise when the exit code is not 0.

    Raises:
        Timeout: time was up; ``result`` has the output so far.
        ProcessFailed: with ``check``; ``result`` has everything.
    """
    return default_engine().call(image, command, input=input, timeout=timeout, check=check, **options)


@overload
def function(function: Callable[P, R], /) -> Function[P, R]: ...


@overload
def function(
    function: None = None, /, *, image: str | Image = "host", timeout: Duration | None = None,
    **options: Unpack[RunOptions],
) -> Callable[[Callable[P, R]], Function[P, R]]: ...  # fmt: skip


@shows_options(RunOptions)
def function(
    function: Callable[..., Any] | None = None, /, *, image: str | Image = "host", timeout: Duration | None = None,
    **options: Unpack[RunOptions],
) -> Any:  # fmt: skip
    """Make a function run in a container each time it is called: ``@ck.function(memory="64m")``.

    What it gives is unpickled here, with your rights: take only functions and images that may run code here.

    >>> @ck.function(memory="200m", timeout=60)
    ... def double(number):
    ...     return 2 * number
    >>> double(21), double.map([1, 2])
    (42, [2, 4])

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

    # The default engine is that of each call.
    return decorated(function, image, timeout, options, None)


@shows_options(BuildOptions, BUILD_DEFAULTS)
def build(
    context: Source = ".", *, dockerfile: str | os.PathLike[str] | None = None,
    contexts: Mapping[str, Source | Image] | None = None, **options: Unpack[BuildOptions],
) -> Image:  # fmt: skip
    """An image from a Dockerfile and the files beside it; see :meth:`Image.build`.

    >>> image = ck.build({"Dockerfile": "FROM busybox\\nCOPY page /page", "page": "hello"}, tag="site")
    >>> image.call("cat /page").stdout
    'hello'

    Args:
        context: what COPY and ADD see: a directory, an archive, a mapping of names to contents, or None.
        dockerfile: its path, here or in the context; default: the context's ``Dockerfile``.
        contexts: more contexts, or images, by name.
    """
    return default_engine().build(context, dockerfile=dockerfile, contexts=contexts, **options)


@explained_by(Engine.events)
def events(
    *,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    filters: Filters | None = None,
    follow: bool = False,
) -> Iterator[Event]:
    """What happened to containers and images, whichever process did it; see :meth:`Engine.events`."""
    return default_engine().events(since=since, until=until, filters=filters, follow=follow)


@explained_by(Engine.dashboard)
def dashboard(*, interval: float = 1.0) -> Any:
    """All containers, live, as a widget; see :meth:`Engine.dashboard`."""
    return default_engine().dashboard(interval=interval)


@explained_by(Engine.run_form)
@shows_options(RunOptions)
def run_form(image: str = "", command: str = "", **options: Unpack[RunOptions]) -> Any:
    """A form to run a container with, as a widget; see :meth:`Engine.run_form`."""
    return default_engine().run_form(image, command, **options)


@explained_by(Engine.prune)
def prune(*, all: bool = False, volumes: bool = False, filters: Mapping[str, str] | None = None) -> PruneReport:
    """Remove containers that do not run, and images that nothing names or uses; see :meth:`Engine.prune`."""
    return default_engine().prune(all=all, volumes=volumes, filters=filters)


@foreign.knows_keywords
@explained_by(Engine.pull)
def pull(
    reference: str, *, policy: str = "always", platform: str | None = None, tls_verify: bool | None = None,
    progress: Choice = "auto", timeout: Duration | None = None,
) -> Image:  # fmt: skip
    """An image from its registry; see :meth:`Image.pull`."""
    return default_engine().pull(
        reference, policy=policy, platform=platform, tls_verify=tls_verify, progress=progress, timeout=timeout
    )


@explained_by(Engine.login)
def login(
    registry: str = "docker.io", username: str = "", password: str | None = None, *,
    tls_verify: bool | None = None, timeout: Duration | None = 60,
) -> str:  # fmt: skip
    """Log in at a registry; see :meth:`Engine.login`."""
    return default_engine().login(registry, username, password, tls_verify=tls_verify, timeout=timeout)


def logout(registry: str = "docker.io") -> bool:
    """Forget the login at a registry; whether there was one."""
    return default_engine().logout(registry)


@explained_by(Engine.search)
def search(
    term: str, *, limit: int = 25, tls_verify: bool | None = None, timeout: Duration | None = 60
) -> SearchResults:
    """Look for images on Docker Hub, or in a private registry's catalogue; see :meth:`Engine.search`."""
    return default_engine().search(term, limit=limit, tls_verify=tls_verify, timeout=timeout)


@explained_by(Engine.boot)
def boot() -> list[Container]:
    """Start what should run after a reboot; see :meth:`Engine.boot`."""
    return default_engine().boot()


@explained_by(Engine.doctor)
def doctor(*, verify: bool = False) -> Doctor:
    """What this machine has of what containers need, and how to get the rest; see :meth:`Engine.doctor`."""
    return default_engine().doctor(verify=verify)


@explained_by(Engine.record)
def record(*containers: str | Container, interval: Duration = 0.1) -> Recordings:
    """Measure several containers, or all, around a block: ``with ck.record() as rec: …``; see :meth:`Engine.record`."""
    return default_engine().record(*containers, interval=interval)


@explained_by(Engine.serve_metrics)
def serve_metrics(*, port: int = 9323, host: str = "127.0.0.1") -> MetricsServer:
    """Serve what containers use to Prometheus, with cAdvisor's names; see :meth:`Engine.serve_metrics`."""
    return default_engine().serve_metrics(port=port, host=host)


@explained_by(Engine.session)
def session() -> Session:
    """A time at whose end everything goes that was made in it: ``with ck.session(): …``; see :meth:`Engine.session`."""
    return default_engine().session()


def info() -> dict[str, Any]:
    """What the default engine and this machine are.

    >>> ck.info()["images"]
    1
    """
    return default_engine().info()


def version() -> dict[str, str]:
    """Versions of containerkit, the specification it executes, Python and the kernel."""
    return default_engine().version()
