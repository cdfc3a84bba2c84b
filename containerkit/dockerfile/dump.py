"""Instructions back to text that parses to the same, and an image's config as instructions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from containerkit.dockerfile.directives import Directives
from containerkit.dockerfile.file import Dockerfile, parse_instructions
from containerkit.dockerfile.instruction import Command, Instruction
from containerkit.dockerfile.making import Add, Copy, From, Run
from containerkit.dockerfile.quoting import pair, word
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
from containerkit.dockerfile.stages import Stage
from containerkit.oci.image_config import ContainerConfig, HealthConfig


def dump(what: Dockerfile | Iterable[Stage | Instruction]) -> str:
    """The text of a file, of stages or of instructions, as they are before they are expanded."""
    if isinstance(what, Dockerfile):
        head = _directives(what.directives)
        return "".join(f"{line}\n" for line in (*head, *map(_text, what.instructions)))
    found: list[Instruction] = []
    for one in what:
        found += (one.base, *one.instructions) if isinstance(one, Stage) else (one,)
    escape = next((one.escape for one in found), "\\")
    return "".join(f"{line}\n" for line in (*_directives(Directives(escape=escape)), *map(_text, found)))


def _directives(said: Directives) -> list[str]:
    lines = [f"# syntax={said.syntax}"] if said.syntax else []
    lines += [f"# escape={said.escape}"] if said.escape != "\\" else []
    settings = [f"skip={','.join(sorted(said.skip))}"] if said.skip else []
    settings += ["error=true"] if said.error else []
    return lines + ([f"# check={';'.join(settings)}"] if settings else [])


def _text(one: Instruction) -> str:
    if isinstance(one, OnBuild):
        return f"{one.source}{one.trigger[len(one.arguments()) :]}"
    heredocs = one.heredocs if isinstance(one, (Add, Copy, Run)) else ()
    return "\n".join([one.source, *(here.as_written for here in heredocs)])


def from_config(config: ContainerConfig, base: str = "") -> tuple[Instruction, ...]:
    """Instructions that make ``config`` of an empty one; a FROM before them where ``base`` names an image.

    Raises:
        InvalidArgument: a value with a line break, for which a Dockerfile has no words.
    """
    found: list[Instruction] = [From(base)] if base else []
    found += [Shell(config.shell)] if config.shell else []
    found += [Env((pair(item.partition("=")[::2]),)) for item in config.env or ()]
    found += [Label((pair(label),)) for label in (config.labels or {}).items()]
    found += [Expose(tuple(config.exposed_ports))] if config.exposed_ports else []
    found += [Volume(tuple(map(word, config.volumes)))] if config.volumes else []
    found += [Workdir(word(config.working_dir))] if config.working_dir else []
    found += [User(word(config.user))] if config.user else []
    found += [StopSignal(config.stop_signal)] if config.stop_signal else []
    found += [_healthcheck(config.healthcheck)] if config.healthcheck and config.healthcheck.test else []
    # Before CMD: a new entrypoint takes away a command that was there.
    found += [Entrypoint(_command(config, config.entrypoint))] if config.entrypoint else []
    found += [Cmd(_command(config, config.cmd))] if config.cmd is not None else []
    return (*found, *parse_instructions([f"ONBUILD {trigger}" for trigger in config.on_build or ()]))


def _command(config: ContainerConfig, command: tuple[str, ...]) -> Command:
    """The shell form where the config's own shell was put before it, the exec form otherwise."""
    shell = config.shell or ("/bin/sh", "-c")
    rest = command[len(shell) :]
    if command[: len(shell)] != shell or len(rest) != 1:
        return command
    # Text that would be read otherwise is better said as a list.
    is_plain = rest[0].strip() == rest[0] and not re.search(r"^[\[]|[\r\n\0]|\\[ \t]*$|^$", rest[0])
    return rest[0] if is_plain else command


def _healthcheck(check: HealthConfig) -> Healthcheck:
    times = (check.interval, check.timeout, check.start_period, check.start_interval, check.retries)
    form, rest = check.test[0], check.test[1:]
    if form == "NONE":
        return Healthcheck(None)
    if form == "CMD-SHELL" and len(rest) == 1 and not re.search(r"[\r\n]", rest[0]):
        return Healthcheck(rest[0], *times)
    command: Mapping[str, tuple[str, ...]] = {"CMD-SHELL": ("/bin/sh", "-c", *rest), "CMD": rest}
    return Healthcheck(command.get(form, rest), *times)
