"""Commands, and the network namespace that the peers' networks are in."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

#: What reaches their containers begins so. (Not `ip netns exec`: that hides cgroups.)
HOST = ("nsenter", "--net=/run/netns/ckbench")


def run(*arguments: str | Path, cwd: Path | None = None) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it fails; with the end of what it says.
    """
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


@contextlib.contextmanager
def host() -> Iterator[None]:
    """That network namespace."""
    run("ip", "netns", "add", "ckbench")
    try:
        run(*HOST, "ip", "link", "set", "lo", "up")
        yield
    finally:
        run("ip", "netns", "delete", "ckbench")
