"""Images without a registry: from a directory, an archive, or the programs of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from containerkit import dockerfile
from containerkit.errors import InvalidArgument, NotFound, StorageError, from_os_error
from containerkit.layers import hostlayer, pack, write
from containerkit.layers.compression import Readable
from containerkit.layers.hostprograms import DEFAULT_PATH, HostFiles
from containerkit.layers.pack import Packed, Packer
from containerkit.oci import manifest as oci
from containerkit.oci import platforms
from containerkit.oci.image_config import ContainerConfig, History, ImageConfig, RootFS, format_time
from containerkit.oci.manifest import Descriptor
from containerkit.oci.reference import Reference
from containerkit.store.images import ImageRecord
from containerkit.store.ingest import BlobWriter, Ingest
from containerkit.store.store import Store

_PATH = ":".join(DEFAULT_PATH)

Source = str | os.PathLike[str] | BinaryIO


def import_(store: Store, source: Source, tag: str | None = None, changes: Iterable[str] = ()) -> ImageRecord:
    """An image of one layer; its time is that of the newest file in it.

    Args:
        source: a directory, a tar archive (plain, gzip, zstd, xz or bzip2), or an archive open for reading.
        tag: the reference it gets.
        changes: Dockerfile instructions for its config.

    Raises:
        NotFound: no such file.
        InvalidArgument: not an archive, a damaged one, one that leaves its root; a wrong instruction or reference.
        StorageError: the disk is full or cannot be written. Nothing is left of a failed import.
    """
    # Everything that can be wrong in the arguments, before the work.
    if tag is not None:
        Reference.parse(tag)
    changes = (changes,) if isinstance(changes, str) else changes
    config = dockerfile.apply_changes(ContainerConfig(env=(f"PATH={_PATH}",)), changes)
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "a stream")
    try:
        with store.ingest() as ingest:
            with ingest.writer() as writer:
                packed = _pack(source, writer)
            layer = Descriptor(oci.layer_media_type(packed.compression), writer.digest, writer.size)
            return add_layer(store, ingest, layer, packed, config, "import", tag)
    except OSError as error:
        raise from_os_error(error, f"import {name}") from error


def _pack(source: Source, writer: BlobWriter) -> Packed:
    if not isinstance(source, (str, os.PathLike)):
        return pack.repack(source, writer, "import")
    if os.path.isdir(source):
        with Packer(writer) as packer:
            write.add_tree(packer, source)
        return packer.result
    with open(source, "rb", buffering=0) as file:
        archive: Readable = file
        return pack.repack(archive, writer, f"import {os.fspath(source)}")


def from_host(store: Store, programs: Iterable[str], tag: str | None = None) -> ImageRecord:
    """An image of programs of this machine with everything they need to run.

    Deterministic: as long as the files here stay the same, so does the image's id; its time is that of the newest of
    them. The second call with the same programs finds the image of the first.

    Args:
        programs: names, found as a shell finds them, or paths. The first becomes the command.
        tag: the reference it gets.

    Raises:
        NotFound: no such program.
        InvalidArgument: not a reference; no program at all.
        StorageError: the disk is full or cannot be written.
    """
    if tag is not None:
        Reference.parse(tag)
    try:
        files = HostFiles()
        # A path becomes absolute; a name stays one.
        wanted = tuple([path if "/" in name else name for name in programs for path in (files.add_program(name),)])
        if not wanted:
            raise InvalidArgument("from_host: name at least one program")
        return _host_image(store, files, wanted, tag)
    except OSError as error:
        raise from_os_error(error, "from_host") from error


def _host_image(store: Store, files: HostFiles, programs: tuple[str, ...], tag: str | None) -> ImageRecord:
    config = ContainerConfig(env=("PATH=" + ":".join((*files.directories, *DEFAULT_PATH)),), cmd=programs[:1])
    known = store.paths.host_images / hostlayer.fingerprint(files, programs)
    if (found := recall(store, known, tag)) is not None:
        return found
    with store.ingest() as ingest:
        with ingest.writer() as writer, Packer(writer) as packer:
            hostlayer.add_host_files(packer, files)
        packed, history = packer.result, "from_host " + " ".join(programs)
        layer = Descriptor(oci.layer_media_type(packed.compression), writer.digest, writer.size)
        record = add_layer(store, ingest, layer, packed, config, history, tag)
        remember(known, record.id, ingest)
    return record


def recall(store: Store, known: Path, tag: str | None) -> ImageRecord | None:
    """The image that :func:`remember` wrote down in the file ``known``, with the tag; None when there is none.

    Or none that is whole: then it is made anew.
    """
    try:
        found = store.images.get(known.read_text())
        if not all(store.blobs.exists(layer.digest) for layer in found.layers):
            return None
        return found if tag is None else store.images.tag(found.id, tag)
    except (FileNotFoundError, NotFound, StorageError):
        return None


def remember(known: Path, id: str, ingest: Ingest) -> None:
    """Write down which image was made, for the next call with the same wishes."""
    partial = ingest.path / "known"
    partial.write_text(id)
    known.parent.mkdir(parents=True, exist_ok=True)
    os.rename(partial, known)


def add_layer(
    store: Store, ingest: Ingest, layer: Descriptor, packed: Packed, config: ContainerConfig,
    history: str, tag: str | None,
) -> ImageRecord:  # fmt: skip
    """An image of one layer, which waits in ``ingest``.

    Args:
        history: how it was made.
    """
    # Nothing of the call itself: the same content is the same image, and a cell that is run again makes no second one.
    when = format_time(packed.newest / 1e9)
    machine = platforms.this_machine()
    image = ImageConfig(
        architecture=machine.architecture,
        os=machine.os,
        variant=machine.variant,
        rootfs=RootFS("layers", (packed.diff_id,)),
        config=config,
        created=when,
        history=(History(when, history),),
    )
    return store.add_image(image, (layer,), ingest, tag)
