"""What a notebook shows of an object: its card or table, and beside it the line of text for everything else."""

from __future__ import annotations

from collections.abc import Container


class Shown:
    """Something that is seen as HTML in a notebook and as text on a terminal."""

    def _repr_html_(self) -> str:
        raise NotImplementedError

    def _repr_mimebundle_(
        self, include: Container[str] | None = None, exclude: Container[str] | None = None
    ) -> dict[str, str]:
        """All its forms by MIME type, as IPython asks for them."""
        forms = {"text/plain": lambda: repr(self), "text/html": self._repr_html_}
        wanted = [kind for kind in forms if (include is None or kind in include) and kind not in (exclude or ())]
        return {kind: forms[kind]() for kind in wanted}
