"""What happened to containers and images, from any process, as it is written down and as it comes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone

from containerkit.errors import InvalidArgument
from containerkit.linux import inotify, process
from containerkit.store.events import EventRecord
from containerkit.store.store import Store
from containerkit.values import frozen

_FILTERS = ("container", "event", "image", "label", "network", "type", "volume")
Filters = Mapping[str, str | Sequence[str]]


@frozen
class Event:
    """One thing that happened.

    Args:
        time: when (UTC).
        type: container, image, network or volume.
        action: create, start, die, stop, kill, pause, unpause, rename, update, restart, destroy, attach,
            oom, ``exec_start: COMMAND``, exec_die, ``health_status: healthy`` … as docker names them.
        id: of what it happened to; ``name``: what that was called then.
        attributes: image, labels, exitCode, signal, oldName … as text.
    """

    time: datetime
    type: str
    action: str
    id: str
    name: str
    attributes: Mapping[str, str]

    @classmethod
    def of(cls, record: EventRecord) -> Event:
        """The event that a row tells of."""
        attributes = {name: str(value) for name, value in json.loads(record.attributes).items()}
        when = datetime.fromtimestamp(record.time, timezone.utc)
        return cls(when, record.type, record.action, record.id, record.name, attributes)

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.attributes.items())
        return f"{self.time.isoformat()} {self.type} {self.action} {self.id[:12]} (name={self.name}, {told})"


def events(
    store: Store,
    *,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    filters: Filters | None = None,
    follow: bool = False,
) -> Iterator[Event]:
    """As ``ck.events``.

    Raises:
        InvalidArgument: a filter that there is not, or a moment that is none.
    """
    wanted = _wanted(filters or {})
    begin, end = _seconds(since, "since"), _seconds(until, "until")
    # From now on means from this call on, whenever the first one is asked for.
    number = store.events.last() if follow and begin is None else 0
    return _iterate(store, number, begin, end, wanted, follow)


def _iterate(
    store: Store, number: int, begin: float | None, end: float | None, wanted: _Wanted, follow: bool
) -> Iterator[Event]:
    watch = inotify.watch(str(store.paths.database), inotify.IN_ATTRIB) if follow else -1
    try:
        while True:
            for record in store.events.after(number, begin):
                number = record.number
                if end is not None and record.time > end:
                    return
                event = Event.of(record)
                if wanted(event):
                    yield event
            left = None if end is None else end - time.time()
            if not follow or (left is not None and left <= 0):
                return
            process.readable(watch, left)
            inotify.drain(watch)
    finally:
        if watch >= 0:
            os.close(watch)


class _Wanted:
    """Whether an event passes the filters: each by any of its values."""

    def __init__(self, filters: Mapping[str, tuple[str, ...]]) -> None:
        self._filters = filters

    def __call__(self, event: Event) -> bool:
        return all(any(self._matches(event, key, value) for value in values) for key, values in self._filters.items())

    @staticmethod
    def _matches(event: Event, key: str, value: str) -> bool:
        if key == "type":
            return event.type == value
        if key == "event":
            return event.action == value or event.action.partition(":")[0] == value
        if key == "label":
            name, has_value, text = value.partition("=")
            return name in event.attributes and (not has_value or event.attributes[name] == text)
        if key == "image":
            return value in ((event.name, event.id) if event.type == "image" else (event.attributes.get("image"),))
        if key in ("network", "volume"):
            return event.type == key and value in (event.name, event.id)
        return event.type == "container" and (event.name == value or event.id.startswith(value))


def _wanted(filters: Filters) -> _Wanted:
    for key in filters:
        if key not in _FILTERS:
            raise InvalidArgument(f"filter {key}: unknown; known are {', '.join(_FILTERS)}")
    return _Wanted({key: (value,) if isinstance(value, str) else tuple(value) for key, value in filters.items()})


def _seconds(moment: datetime | float | None, name: str) -> float | None:
    if moment is None or isinstance(moment, (int, float)):
        return moment
    if not isinstance(moment, datetime):
        raise InvalidArgument(f"{name} {moment!r}: expected a datetime or epoch seconds")
    return moment.timestamp()
