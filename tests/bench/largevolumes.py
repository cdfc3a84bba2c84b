"""What large volumes take: ``python -m tests.bench.largevolumes`` prints time and memory of each step.

One volume has 100,000 small files, the other one file of 2 GB.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from containerkit import Backups, Engine, Image, Volume
from containerkit.supervise.client import spawner
from tests import busybox
from tests.engines import emptied
from tests.processes import descendants


def main() -> None:
    with tempfile.TemporaryDirectory() as name, emptied(Path(name) / "root", Path(name) / "run") as engine:
        scratch = Path(name)
        Image.import_(busybox.build_tar(scratch / "busybox.tar"), tag="bench", engine=engine)
        _look_at(_many(engine), "100,000 small files", engine, scratch)
        _look_at(_one(engine), "one file of 2 GB", engine, scratch)


def _many(engine: Engine) -> Volume:
    many = Volume.create("many", engine=engine)
    for number in range(100_000):
        directory = Path(many.path, str(number // 1000))
        directory.mkdir(exist_ok=True)
        (directory / str(number)).write_bytes(b"small\n" * (number % 400))
    return many


def _one(engine: Engine) -> Volume:
    one = Volume.create("one", engine=engine)
    with open(f"{one.path}/large", "wb") as file:
        for _ in range(1000):
            file.write(os.urandom(1 << 20) + bytes(range(256)) * 4096)
    return one


def _look_at(volume: Volume, title: str, engine: Engine, out: Path) -> None:
    archive, place = out / f"{volume.name}.tar.zst", f"{out}/{volume.name}/"
    works: dict[str, Callable[[], object]] = {
        "back up": lambda: volume.backup(archive, progress=None),
        "restore": lambda: Volume.restore(archive, f"{volume.name}-again", progress=None, engine=engine),
        "into a directory": lambda: volume.backup(place, progress=None),
        "… nothing changed": lambda: volume.backup(place, progress=None),
        "… frees the first": lambda: Backups(place).prune(keep_last=1),
    }
    for step, work in works.items():
        with _Memory() as memory:
            seconds = _timed(work)
        print(f"{title:20} {step:18} {seconds:7.2f} s   {memory.highest:6.1f} MB")
    print(f"{title:20} {'a backup more':18} {_added(volume, place) / 1000:7.1f} KB")
    with engine.run("bench", "sleep 600", network="none", volumes=[f"{volume.name}:/data"]):
        paused = volume.backup(place, consistency="pause", progress=None)
    print(f"{title:20} {'stood still for':18} {paused.frozen_seconds * 1000:7.1f} ms")


def _timed(work: Callable[[], object]) -> float:
    os.sync()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _added(volume: Volume, place: str) -> int:
    """Bytes that a directory of backups grows by, when nothing has changed."""
    backups = Backups(place)
    before = backups.size
    volume.backup(place, progress=None)
    return backups.size - before


class _Memory:
    """The most that a child of the spawner holds (VmHWM) in a block, in MB: looked at now and then."""

    def __enter__(self) -> _Memory:
        self.highest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            for pid in descendants(spawner.pid):
                try:
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                except OSError:
                    continue
                found = next((line.split()[1] for line in lines if line.startswith("VmHWM")), "0")
                self.highest = max(self.highest, int(found) / 1024)


if __name__ == "__main__":
    main()
