"""One store: its parts, put together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from containerkit.oci import codec
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ImageConfig
from containerkit.oci.manifest import Descriptor
from containerkit.store.blobs import Blobs
from containerkit.store.buildsteps import BuildSteps
from containerkit.store.containers import Containers
from containerkit.store.database import Database
from containerkit.store.events import Events
from containerkit.store.filedigests import FileDigests
from containerkit.store.images import ImageRecord, Images
from containerkit.store.layers import Layers
from containerkit.store.leases import Leases
from containerkit.store.networks import Networks
from containerkit.store.paths import Paths
from containerkit.store.snapshots import Snapshots
from containerkit.store.volumes import Volumes

if TYPE_CHECKING:
    from containerkit.store.ingest import Ingest, Written


class Store:
    """Everything below one root. Making one opens nothing: files are opened when they are needed."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.database = Database(paths.database)
        self.blobs = Blobs(paths.blobs)
        self.layers = Layers(paths, self.blobs)
        self.images = Images(self.database, self.blobs, self.layers, paths)
        self.snapshots = Snapshots(paths, self.layers)
        self.volumes = Volumes(self.database)
        self.containers = Containers(self.database)
        self.networks = Networks(self.database)
        self.events = Events(self.database)
        self.buildsteps = BuildSteps(self.database)
        self.filedigests = FileDigests(self.database)
        self.leases = Leases(paths.leases)

    def ingest(self) -> Ingest:
        """A place for blobs on their way in: use it in a ``with``."""
        # Not at the top: most containers start from images that are here.
        from containerkit.store.ingest import Ingest

        return Ingest(self.paths, self.blobs)

    def place(self, ingest: Ingest, written: Written, below: tuple[str, ...] = ()) -> Descriptor:
        """A layer that was just made waits in ``ingest`` from now on, unpacked already; ``below`` are chain ids."""
        ingest.share(written.descriptor.digest, f"{written.space}/blob")
        chain_id = digests.chain(below[-1] if below else None, written.packed.diff_id)
        self.layers.take(chain_id, Path(written.space))
        return written.descriptor

    def add_image(
        self, config: ImageConfig, layers: tuple[Descriptor, ...], ingest: Ingest, tag: str | None, *,
        action: str = "import", annotations: Mapping[str, str] | None = None,
    ) -> ImageRecord:  # fmt: skip
        """Make an image of layers that wait in ``ingest``, or are here already, the lowest first.

        Args:
            action: what the event says of it, as for ``Images.add``.
            annotations: of its manifest.
        """
        described = ingest.put(codec.dumps(config).encode(), oci.OCI_CONFIG)
        manifest = oci.manifest(described, tuple([oci.oci_layer(layer) for layer in layers]), annotations or {})
        described = ingest.put(codec.dumps(manifest).encode(), oci.OCI_MANIFEST)
        return self.images.add(described, tag, ingest, action=action)

    def close(self) -> None:
        """Close files. The next use opens them again."""
        self.database.close()
        self.leases.close()
