"""Images as a user has them: made, named, listed, inspected, removed; and programs of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.errors import InvalidArgument, InvalidState, NotFound
from containerkit.layers.hostprograms import HostFiles, find_program
from tests import trees


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with one file of 5 bytes, from 2023."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("hello")
    for path in (tmp_path / "tree/file", tmp_path / "tree"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return tmp_path / "tree"


def labelled(engine: Engine, tree: Path, label: str, tag: str | None = None) -> Image:
    return Image.import_(tree, tag=tag, changes=[f"LABEL is={label}"], engine=engine)


# -- get, list, tag, remove ------------------------------------------------------------------------------------------


def test_an_image_is_got_by_every_name_it_has(engine: Engine, tree: Path) -> None:
    image = Image.import_(tree, tag="one:1", engine=engine)
    for name in (
        "one:1",
        "library/one:1",
        "docker.io/library/one:1",
        image.id,
        image.id[7:],
        image.short_id,
        image.id[7:9],
    ):
        assert Image.get(name, engine=engine) == image
    assert hash(Image.get("one:1", engine=engine)) == hash(image)
    assert repr(image) == f"Image('one:1', sha256:{image.short_id})"


def test_an_absent_image_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match=r"^image busybox:1: not found locally$"):
        Image.get("busybox:1", engine=engine)
    for name in ("sha256:" + "0" * 64, "0" * 64, "abc", "sha256:ab"):
        with pytest.raises(NotFound, match="not found locally"):
            Image.get(name, engine=engine)
    with pytest.raises(InvalidArgument, match="did you mean busybox"):
        Image.get("BusyBox", engine=engine)


def test_an_ambiguous_beginning_of_an_id_is_refused(engine: Engine, tree: Path) -> None:
    ids = [labelled(engine, tree, str(number)).id for number in range(17)]
    first = next(id[7] for id in ids if sum(other[7] == id[7] for other in ids) > 1)
    with pytest.raises(NotFound, match="several ids begin like this"):
        Image.get(first, engine=engine)


def test_a_tag_names_one_image(engine: Engine, tree: Path) -> None:
    old = labelled(engine, tree, "old", tag="app")
    new = labelled(engine, tree, "new", tag="app")
    assert old != new and Image.get("app", engine=engine) == new
    assert (list(old.tags), list(new.tags)) == ([], ["app:latest"])
    assert new.tag("registry:5000/app:2") == new
    assert list(new.tags) == ["app:latest", "registry:5000/app:2"]
    with pytest.raises(InvalidArgument, match="cannot have a digest"):
        new.tag(f"app@{new.id}")


def test_force_takes_one_name_where_there_are_others(engine: Engine, tree: Path) -> None:
    image = labelled(engine, tree, "x", tag="app:1").tag("other:2")
    Image.get("app:1", engine=engine).remove(force=True)
    assert image.tags == ("other:2",)
    image.tag("third:3")
    Image.get(image.id, engine=engine).remove(force=True)
    assert len(engine.images) == 0
    with pytest.raises(InvalidArgument, match="image None: expected a reference"):
        image.diff(None)  # type: ignore[arg-type]  # wrong on purpose


def test_a_cell_that_is_run_again_makes_no_second_image(engine: Engine, tree: Path) -> None:
    first = Image.import_(tree, tag="app", changes=["CMD sh"], engine=engine)
    assert Image.import_(tree, tag="app", changes=["CMD sh"], engine=engine) == first
    assert len(engine.images) == 1


def test_images_are_listed_by_what_they_are(engine: Engine, tree: Path) -> None:
    one = labelled(engine, tree, "1", tag="app:1")
    two = labelled(engine, tree, "2", tag="app:2")
    other = labelled(engine, tree, "3", tag="quay.io/app:1")
    dangling = labelled(engine, tree, "4")
    assert Image.list(engine=engine) == [dangling, other, two, one]
    assert set(Image.list("app", engine=engine)) == {one, two}
    assert Image.list("app:2", engine=engine) == [two]
    assert Image.list("quay.io/app", engine=engine) == [other]
    assert Image.list(dangling=True, engine=engine) == [dangling]
    assert set(Image.list(dangling=False, engine=engine)) == {one, two, other}
    assert Image.list(labels={"is": "2"}, engine=engine) == [two]
    assert len(Image.list(labels={"is": ""}, engine=engine)) == 4
    assert Image.list(labels={"is": "2", "x": ""}, engine=engine) == []


def test_a_name_is_taken_away_and_the_image_with_its_last(engine: Engine, tree: Path) -> None:
    Image.import_(tree, tag="one", engine=engine).tag("two")
    Image.get("one", engine=engine).remove()
    with pytest.raises(NotFound):
        Image.get("one", engine=engine)
    two = Image.get("two", engine=engine)
    assert two.tags == ("two:latest",)
    two.remove()
    with pytest.raises(NotFound):
        two.remove()
    assert Image.list(engine=engine) == []


def test_an_image_with_several_names_is_not_removed_by_its_id(engine: Engine, tree: Path) -> None:
    id = Image.import_(tree, tag="one", engine=engine).tag("two").id
    with pytest.raises(InvalidState, match="several tags: one:latest, two:latest"):
        Image.get(id, engine=engine).remove()
    Image.get(id, engine=engine).remove(force=True)
    assert Image.list(engine=engine) == []


def test_an_image_that_a_container_uses_stays(engine: Engine, image: Image) -> None:
    container = engine.create("busybox", "sleep 100", name="user")
    with pytest.raises(InvalidState, match="container user uses it"):
        image.remove()
    container.start()
    for force in (False, True):
        with pytest.raises(InvalidState, match="container user is running from it"):
            image.remove(force=force)
    # One name more or less does not hurt it.
    image.tag("again")
    Image.get("again", engine=engine).remove()
    container.remove(force=True)
    image.remove()
    assert list(engine.paths.layers.glob("[0-9a-f]*")) == []


# -- what it says of itself ------------------------------------------------------------------------------------------


def test_an_image_tells_what_it_is(engine: Engine, tree: Path) -> None:
    changes = ['CMD ["sh"]', "ENV A=1", "LABEL a=b", "EXPOSE 80", "USER web", "WORKDIR /srv", "VOLUME /data"]
    image = Image.import_(tree, tag="app:1", changes=changes, engine=engine)
    assert image.created == datetime.fromtimestamp(1_700_000_000, timezone.utc)
    assert image.size == 5 and image.platform.startswith("linux/") and image.labels == {"a": "b"}
    assert image.config.cmd == ("sh",) and len(image.layers) == 1 and image.digest.startswith("sha256:")
    seen = image.inspect()
    assert seen["Id"] == image.id and seen["RepoTags"] == ["app:1"] and seen["Size"] == 5
    assert seen["RepoDigests"] == []  # no registry knows it
    assert seen["Created"] == "2023-11-14T22:13:20Z"
    assert seen["Config"]["Cmd"] == ["sh"] and seen["Config"]["Labels"] == {"a": "b"}
    assert seen["Config"]["ExposedPorts"] == {"80/tcp": {}} and seen["Config"]["Volumes"] == {"/data": {}}
    assert [item for item in seen["Config"]["Env"] if item.startswith("A=")] == ["A=1"]
    assert (seen["Config"]["User"], seen["Config"]["WorkingDir"]) == ("web", "/srv")
    assert seen["RootFS"] == {"Type": "layers", "Layers": list(image.layers)}
    (step,) = image.history()
    assert (step["created_by"], step["size"], step["empty_layer"]) == ("import", 5, False)


def test_wrong_arguments_are_refused_before_anything_is_done(engine: Engine, tree: Path) -> None:
    with pytest.raises(InvalidArgument, match="did you mean app"):
        Image.import_(tree, tag="App", engine=engine)
    with pytest.raises(InvalidArgument, match="unknown instruction"):
        Image.import_(tree, changes=["MAKE x"], engine=engine)
    with pytest.raises(NotFound, match="no such file"):
        Image.import_(tree / "absent", engine=engine)
    assert list(engine.paths.tmp.iterdir()) == list(engine.paths.blobs.iterdir()) == []


# -- programs of this machine ----------------------------------------------------------------------------------------


def test_programs_of_this_machine_run_in_a_container(engine: Engine) -> None:
    image = Image.from_host("sh", "ls", "cat", "id", tag="host", engine=engine)
    assert image.tags == ("host:latest",) and image.config.cmd == ("sh",)
    result = engine.call("host", ["sh", "-c", "ls / && cat /etc/passwd && id nobody"]).check()
    assert {"bin", "dev", "etc", "proc", "tmp", "usr"} <= set(result.stdout.splitlines())
    assert "root:x:0:0" in result.stdout and "uid=65534(nobody) gid=65534(nogroup)" in result.stdout


def test_python_comes_with_its_library(engine: Engine) -> None:
    Image.from_host("python3", tag="python", engine=engine)
    code = "import json, threading; t = threading.Thread(target=print, args=(json.dumps([1]),)); t.start(); t.join()"
    assert engine.call("python", ["python3", "-c", code], check=True).stdout == "[1]\n"


def test_a_script_comes_with_its_interpreter(engine: Engine, tmp_path: Path) -> None:
    for name, line in (("plain", "/bin/sh"), ("by-env", "/usr/bin/env -S sh -e")):
        script = tmp_path / name
        script.write_text(f"#!{line}\necho from a script\n")
        script.chmod(0o755)
        Image.from_host(str(script), tag=name, engine=engine)
        assert engine.call(name, check=True).stdout == "from a script\n"


def test_the_same_programs_are_the_same_image(engine: Engine, tmp_path: Path) -> None:
    first = Image.from_host("sh", "ls", engine=engine)
    elsewhere = Engine(tmp_path / "other", tmp_path / "other-run")
    assert Image.from_host("sh", "ls", tag="x", engine=elsewhere).id == first.id
    elsewhere.close()
    blob = engine.store.blobs.path(first._record.layers[0].digest)
    before = os.stat(blob).st_ino
    assert Image.from_host("sh", "ls", tag="again", engine=engine) == first and first.tags == ("again:latest",)
    assert os.stat(blob).st_ino == before  # not made a second time
    first.remove()
    assert Image.from_host("sh", "ls", engine=engine) == first
    assert Image.from_host("ls", "sh", engine=engine) != first


def test_a_changed_program_is_another_image(engine: Engine, tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/ls", program)
    first = Image.from_host(str(program), engine=engine)
    with program.open("ab") as file:
        file.write(b"x")
    assert Image.from_host(str(program), engine=engine) != first


def test_an_absent_program_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match=r"^from_host: program no-such-program: not found in PATH$"):
        Image.from_host("sh", "no-such-program", engine=engine)
    with pytest.raises(NotFound, match="/etc/passwd: no such executable file"):
        Image.from_host("/etc/passwd", engine=engine)
    for programs in ((), ("",)):
        with pytest.raises(InvalidArgument, match="^from_host: "):
            Image.from_host(*programs, engine=engine)
    assert Image.list(engine=engine) == []


def test_every_link_on_the_way_comes_along(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    shutil.copy("/bin/ls", tmp_path / "real/program")
    (tmp_path / "directory").symlink_to("real")
    (tmp_path / "first").symlink_to(tmp_path / "directory/second")
    (tmp_path / "real/second").symlink_to("../directory/program")
    files = HostFiles()
    files.add_program(str(tmp_path / "first"))
    below = {name[len(str(tmp_path)) + 1 :] for name in files.found if name.startswith(f"{tmp_path}/")}
    assert below == {"real", "real/program", "real/second", "directory", "first"}


def test_the_loader_agrees_on_the_libraries() -> None:
    """What is read from the files is what ld.so would load."""
    for name in ("ls", "python3", "tar", "ssh", "git", "perl"):
        if shutil.which(name) is None:
            continue
        path = os.path.realpath(find_program(name))
        out = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        expected = {os.path.realpath(line.split()[2]) for line in out.splitlines() if "=> /" in line}
        files = HostFiles()
        files.add_program(path)
        assert expected <= set(files.found), name


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        HostFiles().add(str(tmp_path / "a"))


def test_the_layer_of_programs_has_no_times_of_its_own(engine: Engine) -> None:
    """A directory's own time changes with its neighbours, which are not in the image."""
    image = Image.from_host("ls", engine=engine)
    (root,) = engine.store.layers.ensure(image._record.chain_ids, image._record.layers)
    facts = trees.facts(root)
    newest = max(fact[3] for fact in facts.values())  # type: ignore[type-var]  # numbers
    assert image.created.timestamp() == newest // 10**9  # type: ignore[operator]  # a number
    assert facts["usr/bin"][3] == max(facts[name][3] for name in facts if name.startswith("usr/bin/"))  # type: ignore[type-var]
