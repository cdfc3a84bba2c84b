"""What a dashboard costs: ``python -m tests.bench.dashboard [CONTAINERS]`` prints the kernel's CPU time a second.

The dashboard is in a real kernel, and told that a page looks at it, so that its messages are made and sent.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

from containerkit import Engine, Image
from tests import busybox
from tests.engines import emptied

_SECONDS = 10.0
_OPEN = """
import containerkit as ck
engine = ck.Engine(root={root!r}, run={run!r})
dashboard = engine.dashboard(interval={interval})
dashboard._heard(dashboard.table, {{"kind": "hello"}}, [])
"""


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch, emptied(Path(scratch) / "root", Path(scratch) / "run") as engine:
        Image.import_(busybox.build_tar(Path(scratch) / "busybox.tar"), tag="busybox", engine=engine)
        for number in range(count):
            engine.run("busybox", "sleep 3600", name=f"box{number}", network="none", memory="64m", cpus=0.5)
        for interval in (0.25, 1.0):
            part = measure(engine, interval)
            print(f"{count} containers, {1 / interval:g} Hz: {100 * part:.1f} % of a core")


def measure(engine: Engine, interval: float) -> float:
    """CPU seconds of the kernel's process a second, with a dashboard that looks every ``interval`` seconds."""
    manager, client = start_new_kernel(kernel_name="python3", env={**os.environ, "JUPYTER_PLATFORM_DIRS": "1"})
    try:
        code = _OPEN.format(root=str(engine.paths.root), run=str(engine.paths.run), interval=interval)
        reply = client.execute_interactive(code, timeout=60, user_expressions={"pid": "__import__('os').getpid()"})
        pid = int(reply["content"]["user_expressions"]["pid"]["data"]["text/plain"])
        before = cpu_seconds(pid)
        messages = listen(client, _SECONDS)
        assert messages >= 0.8 * _SECONDS / interval, f"{messages} messages only"
        return (cpu_seconds(pid) - before) / _SECONDS
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def listen(client: Any, seconds: float) -> int:
    """Take the messages as a page does; how many of the table there were."""
    end, found = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        try:
            message = client.get_iopub_msg(timeout=left)
        except Exception:  # queue.Empty: time is up
            break
        content = message["content"].get("data", {}).get("content", {})
        found += bool(content.get("points"))
    return found


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, in user and kernel mode (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
