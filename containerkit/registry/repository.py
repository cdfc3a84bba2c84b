"""The verbs of the distribution specification, for one repository of one host.

Source: opencontainers/distribution-spec 1.1, spec.md; the end points are named as there (end-2 … end-11).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from containerkit.errors import NotFound, RegistryError, StorageError
from containerkit.oci import digest as digests
from containerkit.oci import manifest as oci
from containerkit.oci.manifest import Descriptor
from containerkit.registry.api import Api
from containerkit.registry.connections import Broken, Response, of_bytes
from containerkit.registry.transport import LONGEST_PAUSE, PASSING, retry_after
from containerkit.views.text import plain

_ACCEPT = ", ".join((*oci.MANIFESTS, *oci.INDEXES))
#: Larger blobs are uploaded in pieces of so many bytes: a piece that fails is all that is sent again.
PIECE = 64 << 20
#: How often in a row an upload may break off without getting further.
_FAILURES = 5
_RANGE = re.compile(r"(?:bytes[ =])?0-([0-9]{1,15})")


class Repository:
    """One repository as one host has it. For any thread."""

    def __init__(self, api: Api, path: str) -> None:
        self.path = path
        self._api = api
        self._path = quote(path)

    @property
    def where(self) -> str:
        """How errors name it."""
        return f"{self._api.host}: {self.path}"

    def pause(self, failures: int, asked: float | None = None) -> None:
        """Wait before another attempt: for as long as was asked for, else the longer the more have failed."""
        self._api.transport.pause(failures, asked)

    # -- manifests ---------------------------------------------------------------------------------------------------

    def manifest(self, reference: str) -> tuple[Descriptor, bytes]:
        """A manifest or an index by tag or digest (end-3): what it is, and its bytes, verified.

        Raises:
            NotFound: there is none.
            RegistryError: it is too large, or not what its digest says.
        """
        where = f"{self.where}:{reference}"
        with self._api.request(
            "GET", self._api.url(f"{self._path}/manifests/{reference}"), {"Accept": _ACCEPT}
        ) as response:
            if response.status == 404:
                raise NotFound(f"{where}: not found")
            self._api.expect(response, 200, where)
            response.subject = where
            data = response.text(oci.MAX_BYTES)
            told = response.headers.get("Content-Type", "")
            announced = response.headers.get("Docker-Content-Digest", "")
        digest = digests.of(data)
        wanted = reference if digests.is_digest(reference) else announced
        if digests.is_digest(wanted) and wanted != digest:
            raise RegistryError(f"{where}: its manifest is {digest}, and was to be {wanted}")
        return Descriptor(oci.media_type_of(data, told, where), digest, len(data)), data

    def put_manifest(self, reference: str, media_type: str, data: bytes) -> None:
        """Put a manifest under a tag or its digest (end-7)."""
        headers = {"Content-Type": media_type}
        url = self._api.url(f"{self._path}/manifests/{reference}")
        with self._api.request("PUT", url, headers, of_bytes(data), len(data)) as response:
            self._api.expect(response, 201, f"{self.where}:{reference}")

    # -- blobs -------------------------------------------------------------------------------------------------------

    @contextmanager
    def blob(self, digest: str, offset: int = 0) -> Iterator[tuple[Response, int]]:
        """A blob from ``offset`` on (end-2): its answer, and where that really begins: 0 where ranges are not known."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        where = f"{self.where}: blob {digest}"
        with self._api.request("GET", self._api.url(f"{self._path}/blobs/{digest}"), headers) as response:
            if response.status == 404:
                raise NotFound(f"{where}: not found")
            response.subject = where
            if response.status == 206:
                begin = response.headers.get("Content-Range", "")
                if not begin.startswith(f"bytes {offset}-"):
                    raise RegistryError(f"{where}: asked from byte {offset} on, got {plain(begin, 60) or 'no range'}")
                yield response, offset
                return
            self._api.expect(response, 200, where)
            yield response, 0

    def small_blob(self, descriptor: Descriptor) -> bytes:
        """A blob that is no more than a text, verified.

        Raises:
            RegistryError: it is larger than it may be, or not what its digest says.
        """
        where = f"{self.where}: blob {descriptor.digest}"
        if not 0 <= descriptor.size <= oci.MAX_BYTES:
            raise RegistryError(f"{where}: {descriptor.size} bytes, more than {oci.MAX_BYTES}")
        with self.blob(descriptor.digest) as (response, _):
            data = response.text(descriptor.size)
        if (len(data), digests.of(data)) != (descriptor.size, descriptor.digest):
            raise RegistryError(f"{where}: received {len(data)} bytes with digest {digests.of(data)}")
        return data

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is there (end-2, HEAD)."""
        with self._api.request("HEAD", self._api.url(f"{self._path}/blobs/{digest}")) as response:
            if response.status not in (200, 404):
                self._api.expect(response, 200, f"{self.where}: blob {digest}")
            return response.status == 200

    def mount(self, digest: str, source: str) -> bool:
        """Take a blob over from another repository of the registry (end-11); False when it does not want to."""
        query = urlencode({"mount": digest, "from": source})
        with self._api.request(
            "POST", self._api.url(f"{self._path}/blobs/uploads/?{query}"), {}, of_bytes(b""), 0
        ) as response:
            if response.status == 201:
                return True
            if response.status == 202 and response.headers.get("Location"):
                # It has begun an upload instead: there is no use for that.
                with self._api.request("DELETE", self._place(response, self.where)):
                    pass
            return False

    def upload(self, descriptor: Descriptor, open_blob: Callable[[], BinaryIO], told: Callable[[int], None]) -> None:
        """Send a blob: a small one with one request, a large one in pieces (end-4 to end-6).

        What is broken off goes on from where the registry says it is (end-13).

        Args:
            open_blob: opens it.
            told: is told how many bytes have been sent.

        Raises:
            RegistryError: it is refused, or breaks off again and again.
        """
        where = f"{self.where}: blob {descriptor.digest}"
        place, piece = self._begin(where)
        sent = failures = best = 0
        while True:
            try:
                if descriptor.size - sent <= piece:
                    self._send_last(place, descriptor, sent, open_blob, told, where)
                    return
                place, sent = self._send_piece(place, sent, piece, open_blob, told, where), sent + piece
            except Broken as error:
                failures = failures + 1 if sent <= best else 1
                best = max(best, sent)
                if failures == _FAILURES:
                    raise
                self.pause(failures, error.wait)
                resumed = self._resume(place, descriptor.size)
                if resumed is None and self.has_blob(descriptor.digest):
                    told(descriptor.size)  # it was whole: only the answer was lost
                    return
                place, sent = resumed or (self._begin(where)[0], 0)

    def _begin(self, where: str) -> tuple[str, int]:
        """Where an upload goes, and the bytes of a piece."""
        with self._api.request("POST", self._api.url(f"{self._path}/blobs/uploads/"), {}, of_bytes(b""), 0) as response:
            self._api.expect(response, 202, where)
            least = response.headers.get("OCI-Chunk-Min-Length", "")
            piece = max(PIECE, int(least) if least.isdecimal() and len(least) < 15 else 0)
            return self._place(response, where), piece

    def _send_piece(
        self, place: str, sent: int, piece: int, open_blob: Callable[[], BinaryIO], told: Callable[[int], None],
        where: str,
    ) -> str:  # fmt: skip
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{sent}-{sent + piece - 1}"}
        body = _part(open_blob, sent, piece, told)
        with self._api.request("PATCH", place, headers, body, piece, attempts=1) as response:
            self._expect(response, 202, where)
            return self._place(response, where)

    def _send_last(
        self, place: str, descriptor: Descriptor, sent: int, open_blob: Callable[[], BinaryIO],
        told: Callable[[int], None], where: str,
    ) -> None:  # fmt: skip
        left = descriptor.size - sent
        headers = {"Content-Type": "application/octet-stream"}
        if sent:
            headers["Content-Range"] = f"{sent}-{descriptor.size - 1}"
        url = place + ("&" if urlsplit(place).query else "?") + urlencode({"digest": descriptor.digest})
        body = _part(open_blob, sent, left, told)
        with self._api.request("PUT", url, headers, body, left, attempts=1) as response:
            self._expect(response, 201, where)

    def _expect(self, response: Response, status: int, where: str) -> None:
        if response.status in PASSING:
            asked = retry_after(response.headers.get("Retry-After", ""), time.time())
            wait = None if asked is None else min(asked, LONGEST_PAUSE)
            raise Broken(f"{where}: {self._api.complaint(response)}", wait)
        self._api.expect(response, status, where)

    def _resume(self, place: str, size: int) -> tuple[str, int] | None:
        """Where an upload goes on and how much of it is there; None when it has to begin anew."""
        with self._api.request("GET", place) as response:
            found = _RANGE.fullmatch(response.headers.get("Range", ""))
            if response.status != 204 or not response.headers.get("Location") or found is None:
                return None
            have = int(found[1]) + 1 if found[1] != "0" else 0
            return (self._place(response, self.where), have) if have < size else None

    def _place(self, response: Response, where: str) -> str:
        place = response.headers.get("Location")
        if not place:
            raise RegistryError(f"{where}: an upload without a place to go on")
        return self._api.transport.way(response.url, place, f"{where}: sends the upload")

    # -- lists -------------------------------------------------------------------------------------------------------

    def tags(self) -> list[str]:
        """All tags, sorted (end-8).

        Raises:
            NotFound: no such repository.
        """
        return sorted(self._api.pages(f"{self._path}/tags/list", "tags", self.where))


class _Part:
    """So many bytes of a file from a place on, for the HTTP library to read."""

    def __init__(self, file: BinaryIO, offset: int, size: int, told: Callable[[int], None]) -> None:
        self._file, self._left, self._at, self._told = file, size, offset, told
        file.seek(offset)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._left) if size >= 0 else self._left)
        if not data and self._left:
            raise StorageError("blob: became shorter while it was sent")
        self._left -= len(data)
        self._at += len(data)
        self._told(self._at)
        return data

    def close(self) -> None:
        self._file.close()


def _part(open_blob: Callable[[], BinaryIO], offset: int, size: int, told: Callable[[int], None]) -> Any:
    return lambda: _Part(open_blob(), offset, size, told)
