"""Volumes: how containers get them, share them, and what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import containerkit as ck
from containerkit import Engine, Image, Mount, Volume


def sh(text: str) -> list[str]:
    return ["sh", "-c", text]


@pytest.fixture
def stocked(engine: Engine, image: Image) -> Image:
    """An image with files of their own owners at /stock, which is a volume of it."""
    made = engine.create("busybox", sh(
        "mkdir -p /stock/deep; echo one > /stock/a; echo two > /stock/deep/b; ln -s a /stock/l; ln /stock/a /stock/h;"
        "chown 12:13 /stock/a /stock/deep; chmod 4750 /stock/a; chmod 1770 /stock"
    ))  # fmt: skip
    made.start().wait()
    stocked = made.commit("stocked", changes=["VOLUME /stock"])
    made.remove()
    return stocked


# -- the seed's ways -------------------------------------------------------------------------------------------------


def test_an_anonymous_volume_keeps_what_is_written(engine: Engine, image: Image) -> None:
    container = engine.create("busybox", sh("cat /data/f; echo more >> /data/f"), volumes=["/data"])
    container.start().wait()
    container.start().wait()
    assert container.logs() == "cat: can't open '/data/f': No such file or directory\nmore\n"
    (mount,) = container.mounts
    volume = Volume.get(mount.source, engine=engine)
    assert (mount.target, volume.is_anonymous, len(volume.name)) == ("/data", True, 64)
    assert Path(volume.path, "f").read_text() == "more\nmore\n"


def test_a_named_volume_is_made_and_shared(engine: Engine, image: Image) -> None:
    engine.call("busybox", sh("echo hello > /data/f"), volumes=["site:/data"], check=True)
    assert engine.call("busybox", "cat /other/f", volumes={"site": "/other"}).stdout == "hello\n"
    assert [volume.name for volume in engine.volumes] == ["site"]


def test_changes_are_seen_at_once(engine: Engine, image: Image) -> None:
    options: Any = {"volumes": ["site:/data"]}
    with engine.run("busybox", "sleep 60", **options) as one, engine.run("busybox", "sleep 60", **options) as two:
        one.exec(sh("echo 1 > /data/f"), check=True)
        assert two.exec("cat /data/f").stdout == "1\n"


def test_a_directory_of_this_machine(engine: Engine, image: Image, tmp_path: Path) -> None:
    host = tmp_path / "not there yet"
    engine.call("busybox", sh("echo hi > /h/f"), volumes=[f"{host}:/h"], check=True)
    assert (host / "f").read_text() == "hi\n"


def test_a_file_of_this_machine(engine: Engine, image: Image, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("here")
    assert engine.call("busybox", "cat /etc/motd", volumes=[f"{tmp_path}/f:/etc/motd"]).stdout == "here"


def test_a_typed_bind_has_to_be_there(engine: Engine, image: Image, tmp_path: Path) -> None:
    with pytest.raises(ck.RuntimeFailure, match="mount /x: .*absent: no such file") as caught:
        engine.run("busybox", "true", name="web", mounts=[Mount("/x", f"{tmp_path}/absent", "bind")], volumes=["/y"])
    assert caught.value.exit_code == 125
    assert len(engine.containers) == len(engine.volumes) == 0


def test_a_volume_of_the_image_takes_its_files(engine: Engine, stocked: Image) -> None:
    told = "stat -c '%n %u:%g %a %h' /stock /stock/a /stock/deep /stock/deep/b; readlink /stock/l"
    found = engine.call("stocked", sh(told), volumes=["named:/stock"], check=True).stdout
    assert found.splitlines() == [
        "/stock 0:0 1770 3", "/stock/a 12:13 4750 2", "/stock/deep 12:13 755 2", "/stock/deep/b 0:0 644 1", "a",
    ]  # fmt: skip


def test_the_image_stays_as_it_was(engine: Engine, stocked: Image) -> None:
    engine.call("stocked", sh("rm /stock/a"), volumes=["named:/stock"], check=True)
    assert "a" in engine.call("stocked", "ls /stock").stdout.split()
    assert "a" not in engine.call("stocked", "ls /stock", volumes=["named:/stock"]).stdout.split()


def test_only_an_empty_volume_is_filled(engine: Engine, stocked: Image) -> None:
    Path(Volume.create("named", engine=engine).path, "mine").touch()
    assert engine.call("stocked", "ls /stock", volumes=["named:/stock"]).stdout == "mine\n"
    assert engine.call("stocked", "ls /stock", volumes=["empty:/stock:nocopy"]).stdout == ""


def test_a_volume_that_was_emptied_stays_so_for_the_same_container(engine: Engine, stocked: Image) -> None:
    container = engine.create("stocked", sh("ls -A /stock; rm -rf /stock/*"), volumes=["named:/stock"])
    container.start().wait()
    container.start().wait()
    assert container.logs().split() == ["a", "deep", "h", "l"]


def test_two_that_are_made_together_fill_a_volume_once(engine: Engine, stocked: Image) -> None:
    found: list[str] = []

    def run() -> None:
        found.append(engine.call("stocked", sh("ls -A /stock | tr '\\n' ' '"), volumes=["named:/stock"]).stdout)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["a deep h l "] * 6


FILLING = """
import sys
from containerkit import Engine
engine = Engine(sys.argv[1], sys.argv[2])
print("ready", flush=True)
engine.create("many", "true", volumes=["v:/many"])
"""


def test_a_volume_is_filled_whole_or_not_at_all(engine: Engine, image: Image) -> None:
    made = engine.create("busybox", sh("mkdir /many; for i in $(seq 1500); do echo $i > /many/$i; done"))
    made.start().wait()
    made.commit("many")
    made.remove()
    cut = 0
    for attempt in range(8):
        words = [sys.executable, "-c", FILLING, str(engine.paths.root), str(engine.paths.run)]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert child.stdout is not None and child.stdout.readline()
        try:
            child.wait(timeout=0.05 + attempt * 0.03)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            cut += 1
        child.stdout.close()
        names = engine.call("many", sh("ls /many | wc -l"), volumes=["v:/many"]).stdout
        assert names == "1500\n"
        for container in engine.containers:
            container.remove()
        engine.volumes["v"].remove()
    assert cut, "no attempt was early enough to be cut off"


# -- what may be done with them --------------------------------------------------------------------------------------


def test_read_only(engine: Engine, image: Image, tmp_path: Path) -> None:
    for source in ("site", str(tmp_path)):
        found = engine.call("busybox", "touch /data/f", volumes=[f"{source}:/data:ro"])
        assert "Read-only file system" in found.stderr


def test_what_is_mounted_below_a_bind_is_read_only_too(engine: Engine, image: Image, tmp_path: Path) -> None:
    (tmp_path / "h" / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "h" / "below"], check=True)
    try:
        found = engine.call("busybox", "touch /h/below/f", volumes=[f"{tmp_path}/h:/h:ro"])
    finally:
        subprocess.run(["umount", tmp_path / "h" / "below"], check=True)
    assert "Read-only file system" in found.stderr


def test_flags(engine: Engine, image: Image, tmp_path: Path) -> None:
    found = engine.call("busybox", sh("cp /bin/busybox /data/x; /data/x true"), volumes=["site:/data:noexec"])
    assert (found.exit_code, "Permission denied" in found.stderr) == (126, True)


def test_files_are_given_to_the_user(engine: Engine, image: Image, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "f").touch()
    engine.call("busybox", "touch /h/deep/mine", volumes=[f"{tmp_path}:/h:U"], user="1234:99", check=True)
    assert {(s.st_uid, s.st_gid) for s in map(os.stat, (tmp_path, tmp_path / "deep", tmp_path / "deep/f"))} == {
        (1234, 99)
    }


def test_a_link_to_files_of_this_machine_is_given_to_the_user(engine: Engine, image: Image, tmp_path: Path) -> None:
    place, link = tmp_path / "place", tmp_path / "link"
    (place / "deep").mkdir(parents=True)
    link.symlink_to("place")
    (place / "inner").symlink_to("deep")
    engine.call("busybox", "touch /h/mine", volumes=[f"{link}:/h:U"], user="1234:99", check=True)
    assert {path.lstat().st_uid for path in (place, *place.iterdir())} == {1234} and link.lstat().st_uid == 0


def test_of_a_part_only_the_part_is_given_to_the_user(engine: Engine, image: Image) -> None:
    engine.call("busybox", sh("mkdir -p /v/a/b /v/c; touch /v/a/b/f; ln -s /../a/b /v/in"), volumes=["v:/v"],
                check=True)  # fmt: skip
    told = sh("stat -c %u:%g /v /v/a /v/c /v/in /v/a/b /v/a/b/f")
    for part in ("in", "a/b/f"):
        mounts = [Mount("/part", "v", subpath=part, chown=True)]
        user = "1234:99" if part == "in" else "1235:98"
        engine.call("busybox", "touch /part", mounts=mounts, user=user, check=True)
        found = engine.call("busybox", told, volumes=["v:/v"]).stdout.split()
        assert found == [*["0:0"] * 4, "1234:99", user]
    with pytest.raises(ck.RuntimeFailure, match="mount /part: absent: no such file"):
        engine.create("busybox", "true", mounts=[Mount("/part", "v", subpath="absent", chown=True)])


@pytest.mark.parametrize(("propagation", "travels_in", "travels_out"), [
    ("rprivate", False, False), ("rslave", True, False), ("rshared", True, True),
])  # fmt: skip
def test_propagation(
    engine: Engine, image: Image, tmp_path: Path, propagation: str, travels_in: bool, travels_out: bool
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", shared], check=True)
    try:
        subprocess.run(["mount", "--make-shared", shared], check=True)
        (shared / "one").mkdir()
        (shared / "two").mkdir()
        volumes = [f"{shared}:/s:{propagation}"]
        with engine.run("busybox", "sleep 60", volumes=volumes, cap_add=["SYS_ADMIN"], privileged=True) as container:
            subprocess.run(["mount", "-t", "tmpfs", "none", shared / "one"], check=True)
            (shared / "one" / "f").touch()
            assert container.path("/s/one/f").exists() is travels_in
            container.exec(sh("mount -t tmpfs none /s/two && touch /s/two/g"), check=True)
            assert (shared / "two" / "g").exists() is travels_out
    finally:
        subprocess.run(["umount", "--recursive", shared], check=True)


def test_a_part_of_a_volume(engine: Engine, image: Image) -> None:
    engine.call("busybox", sh("mkdir -p /v/a/b; echo x > /v/a/b/f; ln -s / /v/out; ln -s a/b /v/in"),
                volumes=["v:/v"], check=True)  # fmt: skip
    for part in ("a/b", "in"):
        found = engine.call("busybox", "ls /part", mounts=[Mount("/part", "v", subpath=part)], check=True)
        assert found.stdout == "f\n"
    # The way out ends at the volume's own root.
    found = engine.call("busybox", "ls /part", mounts=[Mount("/part", "v", subpath="out")], check=True)
    assert found.stdout.split() == ["a", "in", "out"]
    with pytest.raises(ck.RuntimeFailure, match="/part"):
        engine.run("busybox", "true", mounts=[Mount("/part", "v", subpath="absent")])


def test_memory(engine: Engine, image: Image) -> None:
    mount = Mount("/t", type="tmpfs", size="1m", mode=0o700)
    found = engine.call(
        "busybox", sh("stat -c %a /t; head -c 2000000 /dev/zero > /t/f; stat -c %s /t/f"), mounts=[mount]
    )
    assert found.stdout == "700\n1048576\n"


def test_an_image_as_a_volume(engine: Engine, stocked: Image) -> None:
    mounts = [Mount("/whole", "stocked", "image"), Mount("/part", "stocked", "image", subpath="stock/deep")]
    found = engine.call("busybox", sh("ls /whole/stock; cat /part/b; touch /part/x"), mounts=mounts)
    assert found.stdout == "a\ndeep\nh\nl\ntwo\n"
    assert "Read-only file system" in found.stderr


def test_an_image_that_is_mounted_is_in_use(engine: Engine, stocked: Image) -> None:
    holder = engine.create("busybox", "true", mounts=[Mount("/i", "stocked", "image")], name="holder")
    with pytest.raises(ck.InvalidState, match="holder"):
        stocked.remove()
    assert engine.prune(all=True).images == ("busybox", "stocked") or "stocked" not in engine.images
    assert holder is not None


def test_those_above_are_mounted_before_those_below(engine: Engine, image: Image) -> None:
    told = "ls -d /a/b/c; echo 1 > /a/b/c/f; mount | grep -c ' /a'"
    found = engine.call("busybox", sh(told), tmpfs=["/a/b"], volumes=["x:/a/b/c", "y:/a"])
    assert found.stdout == "/a/b/c\n3\n"
    assert Path(engine.volumes["x"].path, "f").exists()


def test_the_callers_mount_takes_the_place_of_ours(engine: Engine, image: Image, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("1.2.3.4 mine\n")
    found = engine.call("busybox", sh("cat /etc/hosts; touch /dev/shm/f"), volumes=[f"{tmp_path}/hosts:/etc/hosts",
                                                                                    "shm:/dev/shm"])  # fmt: skip
    assert found.stdout == "1.2.3.4 mine\n"
    assert os.listdir(engine.volumes["shm"].path) == ["f"]


@pytest.mark.parametrize("link", ["/etc", "../../../../etc", "/bin/../../etc"])
def test_a_target_that_is_a_link_stays_inside(engine: Engine, image: Image, link: str) -> None:
    made = engine.create("busybox", sh(f"mkdir -p /etc; ln -s {link} /trap"))
    made.start().wait()
    made.commit("trap")
    made.remove()
    before = os.listdir("/etc")
    engine.call("trap", sh("echo here > /trap/from-the-container"), volumes=["v:/trap"], check=True)
    assert "from-the-container" in os.listdir(engine.volumes["v"].path)
    assert os.listdir("/etc") == before


# -- of other containers ---------------------------------------------------------------------------------------------


def test_volumes_from_others(engine: Engine, image: Image, tmp_path: Path) -> None:
    engine.create("busybox", "true", name="db", volumes=["site:/data", "/anonymous", f"{tmp_path}:/host"])
    engine.create("busybox", "true", name="chain", volumes_from="db:ro", volumes=["more:/more"])
    told = "touch /data/f /host/f /anonymous/f; touch /more/f && echo more"
    assert engine.call("busybox", sh(told), volumes_from=["db"]).stderr.count("/more/f") == 1
    found = engine.call("busybox", sh(told), volumes_from=["chain"])
    assert (found.stdout, found.stderr.count("Read-only file system")) == ("more\n", 3)
    both = engine.create("busybox", "true", volumes_from=["db", "chain"], volumes=["own:/data"])
    sources = {mount.target: mount.source for mount in both.mounts}
    assert sources["/data"] == "own" and sources["/more"] == "more" and set(sources) == {
        "/data", "/anonymous", "/host", "/more",
    }  # fmt: skip
    with pytest.raises(ck.NotFound, match="container nobody"):
        engine.create("busybox", "true", volumes_from=["nobody"])


# -- what is left ----------------------------------------------------------------------------------------------------


def test_volumes_are_kept_after_their_containers(engine: Engine, image: Image) -> None:
    container = engine.create("busybox", "true", volumes=["/anonymous", "named:/n"])
    container.remove()
    assert len(engine.volumes) == 2


def test_anonymous_ones_go_with_their_last_container(engine: Engine, image: Image) -> None:
    one = engine.create("busybox", "true", name="one", volumes=["/anonymous", "named:/n"])
    two = engine.create("busybox", "true", name="two", volumes_from=["one"])
    one.remove(volumes=True)
    assert len(engine.volumes) == 2
    two.remove(volumes=True)
    assert [volume.name for volume in engine.volumes] == ["named"]
    assert os.listdir(engine.paths.volumes) == ["named"]


def test_an_anonymous_one_that_another_is_given_by_its_name_stays(engine: Engine, image: Image) -> None:
    made = Volume.create(engine=engine)
    one = engine.create("busybox", "true", name="one", volumes=["/anonymous"])
    (theirs,) = (volume.name for volume in engine.volumes if volume.name != made.name)
    two = engine.create("busybox", "true", volumes=[f"{made.name}:/made", f"{theirs}:/theirs"])
    one.remove(volumes=True)
    two.remove(volumes=True)
    assert {volume.name for volume in engine.volumes} == {made.name, theirs}
    with engine.session():
        engine.run("busybox", "sleep 60", volumes=[f"{made.name}:/made", f"{theirs}:/theirs", "/own"])
        assert len(engine.volumes) == 3
    assert {volume.name for volume in engine.volumes} == {made.name, theirs}


def test_one_that_removes_itself_takes_them(engine: Engine, image: Image) -> None:
    engine.call("busybox", "true", volumes=["/anonymous"])
    engine.run("busybox", "true", remove=True, volumes=["/anonymous"]).wait()
    with engine.run("busybox", "sleep 60", volumes=["/anonymous"]):
        assert len(engine.volumes) == 1
    assert len(engine.volumes) == 0
    assert os.listdir(engine.paths.volumes) == []


def test_cells_that_are_run_again_leave_none(engine: Engine, image: Image) -> None:
    for _ in range(3):
        engine.run("busybox", "sleep 60", name="web", replace=True, volumes=["/anonymous"])
    assert len(engine.volumes) == 1


def test_a_monitor_that_is_killed(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", "sleep 60", remove=True, volumes=["/anonymous"])
    record = engine.store.containers.read(container.id)
    assert record is not None and record.monitor is not None
    os.kill(record.monitor, signal.SIGKILL)
    container.wait()
    assert len(engine.containers) == len(engine.volumes) == 0


def test_in_use_is_an_error_that_names_users(engine: Engine, image: Image) -> None:
    for name in ("web", "db"):
        engine.create("busybox", "sleep 60", name=name, volumes=["site:/data"])
    volume = engine.volumes["site"]
    assert [container.name for container in volume.containers] == ["db", "web"]
    with pytest.raises(ck.InvalidState, match="volume site: in use by db, web"):
        volume.remove()
    engine.containers["web"].start()
    with pytest.raises(ck.InvalidState, match=r"in use by web \(stop"):
        volume.remove(force=True)
    engine.containers["web"].stop(timeout=0)
    volume.remove(force=True)
    with pytest.raises(ck.NotFound, match="container web: volume site"):
        engine.containers["web"].start()
    with pytest.raises(ck.NotFound, match="volume site: not found"):
        volume.remove()


def test_prune(engine: Engine, image: Image) -> None:
    engine.create("busybox", "true", volumes=["/used", "kept:/k"])
    Volume.create(engine=engine)
    Volume.create("named", labels={"keep": "no"}, engine=engine)
    assert len(engine.volumes.prune().volumes) == 1
    assert engine.volumes.prune(all=True, filters={"label": "keep=yes"}).volumes == ()
    assert engine.volumes.prune(all=True).volumes == ("named",)
    Volume.create(engine=engine)
    report = engine.prune(volumes=True)
    assert len(report.volumes) == 2 and "2 volumes" in repr(report)
    assert [volume.name for volume in engine.volumes] == ["kept"]


def test_a_volume_that_is_there(engine: Engine, image: Image) -> None:
    volume = Volume.create("site", labels={"for": "web"}, engine=engine)
    with pytest.raises(ck.AlreadyExists, match="volume site: exists already"):
        Volume.create("site", engine=engine)
    assert Volume.create("site", exist_ok=True, engine=engine) == volume == Volume.get("site", engine=engine)
    assert (volume.labels, volume.driver, volume.options) == ({"for": "web"}, "local", {})
    assert volume.inspect()["Mountpoint"] == volume.path
    Path(volume.path, "f").write_bytes(bytes(1 << 20))
    assert 1 << 20 <= volume.size < 2 << 20
    assert engine.volumes.frame()["size"][0] >= 1 << 20
    with pytest.raises(ck.NotFound, match="volume nobody: not found"):
        Volume.get("nobody", engine=engine)


def test_filters(engine: Engine, image: Image) -> None:
    Volume.create("one", labels={"tier": "db"}, engine=engine)
    engine.create("busybox", "true", volumes=["two:/x", "/anonymous"])

    def names(**filters: object) -> list[str]:
        return [volume.name for volume in Volume.list(filters=filters, engine=engine) if not volume.is_anonymous]

    assert names(name="on") == names(label="tier=db") == names(label="tier") == names(dangling=True) == ["one"]
    assert names(dangling=False) == ["two"]
    assert len(Volume.list(filters={"anonymous": True}, engine=engine)) == 1
    with pytest.raises(ck.InvalidArgument, match="filter colour: unknown"):
        names(colour="red")


def test_events(engine: Engine, image: Image) -> None:
    engine.call("busybox", "true", volumes=["site:/data", "/anonymous"])
    engine.volumes["site"].remove()
    found = [(event.action, event.name) for event in engine.events(filters={"volume": "site"})]
    assert found == [("create", "site"), ("destroy", "site")]
    assert sum(event.type == "volume" for event in engine.events()) == 4


def test_what_a_killed_removal_left_is_taken_away(engine: Engine, image: Image) -> None:
    left = Path(engine.paths.volumes, "gone", "data")
    left.mkdir(parents=True)
    (left / "old").touch()
    # Somebody makes a volume of that name before anybody has cleaned up.
    assert os.listdir(Volume.create("gone", engine=engine).path) == []
    engine.volumes["gone"].remove()
    left.mkdir(parents=True)
    engine.close()
    assert len(engine.volumes) == 0 and os.listdir(engine.paths.volumes) == []


def test_inspect_shows_mounts_as_docker(engine: Engine, image: Image, tmp_path: Path) -> None:
    container = engine.create("busybox", "true", volumes=["site:/data:ro", f"{tmp_path}:/h"], tmpfs=["/t"])
    found = {mount["Destination"]: mount for mount in container.inspect()["Mounts"]}
    assert (found["/data"]["Name"], found["/data"]["RW"], found["/data"]["Type"]) == ("site", False, "volume")
    assert (found["/h"]["Source"], found["/h"]["Propagation"]) == (str(tmp_path), "rprivate")
    assert found["/t"]["Type"] == "tmpfs"
    assert [mount.target for mount in container.mounts] == ["/data", "/h", "/t"]


def test_representations(engine: Engine, image: Image) -> None:
    engine.create("busybox", "true", name="web", volumes=["site:/x"])
    volume = engine.volumes["site"]
    assert repr(volume) == "Volume('site', local, used by web)"
    assert "site" in repr(engine.volumes) and "site" in engine.volumes and "nobody" not in engine.volumes
    assert "web" in volume._repr_html_() and "<table" in engine.volumes._repr_html_()


def test_files_of_one_that_has_ended_include_its_volumes(engine: Engine, image: Image, tmp_path: Path) -> None:
    container = engine.create("busybox", sh("echo in >> /data/f"), volumes=["site:/data", f"{tmp_path}/host:/host"])
    container.path("/data/f").write_text("before\n")
    container.path("/host/g").write_text("there")
    container.start().wait()
    assert container.path("/data/f").read_text() == "before\nin\n"
    assert (tmp_path / "host" / "g").read_text() == "there"
    container.copy_out("/data", tmp_path / "copy")
    assert (tmp_path / "copy" / "f").read_text() == "before\nin\n"
