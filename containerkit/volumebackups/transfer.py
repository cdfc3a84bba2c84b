"""Volumes to backups and back, as the person who waits for it sees it: where from and where to, and how far it is.

The work is done by another process (supervise/volumes/saving.py), which knows paths of this machine only. What is a URL
or an open file goes through this one: what is written, by way of a pipe; what is read, by way of a copy.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from containerkit.backup import archive, chain, sources
from containerkit.backup.destinations import Destination, name_of, path_of, writing
from containerkit.backup.manifest import Manifest
from containerkit.backup.place import Place
from containerkit.backup.snapshots import Summary
from containerkit.backup.sources import Source
from containerkit.errors import about
from containerkit.progress import Choice, Progress, choose
from containerkit.store import rights
from containerkit.store.workspace import Workspace
from containerkit.supervise import longwork
from containerkit.supervise.volumes import saving
from containerkit.views import text

if TYPE_CHECKING:
    from containerkit.backup.items import Item
    from containerkit.engine import Engine


# -- how far it is ---------------------------------------------------------------------------------------------------


@contextmanager
def shown(choice: Choice, title: str, key: str, state: str) -> Iterator[longwork.Told]:
    """What takes the news of the work in the block, and shows them.

    Args:
        key: what is worked on.
        state: what is done with it.
    """
    progress = choose(choice)
    progress.begin(title)
    clock = _Clock(progress, key, state)
    try:
        yield clock
    except BaseException:
        progress.end(f"{title}: failed")
        raise
    progress.end(f"{title}: {clock.summary()}")


class _Clock:
    """Bytes, rate and time left."""

    def __init__(self, progress: Progress, key: str, state: str) -> None:
        self._progress, self._key, self._state = progress, key, state
        self._began = time.monotonic()
        self._done = self._files = 0

    def __call__(self, done: int, total: int, files: int) -> None:
        self._done, self._files = done, files
        seconds = max(time.monotonic() - self._began, 1e-3)
        rate = done / seconds
        left = f", {(total - done) / rate:.0f} s left" if rate and seconds > 1 else ""
        self._progress.item(self._key, f"{self._state}, {text.size(int(rate))}/s{left}", done, total)

    def summary(self) -> str:
        """What it came to."""
        seconds = time.monotonic() - self._began
        return f"{self._files} files, {text.size(self._done)} in {seconds:.1f} s"


# -- a volume becomes a backup ---------------------------------------------------------------------------------------


def backup(
    engine: Engine, name: str, destination: Destination, base: Place | None, wishes: saving.Wishes, progress: Choice,
) -> tuple[Place, Manifest | Summary]:  # fmt: skip
    """Write a backup of a volume.

    Args:
        base: the backup that only changes are to be written to.
    """
    paths = engine.store.paths
    with ExitStack() as stack:
        if base is not None:
            place, _ = stack.enter_context(fetched(engine, base, None))
            wishes = replace(wishes, base=place, base_name=_beside(base.source, destination))
        stack.enter_context(about(f"backup {name_of(destination)}"))
        with shown(progress, f"backup of {name}", name, "reading") as told:

            def work(path: str) -> Manifest:
                return longwork.call(paths.tmp, told, saving.save, paths, name, path, wishes)

            path = path_of(destination)
            if path is None:
                return Place(_again(destination), wishes.passphrase), _through_pipe(paths.tmp, destination, work)
            path = os.path.abspath(path)
            if not os.path.isdir(path) and not os.fspath(destination).endswith("/"):  # type: ignore[arg-type]  # a path
                return Place(path, wishes.passphrase), work(path)
            id, said = longwork.call(paths.tmp, told, saving.add, paths, name, path, wishes)
            return Place(path, wishes.passphrase, name, id), said


def _beside(base: Source, destination: Destination) -> str:
    """The name of the base's file, where that is in the same place."""
    places = [
        name_of(one) if path_of(one) is None else os.path.realpath(path_of(one) or "") for one in (base, destination)
    ]
    (above, _, name), (other, _, _) = (place.rpartition("/") for place in places)
    return name if above and above == other else ""


def _again(destination: Destination) -> Source:
    """Where what was written there is read again."""
    return destination if isinstance(destination, (str, os.PathLike)) else getattr(destination, "name", "stream")


def _through_pipe(tmp: Path, destination: Destination, work: Callable[[str], Manifest]) -> Manifest:
    """What the work writes to its path goes to the destination."""
    with Workspace(tmp) as space, writing(destination) as sink:
        path = f"{space.path}/stream"
        stream = longwork.Stream(path, sink.write)
        try:
            return work(path)
        finally:
            stream.end()


# -- and back --------------------------------------------------------------------------------------------------------


@contextmanager
def fetched(engine: Engine, place: Place, base: Source | None) -> Iterator[tuple[Place, str | None]]:
    """A backup as a place of this machine, and the path of its base where that was said."""
    with ExitStack() as stack:
        space: Workspace | None = None
        found: list[str | None] = []
        for source in (place.source, base):
            path = None if source is None else path_of(source)
            if source is not None and path is None:
                space = space or stack.enter_context(Workspace(engine.store.paths.tmp))
                path = _fetch(source, space.path / str(len(found)), place.passphrase)
            found.append(None if path is None else os.path.abspath(path))
        yield Place(str(found[0]), place.passphrase, place.volume, place.id), found[1]


def _fetch(source: Source, directory: Path, passphrase: str | None) -> str:
    """A copy of a backup, and of all that it is incremental to, in a new directory; the first one's path."""
    directory.mkdir()
    first = place = ""
    while True:
        name = os.path.basename(name_of(source)) or "backup"
        place = str(directory / name)
        first = first or place
        with ExitStack() as stack, open(place, "wb") as copy:
            shutil.copyfileobj(sources.raw(source, stack), copy, 1 << 20)
        with archive.open(place, passphrase=passphrase) as backup:
            parent = backup.manifest.parent_name
        if not parent or not isinstance(source, (str, os.PathLike)):
            return first
        source = f"{os.fspath(source).rpartition('/')[0]}/{parent}"


def verify(place: Place, name: str, base: Source | None, progress: Choice) -> None:
    """Read all of a backup."""
    with (
        shown(progress, f"verify of {place.name}", name or "backup", "reading") as told,
        place.opened() as backup,
    ):
        chain.verify(backup, base=base, passphrase=place.passphrase, told=told)


def restore(
    engine: Engine, place: Place, name: str, *, paths: Iterable[str] | None, verify: bool, base: Source | None,
    labels: Mapping[str, str], progress: Choice,
) -> None:  # fmt: skip
    """Make a backup the content of a volume, which is made when it is not there."""
    store = engine.store
    is_new = store.volumes.read(name) is None
    wanted = None if paths is None else [*([paths] if isinstance(paths, str) else paths)]
    with (
        about(f"volume {name}: restore"),
        fetched(engine, place, base) as (here, below),
        shown(progress, f"restore of {name}", name, "writing") as told,
    ):
        longwork.call(
            store.paths.tmp, told, saving.restore, store.paths, here, name, is_new=is_new, paths_wanted=wanted,
            verify=verify, base=below, labels=dict(labels),
        )  # fmt: skip


def copy(engine: Engine, name: str, new: str, *, consistency: str, labels: Mapping[str, str], progress: Choice) -> None:
    """Make a new volume with another's content."""
    paths = engine.store.paths
    with about(f"volume {new}"), shown(progress, f"copy of {name}", new, "copying") as told:
        longwork.call(paths.tmp, told, saving.copy, paths, name, new, consistency, dict(labels))


def items_of(engine: Engine, name: str, *, digests: bool = True) -> list[Item]:
    """What a volume has."""
    return rights.apart(saving.items, engine.store.paths, name, digests=digests)
