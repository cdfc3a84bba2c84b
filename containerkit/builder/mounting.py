"""RUN --mount: what is mounted while one command runs, and leaves nothing in the layer.

bind      files of the context, of a stage or of an image: a copy, which may be written to and is gone after it
cache     a directory of the store that stays from build to build; ``locked`` and ``private`` ones are locked (flock(2))
secret    a file below the run directory, which is in memory where that is usual, or a variable
tmpfs     memory
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import posixpath
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from containerkit.builder.inputs import key
from containerkit.builder.sources import Request
from containerkit.dockerfile import RunMount, Stage
from containerkit.errors import InvalidArgument, NotFound, Unsupported
from containerkit.options import Mount
from containerkit.store import rights
from containerkit.store.ingest import write_files
from containerkit.store.workspace import Workspace

if TYPE_CHECKING:
    from containerkit.builder.build import Build

#: Of one private cache so many at once.
_SEVERAL = 1000
#: Seconds between two looks whether a cache is free.
_LOOK = 0.05


@dataclass
class Mounted:
    """What a command finds: options of its container."""

    mounts: list[Mount] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)  # variables that are secrets


class Mounter:
    """Prepares mounts for the commands of a stage."""

    def __init__(self, build: Build, stage: Stage) -> None:
        self._build, self._stage = build, stage
        self._store, self._wishes = build.store, build.wishes
        self._held: set[Path] = set()  # caches that this command has locked

    def inputs(self, mounts: tuple[RunMount, ...]) -> dict[str, str]:
        """What the command depends on by its mounts: not on what a cache has, on secrets, or on names of stages."""
        found = {}
        for number, mount in enumerate(mounts, 1):
            found[f"mount {number}"] = repr(replace(mount, from_=""))
            if mount.type == "bind" or mount.from_:
                with self._build.copying(_request(mount), mount.from_, self._stage, ()) as copying:
                    found |= {f"mount {number}: {name}": value for name, value in copying.inputs.items()}
        return found

    def prepare(self, mounts: tuple[RunMount, ...], workdir: str, stack: ExitStack) -> Mounted:
        """Make what is to be mounted, until ``stack`` is closed.

        Raises:
            NotFound: a secret that is required was not given; a path that is not there.
            Unsupported: an agent for ssh.
        """
        found = Mounted()
        # All who lock several do so in one order, and what is to be alone comes before what is shared.
        self._held.clear()
        for mount in sorted(mounts, key=lambda one: (one.type != "cache", one.id, one.sharing == "shared")):
            target = posixpath.normpath(posixpath.join(workdir or "/", mount.target)) if mount.target else ""
            if mount.type == "ssh":
                raise Unsupported("RUN --mount=type=ssh: agents are not forwarded (give a key with type=secret)")
            if mount.type == "tmpfs":
                found.mounts.append(Mount(target, type="tmpfs", size=mount.size))
            elif mount.type == "secret":
                self._secret(mount, target, found, stack)
            elif mount.type == "cache":
                source = self._cache(mount, stack)
                found.mounts.append(Mount(target, source, "bind", read_only=mount.read_only))
            else:
                source = self._bind(mount, stack)
                found.mounts.append(Mount(target, source, "bind", read_only=mount.read_only))
        return found

    def _secret(self, mount: RunMount, target: str, found: Mounted, stack: ExitStack) -> None:
        value = self._wishes.secret(mount.id)
        if value is None:
            if mount.required:
                raise NotFound(f"secret {mount.id}: required, and not given (secrets={{{mount.id!r}: …}})")
            return
        if mount.env:
            try:
                found.hidden[mount.env] = value.decode()
            except ValueError as error:
                raise InvalidArgument(f"secret {mount.id}: cannot be a variable: not UTF-8") from error
            if not mount.target:
                return
        space = stack.enter_context(Workspace(self._store.paths.secrets))
        path = space.path / "secret"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(value)
        rights.call(_dress, path, mount, 0o400)
        found.mounts.append(Mount(target or f"/run/secrets/{mount.id}", str(path), "bind", read_only=True))

    def _cache(self, mount: RunMount, stack: ExitStack) -> str:
        """The directory of a cache, locked as it asks for."""
        name = self._name(mount)
        for number in range(_SEVERAL if mount.sharing == "private" else 1):
            place = self._store.paths.build_caches / f"{name}-{number}"
            if place in self._held or self._lock(place, mount.sharing, stack):
                self._held.add(place)
                return str(self._filled(place, mount))
        raise InvalidArgument(f"cache {mount.id}: in use {_SEVERAL} times")

    def _name(self, mount: RunMount) -> str:
        said = [mount.id]
        if mount.from_:  # it begins with these files, whatever they are called
            with self._build.copying(_request(mount), mount.from_, self._stage, ()) as copying:
                said.append(key(copying.inputs))
        return hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]

    def _lock(self, place: Path, sharing: str, stack: ExitStack) -> bool:
        """Lock a cache's directory, which is made; of a private one False where somebody else has it."""
        kind = fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX
        while True:
            place.mkdir(parents=True, exist_ok=True)
            try:
                lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # somebody prunes
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
                if place.exists() and os.path.samestat(os.fstat(lock), os.stat(place)):
                    stack.callback(_let_go, lock)
                    return True
            except BlockingIOError:
                if sharing == "private":
                    os.close(lock)
                    return False
            except FileNotFoundError:
                pass
            os.close(lock)
            # Not in flock(2): the build may be over meanwhile.
            self._build.check()
            time.sleep(_LOOK)

    def _filled(self, place: Path, mount: RunMount) -> Path:
        data = place / "data"
        if not data.exists():
            with Workspace(self._store.paths.tmp) as space:
                fresh = space.path / "fresh"
                if mount.from_:
                    os.rename(self._exported(mount, f"{space.path}/all"), fresh)
                else:
                    fresh.mkdir()
                rights.call(_dress, fresh, mount, 0o755)
                try:
                    os.rename(fresh, data)
                except OSError:
                    if not data.is_dir():  # somebody else shares it, and was first
                        raise
        return data

    def _bind(self, mount: RunMount, stack: ExitStack) -> str:
        # A copy: what is written to it is nobody else's, and a path can lead nowhere else.
        space = stack.enter_context(Workspace(self._store.paths.tmp))
        return str(self._exported(mount, f"{space.path}/all"))

    def _exported(self, mount: RunMount, space: str) -> Path:
        """A copy of what a mount is from: a file, or a directory."""
        with self._build.copying(_request(mount), mount.from_, self._stage, ()) as copying:
            rights.call(write_files, space, copying.write)
        name = copying.pieces[0].name
        return Path(space, name) if name else Path(space)


def _let_go(lock: int) -> None:
    # Said, for a process that was forked meanwhile has the descriptor, too.
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _request(mount: RunMount) -> Request:
    return Request((mount.source or "/",), "/")


def _dress(path: Path, mount: RunMount, mode: int) -> None:
    os.chmod(path, mount.mode if mount.mode is not None else mode)
    if mount.uid is not None or mount.gid is not None:
        shutil.chown(path, mount.uid or 0, mount.gid or 0)
