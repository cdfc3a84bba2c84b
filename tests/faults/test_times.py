"""Clocks that are set back, and machines that are switched off."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

from containerkit import Engine, Image, Volume
from containerkit.linux import mounts
from tests.processes import kill_monitor

_DAY = 24 * 3600.0
_TIMES = {
    "containers": ("created", "started", "finished"), "images": ("created",), "volumes": ("created", "sized"),
    "networks": ("created",), "events": ("time",), "build_steps": ("created", "used"),
}  # fmt: skip


def set_back(engine: Engine) -> None:
    """As if the clock had been a day ahead until now."""
    with engine.store.database.transaction() as connection:
        for table, columns in _TIMES.items():
            for column in columns:
                connection.execute(f"UPDATE {table} SET {column} = {column} + {_DAY}")
    for path in engine.paths.downloads.iterdir():
        os.utime(path, (time.time() + _DAY,) * 2)


def test_rows_of_the_future_are_as_good_as_others(engine: Engine, image: Image, tmp_path: Path) -> None:
    ended = engine.run("busybox", ["sh", "-c", "echo first; cat"], name="ended", network="none", volumes=["v:/data"])
    ended.wait()
    up = engine.run("busybox", "sleep 60", name="up", network="none", stop_timeout=0)
    engine.build(None, dockerfile=_dockerfile(tmp_path), tag="built", progress=False)
    (engine.paths.downloads / ("0" * 64)).write_bytes(b"half a layer")
    set_back(engine)
    later = engine.run("busybox", "true", name="later", network="none")
    later.wait()

    assert [one.name for one in engine.containers] == ["later", "up", "ended"], "the newest first"
    assert up.exec("true").duration >= 0 and "up" in repr(up)
    again = engine.build(None, dockerfile=_dockerfile(tmp_path), tag="again", progress=False)
    assert again.layers == engine.images["built"].layers, "what was built before the clock was set back is found"
    assert ended.start().wait() == 0 and ended.logs() == "first\nfirst\n"
    assert up.stop().status == "exited"
    assert Volume.get("v", engine=engine).clone("w", progress=False).created
    report = engine.prune(all=True)
    assert set(report.containers) == {"later", "up", "ended"}
    assert not list(engine.images) and list(engine.paths.downloads.iterdir()) == []


def _dockerfile(directory: Path) -> Path:
    path = directory / "Dockerfile"
    path.write_text("FROM busybox\nRUN echo made >/made\n")
    return path


def test_the_machine_is_switched_off(engine: Engine, image: Image) -> None:
    Volume.create("disk", options={"size": "4m"}, engine=engine)
    for name, policy in (("always", "always"), ("once", "no")):
        engine.run("busybox", ["sh", "-c", "date >>/data/times; sync; sleep 60"], name=name, restart=policy,
                   network="none", volumes=["disk:/data"], stop_timeout=0)  # fmt: skip
    engine.containers["once"].exec(["sh", "-c", "while [ $(wc -l </data/times) -lt 2 ]; do sleep .01; done"])
    _switch_off(engine)

    again = Engine(engine.paths.root, engine.paths.run)
    assert {one.name: one.status for one in again.containers} == {"always": "exited", "once": "exited"}
    assert again.containers["once"].exit_code == 137
    assert [one.name for one in again.boot()] == ["always"]
    text = (
        again.containers["always"]
        .exec(["sh", "-c", "while [ $(wc -l </data/times) -lt 3 ]; do sleep .01; done; cat /data/times"])
        .stdout
    )
    assert len(text.splitlines()) == 3
    again.close()


def _switch_off(engine: Engine) -> None:
    """What a machine forgets: processes, mounts, the run directory, and which boot it was."""
    for container in [*engine.containers]:
        init = container.pid
        kill_monitor(engine, container)
        assert init is not None
        with contextlib.suppress(ProcessLookupError):  # it ends with its monitor
            os.kill(init, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while os.path.ismount(engine.volumes["disk"].path):
        assert time.monotonic() < deadline
        try:
            mounts.umount2(engine.volumes["disk"].path, 0)
        except OSError:
            time.sleep(0.01)  # the kernel has not ended them yet
    with engine.store.database.transaction() as connection:
        connection.execute("UPDATE containers SET boot_id = 'another'")
    engine.close()
    shutil.rmtree(engine.paths.run)
