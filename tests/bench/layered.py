"""P11: images of this machine's files, in any number of layers, each with something of its own."""

from __future__ import annotations

import gzip
import itertools
import shutil
import tarfile
from collections.abc import Iterator
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

_SOURCES = (
    "/usr/share/doc",
    "/usr/share/perl",
    "/usr/sbin",
    "/usr/share/locale",
    "/usr/lib/python3",
    "/usr/bin",
    "/etc",
)


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
    return gzip.compress(tar.header(tar.Entry(f"mark-{reference.replace('/', '-')}")), mtime=0)


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
def archives(place: Path, count: int, total: int) -> Iterator[list[Path]]:
    """So many gzip-compressed tar archives below ``place``, of files with together ``total`` bytes.

    As those who build images write them: each names the directories that its files are in.
    """
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    paths = [place / f"{number}.tar.gz" for number in range(count)]
    rounds = 0
    files: Iterator[Path] = iter(())
    for path in paths:
        size = 0
        named: set[str] = set()
        with gzip.open(path, "wb", compresslevel=6) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
            while size < total / count:
                file = next(files, None)
                if file is None:
                    rounds, files = rounds + 1, _files()
                    continue
                for one in (*reversed(file.parents), file):
                    if (name := f"{rounds}{one}") not in named:
                        archive.add(one, name, recursive=False)
                        named.add(name)
                size += file.stat().st_size
    try:
        yield paths
    finally:
        shutil.rmtree(place)


def _files() -> Iterator[Path]:
    found = itertools.chain.from_iterable(sorted(Path(source).rglob("*")) for source in _SOURCES)
    return (path for path in found if path.is_file() and not path.is_symlink() and path.stat().st_size < 4_000_000)
