"""Measure and print: ``./dev bench [--runs N] [--full] [--save] [P2 P4 …]``; ``./dev bench --history [P2 P4 …]``."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from tests.bench import history, page, peers, report
from tests.bench.bench import Bench
from tests.bench.groups import GROUPS, measured
from tests.bench.machine import Run
from tests.bench.ours import Ours
from tests.bench.samples import Measurement
from tests.busybox import build_tar


def main() -> None:
    """Measure, or tell what was measured."""
    parser = argparse.ArgumentParser(prog="./dev bench", description="side by side with the peers on this machine")
    parser.add_argument("--runs", type=int, default=15, help="how often each work is measured (default: 15)")
    parser.add_argument("--full", action="store_true", help="large ones, too: a volume of 1 GB")
    parser.add_argument("--save", action="store_true", help=f"add to {history.PATH.name}, and renew the page of plots")
    parser.add_argument("--history", action="store_true", help="measure nothing: how each figure went")
    parser.add_argument("groups", nargs="*", metavar="P1", help="only these figures")
    given = parser.parse_args()
    if unknown := set(given.groups) - set(GROUPS):
        parser.error(f"not measured: {', '.join(sorted(unknown))} (what is: {' '.join(GROUPS)})")
    groups = given.groups or list(GROUPS)
    if given.history:
        print(report.history(history.read(), groups))
    else:
        _measure(groups, given)


def _measure(groups: list[str], given: argparse.Namespace) -> None:
    run, done = Run.now(), list[Measurement]()
    print(run)
    with tempfile.TemporaryDirectory(prefix="containerkit-bench-") as scratch, contextlib.ExitStack() as stack:
        bench = _begun(Path(scratch), stack, given)
        for group in groups:
            for one in measured(bench, group):
                print(report.details(one), flush=True)
                done.append(one)
                if given.save:
                    history.append(history.Entry(run, one))
    print(report.summary(done))
    if given.save:
        page.renew()


def _begun(scratch: Path, stack: contextlib.ExitStack, given: argparse.Namespace) -> Bench:
    tar = build_tar(scratch / "busybox.tar")
    ours = Ours(tar, scratch)
    stack.callback(ours.close)
    found, absent = peers.started(tar, scratch, stack)
    for name, reason in absent.items():
        print(f"not measured: {name}: {reason}")
    return Bench(ours, found, tuple(absent), scratch, given.runs, given.full)


if __name__ == "__main__":
    main()
