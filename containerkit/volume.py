"""Volume: a handle on one volume."""

from __future__ import annotations

import builtins
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from containerkit import engine as engines
from containerkit.errors import AlreadyExists, InvalidArgument, NotFound
from containerkit.options import volume_name
from containerkit.store import rights, trees
from containerkit.supervise import names
from containerkit.views import html, text

if TYPE_CHECKING:
    from containerkit.container import Container
    from containerkit.engine import Engine
    from containerkit.store.volumerows import VolumeRecord


class Volume:
    """Files that outlive containers. Made by ``create``, ``get`` and ``list``, and for a container that names it."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name

    # -- finding and making ------------------------------------------------------------------------------------------

    @classmethod
    def get(cls, name: str, *, engine: Engine | None = None) -> Volume:
        """The volume of that name, or of a unique beginning of an anonymous one's.

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

        Args:
            name: letters, digits, ``_``, ``.`` and ``-``; none for an anonymous one.
            driver: who keeps the content; ``"local"`` is this machine.
            options: the driver's.
            exist_ok: a volume of that name is taken as it is.

        Raises:
            AlreadyExists: the name is taken.
            InvalidArgument: no name, or an option that the driver does not know.
        """
        engine = engine or engines.default_engine()
        chosen = names.random_id() if name is None else volume_name(name)
        given = {str(key): str(value) for key, value in (options or {}).items()}
        if driver != "local" or given:
            raise InvalidArgument(f"volume {chosen}: driver {driver!r}: not known")
        try:
            engine.store.volumes.insert(chosen, driver, given, dict(labels or {}), anonymous=name is None)
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
        """The directory of this machine that holds its content."""
        return self._engine.store.volumes.path(self._record().name)

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
        path = self.path
        found = rights.call(trees.disk_usage, path) - os.lstat(path).st_blocks * 512
        self._engine.store.volumes.note_size(self._name, found)
        return found

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
        self._engine.store.volumes.delete(self._record().name, force=force)
        return self

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
