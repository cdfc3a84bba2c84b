"""What an engine has of each noun: collections to go through, to look things up in, and to see as tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from containerkit.errors import ContainerkitError, InvalidState, NotFound
from containerkit.options import foreign
from containerkit.results import PruneReport
from containerkit.views import frames, html, text
from containerkit.views.shown import Shown

if TYPE_CHECKING:
    import pandas

    from containerkit.container import Container
    from containerkit.engine import Engine
    from containerkit.image import Image
    from containerkit.network import Network
    from containerkit.progress import Choice
    from containerkit.reading.netgraph import NetworkGraph
    from containerkit.volume import Volume


class _Collection(Shown):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError

    def _ipython_key_completions_(self) -> list[str]:
        """What can be between the brackets, for the tab key."""
        return sorted(one.name for one in self)


@foreign.answers
class ImageCollection(_Collection):
    """The local images: iterable, ``len``, ``["name"]``, ``in``, ``frame()``, ``save()``."""

    def __iter__(self) -> Iterator[Image]:
        from containerkit.image import Image

        return iter(Image.list(engine=self._engine))

    def __len__(self) -> int:
        return len(self._engine.store.images.list())

    def _ipython_key_completions_(self) -> list[str]:
        return sorted(tag for one in self for tag in one.tags)

    def __getitem__(self, reference: str) -> Image:
        from containerkit.image import Image

        return Image.get(reference, engine=self._engine)

    def __contains__(self, reference: object) -> bool:
        return _contains(self, reference)

    def save(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        *images: str | Image,
        format: Literal["docker", "oci"] = "docker",
        compression: Literal["none", "gzip", "zstd"] | None = None,
        progress: Choice = "auto",
    ) -> None:
        """Write images as one archive, what they share once; as ``docker save``.

        Args:
            path: the archive's, where it appears when it is whole; or a file open for writing bytes.
            images: references, ids or images; none for every image that has a tag. A reference is saved with that tag,
                anything else with all its tags.
            format: ``"docker"`` for what every docker, podman and skopeo loads, with layers uncompressed; ``"oci"`` for
                an OCI layout with everything as it is stored: digests stay (podman loads those of one tag only).
            compression: of the whole archive; default: as the path ends (``.tar.gz``, ``.tgz``, ``.tar.zst``). All
                others read plain ones; docker 20.10 no zstd, podman 4.3 and skopeo 1.9 no gzip of docker's format.
            progress: ``"auto"``: a widget in a notebook, bars on a terminal; True, False, or a Progress.

        Raises:
            NotFound: no such image.
            InvalidArgument: nothing to save.
            StorageError: a blob is damaged, or the disk is full. Nothing is left of a failed save.
        """
        from containerkit.archives import save
        from containerkit.progress import choose

        names = [image if isinstance(image, str) else image.id for image in images]
        store = self._engine.store
        save.save(store, path, save.select(store, names), format, compression, choose(progress))

    def rows(self) -> list[dict[str, Any]]:
        """A row per image and tag, sorted by tag."""
        rows = [
            {"image": tag, "id": one.id.removeprefix("sha256:")[:12], "size": one.size, "created": one.created}
            for one in self._engine.store.images.list()
            for tag in (one.tags or ("<none>",))
        ]
        return sorted(rows, key=lambda row: (row["image"], row["id"]))

    def frame(self, *, usage: bool = False) -> pandas.DataFrame:
        """The images as a pandas frame: image, id, size (bytes), created (UTC).

        Args:
            usage: with what each takes on the disk, in bytes: ``disk`` in all, and ``unique``: what is free without it.
        """
        if not usage:
            return frames.frame(self.rows(), ("image", "id", "size", "created"))
        from containerkit.store.usage import of_images

        found = {id.removeprefix("sha256:")[:12]: one for id, one in of_images(self._engine.store).items()}
        rows = [
            {**row, "disk": found[row["id"]].total, "unique": found[row["id"]].unique}
            for row in self.rows()
            if row["id"] in found
        ]
        return frames.frame(rows, ("image", "id", "size", "disk", "unique", "created"))

    def __repr__(self) -> str:
        return text.table(self.rows(), ("image", "id", "size", "created"), empty="no images")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), ("image", "id", "size", "created"), empty="no images")


@foreign.answers
class ContainerCollection(_Collection):
    """The containers, newest first: iterable, ``len``, ``["name"]``, ``in``, ``frame()``."""

    _COLUMNS = ("name", "image", "command", "status", "exit_code", "created", "id")

    def __iter__(self) -> Iterator[Container]:
        from containerkit.container import Container

        return iter(Container.list(all=True, engine=self._engine))

    def __len__(self) -> int:
        from containerkit.reading import listing

        return len(listing.records(self._engine.store, all=True))

    def __getitem__(self, name_or_id: str) -> Container:
        from containerkit.container import Container

        return Container.get(name_or_id, engine=self._engine)

    def __contains__(self, name: object) -> bool:
        return _contains(self, name)

    def rows(self, *, all: bool = True, filters: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """A row per container, sorted by name; without ``all``, of those that run."""
        from containerkit.reading import listing

        found = listing.records(self._engine.store, all=all, filters=filters)
        return sorted(map(listing.row, found), key=lambda row: str(row["name"]))

    def stats(self, *containers: str) -> pandas.DataFrame:
        """What containers use now, as a pandas frame with a row for each, indexed by ``container``.

        Args:
            containers: names or ids; none for all that run.

        Raises:
            NotFound: no such container.
            InvalidState: one of those that were named does not run.
        """
        from containerkit.container import Container
        from containerkit.measuring.stats import SHOWN

        found = [self[name] for name in containers] or Container.list(engine=self._engine)
        rows = []
        for one in found:
            try:
                used = one.stats()
                rows.append({"container": one.name, **{name: getattr(used, name) for name in SHOWN}})
            except (InvalidState, NotFound):
                if containers:
                    raise  # otherwise it has just ended
        return frames.frame(sorted(rows, key=lambda row: str(row["container"])), ("container", *SHOWN), "container")

    def frame(self, *, all: bool = False, filters: Mapping[str, str] | None = None) -> pandas.DataFrame:
        """The containers as a pandas frame; without ``all``, those that run. ``filters`` as for ``Container.list``."""
        return frames.frame(self.rows(all=all, filters=filters), self._COLUMNS)

    def __repr__(self) -> str:
        return text.table(self.rows(), self._COLUMNS, empty="no containers")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), self._COLUMNS, empty="no containers")


@foreign.answers
class NetworkCollection(_Collection):
    """The networks, the built-in ones first: iterable, ``len``, ``["name"]``, ``in``, ``frame()``, ``graph()``."""

    _COLUMNS = ("name", "driver", "subnet", "gateway", "internal", "containers", "id")

    def __iter__(self) -> Iterator[Network]:
        from containerkit.network import Network

        return iter(Network.list(engine=self._engine))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, name_or_id: str) -> Network:
        from containerkit.network import Network

        return Network.get(name_or_id, engine=self._engine)

    def __contains__(self, name: object) -> bool:
        return _contains(self, name)

    def graph(self) -> NetworkGraph:
        """A picture of all networks and containers, each with a line to every network that it is on."""
        from containerkit.reading import netgraph

        return netgraph.draw(self._engine.store, list(self))

    def restore(self) -> None:
        """Make the kernel what the store says: bridges, cables and the firewall, after somebody has removed them.

        Raises:
            RuntimeFailure: the kernel refuses.
        """
        from containerkit.supervise.networks import membership

        membership.restore(self._engine.store)

    def rows(self) -> list[dict[str, Any]]:
        """A row per network."""
        return [
            {
                "name": one.name, "driver": one.driver, "subnet": one.subnet, "gateway": one.gateway,
                "internal": one.internal, "containers": len(one._members()), "id": one.id[:12],
            }
            for one in self
        ]  # fmt: skip

    def frame(self) -> pandas.DataFrame:
        """The networks as a pandas frame: name, driver, subnet, gateway, internal, containers (that run), id."""
        return frames.frame(self.rows(), self._COLUMNS)

    def __repr__(self) -> str:
        return text.table(self.rows(), self._COLUMNS, empty="no networks")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), self._COLUMNS, empty="no networks")


@foreign.answers
class VolumeCollection(_Collection):
    """The volumes, by name: iterable, ``len``, ``["name"]``, ``in``, ``frame()``, ``prune()``."""

    _COLUMNS = ("name", "driver", "size", "containers", "created")

    def __iter__(self) -> Iterator[Volume]:
        from containerkit.volume import Volume

        return iter(Volume.list(engine=self._engine))

    def __len__(self) -> int:
        return len(self._engine.store.volumes.list())

    def __getitem__(self, name: str) -> Volume:
        from containerkit.volume import Volume

        return Volume.get(name, engine=self._engine)

    def __contains__(self, name: object) -> bool:
        return _contains(self, name)

    def prune(self, *, all: bool = False, filters: Mapping[str, Any] | None = None) -> PruneReport:
        """Remove anonymous volumes that no container was made with.

        Args:
            all: those with a name of their own, too.
            filters: only volumes like that, as for ``Volume.list``.
        """
        from containerkit.supervise.volumes import drivers
        from containerkit.volume import Volume

        chosen = {**(filters or {}), "dangling": True, **({} if all else {"anonymous": True})}
        sizes = {one.name: one.size for one in Volume.list(filters=chosen, engine=self._engine)}
        volumes = self._engine.store.volumes
        gone = volumes.prune(sizes, partial(drivers.remove, volumes))
        return PruneReport(volumes=tuple(gone), space_reclaimed=sum(sizes[name] for name in gone))

    def rows(self) -> list[dict[str, Any]]:
        """A row per volume; ``size`` as it was counted last, None before that."""
        store = self._engine.store.volumes
        users = store.user_counts()
        return [
            {
                "name": one.name[:12] if one.anonymous else one.name, "driver": one.driver, "size": one.size,
                "containers": users.get(one.name, 0), "created": datetime.fromtimestamp(one.created, timezone.utc),
            }
            for one in store.list()
        ]  # fmt: skip

    def frame(self, *, sizes: bool = False) -> pandas.DataFrame:
        """The volumes as a pandas frame: name, driver, size (bytes), containers (that use it), created (UTC).

        Args:
            sizes: count them now; otherwise ``size`` is what was counted last.
        """
        for one in self if sizes else ():
            _ = one.size
        return frames.frame(self.rows(), self._COLUMNS)

    def __repr__(self) -> str:
        return text.table(self.rows(), self._COLUMNS, empty="no volumes")

    def _repr_html_(self) -> str:
        return html.table(self.rows(), self._COLUMNS, empty="no volumes")


def _contains(
    collection: ImageCollection | ContainerCollection | NetworkCollection | VolumeCollection, key: object
) -> bool:
    try:
        return isinstance(key, str) and collection[key] is not None
    except ContainerkitError:
        return False
