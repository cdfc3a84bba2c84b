"""``./dev fuzz [SECONDS] [NAME…]``: every parser, or those of these names, with cases that are never the same.

A parser gets so many seconds (20). What fails is made as small as it goes, and kept in a file below ``.fuzz`` as a
literal; ``./dev fuzz NAME --again FILE`` carries it out once more. Names may be beginnings of names.
"""

from __future__ import annotations

import ast
import hashlib
import os
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.all import PARSERS
from tests.fuzz.case import Parser, check

_SECONDS, _ROUND = 20.0, 500
_KEPT = Path(".fuzz")


class _Round:
    """Cases of one parser from one seed; :attr:`last` is the last that was carried out: the one that failed."""

    def __init__(self, one: Parser, ends: float) -> None:
        self.parser, self.ends, self.count = one, ends, 0
        self.last: tuple[Any] | None = None

    def run(self) -> None:
        @seed(random.getrandbits(64))
        @settings(
            database=None,
            deadline=None,
            max_examples=_ROUND,
            phases=(Phase.generate, Phase.shrink),
            derandomize=False,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            report_multiple_bugs=False,
        )
        @given(self.parser.inputs)
        def holds(case: Any) -> None:
            if self.last is None and time.monotonic() > self.ends:
                return
            self.count += 1
            try:
                check(self.parser, case)
            except BaseException:
                self.last = (case,)
                raise

        holds()


def fuzz(one: Parser, seconds: float) -> bool:
    """Whether nothing was found in so many seconds."""
    began = time.monotonic()
    count = 0
    while (left := began + seconds - time.monotonic()) > 0:
        turn = _Round(one, time.monotonic() + left)
        try:
            turn.run()
        except Exception:
            _tell(one, turn.last[0] if turn.last else None)
            return False
        count += turn.count
    print(f"{one.name}: {count} cases in {time.monotonic() - began:.0f} s", flush=True)
    return True


def _tell(one: Parser, case: Any) -> None:
    said = repr(case)
    _KEPT.mkdir(exist_ok=True)
    mark = hashlib.sha256(said.encode(errors="replace")).hexdigest()[:8]
    file = _KEPT / f"{one.name.replace('/', '-').replace(' ', '-')}-{mark}"
    file.write_text(ascii(case))
    print(f"{one.name}: FAILED")
    traceback.print_exc(limit=-6)
    print(f"the case: {said[:2000]}{'…' if len(said) > 2000 else ''}")
    print(f"once more: ./dev fuzz {one.name!r} --again {file}", flush=True)


def _chosen(names: list[str]) -> list[Parser]:
    found: dict[str, Parser] = {}
    for name in names or [""]:
        known = [name] if name in PARSERS else [one for one in PARSERS if one.startswith(name)]
        if not known:
            sys.exit(f"fuzz: {name}: no such parser ({', '.join(PARSERS)})")
        found.update((one, PARSERS[one]) for one in known)
    return list(found.values())


def main(words: list[str]) -> int:
    """The command."""
    again = words.pop() if words[-2:-1] == ["--again"] else ""
    words = [word for word in words if word != "--again"]
    seconds = float(words.pop(0)) if words and words[0].replace(".", "", 1).isdigit() else _SECONDS
    chosen = _chosen(words)
    if again:
        check(chosen[0], ast.literal_eval(Path(again).read_text()))
        print(f"{chosen[0].name}: holds")
        return 0
    os.nice(10)
    bad = [one.name for one in chosen if not fuzz(one, seconds)]
    print(f"failed: {', '.join(bad)}" if bad else f"{len(chosen)} parsers hold")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
