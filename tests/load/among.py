"""The same works among few other things and among many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from containerkit import Engine, Image, Network, Volume
from tests.load import machine
from tests.load.figures import RATIO, Figure, shortest

Add = Callable[[Engine, int], object]
#: Makes one more, by its number.
KINDS: dict[str, Add] = {
    "containers": lambda engine, number: engine.create("load", "true", name=f"other-{number}"),
    "images": lambda engine, number: _build(engine, f"LABEL number={number}", tag=f"other:{number}"),
    "volumes": lambda engine, number: Volume.create(f"other-{number}", engine=engine),
    "networks": lambda engine, number: Network.create(f"other-{number}", engine=engine),
}
#: Whose time grows with that kind for a good reason: it shows or goes through all of them.
_OWN = {
    "containers": ("list containers",), "images": ("list images",), "volumes": ("list volumes",),
    "networks": ("list networks",),
}  # fmt: skip
_FEW = 10


def _build(engine: Engine, more: str, tag: str) -> Image:
    text = f"FROM load\nCOPY note /\n{more}\n".encode()
    return Image.build({"note": b"hello", "Dockerfile": text}, tag=tag, progress=None, engine=engine)


def works(engine: Engine) -> Mapping[str, Callable[[], object]]:
    """What is done, by what it is called."""
    return {
        "run true": lambda: engine.call("load", "true"),
        "run true with a name, a port and a volume": lambda: engine.call(
            "load", "true", name="mine", ports={80: None}, volumes={"mine": "/data"}
        ),
        "list containers": engine.containers.rows,
        "list images": engine.images.rows,
        "list volumes": engine.volumes.rows,
        "list networks": engine.networks.rows,
        "build, cached": lambda: _build(engine, "LABEL mine=1", "mine"),
        "pull what is here": lambda: engine.pull("load", policy="missing"),
        "tag an image": lambda: Image.get("load", engine=engine).tag("mine:2"),
        "create and remove a volume": lambda: Volume.create("new", engine=engine).remove(),
        "create and remove a network": lambda: Network.create("new", engine=engine).remove(),
        "open the engine": lambda: machine.opened(engine),
    }


def measure(kind: str, engine: Engine, count: int, seconds: float, *, times: int = 15) -> Iterator[Figure]:
    """Each work with ten others of that kind, and with so many."""
    deadline = time.monotonic() + seconds
    Volume.create("mine", engine=engine)
    made = 0

    def grow(wanted: int) -> int:
        nonlocal made
        while made < wanted and time.monotonic() < deadline:
            KINDS[kind](engine, made)
            made += 1
        return made

    grow(min(_FEW, count))
    few = {name: shortest(work, times) for name, work in works(engine).items()}
    grow(count)
    yield Figure(f"{kind} there", made)
    for name, work in works(engine).items():
        many = shortest(work, times)
        yield Figure(f"{name}, with {made} {kind}", many, "ms")
        yield Figure("  … over that with few", many / few[name], "", None if name in _OWN[kind] else RATIO)


def layers(engine: Engine, count: int, seconds: float, *, times: int = 15) -> Iterator[Figure]:
    """An image of so many layers beside one of few; as long as it takes, at once."""
    files = {f"file-{number}": b"" for number in range(count)}
    steps = "".join(f"COPY {name} /\n" for name in files)
    context = {**files, "Dockerfile": f"FROM load\n{steps}".encode()}
    Image.build(context, tag="many", progress=None, engine=engine)
    yield Figure("layers of the image", len(Image.get("many", engine=engine).layers))
    for name, work in {
        "run true": lambda tag: engine.call(tag, "true"),
        "look an image up": lambda tag: Image.get(tag, engine=engine),
        "pull what is here": lambda tag: engine.pull(tag, policy="missing"),
        "tag an image": lambda tag: Image.get(tag, engine=engine).tag("mine:2"),
    }.items():
        few, many = (shortest(partial(work, tag), times) for tag in ("load", "many"))
        yield Figure(f"{name}, of many layers", many, "ms")
        yield Figure("  … over that of few", many / few, "", RATIO)
