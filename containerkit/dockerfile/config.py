"""What instructions change of an image's config. Source: the Dockerfile reference; docker commit, docker import."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from containerkit.dockerfile.file import parse_instructions
from containerkit.dockerfile.instruction import Command, Instruction
from containerkit.dockerfile.problems import shown
from containerkit.dockerfile.setting import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from containerkit.errors import BuildError, InvalidArgument
from containerkit.oci.image_config import ContainerConfig, HealthConfig

DEFAULT_SHELL = ("/bin/sh", "-c")
#: Those that can be said of an image that is there, as docker commit takes them.
CHANGES = (Cmd, Entrypoint, Env, Expose, Healthcheck, Label, OnBuild, Shell, StopSignal, User, Volume, Workdir)


def apply(config: ContainerConfig, instruction: Instruction, *, keeps_cmd: bool = False) -> ContainerConfig:
    """``config`` after ``instruction``, which is expanded; the same where it is one that changes files.

    MAINTAINER changes nothing here: an author is the image's, not its containers'.

    Args:
        keeps_cmd: a CMD was set in this stage. One that the base image has goes with a new ENTRYPOINT.
    """
    if isinstance(instruction, Entrypoint):
        entrypoint = _command(config, instruction.command) or None
        return replace(config, entrypoint=entrypoint, cmd=config.cmd if keeps_cmd else None)
    for kind, change in _CHANGES:
        if isinstance(instruction, kind):
            return change(config, instruction)
    return config


def apply_changes(config: ContainerConfig, changes: Iterable[str]) -> ContainerConfig:
    """``config`` with instructions carried out in order, as ``import`` and ``commit`` take them.

    Raises:
        InvalidArgument: an instruction that is unknown, needs files, or is wrong in itself.
    """
    has_cmd = False
    for change in changes:
        try:
            (read,) = parse_instructions([change], "change")
            if not isinstance(read, CHANGES):
                known = ", ".join(sorted(one.keyword for one in CHANGES))
                raise InvalidArgument(f"{read.keyword} changes more than the config (expected one of {known})")
            config = apply(config, read.expanded(environment(config)), keeps_cmd=has_cmd)
        except BuildError as error:
            raise InvalidArgument(f"change {shown(change)}: {error.problems[0].message}") from error
        except InvalidArgument as error:
            raise InvalidArgument(f"change {shown(change)}: {error.message}") from error
        has_cmd = has_cmd or isinstance(read, Cmd)
    return config


def environment(config: ContainerConfig) -> dict[str, str]:
    """The variables of a config."""
    return {name: value for name, _, value in (item.partition("=") for item in config.env or ())}


def _command(config: ContainerConfig, command: Command) -> tuple[str, ...]:
    return (*(config.shell or DEFAULT_SHELL), command) if isinstance(command, str) else command


def _env(config: ContainerConfig, instruction: Env) -> ContainerConfig:
    # A name that is there keeps its place.
    found = environment(config) | dict(instruction.pairs)
    return replace(config, env=tuple(f"{name}={value}" for name, value in found.items()))


def _label(config: ContainerConfig, instruction: Label) -> ContainerConfig:
    return replace(config, labels={**(config.labels or {}), **dict(instruction.pairs)})


def _expose(config: ContainerConfig, instruction: Expose) -> ContainerConfig:
    return replace(config, exposed_ports=_with(config.exposed_ports, instruction.ports))


def _volume(config: ContainerConfig, instruction: Volume) -> ContainerConfig:
    return replace(config, volumes=_with(config.volumes, instruction.paths))


def _with(known: Mapping[str, Any] | None, names: Iterable[str]) -> Mapping[str, Any]:
    return {**(known or {}), **{name: {} for name in names}}


def _workdir(config: ContainerConfig, instruction: Workdir) -> ContainerConfig:
    joined = posixpath.join("/", config.working_dir, instruction.path)
    # POSIX keeps two leading slashes, which mean nothing here.
    return replace(config, working_dir="/" + posixpath.normpath(joined).lstrip("/"))


def _healthcheck(config: ContainerConfig, instruction: Healthcheck) -> ContainerConfig:
    command = instruction.command
    if command is None:
        return replace(config, healthcheck=HealthConfig(("NONE",)))
    test = ("CMD-SHELL", command) if isinstance(command, str) else ("CMD", *command)
    times = (instruction.interval, instruction.timeout, instruction.start_period, instruction.start_interval)
    return replace(config, healthcheck=HealthConfig(test, *times, instruction.retries))


def _on_build(config: ContainerConfig, instruction: OnBuild) -> ContainerConfig:
    return replace(config, on_build=(*(config.on_build or ()), instruction.trigger))


_CHANGES: tuple[tuple[type[Instruction], Callable[[ContainerConfig, Any], ContainerConfig]], ...] = (
    (Cmd, lambda config, one: replace(config, cmd=_command(config, one.command))),
    (Env, _env),
    (Expose, _expose),
    (Healthcheck, _healthcheck),
    (Label, _label),
    (OnBuild, _on_build),
    (Shell, lambda config, one: replace(config, shell=one.command)),
    (StopSignal, lambda config, one: replace(config, stop_signal=one.signal)),
    (User, lambda config, one: replace(config, user=one.user)),
    (Volume, _volume),
    (Workdir, _workdir),
)
