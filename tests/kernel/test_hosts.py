"""The SDK in the processes people use it from: asyncio, threads, a Jupyter kernel, a process that forks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

from containerkit import Engine, Image
from tests.processes import children

CELLS = """
import asyncio, threading
import containerkit as ck
engine = ck.Engine(root={root!r}, run={run!r})
---
asyncio.get_running_loop().is_running(), engine.call("busybox", "echo in a cell").stdout
---
await asyncio.to_thread(engine.call, "busybox", "false")
---
with engine.run("busybox", "sleep 60", name="kernel") as container:
    async def look():
        return await asyncio.to_thread(container.exec, "cat /proc/1/comm")
    out = (await asyncio.gather(*[look() for _ in range(4)]))[0].stdout
out, len(engine.containers)
---
with engine.run("busybox", "sleep 60", name="watched", stop_timeout=0.2) as container:
    card = container.panel()
    seen = [card.status]
    card.stop_button.click()
    seen.append(card.status)
    card.remove_button.click()
    seen.append(card.status)
    card.close()
seen, card.error
---
import os
pid = os.fork()
if pid == 0:
    os._exit(0 if engine.call("busybox", "true") else 1)
os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def test_a_live_kernel(engine: Engine, image: Image, tmp_path: Path) -> None:
    source = CELLS.format(root=str(engine.paths.root), run=str(engine.paths.run))
    rest: dict[str, object] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**rest, "id": f"cell-{n}", "source": cell.strip()} for n, cell in enumerate(source.split("---\n"))]
    path = tmp_path / "live.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    # Not in this process: what the client opens stays open.
    execute = [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", str(path)]
    subprocess.run(execute, check=True, timeout=60, capture_output=True)
    outputs = [cell["outputs"] for cell in json.loads(path.read_text())["cells"]]
    results = ["".join("".join(o["data"]["text/plain"]) for o in out if "data" in o) for out in outputs]
    assert results[1] == r"(True, 'in a cell\n')"
    assert results[2].startswith("Result(exit_code=1")
    assert results[3] == r"('sleep\n', 0)"
    assert results[4] == "(['running', 'exited', 'removed'], '')"
    assert results[5] == "0"


def test_asyncio(engine: Engine, image: Image) -> None:
    async def main() -> list[str]:
        # Blocking calls in the loop's own thread, and many of them beside it.
        here = engine.call("busybox", "echo here").stdout
        there = await asyncio.gather(
            *[asyncio.to_thread(engine.call, "busybox", ["echo", str(number)]) for number in range(8)]
        )
        return [here, *(result.stdout for result in there)]

    assert asyncio.run(main()) == ["here\n", *(f"{number}\n" for number in range(8))]


def test_lines_followed_from_a_loop_that_goes_on(engine: Engine, image: Image) -> None:
    async def main() -> list[str]:
        command = ["sh", "-c", "echo 1; until [ -e /go ]; do sleep .05; done; echo 2"]
        container = engine.run("busybox", command)
        following = asyncio.to_thread(lambda: [line.text for line in container.log_lines(follow=True)])
        lines = asyncio.create_task(following)
        for _ in range(20):
            await asyncio.sleep(0.02)
        assert not lines.done()
        container.exec("touch /go", check=True)
        return await lines

    assert asyncio.run(main()) == ["1", "2"]


def test_nothing_is_forked_from_this_process(engine: Engine, image: Image) -> None:
    """No child comes while containers are run: a fork would copy locks that other threads hold."""
    engine.call("busybox", "true")  # the spawner is there now, and those before it that tests have killed
    before = set(children("self"))
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.update(children("self"))

    watcher = threading.Thread(target=look)
    watcher.start()
    forks: list[str] = []
    sys.addaudithook(lambda event, args: forks.append(event) if event in ("os.fork", "os.forkpty") else None)
    for _ in range(10):
        engine.call("busybox", "true")
    done.set()
    watcher.join()
    assert seen - before == set() and forks == []
