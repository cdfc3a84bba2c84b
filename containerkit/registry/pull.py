"""An image from afar: found, downloaded, unpacked, and visible once it is whole.

Layers come side by side, each in a thread that hashes and writes what arrives, while another process unpacks it. What
is there already is not fetched: blobs and layers of other images, and what a pull that was broken off has left.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from containerkit.errors import (
    ContainerkitError,
    InvalidArgument,
    NotFound,
    RegistryError,
    StorageError,
    Timeout,
    Unsupported,
    from_os_error,
)
from containerkit.layers.bounds import check_proportion
from containerkit.oci import digest as digests
from containerkit.oci import image_config, platforms
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import Descriptor, Platform
from containerkit.oci.reference import Reference
from containerkit.progress import Progress
from containerkit.registry.connections import Broken, Denied
from containerkit.registry.deadline import side_by_side
from containerkit.registry.repository import Repository
from containerkit.registry.sessions import Session
from containerkit.store import downloads
from containerkit.store.downloads import Download
from containerkit.store.images import HARMLESS_IMAGE, ImageRecord
from containerkit.store.ingest import Ingest
from containerkit.store.store import Store
from containerkit.views import text

#: Downloads at once, and layers that are unpacked at once.
_DOWNLOADS, _UNPACKING = 4, 2
_CHUNK = 1 << 20
#: Seconds that an unpacker has to notice that its download has been broken off.
_FAREWELL = 3.0
#: How often in a row a download may break off without a byte.
_FAILURES = 5


def pull_any(
    store: Store, references: Sequence[Reference], session: Session, wanted: Platform | None, progress: Progress
) -> tuple[Reference, ImageRecord]:
    """Pull the first of these that there is; which one, and the image. Raises as :func:`pull`.

    A registry that does not answer, or not as it should, is no reason to take from the next what it has by that name.
    """
    for reference in references[:-1]:
        try:
            return reference, pull(store, reference, session, wanted, progress)
        except (NotFound, Denied):
            continue  # to those who may not see it, registries say the same of what is not there
    return references[-1], pull(store, references[-1], session, wanted, progress)


def pull(
    store: Store, reference: Reference, session: Session, wanted: Platform | None, progress: Progress
) -> ImageRecord:
    """Pull the image of ``reference`` for the platform ``wanted``; None: this machine's, or the only one there is.

    Raises:
        NotFound: the registry does not have it, or not for that platform.
        RegistryError: the registry cannot be reached, refuses, or sends something else than it announced.
        Unsupported: it is no image.
        StorageError: the disk is full; the next pull goes on from what is there.
        Timeout: the session's deadline has come; the same.
    """
    downloads.sweep(store.paths.downloads)
    progress.begin(f"pulling {reference}")
    one = _Pull(store, reference, session, wanted, progress)
    try:
        with store.ingest() as one.ingest, ExitStack() as one.held:
            manifest, known = one.fetch()
            tag = reference.full if reference.tag and not reference.digest else None
            record = store.images.add(manifest, tag, one.ingest, known, action="pull")
        downloads.forget(store.paths.downloads, one.layers)
        progress.end(f"{reference}: {one.received_text}, {record.manifest.digest}")
        return record
    except BaseException as error:
        progress.end(f"{reference}: not pulled")
        with suppress(OSError, ContainerkitError):
            _clean_up(store, error, one.layers)
        if isinstance(error, Timeout):
            raise Timeout(f"image {reference}: pull: {error.message}") from error
        if isinstance(error, ContainerkitError) and reference.domain not in error.message:
            raise type(error)(f"image {reference}: {error.message}", errno=error.errno) from error
        if isinstance(error, OSError) and not isinstance(error, ContainerkitError):
            raise from_os_error(error, f"image {reference}: pull") from error
        raise


def _clean_up(store: Store, error: BaseException, layers: Sequence[str]) -> None:
    """What has arrived is of use for a pull that goes on, and of none when the image is wrong."""
    if isinstance(error, (InvalidArgument, Unsupported)):
        downloads.forget(store.paths.downloads, layers)
    if not isinstance(error, (Broken, Timeout, KeyboardInterrupt)):
        store.images.collect()


class _Pull:
    ingest: Ingest
    held: ExitStack

    def __init__(
        self, store: Store, reference: Reference, session: Session, wanted: Platform | None, progress: Progress
    ) -> None:
        # What is called off is this pull, and not the call that it is a part of.
        self._session = replace(session, deadline=session.deadline.part())
        self.store, self._reference = store, reference
        self._wanted, self._progress = wanted, progress
        self._unpacking = threading.Semaphore(_UNPACKING)
        self._count = threading.Lock()
        self._received = self._stored = self._packed = 0
        self.layers: list[str] = []

    @property
    def received_text(self) -> str:
        """How much was downloaded, in words."""
        return f"{text.size(self._received)} downloaded" if self._received else "up to date"

    def fetch(self) -> tuple[Descriptor, list[str]]:
        """Everything that the image consists of; its manifest, and the names with digests that the registry knows."""
        repository, manifest, data, known = self._resolve()
        found = oci.read_manifest(data, f"{repository.where}@{manifest.digest}")
        self.ingest.put(data, manifest.media_type)
        config = repository.small_blob(found.config)
        self.ingest.put(config, found.config.media_type)
        parsed = image_config.read(config, found.config.digest, len(found.layers))
        here = Platform(parsed.architecture, parsed.os, parsed.variant)
        if self._wanted is not None and not platforms.matches(here, self._wanted):
            wanted = platforms.text(self._wanted)
            raise NotFound(f"image {self._reference}: not for {wanted} (there is {platforms.text(here)})")
        self._layers(repository, found.layers, parsed.rootfs.diff_ids)
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
            wanted = self._wanted or platforms.this_machine()
            chosen = platforms.choose(oci.read_index(data, where).manifests, wanted, where)
            oci.check_descriptor(chosen, where)
            described, data = repository.manifest(chosen.digest)
            if described.media_type not in oci.MANIFESTS:
                raise InvalidArgument(f"{where}: its index has another index for {platforms.text(wanted)}")
            known.append(f"{name}@{described.digest}")
        return described, data, known

    def _layers(self, repository: Repository, layers: Sequence[Descriptor], diff_ids: tuple[str, ...]) -> None:
        self.layers = [layer.digest for layer in layers]
        chain_ids = digests.chain_ids(diff_ids)
        self.held.enter_context(self.store.images.keeping(chain_ids))
        jobs: dict[str, Callable[[], None]] = {}
        for number, (layer, chain_id) in enumerate(zip(layers, chain_ids, strict=False)):
            self._progress.item(_key(layer), "waiting", 0, layer.size)
            # The same layer twice in one image (empty ones) is fetched once; unpacked it is under two chain ids.
            jobs.setdefault(layer.digest, _Layer(self, repository, layer, chain_id, chain_ids[:number]))
        side_by_side(list(jobs.values()), _DOWNLOADS, self._session.deadline)

    # -- what a layer's thread uses ----------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Wait; the deadline, or a call-off, comes in between."""
        self._session.deadline.sleep(seconds)

    def tell(self, layer: Descriptor, state: str, done: int | None = None) -> None:
        self._progress.item(_key(layer), state, layer.size if done is None else done, layer.size)

    def weigh(self, stored: int, packed: int) -> None:
        """Add up what was written for the layers, and what was read for that."""
        with self._count:
            self._stored, self._packed = self._stored + stored, self._packed + packed

    def check_weight(self) -> None:
        """
        Raises:
            InvalidArgument: so far it takes more than such an image may.
        """
        with self._count:
            check_proportion(self._stored, self._packed, f"image {self._reference}", HARMLESS_IMAGE)

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
                    # When it was all that the host had announced, there is no more to be had.
                    kind = RegistryError if "Content-Length" in response.headers else Broken
                    raise kind(f"{repository.where}: blob {layer.digest}: ended after {download.size} bytes")
            except Broken:
                failures = 1 if download.size > before else failures + 1
                if failures == _FAILURES:
                    raise
                repository.pause(failures)

    @contextmanager
    def unpacking(self, layer: Descriptor, chain_id: str, below: Sequence[str], path: str) -> Iterator[None]:
        """Unpack a layer meanwhile, if it does not depend on those below; what goes wrong does so once more
        afterwards, and is told then.
        """

        def unpack() -> None:
            with suppress(ContainerkitError, OSError), self._unpacking:
                self.weigh(self.store.layers.unpack_growing(chain_id, below, layer, path), layer.size)

        thread = threading.Thread(target=unpack, name="containerkit-unpack", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            # Without a writer it ends by itself; with another pull's it goes on for that one, and nobody waits for it.
            thread.join(_FAREWELL)
            raise
        thread.join()


class _Layer:
    """One layer's way here: called in a thread of its own."""

    def __init__(
        self, pull: _Pull, repository: Repository, layer: Descriptor, chain_id: str, below: Sequence[str]
    ) -> None:
        self._pull, self._repository, self._layer = pull, repository, layer
        self._chain_id, self._below = chain_id, below

    def __call__(self) -> None:
        pull, layer = self._pull, self._layer
        store = pull.store
        # Whoever unpacks a download that breaks off waits until it is let go: that comes first.
        with ExitStack() as unpacking:
            if not pull.ingest.hold(layer.digest):
                with Download(store.paths.downloads, layer, pull.sleep) as download:
                    if pull.ingest.hold(layer.digest):
                        download.discard()  # another pull was faster
                    else:
                        self._download(download, unpacking)
        with pull.ingest.open(layer.digest) as blob:
            if (size := os.stat(blob.fileno()).st_size) != layer.size:
                raise InvalidArgument(f"{self._repository.where}: blob {layer.digest}: {size} bytes, not {layer.size}")
        if not store.layers.path(self._chain_id).exists():
            self._unpack()
        pull.check_weight()
        pull.tell(layer, "done")

    def _unpack(self) -> None:
        pull, layer = self._pull, self._layer
        pull.tell(layer, "unpacking")
        pull.weigh(pull.store.layers.unpack(self._chain_id, self._below, layer, pull.ingest), layer.size)

    def _download(self, download: Download, unpacking: ExitStack) -> None:
        pull, layer = self._pull, self._layer
        resumed = download.size
        pull.tell(layer, "downloading", resumed)
        unpacking.enter_context(pull.unpacking(layer, self._chain_id, self._below, download.path))
        self._receive(download, may_be_stale=resumed > 0)
        pull.ingest.share(layer.digest, download.path)
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
