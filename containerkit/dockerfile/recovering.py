"""A Dockerfile for an image of which nothing is known but its history and its config.

Of the history: RUN, with the ENV, ARG, WORKDIR, USER and SHELL that it was run with, in their order; what copied files
is a comment. Of the config: all that the history does not say. History has values after their variables were replaced
and without their quotes: where each ends, the config tells, which has them once more.

What others write into a history::

    RUN |1 V=1 /bin/sh -c make # buildkit      BuildKit, and this package without the remark
    |1 V=1 /bin/sh -c make                     Docker's builder before that
    /bin/sh -c #(nop)  CMD ["sh"]              the same, of what runs nothing
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from containerkit.dockerfile import jsonform, literal
from containerkit.dockerfile.config import DEFAULT_SHELL, apply, environment
from containerkit.dockerfile.dump import dump, from_config
from containerkit.dockerfile.instruction import Instruction
from containerkit.dockerfile.making import Arg, From
from containerkit.dockerfile.problems import shown
from containerkit.dockerfile.quoting import word
from containerkit.errors import InvalidArgument
from containerkit.oci.image_config import ContainerConfig, History

_REMARK = re.compile(r"\s+# buildkit\Z")
_CLASSIC = "/bin/sh -c "
_NOTHING = re.compile(r"#\(nop\)\s*")
_ARGS = re.compile(r"\|([0-9]{1,6}) ")
#: Whose last value the config has, and on which no RUN depends.
_OF_CONFIG = ("CMD", "ENTRYPOINT", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "VOLUME")


def recovered(
    history: Sequence[History], config: ContainerConfig, base: str = "scratch",
    base_config: ContainerConfig | None = None,
) -> str:  # fmt: skip
    """The text of a Dockerfile.

    Args:
        history: of the image, without the base's.
        base: the image that it begins with; ``base_config`` is its config.
    """
    found = _Recovery(config, base_config or ContainerConfig())
    for step in history:
        found.add(step)
    return dump([From(base)]) + "".join(found.lines) + found.rest()


@dataclass
class _Recovery:
    config: ContainerConfig
    so_far: ContainerConfig
    lines: list[str] = field(default_factory=list)
    args: dict[str, str] = field(default_factory=dict)

    def add(self, step: History) -> None:
        said = _REMARK.sub("", step.created_by)
        if said.startswith(_CLASSIC):
            rest = said.removeprefix(_CLASSIC)
            said = _NOTHING.sub("", rest) if _NOTHING.match(rest) else f"RUN {said}"
        elif _ARGS.match(said):
            said = f"RUN {said}"
        keyword, _, rest = said.partition(" ")
        if keyword in _OF_CONFIG:
            return
        read = self._readers().get(keyword)
        try:
            if read is None:
                raise InvalidArgument("nothing that can be done again")
            for one in read(rest.strip()):
                self._say(one)
        except InvalidArgument:
            self.lines.append(f"# {shown(said)[1:-1] or 'a layer'}\n")

    def _say(self, one: Instruction) -> None:
        self.lines.append(dump([one]))
        self.so_far = apply(self.so_far, one.expanded({}))

    def _readers(self) -> Mapping[str, Callable[[str], Iterator[Instruction]]]:
        return {
            "RUN": self._run, "ENV": self._env, "ARG": self._arg,
            "WORKDIR": lambda rest: iter([literal.workdir(rest)]),
            "USER": lambda rest: iter([literal.user(rest)]),
            "SHELL": lambda rest: iter([literal.shell(jsonform.read(rest) or ())]),
        }  # fmt: skip

    def _run(self, rest: str) -> Iterator[Instruction]:
        if count := _ARGS.match(rest):
            rest = rest[count.end() :]
            for _ in range(int(count[1])):
                _, rest = _taken(rest, self.args)
        shell = " ".join(self.so_far.shell or DEFAULT_SHELL) + " "
        # Of the exec form, where one argument ends and the next begins is not known: a shell finds the words again.
        yield literal.run(rest.removeprefix(shell))

    def _env(self, rest: str) -> Iterator[Instruction]:
        while rest:
            (name, value), rest = _taken(rest, environment(self.config), is_all=True)
            yield literal.env({name: value})

    def _arg(self, rest: str) -> Iterator[Instruction]:
        name, equals, value = rest.partition("=")
        self.args[name] = value
        yield literal.certain(Arg(((name, word(value) if equals else None),)))

    def rest(self) -> str:
        """What the config has besides."""
        found = []
        for one in from_config(self.config):
            after = apply(self.so_far, one.expanded(environment(self.so_far)), keeps_cmd=True)
            if after != self.so_far:
                self.so_far = after
                found.append(dump([one]))
        return "".join(found)


def _taken(text: str, known: Mapping[str, str], *, is_all: bool = False) -> tuple[tuple[str, str], str]:
    """The first ``NAME=value`` of several, and the rest.

    A value that is known ends where that does; another one at white space, or, where ``is_all`` is in pairs and there
    is no other, at the end.
    """
    name, equals, after = text.partition("=")
    if not equals or " " in name:
        raise InvalidArgument("no NAME=value")
    first, _, rest = after.partition(" ")
    value = known.get(name)
    if value is None or not f"{after} ".startswith(f"{value} "):
        value = after if is_all and "=" not in rest else first
    return (name, value), after[len(value) :].strip()
