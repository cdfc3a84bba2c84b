"""``python -m tests.faults [COUNT] [OPERATION…]``: every operation hit, at so many points of each kind or at all."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.case import Bench
from tests.faults.faults import Kind, spread
from tests.faults.operations import OPERATIONS, Operation


def main(arguments: list[str]) -> int:
    """Carry them out, and tell."""
    count = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else None
    chosen = [one for one in OPERATIONS if not arguments or one.name in arguments]
    with tempfile.TemporaryDirectory() as directory, Bench.set_up(Path(directory)) as bench:
        faulty = sum([_all_of(bench, operation, count) for operation in chosen])
    return bool(faulty)


def _all_of(bench: Bench, operation: Operation, count: int | None) -> int:
    """How many faults an operation has, each of which is printed."""
    plain = bench.carry_out(operation)
    found = [plain] if plain.problems else []
    row = []
    for kind in Kind:
        faults = spread(kind, plain.counts.get(kind, 0), count)
        outcomes = [bench.carry_out(operation, fault) for fault in faults]
        wrong = [one for one in outcomes if one.problems]
        row.append(f"{kind.name} {len(wrong)}/{len(faults)} of {plain.counts.get(kind, 0)}")
        found += wrong
    print(f"{operation.name:20}", *(f"{cell:26}" for cell in row), flush=True)
    for one in found:
        print(f"  {one}", flush=True)
    return len(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
