"""A logical line becomes an instruction."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from containerkit.dockerfile import flags, heredoc, jsonform, mounts, shell
from containerkit.dockerfile.flags import Flags
from containerkit.dockerfile.heredoc import Heredoc
from containerkit.dockerfile.instruction import Command, Instruction, Pairs
from containerkit.dockerfile.lines import Line
from containerkit.dockerfile.making import Add, Arg, Copy, From, Run
from containerkit.dockerfile.problems import NOWHERE, Location, shown
from containerkit.dockerfile.setting import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from containerkit.errors import InvalidArgument, suggestion
from containerkit.options.values import duration
from containerkit.values import frozen

#: White space of ASCII is what separates words.
_WORD = re.compile(r"[^\t\v\f\r ]+")
#: What a stage can be called.
_STAGE = re.compile(r"[a-z][a-z0-9_.-]*")
_NETWORKS, _SECURITY = ("default", "none", "host"), ("sandbox", "insecure")
_NOT_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")
_MILLISECOND = 10**6


@frozen
class _Said:
    """What stands after the keyword."""

    keyword: str
    text: str
    flags: Flags
    heredocs: tuple[Heredoc, ...]
    escape: str

    def refuse(self, reason: str) -> InvalidArgument:
        return InvalidArgument(f"{self.keyword}: {reason}")

    @property
    def words(self) -> tuple[str, ...]:
        """The strings of a list, or what white space separates; quotes do not count."""
        found = jsonform.read(self.text)
        return tuple(_WORD.findall(self.text)) if found is None else found

    @property
    def command(self) -> Command:
        found = jsonform.read(self.text)
        return self.text if found is None else found


def split(text: str) -> tuple[str, str]:
    """The keyword, as it is written, and the rest."""
    word = _WORD.match(text)
    end = word.end() if word else 0
    return text[:end], text[end:].strip()


def instruction(line: Line, escape: str, location: Location = NOWHERE) -> Instruction:
    """The instruction of a line.

    Raises:
        InvalidArgument: there is no such instruction, or it cannot be meant like this.
    """
    word, rest = split(line.text)
    keyword = word.upper()
    reader = _READERS.get(keyword)
    if reader is None:
        raise InvalidArgument(f"unknown instruction {shown(word)[1:-1]}{suggestion(keyword, _READERS)}")
    if line.unended:
        raise InvalidArgument(f"{keyword}: heredoc {line.unended}: the file ends before a line that is {line.unended}")
    found, rest = flags.take(rest)
    try:
        said = _Said(keyword, rest.strip(), flags.read(keyword, found), line.heredocs, escape)
        if not said.text:
            raise said.refuse("needs an argument")
        read = replace(reader(said), location=location, escape=escape)
    except InvalidArgument as error:
        raise _of(keyword, error) from error
    _examine(read)
    return read


def _of(keyword: str, error: InvalidArgument) -> InvalidArgument:
    return error if error.message.startswith(f"{keyword}: ") else InvalidArgument(f"{keyword}: {error.message}")


def _examine(read: Instruction) -> None:
    """Finds now what is wrong whatever the variables will be."""
    if not read.has_variables:
        read.expanded({})
        return
    try:
        read.missing({})
    except InvalidArgument as error:
        raise _of(read.keyword, error) from error


def _from(said: _Said) -> From:
    words = _WORD.findall(said.text)
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise said.refuse(f"expected IMAGE or IMAGE AS NAME, found {shown(said.text)}")
    name = words[2].lower() if len(words) == 3 else ""
    if name and not _STAGE.fullmatch(name):
        raise said.refuse(f"stage name {shown(words[2])}: use letters, digits, _ . - and begin with a letter")
    return From(words[0], name, said.flags.texts.get("platform", ""))


def _run(said: _Said) -> Run:
    network = said.flags.texts.get("network", "default")
    security = said.flags.texts.get("security", "sandbox")
    for name, value, known in (("network", network, _NETWORKS), ("security", security, _SECURITY)):
        if value not in known:
            raise said.refuse(f"--{name}={value}: expected one of {', '.join(known)}{suggestion(value, known)}")
    if said.command == ():
        raise said.refuse("needs an argument")
    fields = tuple(map(mounts.fields, said.flags.lists.get("mount", ())))
    return Run(said.command, said.heredocs, fields, network, security, said.flags.lists.get("device", ()))


def _places(said: _Said) -> tuple[tuple[str, ...], str]:
    """Names of sources, and the destination."""
    words = said.words
    if len(words) < 2:
        raise said.refuse("needs a source and a destination")
    if said.heredocs and heredoc.parse(words[-1]):
        raise said.refuse("a heredoc cannot be the destination")
    here = said.heredocs
    return tuple(word for word in words[:-1] if not (here and heredoc.parse(word))), words[-1]


def stage_name(text: str) -> str:
    """In lower case what can be a stage's name; another image's as it is."""
    return text.lower() if _STAGE.fullmatch(text.lower()) else text


def _copy(said: _Said) -> Copy:
    sources, destination = _places(said)
    texts, truths = said.flags.texts, said.flags.truths
    origin = texts.get("from", "")
    if "$" in origin:
        raise said.refuse("--from cannot have variables (name a stage, and use them in its FROM)")
    if "from" in texts and not origin.strip():
        raise said.refuse("--from needs a stage, an image or a context")
    return Copy(
        sources, destination, said.heredocs, texts.get("chown", ""), texts.get("chmod", ""), bool(truths.get("link")),
        said.flags.lists.get("exclude", ()), stage_name(origin),
        bool(truths.get("parents")),
    )  # fmt: skip


def _add(said: _Said) -> Add:
    sources, destination = _places(said)
    texts, truths = said.flags.texts, said.flags.truths
    return Add(
        sources, destination, said.heredocs, texts.get("chown", ""), texts.get("chmod", ""), bool(truths.get("link")),
        said.flags.lists.get("exclude", ()), texts.get("checksum", ""), bool(truths.get("keep-git-dir")),
        truths.get("unpack"),
    )  # fmt: skip


def is_legacy(text: str, escape: str) -> bool:
    """Whether ``NAME the rest`` is what is written, for ``NAME="the rest"``."""
    words, _ = shell.split(text, escape)
    return not words or "=" not in words[0]


def _key_values(said: _Said) -> Pairs:
    if is_legacy(said.text, said.escape):
        name, value = split(said.text)
        if not value:
            raise said.refuse(f"expected NAME=value, found {shown(said.text)}")
        return ((name, _unbroken(value, said.escape)),)
    words, _ = shell.split(said.text, said.escape)
    return tuple(_pair(said, word) for word in words)


def _pair(said: _Said, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise said.refuse(f"expected NAME=value, found {shown(word)}")
    if not name:
        raise said.refuse(f"the name is missing before {shown(word)}")
    return name, value


def _unbroken(value: str, escape: str) -> str:
    """The value of the old form, as one word: each space that no quotes hold is escaped."""
    mark = re.escape(escape)
    piece = re.compile(rf"{mark}.|'[^']*'|\"(?:[^\"{mark}]|{mark}.)*\"|(\s)", re.DOTALL)
    return piece.sub(lambda found: escape + found[0] if found[1] else found[0], value)


def _arg(said: _Said) -> Arg:
    words, _ = shell.split(said.text, said.escape)
    return Arg(tuple(_pair(said, word) if "=" in word else (word, None) for word in words))


def _shell(said: _Said) -> Shell:
    found = jsonform.read(said.text)
    if not found:
        raise said.refuse(f'expected a list in JSON, as ["/bin/sh", "-c"], found {shown(said.text)}')
    return Shell(found)


def _healthcheck(said: _Said) -> Healthcheck:
    kind, rest = split(said.text)
    if kind.upper() == "NONE":
        if rest:
            raise said.refuse("NONE takes no arguments")
        return Healthcheck(None)
    if kind.upper() != "CMD":
        raise said.refuse(f"expected CMD or NONE, found {shown(kind)}{suggestion(kind.upper(), ('CMD', 'NONE'))}")
    command = replace(said, text=rest).command
    if not command:
        raise said.refuse("CMD needs a command")
    return Healthcheck(
        command, _nanoseconds(said, "interval"), _nanoseconds(said, "timeout"), _nanoseconds(said, "start-period"),
        _nanoseconds(said, "start-interval"), _retries(said),
    )  # fmt: skip


def _nanoseconds(said: _Said, name: str) -> int:
    text = said.flags.texts.get(name, "")
    is_bare = text.isascii() and text.isdigit()
    found = round(duration(text, f"--{name}") * 10**9) if text and not is_bare else 0
    if (is_bare and text.strip("0")) or 0 < found < _MILLISECOND:
        raise said.refuse(f"--{name}={text}: expected at least 1ms, with its unit as in 30s or 1m30s")
    return found


def _retries(said: _Said) -> int:
    text = said.flags.texts.get("retries", "0")
    if not re.fullmatch(r"\+?[0-9]{1,9}", text):
        raise said.refuse(f"--retries={text}: expected a whole number from 0 up")
    return int(text)


def _on_build(said: _Said) -> OnBuild:
    word, _ = split(said.text)
    if word.upper() in _NOT_TRIGGERS:
        raise said.refuse(f"{word.upper()} cannot be done later, in another build")
    inner = instruction(Line(said.text, 0, 0, said.heredocs), said.escape)
    return OnBuild("\n".join([said.text, *(one.as_written for one in said.heredocs)]), inner)


_READERS: Mapping[str, Callable[[_Said], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": lambda said: Cmd(said.command),
    "COPY": _copy,
    "ENTRYPOINT": lambda said: Entrypoint(said.command),
    "ENV": lambda said: Env(_key_values(said)),
    "EXPOSE": lambda said: Expose(tuple(_WORD.findall(said.text))),
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": lambda said: Label(_key_values(said)),
    "MAINTAINER": lambda said: Maintainer(said.text),
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": lambda said: StopSignal(said.text),
    "USER": lambda said: User(said.text),
    "VOLUME": lambda said: Volume(said.words),
    "WORKDIR": lambda said: Workdir(said.text),
}
