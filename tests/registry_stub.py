"""A registry for tests, on loopback: it gives what it was told to, slowly, cut off or wrong, and remembers who asked.

Images are made by hand here, so that they can be made wrong; a right one is ``stub.image("app", layers=[layer(…)])``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 65_536

Json = dict[str, Any]


def digest(data: bytes) -> str:
    """The digest of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def text(value: Any) -> bytes:
    """JSON, unless it is bytes already."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@dataclass(frozen=True)
class Layer:
    """A layer as it is stored, what its manifest says it is, and the plain tar that its config says it is."""

    stored: bytes
    plain: bytes
    media_type: str = LAYER

    def described(self, **more: Any) -> Json:
        """Its descriptor in a manifest; ``more`` says otherwise."""
        return {"mediaType": self.media_type, "digest": digest(self.stored), "size": len(self.stored), **more}


def layer(plain: bytes, *, compressed: bool = True) -> Layer:
    """A tar as a layer, with gzip or as it is."""
    if compressed:
        return Layer(gzip.compress(plain, 1, mtime=0), plain, LAYER + "+gzip")
    return Layer(plain, plain)


@dataclass
class Made:
    """An image of the stub: its manifest, config and layers as they are given out."""

    name: str
    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def id(self) -> str:
        return digest(self.config)


@dataclass
class Asked:
    """One request; ``start`` is the first byte that it wants."""

    method: str
    path: str
    start: int


@dataclass
class Stub:
    """What the registry has, and how it behaves.

    Args:
        blobs: by digest; what is there need not have it.
        manifests: by repository and tag or digest: media type, and bytes.
        rate: bytes of a blob in a second; 0: as fast as may be.
        cuts: by digest, after how many bytes of each of the next answers the connection is closed.
        before: is called before each answer.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    rate: int = 0
    cuts: dict[str, list[int]] = field(default_factory=dict)
    knows_ranges: bool = True
    asked: list[Asked] = field(default_factory=list)
    before: Callable[[Asked], object] = lambda asked: None
    authority: str = ""

    def name(self, name: str) -> str:
        """The reference of a repository, with a tag or digest, of this registry."""
        return f"{self.authority}/{name}"

    def image(
        self, name: str, layers: Sequence[Layer] = (), *, config: Any = None, manifest: Json | None = None,
        rootfs: Json | None = None, container: Json | None = None,
    ) -> Made:  # fmt: skip
        """Have an image ``name`` (with a tag, or :latest).

        Args:
            config, rootfs: instead of what the layers make of them; bytes are taken as they are.
            manifest: members that are otherwise.
            container: what the config says of containers.
        """
        told = rootfs or {"type": "layers", "diff_ids": [digest(one.plain) for one in layers]}
        right = {"architecture": ARCHITECTURE, "os": "linux", "rootfs": told, "config": container or {}}
        made = text(right if config is None else config)
        described = {"mediaType": CONFIG, "digest": digest(made), "size": len(made)}
        whole = {
            "schemaVersion": 2, "mediaType": MANIFEST, "config": described,
            "layers": [one.described() for one in layers], **(manifest or {}),
        }  # fmt: skip
        self.blobs[digest(made)] = made
        for one in layers:
            self.blobs[digest(one.stored)] = one.stored
        self.put(name, text(whole), whole["mediaType"])
        return Made(self.name(name), text(whole), made, tuple(layers))

    def put(self, name: str, data: bytes, media_type: str = MANIFEST) -> None:
        """Have a manifest or an index, whatever is in it."""
        repository, _, tag = name.partition(":")
        for reference in (tag or "latest", digest(data)):
            self.manifests[repository, reference] = media_type, data

    def starts(self, one: Layer) -> list[int]:
        """From which byte on a layer has been asked for, each time."""
        return [asked.start for asked in self.asked if asked.path.endswith(digest(one.stored))]


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.0: every answer has a connection of its own, and no descriptor is left of it."""

    stub: Stub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        start = int(wanted[6:-1]) if wanted and self.stub.knows_ranges else 0
        asked = Asked(self.command, self.path, start)
        self.stub.asked.append(asked)
        self.stub.before(asked)
        parts = self.path.removeprefix("/v2/").split("/")
        with suppress(ConnectionError):
            if parts == [""]:
                self._answer(200, b"{}", "application/json")
            elif len(parts) > 2 and parts[-2] == "manifests":
                self._manifest("/".join(parts[:-2]), parts[-1])
            elif len(parts) > 2 and parts[-2] == "blobs" and parts[-1] in self.stub.blobs:
                self._blob(self.stub.blobs[parts[-1]], start, self.stub.cuts.get(parts[-1], []))
            else:
                self._answer(404, b"", "text/plain")

    def _manifest(self, repository: str, reference: str) -> None:
        media_type, data = self.stub.manifests.get((repository, reference), ("", b""))
        self._answer(200 if data else 404, data, media_type)

    def _answer(self, status: int, data: bytes, media_type: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _blob(self, data: bytes, start: int, cuts: list[int]) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        end = len(data)
        if cuts:
            end = min(end, start + cuts.pop(0))
        for position in range(start, end, _CHUNK):
            self.wfile.write(data[position : min(position + _CHUNK, end)])
            if self.stub.rate:
                time.sleep(_CHUNK / self.stub.rate)


class _Server(ThreadingHTTPServer):
    # At the end its threads are waited for: whoever they serve is gone.
    daemon_threads, block_on_close = False, True
    request_queue_size = 64


@contextmanager
def serving() -> Iterator[Stub]:
    """A stub that answers, at ``stub.authority``."""
    stub = Stub()
    handler = type("Handler", (_Handler,), {"stub": stub})
    with _Server(("127.0.0.1", 0), handler) as server:
        stub.authority = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield stub
        finally:
            stub.rate = 0
            server.shutdown()
            thread.join()
