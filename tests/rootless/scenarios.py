"""What an ordinary user does: ``python -m tests.rootless.scenarios NAME DIRECTORY``, as that user.

The directory has ``busybox.tar``, and room for a store.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import containerkit as ck
from containerkit import Engine
from containerkit.store import rights
from tests import archives as layered
from tests.bundles import Runtime, change
from tests.rootless import building, functions, handing, keeping, looking, networking, volumes
from tests.tars import info, tar
from tests.waiting import eventually


def everyday(engine: Engine, here: Path, users: int) -> None:
    """Import, run, exec, stop, start, remove."""
    result = engine.call("busybox", ["sh", "-c", "id -u; cat; exit 3"], input="typed\n")
    assert (result.exit_code, result.stdout) == (3, "0\ntyped\n"), result
    box = engine.run("busybox", ["sh", "-c", "echo up; exec sleep 60"], name="box", stop_timeout=0)
    assert box.exec("cat /proc/self/uid_map").stdout.split()[:3] == ["0", str(os.getuid()), "1"]
    assert box.exec("id -u").stdout == "0\n"
    assert box.exec(["sh", "-c", "echo again >/dev/stdout"]).stdout == "again\n"
    with box.popen("tty", tty=True) as process:
        assert process.stdout is not None and process.stdout.read() == b"/dev/pts/0\r\n"
    assert eventually(lambda: box.logs() == "up\n" and [one.command for one in box.top()] == ["sleep 60"])
    assert box.stop().exit_code == 137 and box.start().status == "running"
    box.kill().remove()
    try:
        engine.call("busybox", "nosuch")
    except ck.RuntimeFailure as error:
        assert error.exit_code == 127
    else:
        raise AssertionError("an absent program was run")


def plain_start(engine: Engine, here: Path, users: int) -> None:
    """What a start needs of other users' files is nothing: no process is asked for it."""
    asked: list[object] = []
    delegate = rights.delegate
    assert delegate is not None and engine.call("busybox", "true").exit_code == 0

    def noting(function: Callable[..., Any], *arguments: Any) -> Any:
        asked.append(function)
        return delegate(function, *arguments)

    rights.delegate = noting
    try:
        assert engine.call("busybox", "stat -c %u:%a / /etc/hosts").stdout.split() == ["0:755", "0:644"]
        with engine.run("busybox", "sleep 60", stop_timeout=0) as box:
            box.restart()
            box.exec(["sh", "-c", "chmod 0 /etc/hosts"], check=True)
            box.restart()
            assert box.exec("cat /etc/hosts").stdout.startswith("127.0.0.1")
    finally:
        rights.delegate = delegate
    assert len(asked) == 1, asked  # for the file that even its owner may not write


def places(engine: Engine, here: Path, users: int) -> None:
    """A store where this user may not write, and a run directory that another user made first."""
    for places in ({"root": "/var/lib/containerkit-of-nobody"}, {"root": here / "mine", "run": here / "theirs"}):
        try:
            Engine(**places).call("busybox", "true")
        except ck.PermissionDenied as error:
            assert str(next(reversed(places.values()))) in str(error), error
        else:
            raise AssertionError(f"{places}: not ours")


def files(engine: Engine, here: Path, users: int) -> None:
    """Files of other users, in a running and in an ended container; nothing of them is left."""
    box = engine.run("busybox", "sleep 60", name="box", stop_timeout=0)
    if users > 1:
        script = "mkdir -m 700 /tmp/hers; echo secret >/tmp/hers/file"
        assert box.exec(["sh", "-c", script], user="33:44"), "another user's private directory"
    else:
        box.exec(["sh", "-c", "mkdir -m 700 /tmp/hers; echo secret >/tmp/hers/file"], check=True)
    for ended in (False, True):
        if ended:
            box.stop()
        assert box.path("/tmp/hers/file").read_text() == "secret\n"
        assert box.path("/tmp/hers/file").stat().st_uid == (33 if users > 1 else 0)
        box.path("/tmp/hers/new").write_text("from outside\n")
        (here / "in").write_text("in\n")
        box.copy_in(here / "in", "/tmp/hers/")
        box.copy_out("/tmp/hers", here / f"out{ended}")
        assert {path.name for path in (here / f"out{ended}").iterdir()} == {"file", "new", "in"}
        assert (here / f"out{ended}" / "file").stat().st_uid == os.getuid()
    changed = [str(change) for change in box.diff()]
    assert "A /tmp/hers/new" in changed and "A /tmp/hers" in changed
    assert ck.containers is not None and engine.prune().space_reclaimed > 0


def commit(engine: Engine, here: Path, users: int) -> None:
    """What a container has done, files of other users too, becomes an image; what it deletes of one is gone."""
    script = (
        "mkdir -m 700 /hers; echo secret >/hers/file; ln /hers/file /hers/again; rm /etc/group; rm -r /root;"
        "mkdir /root; touch /root/new; mkfifo /fifo; chown -R $0:$0 /hers; chmod 4755 /hers/file;"
        "touch /ready; sleep 60"
    )
    owner = 33 if users > 1 else 0
    box = engine.run("busybox", ["sh", "-c", script, str(owner)], name="box", stop_timeout=0, tmpfs=["/a/place"])
    box.wait_for(ck.until.file("/ready"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        running = box.commit("running")
    from containerkit.linux.cgroups import delegated_parent

    assert len(caught) == (delegated_parent() is None), [str(one.message) for one in caught]
    assert box.status == "running"
    changed = {str(change) for change in running.engine.images["busybox"].diff(running)}
    assert {"D /etc/group", "A /hers/file", "A /fifo", "C /root"} <= changed and "A /a" not in changed, changed
    box.stop()
    box.path("/hers/more").write_text("from outside")
    stopped = box.commit("stopped", changes=["CMD cat /hers/more"])
    look = "stat -c '%u %h %a' /hers/file /hers; ls /etc /root; cat /hers/again"
    expected = f"{owner} 2 4755\n{owner} 2 700\n/etc:\nhostname\nhosts\npasswd\nresolv.conf\n\n/root:\nnew\nsecret\n"
    for image in (running, stopped):
        assert image.call(["sh", "-c", look]).stdout == expected, image.call(["sh", "-c", look])
    assert stopped.call().stdout == "from outside"
    again = stopped.create(["sh", "-c", "rm -r /hers; ls /"], name="again").start()
    again.wait()
    assert "hers" not in again.commit("third").call("ls /").stdout.split()
    assert list((here / "root/tmp").iterdir()) == []
    for name in ("again", "box"):
        engine.containers[name].remove()
    for tag in ("running", "stopped", "third"):
        engine.images[tag].remove()


def debian(engine: Engine, here: Path, users: int) -> None:
    """A Debian system takes several users; where there are some, its tool runs, and nothing is left of it."""
    kind, told = (ck.NotFound, "package nosuchpackage: not found") if users > 1 else (ck.Unsupported, "subordinate ids")
    try:
        ck.Image.from_debian(packages=["nosuchpackage"], engine=engine)
    except ck.ContainerkitError as error:
        assert isinstance(error, kind) and told in str(error), error
    else:
        raise AssertionError("there is no such package")
    assert list((here / "root/tmp").iterdir()) == []


def users_and_groups(engine: Engine, here: Path, users: int) -> None:
    """Other users where there are subordinate ids; a clear refusal where there are none."""
    if users > 1:
        result = engine.call("busybox", "id", user="33:44", group_add=["50"])
        assert result.stdout.startswith("uid=33") and "50" in result.stdout
        assert engine.call("busybox", ["sh", "-c", "touch /f; chown 1000:1000 /f; stat -c %u /f"]).stdout == "1000\n"
        box = engine.run("busybox", "sleep 60", user="33", name="box")
        assert box.kill().exit_code == 137
        return
    for options in ({"user": "33:44"}, {"group_add": ["50"]}):
        try:
            engine.call("busybox", "id", **options)
        except ck.RuntimeFailure as error:
            assert "user namespace" in str(error), error
        else:
            raise AssertionError(f"{options}: there is no such user")


def limits(engine: Engine, here: Path, users: int) -> None:
    """Where no cgroup is delegated: one warning, and the container runs; what would need it says so."""
    from containerkit.linux.cgroups import delegated_parent

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # On no network: a machine may have no way out for one, which is another warning.
        box = engine.run("busybox", "sleep 60", memory="64m", name="box", stop_timeout=0, network="none")
        engine.call("busybox", "true", memory="64m", network="none")
    if delegated_parent() is not None:
        assert not caught and box.stats().memory_limit_bytes == 64 << 20
        box.pause().unpause().update(memory="32m")
        return
    assert len(caught) == 1 and "limits do not hold: no cgroup is delegated" in str(caught[0].message)
    for call in (box.stats, box.pause, lambda: box.update(memory="32m")):
        try:
            call()
        except ck.Unsupported as error:
            assert "no cgroup" in str(error)
        else:
            raise AssertionError(f"{call}: there is nothing to do it with")
    assert box.status == "running"


def options(engine: Engine, here: Path, users: int) -> None:
    """What a container can be given without root."""
    files = "/proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward"
    result = engine.call(
        "busybox", ["sh", "-c", f"cat {files}; touch /x; echo >/dev/null && echo null; ls /sys | wc -l"],
        hostname="box", sysctls={"net.ipv4.ip_forward": "1"}, read_only=True, tmpfs={"/t": ""}, init=True,
    )  # fmt: skip
    assert result.stdout.split()[:3] == ["box", "1", "null"] and "Read-only" in result.stderr, result
    assert int(engine.call("busybox", ["sh", "-c", "ls /sys | wc -l"], network="host").stdout) > 3
    assert engine.call("busybox", "true", privileged=True) and engine.call("busybox", "true", pid="host")
    assert engine.call("busybox", "true", ipc="host")


def network_views(engine: Engine, here: Path, users: int) -> None:
    """What a container's network looks like: one of its own, and this machine's."""
    with engine.run("busybox", "sleep 60", network="none") as container:
        assert [link.name for link in container.interfaces()] == ["lo"] and container.routes() == []
    with engine.run("busybox", "sleep 60", network="host") as container:
        assert "lo" in {link.name for link in container.interfaces()}
    with engine.run("busybox", "sleep 60", name="bridged", hostname="box") as container:
        _, eth0 = container.interfaces()
        assert (eth0.name, eth0.kind) == ("eth0", "veth") and eth0.addresses[0].startswith(f"{container.ip_address}/")
        assert container.routes()[0].gateway == container.networks["bridge"].gateway
        assert str(container.ip_address) in engine.networks.graph().svg


def archives(engine: Engine, here: Path, users: int) -> None:
    """An image saved and loaded again, in another place; and what is wrong with one leaves nothing."""
    elsewhere = Engine(here / "elsewhere")
    for format in ("docker", "oci"):
        engine.images.save(here / "box.tar.gz", "busybox", format=format)
        (box,) = ck.Image.load(here / "box.tar.gz", engine=elsewhere)
        assert box.id == engine.images["busybox"].id and box.tags == ("busybox:latest",)
        assert elsewhere.call("busybox", "echo here").stdout == "here\n"
        box.remove()
    try:
        ck.Image.load((here / "box.tar.gz").read_bytes()[:-5000], engine=elsewhere)
    except ck.InvalidArgument as error:
        assert "archive in memory: " in str(error), error
    else:
        raise AssertionError("half an archive was loaded")
    assert not any(list(place.glob("[0-9a-f]*")) for place in (elsewhere.paths.layers, elsewhere.paths.tmp))


def strangers(engine: Engine, here: Path, users: int) -> None:
    """A layer with what an ordinary user cannot have: devices, root's programs, users that there are not."""
    trusted = {"SCHILY.xattr.trusted.x": "y", "SCHILY.xattr.user.mine": "kept"}
    data = tar(
        info("root", mode=0o6755), info("hers", mode=0o6755, uid=33, gid=33),
        info("nobodys", mode=0o4755, uid=4_000_000_000, gid=4_000_000_000),
        info("disk", tarfile.BLKTYPE, devmajor=8, mode=0o666), info("zero", tarfile.CHRTYPE, devmajor=1, devminor=5),
        info("attributes", pax_headers=trusted), info("gone/.wh.x"), info("d/.wh..wh..opq"),
    )  # fmt: skip
    image = ck.Image.import_(io.BytesIO(data), tag="strange", engine=engine)
    (layer,) = engine.store.layers.ensure(image._record.chain_ids, image._record.layers)
    found = {path.name: path.lstat() for path in layer.rglob("*")}
    assert set(found) == {"root", "hers", "nobodys", "attributes", "gone", "x", "d"}, found
    # On this machine nothing of it is root's, and what is this user's nobody else can reach.
    assert all(one.st_uid not in (0, 33, 4_000_000_000) for one in found.values()), found
    assert found["root"].st_uid == found["nobodys"].st_uid == os.getuid() and found["root"].st_mode & 0o7777 == 0o6755
    assert (found["hers"].st_uid == os.getuid()) is (users == 1)
    assert os.listxattr(layer / "attributes") == ["user.mine"]
    for place in (engine.paths.root, engine.paths.layers, engine.paths.containers):
        assert place.stat().st_mode & 0o077 == 0, place
    image.remove()


def implied(engine: Engine, here: Path, users: int) -> None:
    """A layer that does not name the directories above its files: they are as the layers below have them."""
    kind, link = tarfile.DIRTYPE, tarfile.SYMTYPE
    note = {"SCHILY.xattr.user.note": "hers"}
    lower = tar(
        info("tmp", kind, mode=0o1777, mtime=1), info("hers", kind, mode=0o2750, uid=33, gid=33, pax_headers=note),
        info("hers/gone"), info("closed", kind, mode=0), info("usr/share", kind, mode=0o711),
        info("share", link, linkname="/usr/share"),
    )  # fmt: skip
    upper = tar(info("tmp/x"), info("hers/.wh.gone"), info("hers/y", uid=33), info("closed/z"), info("share/w"))
    bottom = (here / "busybox.tar").read_bytes()
    (image,) = ck.Image.load(layered.tar(layered.docker(bottom, lower, upper)), engine=engine)
    script = "stat -c '%a %u %n' /tmp /hers /closed /usr/share /share; ls /tmp /hers /closed /usr/share"
    her = 33 if users > 1 else 0
    assert image.call(["sh", "-c", script], check=True).stdout.splitlines() == [
        "1777 0 /tmp", f"2750 {her} /hers", "0 0 /closed", "711 0 /usr/share", "777 0 /share",
        "/closed:", "z", "", "/hers:", "y", "", "/tmp:", "x", "", "/usr/share:", "w",
    ], image.call(["sh", "-c", script])  # fmt: skip
    assert engine.doctor(verify=True)["layers"].ok, engine.doctor(verify=True)["layers"]
    image.remove()


def two_processes(engine: Engine, here: Path, users: int) -> None:
    """A container of one process is entered, stopped and removed by another."""
    box = engine.run("busybox", "sleep 60", name="box", stop_timeout=0)
    words = [sys.executable, "-m", "tests.rootless.scenarios", "_other", str(here)]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout.split() == ["0", "exited"]
    assert repr(box) == "Container('box', removed)"


def _other(engine: Engine, here: Path, users: int) -> None:
    box = engine.containers["box"]
    print(box.exec("id -u").stdout.strip())
    assert box.path("/etc/passwd").read_text()
    print(box.stop().status)
    box.remove()


def killed(engine: Engine, here: Path, users: int) -> None:
    """Kill -9 of the monitor: the next look cleans up."""
    box = engine.run("busybox", ["sh", "-c", "mkdir -m 700 /p; chown 33 /p; exec sleep 60"], name="box")
    time.sleep(0.2)
    monitor = box._record().monitor
    assert monitor is not None
    os.kill(monitor, 9)
    while box.status == "running":
        time.sleep(0.02)
    assert box.exit_code == 137
    box.remove()
    assert list((here / "root/containers").iterdir()) == []


def session(engine: Engine, here: Path, users: int) -> None:
    """What is made in a session goes with it, and with its process, when that is killed."""
    with engine.session():
        engine.run("busybox", ["sh", "-c", "touch /x; chown 33 /x; exec sleep 60"], name="box", volumes=["/data"])
        ck.Network.create("wires", engine=engine)
        engine.run("busybox", "sleep 60", name="wired", network="wires")
    assert not engine.containers and "wires" not in engine.networks and not engine.volumes
    words = [sys.executable, "-m", "tests.rootless.scenarios", "_abandon", str(here)]
    assert subprocess.run(words, check=False).returncode == -9
    assert eventually(lambda: not engine.containers and "wires" not in engine.networks)
    assert list((here / "root/containers").iterdir()) == []


def _abandon(engine: Engine, here: Path, users: int) -> None:
    engine.session()
    ck.Network.create("wires", engine=engine)
    engine.run("busybox", "sleep 60", name="box", network="wires")
    os.kill(os.getpid(), 9)


def doctor(engine: Engine, here: Path, users: int) -> None:
    """What this user lacks, and how to get it."""
    found = engine.doctor()
    assert found["user namespaces"].ok and found["root"].ok
    assert found["subordinate ids"].ok is (users > 1)
    if users == 1:
        assert "usermod --add-subuids" in found["subordinate ids"].mend
    from containerkit.linux.cgroups import delegated_parent

    assert found["delegated cgroup"].ok is (delegated_parent() is not None)
    # Layers with files of other users, and of this one.
    script = "mkdir -m 700 /hers; echo x >/hers/file" + ("; chown -R 33:33 /hers" if users > 1 else "")
    box = engine.run("busybox", ["sh", "-c", script], name="box")
    assert box.wait(timeout=60) == 0
    image = box.commit("committed")
    assert engine.doctor(verify=True)["layers"].ok, engine.doctor(verify=True)["layers"]
    layers = engine.store.layers.ensure(image._record.chain_ids, image._record.layers)
    (layers[0] / "etc/passwd").write_text("rotten")
    finding = engine.doctor(verify=True)["layers"]
    assert not finding.ok and "'./etc/passwd' has another" in finding.detail and not layers[0].exists(), finding
    assert engine.call("committed", "cat /etc/passwd").stdout.startswith("root:")
    assert engine.doctor(verify=True)["layers"].ok
    box.remove()
    image.remove()


def runtime(engine: Engine, here: Path, users: int) -> None:
    """The command alone, on a bundle for this user; and on one that it has no right to."""
    command, bundle = Runtime(here / "rt"), here / "bundle"
    with tarfile.open(here / "busybox.tar") as tar:
        tar.extractall(bundle / "rootfs", filter="data")
    command.ok("spec", "--rootless", "-b", bundle)
    words = ["sh", "-c", "id -u; echo into >/dev/null; touch /made && cat /proc/self/uid_map; exit 4"]
    change(bundle, lambda config: config["process"].update(terminal=False, args=words))
    done = command("run", "-b", bundle, "box")
    assert (done.returncode, done.stdout.split()) == (4, ["0", "0", str(os.getuid()), "1"]), done
    assert (bundle / "rootfs/made").stat().st_uid == os.getuid()
    assert json.loads(command.ok("list", "--format", "json")) == []
    maps = [{"containerID": 0, "hostID": 0, "size": 65536}]
    change(bundle, lambda config: config["linux"].update(uidMappings=maps, gidMappings=maps))
    refused = command("run", "-b", bundle, "box")
    assert refused.returncode == 125 and "user namespace: 0 is 0 (+65536)" in refused.stderr, refused
    assert command.ok("list", "-q") == ""


def main(name: str, directory: str) -> None:
    here = Path(directory)
    engine = Engine(root=here / "root", run=here / "run")
    from containerkit.linux import confinement

    users = sum(size for *_, size in confinement.id_maps()[0])
    modules = (networking, keeping, handing, volumes, building, functions, looking)
    scenario = {**globals(), **{name: one for module in modules for name, one in vars(module).items()}}[name]
    if name.startswith("_"):
        scenario(engine, here, users)
        return
    image = ck.Image.import_(here / "busybox.tar", tag="busybox", engine=engine)
    scenario(engine, here, users)
    for container in engine.containers:
        container.remove(force=True)
    image.remove()
    engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
