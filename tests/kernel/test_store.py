"""The store: many processes at once, killed ones, full and read-only disks, damage, and what other tools see of it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.errors import InvalidArgument, NotFound, StorageError
from containerkit.linux import mounts
from containerkit.oci.manifest import Descriptor
from containerkit.store import events
from containerkit.store.database import Database
from containerkit.store.ingest import Ingest
from containerkit.store.layers import Layers
from containerkit.store.paths import Paths
from containerkit.store.store import Store
from containerkit.store.trees import remove_tree
from tests import trees
from tests.engines import on_a_small_disk


def tar_of(files: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out


def contents(engine: Engine) -> dict[str, list[str]]:
    """What lies where that images are made of."""
    places = {"tmp": engine.paths.tmp, "blobs": engine.paths.blobs, "layers": engine.paths.layers}
    return {key: sorted(p.name for p in place.iterdir() if p.name != ".lock") for key, place in places.items()}


EMPTY: dict[str, list[str]] = {"tmp": [], "blobs": [], "layers": []}


def python(engine: Engine, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that works on the same root, with ``engine``, ``ck`` and ``sys`` at hand; arguments from 3 on."""
    prelude = "import sys, io, os, time; import containerkit as ck; engine = ck.Engine(sys.argv[1], sys.argv[2])\n"
    command = [sys.executable, "-c", prelude + code, str(engine.paths.root), str(engine.paths.run), *arguments]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def outcome(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.strip()


# -- many processes --------------------------------------------------------------------------------------------------


def test_processes_that_import_the_same_at_once_get_the_same_image(engine: Engine, tmp_path: Path) -> None:
    trees.build(tmp_path / "source")
    code = f"print(ck.Image.import_({str(tmp_path / 'source')!r}, tag='same', engine=engine).id)"
    ids = {outcome(process) for process in [python(engine, code) for _ in range(4)]}
    assert ids == {Image.get("same", engine=engine).id}
    found = contents(engine)
    assert found["tmp"] == [] and len(found["blobs"]) == 3 and len(found["layers"]) == 1


def test_nothing_is_lost_while_others_remove(engine: Engine, tmp_path: Path) -> None:
    """Images that share a layer come and go in several processes; one that is there is whole."""
    trees.build(tmp_path / "source")
    code = f"""
for round in range(12):
    image = ck.Image.import_({str(tmp_path / "source")!r}, changes=[f"LABEL by={{os.getpid()}}"], engine=engine)
    record = engine.store.images.get(image.id)
    for layer, path in zip(record.layers, engine.store.layers.ensure(record.chain_ids, record.layers)):
        assert engine.store.blobs.exists(layer.digest) and (path / "etc/passwd").exists()
    image.remove()
"""
    for process in [python(engine, code) for _ in range(3)]:
        outcome(process)
    assert contents(engine) == EMPTY


def test_threads_share_an_engine(engine: Engine) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> str:
        image = Image.import_(tar_of({"x": bytes([number % 3])}), tag=f"t{number % 3}", engine=engine)
        return Image.get(f"t{number % 3}", engine=engine).id if image.size == 1 else ""

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(work, range(24)))
    assert ids[:3] * 8 == ids and len(set(ids)) == 3


# -- kill -9 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["reading", "unpacking", "committing"])
def test_an_import_that_is_killed_leaves_nothing_that_the_next_does_not_clean_up(engine: Engine, moment: str) -> None:
    code = {
        "reading": """
class Slow(io.BytesIO):
    def read(self, size=-1):
        print(flush=True); time.sleep(60)
ck.Image.import_(Slow(), engine=engine)
""",
        "unpacking": """
from containerkit.layers import apply
def slow(self, entry): print(flush=True); time.sleep(60)
apply.Tree.add = slow
ck.Image.import_("/etc/apt", engine=engine)
""",
        "committing": """
from containerkit.store import layout
def slow(*_): print(flush=True); time.sleep(60)
layout.write = slow
ck.Image.import_("/etc/apt", engine=engine)
""",
    }[moment]
    process = python(engine, code)
    assert process.stdout is not None
    process.stdout.readline()
    # Somebody else's work in progress is not garbage.
    Image.import_(tar_of({"x": b"1"}), engine=engine) if moment != "committing" else None
    assert contents(engine)["tmp"] != []
    process.send_signal(signal.SIGKILL)
    process.communicate()
    image = Image.import_(tar_of({"x": b"1"}), engine=engine)
    assert contents(engine)["tmp"] == []
    image.remove()
    assert contents(engine) == EMPTY


# -- disks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path, nothing_is_left: None) -> Iterator[Engine]:
    """An engine on a disk of 4 MB."""
    with on_a_small_disk(tmp_path, "4m") as engine:
        yield engine


def test_a_full_disk_is_said_and_leaves_nothing(small: Engine) -> None:
    kept = Image.import_(tar_of({"small": b"x"}), tag="kept", engine=small)
    before = contents(small)
    # Too large as a blob; small enough as a blob, and too large unpacked.
    for data in (os.urandom(5 << 20), b"x" * (20 << 20)):
        with pytest.raises(StorageError, match="no space left on device.*free some space"):
            Image.import_(tar_of({"large": data}), tag="kept", engine=small)
        assert contents(small) == before
    assert Image.get("kept", engine=small) == kept


def test_a_read_only_store_is_said(small: Engine) -> None:
    Image.import_(tar_of({"small": b"x"}), tag="kept", engine=small)
    small.close()
    subprocess.run(["mount", "-o", "remount,ro", small.paths.root.parent], check=True)
    with pytest.raises(StorageError, match="read-only file system.*choose a CONTAINERKIT_ROOT that can be written"):
        Image.import_(tar_of({"other": b"x"}), engine=small)


# -- damage ----------------------------------------------------------------------------------------------------------


def damage(path: str | Path) -> None:
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    Path(path).write_bytes(data)


def test_a_damaged_layer_is_found_and_importing_again_repairs_it(engine: Engine) -> None:
    source = {"x": os.urandom(100_000)}
    image = Image.import_(tar_of(source), engine=engine)
    record = image._record
    (blob,) = record.layers
    engine.store.layers.remove(record.chain_ids[0])
    damage(engine.store.blobs.path(blob.digest))
    with pytest.raises(StorageError, match=f"blob {blob.digest}: damaged on disk"):
        engine.store.layers.ensure(record.chain_ids, record.layers)
    assert contents(engine)["layers"] == contents(engine)["tmp"] == []
    assert Image.import_(tar_of(source), engine=engine) == image
    assert (engine.store.layers.path(record.chain_ids[0]) / "x").read_bytes() == source["x"]


@pytest.mark.parametrize("part", ["config", "manifest"])
@pytest.mark.parametrize("how", [damage, os.unlink])
def test_a_damaged_image_is_found_and_can_be_removed(engine: Engine, part: str, how: object) -> None:
    image = Image.import_(tar_of({"x": b"1"}), tag="broken", engine=engine)
    digest = image.id if part == "config" else image.digest
    how(engine.store.blobs.path(digest))  # type: ignore[operator]  # a function of the parametrization
    fresh = Engine(engine.paths.root, engine.paths.run)
    with pytest.raises(StorageError, match=f"image {image.id}: .*{digest}"):
        Image.get("broken", engine=fresh)
    fresh.store.images.remove("broken")
    fresh.close()
    assert contents(engine) == EMPTY


def test_a_layer_that_the_config_does_not_name_is_refused(engine: Engine) -> None:
    first = Image.import_(tar_of({"x": b"1"}), engine=engine)._record
    second = Image.import_(tar_of({"x": b"2"}), engine=engine)._record
    engine.store.layers.remove(first.chain_ids[0])
    with pytest.raises(InvalidArgument, match="which the image's config does not say"):
        engine.store.layers.ensure(first.chain_ids, second.layers)
    assert not engine.store.layers.path(first.chain_ids[0]).exists()


def test_a_blob_is_what_was_announced_or_does_not_exist(engine: Engine) -> None:
    with engine.store.ingest() as ingest:
        announced = ingest.put(b"right", "text/plain")
        for data in (b"wrong", b"right and more"):
            with pytest.raises(StorageError, match=announced.digest), ingest.writer(announced) as writer:
                writer.write(data)
        with pytest.raises(NotFound, match=f"blob {announced.digest}: not in the store"):
            engine.store.blobs.open(announced.digest)
        assert ingest.read(announced.digest) == b"right"
    assert contents(engine) == EMPTY


def test_what_is_too_large_for_a_manifest_is_not_read_into_memory(engine: Engine) -> None:
    with engine.store.ingest() as ingest:
        large = ingest.put(bytes(5 << 20), "")
        with pytest.raises(StorageError, match=f"^blob {large.digest}: 5242880 bytes are too many for a manifest"):
            ingest.read(large.digest)
        ingest.publish(large.digest)
    with pytest.raises(StorageError, match="too many"):
        engine.store.blobs.read(large.digest)
    engine.store.images.collect()
    assert contents(engine) == EMPTY


def test_an_image_whose_blobs_are_absent_is_refused(engine: Engine) -> None:
    image = Image.import_(tar_of({"x": b"1"}), engine=engine)
    manifest = json.loads(engine.store.blobs.read(image.digest))
    manifest["config"]["digest"] = "sha256:" + "0" * 64
    with engine.store.ingest() as ingest:
        described = ingest.put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        with pytest.raises(NotFound, match="not in the store"):
            engine.store.images.add(described, "x", ingest)
        with pytest.raises(NotFound, match="not in the store"):
            engine.store.images.add(Descriptor("", "sha256:" + "1" * 64, 1))
    assert len(engine.images) == 1


# -- removal ---------------------------------------------------------------------------------------------------------


def test_removing_frees_what_no_other_image_uses(engine: Engine) -> None:
    one = Image.import_(tar_of({"x": b"1"}), tag="one", changes=["ENV A=1"], engine=engine)
    both = contents(engine)
    two = Image.import_(tar_of({"x": b"1"}), tag="two", changes=["ENV A=2"], engine=engine)
    assert one != two and len(contents(engine)["layers"]) == 1
    two.remove()
    assert contents(engine) == both
    one.remove()
    assert contents(engine) == EMPTY


def test_blobs_on_their_way_in_survive_a_removal(engine: Engine) -> None:
    image = Image.import_(tar_of({"x": b"1"}), engine=engine)
    with Ingest(engine.paths, engine.store.blobs) as ingest:
        waiting = ingest.put(b"waiting", "text/plain")
        image.remove()
        assert ingest.read(waiting.digest) == b"waiting"


def test_a_layer_that_has_no_image_yet_is_no_garbage(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack = Layers.unpack
    seen: list[bool] = []

    def and_collect(self: Layers, chain_id: str, *arguments: object) -> int:
        stored = unpack(self, chain_id, *arguments)  # type: ignore[arg-type]  # handed on
        engine.store.images.collect()  # as another process might, before the image has its row
        seen.append(self.path(chain_id).exists())
        return stored

    monkeypatch.setattr(Layers, "unpack", and_collect)
    image = Image.import_(tar_of({"x": b"1"}), engine=engine)
    assert seen == [True] and contents(engine)["layers"] == [image._record.chain_ids[0].removeprefix("sha256:")]
    image.remove()
    assert contents(engine) == EMPTY


def test_an_image_that_is_removed_at_once_was_made_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_remove(database: Database) -> None:
        monkeypatch.undo()
        engine.store.images.remove("fleeting")  # as another process might, as soon as the image is there

    monkeypatch.setattr(events, "tell", and_remove)
    image = Image.import_(tar_of({"x": b"1"}), tag="fleeting", engine=engine)
    assert image.id.startswith("sha256:") and len(engine.images) == 0 and contents(engine) == EMPTY


def test_deep_and_foreign_trees_are_removed_without_leaving_them(engine: Engine, tmp_path: Path) -> None:
    outside = trees.build(tmp_path / "outside")
    before = trees.facts(outside)
    top = tmp_path / "tree"
    trees.build(top)
    (top / "out").symlink_to(outside)
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(1200):  # more than a process may have open
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    link = tmp_path / "link"
    link.symlink_to(outside)
    for path in (top, top, link):
        remove_tree(path)
    assert not top.exists() and not link.is_symlink() and trees.facts(outside) == before


def test_a_mount_below_a_tree_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "tree/mounted").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "tree/mounted"], check=True)
    try:
        (tmp_path / "tree/mounted/precious").touch()
        with pytest.raises(OSError, match="a file system is mounted there"):
            remove_tree(tmp_path / "tree")
        assert (tmp_path / "tree/mounted/precious").exists()
    finally:
        subprocess.run(["umount", tmp_path / "tree/mounted"], check=True)


# -- for other tools -------------------------------------------------------------------------------------------------


def test_the_root_is_an_image_layout(engine: Engine) -> None:
    image = Image.import_(tar_of({"x": b"1"}), tag="one:1", engine=engine)
    image.tag("quay.io/two")
    untagged = Image.import_(tar_of({"x": b"2"}), engine=engine)
    root = engine.paths.root
    assert json.loads((root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    entries = json.loads((root / "index.json").read_text())["manifests"]
    named = {
        entry.get("annotations", {}).get("org.opencontainers.image.ref.name"): entry["digest"] for entry in entries
    }
    assert named == {"one:1": image.digest, "quay.io/two:latest": image.digest, None: untagged.digest}
    for entry in entries:
        assert (root / "blobs/sha256" / entry["digest"][7:]).stat().st_size == entry["size"]
    Image.get(image.id, engine=engine).remove(force=True)
    assert len(json.loads((root / "index.json").read_text())["manifests"]) == 1


# -- speed -----------------------------------------------------------------------------------------------------------


def test_looking_up_an_image_is_quick(engine: Engine) -> None:
    Image.import_(tar_of({"x": b"1"}), tag="one", engine=engine)
    times = []
    for _ in range(200):
        start = time.thread_time()
        engine.store.images.get("one")
        times.append(time.thread_time() - start)
    assert sorted(times)[100] < 0.001


def test_a_store_is_opened_without_touching_the_disk(tmp_path: Path) -> None:
    Store(Paths(tmp_path / "root", tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_containers_are_removed_whose_directories_are_on_a_mount_of_its_own(engine: Engine, image: Image) -> None:
    place = str(engine.paths.containers)
    mounts.mount(place, place, "", mounts.MS_BIND)
    try:
        box = engine.run("busybox", "true")
        box.wait()
        box.remove()
        assert engine.call("busybox", "echo on").stdout == "on\n"
        assert engine.containers.rows() == [] and os.listdir(place) == []
    finally:
        mounts.umount2(place, 0)
