"""A container's configuration on disk: ``config.json`` of its bundle, read once per version of the file."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from containerkit.errors import Unsupported
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Spec
from containerkit.runtime import bundle

if TYPE_CHECKING:
    from containerkit.store.store import Store


def directory(store: Store, id: str) -> str:
    """The container's bundle."""
    return os.path.join(store.paths.containers, id)


def read(store: Store, id: str) -> Spec:
    """The configuration of a container.

    Raises:
        NotFound: the container is gone.
    """
    path = directory(store, id)
    try:
        changed = os.stat(f"{path}/config.json").st_mtime_ns
    except FileNotFoundError:
        changed = 0
    return _load(path, changed)


@lru_cache(maxsize=256)
def _load(path: str, changed: int) -> Spec:
    return bundle.load(path)


def write(store: Store, id: str, spec: Spec) -> None:
    """Put down the configuration, at once or not at all."""
    path = f"{directory(store, id)}/config.json"
    with open(f"{path}.new", "w") as file:
        file.write(codec.dumps(spec))
    os.replace(f"{path}.new", path)


def cgroup(store: Store, id: str) -> str:
    """The path of a container's cgroup.

    Raises:
        Unsupported: it has none.
    """
    path = read(store, id).linux.cgroups_path
    if not path:
        raise Unsupported(
            f"container {id[:12]}: it has no cgroup to count, limit and pause it by: none is delegated to this user "
            "(run as root, or have systemd delegate cgroup v2 controllers)"
        )
    return path
