"""The monitor's control socket when descriptors have run out."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any, cast

from containerkit.linux.loop import Loop
from containerkit.supervise import control


def test_without_descriptors_who_speaks_to_it_waits_and_the_loop_rests(tmp_path: Path) -> None:
    loop, path = Loop(), str(tmp_path / "control")
    nobody = cast("Any", None)
    listening = control.Control(loop, path, nobody, nobody, nobody, nobody)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with control.connect(path) as client:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            began = time.monotonic()
            for _ in range(4):  # refused, and after a while once more
                loop.turn()
            assert time.monotonic() - began > 0.3
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop.turn()
        listening.close()
        assert client.recv(1) == b""
