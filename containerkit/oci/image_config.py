"""The configuration of an image: what it runs and how, and what it is made of.

Source: opencontainers/image-spec 1.1, config.md; the members in capitals that it calls reserved (``Healthcheck``,
``Shell``, ``OnBuild``) are Docker's, and kept. Times in ``Healthcheck`` are nanoseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timezone
from typing import Any

from containerkit.errors import InvalidArgument
from containerkit.oci import codec
from containerkit.oci import digest as digests
from containerkit.oci.codec import named
from containerkit.values import frozen


@frozen
class HealthConfig:
    test: tuple[str, ...] = named("Test", ())
    interval: int = named("Interval", 0)
    timeout: int = named("Timeout", 0)
    start_period: int = named("StartPeriod", 0)
    start_interval: int = named("StartInterval", 0)
    retries: int = named("Retries", 0)


@frozen
class ContainerConfig:
    """What a container of the image gets where its caller says nothing."""

    user: str = named("User", "")
    exposed_ports: Mapping[str, Any] | None = named("ExposedPorts")
    env: tuple[str, ...] | None = named("Env")
    entrypoint: tuple[str, ...] | None = named("Entrypoint")
    cmd: tuple[str, ...] | None = named("Cmd")
    volumes: Mapping[str, Any] | None = named("Volumes")
    working_dir: str = named("WorkingDir", "")
    labels: Mapping[str, str] | None = named("Labels")
    stop_signal: str = named("StopSignal", "")
    args_escaped: bool = named("ArgsEscaped", False)
    healthcheck: HealthConfig | None = field(default=None, metadata={"json": "Healthcheck"})
    shell: tuple[str, ...] | None = named("Shell")
    on_build: tuple[str, ...] | None = named("OnBuild")


@frozen
class RootFS:
    type: str
    diff_ids: tuple[str, ...] = field(metadata={"json": "diff_ids"})


@frozen
class History:
    """One step of how the image was made; ``empty_layer``: it changed no files."""

    created: str = ""
    created_by: str = named("created_by", "")
    author: str = ""
    comment: str = ""
    empty_layer: bool = named("empty_layer", False)


@frozen
class ImageConfig:
    """The config blob; its digest is the image's id."""

    architecture: str
    os: str
    rootfs: RootFS
    config: ContainerConfig = ContainerConfig()
    created: str = ""
    author: str = ""
    variant: str = ""
    os_version: str = named("os.version", "")
    history: tuple[History, ...] = ()


def read(data: bytes, digest: str, layers: int) -> ImageConfig:
    """The config in ``data``, of an image of so many layers.

    Raises:
        InvalidArgument: not a config, or not that image's.
    """
    where = f"config {digest}"
    found = codec.loads(ImageConfig, data, where)
    if len(found.rootfs.diff_ids) != layers:
        raise InvalidArgument(f"{where}: of {len(found.rootfs.diff_ids)} layers, and the manifest has {layers}")
    try:
        for diff_id in found.rootfs.diff_ids:
            digests.hex_of(diff_id)
        parse_time(found.created)
    except InvalidArgument as error:
        raise InvalidArgument(f"{where}: {error.message}") from None
    return found


_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")


def parse_time(text: str) -> datetime:
    """A time of RFC 3339, section 5.6, to the microsecond; the epoch when ``text`` is empty, as tools show it.

    Raises:
        InvalidArgument: not such a time.
    """
    if not text:
        return datetime.fromtimestamp(0, timezone.utc)
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"time {text[:40]!r}: expected one like 2030-01-31T12:00:00Z")
    zone = "+00:00" if found[3] in "Zz" else found[3]
    try:
        return datetime.fromisoformat(f"{found[1]}.{(found[2] or '0')[:6]:0<6}{zone}")
    except ValueError as error:
        raise InvalidArgument(f"time {text}: {error}") from error


def format_time(seconds: float) -> str:
    """Epoch seconds as RFC 3339 in UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
