"""P11: an image from a registry on this machine: 200 MB of this machine's own files in one layer, and in ten."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from containerkit import Engine, Image
from containerkit.layers import tar
from containerkit.layers.pack import repack
from containerkit.oci import codec, platforms
from containerkit.oci import manifest as oci
from containerkit.oci.image_config import ContainerConfig, ImageConfig, RootFS
from containerkit.oci.manifest import Descriptor
from tests import servers
from tests.bench.peers import HOST, Docker, Peer, Podman

SIZE = 206_000_000
_SOURCES = (
    "/usr/share/doc",
    "/usr/share/perl",
    "/usr/sbin",
    "/usr/share/locale",
    "/usr/lib/python3",
    "/usr/bin",
    "/etc",
)


def measure(peers: list[Peer], scratch: Path, runs: int) -> None:
    """Print what pulls take.

    Each run pulls an image of its own: to remove one and pull it again would measure how ext4 recovers from removals,
    which is slow for a minute.
    """
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(servers.registry(scratch / "registry"))
        if peers:  # the same once more in their network namespace, whose loopback is another
            stack.enter_context(servers.serving(registry, HOST))
        engine = Engine(root=scratch / "pulls", run=scratch / "pulls-run")
        for layers in (1, 10):
            with _archives(scratch / "archives", layers, SIZE) as archives:
                references = [f"{registry.name}/bench/{layers}:{number}" for number in range(runs)]
                images = [layered(engine, archives, reference) for reference in references]
            for image in images:
                image.push(progress=False)
            packed = sum(one.blob_size for one in images[0].layer_details())
            print(
                f"\nP11  pull {packed / 1e6:.0f} MB ({images[0].size / 1e6:.0f} MB unpacked) in {layers} layers"
                f"  ({runs} runs each)"
            )
            _compare(references, peers, scratch / f"pulled-{layers}")
        with _archives(scratch / "archives", 5, 5 * SIZE) as archives:
            layered(engine, archives, f"{registry.name}/bench/large").push(progress=False)
        engine.close()
        most = _memory(f"{registry.name}/bench/large", scratch)
        print(f"\nP11  memory while {5 * SIZE / 1e9:.1f} GB are pulled: {most:.0f} MB at most")


def _compare(references: list[str], peers: list[Peer], scratch: Path) -> None:
    engine = Engine(root=scratch, run=scratch / "run")
    engine.store.images.list()
    works: dict[str, Callable[[str], object]] = {
        "containerkit": lambda reference: Image.pull(reference, engine=engine, progress=False)
    }
    for peer in peers:
        if isinstance(peer, (Docker, Podman)):
            extra = ("--tls-verify=false",) if isinstance(peer, Podman) else ()
            works[peer.name] = lambda reference, peer=peer, extra=extra: peer.call(  # type: ignore[misc]  # bound now
                "pull", "-q", *extra, reference
            )
    times: dict[str, list[float]] = {name: [] for name in works}
    for reference in references:
        for name, work in works.items():
            os.sync()
            began = time.perf_counter()
            work(reference)
            times[name].append(time.perf_counter() - began)
    engine.close()
    mine = statistics.median(times["containerkit"])
    for name, values in times.items():
        middle = statistics.median(values)
        ratio = "" if name == "containerkit" else f"   {middle / mine:6.1f} × ours"
        print(f"  {name:14} {middle:9.2f} s   [{min(values):.2f} … {max(values):.2f}]{ratio}")


def _memory(reference: str, scratch: Path) -> float:
    """MB at most, of the process that pulls; those that unpack for it are forks of a spawner."""
    code = f"""
import resource, containerkit as ck
engine = ck.Engine(root={str(scratch / "pulled")!r}, run={str(scratch / "pulled-run")!r})
ck.Image.pull({reference!r}, engine=engine, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1000


def layered(engine: Engine, archives: list[Path], reference: str) -> Image:
    """An image of these layers, each with a file more that is this image's own."""
    with engine.store.ingest() as ingest:
        described, diff_ids = [], []
        for archive in archives:
            with ingest.writer() as writer, open(archive, "rb") as file:
                packed = repack(_Joined(_marked(reference), file), writer, "bench")
            described.append(Descriptor(oci.layer_media_type("gzip"), writer.digest, writer.size))
            diff_ids.append(packed.diff_id)
        machine = platforms.this_machine()
        config = ImageConfig(machine.architecture, machine.os, RootFS("layers", tuple(diff_ids)), ContainerConfig())
        blob = ingest.put(codec.dumps(config).encode(), oci.OCI_CONFIG)
        manifest = ingest.put(codec.dumps(oci.manifest(blob, tuple(described))).encode(), oci.OCI_MANIFEST)
        engine.store.images.add(manifest, reference, ingest)
    return Image.get(reference, engine=engine)


def _marked(reference: str) -> bytes:
    """A tar entry as a gzip member of its own: it goes before those of an archive."""
    return gzip.compress(tar.header(tar.Entry(f"marks/{reference.replace('/', '-')}")), mtime=0)


class _Joined:
    """Some bytes, then a file."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, size: int = -1, /) -> bytes:
        if not self._head:
            return self._file.read(size)
        data, self._head = self._head, b""
        return data


@contextmanager
def _archives(place: Path, count: int, total: int) -> Iterator[list[Path]]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    paths = [place / f"{number}.tar.gz" for number in range(count)]
    rounds = 0
    files: Iterator[Path] = iter(())
    for path in paths:
        size = 0
        with gzip.open(path, "wb", compresslevel=6) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
            while size < total / count:
                file = next(files, None)
                if file is None:
                    rounds, files = rounds + 1, _files()
                    continue
                archive.add(file, f"{rounds}{file}", recursive=False)
                size += file.stat().st_size
    try:
        yield paths
    finally:
        shutil.rmtree(place)


def _files() -> Iterator[Path]:
    found = itertools.chain.from_iterable(sorted(Path(source).rglob("*")) for source in _SOURCES)
    return (path for path in found if path.is_file() and not path.is_symlink() and path.stat().st_size < 4_000_000)
