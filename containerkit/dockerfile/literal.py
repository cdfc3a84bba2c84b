"""Instructions of values: whatever is in a value, it is meant. The text of each, read again, is the same instruction.

Only what a Dockerfile has words for can be said: a value with a line break cannot, but a RUN of several lines (it
becomes a heredoc) and a file's content can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from containerkit.dockerfile import mounts as language
from containerkit.dockerfile.dump import dump
from containerkit.dockerfile.file import parse_instructions
from containerkit.dockerfile.heredoc import Heredoc
from containerkit.dockerfile.instruction import Command, Instruction
from containerkit.dockerfile.making import Add, Copy, Run
from containerkit.dockerfile.mounts import Fields
from containerkit.dockerfile.problems import shown
from containerkit.dockerfile.quoting import item, pair, word
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
from containerkit.options import policies

Kind = TypeVar("Kind", bound=Instruction)
#: A command line for the shell, or a program and its arguments.
Said = str | Sequence[str]

_HEREDOC_NAME = re.compile(r"[\w.][\w.-]*", re.ASCII)
_NANOSECONDS = 10**9


def certain(one: Kind) -> Kind:
    """The instruction itself, which its text says.

    Raises:
        InvalidArgument: its text would not, or is none.
    """
    text = dump([one])
    try:
        text.encode()
        (read,) = parse_instructions([text], one.keyword)
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{one.keyword}: {text.strip()!a:.80} is not Unicode") from error
    except BuildError as error:
        raise InvalidArgument(error.problems[0].message) from error
    if read != one:
        raise InvalidArgument(f"{one.keyword}: a Dockerfile cannot say {shown(one.arguments())}")
    return one


def run(command: Said, mounts: Iterable[Fields] = (), network: str = "default") -> Run:
    """RUN: text is the shell's, of several lines, too; other sequences are a program and its arguments."""
    fields = tuple(tuple((name, item(value)) for name, value in one) for one in mounts)
    made = Run(_command(command), (), fields, network)
    if not isinstance(command, str):
        return certain(made)
    if not command.strip():
        raise InvalidArgument("RUN: the command is empty")
    if "\n" not in command:
        try:
            return certain(made)
        except InvalidArgument:  # read as text of its own, most others can be said, too
            certain(replace(made, command="true"))
    content = command if command.endswith("\n") else f"{command}\n"
    name = next(name for name in _names() if name not in content.splitlines())
    return certain(replace(made, command=f"<<{name}", heredocs=(Heredoc(name, content),)))


def _names() -> Iterable[str]:
    yield "EOF"
    number = 1
    while True:
        yield f"EOF{(number := number + 1)}"


def mount_fields(said: str | Mapping[str, str]) -> Fields:
    """A mount, as it is written in a Dockerfile, or by the names of its fields: what it says, not yet quoted."""
    if isinstance(said, str):
        return language.fields(said)
    return language.fields(language.write(tuple((name, str(value)) for name, value in said.items())))


def copy(sources: Sequence[str], destination: str, *, from_: str = "", parents: bool = False, **flags: object) -> Copy:
    """COPY: ``flags`` are ``chown``, ``chmod``, ``exclude`` and ``link``."""
    places = _places(sources, destination)
    return certain(Copy(*places, **_flags(**flags), from_=from_, parents=parents))  # type: ignore[arg-type]  # by name


def copy_contents(contents: Mapping[str, bytes], destination: str, **flags: object) -> Copy | None:
    """COPY of files that are written in the Dockerfile itself; None where one of them cannot be."""
    try:
        heredocs = tuple(Heredoc(name, data.decode(), expands=False) for name, data in contents.items())
        if not all(_HEREDOC_NAME.fullmatch(one.name) and one.content.endswith("\n") for one in heredocs):
            return None
        made = Copy((), item(destination), heredocs, **_flags(**flags))  # type: ignore[arg-type]  # by name
        return certain(made)
    except (UnicodeDecodeError, InvalidArgument):
        return None


def add(
    sources: Sequence[str], destination: str, *, checksum: str = "", unpack: bool | None = None, **flags: object
) -> Add:
    """ADD; ``flags`` as of :func:`copy`."""
    places = _places(sources, destination)
    return certain(Add(*places, **_flags(**flags), checksum=item(checksum), unpack=unpack))  # type: ignore[arg-type]  # by name


def _places(sources: Sequence[str], destination: str) -> tuple[tuple[str, ...], str]:
    return tuple(map(item, sources)), item(destination)


def _flags(
    *, chown: str | int = "", chmod: str | int = "", exclude: Iterable[str] = (), link: bool = False
) -> dict[str, object]:
    mode = f"{chmod:o}" if isinstance(chmod, int) else chmod
    patterns = (exclude,) if isinstance(exclude, str) else exclude
    return {"chown": item(str(chown)), "chmod": item(mode), "exclude": tuple(map(item, patterns)), "link": link}


def env(values: Mapping[str, object]) -> Env:
    """ENV: other values than text as their text."""
    return certain(Env(tuple(pair((name, str(value))) for name, value in values.items())))


def label(values: Mapping[str, object]) -> Label:
    """LABEL."""
    return certain(Label(tuple(pair((name, str(value))) for name, value in values.items())))


def expose(ports: Iterable[int | str]) -> Expose:
    """EXPOSE: ``80``, ``"53/udp"``, ``"8000-8010"``."""
    return certain(Expose(tuple(item(str(port)) for port in ports)))


def user(name: str | int) -> User:
    """USER: ``"web"``, ``"1000:1000"``, ``1000``."""
    return certain(User(word(str(name))))


def workdir(path: str) -> Workdir:
    """WORKDIR."""
    if not path:
        raise InvalidArgument("WORKDIR: the path is empty")
    return certain(Workdir(word(path)))


def volume(paths: Iterable[str]) -> Volume:
    """VOLUME."""
    found = tuple(map(item, paths))
    if not found:
        raise InvalidArgument("VOLUME: needs a path")
    return certain(Volume(found))


def cmd(command: Said) -> Cmd:
    """CMD."""
    return certain(Cmd(_line(command)))


def entrypoint(command: Said) -> Entrypoint:
    """ENTRYPOINT."""
    return certain(Entrypoint(_line(command)))


def shell(command: Sequence[str]) -> Shell:
    """SHELL."""
    return certain(Shell(tuple(command)))


def stopsignal(signal: str | int) -> StopSignal:
    """STOPSIGNAL."""
    return certain(StopSignal(item(str(signal))))


def healthcheck(said: Mapping[str, object]) -> Healthcheck:
    """HEALTHCHECK, of what ``run(healthcheck=…)`` takes."""
    check = policies.healthcheck(said, "healthcheck")
    form, *rest = check.test or ("",)
    if form == "NONE":
        return Healthcheck(None)
    if not rest:
        raise InvalidArgument("HEALTHCHECK: needs a test")
    interval, timeout, start_period, start_interval = (
        round(float(time or 0) * _NANOSECONDS)
        for time in (check.interval, check.timeout, check.start_period, check.start_interval)
    )
    command = _line(" ".join(rest) if form == "CMD-SHELL" else rest)
    return certain(Healthcheck(command, interval, timeout, start_period, start_interval, check.retries or 0))


def onbuild(text: str) -> OnBuild:
    """ONBUILD, of an instruction that is text of a Dockerfile already."""
    try:
        (read,) = parse_instructions([f"ONBUILD {text}"])
    except BuildError as error:
        raise InvalidArgument(error.problems[0].message) from error
    assert isinstance(read, OnBuild)
    return read


def _command(said: Said) -> Command:
    if isinstance(said, str):
        return said
    words = tuple(said)
    if wrong := [one for one in words if not isinstance(one, str)]:
        raise InvalidArgument(f"command: {wrong[0]!r} is no text")
    return words


def _line(said: Said) -> Command:
    """A command for which a heredoc cannot be written."""
    if isinstance(said, str) and re.search(r"[\r\n]", said):
        raise InvalidArgument(f'command {shown(said)}: holds a line break (a list can: ["/bin/sh", "-c", "…"])')
    return _command(said)
