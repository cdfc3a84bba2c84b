"""``%ck ps``: a terminal's commands. Each is turned into Python, which is shown, and then carried out as it stands."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from IPython.core.interactiveshell import InteractiveShell

import containerkit
from containerkit.errors import ContainerkitError
from containerkit.notebook import runoptions
from containerkit.notebook.magicline import Parser, Python, call, show, without_traceback

Wishes = argparse.Namespace
_NAMES = ("names", {"nargs": "+", "metavar": "CONTAINER", "help": "a name or an id"})
_NAME = ("name", {"metavar": "CONTAINER", "help": "a name or an id"})
_COMMAND = ("command", {"nargs": argparse.REMAINDER, "metavar": "COMMAND …", "help": "and its arguments"})


class Command(NamedTuple):
    """One command.

    Args:
        python: the source that it stands for.
        arguments: of its line, as ``add_argument`` takes them.
        completes: what its words may be: ``containers``, ``images``.
        runs: it has the options of ``run``.
    """

    about: str
    python: Callable[[Wishes], str]
    arguments: Sequence[tuple[str, dict[str, Any]]] = ()
    completes: str = ""
    runs: bool = False


def _frame(collection: str) -> Callable[[Wishes], str]:
    return lambda wishes: f"ck.{collection}.frame()"


def _each(verb: str, *options: str, collection: str = "containers") -> Callable[[Wishes], str]:
    """A verb on each of the names; options that were given are passed on."""

    def python(wishes: Wishes) -> str:
        values = {name: getattr(wishes, name) for name in options}
        said = {name: value for name, value in values.items() if value is not None and value is not False}
        done = call(verb, (), said)
        if len(wishes.names) == 1:
            return f"ck.{collection}[{wishes.names[0]!r}].{done}"
        return f"[ck.{collection}[name].{done} for name in {tuple(wishes.names)!r}]"

    return python


def _flag(name: str, about: str) -> tuple[str, dict[str, Any]]:
    return name, {"action": "store_true", "help": about}


def _logs(wishes: Wishes) -> str:
    said = {name: getattr(wishes, name) for name in ("tail", "timestamps") if getattr(wishes, name)}
    return f"print({call(f'ck.containers[{wishes.name!r}].logs', (), said)}, end='')"


def _run(wishes: Wishes) -> str:
    return call("ck.run", [wishes.image, *([wishes.command] if wishes.command else [])], runoptions.given(wishes))


_TIMEOUT = ("--timeout", {"type": float, "metavar": "SECONDS", "help": "until it is killed"})
_FORCE = _flag("--force", "also when it runs, or is in use")
COMMANDS = {
    "ps": Command(
        "the containers that run",
        lambda wishes: call("ck.containers.frame", (), {"all": True} if wishes.all else {}),
        [_flag("--all", "those that do not run, too")],
    ),
    "images": Command("the images", _frame("images")),
    "volumes": Command("the volumes", _frame("volumes")),
    "networks": Command("the networks", _frame("networks")),
    "stats": Command(
        "what containers use now: all, or these",
        lambda wishes: call("ck.containers.stats", wishes.names),
        [("names", {"nargs": "*", "metavar": "CONTAINER", "help": "a name or an id"})], "containers",
    ),
    "run": Command("start a container", _run, [("image", {"help": "a reference or an id"}), _COMMAND], "images", True),
    "exec": Command(
        "run one more command in a container",
        lambda wishes: call(f"ck.containers[{wishes.name!r}].exec", [wishes.command]), [_NAME, _COMMAND], "containers",
    ),
    "logs": Command(
        "what a container wrote", _logs,
        [_NAME, ("--tail", {"type": int, "metavar": "LINES", "help": "only the last so many"}),
         _flag("--timestamps", "the time before each line")], "containers",
    ),
    "top": Command("a container's processes", lambda wishes: f"ck.containers[{wishes.name!r}].top()", [_NAME],
                   "containers"),
    "start": Command("start containers", _each("start"), [_NAMES], "containers"),
    "stop": Command("stop containers", _each("stop", "timeout"), [_NAMES, _TIMEOUT], "containers"),
    "restart": Command("stop containers and start them", _each("restart", "timeout"), [_NAMES, _TIMEOUT], "containers"),
    "kill": Command(
        "end containers, or send them a signal", _each("kill", "signal"),
        [_NAMES, ("--signal", {"help": "its name or number"})], "containers",
    ),
    "pause": Command("stop containers' processes where they are", _each("pause"), [_NAMES], "containers"),
    "unpause": Command("let them go on", _each("unpause"), [_NAMES], "containers"),
    "rm": Command(
        "remove containers", _each("remove", "force", "volumes"),
        [_NAMES, _FORCE, _flag("--volumes", "their nameless volumes, too")], "containers",
    ),
    "rmi": Command(
        "remove images", _each("remove", "force", collection="images"),
        [("names", {"nargs": "+", "metavar": "IMAGE", "help": "a reference or an id"}), _FORCE], "images",
    ),
    "pull": Command("an image from its registry", lambda wishes: call("ck.pull", [wishes.image]),
                    [("image", {"help": "a reference"})], "images"),
    "prune": Command(
        "remove what is not used", lambda wishes: call("ck.prune", (), {"all": True} if wishes.all else {}),
        [_flag("--all", "images with names, too")],
    ),
    "doctor": Command("what this machine has of what containers need", lambda wishes: "ck.doctor()"),
}  # fmt: skip


class CkMagic:
    """Carries a command out; its value is the cell's: ``frame = %ck ps``."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.parsers = {name: _parser(name, command) for name, command in COMMANDS.items()}
        self.completes = {name: command.completes for name, command in COMMANDS.items()}
        self._parser = Parser("%ck", "Commands for containers, as on a terminal.")
        self._parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
        self.__doc__ = "\n".join(
            ["%ck COMMAND …: commands for containers, as on a terminal; each shows the Python that it stands for", ""]
            + [line for parser in self.parsers.values() for line in _told(parser)]
        )
        self.__name__ = "ck"

    def __call__(self, line: str) -> object:
        name, _, rest = line.strip().partition(" ")
        if not name:
            print(self.__doc__)
            return None
        self._parser.read(name)
        source = COMMANDS[name].python(self.parsers[name].read(rest))
        show(Python(source))
        try:
            return eval(source, {"ck": containerkit})
        except ContainerkitError as error:
            raise without_traceback(error) from None


def _parser(name: str, command: Command) -> Parser:
    parser = Parser(f"%ck {name}", command.about)
    if command.runs:
        runoptions.add(parser)
    for word, settings in command.arguments:
        parser.add_argument(word, **settings)
    return parser


def _told(parser: Parser) -> list[str]:
    words = parser.format_usage().removeprefix("usage: ").split()
    usage = " ".join(words if len(words) < 30 else [*words[:2], "[OPTION of run …]", "IMAGE", "COMMAND …"])
    return [usage, f"    {parser.description}"]
