"""The operations, in a table: what is there before, what is done, and how to see that it is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import containerkit as ck
from tests import registry_stub, tars
from tests.faults.scene import KEPT, Scene

__all__ = ["BY_NAME", "OPERATIONS", "Operation", "Scene"]


@dataclass(frozen=True)
class Operation:
    """One of them.

    Args:
        work: what is hit; also what is done again afterwards, where ``is_done`` says that it has to be.
        is_done: whether its result is there; raises AssertionError where that is neither whole nor absent.
        prepare: what it needs, done before.
        forget: before it is done again when it failed half-way, as a user would who gets an error.
        takes: of what was there before, what it takes away.
        fails_whole: when it says that it failed, its result is not there.
    """

    name: str
    work: Callable[[Scene], object]
    is_done: Callable[[Scene], bool]
    prepare: Callable[[Scene], object] = lambda scene: None
    takes: frozenset[str] = frozenset()
    fails_whole: bool = False


def _running(scene: Scene) -> None:
    scene.engine.run("busybox", ["sh", "-c", "echo made >/made; sleep 60"], name="box", network="none",
                     stop_timeout=0, volumes=["/anonymous"])  # fmt: skip
    scene.box.exec(["sh", "-c", "while ! [ -s /made ]; do :; done"], check=True)


def _run(scene: Scene) -> None:
    scene.engine.run("busybox", "sleep 60", name="box", volumes=["new:/data"], ports={80: None}, stop_timeout=0)


def _runs(scene: Scene) -> bool:
    """Whether it is there; then it runs, or can be started."""
    if "box" not in scene.engine.containers:
        return False
    deadline = time.monotonic() + 60
    while True:
        try:
            if scene.box.status != "running":
                scene.box.start()
            assert scene.box.exec("echo well").stdout == "well\n"
            return True
        except ck.InvalidState:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # it was hit, and is about to end


def _is_there(scene: Scene) -> bool:
    """As :func:`_runs`, and it must be there."""
    assert _runs(scene)
    return True


def _exec(scene: Scene) -> None:
    assert scene.box.exec(["sh", "-c", "echo x >>/x; echo out"], check=True).stdout == "out\n"


def _can_exec(scene: Scene) -> bool:
    _is_there(scene)
    _exec(scene)
    return True


def _is_committed(scene: Scene) -> bool:
    _is_there(scene)
    return _has_image(scene, "committed", "cat /made", "made\n")


def _has_image(scene: Scene, name: str, command: str, output: str) -> bool:
    if name not in scene.engine.images:
        return False
    assert scene.engine.call(name, command, network="none", check=True).stdout == output
    return True


def _build(scene: Scene) -> None:
    scene.engine.build(scene.place / "tree", dockerfile=scene.place / "Dockerfile", tag="built", progress=False)


def _is_saved(scene: Scene) -> bool:
    if not (scene.place / "saved.tar.gz").exists():
        return False
    image = scene.engine.images["busybox"]
    assert [one.id for one in ck.Image.load(scene.place / "saved.tar.gz", progress=False, engine=scene.engine)] == [
        image.id
    ]
    return True


def layers() -> tuple[registry_stub.Layer, ...]:
    """Of the image that is pulled."""
    files = [(tars.info(name), os.urandom(40_000)) for name in ("lower", "upper")]
    return tuple([registry_stub.layer(tars.tar(file)) for file in files])


def _pull(scene: Scene) -> ck.Image:
    return scene.engine.pull((scene.place / "reference").read_text(), tls_verify=False, progress=False)


def _is_pulled(scene: Scene) -> bool:
    found = [image for image in scene.engine.images if "/app" in str(image.tags)]
    for image in found:
        container = scene.engine.create(image, "/none", name="looks")
        assert len(container.path("/lower").read_bytes()) == len(container.path("/upper").read_bytes()) == 40_000
        container.remove()
    return bool(found)


def _has_other(scene: Scene, name: str = "other") -> bool:
    if name not in scene.engine.images:
        return False
    container = scene.engine.create(name, "/none", name="looks")
    assert container.path("/below/two").read_text() == "below/two" * 5000
    container.remove()
    return True


def _load(scene: Scene) -> None:
    ck.Image.load(scene.place / "other.tar", progress=False, engine=scene.engine)


def _volume(scene: Scene) -> ck.Volume:
    return scene.engine.volumes["new"]


def _has_volume(scene: Scene) -> bool:
    if "new" not in scene.engine.volumes:
        return False
    with _volume(scene).mounted() as path:
        Path(path, "file").write_text("written")
    return True


def _sized(scene: Scene) -> None:
    ck.Volume.create("new", options={"size": "4m"}, exist_ok=True, engine=scene.engine)
    with _volume(scene).mounted():
        pass


def _make_volume(scene: Scene) -> None:
    ck.Volume.create("new", engine=scene.engine)


def _full_volume(scene: Scene) -> None:
    _make_volume(scene)
    _has_volume(scene)


def _is_removed(scene: Scene) -> bool:
    return "new" not in scene.engine.volumes


def _backup(scene: Scene) -> ck.Volume:
    return scene.engine.volumes["kept"]


def _is_backed_up(scene: Scene) -> bool:
    path = scene.place / "new.tar.zst"
    return path.exists() and ck.Backup.open(path).verify(progress=False).files == len(KEPT)


def _is_in_directory(scene: Scene) -> bool:
    if not (scene.place / "backups").exists():
        return False
    try:
        backups = ck.Backups(scene.place / "backups")
    except ck.NotFound:
        return False
    return all(one.files == len(KEPT) for one in backups.verify(progress=False)) and len(backups) > 0


def _has_copy(scene: Scene) -> bool:
    if "new" not in scene.engine.volumes:
        return False
    found = {path.name: path.read_bytes() for path in Path(_volume(scene).path).iterdir()}
    assert found == KEPT, f"the volume has {sorted(found)}"
    return True


def _two_backups(scene: Scene) -> None:
    for _ in range(2):
        _backup(scene).backup(f"{scene.place}/backups/", progress=False)


def _has_one_backup(scene: Scene) -> bool:
    backups = ck.Backups(scene.place / "backups").verify(progress=False)
    assert len(backups) in (1, 2)
    return len(backups) == 1


def _network(scene: Scene) -> ck.Network:
    return scene.engine.networks["new"]


def _make_network(scene: Scene) -> None:
    ck.Network.create("new", subnet="10.213.8.0/24", engine=scene.engine)


def _has_network(scene: Scene) -> bool:
    if "new" not in scene.engine.networks:
        return False
    scene.engine.call("busybox", "true", network="new", check=True)
    return True


def _unconnected(scene: Scene) -> None:
    _make_network(scene)
    scene.engine.run("busybox", "sleep 60", name="box", stop_timeout=0)


def _is_connected(scene: Scene) -> bool:
    _is_there(scene)
    is_member = "box" in [one.name for one in _network(scene).containers]
    assert ("10.213.8." in scene.box.exec("ip address").stdout) == is_member
    return is_member


def _much_to_prune(scene: Scene) -> None:
    for name in ("box", "ball"):
        scene.engine.run("busybox", "true", name=name, network="none", volumes=["/anonymous"]).wait()
    _make_network(scene)
    _load(scene)


def _is_pruned(scene: Scene) -> bool:
    engine = scene.engine
    return not engine.containers and not list(engine.images) and "new" not in engine.networks


OPERATIONS = (
    Operation("run", _run, _runs, fails_whole=True),
    Operation("create", lambda s: s.engine.create("busybox", "sleep 60", name="box", volumes=["/data"], stop_timeout=0),
              _runs),
    Operation("start", lambda s: s.box.start(), _is_there,
              lambda s: s.engine.create("busybox", "sleep 60", name="box", ports={80: None}, stop_timeout=0)),
    Operation("exec", _exec, _can_exec, _running),
    Operation("remove", lambda s: s.box.remove(force=True, volumes=True),
              lambda s: not _runs(s), _running),
    Operation("commit", lambda s: s.box.commit("committed"), _is_committed, _running),
    Operation("pull", _pull, _is_pulled),
    Operation("build", _build, lambda s: _has_image(s, "built", "cat /made", "made\n")),
    Operation("save", lambda s: s.engine.images["busybox"].save(s.place / "saved.tar.gz", progress=False), _is_saved),
    Operation("load", _load, _has_other),
    Operation("import", lambda s: ck.Image.import_(s.place / "tree", tag="new", engine=s.engine),
              lambda s: _has_other(s, "new")),
    Operation("tag", lambda s: s.engine.images["other"].tag("new"), lambda s: _has_other(s) and _has_other(s, "new"),
              _load),
    Operation("untag", lambda s: s.engine.images["other"].remove(), lambda s: not _has_other(s), _load),
    Operation("volume create", _make_volume, _has_volume),
    Operation("volume remove", lambda s: _volume(s).remove(), _is_removed, _full_volume),
    Operation("volume size", _sized, _has_volume),
    Operation("volume size remove", lambda s: _volume(s).remove(), _is_removed, _sized),
    Operation("backup file", lambda s: _backup(s).backup(s.place / "new.tar.zst", progress=False), _is_backed_up),
    Operation("backup directory", lambda s: _backup(s).backup(f"{s.place}/backups/", progress=False), _is_in_directory),
    Operation("restore", lambda s: ck.Volume.restore(s.place / "backup.tar", "new", progress=False, engine=s.engine),
              _has_copy),
    Operation("clone", lambda s: _backup(s).clone("new", progress=False), _has_copy),
    Operation("backups prune", lambda s: ck.Backups(s.place / "backups").prune(keep_last=1), _has_one_backup,
              _two_backups),
    Operation("network create", _make_network, _has_network),
    Operation("network connect", lambda s: _network(s).connect("box"), _is_connected, _unconnected),
    Operation("network remove", lambda s: _network(s).remove(), lambda s: not _has_network(s), _make_network),
    Operation("prune", lambda s: s.engine.prune(all=True, volumes=True), _is_pruned, _much_to_prune,
              frozenset({"container", "image", "network"})),
)  # fmt: skip
BY_NAME = {one.name: one for one in OPERATIONS}
