"""The sources of COPY and ADD: what each comes to, and what that depends on."""

from __future__ import annotations

import hashlib
import os
import posixpath
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from containerkit.builder import fetch, matching
from containerkit.builder.archived import Indexed, of_contents, read_archive
from containerkit.builder.ignore import Filtered, Ignore
from containerkit.builder.matching import Match
from containerkit.builder.tree import SOCKET, File, Tree, walk
from containerkit.errors import InvalidArgument
from containerkit.layers import compression, tar
from containerkit.layers.compression import Peeked, Readable
from containerkit.layers.tar import DIRECTORY, FILE, Entry
from containerkit.registry.deadline import Deadline
from containerkit.values import frozen

_URL_MODE = 0o600
_INLINE = "the Dockerfile"


@frozen
class Request:
    """An instruction, expanded.

    Args:
        destination: relative to ``workdir``, or absolute.
        inline: names and contents of what is written in the Dockerfile itself.
        is_add: URLs are fetched, and local archives unpacked.
        unpack: whether archives are unpacked; None: those that are local.
        checksum: of the one URL.
    """

    sources: tuple[str, ...]
    destination: str
    workdir: str = "/"
    inline: tuple[tuple[str, bytes], ...] = ()
    chown: str = ""
    chmod: str = ""
    parents: bool = False
    exclude: tuple[str, ...] = ()
    is_add: bool = False
    unpack: bool | None = None
    checksum: str = ""

    @property
    def path(self) -> str:
        """The destination, from the root."""
        return matching.clean(posixpath.join(self.workdir or "/", self.destination))

    @property
    def is_directory(self) -> bool:
        """Whether the destination says that it is one."""
        return posixpath.basename(self.destination) in ("", ".", "..")

    def unpacks(self, *, is_local: bool) -> bool:
        return self.is_add and (is_local if self.unpack is None else self.unpack)


class Placed(NamedTuple):
    """A file, and where it goes below its piece's place.

    Args:
        is_weak: a directory that is only there for what is in it: one that is there already stays as it is.
    """

    path: str
    file: File
    is_weak: bool = False


@frozen
class Piece:
    """What one source comes to.

    Args:
        name: what it is called in a directory; empty: its files go into the destination, which is one.
        is_unpacked: it was an archive.
    """

    tree: Tree
    name: str
    files: tuple[Placed, ...]
    is_unpacked: bool = False


Found = Iterator[tuple[Piece, dict[str, str]]]


def gather(request: Request, tree: Tree, workspace: Path, deadline: Deadline | None = None) -> Found:
    """What the sources come to, one after another, each with its inputs.

    Raises:
        as :func:`~containerkit.builder.copying.plan`.
    """
    _check(request)
    with tree.opened():
        for source in request.sources:
            if fetch.is_url(source):
                yield from _fetched(request, source, workspace, deadline)
            elif request.parents:
                yield from _with_parents(request, source, tree)
            else:
                yield from _local(request, source, tree, workspace)
    if request.inline:
        yield from _inline(request, workspace)


def _check(request: Request) -> None:
    urls = [source for source in request.sources if fetch.is_url(source)]
    if urls and not request.is_add:
        raise InvalidArgument(f"source {urls[0]}: COPY takes no URL (ADD does)")
    if request.checksum and (len(request.sources) != 1 or not urls):
        raise InvalidArgument(f"--checksum={request.checksum}: for one source alone, and that a URL")


def _local(request: Request, source: str, tree: Tree, workspace: Path) -> Found:
    for match in matching.find(tree, source):
        file = match.file
        if file.kind == SOCKET and matching.is_wild(source):
            continue
        if file.kind == SOCKET:
            raise InvalidArgument(f"source {source}: a socket, which is no file to copy")
        if file.kind == DIRECTORY:
            yield _content(request, match, tree)
            continue
        name = match.path.rpartition("/")[2]
        if Ignore((pattern, "") for pattern in request.exclude).ignores(name):
            continue
        unpacked = _unpacked(tree, file, workspace) if request.unpacks(is_local=True) and file.kind == FILE else None
        yield (
            unpacked or Piece(tree, name, (Placed("", file),)),
            {f"file {match.path}": _facts(request, tree, file, "")},
        )


def _content(request: Request, match: Match, tree: Tree) -> tuple[Piece, dict[str, str]]:
    directory = match.file
    skip = len(directory.path) + 1 if directory.path else 0
    files = [file for file in walk(_without(tree, request.exclude, directory.path), directory) if file.kind != SOCKET]
    # The directory itself is not copied: whatever becomes of its mode, that changes nothing.
    inputs = {f"directory {match.path or '.'}": f"the directory {directory.path}"}
    piece = Piece(tree, "", tuple([Placed(file.path[skip:], file) for file in files]))
    return piece, inputs | _named(request, tree, files[1:])


def _without(tree: Tree, patterns: Sequence[str], base: str) -> Tree:
    return Filtered(tree, Ignore((pattern, "") for pattern in patterns), base) if patterns else tree


def _with_parents(request: Request, source: str, tree: Tree) -> Found:
    base, matches = matching.find_with_parents(tree, source)
    seen = _without(tree, request.exclude, base)
    skip = len(base) + 1 if base else 0
    placed: dict[str, Placed] = {}
    for match in matches:
        if seen.get(match.path) is None:
            continue
        parts = match.path[skip:].split("/")
        for count in range(1, len(parts)):
            above = tree.get(match.path[:skip] + "/".join(parts[:count]))
            if above is not None:
                placed.setdefault(above.path, Placed(above.path[skip:], above, is_weak=True))
        for file in walk(seen, match.file):
            if file.kind != SOCKET:
                placed[file.path] = Placed(file.path[skip:], file)
    if placed:
        yield Piece(tree, "", tuple(placed.values())), _named(request, tree, [one.file for one in placed.values()])


def _fetched(request: Request, source: str, workspace: Path, deadline: Deadline | None) -> Found:
    got = fetch.fetch(source, workspace, request.checksum, deadline)
    if not got.name and request.is_directory:
        raise InvalidArgument(f"source {source}: a URL without a file's name (give the destination one)")
    name = got.name or "file"
    tree = Indexed(got.path, f"source {source}", keeps_owners=False)
    tree.add(Entry(name, FILE, _URL_MODE, size=os.path.getsize(got.path), mtime=got.mtime), 0)
    (file,) = tree.list("")
    unpacked = _unpacked(tree, file, workspace) if request.unpacks(is_local=False) else None
    yield unpacked or Piece(tree, name, (Placed("", file),)), {f"url {source}": got.digest}


def _inline(request: Request, workspace: Path) -> Found:
    spool = f"{workspace}/inline-{secrets.token_hex(4)}"
    tree = of_contents(dict(request.inline), spool, _INLINE, time.time_ns())
    for name, content in request.inline:
        file = tree.get(matching.clean(name))
        if file is not None:
            yield Piece(tree, file.name, (Placed("", file),)), {f"inline {name}": hashlib.sha256(content).hexdigest()}


def _unpacked(tree: Tree, file: File, workspace: Path) -> Piece | None:
    """The files of an archive; None when it is none, or has none."""
    with tree.content(file) as content:
        if not _is_archive(content):
            return None
    subject, spool = f"archive {file.path}", f"{workspace}/unpacked-{secrets.token_hex(4)}"
    with tree.content(file) as content:
        found = read_archive(content, spool, subject, keeps_owners=True)
    root = found.get("")
    files = [Placed(one.path, one, one.is_implied) for one in walk(found, root)] if root is not None else []
    return Piece(found, "", tuple(files), is_unpacked=True)


def _is_archive(content: Readable) -> bool:
    peeked = Peeked(content)
    try:
        with compression.reader(peeked, compression.detect(peeked.head), "") as plain:
            head = Peeked(plain, tar.BLOCK).head
    except InvalidArgument:
        return False  # compressed, and damaged: copied as it is
    return tar.begins_archive(head) and any(head)


def _named(request: Request, tree: Tree, files: Iterable[File]) -> dict[str, str]:
    first: dict[object, str] = {}  # names of files that have several
    return {
        f"file {file.path}{'/' if file.kind == DIRECTORY else ''}": _facts(
            request, tree, file, "" if file.same is None else first.setdefault(file.same, file.path)
        )
        for file in files
    }


def _facts(request: Request, tree: Tree, file: File, first: str) -> str:
    """The digest of all that comes along; the time does not count.

    Args:
        first: of a file with several names the one that came before the others.
    """
    owners = tree.keeps_owners and not request.chown
    facts: list[object] = [file.kind, file.mode, file.link, file.major, file.minor, first]
    facts += [file.uid, file.gid] if owners else []
    facts += sorted(tree.attributes(file).items())
    facts += [tree.digest(file)] if file.kind == FILE else []
    return hashlib.sha256(repr(facts).encode()).hexdigest()
