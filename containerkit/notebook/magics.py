"""Magics: ``%load_ext containerkit`` makes them known.

``%%dockerfile`` builds the cell's text; ``%%container`` (containermagic.py) runs it in an image; ``%ck`` (ckmagic.py)
has the commands of a terminal; ``%%ck_profile`` (profilemagic.py) measures while the cell runs.

Each magic is a class that reads its line with a parser (``%%dockerfile?`` shows its help), calls public names, and
leaves what it made in a variable of the notebook; :func:`load` lists them, and completion.py completes their lines.
What goes wrong is an error of the cell, without a traceback: its message says where, and "run all cells" stops there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from containerkit.builder.report import BuildReport
from containerkit.errors import BuildError, ContainerkitError
from containerkit.image import Image
from containerkit.notebook import completion
from containerkit.notebook.ckmagic import CkMagic
from containerkit.notebook.containermagic import ContainerMagic
from containerkit.notebook.magicline import Parser, show, without_traceback
from containerkit.notebook.profilemagic import ProfileMagic
from containerkit.views import html, text

#: Of a report, without what is another one each time: how long a step took is beside it in the progress.
_COLUMNS = ("stage", "step", "instruction", "cache", "because")


def load(shell: InteractiveShell) -> None:
    """Make the magics known."""
    cells = (DockerfileMagic(shell), ContainerMagic(shell), ProfileMagic(shell))
    for magic in cells:
        shell.magics_manager.register_function(magic, "cell", magic.__name__)
        completion.offer(shell, f"%%{magic.__name__}", magic.parser, magic.COMPLETES)
    commands = CkMagic(shell)
    shell.magics_manager.register_function(commands, "line", commands.__name__)
    completion.offer_commands(shell, f"%{commands.__name__}", commands.parsers, commands.completes)


class DockerfileMagic:
    """``%%dockerfile``: build the cell's text; show how it went, step by step."""

    COMPLETES = "images"

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.parser = parser = Parser("%%dockerfile", "Build the cell's text, a Dockerfile.")
        add = parser.add_argument
        add("tag", nargs="?", help="what the image is called; without, it has no name")
        add("--build-arg", action="append", default=[], metavar="NAME=VALUE", help="a value for an ARG")
        add("--target", metavar="STAGE", help="the stage to build; default: the last one")
        add("--no-cache", action="store_true", help="carry out every step")
        add("--context", metavar="PATH", help="a directory or an archive with the files for COPY and ADD")
        add("--file-var", action="append", default=[], metavar="NAME=VARIABLE",
            help="a file for COPY and ADD: what is in that variable of the notebook, text or bytes")  # fmt: skip
        add("--out", default="_image", metavar="VARIABLE", help="where the image goes; default: _image")
        add("--no-raise-error", action="store_true",
            help="when it fails, let the notebook go on; VARIABLE is what there was before the step")  # fmt: skip
        self.__doc__ = parser.format_help()
        self.__name__ = "dockerfile"

    def __call__(self, line: str, cell: str) -> None:
        wishes = self.parser.read(line)
        build_args = dict(self._pair(one, "--build-arg") for one in wishes.build_arg)
        context = self._context(wishes.context, wishes.file_var)
        try:
            image = Image.from_dockerfile(
                cell, context=context, tag=wishes.tag, build_args=build_args, target=wishes.target,
                no_cache=wishes.no_cache,
            )  # fmt: skip
        except ContainerkitError as error:
            if not wishes.no_raise_error:
                raise without_traceback(error) from None
            self._shell.user_ns[wishes.out] = error.image if isinstance(error, BuildError) else None
            show(_Failure(str(error)))
        else:
            self._shell.user_ns[wishes.out] = image
            show(_Report(image.explain()))

    def _context(self, path: str | None, files: Sequence[str]) -> Any:
        if path is not None and files:
            self.parser.error("--context and --file-var: one of them (a directory has its files in it)")
        pairs = (self._pair(one, "--file-var") for one in files)
        return {name: self._content(variable) for name, variable in pairs} if path is None else path

    def _content(self, variable: str) -> str | bytes:
        found = self._shell.user_ns.get(variable)
        if not isinstance(found, (str, bytes)):
            self.parser.error(f"--file-var: {variable}: expected the name of a variable with text or bytes in it")
        return found

    def _pair(self, said: str, option: str) -> tuple[str, str]:
        name, equals, value = said.partition("=")
        if not name or not equals:
            self.parser.error(f"{option} {said}: expected NAME=VALUE")
        return name, value


class _Report:
    """What a build leaves below its cell: the same each time, as long as the cache has the same in it."""

    def __init__(self, report: BuildReport) -> None:
        self._rows, self._warnings = report.rows(), report.warnings

    def __repr__(self) -> str:
        return "\n".join([text.table(self._rows, _COLUMNS, empty="no steps"), *self._warnings])

    def _repr_html_(self) -> str:
        return html.table(self._rows, _COLUMNS, empty="no steps") + html.pre("\n".join(self._warnings))


class _Failure:
    """What went wrong."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __repr__(self) -> str:
        return self._message

    def _repr_html_(self) -> str:
        return html.pre(self._message, "#b71c1c")
