"""The verbs of the module: those of the default engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from containerkit.collection import ContainerCollection, ImageCollection, NetworkCollection, VolumeCollection
from containerkit.engine import default_engine
from containerkit.options import Command, Duration, RunOptions, shows_options

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.event import Event, Filters
    from containerkit.image import Image
    from containerkit.progress import Choice
    from containerkit.results import Doctor, PruneReport, Result, SearchResults

images: ImageCollection
containers: ContainerCollection
networks: NetworkCollection
volumes: VolumeCollection


def __getattr__(name: str) -> Any:
    if name in ("images", "containers", "networks", "volumes"):
        return getattr(default_engine(), name)
    raise AttributeError(name)


@shows_options
def run(image: str | Image, command: Command = None, **options: Unpack[RunOptions]) -> Container:
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
    return default_engine().run(image, command, **options)


@shows_options
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


def events(
    *,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    filters: Filters | None = None,
    follow: bool = False,
) -> Iterator[Event]:
    """What happened to containers and images, whichever process did it; see :meth:`Engine.events`."""
    return default_engine().events(since=since, until=until, filters=filters, follow=follow)


def prune(*, all: bool = False, volumes: bool = False, filters: Mapping[str, str] | None = None) -> PruneReport:
    """Remove containers that do not run, and images that nothing names or uses; see :meth:`Engine.prune`."""
    return default_engine().prune(all=all, volumes=volumes, filters=filters)


def pull(
    reference: str, *, policy: str = "always", platform: str | None = None, tls_verify: bool | None = None,
    progress: Choice = "auto", timeout: Duration | None = None,
) -> Image:  # fmt: skip
    """An image from its registry; see :meth:`Image.pull`."""
    return default_engine().pull(
        reference, policy=policy, platform=platform, tls_verify=tls_verify, progress=progress, timeout=timeout
    )


def login(
    registry: str = "docker.io", username: str = "", password: str | None = None, *,
    tls_verify: bool | None = None, timeout: Duration | None = 60,
) -> str:  # fmt: skip
    """Log in at a registry; see :meth:`Engine.login`."""
    return default_engine().login(registry, username, password, tls_verify=tls_verify, timeout=timeout)


def logout(registry: str = "docker.io") -> bool:
    """Forget the login at a registry; whether there was one."""
    return default_engine().logout(registry)


def search(
    term: str, *, limit: int = 25, tls_verify: bool | None = None, timeout: Duration | None = 60
) -> SearchResults:
    """Look for images on Docker Hub, or in a private registry's catalogue; see :meth:`Engine.search`."""
    return default_engine().search(term, limit=limit, tls_verify=tls_verify, timeout=timeout)


def boot() -> list[Container]:
    """Start what should run after a reboot; see :meth:`Engine.boot`."""
    return default_engine().boot()


def doctor(*, verify: bool = False) -> Doctor:
    """What this machine has of what containers need, and how to get the rest; see :meth:`Engine.doctor`."""
    return default_engine().doctor(verify=verify)


def info() -> dict[str, Any]:
    """What the default engine and this machine are."""
    return default_engine().info()


def version() -> dict[str, str]:
    """Versions of containerkit, the specification it executes, Python and the kernel."""
    return default_engine().version()
