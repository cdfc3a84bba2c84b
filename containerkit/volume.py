"""Volume: a handle on one volume."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from containerkit import engine as engines
from containerkit.backup.destinations import Destination
from containerkit.backup.items import Item
from containerkit.backup.place import Place
from containerkit.backup.sources import Source
from containerkit.errors import AlreadyExists, InvalidArgument, NotFound
from containerkit.options import foreign, volume_name
from containerkit.progress import Choice
from containerkit.sessions import session
from containerkit.store import rights
from containerkit.supervise import names
from containerkit.supervise.volumes import drivers, saving
from containerkit.supervise.volumes.saving import Wishes
from containerkit.views import html, text
from containerkit.views.shown import Shown
from containerkit.volumebackups import transfer
from containerkit.volumebackups.backup import Backup, Changes, difference

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine
    from containerkit.store.volumerows import VolumeRecord


@foreign.answers
class Volume(Shown):
    """Files that outlive containers. Made by ``create``, ``get`` and ``list``, and for a container that names it.

    ``engine``, where it is taken: where; default: :func:`containerkit.default_engine`.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    # -- finding and making ------------------------------------------------------------------------------------------

    @classmethod
    def get(cls, name: str, *, engine: Engine | None = None) -> Volume:
        """The volume of that name, or of a unique beginning of an anonymous one's.

        >>> ck.Volume.get("notes") == ck.volumes["notes"] == notes
        True

        Raises:
            NotFound: there is none.
        """
        if not isinstance(name, str):
            raise InvalidArgument(f"volume {name!r}: expected a name")
        engine = engine or engines.default_engine()
        return cls(engine, engine.store.volumes.find(name).name)

    @classmethod
    def list(cls, *, filters: Mapping[str, Any] | None = None, engine: Engine | None = None) -> list[Volume]:
        """All volumes by name, those with a name of their own first.

        Args:
            filters: ``name`` (a part of it), ``driver``, ``label`` (``"key"`` or ``"key=value"``), ``dangling`` (True:
                no container was made with it), ``anonymous``.
        """
        engine = engine or engines.default_engine()
        return [cls(engine, record.name) for record in _filtered(engine, filters or {})]

    @classmethod
    @foreign.knows_keywords
    def create(
        cls,
        name: str | None = None,
        *,
        driver: str = "local",
        options: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        exist_ok: bool = False,
        engine: Engine | None = None,
    ) -> Volume:
        """A new, empty volume.

        >>> site = ck.Volume.create("site", options={"size": "10m"}, exist_ok=True)
        >>> ck.call("busybox", "touch /data/page", volumes=["site:/data"]).exit_code
        0

        Args:
            name: letters, digits, ``_``, ``.`` and ``-``; none for an anonymous one.
            driver: who keeps the content; ``"local"`` is this machine; others are :class:`VolumeDriver` of packages.
            options: the driver's. Of ``"local"``: ``size`` (``"100m"``: it cannot grow beyond that); or ``type``,
                ``device`` and ``o``, as mount(8) takes them: ``{"type": "tmpfs", "device": "tmpfs", "o": "size=10m"}``,
                ``{"type": "none", "device": "/a/directory", "o": "bind"}``, a block device, a file that is one, an
                export: ``{"type": "nfs4", "device": "server:/export"}``. What is in memory is gone when nobody needs
                it, and takes the image's files at each start.
            labels: ``{"key": "value"}``.
            exist_ok: a volume of that name is taken as it is.

        Raises:
            AlreadyExists: the name is taken.
            InvalidArgument: no name, or an option that the driver does not know.
        """
        engine = engine or engines.default_engine()
        chosen = names.random_id() if name is None else volume_name(name)
        given = {str(key): str(value) for key, value in (options or {}).items()}
        try:
            if engine.store.volumes.read(chosen) is not None:
                raise AlreadyExists(f"volume {chosen}: exists already (exist_ok=True takes it as it is)")
            drivers.create(chosen, driver, given)
            marks = session.labelled(engine, labels) if name is None else dict(labels or {})
            engine.store.volumes.insert(chosen, driver, given, marks, anonymous=name is None)
        except AlreadyExists:
            if not exist_ok:
                raise
        return cls(engine, chosen)

    # -- what it is --------------------------------------------------------------------------------------------------

    def _record(self) -> VolumeRecord:
        try:
            return self._engine.store.volumes.find(self._name)
        except NotFound:
            raise NotFound(f"volume {self._name}: not found (removed)") from None

    @property
    def name(self) -> str:
        """Its name; of an anonymous one 64 hexadecimal digits."""
        return self._name

    @property
    def path(self) -> str:
        """The directory of this machine that holds its content; of a volume that has to be mounted, while a container
        runs with it, or in :meth:`mounted`.
        """
        return drivers.path(self._engine.store.volumes, self._record())

    @contextmanager
    def mounted(self) -> Iterator[str]:
        """Its path, for the time of a ``with``: what has to be mounted is.

        Raises:
            RuntimeFailure: it cannot be mounted.
        """
        with drivers.held(self._engine.store, self._record().name) as path:
            yield path

    @property
    def driver(self) -> str:
        """Who keeps the content."""
        return self._record().driver

    @property
    def options(self) -> dict[str, str]:
        """The driver's options."""
        return self._record().options

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self._record().labels

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody has named it: it goes with its last container, when that is removed with its volumes."""
        return bool(self._record().anonymous)

    @property
    def created(self) -> datetime:
        """When it was made (UTC)."""
        return datetime.fromtimestamp(self._record().created, timezone.utc)

    @property
    def size(self) -> int:
        """Bytes that its files take on the disk: counted now, file by file. Tables show what was counted last."""
        found = rights.call(saving.used, self._engine.store.paths, self._record().name)
        self._engine.store.volumes.note_size(self._name, found)
        return found

    def files(self) -> builtins.list[Item]:
        """What is in it, in order: path, kind, size, mode, uid, gid … of each name, itself (``"."``) left out.

        >>> [file.path for file in notes.files()]
        ['note']
        """
        return transfer.items_of(self._engine, self._record().name, digests=False)[1:]

    @property
    def containers(self) -> builtins.list[Container]:
        """The containers that were made with it, running or not, by name."""
        from containerkit.container import Container

        return [Container(self._engine, id, name) for id, name in self._engine.store.volumes.users(self._name)]

    def inspect(self) -> dict[str, Any]:
        """Everything about it, shaped as ``docker volume inspect``."""
        record = self._record()
        return {
            "CreatedAt": self.created.isoformat(), "Driver": record.driver, "Labels": record.labels,
            "Mountpoint": self.path, "Name": record.name, "Options": record.options, "Scope": "local",
        }  # fmt: skip

    # -- what is done to it ------------------------------------------------------------------------------------------

    def remove(self, *, force: bool = False) -> Volume:
        """Remove it, with its content.

        Args:
            force: also when containers that do not run were made with it: these cannot be started any more.

        Raises:
            InvalidState: a container uses it.
        """
        volumes = self._engine.store.volumes
        volumes.delete(self._record().name, force=force, before=partial(drivers.remove, volumes))
        return self

    # -- copies of it ------------------------------------------------------------------------------------------------

    def backup(
        self, destination: Destination, *, compression: str = "zstd", consistency: str = "none",
        incremental_from: Backup | str | os.PathLike[str] | None = None, by_content: bool = False,
        passphrase: str | None = None, labels: Mapping[str, str] | None = None, progress: Choice = "auto",
    ) -> Backup:  # fmt: skip
        """Write a backup. It is under its name when all of it is on the disk.

        A file is a tar archive, which any ``tar`` restores; in a directory of backups, what several have is kept once.

        >>> backup = notes.backup("notes.tar.zst", consistency="pause")
        >>> ck.Volume.restore(backup, "again").diff(notes)
        no changes

        Args:
            destination: a file's path (one that is there is replaced); a directory of backups (one that is there, or a
                path with a slash at its end); a URL that fsspec knows, as ``"s3://bucket/site.tar.zst"``; or an open
                file to write bytes to.
            compression: ``"zstd"``, ``"gzip"`` or ``"none"``.
            consistency: ``"none"``; or ``"pause"``: the containers that use it stand still for as long as it takes to
                look at all files and to copy those that have just changed, so that it is as of one moment.
            incremental_from: an earlier backup: what has not changed since, by time, size and inode, is not written
                again. Both are needed to restore. A directory of backups always works so.
            by_content: files are read to see whether they have changed.
            passphrase: encrypt it, in the age format.
            labels: written down with it.
            progress: ``"auto"``: a widget in a notebook, bars on a terminal; True, False, or a Progress.

        Raises:
            InvalidArgument: an option that cannot be right.
            Unsupported: a container cannot be paused (there is no cgroup); a library is not installed.
            StorageError: the disk is full. Nothing is left of a failed backup.
        """
        wishes = Wishes(
            compression, consistency, by_content=by_content, passphrase=passphrase, labels=dict(labels or {})
        )
        base = None if incremental_from is None else _place(incremental_from, passphrase)
        place, said = transfer.backup(self._engine, self._record().name, destination, base, wishes, progress)
        return Backup(place, said, self._engine)

    def verify(self, backup: Backup | Source, *, passphrase: str | None = None, progress: Choice = "auto") -> Backup:
        """Read all of a backup and compare it with its digests; see :meth:`Backup.verify`."""
        found = backup if isinstance(backup, Backup) else Backup.open(backup, passphrase=passphrase)
        return found.verify(progress=progress)

    @classmethod
    def restore(
        cls, source: Backup | Source, name: str, *, verify: bool = True, paths: Iterable[str] | None = None,
        base: Source | None = None, passphrase: str | None = None, labels: Mapping[str, str] | None = None,
        progress: Choice = "auto", engine: Engine | None = None,
    ) -> Volume:  # fmt: skip
        """Make a backup the content of a volume: all of it or nothing.

        >>> backup = notes.backup("backups/")
        >>> [file.path for file in ck.Volume.restore(backup, "again").files()]
        ['note']

        Args:
            source: a Backup, its path or URL, or an open file; also an archive that ``tar`` made.
            name: the volume; made when it is not there. What it had is gone then.
            verify: of a part, read the whole backup first; what is unpacked is compared with its digests anyway, before
                it takes the place of what was there.
            paths: only these, with what is in them: everything else in the volume stays.
            base: where the backup is that it is incremental to, when that is not beside it.
            passphrase: of an encrypted one.
            labels: of a new volume.
            progress: as for :meth:`backup`.

        Raises:
            InvalidState: a container runs with it.
            InvalidArgument: the backup is damaged, cut off, or none. The volume is as it was.
            NotFound: there is no such backup, no such path in it, or its base is not there.
            StorageError: the disk is full. The volume is as it was.
        """
        engine = engine or engines.default_engine()
        transfer.restore(
            engine, _place(source, passphrase), volume_name(name), paths=paths, verify=verify, base=base,
            labels=labels or {}, progress=progress,
        )  # fmt: skip
        return cls(engine, name)

    def clone(
        self, name: str, *, consistency: str = "none", labels: Mapping[str, str] | None = None,
        progress: Choice = "auto",
    ) -> Volume:  # fmt: skip
        """A new volume with the same content; shared with this one on the disk, where the file system can.

        >>> len(notes.clone("copy").diff(notes))
        0

        Args:
            name: the new one's.
            consistency: as for :meth:`backup`.
            labels: of the new one.
            progress: as for :meth:`backup`.

        Raises:
            AlreadyExists: the name is taken.
        """
        transfer.copy(
            self._engine, self._record().name, volume_name(name), consistency=consistency, labels=labels or {},
            progress=progress,
        )  # fmt: skip
        return Volume(self._engine, name)

    def snapshot(self, name: str | None = None, *, consistency: str = "pause", progress: Choice = "auto") -> Volume:
        """A clone of this moment, by default named ``NAME-YYYYMMDD-HHMMSS`` (UTC), with the label ``snapshot-of``."""
        chosen = name or f"{self._name}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}"
        return self.clone(chosen, consistency=consistency, labels={"snapshot-of": self._name}, progress=progress)

    def diff(self, other: Volume | Backup | str) -> Changes:
        """What it has changed of another volume or of a backup, sorted by path: files that only it has are ``added``.

        Args:
            other: a volume, a backup, or the path of one.
        """
        return difference(self, other)

    def panel(self, directory: str | os.PathLike[str] | None = None) -> Any:
        """A widget for volumes and their backups (ipywidgets), with this one chosen.

        Args:
            directory: of backups; it is made with the first one.
        """
        from containerkit.notebook.volumepanel import VolumePanel

        return VolumePanel(self._engine, self._name, directory)

    # -- looks -------------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Volume) and (self._name, self._engine) == (other._name, other._engine)

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        try:
            record = self._record()
        except NotFound:
            return f"Volume({self._name!r}, removed)"
        users = ", ".join(name for _, name in self._engine.store.volumes.users(self._name))
        return f"Volume({self._name!r}, {record.driver}{f', used by {users}' if users else ''})"

    def _repr_html_(self) -> str:
        try:
            record = self._record()
        except NotFound:
            return html.note(f"volume {self._name}: removed")
        users = ", ".join(name for _, name in self._engine.store.volumes.users(self._name))
        rows = {
            "path": self.path, "size": None if record.size is None else text.size(record.size),
            "containers": users or None, "labels": ", ".join(f"{k}={v}" for k, v in record.labels.items()) or None,
        }  # fmt: skip
        title = f"volume {self._name[:12] if record.anonymous else self._name}"
        return html.card(title, record.driver, {k: v for k, v in rows.items() if v is not None})


def _place(backup: Backup | Source, passphrase: str | None) -> Place:
    return backup._place if isinstance(backup, Backup) else Place.find(backup, passphrase)


_FILTERS = ("anonymous", "dangling", "driver", "label", "name")


def _filtered(engine: Engine, filters: Mapping[str, Any]) -> builtins.list[VolumeRecord]:
    for key in filters:
        if key not in _FILTERS:
            raise InvalidArgument(f"filter {key}: unknown; known are {', '.join(_FILTERS)}")
    store = engine.store.volumes
    used = store.used() if "dangling" in filters else set()
    key, has_value, value = str(filters.get("label", "")).partition("=")

    def wanted(record: VolumeRecord) -> bool:
        return (
            filters.get("name", "") in record.name
            and filters.get("driver", record.driver) == record.driver
            and _truth(filters.get("anonymous", record.anonymous)) == bool(record.anonymous)
            and ("dangling" not in filters or _truth(filters["dangling"]) == (record.name not in used))
            and (not key or (key in record.labels and (not has_value or record.labels[key] == value)))
        )

    return list(filter(wanted, store.list()))


def _truth(value: Any) -> bool:
    return value.lower() in ("true", "1") if isinstance(value, str) else bool(value)
