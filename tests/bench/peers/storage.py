"""What podman and buildah leave mounted."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def unmount(place: Path) -> None:
    """The storage directory that they mount onto itself, more than once, and leave so.

    What cleans up after the last container is still there for a moment.
    """
    quiet = 0
    for _ in range(100):
        if f" {place} " in Path("/proc/self/mountinfo").read_text():
            subprocess.run(["umount", place], capture_output=True, check=False)
            quiet = 0
        quiet += 1
        if quiet > 20:
            break
        time.sleep(0.1)
