"""Other limits for a container that is there: in the kernel while it runs, and written down for its next start."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from containerkit.errors import ContainerkitError
from containerkit.linux.cgroups import Cgroup
from containerkit.options import Settings
from containerkit.options import update as updated
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import configjson
from containerkit.supervise.configure.limits import resources


def update(store: Store, record: ContainerRecord, options: Mapping[str, Any]) -> None:
    """Change what ``options`` name.

    Raises:
        InvalidArgument: an option that cannot change, or a value that the kernel refuses; nothing has changed then.
    """
    settings = updated(Settings.read(record.options), options)
    spec = configjson.read(store, record.id)
    limits = resources(settings)
    changed = replace(spec, linux=replace(spec.linux, resources=limits))
    if record.state in ("running", "paused"):
        cgroup = Cgroup(configjson.cgroup(store, record.id))
        try:
            cgroup.apply(replace(limits, devices=()))
        except ContainerkitError:
            with contextlib.suppress(ContainerkitError):
                cgroup.apply(replace(spec.linux.resources, devices=()))
            raise
    configjson.write(store, record.id, changed)
    store.containers.amend(record.id, "update", spec=json.dumps(settings.written()))
