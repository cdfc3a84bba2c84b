"""``%%container IMAGE``: the cell is a script that runs in a container of its own."""

from __future__ import annotations

import sys

from IPython.core.interactiveshell import InteractiveShell

import containerkit
from containerkit.errors import ContainerkitError, ProcessFailed, Timeout
from containerkit.notebook import runoptions
from containerkit.notebook.magicline import Parser, Python, call, show, without_traceback
from containerkit.results import Result


class ContainerMagic:
    """Runs the cell's text in an image, shows what it writes, and leaves the result in a variable."""

    COMPLETES = "images"

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.parser = parser = Parser(
            "%%container", "Run the cell's text, a shell script, in a container of its own, which is removed then."
        )
        add = parser.add_argument
        add("image", help="a reference or an id")
        add("--out", default="_result", metavar="VARIABLE", help="where the Result goes; default: _result")
        add("--shell", default="sh", metavar="PROGRAM", help="who reads the cell, as PROGRAM -c TEXT; default: sh")
        add("--timeout", metavar="SECONDS", type=runoptions.number_or_text, help='or "1m30s"; then it is killed')
        add("--quiet", action="store_true", help="show neither the Python nor what the cell writes")
        add("--no-raise-error", action="store_true", help="when its exit code is not 0, let the notebook go on")
        runoptions.add(parser, without=("entrypoint", "remove"))
        self.__doc__ = parser.format_help()
        self.__name__ = "container"

    def __call__(self, line: str, cell: str) -> None:
        wishes = self.parser.read(line)
        options = {"entrypoint": wishes.shell, **runoptions.given(wishes)}
        if wishes.timeout is not None:
            options["timeout"] = wishes.timeout
        if not wishes.quiet:
            source = call("ck.call", [wishes.image, ["-c", "CELL"]], options).replace("'CELL'", "cell", 1)
            show(Python(f"{wishes.out} = {source}"))
        try:
            result = containerkit.call(wishes.image, ["-c", cell], **options)
        except ContainerkitError as error:
            if isinstance(error, Timeout) and error.result is not None:
                self._take(error.result, wishes.out, quiet=wishes.quiet)
            raise without_traceback(error) from None
        self._take(result, wishes.out, quiet=wishes.quiet)
        if not result and not wishes.no_raise_error:
            name = f"%%container {wishes.image}"
            raise without_traceback(ProcessFailed(f"{name}: exit code {result.exit_code}", result=result))

    def _take(self, result: Result, variable: str, *, quiet: bool) -> None:
        self._shell.user_ns[variable] = result
        if not quiet:
            print(result.stdout, end="")
            print(result.stderr, end="", file=sys.stderr)
