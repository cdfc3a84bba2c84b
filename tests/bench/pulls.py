"""P11: an image from a registry on this machine: 206 MB of this machine's own files in one layer, and in ten."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from containerkit import Engine, Image
from tests import servers
from tests.bench.alternating import in_turns, once
from tests.bench.bench import Bench
from tests.bench.layered import archives, layered
from tests.bench.peers.host import HOST
from tests.bench.samples import Measurement
from tests.bench.side import Work

SIZE = 206_000_000


def measure(bench: Bench) -> Iterator[Measurement]:
    """Both figures.

    Each run pulls an image of its own: to remove one and pull it again would measure how ext4 recovers from removals,
    which is slow for a minute.
    """
    runs = min(bench.runs, 5)
    with contextlib.ExitStack() as stack:
        registry = stack.enter_context(servers.registry(bench.scratch / "registry"))
        if bench.peers:  # the same once more in their network namespace, whose loopback is another
            stack.enter_context(servers.serving(registry, HOST))
        engine = Engine(root=bench.scratch / "pushed", run=bench.scratch / "pushed-run")
        stack.callback(engine.close)
        for id, layers in (("P11", 1), ("P11-10", 10)):
            references = [f"{registry.name}/bench/{layers}:{number}" for number in range(runs + 1)]
            with archives(bench.scratch / "archives", layers, SIZE) as paths:
                for reference in references:
                    layered(engine, paths, reference).push(progress=False)
            yield bench.measurement(id, _pulled(bench, references, bench.scratch / f"pulled-{layers}"))


def _pulled(bench: Bench, references: list[str], place: Path) -> dict[str, list[float]]:
    """Seconds, per side; the first of the references is for warming up."""
    engine = Engine(root=place, run=place / "run")

    def ours(reference: str) -> None:
        Image.pull(reference, engine=engine, progress=False)

    works = {bench.ours.name: _one_by_one(ours, references)}
    for peer in bench.clients:
        works[peer.name] = _one_by_one(partial(peer.call, "pull", "-q", *peer.pull_options), references)
    times = in_turns(bench, works, len(references) - 1, once)
    engine.close()
    return times


def _one_by_one(pull: Callable[[str], object], references: list[str]) -> Work:
    left = iter(references)
    return Work(lambda: pull(next(left)), before=os.sync)
