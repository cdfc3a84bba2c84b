"""P14: a volume of 1 GB of mixed files is backed up and restored, beside the usual recipe with docker."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from containerkit import Backup, Backups, Engine, Volume
from containerkit.supervise.client import spawner
from tests.bench.files import mixed
from tests.bench.ours import Ours
from tests.bench.peers import Docker, Peer

_RUNS = 3
_SIZE = 1_000_000_000


def measure(ours: Ours, peers: list[Peer], scratch: Path) -> None:
    """Measure in turns, and print.

    Each restore makes a new volume, and nothing is removed meanwhile: ext4 does not give out again for minutes what was
    a removed file's inode, and looks at each (fs/ext4/ialloc.c, recently_deleted).
    """
    files, out = scratch / "volume", scratch / "backups"
    out.mkdir()
    _fill(files)
    volume = Volume.create("bench", engine=ours.engine)
    _copy(files, Path(volume.path))
    works: dict[str, dict[str, Callable[[], object]]] = {"containerkit": _ours(volume, out, ours.engine)}
    docker = next((peer for peer in peers if isinstance(peer, Docker)), None)
    if docker is not None:
        works["docker and tar"] = _recipe(docker, files, out, scratch)
    print(f"\nP14  a volume of {_SIZE // 10**6} MB in {sum(1 for _ in files.rglob('*'))} names  ({_RUNS} runs each)")
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(_RUNS):
        for step in ("back up, compressed", "restore", "back up, plain", "into a directory", "… nothing changed"):
            for side, steps in works.items():
                if step in steps:
                    times.setdefault((step, side), []).append(_timed(steps[step]))
    mine = {step: statistics.median(values) for (step, side), values in times.items() if side == "containerkit"}
    for (step, side), values in times.items():
        middle = statistics.median(values)
        ratio = f"   {middle / mine[step]:6.1f} × ours" if side != "containerkit" else ""
        print(f"  {step:22} {side:16} {middle:8.2f} s  [{min(values):.2f} … {max(values):.2f}]{ratio}")
    recipe = times.get(("back up, compressed", "docker and tar"))
    if recipe is not None:
        longer = statistics.median(recipe) / mine["… nothing changed"]
        print(f"  the recipe takes {longer:.0f} × as long as a backup of what has not changed")
    volume.remove()
    for number in range(_RUNS):
        ours.engine.volumes[f"restored-{number}"].remove()
    _large(ours.engine, out)


def _timed(work: Callable[[], object]) -> float:
    os.sync()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _fill(root: Path) -> None:
    """Mixed files of this machine, small ones, and a large one of which half can be compressed."""
    mixed(root / "mixed", _SIZE // 2)
    small = root / "small"
    small.mkdir()
    for number in range(10_000):
        (small / str(number)).write_bytes(f"{number}: a small file\n".encode() * (number % 200))
    with open(root / "database", "wb") as file:
        for number in range(_SIZE // 2 // (2 << 20)):
            file.write(os.urandom(1 << 20) + f"row {number:8}".encode() * ((1 << 20) // 12))


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", f"{source}/.", target], check=True)


def _ours(volume: Volume, out: Path, engine: Engine) -> dict[str, Callable[[], object]]:
    kept: list[Backup] = []
    restored = (f"restored-{number}" for number in count())

    def again() -> None:
        shutil.rmtree(out / "directory", ignore_errors=True)
        volume.backup(f"{out}/directory/", progress=None)

    return {
        "back up, compressed": lambda: kept.append(volume.backup(out / "ours.tar.zst", progress=None)),
        "restore": lambda: Volume.restore(kept[-1], next(restored), progress=None, engine=engine),
        "back up, plain": lambda: volume.backup(out / "ours.tar", compression="none", progress=None),
        "into a directory": again,
        "… nothing changed": lambda: volume.backup(f"{out}/directory/", progress=None),
    }


def _recipe(docker: Docker, files: Path, out: Path, scratch: Path) -> dict[str, Callable[[], object]]:
    docker.call("volume", "create", "bench")
    docker.call("create", "--name", "holder", "-v", "bench:/data", "bench", "true")
    _copy(files, scratch / "docker" / "data" / "volumes" / "bench" / "_data")

    restored = (f"restored-{number}:/data" for number in count())

    def tar(*words: str, of: tuple[str, ...] = ("--volumes-from", "holder")) -> object:
        options = ("--rm", "--network", "none", *of, "-v", f"{out}:/backup")
        return docker.call("run", *options, "bench", "tar", *words)

    return {
        "back up, compressed": lambda: tar("czf", "/backup/docker.tar.gz", "/data"),
        "restore": lambda: tar("xzf", "/backup/docker.tar.gz", "-C", "/", of=("-v", next(restored))),
        "back up, plain": lambda: tar("cf", "/backup/docker.tar", "/data"),
    }


def _large(engine: Engine, out: Path) -> None:
    print("\nP14  large ones (containerkit alone; memory of the process that does the work)")
    many = Volume.create("many", engine=engine)
    for number in range(100_000):
        directory = Path(many.path, str(number // 1000))
        directory.mkdir(exist_ok=True)
        (directory / str(number)).write_bytes(b"small\n" * (number % 400))
    one = Volume.create("one", engine=engine)
    with open(f"{one.path}/large", "wb") as file:
        for _ in range(1000):
            file.write(os.urandom(1 << 20) + bytes(range(256)) * 4096)
    for volume, title in ((many, "100,000 small files"), (one, "one file of 2 GB")):
        _look_at(volume, title, engine, out)
    for name in ("many", "many-again", "one", "one-again"):
        engine.volumes[name].remove()


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
        print(f"  {title:20} {step:18} {seconds:7.2f} s   {memory.highest:6.1f} MB")
    print(f"  {title:20} {'a backup more':18} {_added(volume, place) / 1000:7.1f} KB")
    with engine.run("bench", "sleep 600", network="none", volumes=[f"{volume.name}:/data"]):
        paused = volume.backup(place, consistency="pause", progress=None)
    print(f"  {title:20} {'stood still for':18} {paused.frozen_seconds * 1000:7.1f} ms")


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
            for pid in Path(f"/proc/{spawner.pid}/task/{spawner.pid}/children").read_text().split():
                try:
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                except OSError:
                    continue
                found = next((line.split()[1] for line in lines if line.startswith("VmHWM")), "0")
                self.highest = max(self.highest, int(found) / 1024)
