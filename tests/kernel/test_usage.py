"""How much room images take, as du(1) sees it; and that removing and pruning free exactly that."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.errors import NotFound, RegistryError
from tests import registry_stub
from tests.registry_stub import Stub, layer
from tests.tars import END, block, info, tar


@pytest.fixture
def stub(nothing_is_left: None) -> Iterator[Stub]:
    with registry_stub.serving() as stub:
        yield stub


def du(*paths: Path | str) -> int:
    """Bytes on the disk at and below these paths."""
    words = ["du", "--summarize", "--total", "--block-size=1", *map(str, paths)]
    return int(subprocess.check_output(words, text=True).splitlines()[-1].split()[0])


def room(engine: Engine) -> int:
    """What the store takes, but for its metadata, which tells of what is gone, too."""
    return du(*(path for path in engine.paths.root.iterdir() if not path.name.startswith("metadata.db")))


def parts(image: Image) -> set[str]:
    """The places of all that an image consists of."""
    store, record = image.engine.store, image._record
    blobs = (record.manifest.digest, record.id, *(layer.digest for layer in record.layers))
    return {*map(store.blobs.path, blobs), *(str(store.layers.path(chain_id).parent) for chain_id in record.chain_ids)}


def pull(engine: Engine, stub: Stub, name: str) -> Image:
    return Image.pull(stub.name(name), engine=engine, progress=False)


def noise(*names: str) -> bytes:
    return tar(*((info(name), os.urandom(30_000)) for name in names))


def test_an_image_alone_takes_what_du_says(engine: Engine, image: Image) -> None:
    usage = image.usage()
    assert usage.total == usage.unique == du(*parts(image)) and usage.shared == 0
    assert image.usage() == usage and image.size < usage.total  # also when it is asked again: it is written down
    before = room(engine)
    image.remove()
    assert before - room(engine) == usage.total
    with pytest.raises(NotFound):
        image.usage()


def test_hard_links_holes_and_empty_files_are_counted_as_du_does(engine: Engine) -> None:
    from io import BytesIO

    data = block(name=b"holes", data=bytes(3 << 20)) + block(name=b"file", data=b"x" * 10_000)
    data += block(b"1", b"link", link=b"file") + block(b"5", b"directory") + block(name=b"empty") + END
    image = Image.import_(BytesIO(data), engine=engine)
    assert image.size == (3 << 20) + 10_000 and image.usage().total == du(*parts(image)) < 100_000


def test_what_two_images_share_is_told_apart_and_stays_with_the_other(engine: Engine, stub: Stub) -> None:
    base, shared = layer(noise("base")), layer(noise("a", "b"))
    stub.image("one", [base, shared, layer(noise("one"))])
    stub.image("two", [base, shared, layer(noise("two"))])
    stub.image("three", [base])
    one, two, three = (pull(engine, stub, name) for name in ("one", "two", "three"))
    common = parts(one) & parts(two)
    assert (one.usage().total, one.usage().shared) == (du(*parts(one)), du(*common))
    assert one.usage().unique == du(*parts(one) - common) and len(common) == 4
    assert three.usage().shared == du(*parts(three) & common) < one.usage().shared
    for image in (one, two, three):
        unique, before = image.usage().unique, room(engine)
        image.remove()
        assert before - room(engine) == unique
    assert not any(engine.paths.blobs.iterdir()) and not any(engine.paths.layers.glob("[0-9a-f]*"))


def test_one_layer_under_two_others_is_unpacked_twice_and_fetched_once(engine: Engine, stub: Stub) -> None:
    """Its blob is shared; what it is unpacked to is not."""
    top = layer(noise("top"))
    stub.image("one", [layer(noise("one")), top])
    stub.image("two", [layer(noise("two")), top])
    one, two = pull(engine, stub, "one"), pull(engine, stub, "two")
    blob = engine.store.blobs.path(registry_stub.digest(top.stored))
    assert parts(one) & parts(two) == {blob} and one.usage().shared == two.usage().shared == du(blob)
    assert stub.starts(top) == [0]


def test_dangling_images_are_listed_and_pruned(engine: Engine, stub: Stub) -> None:
    base = layer(noise("base"))
    for number in range(3):
        stub.image("app", [base, layer(noise(f"{number}"))])
        last = pull(engine, stub, "app")
    dangling = Image.list(dangling=True, engine=engine)
    assert len(dangling) == 2 and last not in dangling and Image.list(dangling=False, engine=engine) == [last]
    expected, before = sum(image.usage().unique for image in dangling), room(engine)
    report = engine.prune()
    assert report.images == tuple(sorted(image.id for image in dangling)) and report.containers == ()
    assert report.space_reclaimed == before - room(engine) == expected
    assert Image.list(engine=engine) == [last] and last.usage().shared == 0
    assert engine.prune().images == () and engine.prune().space_reclaimed == 0


def test_a_prune_of_everything_frees_what_du_says(engine: Engine, stub: Stub, image: Image) -> None:
    script = "mkdir /d; head -c 300000 /dev/urandom >/d/file; ln /d/file /d/second; head -c 100000 /dev/urandom"
    with engine.run("busybox", ["sh", "-c", script], name="ended") as ended:
        ended.wait(timeout=60)
        engine.create("busybox", "true", name="unstarted")
        # A download that was broken off, and what no image has any more.
        big = layer(noise("x" * 90, "y"), compressed=False)
        stub.image("app", [big])
        stub.cuts = {registry_stub.digest(big.stored): [20_000, *[0] * 10]}
        with pytest.raises(RegistryError):
            pull(engine, stub, "app")
        with pytest.raises(NotFound):
            pull(engine, stub, "absent")
        before = room(engine)
        report = engine.prune(all=True)
        assert report.containers == ("ended", "unstarted") and report.images == ("busybox:latest",)
        assert report.space_reclaimed == before - room(engine) > 400_000
        assert room(engine) - (engine.paths.root / "reserve").stat().st_size < 100_000


def test_what_containers_use_is_not_pruned(engine: Engine, image: Image, stub: Stub) -> None:
    other = pull(engine, stub, stub.image("other", [layer(noise("x"))]).name.partition("/")[2])
    with image.run("sleep 60", name="web", stop_timeout=0) as web:
        expected, before = other.usage().total, room(engine)
        report = engine.prune(all=True)
        assert (report.images, report.containers) == ((stub.name("other:latest"),), ())
        assert report.space_reclaimed == expected == before - room(engine) and web.exec("true")
