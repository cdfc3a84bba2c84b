"""Print the table: ``python -m tests.bench [--runs N] [P2 P4 …]``."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import pulls, throughput, volumes
from tests.bench.files import mixed
from tests.bench.ours import Ours
from tests.bench.peers import Peer, available, host
from tests.busybox import build_tar

TITLES = {
    "P1": ("run true to the end and remove, bridge network", "ms"),
    "P2": ("run true to the end and remove, network none", "ms"),
    "P3": ("the same as P1 with a published port", "ms"),
    "P4": ("exec true in a running container", "ms"),
    "P5": ("stats of a running container", "ms"),
    "P6": ("list containers", "ms"),
    "P7": ("20 runs at once, ended and removed", "ms"),
    "P8": ("200 MB of output through the log", "ms"),
    "P9": ("build of the course's web image, two RUN, no cache, no network", "ms"),
    "P10": ("the same, all from the cache", "ms"),
    "C1": ("commit of 100 MB", "ms"),
}
#: How often each is measured, where that is not --runs.
RUNS = {"P7": 3, "P8": 3, "C1": 5}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="how often each work is measured")
    parser.add_argument("only", nargs="*", help="only these figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="containerkit-bench-") as name, contextlib.ExitStack() as stack:
        scratch = Path(name)
        tar = build_tar(scratch / "busybox.tar")
        mixed(scratch / "mixed", 100_000_000)
        ours = Ours(tar, scratch)
        stack.callback(ours.close)
        peers = _start_peers(tar, scratch, stack)
        for figure in [f for f in TITLES if not arguments.only or f in arguments.only]:
            _compare(figure, ours, peers, RUNS.get(figure, arguments.runs))
        if not arguments.only or "N1" in arguments.only:
            throughput.measure(ours, peers, scratch)
        if not arguments.only or "P11" in arguments.only:
            pulls.measure(peers, scratch, min(arguments.runs, 5))
        if not arguments.only or "P14" in arguments.only:
            volumes.measure(ours, peers, scratch)
        if not arguments.only:
            _alone(ours, peers)


def _start_peers(tar: Path, scratch: Path, stack: contextlib.ExitStack) -> list[Peer]:
    kinds, missing = available()
    for line in missing:
        print(f"not measured: {line}")
    peers: list[Peer] = []
    if kinds:
        stack.enter_context(host())
    for kind in kinds:
        try:
            peers.append(stack.enter_context(kind(tar, scratch)))
        except (RuntimeError, OSError) as error:
            print(f"not measured: {kind.name}: does not start: {error}")
    return peers


def _compare(figure: str, ours: Ours, peers: list[Peer], runs: int) -> None:
    works: dict[str, Callable[[], object]] = {ours.name: ours.works()[figure]}
    before = {ours.name: ours.before(figure)}
    for peer in peers:
        if (work := peer.works().get(figure)) is not None:
            works[peer.name], before[peer.name] = work, peer.before(figure)
    times: dict[str, list[float]] = {name: [] for name in works}
    for name, work in works.items():
        before[name]()
        work()  # not counted: caches
    for _ in range(runs):
        for name, work in works.items():  # alternating: what the machine does meanwhile hits all alike
            before[name]()
            began = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - began) * 1000)
    title, unit = TITLES[figure]
    print(f"\n{figure}  {title}  ({runs} runs each)")
    mine = statistics.median(times[ours.name])
    for name, values in times.items():
        middle = statistics.median(values)
        ratio = "" if name == ours.name else f"   {middle / mine:6.1f} × ours"
        print(f"  {name:14} {middle:9.2f} {unit}  [{min(values):.2f} … {max(values):.2f}]{ratio}")


def _alone(ours: Ours, peers: list[Peer]) -> None:
    print("\nP6  list containers, as they grow (containerkit alone)")
    for count in (100, 1000):
        ours.fill(count)
        print(f"  {count:5} containers {_median(ours.works()['P6']):8.2f} ms")
    print("\nP12  memory held per running container (PSS)")
    print(f"  {ours.name:14} {ours.memory():6.2f} MB")
    for peer in peers:
        held = getattr(peer, "memory", lambda: None)()
        if held is not None:
            print(f"  {peer.name:14} {held:6.2f} MB")
    for network in ("none", "bridge"):
        print(f"\nP15  a start on network {network}, as containers grow that all go on running")
        times = ours.grow(500, network)
        first, last = statistics.median(times[:20]), statistics.median(times[-20:])
        print(f"  the first 20  {first:8.2f} ms")
        print(f"  the last 20   {last:8.2f} ms of {len(times)}   {last / first:.2f} × the first")
    both = [ours.first() for _ in range(7)]
    print("\nP13  in a fresh process")
    print(f"  import containerkit      {statistics.median(first for first, _ in both) * 1000:8.1f} ms")
    print(f"  … and a first container  {statistics.median(whole for _, whole in both) * 1000:8.1f} ms")


def _median(work: Callable[[], object], runs: int = 7) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
