"""Where an operation is done: a directory with an engine that has something to lose, and what must be true of it after.

::

    PLACE/root  run      the engine's
          other.tar      an image, saved
          tree/          files to make images and volumes of
          backup.tar     of the volume ``kept``
          Dockerfile     of an image made of ``busybox`` and the tree
          reference      of an image that can be pulled
    TEMPLATE             the same before any operation: copied for each
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import containerkit as ck
from containerkit.store import verify
from tests import busybox

_PROGRAMS = ("sh", "cat", "echo", "ip", "sleep", "touch", "true")
#: Files of the volume that is there before, each with these bytes.
KEPT = {f"file{number}": f"{number}\n".encode() * 2000 for number in range(5)}


class Scene:
    """The directory of an operation, with the engine in it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @cached_property
    def engine(self) -> ck.Engine:
        """Opened here and now: what another process has left of it is all that this one knows."""
        return ck.Engine(self.place / "root", self.place / "run")

    @property
    def box(self) -> ck.Container:
        """The container that many operations are about."""
        return self.engine.containers["box"]

    def close(self) -> None:
        """Close the engine's files."""
        self.engine.close()

    @classmethod
    def template(cls, place: Path, template: Path, registry: str) -> None:
        """Make, at ``place``, what every operation finds there; and move it to ``template``.

        Args:
            registry: what is to be pulled, as a reference.
        """
        scene = cls(place)
        place.mkdir()
        engine = scene.engine
        ck.Image.import_(busybox.build_tar(place / "busybox.tar", _PROGRAMS), tag="busybox", engine=engine)
        (place / "busybox.tar").unlink()
        (place / "tree" / "below").mkdir(parents=True)
        for name in ("one", "below/two"):
            (place / "tree" / name).write_bytes(name.encode() * 5000)
        ck.Image.import_(place / "tree", tag="other", engine=engine).save(place / "other.tar")
        engine.images["other"].remove()
        volume = ck.Volume.create("kept", engine=engine)
        for name, data in KEPT.items():
            Path(volume.path, name).write_bytes(data)
        volume.backup(place / "backup.tar", compression="none")
        before = engine.run("busybox", "touch /kept", name="before", network="none")
        before.wait()
        ck.Network.create("before", subnet="10.213.7.0/24", engine=engine)
        (place / "Dockerfile").write_text("FROM busybox\nRUN echo made >/made\nCOPY one /\nENV A=b\n")
        (place / "reference").write_text(registry)
        scene.close()
        shutil.move(place, template)

    @classmethod
    @contextmanager
    def copied(cls, template: Path, place: Path) -> Iterator[Scene]:
        """A new one; at the end nothing of it is left, and that is checked."""
        subprocess.run(["cp", "-aT", "--sparse=never", template, place], check=True)
        scene = cls(place)
        try:
            yield scene
        finally:
            try:
                scene.clear()
            finally:
                scene.close()
                for path in place.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def clear(self) -> None:
        """Remove what holds something of the machine."""
        for container in self.engine.containers:
            container.remove(force=True, volumes=True)
        self.engine.prune()
        for volume in self.engine.volumes:
            volume.remove()

    def lost(self, taken: frozenset[str]) -> list[str]:
        """What was there before, is not in ``taken``, and is not there."""
        engine = self.engine
        has = {
            "image": "busybox" in engine.images,
            "container": "before" in engine.containers,
            "network": "before" in engine.networks,
            "volume": "kept" in engine.volumes,
        }
        lost = [kind for kind, there in has.items() if not there and kind not in taken]
        if has["volume"]:
            found = {path.name: path.read_bytes() for path in Path(engine.volumes["kept"].path).iterdir()}
            lost += [] if found == KEPT else ["content of the volume"]
        return lost

    def damage(self) -> list[str]:
        """What of the images is not what it was."""
        store = self.engine.store
        return [found.text for look in (verify.images, verify.blobs, verify.layers) for found in look(store)]

    def parts(self) -> list[str]:
        """Files on their way. Who is killed leaves one, and the next who writes that file removes it."""
        return [str(path.relative_to(self.place)) for path in self.place.rglob("*.part")]

    def scraps(self) -> list[str]:
        """What is in the directory that nothing will ever use: work in progress, files without rows."""
        paths, engine = self.engine.paths, self.engine
        known = {record.id for record in engine.store.containers.list()}
        volumes = {volume.name for volume in engine.volumes}
        found = [*paths.tmp.iterdir(), *paths.secrets.iterdir()]
        found += [path for path in paths.containers.iterdir() if path.name not in known]
        found += [path for path in paths.volumes.iterdir() if path.name not in volumes]
        found += [path for path in (paths.run / "containers").iterdir() if path.name not in known]
        return [str(path.relative_to(self.place)) for path in found]
