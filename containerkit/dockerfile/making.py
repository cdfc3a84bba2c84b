"""Instructions that make stages and files: FROM, ARG, RUN, COPY, ADD."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from containerkit.dockerfile import flags, heredoc, mounts
from containerkit.dockerfile.heredoc import Heredoc
from containerkit.dockerfile.instruction import Change, Command, Instruction, command_text, each, listed
from containerkit.dockerfile.mounts import Fields, RunMount
from containerkit.dockerfile.problems import shown
from containerkit.errors import InvalidArgument
from containerkit.values import frozen


@frozen
class From(Instruction):
    """``platform`` and ``name`` are empty where they are not said; ``name`` is in lower case."""

    keyword = "FROM"
    image: str
    name: str = ""
    platform: str = ""

    def flags(self) -> list[str]:
        return [flags.write("platform", self.platform)] if self.platform else []

    def arguments(self) -> str:
        return f"{self.image} AS {self.name}" if self.name else self.image

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, image=change(self.image), platform=change(self.platform))

    def check(self) -> None:
        if not self.image:
            raise InvalidArgument("the image's name is empty once its variables are replaced")


@frozen
class Arg(Instruction):
    """Names and their defaults; None: without one."""

    keyword = "ARG"
    pairs: tuple[tuple[str, str | None], ...]

    def arguments(self) -> str:
        return " ".join(name if value is None else f"{name}={value}" for name, value in self.pairs)

    def changed(self, change: Change, change_text: Change) -> Self:
        pairs = tuple((change(name), None if value is None else change(value)) for name, value in self.pairs)
        return replace(self, pairs=pairs)


@frozen
class Run(Instruction):
    """``mount_fields`` are what is written of each mount; ``mounts`` are their values."""

    keyword = "RUN"
    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mount_fields: tuple[Fields, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()

    @property
    def mounts(self) -> tuple[RunMount, ...]:
        """Of an instruction that was expanded, or has no variables.

        Raises:
            InvalidArgument: a value that cannot be right.
        """
        return tuple(map(mounts.parse, self.mount_fields))

    @property
    def sources(self) -> tuple[str, ...]:
        """The stages, images or contexts that mounts are from."""
        return tuple(dict(fields)["from"] for fields in self.mount_fields if dict(fields).get("from"))

    @property
    def script(self) -> str:
        """What the shell is given, of the shell form: the command, or the text of the heredoc that is all of it."""
        if not isinstance(self.command, str):
            raise InvalidArgument("RUN: the exec form has no script")
        if len(self.heredocs) == 1 and heredoc.parse(self.command):
            return self.heredocs[0].data
        return "\n".join([self.command, *(one.as_written for one in self.heredocs)])

    @property
    def is_program(self) -> bool:
        """Whether ``script`` is a program with its own interpreter (``#!``), to be run as a file."""
        return bool(self.heredocs) and self.script.startswith("#!")

    def flags(self) -> list[str]:
        said = [flags.write("mount", mounts.write(fields)) for fields in self.mount_fields]
        said += [flags.write("device", device) for device in self.devices]
        said += [flags.write("network", self.network)] if self.network != "default" else []
        return said + ([flags.write("security", self.security)] if self.security != "sandbox" else [])

    def arguments(self) -> str:
        return command_text(self.command)

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(self, mount_fields=tuple(_values(fields, change) for fields in self.mount_fields))

    def check(self) -> None:
        _ = self.mounts


def _values(fields: Fields, change: Change) -> Fields:
    return tuple((name, change(value)) for name, value in fields)


@frozen
class _Files(Instruction):
    """Common to COPY and ADD. ``sources`` are names; ``heredocs`` are files of their names beside them."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()

    def flags(self) -> list[str]:
        said = [flags.write(name, value) for name, value in (("chown", self.chown), ("chmod", self.chmod)) if value]
        said += [flags.write("link", True)] if self.link else []
        return said + [flags.write("exclude", pattern) for pattern in self.exclude]

    def arguments(self) -> str:
        here = tuple(_mark(one) for one in self.heredocs)
        if here:
            # A heredoc in front keeps a first name like ``[]`` from being a list.
            is_first = bool(self.sources) and self.sources[0].startswith("[")
            names = (*here, *self.sources) if is_first else (*self.sources, *here)
            return " ".join((*names, self.destination))
        return listed((*self.sources, self.destination), self.escape)

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(
            self,
            sources=each(self.sources, change),
            destination=change(self.destination),
            heredocs=tuple(
                replace(one, content=change_text(one.content)) if one.expands else one for one in self.heredocs
            ),
            chown=change(self.chown),
            chmod=change(self.chmod),
            exclude=each(self.exclude, change),
        )

    def check(self) -> None:
        is_directory = self.destination in (".", "..") or self.destination.endswith(("/", "/.", "/.."))
        if len(self.sources) + len(self.heredocs) > 1 and not is_directory:
            raise InvalidArgument(
                f"several sources need a directory to go to: {shown(self.destination)} has to end with a slash"
            )


def _mark(one: Heredoc) -> str:
    name = one.name if one.expands else f'"{one.name}"'
    return f"<<{'-' if one.chomps else ''}{name}"


@frozen
class Copy(_Files):
    keyword = "COPY"
    from_: str = ""
    parents: bool = False

    def flags(self) -> list[str]:
        said = [flags.write("from", self.from_)] if self.from_ else []
        return said + super().flags() + ([flags.write("parents", True)] if self.parents else [])


@frozen
class Add(_Files):
    """``unpack`` None: archives of the context are unpacked, those of the network are not."""

    keyword = "ADD"
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None

    def flags(self) -> list[str]:
        said = super().flags()
        said += [flags.write("checksum", self.checksum)] if self.checksum else []
        said += [flags.write("keep-git-dir", True)] if self.keep_git_dir else []
        return said + ([flags.write("unpack", self.unpack)] if self.unpack is not None else [])

    def changed(self, change: Change, change_text: Change) -> Self:
        return replace(super().changed(change, change_text), checksum=change(self.checksum))
