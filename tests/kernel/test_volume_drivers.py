"""Volumes whose content is not simply a directory: mounted as long as somebody needs it, and by whose driver."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image, Volume
from containerkit.linux import loopdev
from containerkit.store.trees import remove_tree
from tests import shelves
from tests.waiting import eventually

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7,mode=750"}


def sh(text: str) -> list[str]:
    return ["sh", "-c", text]


def mounted(engine: Engine) -> list[str]:
    """The names of the volumes that are mounted."""
    root = os.path.realpath(engine.paths.volumes)
    with open("/proc/self/mountinfo") as file:
        places = [line.split()[4] for line in file]
    return sorted(Path(place).parent.name for place in places if place.startswith(root))


def test_memory_is_shared_while_somebody_runs(engine: Engine, image: Image) -> None:
    Volume.create("memory", options=TMPFS, engine=engine)
    with engine.run("busybox", "sleep 60", volumes=["memory:/m"]) as one:
        assert one.exec(sh("stat -c '%u %a' /m; echo 1 > /m/f")).stdout == "7 750\n"
        assert engine.call("busybox", "cat /m/f", volumes=["memory:/m"]).stdout == "1\n"
        assert mounted(engine) == ["memory"]
        full = one.exec(sh("head -c 2000000 /dev/zero > /m/g; stat -c %s /m/g"))
        assert int(full.stdout) < 1 << 20
    assert mounted(engine) == []
    assert engine.call("busybox", "ls /m", volumes=["memory:/m"]).stdout == ""


def test_a_size_holds(engine: Engine, image: Image) -> None:
    volume = Volume.create("small", options={"size": "8m"}, engine=engine)
    found = engine.call("busybox", sh("ls -A /s; dd if=/dev/zero of=/s/f bs=1M count=20"), volumes=["small:/s"])
    assert (found.stdout, found.exit_code, "No space left" in found.stderr) == ("", 1, True)
    assert 4 << 20 < volume.size < 8 << 20
    with volume.mounted() as path:
        assert os.listdir(path) == ["f"] and mounted(engine) == ["small"]
    assert mounted(engine) == []
    volume.remove()
    assert os.listdir(engine.paths.volumes) == []


def test_a_volume_of_a_size_takes_the_images_files(engine: Engine, stocked: Image) -> None:
    Volume.create("small", options={"size": "8m"}, engine=engine)
    told = sh("stat -c '%n %u' /stock /stock/f; ls -A /stock")
    for _ in range(2):
        found = engine.call("stocked", told, volumes=["small:/stock"])
        assert found.stdout == "/stock 1000\n/stock/f 1000\nf\n"


def test_memory_takes_the_images_files_at_each_start(engine: Engine, stocked: Image) -> None:
    Volume.create("memory", options={"type": "tmpfs", "device": "tmpfs"}, engine=engine)
    told = sh("stat -c %u /stock /stock/f; ls -A /stock; touch /stock/mine; sleep 60")
    container = engine.create("stocked", told, volumes=["memory:/stock"])
    for number in range(2):
        container.start().wait_for(ck.until.log("f"))
        assert container.logs() == "1000\n1000\nf\n" * (number + 1)
        # Who comes meanwhile finds it as it is.
        engine.call("stocked", "rm /stock/f", volumes=["memory:/stock"], check=True)
        assert engine.call("stocked", "ls /stock", volumes=["memory:/stock"]).stdout == "mine\n"
        container.stop(timeout=0)
    assert engine.call("stocked", "ls -A /stock", volumes=["memory:/stock:nocopy"]).stdout == ""
    assert mounted(engine) == []


def test_a_file_that_is_a_disk(engine: Engine, image: Image, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    Volume.create("disk", options={"type": "ext4", "device": str(disk), "o": "noatime,ro"}, engine=engine)
    found = engine.call("busybox", sh("ls -A /d; touch /d/x"), volumes=["disk:/d"])
    assert found.stdout == "lost+found\n" and "Read-only file system" in found.stderr


def test_an_overlay(engine: Engine, image: Image, tmp_path: Path) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "f").write_text("below")
    words = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    Volume.create("layered", options={"type": "overlay", "device": "overlay", "o": words}, engine=engine)
    assert engine.call("busybox", sh("cat /o/f; touch /o/g"), volumes=["layered:/o"], check=True).stdout == "below"
    assert os.listdir(tmp_path / "upper") == ["g"]


def test_a_directory_of_this_machine(engine: Engine, image: Image, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    volume = Volume.create("shown", options={"type": "none", "device": str(place), "o": "bind"}, engine=engine)
    engine.call("busybox", "touch /s/f", volumes=["shown:/s"], check=True)
    volume.remove()
    assert os.listdir(place) == ["f"]


@pytest.mark.parametrize(("options", "words"), [
    ({"colour": "red"}, "volume x: unknown option 'colour'"),
    ({"type": "tmpfs"}, "option device is missing"),
    ({"device": "/dev/sdz"}, "option type is missing"),
    ({"size": "1k"}, "the minimum is 1m"),
    ({"size": "9m", "type": "ext4"}, "cannot be combined"),
    ({"type": "none", "device": "relative", "o": "bind"}, "must be an absolute path"),
])  # fmt: skip
def test_options_that_cannot_be(engine: Engine, options: dict[str, str], words: str) -> None:
    with pytest.raises(ck.InvalidArgument, match=words):
        Volume.create("x", options=options, engine=engine)
    assert len(engine.volumes) == 0


def test_what_cannot_be_mounted(engine: Engine, image: Image) -> None:
    Volume.create("lost", options={"type": "ext4", "device": "/nowhere"}, engine=engine)
    with pytest.raises(ck.RuntimeFailure, match="volume lost: cannot mount /nowhere: no such file") as caught:
        engine.run("busybox", "true", volumes=["lost:/x"])
    assert caught.value.exit_code == 125 and len(engine.containers) == 0


@pytest.mark.parametrize(("options", "words"), [
    ({"type": "nfs", "device": "nosuch.invalid:/srv"}, "cannot mount .*: server nosuch.invalid: name or service not"),
    ({"type": "nfs4", "device": ":/srv", "o": "addr=no..name"}, "cannot mount :/srv: server no..name: no host name"),
    ({"type": "nfs", "device": "/srv"}, "cannot mount /srv: it names no server"),
    ({"type": "cifs", "device": "//::1/srv", "o": "addr=not-an-address"}, "server not-an-address: name or service not"),
])  # fmt: skip
def test_servers_that_are_not_found(engine: Engine, options: dict[str, str], words: str) -> None:
    volume = Volume.create("far", options=options, engine=engine)
    with pytest.raises(ck.RuntimeFailure, match=f"volume far: .*{words}"), volume.mounted():
        pass


def test_it_stays_mounted_between_two_starts(engine: Engine, image: Image) -> None:
    Volume.create("memory", options=TMPFS, engine=engine)
    container = engine.run("busybox", sh("echo x >> /m/f; [ $(wc -l < /m/f) = 3 ] && sleep 60; false"),
                           volumes=["memory:/m"], restart="always")  # fmt: skip
    assert eventually(lambda: container.restart_count == 2) and mounted(engine) == ["memory"]
    container.stop(timeout=0)
    assert mounted(engine) == []


def test_one_that_was_killed_is_unmounted(engine: Engine, image: Image) -> None:
    Volume.create("memory", options=TMPFS, engine=engine)
    container = engine.run("busybox", "sleep 60", volumes=["memory:/m"])
    record = engine.store.containers.read(container.id)
    assert record is not None and record.monitor is not None
    os.kill(record.monitor, signal.SIGKILL)
    container.wait()
    assert mounted(engine) == []


def test_who_comes_next_unmounts_what_nobody_needs(engine: Engine, image: Image) -> None:
    volume = Volume.create("memory", options=TMPFS, engine=engine)
    with volume.mounted():
        engine.close()
        assert len(engine.containers) == 0  # opened again
        assert mounted(engine) == ["memory"]
    words = f"""if True:
        import os, signal
        from containerkit import Engine, Volume
        engine = Engine({str(engine.paths.root)!r}, {str(engine.paths.run)!r})
        with Volume.get("memory", engine=engine).mounted():
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", words], cwd=Path(__file__).parents[2], check=False)
    assert mounted(engine) == ["memory"]
    engine.close()
    assert len(engine.containers) == 0
    assert mounted(engine) == []


def test_those_that_come_and_go_at_once(engine: Engine, image: Image) -> None:
    Volume.create("memory", options=TMPFS, engine=engine)
    failures: list[object] = []

    def run() -> None:
        for _ in range(4):
            found = engine.call("busybox", sh("touch /m/$$ && stat -c %u /m"), volumes=["memory:/m"])
            if found.stdout != "7\n":
                failures.append(found)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and mounted(engine) == []


def test_backup_and_clone(engine: Engine, image: Image, tmp_path: Path) -> None:
    volume = Volume.create("small", options={"size": "8m"}, engine=engine)
    engine.call("busybox", sh("echo x > /s/f"), volumes=["small:/s"], check=True)
    backup = volume.backup(tmp_path / "b.tar.zst")
    assert Volume.restore(backup, "plain", engine=engine).diff(volume) == []
    assert volume.clone("other").diff(backup) == []
    with pytest.raises(ck.Unsupported, match="volume small"):
        Volume.restore(backup, "small", engine=engine)
    assert mounted(engine) == []


# -- drivers of others -----------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with a driver is installed; where that keeps its things."""
    place, packages = tmp_path / "shelf", tmp_path / "packages"
    shelves.install(packages, place)
    monkeypatch.syspath_prepend(packages)
    yield place
    sys.modules.pop("shelf_driver", None)
    shutil.rmtree(packages)


@pytest.fixture
def stocked(engine: Engine, image: Image) -> Image:
    """An image with a file of its own owner at /stock."""
    made = engine.create("busybox", sh("mkdir /stock; echo x > /stock/f; chown 1000:13 /stock /stock/f"))
    made.start().wait()
    stocked = made.commit("stocked")
    made.remove()
    return stocked


def test_a_driver_of_a_package(engine: Engine, image: Image, shelf: Path) -> None:
    volume = Volume.create("books", driver="shelf", options={"color": "red"}, engine=engine)
    assert (volume.driver, volume.options) == ("shelf", {"color": "red"})
    with volume.mounted() as path:
        Path(path, "f").write_text("x")
    assert (shelf / "books" / "f").read_text() == "x"
    volume.remove()
    assert shelves.diary(shelf) == ['create books {"color": "red"}', "mount books", "unmount books", "remove books"]


def test_its_errors_are_clear(engine: Engine, image: Image, shelf: Path) -> None:
    with pytest.raises(ck.InvalidArgument, match="volume books: driver shelf: option bad: not in this house"):
        Volume.create("books", driver="shelf", options={"bad": "1"}, engine=engine)
    with pytest.raises(ck.InvalidArgument, match="driver 'rack': not known .*local, shelf"):
        Volume.create("books", driver="rack", engine=engine)
    volume = Volume.create("books", driver="shelf", engine=engine)
    (shelf / "broken").touch()
    with pytest.raises(ck.RuntimeFailure, match="volume books: driver shelf: .*the shelf is broken"):
        engine.run("busybox", "true", volumes=["books:/b"])
    assert len(engine.containers) == 0
    volume.remove()


# -- whose files they are -------------------------------------------------------------------------------------------

ANNA = 4242


@pytest.fixture(params=["memory", "small", "shown", "books"])
def any_volume(request: pytest.FixtureRequest, engine: Engine, shelf: Path, tmp_path: Path) -> Volume:
    """A volume of each kind. The driver has to be there until the engine is emptied: tests ask for it first."""
    place = tmp_path / "place"
    place.mkdir()
    options: dict[str, dict[str, str]] = {
        "memory": {"type": "tmpfs", "device": "tmpfs"}, "small": {"size": "8m"}, "books": {},
        "shown": {"type": "none", "device": str(place), "o": "bind"},
    }  # fmt: skip
    driver = "shelf" if request.param == "books" else "local"
    return Volume.create(request.param, driver=driver, options=options[request.param], engine=engine)


def owners(container: ck.Container, *paths: str) -> list[str]:
    return container.exec(["stat", "-c", "%u:%g", *paths], user="root", check=True).stdout.split()


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("userns", ["host", "remap"])
def test_any_is_given_to_the_user(engine: Engine, stocked: Image, any_volume: Volume, userns: str) -> None:
    options = {"volumes": [f"{any_volume.name}:/stock:U"], "user": "1234:99", "userns": userns}
    container = engine.create("stocked", "sleep 60", **options)  # type: ignore[arg-type]
    for _ in range(2):
        container.start().exec("touch /stock/mine", check=True)
        assert owners(container, "/stock", "/stock/f", "/stock/mine") == ["1234:99"] * 3
        assert os.stat(f"{any_volume.path}/mine").st_uid == 1234
        container.stop(timeout=0)


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("flag", ["", ":U"])
def test_any_is_whose_id_is_kept(
    engine: Engine, stocked: Image, any_volume: Volume, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.setenv("SUDO_UID", str(ANNA))
    monkeypatch.setenv("SUDO_GID", "4343")
    group = "100" if flag else "13"
    options = {"volumes": [f"{any_volume.name}:/stock{flag}"], "userns": "keep-id:uid=1000,gid=100"}
    container = engine.create("stocked", "sleep 60", **options)  # type: ignore[arg-type]
    for _ in range(2):
        container.start().exec("touch /stock/mine", check=True)
        assert owners(container, "/stock", "/stock/f", "/stock/mine") == [f"1000:{group}"] * 2 + ["1000:100"]
        # What is a directory of this machine has the number that she has there.
        outside = ANNA if any_volume.name == "shown" else 1000
        assert {os.stat(f"{any_volume.path}/{name}").st_uid for name in ("", "f", "mine")} == {outside}
        container.stop(timeout=0)


# -- what must not be lost -------------------------------------------------------------------------------------------


def test_a_volume_that_somebody_has_open_is_one_file_system_all_the_time(engine: Engine, image: Image) -> None:
    volume = Volume.create("small", options={"size": "8m"}, engine=engine)
    container = engine.run("busybox", "sleep 60", volumes=["small:/s"])
    with open(f"{volume.path}/open", "w") as held:
        held.write("by somebody of this machine\n")
        container.stop(timeout=0)
        assert mounted(engine) == ["small"], "it is in use"
        held.flush()
        assert "open" in engine.call("busybox", sh("echo 2 > /s/second; ls /s"), volumes=["small:/s"]).stdout.split()
        container.remove()
        with pytest.raises(ck.InvalidState, match="volume small: .*has its files open"):
            volume.remove()
    found = engine.call("busybox", sh("cat /s/open /s/second"), volumes=["small:/s"])
    assert found.stdout == "by somebody of this machine\n2\n" and mounted(engine) == []


def synced(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def test_what_another_mount_namespace_holds_is_the_same_file_system(engine: Engine, image: Image) -> None:
    volume = Volume.create("small", options={"size": "1m"}, engine=engine)
    with volume.mounted() as path:
        words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo here; exec sleep 60"]
        holder = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert holder.stdout is not None and holder.stdout.readline()
    try:
        assert mounted(engine) == []
        engine.call("busybox", "touch /s/f", volumes=["small:/s"], check=True)
        assert os.listdir(f"/proc/{holder.pid}/root{path}") == ["f"]
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("size", ["1m", "8m"])
def test_a_power_cut_leaves_a_sound_volume(engine: Engine, image: Image, size: str) -> None:
    """One that is too small for a journal, and one that has one."""
    volume = Volume.create("small", options={"size": size}, engine=engine)
    with volume.mounted() as path:
        for number in range(20):
            Path(path, f"d{number}").mkdir()
            Path(path, f"d{number}", "f").write_text("on the disk\n")
            # These files are on the disk; what else changes with them only has to be so where there is a journal.
            for name in (f"d{number}/f", f"d{number}", ""):
                synced(f"{path}/{name}")
        disk = Path(path).with_name("image")
        shutil.copyfile(disk, disk.with_name("cut"))
    os.replace(disk.with_name("cut"), disk)
    assert engine.call("busybox", "cat /s/d19/f", volumes=["small:/s"]).stdout == "on the disk\n"
    subprocess.run(["e2fsck", "-f", "-n", disk], check=True, stdout=subprocess.DEVNULL)


def test_errors_that_the_kernel_has_found_are_repaired(engine: Engine, image: Image) -> None:
    volume = Volume.create("small", options={"size": "8m"}, engine=engine)
    engine.call("busybox", sh("echo 1 > /s/f"), volumes=["small:/s"], check=True)
    disk = Path(volume.path).with_name("image")

    def change(*requests: str) -> None:
        for request in requests:
            subprocess.run(["debugfs", "-w", "-R", request, disk], check=True, capture_output=True)

    change("set_super_value state 3", "set_super_value free_blocks_count 7")
    assert engine.call("busybox", "cat /s/f", volumes=["small:/s"]).stdout == "1\n"
    subprocess.run(["e2fsck", "-f", "-n", disk], check=True, stdout=subprocess.DEVNULL)
    change("set_super_value state 3", "clri <2>")
    with pytest.raises(
        ck.RuntimeFailure, match="volume small: its file system is damaged: e2fsck: .*RUN fsck MANUALLY"
    ):
        engine.call("busybox", "cat /s/f", volumes=["small:/s"])
    assert mounted(engine) == [] and len(engine.containers) == 0


def test_what_a_killed_monitor_had_mounted_starts_again(engine: Engine, image: Image) -> None:
    volume = Volume.create("small", options={"size": "8m"}, engine=engine)
    container = engine.run("busybox", sh("echo more >> /s/f; touch /s/ready; sleep 60"), volumes=["small:/s"])
    for lines in range(1, 4):
        container.wait_for(ck.until.file("/s/ready"))
        assert Path(volume.path, "f").read_text() == "more\n" * lines
        os.unlink(f"{volume.path}/ready")
        record = engine.store.containers.read(container.id)
        assert record is not None and record.monitor is not None
        os.kill(record.monitor, signal.SIGKILL)
        container.wait()
        assert mounted(engine) == []
        container.start()
    container.stop(timeout=0)
    subprocess.run(["e2fsck", "-f", "-n", Path(volume.path).with_name("image")], check=True, stdout=subprocess.DEVNULL)


def test_a_file_has_one_loop_device(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(1 << 20)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    with loopdev.attached(one) as first, loopdev.attached(two) as other, loopdev.attached(one) as again:
        assert again == first != other


@pytest.mark.parametrize("options", [TMPFS, {"size": "8m"}])
def test_one_that_was_given_by_its_name_is_unmounted_and_stays(
    engine: Engine, image: Image, options: dict[str, str]
) -> None:
    volume = Volume.create(options=options, engine=engine)
    for remove in (True, False):
        container = engine.run("busybox", "true", volumes=[f"{volume.name}:/x"], remove=remove)
        container.wait()
        if not remove:
            container.remove(volumes=True)
        assert [one.name for one in engine.volumes] == [volume.name]
    volume.remove()
    assert os.listdir(engine.paths.volumes) == os.listdir(engine.paths.tmp) == []


def test_a_driver_is_told_when_one_without_a_name_is_pruned(engine: Engine, image: Image, shelf: Path) -> None:
    volume = Volume.create(driver="shelf", engine=engine)
    engine.call("busybox", "touch /x/f", volumes=[f"{volume.name}:/x"], check=True)
    assert volume.name in [one.name for one in engine.volumes]
    engine.volumes.prune()
    assert shelves.diary(shelf)[-1].split()[0] == "remove"
    assert os.listdir(shelf / volume.name) == ["f"], "what is the driver's to remove is left to it"


def test_a_removal_does_not_go_into_what_is_mounted(tmp_path: Path) -> None:
    place, tree = tmp_path / "place", tmp_path / "tree"
    place.mkdir()
    (tree / "below").mkdir(parents=True)
    (place / "precious").touch()
    subprocess.run(["mount", "--bind", place, tree / "below"], check=True)
    try:
        with pytest.raises(OSError, match="a file system is mounted there"):
            remove_tree(tree)
    finally:
        subprocess.run(["umount", tree / "below"], check=True)
    assert os.listdir(place) == ["precious"]
    remove_tree(tree)
    assert not tree.exists()
