"""A commit travels: what a container has done to its files is the same after push and pull."""

from __future__ import annotations

from pathlib import Path

from containerkit import Engine, Image
from tests import servers, trees
from tests.kernel.test_commit import CHANGES, base


def test_a_container_goes_on_elsewhere(
    registry: servers.Registry, engine: Engine, elsewhere: Engine, busybox_tar: Path, tmp_path: Path
) -> None:
    base(engine, busybox_tar, tmp_path)
    box = engine.run("base", ["sh", "-c", CHANGES], name="box")
    assert box.wait(timeout=60) == 0, box.logs()
    box.copy_in(trees.build(tmp_path / "everything"), "/everything", archive=True)
    expected = trees.of_container(box, tmp_path)
    made = box.commit(f"{registry.name}/team/committed:1", message="by a test", changes=["CMD cat /tmp/linked"])
    made.push()
    pulled = Image.pull(f"{registry.name}/team/committed:1", engine=elsewhere)
    assert (pulled.id, pulled.digest, pulled.history()) == (made.id, made.digest, made.history())
    assert trees.of_image(pulled, tmp_path) == expected
    following = pulled.create(name="following")
    assert trees.of_container(following, tmp_path) == expected
    assert pulled.call().stdout == "kept/inner"
    # And on: what is committed there stands on the same layers.
    following.path("/more").write_text("more")
    again = following.commit()
    assert again.layers[:-1] == made.layers and [str(change) for change in pulled.diff(again)] == ["A /more"]
