"""What is mounted in a container, as a person reads it: ``Container.mounts``, and ``Mounts`` of ``inspect()``."""

from __future__ import annotations

from typing import Any

from containerkit.errors import NotFound
from containerkit.options import Mount, Settings
from containerkit.store.store import Store
from containerkit.supervise.volumes import drivers


def mounts(settings: Settings) -> list[Mount]:
    """Volumes, binds, images and tmpfs, by target."""
    memory = [
        Mount(path, type="tmpfs", options=tuple(word for word in words.split(",") if word))
        for path, words in (settings.tmpfs or {}).items()
    ]
    return sorted([*settings.mounts, *memory])


def inspected(store: Store, settings: Settings) -> list[dict[str, Any]]:
    """As docker shows them."""
    return [_entry(store, mount) for mount in mounts(settings)]


def _entry(store: Store, mount: Mount) -> dict[str, Any]:
    found: dict[str, Any] = {"Type": mount.type, "Source": mount.source, "Destination": mount.target}
    if mount.type == "volume":
        found["Name"] = mount.source
        try:
            record = store.volumes.find(mount.source)
            found |= {"Source": drivers.path(store.volumes, record), "Driver": record.driver}
        except NotFound:
            found["Source"] = ""  # removed by force
    flags = [("ro", mount.read_only), ("nocopy", mount.nocopy), ("U", mount.chown), ("O", mount.copy_on_write)]
    words = [*(word for word, is_set in flags if is_set), *mount.options]
    propagation = mount.propagation or ("rprivate" if mount.type == "bind" else "")
    return {**found, "Mode": ",".join(words), "RW": not mount.read_only, "Propagation": propagation}


def binds(settings: Settings) -> list[str]:
    """Volumes and binds in docker's short form."""
    return [
        f"{one.source}:{one.target}" + (":ro" if one.read_only else ":O" if one.copy_on_write else "")
        for one in settings.mounts
        if one.type in ("bind", "volume")
    ]
