"""P14: a volume of mixed files is backed up and restored, beside the usual recipe with docker and tar.

And beside the floor: tar and zstd alone, without a container, a manifest or a checksum.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

from containerkit import Backup, Engine, Volume
from tests.bench.alternating import in_turns, once
from tests.bench.bench import Bench
from tests.bench.files import mixed
from tests.bench.peers.docker import Docker
from tests.bench.peers.host import run
from tests.bench.samples import Measurement
from tests.bench.side import Work

_RUNS = 3
#: Figure → bytes.
_SIZES = {"P14": 200_000_000, "P14-1GB": 1_000_000_000}


def measure(bench: Bench) -> Iterator[Measurement]:
    """The figures of each size.

    Each restore makes a new volume, and nothing is removed meanwhile: ext4 does not give out again for minutes what was
    a removed file's inode, and looks at each (fs/ext4/ialloc.c, recently_deleted).
    """
    for id, size in _SIZES.items():
        if id == "P14" or bench.is_full:
            yield from _measured(bench, id, size, bench.scratch / id)


def _measured(bench: Bench, id: str, size: int, place: Path) -> Iterator[Measurement]:
    files, out = place / "files", place / "backups"
    out.mkdir(parents=True)
    _fill(files, size)
    volume = Volume.create(id, engine=bench.ours.engine)
    _copy(files, Path(volume.path))
    sides = {bench.ours.name: _ours(volume, out, bench.ours.engine)}
    for peer in bench.peers:
        if isinstance(peer, Docker):
            sides[peer.name] = _recipe(peer, id, files, out)
    sides["tar | zstd"] = _alone(id, files, out)
    compressed: dict[str, list[float]] = {}
    for step in ("", "-restore", "-plain", "-directory", "-again"):
        works = {name: Work(steps[step], before=os.sync) for name, steps in sides.items() if step in steps}
        times = in_turns(bench, works, _RUNS, once)
        compressed = compressed or times
        if step == "-again":  # the recipe has no such thing: it would write all of it again
            times = {**compressed, **times}
        yield bench.measurement(id + step, times)
    for one in [found for found in bench.ours.engine.volumes if found.name.startswith(id)]:
        one.remove()


def _fill(root: Path, size: int) -> None:
    """Mixed files of this machine, small ones, and a large one of which half can be compressed."""
    mixed(root / "mixed", size // 2)
    small = root / "small"
    small.mkdir()
    for number in range(size // 100_000):
        (small / str(number)).write_bytes(f"{number}: a small file\n".encode() * (number % 200))
    with open(root / "database", "wb") as file:
        for number in range(size // 2 // (2 << 20)):
            file.write(os.urandom(1 << 20) + f"row {number:8}".encode() * ((1 << 20) // 12))


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", f"{source}/.", target], check=True)


def _ours(volume: Volume, out: Path, engine: Engine) -> dict[str, Callable[[], object]]:
    kept: list[Backup] = []
    restored = (f"{volume.name}-restored-{number}" for number in count())

    places: list[str] = []

    def anew() -> None:
        places.append(f"{out}/directory-{len(places)}/")
        volume.backup(places[-1], progress=None)

    return {
        "": lambda: kept.append(volume.backup(out / "ours.tar.zst", progress=None)),
        "-restore": lambda: Volume.restore(kept[-1], next(restored), progress=None, engine=engine),
        "-plain": lambda: volume.backup(out / "ours.tar", compression="none", progress=None),
        "-directory": anew,
        "-again": lambda: volume.backup(places[-1], progress=None),
    }


def _alone(id: str, files: Path, out: Path) -> dict[str, Callable[[], object]]:
    backup = out / "alone.tar.zst"
    restored = (out / f"{id}-restored-{number}" for number in count())

    def restore() -> None:
        place = next(restored)
        place.mkdir()
        run("sh", "-ec", f"zstd -qdc {backup} | tar -xf - -C {place}")

    return {
        "": lambda: run("sh", "-ec", f"tar -cf - -C {files} . | zstd -q -1 -T0 -f -o {backup}"),
        "-restore": restore,
    }


def _recipe(docker: Docker, id: str, files: Path, out: Path) -> dict[str, Callable[[], object]]:
    docker.call("volume", "create", id)
    docker.call("create", "--name", f"holder-{id}", "-v", f"{id}:/data", "bench", "true")
    _copy(files, docker.scratch / "docker" / "data" / "volumes" / id / "_data")
    restored = (f"{id}-restored-{number}:/data" for number in count())

    def tar(*words: str, of: tuple[str, str] = ("--volumes-from", f"holder-{id}")) -> None:
        docker.call("run", "--rm", "--network", "none", *of, "-v", f"{out}:/backup", "bench", "tar", *words)

    return {
        "": partial(tar, "czf", "/backup/docker.tar.gz", "/data"),
        "-restore": lambda: tar("xzf", "/backup/docker.tar.gz", "-C", "/", of=("-v", next(restored))),
        "-plain": partial(tar, "cf", "/backup/docker.tar", "/data"),
    }
