"""Instructions that set something of an image: what it runs, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Self

from containerkit.dockerfile import flags, jsonform, ports, shell
from containerkit.dockerfile.instruction import Change, Command, Instruction, Pairs, command_text, each, listed
from containerkit.dockerfile.problems import shown
from containerkit.errors import InvalidArgument
from containerkit.options.values import signal_number
from containerkit.values import frozen

#: There are as many of each protocol; who names more names them again and again.
_MOST_PORTS = 3 * 65535


@frozen
class _Equations(Instruction):
    """Common to ENV and LABEL: ``NAME=VALUE`` …"""

    pairs: Pairs

    def arguments(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.pairs)

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, pairs=tuple((change(name), change(value)) for name, value in self.pairs))

    def check(self) -> None:
        for name, value in self.pairs:
            if not name:
                raise InvalidArgument(f"the name of value {shown(value)} is empty")


@frozen
class Env(_Equations):
    keyword = "ENV"


@frozen
class Label(_Equations):
    keyword = "LABEL"


@frozen
class _Runs(Instruction):
    """Common to CMD and ENTRYPOINT."""

    command: Command

    def arguments(self) -> str:
        return command_text(self.command)


@frozen
class Cmd(_Runs):
    keyword = "CMD"


@frozen
class Entrypoint(_Runs):
    keyword = "ENTRYPOINT"


@frozen
class Shell(Instruction):
    keyword = "SHELL"
    command: tuple[str, ...]

    def arguments(self) -> str:
        return jsonform.write(self.command)


@frozen
class Expose(Instruction):
    """Words; expanded, each is a port of its own: ``80/tcp``."""

    keyword = "EXPOSE"
    ports: tuple[str, ...]

    def arguments(self) -> str:
        return " ".join(self.ports)

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, ports=each(self.ports, change))

    def expanded(self, variables: Mapping[str, str]) -> Self:
        # The one instruction in which a value can be several words.
        try:
            words = [one for word in self.ports for one in shell.expand_words(word, variables, self.escape)]
            found: dict[str, None] = {}
            count = 0
            for word in words:
                found.update(dict.fromkeys(said := ports.parse(word)))
                count += len(said)
                if count > _MOST_PORTS:
                    raise InvalidArgument(f"more than {_MOST_PORTS} ports")
        except InvalidArgument as error:
            raise InvalidArgument(f"EXPOSE: {error.message}") from error
        return replace(self, ports=tuple(found))


@frozen
class Volume(Instruction):
    keyword = "VOLUME"
    paths: tuple[str, ...]

    def arguments(self) -> str:
        return listed(self.paths, self.escape)

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, paths=each(self.paths, change))

    def check(self) -> None:
        if not all(path.strip() for path in self.paths):
            raise InvalidArgument("a path is empty")


@frozen
class User(Instruction):
    keyword = "USER"
    user: str

    def arguments(self) -> str:
        return self.user

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, user=change(self.user))


@frozen
class Workdir(Instruction):
    keyword = "WORKDIR"
    path: str

    def arguments(self) -> str:
        return self.path

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, path=change(self.path))


@frozen
class StopSignal(Instruction):
    keyword = "STOPSIGNAL"
    signal: str

    def arguments(self) -> str:
        return self.signal

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, signal=change(self.signal))

    def check(self) -> None:
        signal_number(self.signal, "signal")


@frozen
class Healthcheck(Instruction):
    """``command`` None: no check, whatever the base image has. Times are nanoseconds, 0 the default."""

    keyword = "HEALTHCHECK"
    command: Command | None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    def flags(self) -> list[str]:
        times = {
            "interval": self.interval, "timeout": self.timeout, "start-period": self.start_period,
            "start-interval": self.start_interval,
        }  # fmt: skip
        said = [flags.write(name, _duration(value)) for name, value in times.items() if value]
        return said + ([flags.write("retries", str(self.retries))] if self.retries else [])

    def arguments(self) -> str:
        return "NONE" if self.command is None else f"CMD {command_text(self.command)}"


def _duration(nanoseconds: int) -> str:
    for unit, size in (("s", 10**9), ("ms", 10**6)):
        if nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds}ns"


@frozen
class OnBuild(Instruction):
    """``trigger`` is the text that an image keeps; ``instruction`` is what it says."""

    keyword = "ONBUILD"
    trigger: str
    instruction: Instruction = field(compare=False)

    def arguments(self) -> str:
        return self.trigger.partition("\n")[0]


@frozen
class Maintainer(Instruction):
    keyword = "MAINTAINER"
    author: str

    def arguments(self) -> str:
        return self.author
