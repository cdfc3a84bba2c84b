"""The table: ``python -m tests.peers.builds [PART OF A NAME…]``.

Needs root, and Debian's docker.io and busybox-static.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests import busybox
from tests.peers.builds.corpus import CASES
from tests.peers.builds.setting import both
from tests.peers.builds.verdict import Verdict, of_all
from tests.peers.programs import dockerd


def main(*parts: str) -> int:
    """Print a row for each case and builder; how many have differences that nothing explains."""
    cases = [case for case in CASES if not parts or any(part in case.name for part in parts)]
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        os.environ["HOME"] = directory  # nobody's logins
        base = busybox.build_tar(place / "busybox.tar")
        with dockerd(place) as docker, both(docker, base, place / "ours") as (dockers, ours):
            for case in cases:
                for verdict in of_all(case, dockers, ours):
                    print(verdict, flush=True)
                    verdicts.append(verdict)
            differ = sum(bool(verdict.open) for verdict in verdicts)
            print(f"\n{len(cases)} cases, {len(verdicts)} comparisons, {differ} with differences that nothing explains")
    return differ


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))
