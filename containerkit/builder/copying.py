"""COPY and ADD: files of a context, an image, a URL become a layer.

Source: Dockerfile reference, "COPY" and "ADD"; where that is silent, what Docker's builder does. A directory's content
is copied, and not the directory; a link that is a source itself is followed inside its tree, and links in directories
are copied as links; files of a context are root's and lose their attributes, those of an image keep both; sockets are
left out. What is unpacked keeps its owners, modes and attributes, and takes the place of whatever is there.

A wildcard may match nothing as long as another source is there (``COPY setup.py lock* ./``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from containerkit.builder import modes
from containerkit.builder.placing import Item, Target, owner_of
from containerkit.builder.sources import Piece, Placed, Request, gather
from containerkit.builder.tree import File, Tree
from containerkit.errors import InvalidArgument, NotFound
from containerkit.layers.pack import Archive
from containerkit.layers.stack import Stack
from containerkit.layers.tar import DIRECTORY, SYMLINK
from containerkit.registry.deadline import Deadline
from containerkit.values import frozen

#: Of more files than this, the inputs are one for each directory at the top.
_NAMED = 2000


@frozen
class Copying:
    """What a step is going to copy. Goes to another process.

    Args:
        inputs: all that it depends on, by name: digests.
        layers: the image's, uppermost first.
        epoch: seconds: later times become it.
    """

    request: Request
    pieces: tuple[Piece, ...]
    inputs: Mapping[str, str]
    layers: tuple[str, ...] = ()
    epoch: int | None = None

    def write(self, archive: Archive) -> None:
        """Append the layer's entries.

        Raises:
            InvalidArgument: a file cannot go where it should: something else is there; or ``--chown`` names nobody.
            InvalidState: a file is not any more what it was when this was planned.
        """
        with ExitStack() as stack:
            for tree in {id(piece.tree): piece.tree for piece in self.pieces}.values():
                stack.enter_context(tree.opened())
            target = Target(stack.enter_context(Stack(self.layers)).tree())
            laying = _Laying(self.request, self.layers, target)
            for piece in self.pieces:
                laying.lay(piece)
            target.add_to(archive, self.epoch)


class _Laying:
    """Pieces go where the instruction says, one after another."""

    def __init__(self, request: Request, layers: Sequence[str], target: Target) -> None:
        self._request, self._target = request, target
        self._owner = owner_of(request.chown, layers) if request.chown else None
        self._change = modes.parse(request.chmod) if request.chmod else None
        self._lonely: set[str] = set()  # destinations that are one file's

    def lay(self, piece: Piece) -> None:
        where = self._place(piece)
        for placed in piece.files:
            if piece.is_unpacked:
                self._unpack(where, placed, piece)
            elif placed.path or placed.file.kind != DIRECTORY:
                self._copy("/".join(filter(None, (where, placed.path))), placed, piece)

    def _place(self, piece: Piece) -> str:
        """Where the piece's files go, or below."""
        target, request = self._target, self._request
        where = target.resolve(request.path)
        if not piece.name:
            target.ensure(where, self._owner)
            return where
        if request.is_directory:
            target.ensure(where, self._owner)
        if target.is_directory(where):
            return f"{where}/{piece.name}" if where else piece.name
        if where in self._lonely:
            raise InvalidArgument(
                f"destination {request.destination}: more than one file goes there, which only a directory can take "
                "(end it with a slash)"
            )
        self._lonely.add(where)
        return where

    def _copy(self, path: str, placed: Placed, piece: Piece) -> None:
        if placed.is_weak and self._target.is_directory(path):
            self._target.ensure(path, self._owner)
            return
        self._target.ensure(path.rpartition("/")[0], self._owner)
        item = self._item(path, placed.file, piece)
        if self._change is not None and item.entry.kind != SYMLINK:
            item.entry.mode = self._change(item.entry.mode, item.entry.kind == DIRECTORY)
        self._target.put(path, item, replaces=False)

    def _unpack(self, where: str, placed: Placed, piece: Piece) -> None:
        path = where
        if placed.path:
            # The archive's own links, and the image's, lead where they lead.
            parent = self._target.resolve("/".join(filter(None, (where, placed.path.rpartition("/")[0]))))
            path = "/".join(filter(None, (parent, placed.file.name)))
            self._target.ensure(parent, self._owner)
        if placed.is_weak:
            self._target.ensure(self._target.resolve(path), self._owner)
        else:
            self._target.put(path, self._item(path, placed.file, piece), replaces=True)

    def _item(self, path: str, file: File, piece: Piece) -> Item:
        tree = piece.tree
        entry = file.entry(path)
        entry.uid, entry.gid = self._owner or ((file.uid, file.gid) if tree.keeps_owners else (0, 0))
        entry.xattrs = dict(tree.attributes(file))
        return Item(entry, file, tree, None if file.same is None else (id(piece), file.same))


def plan(
    request: Request, tree: Tree, layers: Sequence[str | os.PathLike[str]], workspace: Path, *,
    epoch: int | None = None, deadline: Deadline | None = None,
) -> Copying:  # fmt: skip
    """Find the sources, and what they depend on. The layers below are not looked at before :meth:`Copying.write`.

    Args:
        tree: the context, or the files of an image or a stage.
        layers: of the image that is built, uppermost first; empty for ``--link``, which looks at nothing.
        workspace: a private directory for what is fetched or unpacked; it stays until the layer is written.
        epoch: seconds: later times become it (SOURCE_DATE_EPOCH).
        deadline: when everything that is fetched has to be there.

    Raises:
        NotFound: a source is not there, is left out by ``.dockerignore``, or no source matches anything.
        InvalidArgument: a bad pattern, mode or checksum.
        InvalidState: a file changed while it was read.
        Unsupported: a git repository as source.
        BuildError: a URL gave no file, or not that of the checksum.
        Timeout: the deadline has come.
    """
    if request.chmod:
        modes.parse(request.chmod)
    pieces: list[Piece] = []
    inputs: dict[str, str] = {}
    for piece, depends in gather(request, tree, workspace, deadline):
        pieces.append(piece)
        inputs |= depends
    if not pieces:
        raise NotFound(f"source {' '.join(request.sources)}: nothing in {tree.subject} matches")
    return Copying(request, tuple(pieces), _folded(inputs), tuple([os.fspath(layer) for layer in layers]), epoch)


def _folded(inputs: dict[str, str]) -> dict[str, str]:
    """Inputs by file, or of many files by directory."""
    if len(inputs) <= _NAMED:
        return inputs
    folded: dict[str, hashlib._Hash] = {}
    for name, value in inputs.items():
        kind, _, path = name.partition(" ")
        top, slash, _ = path.partition("/")
        folded.setdefault(f"files in {top}" if kind == "file" and slash else name, hashlib.sha256()).update(
            f"{name!r} {value}\n".encode()
        )
    return {name: hasher.hexdigest() for name, hasher in folded.items()}
