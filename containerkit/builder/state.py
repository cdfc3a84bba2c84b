"""What a step starts from, and what it gives: a config and a stack of layers. A value."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from containerkit.oci import digest as digests
from containerkit.oci.image_config import ContainerConfig, History, ImageConfig, RootFS
from containerkit.oci.manifest import OCI_MANIFEST, Descriptor, Platform
from containerkit.store.images import ImageRecord
from containerkit.values import frozen

#: Of what has no layers.
NOTHING = "nothing"
#: What docker gives an image that begins with nothing.
_SCRATCH = ContainerConfig(env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",), working_dir="/")


@frozen
class State:
    """An image on its way.

    Args:
        image: its config, history and all; without the time, which the finished image gets.
        layers: the blobs, the lowest first.
        chain_ids: what each is called where it is unpacked.
        steps: of each step that was found or carried out on the way its key, when that was, and the number of its layer
            (-1: it has none).
    """

    image: ImageConfig
    layers: tuple[Descriptor, ...] = ()
    chain_ids: tuple[str, ...] = ()
    steps: tuple[tuple[str, float, int], ...] = ()

    @classmethod
    def scratch(cls, platform: Platform) -> State:
        """Nothing at all."""
        return cls(
            ImageConfig(
                platform.architecture, platform.os, RootFS("layers", ()), _SCRATCH, variant=platform.variant or ""
            )
        )

    @classmethod
    def of(cls, record: ImageRecord) -> State:
        """An image that is there."""
        return cls(record.config, record.layers, record.chain_ids)

    @property
    def config(self) -> ContainerConfig:
        return self.image.config

    @property
    def files(self) -> str:
        """The name of its files: equal for states whose files are."""
        return self.chain_ids[-1] if self.chain_ids else NOTHING

    def with_config(self, config: ContainerConfig) -> State:
        """With another config, of which the history says nothing."""
        return replace(self, image=replace(self.image, config=config))

    def configured(self, config: ContainerConfig, history: History) -> State:
        """With another config, and a line of history."""
        steps = (*self.image.history, replace(history, empty_layer=True))
        return replace(self, image=replace(self.image, config=config, history=steps))

    def grown(self, layer: Descriptor, diff_id: str, history: History) -> State:
        """With one more layer."""
        rootfs = replace(self.image.rootfs, diff_ids=(*self.image.rootfs.diff_ids, diff_id))
        return State(
            replace(self.image, rootfs=rootfs, history=(*self.image.history, history)),
            (*self.layers, layer),
            (*self.chain_ids, digests.chain(self.chain_ids[-1] if self.chain_ids else None, diff_id)),
            self.steps,
        )

    def after(self, key: str, moment: float, *, has_layer: bool) -> State:
        """The same; it came from that step."""
        return replace(self, steps=(*self.steps, (key, moment, len(self.layers) - 1 if has_layer else -1)))

    def record(self) -> ImageRecord:
        """As containers are made of it: an image without an id."""
        now = datetime.now(timezone.utc)
        return ImageRecord("", Descriptor(OCI_MANIFEST, "", 0), (), (), now, 0, self.image, self.layers, self.chain_ids)
