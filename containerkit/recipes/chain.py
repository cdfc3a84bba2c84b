"""Images that are said and not built yet."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from containerkit.errors import ContainerkitError, NotFound
from containerkit.image import Image
from containerkit.options import BUILD_DEFAULTS, BuildOptions, shows_options
from containerkit.recipes.recipe import Origin, Part, Recipe
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.builder.context import Source
    from containerkit.builder.report import BuildReport
    from containerkit.dockerfile import Instruction
    from containerkit.engine import Engine

_COLUMNS = ("stage", "step", "instruction", "cache", "because")
_WIDTH = 100


class Chain(Image):
    """An image, and what is done with it: the image that comes of it, built when something of that is asked for.

    Made by the ``with_…`` of any image. It does not change: each ``with_…`` gives another one, and what was built of
    this one's steps is there for it. Once built, it is that image; one that was removed meanwhile is built again.

    Shown, it says what is planned, and which steps the cache has, without building any.

    >>> tools = ck.Image.get("busybox").with_run("mkdir /tools").with_copy({"tool.sh": "echo hello"}, "/tools/")
    >>> tools.build(tag="tools").call("sh /tools/tool.sh").stdout
    'hello\\n'
    """

    __slots__ = ("_lock", "_made", "_recipe", "_written")

    def __init__(self, engine: Engine, recipe: Recipe) -> None:
        self._engine, self._recipe = engine, recipe
        self._name, self._report = "", None
        self._written = recipe.written()
        self._made: Image | None = None
        self._lock = threading.RLock()

    def _with(self, instruction: Instruction, origins: Sequence[Origin | None] = ()) -> Chain:
        return Chain(self._engine, self._recipe.with_part(Part(instruction, tuple(origins))))

    def _as_origin(self) -> Recipe:
        return self._recipe

    @property
    def context(self) -> str | None:
        """The directory that :meth:`to_dockerfile` has paths from: the current one when they were said."""
        return self._written.context

    @property
    def contexts(self) -> Mapping[str, Source | Image]:
        """What other names in :meth:`to_dockerfile` stand for, as :meth:`Image.build` takes it."""
        return dict(self._written.contexts)

    def to_dockerfile(self) -> str:
        """Its Dockerfile. What it takes from this machine is in :attr:`context` and :attr:`contexts`.

        >>> chain = image.with_copy({"page": "hello"}, "/")
        >>> ck.Image.from_dockerfile(
        ...     chain.to_dockerfile(), context=chain.context, contexts=chain.contexts
        ... ) == chain
        True
        """
        return self._written.text

    @shows_options(BuildOptions, BUILD_DEFAULTS)
    def build(self, **options: Unpack[BuildOptions]) -> Image:  # type: ignore[override]  # its files are said already
        """Build it now.

        Returns:
            The image, by its name.

        Raises:
            BuildError: a step failed; the message says which ``with_…``.
            Timeout: time was up.
            StorageError: the disk is full.
        """
        with self._lock:
            self._made = Image.from_dockerfile(
                self._written.dockerfile, context=self._written.context, contexts=self._written.contexts,
                engine=self._engine, **options,
            )  # fmt: skip
            return self._made

    @property
    def id(self) -> str:
        """``sha256:`` and the digest of its config. It is built for that."""
        return self._image.id

    @property
    def _image(self) -> Image:
        """What it became, or becomes now."""
        with self._lock:
            return self._found() or self.build()

    def _found(self) -> Image | None:
        """What it became; None when that is not there."""
        made = self._made
        try:
            if made is not None:
                self._engine.store.images.get(made.id)
        except NotFound:
            return None
        return made

    def plan(self) -> BuildReport:
        """Its steps, and what the cache has of them, as of now: nothing is built.

        A step is a hit, a miss, or, where it depends on one that is a miss, not known.
        """
        from containerkit.builder import request

        written = self._written
        return request.rehearse(self._engine, written.context, written.dockerfile, written.contexts)

    def explain(self) -> BuildReport:
        """How it was built, step by step. It is built for that."""
        return self._image.explain()

    def _shown(self) -> tuple[str, list[dict[str, str]], tuple[str, ...]]:
        """What it is, a row for each step, and the columns."""
        made, stages = self._found(), self._written.dockerfile.stages
        title = f"Image(sha256:{made.short_id})" if made else "Image, not built yet"
        try:
            steps = (self.plan() if made is None else made.explain()).rows()
        except ContainerkitError as error:
            title += f" ({error.message})"
            steps = [{"stage": str(stage), "step": "", "instruction": one.source, "cache": "not known"}
                     for stage in stages for one in stage.instructions]  # fmt: skip
        rows: list[dict[str, str]] = []
        for stage in stages:
            rows.append({"stage": str(stage), "instruction": stage.base.source})
            rows += [step for step in steps if step["stage"] == str(stage)]
        for row in rows:
            row["instruction"] = text.plain(row["instruction"], _WIDTH)
        return title, rows, _COLUMNS[len(stages) == 1 :]

    def _repr_html_(self) -> str:
        title, rows, columns = self._shown()
        return f"<div>{html.note(title)}</div>{html.table(rows, columns)}"

    def __repr__(self) -> str:
        title, rows, columns = self._shown()
        return f"{title}\n{text.table(rows, columns)}"
