"""One store: its parts, put together."""

from __future__ import annotations

from containerkit.store.blobs import Blobs
from containerkit.store.containers import Containers
from containerkit.store.database import Database
from containerkit.store.events import Events
from containerkit.store.images import Images
from containerkit.store.ingest import Ingest
from containerkit.store.layers import Layers
from containerkit.store.leases import Leases
from containerkit.store.paths import Paths
from containerkit.store.snapshots import Snapshots


class Store:
    """Everything below one root. Making one opens nothing: files are opened when they are needed."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.database = Database(paths.database)
        self.blobs = Blobs(paths.blobs)
        self.layers = Layers(paths, self.blobs)
        self.images = Images(self.database, self.blobs, self.layers, paths)
        self.snapshots = Snapshots(paths, self.layers)
        self.containers = Containers(self.database)
        self.events = Events(self.database)
        self.leases = Leases(paths.leases)

    def ingest(self) -> Ingest:
        """A place for blobs on their way in: use it in a ``with``."""
        return Ingest(self.paths, self.blobs)

    def close(self) -> None:
        """Close files. The next use opens them again."""
        self.database.close()
        self.leases.close()
