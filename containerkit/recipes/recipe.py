"""What a chain of ``with_…`` says: a value; and the Dockerfile that says the same.

Words: *part* (one call: an instruction, and what each of its files is from), *origin* (a directory of this machine,
contents that were given, an image, or another recipe).

A recipe on top of others becomes one Dockerfile: each recipe that files are copied from is a stage. Names of stages
and contexts are made of what they stand for, so that a longer chain says of its beginning what the shorter one said:
steps of the one are in the cache for the other. The directory that relative paths of the first such call are in is the
build's context; others are contexts with a name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from containerkit.builder.context import Source
from containerkit.dockerfile import Add, Copy, Directives, Dockerfile, From, Instruction, Run, Stage, dump
from containerkit.errors import InvalidArgument
from containerkit.values import frozen

if TYPE_CHECKING:
    from containerkit.image import Image


@frozen
class Directory:
    """A directory of this machine.

    Args:
        is_context: it may be the build's context: what is in it was said by relative paths.
    """

    path: str
    is_context: bool

    @property
    def identity(self) -> str:
        return f"directory {self.path}"

    @property
    def name(self) -> str:
        base = re.sub(r"[^a-z0-9_.-]+", "-", os.path.basename(self.path).lower()) or "root"
        return f"files-{base}-{_short(self.identity)}"


@frozen
class Contents:
    """Files that were given, by name."""

    files: Mapping[str, bytes]

    @cached_property
    def identity(self) -> str:
        hasher = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            hasher.update(f"{name!r} {len(data)}\n".encode("utf-8", "surrogateescape"))
            hasher.update(data)
        return f"contents {hasher.hexdigest()}"

    @property
    def name(self) -> str:
        return f"files-{_short(self.identity)}"


@frozen
class NamedImage:
    """An image that is there, and how it is called."""

    image: Image
    reference: str

    @property
    def identity(self) -> str:
        return f"image {self.reference} {self.image.id}"

    @property
    def name(self) -> str:
        """A number alone would be a stage's."""
        return self.image.id if self.reference.isdigit() else self.reference


@frozen
class Part:
    """One call.

    Args:
        origins: what the files of COPY and ADD are from, or of RUN those of each mount; None: it needs none, or says
            it itself.
    """

    instruction: Instruction
    origins: tuple[Origin | None, ...] = ()

    @property
    def identity(self) -> str:
        return "\n".join([dump([self.instruction]), *(one.identity if one else "" for one in self.origins)])


@frozen
class Recipe:
    """A base image, and what is done with it."""

    base: NamedImage
    parts: tuple[Part, ...] = ()

    def with_part(self, part: Part) -> Recipe:
        """One step longer; the step knows which it is."""
        keyword = part.instruction.keyword.lower()
        where = replace(part.instruction.location, name=f"step {len(self.parts) + 1} (with_{keyword})")
        return replace(self, parts=(*self.parts, replace(part, instruction=replace(part.instruction, location=where))))

    @cached_property
    def identity(self) -> str:
        """Equal for recipes that are."""
        said = "\n".join([self.base.identity, *(part.identity for part in self.parts)])
        return hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def name(self) -> str:
        """Of its stage."""
        return f"stage-{_short(self.identity)}"

    def written(self) -> Written:
        """The Dockerfile, and what it needs.

        Raises:
            InvalidArgument: ADD of files that are not in the context.
        """
        return _Writer(self).written()


Origin = Directory | Contents | NamedImage | Recipe


@dataclass
class Written:
    """A recipe as a build takes it.

    Args:
        context: the directory that paths without ``--from`` are in.
        contexts: what other names stand for.
    """

    dockerfile: Dockerfile
    context: str | None = None
    contexts: dict[str, Source | Image] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The Dockerfile, with a comment on each context that has to be given to a build of it."""
        lines = [f"# context: {self.context!r}"] if self.context else []
        for name, source in self.contexts.items():
            if isinstance(source, str):
                lines.append(f"# context {name}: {source!r}")
            elif isinstance(source, Mapping):
                lines.append(f"# context {name}: {', '.join(map(repr, source))}")
        return "".join(f"{line}\n" for line in lines) + dump(self.dockerfile.stages)


class _Writer:
    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._context: str | None = None
        self._contexts: dict[str, Source | Image] = {}
        self._stages: dict[str, tuple[From, tuple[Instruction, ...]]] = {}

    def written(self) -> Written:
        self._write(self._recipe, "")
        stages = [Stage(at, name, *said) for at, (name, said) in enumerate(self._stages.items())]
        name = f"the chain on {self._recipe.base.reference}"
        return Written(Dockerfile(name, Directives(), (), tuple(stages)), self._context, self._contexts)

    def _write(self, recipe: Recipe, name: str) -> None:
        """Adds a stage, after those that it needs."""
        instructions = tuple([self._part(part) for part in recipe.parts])
        self._stages[name] = (From(self._name(recipe.base), name), instructions)

    def _part(self, part: Part) -> Instruction:
        one, names = part.instruction, [self._name(origin) if origin else "" for origin in part.origins]
        if isinstance(one, Run):
            fields = zip(one.mount_fields, names, strict=True)
            return replace(one, mount_fields=tuple((*said, ("from", name)) if name else said for said, name in fields))
        if names and names[0] and isinstance(one, Copy):
            return replace(one, from_=names[0])
        if any(names) and isinstance(one, Add):
            raise InvalidArgument(
                f"with_add: files of {getattr(part.origins[0], 'path', '')}: the files of this chain are in "
                f"{self._context}, and ADD takes them from nowhere else (with_copy does)"
            )
        return one

    def _name(self, origin: Origin) -> str:
        """What COPY --from says of it; empty for the context. Stages and contexts that are new are noted."""
        if isinstance(origin, Directory):
            if self._context is None and origin.is_context:
                self._context = origin.path
            if origin.path == self._context:
                return ""
        name = origin.name
        if isinstance(origin, Recipe):
            if name not in self._stages:
                self._write(origin, name)
        elif isinstance(origin, NamedImage):
            # A name that was another image's meanwhile means the one that it meant at the time.
            if getattr(self._contexts.get(name, origin.image), "id", "") != origin.image.id:
                name = origin.image.id
            self._contexts[name] = origin.image
        else:
            self._contexts[name] = origin.path if isinstance(origin, Directory) else origin.files
        return name


def _short(identity: str) -> str:
    return hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:12]
