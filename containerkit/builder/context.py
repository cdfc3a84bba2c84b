"""A context: the files that COPY and ADD see, wherever they come from, without what ``.dockerignore`` leaves out."""

from __future__ import annotations

import io
import os
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from containerkit.builder.archived import index_archive, of_contents, read_archive
from containerkit.builder.ignore import Filtered, Ignore
from containerkit.builder.tree import Digests, Layers, Tree
from containerkit.errors import InvalidArgument, NotFound, from_os_error
from containerkit.layers import compression

#: A directory, an archive of any compression (its path, an open stream, its bytes), contents by name, or nothing.
Source = str | os.PathLike[str] | BinaryIO | bytes | Mapping[str, bytes | str] | None
_SUBJECT = "the context"
_IGNORE, _MAX_IGNORE = ".dockerignore", 1 << 20


class Context(Filtered):
    """What of ``everything`` the patterns leave."""

    def __init__(self, everything: Tree, ignore: Ignore) -> None:
        super().__init__(everything, ignore)
        self.everything = everything


def open_context(
    source: Source, workspace: Path, *, dockerfile: str = "Dockerfile", ignore: Ignore | None = None,
    digests: Digests | None = None, subject: str = _SUBJECT,
) -> Context:  # fmt: skip
    """The context that ``source`` is.

    Args:
        workspace: a private directory, where an archive's contents are kept as long as the context is used.
        dockerfile: its name in the context: ``<dockerfile>.dockerignore`` goes before ``.dockerignore``.
        ignore: the patterns, where they are not the context's own.
        digests: of files that have been read before; more are added.
        subject: how errors call it.

    Raises:
        NotFound: there is nothing at that path.
        InvalidArgument: it is neither a directory nor an archive, or ``.dockerignore`` has a bad pattern.
    """
    tree = _tree(source, f"{workspace}/context-{secrets.token_hex(4)}", digests, subject)
    with tree.opened():
        return Context(tree, _ignore(tree, dockerfile) if ignore is None else ignore)


def _tree(source: Source, spool: str, digests: Digests | None, subject: str) -> Tree:
    if source is None:
        return of_contents({}, spool, subject, 0)
    if isinstance(source, Mapping):
        return of_contents(source, spool, subject, time.time_ns())
    if isinstance(source, bytes):
        return read_archive(io.BytesIO(source), spool, subject, keeps_owners=False)
    if isinstance(source, (str, os.PathLike)):
        return _at(os.path.abspath(source), spool, digests, subject)
    return read_archive(source, spool, subject, keeps_owners=False)


def _at(path: str, spool: str, digests: Digests | None, subject: str) -> Tree:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            # Links that lead there have been followed: what the digests are known by is where the files really are.
            return Layers([os.path.realpath(path)], subject, digests, keeps_owners=False)
        if not stat.S_ISREG(mode):
            raise InvalidArgument(f"context {path}: neither a directory nor an archive")
        if "dockerfile" in os.path.basename(path).lower():
            directory, name = os.path.split(path)
            raise InvalidArgument(f"context {path}: is a Dockerfile: write build({directory!r}, dockerfile={name!r})")
        with open(path, "rb", buffering=0) as file:
            is_plain = compression.detect(file.read(16)) == "none"
            file.seek(0)
            subject = f"context {path}"
            if is_plain:
                return index_archive(path, subject, keeps_owners=False)
            return read_archive(file, spool, subject, keeps_owners=False)
    except FileNotFoundError:
        first, *more = os.path.relpath(path).splitlines()
        if more or first.startswith("FROM "):
            raise NotFound(f"context {first}: not found; a Dockerfile's text goes to Image.from_dockerfile()") from None
        raise NotFound(f"context {path}: not found") from None
    except OSError as error:
        raise from_os_error(error, f"context {path}") from error


def _ignore(tree: Tree, dockerfile: str) -> Ignore:
    for name in (f"{os.path.normpath(dockerfile)}{_IGNORE}", _IGNORE):
        if (data := tree.read(name, _MAX_IGNORE)) is not None:
            return Ignore.parse(data, name)
    return Ignore()
