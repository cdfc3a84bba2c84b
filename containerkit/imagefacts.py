"""What an image is: read when somebody asks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containerkit.errors import NotFound
from containerkit.views import html, text
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    from containerkit.builder.report import BuildReport
    from containerkit.engine import Engine
    from containerkit.layers.listing import LayerEntry
    from containerkit.oci.image_config import ContainerConfig
    from containerkit.results import LayerDetails
    from containerkit.store.images import ImageRecord
    from containerkit.store.usage import Usage


class ImageFacts(Shown):
    """All that is to be read of an :class:`~containerkit.Image`."""

    __slots__ = ("_engine", "_id", "_name", "_report")

    def __init__(self, engine: Engine, id: str, name: str = "", report: BuildReport | None = None) -> None:
        self._engine = engine
        self._id = id
        self._name = name  # how the user called it, when that was a reference
        self._report = report  # of the build that this is the result of

    @property
    def _record(self) -> ImageRecord:
        return self._engine.store.images.get(self.id)

    @property
    def _reference(self) -> str:
        """How the user calls it."""
        return self._name or next(iter(self.tags), self.id)

    @property
    def engine(self) -> Engine:
        """The engine it lives in."""
        return self._engine

    @property
    def id(self) -> str:
        """``sha256:`` and the digest of its config."""
        return self._id

    @property
    def short_id(self) -> str:
        """The first 12 digits of :attr:`id`."""
        return self.id.removeprefix("sha256:")[:12]

    @property
    def tags(self) -> tuple[str, ...]:
        """The references that name it, sorted: ``("busybox:1",)``."""
        return self._record.tags

    @property
    def digest(self) -> str:
        """The digest of its manifest: what a registry knows it by."""
        return self._record.manifest.digest

    @property
    def digests(self) -> tuple[str, ...]:
        """What registries know it by, sorted: ``("registry.lan:5000/app@sha256:…",)``."""
        return self._record.digests

    @property
    def size(self) -> int:
        """Bytes of its files, unpacked."""
        return self._record.size

    @property
    def created(self) -> datetime:
        """When it was made, as its config says."""
        return self._record.created

    @property
    def platform(self) -> str:
        """``"linux/amd64"``."""
        config = self._record.config
        return "/".join(part for part in (config.os, config.architecture, config.variant) if part)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.config.labels or {})

    @property
    def config(self) -> ContainerConfig:
        """What its containers get where their caller says nothing."""
        return self._record.config.config

    @property
    def layers(self) -> tuple[str, ...]:
        """The digest of each layer's uncompressed tar, the lowest first."""
        return self._record.config.rootfs.diff_ids

    def inspect(self) -> dict[str, Any]:
        """What ``docker image inspect`` gives, under the same names."""
        from containerkit.reading import inspection

        return inspection.image(self._record)

    def explain(self) -> BuildReport:
        """How it was built here, step by step: what came from the cache, what was carried out, and what had changed.

        Of what ``build`` gives, that build; of other handles, the last one.

        Raises:
            NotFound: it was not built here.
        """
        if self._report is not None:
            return self._report
        from containerkit.builder import request

        found = request.report(self._engine, self.id)
        if found is None:
            raise NotFound(f"image {self._reference}: was not built here (history() says how it was made)")
        return found

    def layer_details(self) -> list[LayerDetails]:
        """Its layers, the lowest first: digests, sizes, and the step that made each."""
        from containerkit.reading import inspection

        return inspection.layers(self._record, self._layer_sizes())

    def files(self, layer: int) -> list[LayerEntry]:
        """What is in one of its layers, sorted by path; what the layer takes away is ``deleted``.

        Args:
            layer: 1 for the lowest.

        Raises:
            NotFound: it has no such layer.
        """
        from containerkit.layers.listing import entries
        from containerkit.store import rights

        record = self._record
        if not 1 <= layer <= len(record.layers):
            raise NotFound(f"image {self._reference}: layer {layer}: it has {len(record.layers)}")
        directories = self._engine.store.layers.ensure(record.chain_ids, record.layers)
        return rights.call(entries, str(directories[layer - 1]))

    def _layer_sizes(self) -> list[int]:
        layers, record = self._engine.store.layers, self._record
        layers.ensure(record.chain_ids, record.layers)  # one that was damaged may have been taken away
        return [layers.size(chain_id) for chain_id in record.chain_ids]

    def history(self) -> list[dict[str, Any]]:
        """How it was made, the last step first: ``created``, ``created_by``, ``comment``, ``empty_layer``, ``size``."""
        from containerkit.reading import inspection

        return inspection.history(self._record, self._layer_sizes())

    def usage(self) -> Usage:
        """How much room it takes on the disk: ``total``, ``shared`` with other images, ``unique``: bytes."""
        from containerkit.store import usage

        return usage.of_images(self._engine.store)[self._record.id]

    def to_dockerfile(self) -> str:
        """A Dockerfile that says how it was made, as well as its history and its config tell.

        What its config says comes out the same. Files that were copied are named in comments, since where they are
        from is not known; it begins with the image here, with a name, that it has most layers from. Of a chain, it is
        that chain's: :meth:`from_dockerfile` gives the same image again.
        """
        from containerkit.reading import inspection

        return inspection.dockerfile(self._record, self._engine.store.images.list(dangling=False))

    def _directories(self) -> list[Path]:
        """Its layers on the disk, uppermost first."""
        record = self._record
        return [*reversed(self._engine.store.layers.showing(record.chain_ids, record.layers))]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageFacts) and (self.id, self._engine) == (other.id, other._engine)

    def __hash__(self) -> int:
        return hash((self.id, self._engine))

    def _repr_html_(self) -> str:
        try:
            record = self._record
        except NotFound:
            return html.note(f"image {self._name or self.short_id}: removed")
        rows = {
            "id": self.short_id, "tags": ", ".join(record.tags) or "<none>", "platform": self.platform,
            "size": f"{text.size(record.size)} in {len(record.layers)} layer{'s' if len(record.layers) != 1 else ''}",
            "command": " ".join((*(record.config.config.entrypoint or ()), *(record.config.config.cmd or ()))),
        }  # fmt: skip
        return html.card(f"image {next(iter(record.tags), self.short_id)}", "", rows)

    def __repr__(self) -> str:
        name = f"{self._name!r}, " if self._name else ""
        return f"Image({name}sha256:{self.short_id})"
