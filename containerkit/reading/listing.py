"""Which containers a list shows, and what a table says of each: one query, and a look at who runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from containerkit.errors import InvalidArgument
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import recover
from containerkit.supervise.configure.process import describe_command

STATUSES = ("created", "running", "paused", "restarting", "exited", "dead")
_FILTERS = ("image", "label", "name", "status")


def records(store: Store, *, all: bool, filters: Mapping[str, str] | None = None) -> list[ContainerRecord]:
    """The containers as they really are, newest first.

    Args:
        all: those that do not run, too; paused ones, and those between two starts, run.
        filters: ``name`` (a part of it), ``status``, ``image`` (a reference), ``label`` (``"key"`` or ``"key=value"``).

    Raises:
        InvalidArgument: a filter or a status that there is not.
    """
    filters = filters or {}
    wanted = _filter(filters)
    running = not all and "status" not in filters
    truths = (recover.truth(store, one) for one in (store.containers.owned() if running else store.containers.list()))
    found = [record for record in truths if record is not None]
    if running:
        found = [record for record in found if record.status in ("running", "paused", "restarting")]
    return list(filter(wanted, found)) if filters else found


def _filter(filters: Mapping[str, str]) -> Callable[[ContainerRecord], bool]:
    for key in filters:
        if key not in _FILTERS:
            raise InvalidArgument(f"filter {key}: unknown; known are {', '.join(_FILTERS)}")
    if (status := filters.get("status")) is not None and status not in STATUSES:
        raise InvalidArgument(f"filter status {status}: unknown; known are {', '.join(STATUSES)}")
    key, has_value, value = filters.get("label", "").partition("=")

    def labelled(record: ContainerRecord) -> bool:
        labels = record.options.get("labels") or {}
        return key in labels and (not has_value or labels[key] == value)

    def wanted(record: ContainerRecord) -> bool:
        return (
            filters.get("name", "") in record.name
            and filters.get("status", record.status) == record.status
            and filters.get("image", record.image_reference) == record.image_reference
            and (not key or labelled(record))
        )

    return wanted


def row(record: ContainerRecord) -> dict[str, Any]:
    """What a table shows of a container."""
    return {
        "name": record.name,
        "image": record.image_reference,
        "command": describe_command(record.command),
        "status": record.status,
        "exit_code": record.exit_code,
        "created": datetime.fromtimestamp(record.created, timezone.utc),
        "id": record.id[:12],
    }
