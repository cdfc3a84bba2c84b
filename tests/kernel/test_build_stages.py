"""Stages that are built side by side: what they fetch and copy meanwhile, and what ends when one of them has failed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from containerkit import BuildError, Engine, Image, NotFound
from containerkit.progress import Shown
from containerkit.registry import finding
from tests import registry_stub, tars
from tests.registry_stub import Asked, Layer, Stub, digest, layer


@pytest.fixture
def stub() -> Iterator[Stub]:
    with registry_stub.serving() as stub:
        yield stub


class Seen(Shown):
    """Keeps what a build tells."""

    def draw(self) -> None:
        pass


def build(engine: Engine, text: str, **options: object) -> Image:
    return Image.from_dockerfile(text, engine=engine, **{"progress": None, **options})  # type: ignore[arg-type]


def base(stub: Stub, name: str, *, size: int = 100) -> tuple[str, Layer]:
    """An image of the stub, and its one layer."""
    one = layer(tars.tar((tars.info(name), os.urandom(size))), compressed=False)
    stub.image(name, [one])
    return stub.name(name), one


def test_two_bases_are_pulled_side_by_side_and_each_of_them_once(engine: Engine, stub: Stub) -> None:
    (one, first), (two, second) = base(stub, "one"), base(stub, "two")
    both = threading.Barrier(2)

    def wait(asked: Asked) -> None:
        if asked.path.endswith((digest(first.stored), digest(second.stored))):
            both.wait(30)

    stub.before = wait
    build(engine, f"FROM {one} AS a\nFROM {one} AS b\nFROM {two}\nCOPY --from=a /one /a\nCOPY --from=b /one /b\n")
    assert not both.broken
    assert stub.starts(first) == stub.starts(second) == [0]


def test_a_context_is_copied_from_while_another_stage_waits_for_a_url(engine: Engine, image: Image, stub: Stub) -> None:
    stub.blobs[digest(b"far")] = b"far"
    seen = Seen()
    states: list[str] = []

    def wait(_: Asked) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and "MISS" not in states:
            states[:] = [item.state for part in seen.parts for key, item in part.items.items() if "COPY near" in key]
            time.sleep(0.01)

    stub.before = wait
    far = stub.name(f"v2/x/blobs/{digest(b'far')}")
    build(
        engine,
        f"FROM busybox AS one\nADD http://{far} /far\n"
        "FROM busybox AS two\nRUN sleep 1\nCOPY near /near\n"
        "FROM busybox\nCOPY --from=one /far /\nCOPY --from=two /near /\n",
        context={"near": "near"},
        progress=seen,
    )
    assert states == ["MISS"]


@pytest.mark.parametrize("what", ["base", "file"])
def test_nothing_is_fetched_any_more_when_a_stage_has_failed(
    engine: Engine, image: Image, stub: Stub, what: str
) -> None:
    name, one = base(stub, "slow", size=1 << 20)
    file = stub.name(f"v2/slow/blobs/{digest(one.stored)}")
    slow = f"FROM {name} AS slow" if what == "base" else f"FROM busybox AS slow\nADD http://{file} /slow"
    stub.rate = 100_000
    with pytest.raises(BuildError, match="exit code 7"):
        build(engine, f"{slow}\nFROM busybox AS bad\nRUN exit 7\nFROM busybox\nCOPY --from=slow /slow /\n"
                      "COPY --from=bad /x /\n")  # fmt: skip
    assert [made.tags for made in engine.images if made.tags] == [("busybox:latest",)]
    assert not [step for step in engine.build_cache if step.instruction.startswith("ADD")]


def test_a_base_that_is_removed_when_it_has_just_been_found_is_missing(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    image.tag("127.0.0.1:1/base")
    find = finding.obtain

    def found_and_removed(*args: object, **options: object) -> object:
        found = find(*args, **options)  # type: ignore[arg-type]
        image.remove(force=True)
        engine.prune(all=True)
        return found

    monkeypatch.setattr(finding, "obtain", found_and_removed)
    with pytest.raises(NotFound, match="FROM 127.0.0.1:1/base: image 127.0.0.1:1/base.* not found"):
        build(engine, "FROM 127.0.0.1:1/base\nCMD true\n")
