"""Builds, as the person who asks for them sees them: where the Dockerfile is, how it goes, and what went wrong."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from containerkit.builder.build import BuildFailed, Files, Finished
from containerkit.builder.build import build as carry_out
from containerkit.builder.build import rehearse as look_up
from containerkit.builder.context import Context, Source, open_context
from containerkit.builder.report import BuildReport, counted
from containerkit.builder.wishes import Wishes
from containerkit.dockerfile import Dockerfile
from containerkit.dockerfile.problems import excerpt
from containerkit.dockerfile.reading import stage_name
from containerkit.errors import BuildError, ContainerkitError, InvalidArgument, NotFound, Timeout, from_os_error
from containerkit.oci import platforms
from containerkit.oci.reference import Reference
from containerkit.options import (
    BUILD_DEFAULTS,
    BuildOptions,
    RunOptions,
    StepOptions,
    duration,
    foreign,
    unknown_option,
)
from containerkit.progress import choose
from containerkit.store.images import ImageRecord
from containerkit.store.workspace import Workspace

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.image import Image

_NAMES = ("Dockerfile", "Containerfile")
_MAX_DOCKERFILE = 16 << 20


def build(
    engine: Engine, context: Source, options: BuildOptions, *, failed: Callable[[ImageRecord], Image],
    dockerfile: str | os.PathLike[str] | None = None, text: str | bytes | Dockerfile | None = None,
    contexts: Mapping[str, Source | Image] | None = None,
) -> Finished:  # fmt: skip
    """Build an image; see :meth:`Image.build`.

    Args:
        failed: makes what an error gives for an image.
        text: of the Dockerfile, which is in no file then; or what it says.
        contexts: by name, more files, or images, that COPY --from and FROM can say.
    """
    _refuse_unknown(options, with_file=text is None)
    said: BuildOptions = {**BUILD_DEFAULTS, **options}
    tags = several(said.get("tag"))
    for one in tags:
        Reference.parse(one)
    timeout = said.get("timeout")
    seconds = None if timeout is None else duration(timeout, "timeout")
    deadline = None if seconds is None else time.monotonic() + seconds
    asked = _wishes(said, tags, deadline)
    shown = choose(said["progress"])
    with _files(engine, context, contexts or {}, dockerfile) as (files, images):
        source, data = _source(files.context, dockerfile, text)
        wishes = replace(asked, name=_identity(context, dockerfile, source, tags), images=images)
        shown.begin(f"build {tags[0] if tags else source.name}")
        try:
            finished = carry_out(engine.store, engine.configuration, source, files, wishes, shown)
        except BaseException as error:
            shown.end(f"build {tags[0] if tags else source.name}: failed")
            if isinstance(error, BuildFailed):
                raise _error(error, source.name, data, failed) from error.error
            if isinstance(error, Timeout) and seconds is not None:
                error.args = (f"build {source.name}: not finished after {seconds:g} s; ended",)
                error.message = error.args[0]
            raise
        shown.end(_summary(tags[0] if tags else finished.image.id[7:19], finished))
        return finished


def _refuse_unknown(options: BuildOptions, *, with_file: bool) -> None:
    for name in sorted(options.keys() - BuildOptions.__annotations__.keys()):
        if name in RunOptions.__annotations__:
            raise InvalidArgument(f"option {name}: builds take {', '.join(sorted(StepOptions.__annotations__))}")
        known = (*BuildOptions.__annotations__, "contexts", *["dockerfile"] * with_file)
        raise unknown_option(name, known, foreign.OF_BUILDS)


def several(said: str | Sequence[str] | None) -> tuple[str, ...]:
    """What may be one, several or none."""
    return (said,) if isinstance(said, str) else tuple(said or ())


def _wishes(said: BuildOptions, tags: tuple[str, ...], deadline: float | None) -> Wishes:
    """All that needs no look at the files."""
    build_args, labels, secrets = (_mapping(said, name) for name in ("build_args", "labels", "secrets"))
    platform = said.get("platform")
    of_steps = {name: said.get(name) for name in StepOptions.__annotations__}
    return Wishes(
        "", tags, {name: str(value) for name, value in build_args.items()}, said.get("target") or "", labels,
        said["no_cache"], said["pull"], None if platform is None else platforms.parse(platform), {}, secrets,
        {name: value for name, value in of_steps.items() if value is not None}, several(said["cache_from"]),
        said["inline_cache"], deadline,
    )  # fmt: skip


def _mapping(said: BuildOptions, name: Literal["build_args", "labels", "secrets"]) -> dict[str, Any]:
    given = said.get(name)
    if given is not None and not isinstance(given, Mapping):
        raise InvalidArgument(f'{name} {given!r:.80}: expected a mapping: {{"NAME": "value"}}')
    return dict(given or {})


def rehearse(
    engine: Engine, context: Source, source: Dockerfile, contexts: Mapping[str, Source | Image]
) -> BuildReport:
    """What :func:`build` would find in the cache; see :meth:`~containerkit.builder.build.Build.rehearse`."""
    with _files(engine, context, contexts, None) as (files, images):
        wishes = Wishes(_identity(context, None, source, ()), images=images)
        return look_up(engine.store, engine.configuration, source, files, wishes, choose(False))


@contextmanager
def _files(
    engine: Engine, context: Source, contexts: Mapping[str, Source | Image], dockerfile: str | os.PathLike[str] | None
) -> Iterator[tuple[Files, dict[str, str]]]:
    """What COPY and ADD see; and the ids of the images among the named contexts."""
    try:
        with Workspace(engine.store.paths.tmp) as space:
            digests = engine.store.filedigests
            named, images = {}, {}
            for name, source in contexts.items():
                if isinstance(id := getattr(source, "id", None), str):
                    images[_context_name(name)] = id
                else:
                    named[_context_name(name)] = open_context(
                        cast(Source, source), space.path, digests=digests, subject=f"context {name}"
                    )
            tree = open_context(context, space.path, dockerfile=_named(dockerfile), digests=digests)
            yield Files(tree, named), images
    except ContainerkitError:
        raise
    except OSError as error:
        raise from_os_error(error, "build") from error


def _context_name(name: str) -> str:
    """As instructions have it: what could be a stage's name is in lower case."""
    if not name or re.search(r"[\s$]", name) or name.isdigit():
        raise InvalidArgument(f"context {name!r}: no name that COPY --from=… can say")
    return stage_name(name)


def _source(
    tree: Context, dockerfile: str | os.PathLike[str] | None, text: str | bytes | Dockerfile | None
) -> tuple[Dockerfile, str]:
    """What is to be built, and its text; empty of what has none."""
    if isinstance(text, Dockerfile):
        return text, ""
    if isinstance(text, str) and "\n" not in text and os.path.isfile(text):
        raise InvalidArgument(f"Dockerfile {text}: from_dockerfile() takes its text; write build(dockerfile={text!r})")
    name, data = ("Dockerfile", text) if text is not None else _read(tree, dockerfile)
    return Dockerfile.parse(data, name), data if isinstance(data, str) else data.decode(errors="replace")


def _summary(name: str, finished: Finished) -> str:
    return f"built {name}: {counted(finished.report)}"


def _named(dockerfile: str | os.PathLike[str] | None) -> str:
    return os.path.basename(os.fspath(dockerfile)) if dockerfile is not None else _NAMES[0]


def _identity(
    context: Source, dockerfile: str | os.PathLike[str] | None, source: Dockerfile, tags: Sequence[str]
) -> str:  # fmt: skip
    """What a build is known by from one time to the next: where its files are; by its name where they are nowhere."""
    if isinstance(context, (str, os.PathLike)):
        name = source.name if dockerfile is None else os.fspath(dockerfile)
        if dockerfile is not None and os.path.isfile(name):
            name = os.path.relpath(name, context)
        return f"{os.path.abspath(context)}:{name}"
    return f"{source.name} of {tags[0]}" if tags else source.name


def _read(tree: Context, dockerfile: str | os.PathLike[str] | None) -> tuple[str, bytes]:
    """The Dockerfile and its name: a path of this machine, or of the context."""
    if dockerfile is not None:
        path = Path(dockerfile)
        if path.is_file():
            return path.name, path.read_bytes()
        if (data := _content(tree, os.fspath(dockerfile))) is not None:
            return path.name, data
        raise NotFound(f"build: {path}: no such Dockerfile, neither here nor in the context")
    for name in _NAMES:
        if (data := _content(tree, name)) is not None:
            return name, data
    raise NotFound(f"build: there is no Dockerfile in {tree.subject} (dockerfile=… says where it is)")


def _content(tree: Context, name: str) -> bytes | None:
    """A file of the context, whatever .dockerignore says of it."""
    with tree.everything.opened():
        return tree.everything.read(name, _MAX_DOCKERFILE)


def _error(failure: BuildFailed, name: str, text: str, failed: Callable[[ImageRecord], Image]) -> BuildError:
    step = failure.step
    where = step.instruction.location
    marked = "\n" + excerpt(text.splitlines(), where) if text and not step.trigger and where.name == name else ""
    message = f"build: {where}: {step.instruction.source.splitlines()[0][:200]}: {failure.error.message}{marked}"
    return BuildError(
        message, log=failure.error.log, exit_code=failure.exit_code,
        image=None if failure.image is None else failed(failure.image), report=failure.report,
    )  # fmt: skip


def report(engine: Engine, id: str) -> BuildReport | None:
    """How an image was built here; None when it was not."""
    data = engine.store.buildsteps.report_of(id)
    return None if data is None else BuildReport.loads(data)
