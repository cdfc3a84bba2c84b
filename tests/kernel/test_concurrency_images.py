"""Many processes at the images of one store, and pulls that are broken off: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.errors import RegistryError, StorageError, Timeout
from tests import registry_stub
from tests.engines import on_a_small_disk
from tests.kernel.test_store import outcome, python
from tests.registry_stub import Layer, Made, Stub, layer
from tests.tars import info, tar


@pytest.fixture
def stub(nothing_is_left: None) -> Iterator[Stub]:
    with registry_stub.serving() as stub:
        yield stub


def noise(name: str, size: int) -> Layer:
    """A layer that cannot be compressed, with one file."""
    return layer(tar((info(name), os.urandom(size))), compressed=False)


def pull(engine: Engine, made: Made, **options: float) -> Image:
    return Image.pull(made.name, engine=engine, progress=False, **options)  # type: ignore[arg-type]  # a timeout


def there(engine: Engine) -> dict[str, set[str]]:
    """Blobs and layers that no image has, and those that an image should have; work in progress."""
    store = engine.store
    blobs, layers = set(store.images.users("blob")), set(store.images.users("layer"))
    return {
        "garbage": (set(store.blobs.names()) - blobs) | (set(store.layers.names()) - layers),
        "missing": (blobs - set(store.blobs.names())) | (layers - set(store.layers.names())),
        "tmp": {path.name for path in engine.paths.tmp.iterdir()},
        "downloads": {path.name for path in engine.paths.downloads.iterdir()},
    }


NOTHING: dict[str, set[str]] = {"garbage": set(), "missing": set(), "tmp": set(), "downloads": set()}


def pull_elsewhere(engine: Engine, made: Made, rounds: int = 1) -> subprocess.Popen[str]:
    """Another process that pulls, again and again, and runs what it has got."""
    return python(engine, f"for _ in range({rounds}): ck.Image.pull({made.name!r}, engine=engine, progress=False)")


# -- at once ---------------------------------------------------------------------------------------------------------


def test_processes_that_pull_the_same_at_once_fetch_it_once(engine: Engine, stub: Stub) -> None:
    stub.rate = 4_000_000
    layers = [noise("a", 600_000), noise("b", 600_000)]
    made, other = stub.image("app", layers), stub.image("other", [*layers, noise("c", 300_000)])
    for process in [pull_elsewhere(engine, one) for one in (made, other, made, other)]:
        outcome(process)
    assert [stub.starts(one) for one in layers] == [[0], [0]]
    assert {image.id for image in engine.images} == {made.id, other.id} and there(engine) == NOTHING


#: What several processes do for a while. Whoever removes finds nothing there, or a container; nobody else may fail.
PULL = """
for number in range(8):
    name = names[(number + int(sys.argv[3])) % len(names)]
    image = ck.Image.pull(name, engine=engine, progress=False)
    try:
        image.tag(f"mine-{sys.argv[3]}:{number % 3}")
        assert image.call(timeout=30).stdout.startswith("made of")
    except (ck.NotFound, ck.InvalidState):
        pass  # removed again
"""
IMPORT = """
for number in range(25):
    image = ck.Image.import_(sys.argv[4], tag=f"import:{number % 2}", changes=[f"LABEL n={number % 3}"], engine=engine)
    if number % 5 == 4:
        try:
            image.remove(force=True)
        except (ck.NotFound, ck.InvalidState):
            pass
"""
PRUNE = """
for number in range(25):
    engine.prune(all=number % 2 == 0, filters=None)
    time.sleep(0.02)
"""
REMOVE = """
for number in range(40):
    for image in engine.images:
        try:
            image.remove(force=number % 2 == 0)
        except (ck.NotFound, ck.InvalidState):
            pass
    time.sleep(0.05)
"""


def test_pulls_imports_removals_and_prunes_at_once(
    engine: Engine, stub: Stub, busybox_tar: Path, tmp_path: Path
) -> None:
    base, shared = layer(busybox_tar.read_bytes()), noise("shared", 200_000)
    made = [
        stub.image(f"app{place}", [base, shared, layer(tar(text=b"made of %d" % place))],
                   container={"Cmd": ["cat", "/text"]})
        for place in range(3)
    ]  # fmt: skip
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(os.urandom(100_000))
    names = f"names = {[one.name for one in made]!r}\n"
    workers = [(PULL, "0"), (PULL, "1"), (PULL, "2"), (IMPORT, "3"), (PRUNE, "4"), (REMOVE, "5")]
    running = [python(engine, names + code, number, str(tmp_path / "tree")) for code, number in workers]
    for process in running:
        outcome(process)
    # What is there is whole, and runs; what is not is pulled again.
    assert engine.doctor(verify=True)["blobs"].ok and engine.doctor(verify=True)["layers"].ok
    assert there(engine)["garbage"] == there(engine)["missing"] == there(engine)["tmp"] == set()
    for one, number in zip(made, range(3), strict=True):
        assert pull(engine, one).call().stdout == f"made of {number}"
    assert there(engine) == NOTHING
    engine.prune(all=True)
    assert there(engine) == NOTHING and len(engine.images) == 0 and not any(engine.paths.blobs.iterdir())


def test_a_prune_takes_nothing_from_a_pull(engine: Engine, stub: Stub) -> None:
    """Whatever has arrived stays until the image is there: nothing is fetched twice."""
    layers = [noise("a", 100_000), noise("b", 100_000), noise("slow", 1_500_000)]
    made = stub.image("app", layers)
    # One of them is another image's, which goes meanwhile.
    old = pull(engine, stub.image("old", layers[:1]))
    stub.rate = 1_000_000
    process = pull_elsewhere(engine, made)
    while not stub.starts(layers[2]):
        time.sleep(0.01)
    time.sleep(0.1)
    pruned = engine.prune(all=True).images
    while process.poll() is None:
        pruned += engine.prune(all=True).images
        time.sleep(0.01)
    outcome(process)
    assert old.id and pruned[0] == stub.name("old:latest") and len(pruned) <= 2  # it may have come after the pull
    assert [stub.starts(one) for one in layers] == [[0], [0], [0]] and there(engine) == NOTHING


# -- broken off ------------------------------------------------------------------------------------------------------


def sizes(engine: Engine) -> dict[str, int]:
    return {f"sha256:{path.name}": path.stat().st_size for path in engine.paths.downloads.iterdir()}


def test_a_pull_that_is_killed_goes_on_and_no_half_of_it_is_seen(engine: Engine, stub: Stub) -> None:
    layers = [noise("a", 400_000), noise("b", 1_200_000), noise("c", 2_000_000), noise("d", 900_000)]
    made = stub.image("app", layers)
    stub.rate = 1_000_000
    engine.store.paths.create()
    chance = random.Random(4)
    for _ in range(5):
        before, stub.asked = sizes(engine), []
        process = pull_elsewhere(engine, made)
        while not any("/blobs/" in one.path for one in list(stub.asked)):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.05, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(0.2)  # the stub may hear of its last requests only now
        _went_on(stub, layers, before)
        assert len(engine.images) == 0 and there(engine)["missing"] == set()
    stub.rate, before, stub.asked = 0, sizes(engine), []
    assert sum(before.values()) > 500_000
    image = pull(engine, made)
    _went_on(stub, layers, before)
    assert image.id == made.id and engine.doctor(verify=True)["layers"].ok
    assert there(engine) == NOTHING


def _went_on(stub: Stub, layers: list[Layer], before: dict[str, int]) -> None:
    """Each layer was asked for from where it had stopped, and not at all when it was whole."""
    for one in layers:
        digest, starts = registry_stub.digest(one.stored), stub.starts(one)
        have = before.get(digest, 0)
        assert starts in ([], [have]) and not (starts and have == len(one.stored)), (starts, have)


def test_a_connection_that_is_cut_is_taken_up_again_within_one_pull(engine: Engine, stub: Stub) -> None:
    big, small = noise("big", 500_000), noise("small", 10_000)
    made = stub.image("app", [big, small])
    stub.cuts = {registry_stub.digest(big.stored): [100_000, 0, 65_536, 200_000]}
    assert pull(engine, made).id == made.id
    assert stub.starts(big) == [0, 100_000, 100_000, 165_536, 365_536] and stub.starts(small) == [0]
    assert there(engine) == NOTHING


def test_a_registry_without_ranges_begins_anew(engine: Engine, stub: Stub) -> None:
    big = noise("big", 300_000)
    stub.knows_ranges = False
    stub.cuts = {registry_stub.digest(big.stored): [100_000, 200_000]}
    assert pull(engine, stub.image("app", [big])).call is not None
    assert len(stub.starts(big)) == 3 and there(engine) == NOTHING


def test_a_connection_that_breaks_again_and_again_is_given_up(engine: Engine, stub: Stub) -> None:
    big, whole = noise("big", 500_000), noise("whole", 50_000)
    made = stub.image("app", [whole, big])
    stub.cuts = {registry_stub.digest(big.stored): [100_000, *[0] * 20]}
    with pytest.raises(RegistryError, match=r"the connection broke"):
        pull(engine, made)
    assert len(engine.images) == 0 and there(engine)["tmp"] == set()
    # The next one goes on.
    stub.cuts, stub.asked = {}, []
    assert pull(engine, made).id == made.id
    assert (stub.starts(whole), stub.starts(big)) == ([], [100_000]) and there(engine) == NOTHING


def test_time_is_up_and_the_next_pull_goes_on(engine: Engine, stub: Stub) -> None:
    big = noise("big", 2_000_000)
    made = stub.image("app", [big])
    stub.rate = 100_000  # twenty seconds
    started = time.monotonic()
    with pytest.raises(Timeout, match=f"image {made.name}:latest: pull: not done after 2 s"):
        pull(engine, made, timeout=2)
    assert time.monotonic() - started < 15 and len(engine.images) == 0
    have, stub.rate, stub.asked = sizes(engine)[registry_stub.digest(big.stored)], 0, []
    assert have > 0 and pull(engine, made).id == made.id and stub.starts(big) == [have]
    assert there(engine) == NOTHING


@pytest.fixture
def small(tmp_path: Path, nothing_is_left: None) -> Iterator[Engine]:
    """An engine on a disk of 12 MB."""
    with on_a_small_disk(tmp_path, "12m") as engine:
        yield engine


@pytest.mark.parametrize("size", [7_000_000, 15_000_000])
def test_a_full_disk_is_said_and_with_room_the_pull_goes_on(small: Engine, stub: Stub, size: int) -> None:
    """Full when it is unpacked, or already while it is fetched."""
    first, big = noise("first", 100_000), noise("big", size)
    kept = pull(small, stub.image("kept", [noise("kept", 50_000)]))
    made = stub.image("app", [first, big])
    with pytest.raises(StorageError, match="no space left on device.*free some space"):
        pull(small, made)
    assert [image.id for image in small.images] == [kept.id]
    assert there(small)["garbage"] == there(small)["tmp"] == set()
    have, stub.asked = sizes(small), []
    subprocess.run(["mount", "-o", "remount,size=64m", small.paths.root.parent], check=True)
    assert pull(small, made).id == made.id
    assert stub.starts(first) == [] and small.doctor(verify=True)["layers"].ok
    arrived = have[registry_stub.digest(big.stored)]
    assert arrived > 1_000_000 and stub.starts(big) == ([arrived] if arrived < len(big.stored) else [])
    assert there(small) == NOTHING
