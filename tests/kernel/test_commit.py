"""Containers become images: whatever they have done to their files is in the next container, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image
from containerkit.layers import writable
from containerkit.store.store import Store
from tests import trees
from tests.waiting import eventually

ODD = (b"new\nline", b"n" * 255, b"not-utf8-\xff\xfe", b" ", b"-rf")
#: Everything that a container can do to files which an image has.
CHANGES = """
cd /
echo more >>/etc/passwd; rm /etc/group
rm -r /emptied; mkdir /emptied; touch /emptied/new
rm -r /gone; rm /file; mkdir /file; touch /file/inside; rm -r /directory; ln -s etc /directory
chmod 700 /kept; chown 33:44 /kept; touch -d 2001-01-01 /kept/inner
ln /kept/inner /linked; ln /linked /tmp/linked; ln -s /nowhere /dangling; ln /dangling /dangling-too
mkdir -p /deep/er/still; echo x >/deep/er/still/file; mkfifo /fifo; mknod /null c 1 3
dd if=/dev/zero of=/sparse bs=1 count=1 seek=3000000 2>/dev/null; chmod 1777 /deep; chmod 4755 /linked
rm -rf /odd/*; rm -r /renewed; mkdir /renewed; chmod 711 /
"""


def base(engine: Engine, busybox_tar: Path, tmp_path: Path) -> Image:
    """An image whose files have everything to change in it."""
    root = tmp_path / "base"
    subprocess.run(["mkdir", root], check=True)
    subprocess.run(["tar", "-xf", busybox_tar, "-C", root], check=True)
    for name in ("emptied/old", "gone/deep/file", "file", "directory/inner", "kept/inner", "renewed/old/file"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "odd").mkdir()
    for odd in ODD:
        Path(os.fsdecode(os.fsencode(root / "odd") + b"/" + odd)).write_text("x")
    return Image.import_(root, tag="base", engine=engine)


def run_to_the_end(engine: Engine, script: str, **options: object) -> Container:
    container = engine.run("base", ["sh", "-c", script], name="box", **options)  # type: ignore[arg-type]
    assert container.wait(timeout=60) == 0, container.logs()
    return container


def members(image: Image) -> dict[str, tuple[str, ...]]:
    """By name, what tar tells of each entry of the uppermost layer."""
    blob = image.engine.store.blobs.path(image._record.layers[-1].digest)
    words = ["tar", "--zstd", "--numeric-owner", "-tvf", blob]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    return {words[5]: tuple(words[:5]) for words in (line.split(None, 5) for line in lines)}


def layer_facts(engine: Engine, chain_id: str) -> trees.Facts:
    """What is in the layer's directory; of a whiteout, that it is one."""
    found = trees.facts(engine.store.layers.path(chain_id))
    return {name: fact if fact[0] != "0o20000" else ("whiteout",) for name, fact in found.items()}


# -- what is in it ---------------------------------------------------------------------------------------------------


def test_a_commit_is_an_image_of_what_the_container_has_done(engine: Engine, image: Image) -> None:
    before = time.time()
    with engine.run("busybox", ["sh", "-c", "echo mine >/made; exec sleep 60"], name="box") as box:
        box.wait_for(ck.until.file("/made"))
        made = box.commit(
            "app:1", message="with a file", author="Ada <ada@example.com>", changes=["CMD cat /made", "ENV A=1"]
        )
    assert made == Image.get("app:1", engine=engine) and made.tags == ("app:1",)
    assert engine.call("app:1").stdout == "mine\n" and engine.call("app:1", ["sh", "-c", "echo $A"]).stdout == "1\n"
    assert made.layers[:-1] == image.layers and made.platform == image.platform
    assert set(members(made)) == {"./", "made"}
    assert int(before) <= made.created.timestamp() <= time.time()
    last, *earlier = made.history()
    assert earlier == image.history()
    told = {key: last[key] for key in ("created_by", "author", "comment", "empty_layer", "size", "created")}
    assert told == {
        "created_by": "sh -c echo mine >/made; exec sleep 60", "author": "Ada <ada@example.com>",
        "comment": "with a file", "empty_layer": False, "size": 5, "created": made.created,
    }  # fmt: skip
    assert (made.inspect()["Author"], made.inspect()["Comment"]) == ("Ada <ada@example.com>", "with a file")
    (event,) = engine.events(filters={"event": "commit", "type": "container"})
    assert (event.name, event.attributes["imageID"], event.attributes["imageRef"]) == ("box", made.id, "app:1")
    assert event.attributes["comment"] == "with a file" and event.attributes["image"] == "busybox"


@pytest.mark.parametrize("state", ["exited", "running", "paused"])
def test_the_next_container_has_the_same_files(engine: Engine, busybox_tar: Path, tmp_path: Path, state: str) -> None:
    base(engine, busybox_tar, tmp_path)
    script = CHANGES if state == "exited" else f"{CHANGES}touch /ready; exec sleep 60"
    box = engine.run("base", ["sh", "-c", script], name="box", stop_timeout=0)
    if state == "exited":
        assert box.wait(timeout=60) == 0, box.logs()
    else:
        box.wait_for(ck.until.file("/ready"), timeout=60)
    box.copy_in(trees.build(tmp_path / "everything"), "/everything", archive=True)
    if state == "paused":
        box.pause()
    made = box.commit("app")
    assert box.status == state
    expected = trees.of_container(box, tmp_path)
    assert trees.of_image(made, tmp_path) == expected
    following = made.create("true")
    assert trees.of_container(following, tmp_path) == expected
    # Every kind of thing is in the comparison.
    assert {expected[name][-1] for name in ("linked", "tmp/linked", "kept/inner")} == {"linked"}
    assert expected["."][0] == "0o40711" and expected["linked"][0] == "0o104755"
    assert "odd" in expected and not [name for name in expected if name.startswith(("odd/", "gone", "emptied/old"))]
    attributes = expected["everything/setuid"][5]
    assert isinstance(attributes, dict) and "security.capability" in attributes
    # What was unpacked while it was packed is what the layer's blob has.
    top = made._record.chain_ids[-1]
    unpacked = layer_facts(engine, top)
    engine.store.layers.remove(top)
    engine.store.layers.ensure(made._record.chain_ids, made._record.layers)
    assert layer_facts(engine, top) == unpacked
    # It runs, and what it deletes of a committed layer is gone as well.
    assert made.call(["sh", "-c", "rm /linked; ls -A /deep/er/still; cat /tmp/linked"]).stdout == "file\nkept/inner"


def test_a_container_that_never_ran_is_committed_with_what_was_put_into_it(engine: Engine, image: Image) -> None:
    box = engine.create("busybox", "true", name="box")
    box.path("/etc/motd").write_text("hello\n")
    made = box.commit("app")
    assert box.status == "created" and set(members(made)) == {"./", "etc/", "etc/motd"}
    assert engine.call("app", "cat /etc/motd").stdout == "hello\n"


def test_nothing_changed_is_a_layer_too(engine: Engine, image: Image) -> None:
    made = engine.create("busybox", "true", name="box").commit()
    assert made.tags == () and made != image and len(made.layers) == len(image.layers) + 1
    assert set(members(made)) == {"./"} and made.call(["cat", "/etc/group"]).stdout.startswith("root:")


def test_commits_on_commits(engine: Engine, image: Image, tmp_path: Path) -> None:
    for number in range(5):
        tag = "busybox" if number == 0 else f"app:{number}"
        script = f"echo {number} >/number; touch /f{number}; rm -f /f{number - 2}; ls /d || mkdir /d; touch /d/{number}"
        box = engine.run(tag, ["sh", "-c", script])
        box.wait(timeout=60)
        box.commit(f"app:{number + 1}")
        box.remove()
    last = Image.get("app:5", engine=engine)
    assert len(last.history()) == len(last.layers) == 6
    assert (
        last.call(["sh", "-c", "cat /number; echo /f*; echo /d/*"]).stdout == "4\n/f3 /f4\n/d/0 /d/1 /d/2 /d/3 /d/4\n"
    )
    # Each keeps its layers, whatever becomes of those that it was made from.
    for tag in ("busybox", "app:1", "app:2", "app:3", "app:4"):
        Image.get(tag, engine=engine).remove()
    assert last.call("cat /number").stdout == "4\n"
    last.remove()
    assert list(engine.paths.blobs.iterdir()) == list(engine.paths.layers.glob("[0-9a-f]*")) == []


def test_places_for_mounts_are_not_in_it(engine: Engine, busybox_tar: Path, tmp_path: Path) -> None:
    """The runtime makes them; what a container has made of one comes along."""
    root = tmp_path / "root-of-image"
    root.mkdir()
    subprocess.run(["tar", "-xf", busybox_tar, "-C", root, "--exclude=proc", "--exclude=sys"], check=True)
    (root / "var/run").symlink_to("/run")
    Image.import_(root, tag="base", engine=engine)
    options = {"tmpfs": dict.fromkeys(("/data/x/y", "/var/run/lock", "/mnt/a", "/new/place", "/etc/inner/place"), "")}
    box = run_to_the_end(engine, "touch /mine /data/x/y/unseen", **options)
    assert set(members(box.commit("plain"))) == {"./", "mine"}
    assert [str(change) for change in box.diff()] == ["A /mine"]
    assert trees.of_image(Image.get("plain", engine=engine), tmp_path).keys() == {
        *trees.of_image(Image.get("base", engine=engine), tmp_path), "mine",
    }  # fmt: skip
    # It runs with the same mounts again.
    assert engine.call("plain", "ls /data/x", **options).stdout == "y\n"  # type: ignore[arg-type]
    box.path("/data/x/y/file").write_text("below the mount")
    box.path("/new").chmod(0o700)
    assert set(members(box.commit())) == {
        "./", "mine", "data/", "data/x/", "data/x/y/", "data/x/y/file", "new/",
    }  # fmt: skip


def test_owners_are_those_the_container_knows(engine: Engine, image: Image, tmp_path: Path) -> None:
    script = "touch /made; mkdir /hers; chown 33:44 /hers; rm -r /root; mkdir /root; rm /etc/group"
    box = engine.run("busybox", ["sh", "-c", script], userns="remap", name="box", tmpfs=["/a/place"])
    assert box.wait(timeout=60) == 0
    made = box.commit("app")
    assert members(made)["hers/"][1] == "33/44" and members(made)["made"][1] == "0/0"
    assert "a/" not in members(made) and "root/.wh..wh..opq" in members(made)
    for users in ("host", "remap"):
        result = engine.call("app", ["sh", "-c", "stat -c %u:%g /hers /made; ls /etc"], userns=users)
        assert result.stdout.split() == ["33:44", "0:0", "hostname", "hosts", "passwd", "resolv.conf"]


def test_names_that_are_deletions_are_refused(engine: Engine, image: Image) -> None:
    box = engine.run("busybox", ["sh", "-c", "mkdir /d; touch /d/.wh.passwd; exec sleep 60"], name="box")
    box.wait_for(ck.until.file("/d/.wh.passwd"))
    before = sorted(engine.paths.blobs.iterdir())
    with pytest.raises(ck.InvalidArgument, match=r"^container box: commit: file d/\.wh\.passwd: .* is a deletion$"):
        box.commit("app")
    assert box.status == "running" and "app" not in engine.images
    assert list(engine.paths.tmp.iterdir()) == [] and sorted(engine.paths.blobs.iterdir()) == before
    box.exec("rm /d/.wh.passwd", check=True)
    assert "d/" in members(box.commit("app"))


def test_wrong_arguments_are_refused_before_anything_is_done(engine: Engine, image: Image) -> None:
    box = engine.run("busybox", "sleep 60", name="box")
    for arguments in ({"tag": "App"}, {"changes": ["MAKE x"]}, {"changes": ["RUN true"]}):
        with pytest.raises(ck.InvalidArgument):
            box.commit(**arguments)
    assert [event.action for event in engine.events(filters={"container": "box"})] == ["create", "start"]


def test_large_files_take_no_memory(engine: Engine, image: Image) -> None:
    script = "dd if=/dev/zero of=/sparse bs=1 count=1 seek=400M; head -c 100000000 /dev/urandom >/noise"
    box = engine.run("busybox", ["sh", "-c", script], name="box")
    box.wait(timeout=60)
    code = """
import resource, sys, containerkit as ck
engine = ck.Engine(sys.argv[1], sys.argv[2])
list(engine.images)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
made = engine.containers["box"].commit("large")
print(made.size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    words = [sys.executable, "-c", code, str(engine.paths.root), str(engine.paths.run)]
    root = Path(__file__).parents[2]
    size, grown = subprocess.run(words, check=True, capture_output=True, text=True, cwd=root).stdout.split()
    assert int(size) > 500_000_000 and int(grown) < 60_000
    sums = "sha256sum /noise; wc -c </sparse"
    assert engine.call("large", ["sh", "-c", sums]).stdout.split()[2:] == [str(400 * 1024 * 1024 + 1)]


# -- what the container notices --------------------------------------------------------------------------------------


def told(engine: Engine) -> list[str]:
    return [event.action for event in engine.events(filters={"container": "box"})][2:]


def test_it_stands_still_meanwhile(engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    add = writable.add_upper

    def watched(*arguments: object) -> None:
        seen.append(box.status)
        add(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(writable, "add_upper", watched)
    box = engine.run("busybox", "sleep 60", name="box")
    box.commit()
    box.commit(pause=False)
    box.pause().commit()
    assert seen == ["paused", "running", "paused"]
    assert box.status == "paused" and told(engine) == ["pause", "unpause", "commit", "commit", "pause", "commit"]


def test_it_goes_on_when_the_commit_fails(engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [(OSError(28, "full"), ck.StorageError), (ck.InvalidState("no"), ck.InvalidState)]

    def fails(*_: object) -> None:
        raise problems[-1][0]

    monkeypatch.setattr(writable, "add_upper", fails)
    box = engine.run("busybox", "sleep 60", name="box")
    for _ in range(2):
        with pytest.raises(problems[-1][1]):
            box.commit("app")
        problems.pop()
        assert box.status == "running" and box.exec("true") and list(engine.paths.tmp.iterdir()) == []
    assert "app" not in engine.images and "commit" not in told(engine)


@pytest.mark.parametrize("moment", ["reading", "placing"])
def test_a_killed_commit_leaves_nothing(engine: Engine, image: Image, moment: str) -> None:
    box = engine.run("busybox", ["sh", "-c", "touch /made; exec sleep 60"], name="box")
    box.wait_for(ck.until.file("/made"))
    before = sorted(engine.paths.blobs.iterdir())
    code = f"""
import sys, time, containerkit as ck
from containerkit.layers import writable
from containerkit.store import layers
def stay(*_):
    print("there", flush=True)
    time.sleep(60)
if {moment!r} == "reading": writable.add_upper = stay
else: layers.syncfs = stay
ck.Engine(sys.argv[1], sys.argv[2]).containers["box"].commit("app")
"""
    words = [sys.executable, "-c", code, str(engine.paths.root), str(engine.paths.run)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None and process.stdout.readline() == "there\n"
        assert box.status == ("paused" if moment == "reading" else "running")
        process.kill()
    assert eventually(lambda: box.status == "running") and box.exec("true") and "app" not in engine.images
    assert "made" in members(box.commit("app"))
    assert list(engine.paths.tmp.iterdir()) == [] and len(list(engine.paths.blobs.iterdir())) == len(before) + 3


def test_several_commits_at_once(engine: Engine, image: Image) -> None:
    box = engine.run("busybox", ["sh", "-c", "head -c 3000000 /dev/urandom >/made; exec sleep 60"], name="box")
    box.wait_for(ck.until.exec(["sh", "-c", "[ $(stat -c %s /made) = 3000000 ]"]))
    made: list[Image] = []
    threads = [threading.Thread(target=lambda: made.append(box.commit())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6 and len({one.layers for one in made}) == 1
    assert box.status == "running" and told(engine).count("pause") == told(engine).count("unpause")


def test_a_container_that_is_removed_meanwhile_is_no_image(
    engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was read, some may have been gone already."""

    def removed(*_: object) -> None:
        Container.get("box", engine=engine).remove(force=True)

    monkeypatch.setattr(writable, "add_upper", removed)
    for options in ({}, {"remove": True}):
        box = engine.run("busybox", "sleep 60", name="box", **options)  # type: ignore[arg-type]
        for pause in (True, False):
            with pytest.raises(ck.NotFound, match="container box: not found"):
                box.commit("app", pause=pause)
    assert "app" not in engine.images and list(engine.paths.tmp.iterdir()) == []


def test_nobody_starts_or_removes_it_meanwhile(engine: Engine, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    box = engine.create("busybox", "true", name="box")
    add = writable.add_upper

    def intruded(*arguments: object) -> None:
        for act in (box.start, box.remove):
            with pytest.raises(ck.InvalidState):
                act()
        add(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(writable, "add_upper", intruded)
    assert box.commit("app").tags == ("app:latest",)
    box.start()


def test_a_history_that_says_too_little_is_filled_up(engine: Engine, image: Image) -> None:
    """Other tools make images without one: each step is told of its own layer."""
    from dataclasses import replace

    store: Store = engine.store
    record = image._record
    with store.ingest() as ingest:
        store.add_image(replace(record.config, history=()), record.layers, ingest, "bare")
    box = engine.create("bare", "true", name="box")
    box.path("/five").write_text("bytes")
    assert [step["size"] for step in box.commit().history()] == [5, image.size]


def test_what_the_container_was_given_its_image_s_containers_get(engine: Engine, image: Image) -> None:
    script = ["sh", "-c", "echo $WHO in $(pwd) as $(id -un)"]
    made = engine.create(
        "busybox", script, env={"WHO": "web"}, user="web", workdir="/var/www", labels={"tier": "front"}
    ).start()
    made.wait()
    first = made.commit("first")
    assert first.call().stdout == made.logs() == "web in /var/www as web\n" and first.labels == {"tier": "front"}
    # What is asked for wins; another entry point has no use for the arguments of the old one.
    assert made.commit("second", changes=["ENV WHO=other"]).call().stdout == "other in /var/www as web\n"
    other = engine.create("first", entrypoint=["cat", "/etc/group"])
    assert other.commit("third").config.cmd is None and engine.call("third").stdout.startswith("root:")
