"""``%%ck_profile``: containers are measured while the cell runs."""

from __future__ import annotations

import ast

from IPython.core.interactiveshell import InteractiveShell

import containerkit
from containerkit.errors import ContainerkitError
from containerkit.notebook.magicline import Parser, Python, call, show, without_traceback


class ProfileMagic:
    """Runs the cell, as Python, between the beginning and the end of a recording; shows what containers used."""

    COMPLETES = "containers"

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.parser = parser = Parser(
            "%%ck_profile", "Measure containers while the cell runs; without names all, and those that it starts."
        )
        add = parser.add_argument
        add("containers", nargs="*", metavar="CONTAINER", help="a name or an id")
        add("--interval", type=float, metavar="SECONDS", help="between samples; default: 0.1")
        add("--out", default="_recordings", metavar="VARIABLE", help="where the Recordings go; default: _recordings")
        add("--no-plot", action="store_true", help="show the table alone")
        self.__doc__ = parser.format_help()
        self.__name__ = "ck_profile"

    def __call__(self, line: str, cell: str) -> object:
        wishes = self.parser.read(line)
        options = {} if wishes.interval is None else {"interval": wishes.interval}
        show(Python(f"with {call('ck.record', wishes.containers, options)} as {wishes.out}: …"))
        try:
            recordings = containerkit.record(*wishes.containers, **options)
        except ContainerkitError as error:
            raise without_traceback(error) from None
        with recordings:
            value = self._execute(cell)
        self._shell.user_ns[wishes.out] = recordings
        show(recordings)
        if not wishes.no_plot:
            figure = recordings.plot().figure
            show(figure)
            _close(figure)
        return value

    def _execute(self, cell: str) -> object:
        """Run it as a cell is run; the value of an expression at its end."""
        source = self._shell.transform_cell(cell)  # type: ignore[no-untyped-call]  # IPython has no types here
        name = self._shell.compile.cache(source)
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self._shell.user_ns)
        if not isinstance(last, ast.Expr):
            return None
        return eval(compile(ast.Expression(last.value), name, "eval"), self._shell.user_ns)


def _close(figure: object) -> None:
    """It is shown; the notebook is not to show it once more at the end of the cell."""
    import matplotlib.pyplot as plt

    plt.close(figure)  # type: ignore[arg-type]  # a Figure
