"""The options of builds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from containerkit.options.networks import Networks
from containerkit.options.values import Duration, Size

if TYPE_CHECKING:
    from containerkit.progress import Choice


class StepOptions(TypedDict, total=False):
    """Those options of ``run`` that containers of RUN take; they are explained in BuildOptions."""

    network: Networks
    add_hosts: Mapping[str, str] | Sequence[str]
    dns: Sequence[str]
    memory: Size
    memory_swap: Size
    cpus: float
    cpu_shares: int
    cpuset_cpus: str
    pids_limit: int
    shm_size: Size
    ulimits: Mapping[str, int | tuple[int, int]]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    cgroup_parent: str


class _OwnOptions(TypedDict, total=False):
    """A class of its own so that these come first in signatures."""

    tag: str | Sequence[str] | None
    build_args: Mapping[str, str] | None
    target: str | None
    labels: Mapping[str, str] | None
    no_cache: bool
    pull: bool
    platform: str | None
    secrets: Mapping[str, bytes | str | os.PathLike[str]] | None
    cache_from: str | Sequence[str]
    inline_cache: bool
    timeout: Duration | None
    progress: Choice


class BuildOptions(_OwnOptions, StepOptions, total=False):
    """Options of builds:

    ``tag``: the reference the image gets, or several.
    ``build_args``: values for the ARGs; ``SOURCE_DATE_EPOCH`` makes times reproducible.
    ``target``: the stage to build, by name or number; default: the last one.
    ``labels``: more labels for the image.
    ``no_cache``: carry out every step.
    ``pull``: ask the registries for the base images that are here.
    ``platform``: of the base images: ``"linux/arm64"``.
    ``secrets``: for ``RUN --mount=type=secret``, by id: bytes, or the path of a file. They are in no layer.
    ``cache_from``: images built with ``inline_cache``, to take steps from; whoever can push them is trusted.
    ``inline_cache``: write into the image's manifest which steps its layers are.
    ``timeout``: seconds, or ``"5m"``, for all of it; then what runs is ended.
    ``progress``: ``"auto"``: a widget in a notebook, bars on a terminal; True, False, or a Progress.

    Of the containers of RUN, as for ``run``:

    ``network``: ``"bridge"``, ``"none"``, ``"host"``, or a network's name.
    ``add_hosts``: more names: ``["name:1.2.3.4"]``, ``{"name": "host-gateway"}``.
    ``dns``: name servers' addresses.
    ``memory``: the most that one may take: bytes, or ``"64m"``.
    ``memory_swap``: memory and swap together; -1: unlimited.
    ``cpus``: cores: 1.5 is one and a half.
    ``cpu_shares``: their weight where processors are short.
    ``cpuset_cpus``: which processors: ``"0-1"``.
    ``pids_limit``: how many processes at most.
    ``shm_size``: of ``/dev/shm``: bytes, or ``"64m"``.
    ``ulimits``: ``{"nofile": 99}`` or ``(soft, hard)``.
    ``cap_add``: capabilities over the usual ones.
    ``cap_drop``: capabilities that they lack.
    ``security_opt``: ``"no-new-privileges"``, ``"seccomp=unconfined"``, ``"seccomp=/a/profile.json"``.
    ``cgroup_parent``: the cgroup that theirs are in.
    """


#: What is meant where nothing is said, of those whose default is not None.
BUILD_DEFAULTS: BuildOptions = {
    "no_cache": False, "pull": False, "cache_from": (), "inline_cache": False, "progress": "auto",
}  # fmt: skip
