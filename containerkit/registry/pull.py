"""An image from afar: found, downloaded, unpacked, and visible once it is whole.

Layers come side by side, each in a thread that hashes and writes what arrives, while another process unpacks it. What
is there already is not fetched: blobs and layers of other images, and what a pull that was broken off has left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from containerkit.errors import (
    ContainerkitError,
    InvalidArgument,
    NotFound,
    RegistryError,
    StorageError,
    Timeout,
    from_os_error,
)
from containerkit.oci import codec, platforms
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ImageConfig
from containerkit.oci.manifest import Descriptor, Manifest, Platform
from containerkit.oci.reference import Reference
from containerkit.progress import Progress
from containerkit.registry.repository import Repository
from containerkit.registry.sessions import Session
from containerkit.registry.transport import Broken
from containerkit.store import downloads
from containerkit.store.downloads import Download
from containerkit.store.images import ImageRecord
from containerkit.store.ingest import Ingest
from containerkit.store.store import Store
from containerkit.views import text

#: Downloads at once, and layers that are unpacked at once.
_DOWNLOADS, _UNPACKING = 4, 2
_CHUNK = 1 << 20
#: How often in a row a download may break off without a byte.
_FAILURES = 5
#: How often a blob may be taken away by somebody's removal between its download and the image's row.
_ROUNDS = 3


def pull_any(
    store: Store, references: Sequence[Reference], session: Session, wanted: Platform, progress: Progress
) -> tuple[Reference, ImageRecord]:
    """Pull the first of these that there is; which one, and the image. Raises as :func:`pull`, of the last one."""
    for reference in references[:-1]:
        try:
            return reference, pull(store, reference, session, wanted, progress)
        except (NotFound, RegistryError):
            continue
    return references[-1], pull(store, references[-1], session, wanted, progress)


def pull(store: Store, reference: Reference, session: Session, wanted: Platform, progress: Progress) -> ImageRecord:
    """Pull the image of ``reference`` for the platform ``wanted``.

    Raises:
        NotFound: the registry does not have it, or not for that platform.
        RegistryError: the registry cannot be reached, refuses, or sends something else than it announced.
        Unsupported: it is no image.
        StorageError: the disk is full; the next pull goes on from what is there.
        Timeout: the session's deadline has come; the same.
    """
    downloads.sweep(store.paths.downloads)
    progress.begin(f"pulling {reference}")
    try:
        for round_ in range(1, _ROUNDS + 1):
            with store.ingest() as ingest:
                one = _Pull(store, reference, session, wanted, progress, ingest)
                manifest, known = one.fetch()
                try:
                    tag = reference.full if reference.tag and not reference.digest else None
                    record = store.images.add(manifest, tag, ingest, known, action="pull")
                except NotFound:
                    if round_ == _ROUNDS:
                        raise
                    continue
            progress.end(f"{reference}: {one.received_text}, {record.manifest.digest}")
            return record
        raise AssertionError("unreachable")
    except BaseException as error:
        progress.end(f"{reference}: not pulled")
        if isinstance(error, Timeout):
            raise Timeout(f"image {reference}: pull: {error.message}") from error
        if isinstance(error, OSError) and not isinstance(error, ContainerkitError):
            raise from_os_error(error, f"image {reference}: pull") from error
        raise


class _Pull:
    def __init__(
        self, store: Store, reference: Reference, session: Session, wanted: Platform, progress: Progress, ingest: Ingest
    ) -> None:
        # What is called off is this pull, and not the call that it is a part of.
        self._session = replace(session, deadline=session.deadline.part())
        self._store, self._reference = store, reference
        self._wanted, self._progress, self._ingest = wanted, progress, ingest
        self._unpacking = threading.Semaphore(_UNPACKING)
        self._count = threading.Lock()
        self._received = 0

    @property
    def received_text(self) -> str:
        """How much was downloaded, in words."""
        return f"{text.size(self._received)} downloaded" if self._received else "up to date"

    def fetch(self) -> tuple[Descriptor, list[str]]:
        """Everything that the image consists of; its manifest, and the names with digests that the registry knows."""
        repository, manifest, data, known = self._resolve()
        found = oci.read_manifest(data, f"{repository.where}@{manifest.digest}")
        self._ingest.put(data, manifest.media_type)
        config = repository.small_blob(found.config)
        self._ingest.put(config, found.config.media_type)
        self._layers(repository, found, codec.loads(ImageConfig, config, f"config {found.config.digest}"))
        return manifest, known

    def _resolve(self) -> tuple[Repository, Descriptor, bytes, list[str]]:
        """The host that has it, and the manifest for the platform."""
        hosts = self._session.hosts(self._reference.domain)
        for host in hosts:
            repository = self._session.repository(host, self._reference.path)
            try:
                return (repository, *self._manifest(repository))
            except (RegistryError, NotFound, InvalidArgument):
                # A mirror that has it not, or is not there, is passed over.
                if not host.is_mirror:
                    raise
        raise AssertionError("unreachable")

    def _manifest(self, repository: Repository) -> tuple[Descriptor, bytes, list[str]]:
        name = self._reference.name
        described, data = repository.manifest(self._reference.digest or self._reference.tag)
        known = [f"{name}@{described.digest}"]
        if described.media_type in oci.INDEXES:
            where = f"image {self._reference}"
            chosen = platforms.choose(oci.read_index(data, where).manifests, self._wanted, where)
            described, data = repository.manifest(chosen.digest)
            if described.media_type not in oci.MANIFESTS:
                raise InvalidArgument(f"{where}: its index has another index for {platforms.text(self._wanted)}")
            known.append(f"{name}@{described.digest}")
        return described, data, known

    def _layers(self, repository: Repository, manifest: Manifest, config: ImageConfig) -> None:
        diff_ids = config.rootfs.diff_ids
        if len(diff_ids) != len(manifest.layers):
            raise InvalidArgument(
                f"image {self._reference}: {len(manifest.layers)} layers, and {len(diff_ids)} in its config"
            )
        for digest in (*diff_ids, *(layer.digest for layer in manifest.layers)):
            digests.hex_of(digest)
        chain_ids = digests.chain_ids(diff_ids)
        parents = (None, *chain_ids)
        jobs: dict[str, Callable[[], None]] = {}
        for layer, chain_id, parent in zip(manifest.layers, chain_ids, parents, strict=False):
            if layer.size < 0:
                raise InvalidArgument(f"image {self._reference}: layer {layer.digest}: of {layer.size} bytes")
            self._progress.item(_key(layer), "waiting", 0, layer.size)
            # The same layer twice in one image (empty ones) is fetched once; unpacked it is under two chain ids.
            jobs.setdefault(layer.digest, _Layer(self, repository, layer, chain_id, parent))
        self._run(list(jobs.values()))

    def _run(self, jobs: list[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(_DOWNLOADS, "containerkit-pull") as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = [error for future in done if (error := future.exception()) is not None]
            except BaseException:
                self._stop(pool)
                raise
            if failed:
                self._stop(pool)
                raise failed[0]

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        self._session.deadline.call_off()
        pool.shutdown(wait=True, cancel_futures=True)

    # -- what a layer's thread uses ----------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        return self._store

    @property
    def ingest(self) -> Ingest:
        return self._ingest

    def tell(self, layer: Descriptor, state: str, done: int | None = None) -> None:
        self._progress.item(_key(layer), state, layer.size if done is None else done, layer.size)

    def receive(self, repository: Repository, layer: Descriptor, download: Download) -> None:
        """Download what is missing of a layer, over breaks of the connection."""
        failures = 0
        while download.size < layer.size:
            before = download.size
            try:
                with repository.blob(layer.digest, download.size) as (response, offset):
                    if offset != download.size:
                        download.restart()
                    while data := response.read(_CHUNK):
                        download.write(data)
                        self._progress.advance(_key(layer), download.size)
                        with self._count:
                            self._received += len(data)
                if download.size < layer.size:
                    raise Broken(f"{repository.where}: blob {layer.digest}: ended after {download.size} bytes")
            except Broken:
                failures = 1 if download.size > before else failures + 1
                if failures == _FAILURES:
                    raise
                repository.pause(failures)

    @contextmanager
    def unpacking(self, layer: Descriptor, chain_id: str, parent: str | None, path: str) -> Iterator[None]:
        """Unpack a layer meanwhile. What goes wrong with that goes wrong once more afterwards, and is told then."""

        def unpack() -> None:
            with suppress(ContainerkitError, OSError), self._unpacking:
                self._store.layers.unpack_growing(chain_id, parent, layer, path)

        thread = threading.Thread(target=unpack, name="containerkit-unpack")
        thread.start()
        try:
            yield
        finally:
            # Without a writer it ends by itself.
            thread.join()


class _Layer:
    """One layer's way here: called in a thread of its own."""

    def __init__(
        self, pull: _Pull, repository: Repository, layer: Descriptor, chain_id: str, parent: str | None
    ) -> None:
        self._pull, self._repository, self._layer = pull, repository, layer
        self._chain_id, self._parent = chain_id, parent

    def __call__(self) -> None:
        pull, layer = self._pull, self._layer
        store = pull.store
        if not store.blobs.exists(layer.digest):
            with Download(store.paths.downloads, layer) as download:
                if store.blobs.exists(layer.digest):
                    download.discard()  # another pull was faster
                else:
                    self._download(download)
        if store.layers.path(self._chain_id).exists():
            pull.tell(layer, "done")
            return
        pull.tell(layer, "unpacking")
        try:
            store.layers.unpack(self._chain_id, self._parent, layer, pull.ingest)
        except InvalidArgument:
            Path(store.paths.downloads, digests.hex_of(layer.digest)).unlink(missing_ok=True)
            raise
        pull.tell(layer, "done")

    def _download(self, download: Download) -> None:
        pull, layer = self._pull, self._layer
        resumed = download.size
        pull.tell(layer, "downloading", resumed)
        with pull.unpacking(layer, self._chain_id, self._parent, download.path):
            self._receive(download, may_be_stale=resumed > 0)
            pull.ingest.adopt(layer.digest, download.path)
            pull.tell(layer, "unpacking")

    def _receive(self, download: Download, *, may_be_stale: bool) -> None:
        try:
            self._pull.receive(self._repository, self._layer, download)
            download.finish()
        except StorageError as error:
            if not may_be_stale:
                raise RegistryError(f"{self._repository.where}: {error.message}") from error
            # What an earlier pull has left was not the beginning of it.
            self._receive(download, may_be_stale=False)


def _key(layer: Descriptor) -> str:
    return digests.hex_of(layer.digest)[:12]
