"""The first process, and those of an exec: command, environment, rights."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

from containerkit.errors import InvalidArgument
from containerkit.linux import capabilities
from containerkit.oci import runtime_spec as rs
from containerkit.oci.image_config import ContainerConfig
from containerkit.oci.users import Identity
from containerkit.options import Settings
from containerkit.supervise.configure.security import no_new_privileges

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def command_of(settings: Settings, image: ContainerConfig) -> tuple[str, ...]:
    """What runs: an entry point given with the call drops the image's command, as in docker.

    Raises:
        InvalidArgument: neither the image nor the caller names a program.
    """
    if settings.entrypoint is not None:
        arguments = settings.entrypoint + (settings.command or ())
    else:
        arguments = tuple(image.entrypoint or ()) + (
            settings.command if settings.command is not None else tuple(image.cmd or ())
        )
    if not arguments or not arguments[0]:
        raise InvalidArgument("command: none given, and the image has none")
    return arguments


def describe_command(arguments: tuple[str, ...]) -> str:
    """As a person would type it."""
    return shlex.join(arguments)


def environment_of(
    settings_env: tuple[str, ...], image_env: tuple[str, ...], home: str, hostname: str, tty: bool
) -> tuple[str, ...]:
    """``PATH``, ``HOSTNAME``, ``TERM``, then the image's, then the caller's; ``HOME`` of the user."""
    found = {"PATH": DEFAULT_PATH}
    if hostname:
        found["HOSTNAME"] = hostname
    if tty:
        found["TERM"] = "xterm"
    for pair in (*image_env, *settings_env):
        name, _, value = pair.partition("=")
        found[name] = value
    found.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in found.items())


def with_environment(spec: rs.Spec, settings: Settings, image: ContainerConfig, below: Mapping[str, str]) -> rs.Spec:
    """With other variables below those that the image and the caller give."""
    inherited = dict(pair.partition("=")[::2] for pair in spec.process.env)
    own = environment_of(settings.env, tuple(image.env or ()), inherited.get("HOME", "/"), spec.hostname, settings.tty)
    known = [pair.partition("=")[0] for pair in own]
    found = (*own, *(f"{name}={value}" for name, value in below.items() if name not in known))
    return replace(spec, process=replace(spec.process, env=found))


def process(settings: Settings, image: ContainerConfig, who: Identity, hostname: str) -> rs.Process:
    """The first process."""
    return rs.Process(
        cwd=settings.workdir or image.working_dir or "/",
        args=command_of(settings, image),
        env=environment_of(settings.env, tuple(image.env or ()), who.home, hostname, settings.tty),
        terminal=settings.tty,
        user=rs.User(who.uid, who.gid, additional_gids=who.groups),
        capabilities=capability_sets(settings, who.uid),
        rlimits=tuple(
            rs.Rlimit(_rlimit(n), hard % 2**64, soft % 2**64) for n, (soft, hard) in (settings.ulimits or {}).items()
        ),
        no_new_privileges=no_new_privileges(settings),
        oom_score_adj=settings.oom_score_adj,
    )


def capability_sets(settings: Settings, uid: int) -> rs.Capabilities:
    """Bounding always; effective and permitted only for root. Inheritable stays empty (CVE-2022-24769)."""
    names = capabilities.resolve(settings.cap_add, settings.cap_drop, settings.privileged)
    held = names if uid == 0 else ()
    return rs.Capabilities(bounding=names, effective=held, permitted=held)


def _rlimit(name: str) -> str:
    return "RLIMIT_" + name.upper().removeprefix("RLIMIT_")


def exec_process(
    spec: rs.Spec, args: tuple[str, ...], who: Identity | None, env: tuple[str, ...], workdir: str, tty: bool
) -> rs.Process:
    """The process of an exec: the container's, with what the call changes.

    Args:
        spec: the container's configuration.
        who: another user, or None for the container's own.
        env: ``NAME=value`` pairs over the container's.
    """
    inherited = spec.process
    variables = dict(pair.partition("=")[::2] for pair in inherited.env)
    sets, user = inherited.capabilities, inherited.user
    if who is not None:
        user = rs.User(who.uid, who.gid, additional_gids=who.groups)
        variables["HOME"] = who.home
        if sets is not None:
            held = sets.bounding if who.uid == 0 else ()
            sets = rs.Capabilities(bounding=sets.bounding, effective=held, permitted=held)
    if tty:
        variables["TERM"] = "xterm"
    variables.update(pair.partition("=")[::2] for pair in env)
    return rs.Process(
        cwd=workdir or inherited.cwd, args=args, env=tuple(f"{n}={v}" for n, v in variables.items()), terminal=tty,
        user=user, capabilities=sets, rlimits=inherited.rlimits, no_new_privileges=inherited.no_new_privileges,
        oom_score_adj=inherited.oom_score_adj,
    )  # fmt: skip
