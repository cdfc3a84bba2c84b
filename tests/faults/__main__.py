"""``python -m tests.faults [COUNT] [OPERATION|KIND…]``: operations are hit, at so many points of each kind or all."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import containerkit as ck
from tests import busybox
from tests.engines import emptied
from tests.faults import steps
from tests.faults.case import Bench
from tests.faults.faults import Kind, spread
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.steps import WHOM


def main(arguments: list[str]) -> int:
    """Carry them out, and tell."""
    count = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else None
    kinds = [kind for kind in Kind if kind.name in arguments] or [*Kind]
    names = {*arguments} - {kind.name for kind in Kind}
    chosen = [one for one in OPERATIONS if not names or one.name in names]
    with tempfile.TemporaryDirectory() as directory, Bench.set_up(Path(directory)) as bench:
        faulty = sum([_all_of(bench, operation, kinds, count) for operation in chosen])
        faulty += sum([_on_a_full_disk(bench, operation) for operation in chosen])
        if not arguments:
            faulty += _between_steps(Path(directory), count)
    return bool(faulty)


def _all_of(bench: Bench, operation: Operation, kinds: Sequence[Kind], count: int | None) -> int:
    """How many faults an operation has, each of which is printed."""
    plain = bench.carry_out(operation)
    found = [plain] if plain.problems else []
    row = []
    for kind in kinds:
        faults = spread(kind, plain.counts.get(kind, 0), count)
        outcomes = [bench.carry_out(operation, fault) for fault in faults]
        wrong = [one for one in outcomes if one.problems]
        row.append(f"{kind.name} {len(wrong)}/{len(faults)} of {plain.counts.get(kind, 0)}")
        found += wrong
    print(f"{operation.name:20}", *(f"{cell:26}" for cell in row), flush=True)
    for one in found:
        print(f"  {one}", flush=True)
    return len(found)


def _on_a_full_disk(bench: Bench, operation: Operation) -> int:
    """How often an operation goes wrong on a disk that is full, or soon will be."""
    found = [one for free in (0, 32 << 10, 256 << 10) if (one := bench.fill(operation, free)).problems]
    print(
        f"{operation.name:20} on a full disk: {len(found)} faults", *(f"  {one}" for one in found), sep="\n", flush=True
    )
    return len(found)


def _between_steps(directory: Path, count: int | None) -> int:
    """How many kills between two operations of a start went wrong."""
    wrong = 0
    with emptied(directory / "root", directory / "run") as engine:
        ck.Image.import_(busybox.build_tar(directory / "busybox.tar"), tag="busybox", engine=engine)
        total = steps.kill_before(engine, 1, "init")
        for whom in WHOM:
            found = []
            for fault in spread(Kind.KILL, total, count):
                try:
                    steps.kill_before(engine, fault.number, whom)
                except Exception as error:
                    found.append(f"  step {fault.number}: {error!r}")
            print(f"{f'start, {whom} killed':20} {len(found)} faults, {total} steps", *found, sep="\n", flush=True)
            wrong += len(found)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
