"""``userns="keep-id"``, as an ordinary user: scenarios of :mod:`tests.rootless.scenarios`."""

from __future__ import annotations

import os
from pathlib import Path

import containerkit as ck
from containerkit import Engine

SCENARIOS = ("kept", "kept_as_another", "kept_files", "kept_commit", "kept_volumes", "kept_refusals")

_STAT = "stat -c %u:%g"


def _data(here: Path) -> Path:
    data = here / "out-data"
    data.mkdir(exist_ok=True)
    (data / "hers").write_text("hers\n")
    (data / "hers").chmod(0o600)
    return data


def kept(engine: Engine, here: Path, users: int) -> None:
    """The process has this user's numbers; what it writes is this user's; root is another, where there is one."""
    me, data = f"{os.getuid()}:{os.getgid()}", _data(here)
    script = f"id -u; id -g; cat /data/hers; echo new >/data/new; {_STAT} /data/*; echo $HOME; touch /etc/x"
    result = engine.call("busybox", ["sh", "-c", script], userns="keep-id", volumes=[f"{data}:/data"])
    uid, gid = me.split(":")
    assert result.stdout.split() == [uid, gid, "hers", me, me, "/"], result
    assert ("denied" in result.stderr) is (users > 1), result
    assert (data / "new").stat().st_uid == os.getuid() and (data / "new").read_text() == "new\n"
    with engine.run("busybox", "sleep 60", name="box", userns="keep-id", stop_timeout=0) as box:
        assert box.exec("id -u").stdout == f"{uid}\n"
        assert box.exec(["sh", "-c", "echo out >/dev/stdout"]).stdout == "out\n"
        with box.popen("tty", tty=True) as process:
            assert process.stdout is not None and process.stdout.read() == b"/dev/pts/0\r\n"
        root = f"touch /root/made; {_STAT} / /etc /root/made; touch /f; chown 33:44 /f; {_STAT} /f"
        if users > 1:
            result = box.exec(["sh", "-c", root], user="root", check=True)
            assert result.stdout.split() == ["0:0", "0:0", "0:0", "33:44"], result
            assert box.exec("id -u", user="33").stdout == "33\n"
        box.restart()
        assert box.exec("id -u").stdout == f"{uid}\n"
        assert any("user namespace: " in step.description for step in box.explain().steps)
        assert [link.name for link in box.interfaces()] == ["lo", "eth0"] and [one.command for one in box.top()]


def kept_as_another(engine: Engine, here: Path, users: int) -> None:
    """As Jupyter's images want it: user 1000 of group 100, whose home directory the image has."""
    data, her = _data(here), "1000:100" if users > 1 else "0:0"
    row = "jovyan:x:1000:100::/home/jovyan:/bin/sh"
    script = f"mkdir -p /home/jovyan/in; echo {row} >>/etc/passwd; chown -R {her} /home"
    maker = engine.run("busybox", ["sh", "-c", script], name="maker", network="none")
    maker.wait(timeout=60)
    image = maker.commit("jupyter", changes=["USER jovyan"])
    look = f"id -u; id -g; echo $HOME; touch /home/jovyan/in/x /data/new; {_STAT} /home/jovyan/in/x /data/new /etc"
    options = {"userns": "keep-id:uid=1000,gid=100", "volumes": [f"{data}:/data"], "network": "none"}
    for _ in range(2):
        result = image.call(["sh", "-c", look], **options)  # type: ignore[arg-type]
        root = "0:0" if users > 1 else "1000:100"
        assert result.stdout.split() == ["1000", "100", "/home/jovyan", "1000:100", "1000:100", root], result
    assert (data / "new").stat().st_uid == os.getuid() and (data / "new").stat().st_gid == os.getgid()
    # A volume has what the image has there, with its owners.
    look = f"{_STAT} /home/jovyan /home/jovyan/in; touch /home/jovyan/y"
    options["volumes"] = ["home:/home/jovyan"]
    assert image.call(["sh", "-c", look], check=True, **options).stdout.split() == ["1000:100"] * 2  # type: ignore[arg-type]
    maker.remove()
    assert engine.doctor(verify=True)["layers"].ok
    image.remove()
    engine.volumes["home"].remove()


def kept_files(engine: Engine, here: Path, users: int) -> None:
    """Files in and out, of one that runs and of one that has ended, have the numbers that they have inside."""
    me, root = os.getuid(), 0 if users > 1 else os.getuid()
    box = engine.run("busybox", "sleep 60", name="box", userns="keep-id", stop_timeout=0, network="none")
    box.exec(["sh", "-c", "touch /tmp/mine"], check=True)
    for ended in (False, True):
        if ended:
            box.stop()
        assert box.path("/tmp/mine").stat().st_uid == me and box.path("/etc/passwd").stat().st_uid == root
        box.path(f"/tmp/new{ended}").write_text("from outside\n")
        (here / "in").write_text("in\n")
        box.copy_in(here / "in", "/tmp/")
        box.copy_out("/tmp", here / f"out{ended}")
        assert (here / f"out{ended}" / "mine").stat().st_uid == me
    box.start()
    assert (
        box.exec(f"{_STAT} /tmp/in /tmp/newTrue").stdout.split() == [f"{root}:{os.getgid() if users == 1 else 0}"] * 2
    )
    assert {str(one) for one in box.diff()} >= {"A /tmp/mine", "A /tmp/in", "A /tmp/newTrue"}


def kept_commit(engine: Engine, here: Path, users: int) -> None:
    """An image that is made of it has the owners that were inside."""
    data, me, gid = _data(here), os.getuid(), os.getgid()
    box = engine.run(
        "busybox", "sleep 60", name="box", userns="keep-id", stop_timeout=0, network="none", volumes=[f"{data}:/data"]
    )
    box.exec(["sh", "-c", "touch /tmp/mine"], check=True)
    box.exec(["sh", "-c", "touch /etc/root; rm /etc/group"], user="root" if users > 1 else None, check=True)
    box.stop()
    image = box.commit("made")
    assert {str(one) for one in engine.images["busybox"].diff(image)} == {
        "C /etc", "A /etc/root", "D /etc/group", "C /tmp", "A /tmp/mine"
    }  # fmt: skip
    look = f"{_STAT} /tmp/mine /etc/root /etc"
    plain = image.call(["sh", "-c", look], network="none").stdout.split()
    assert plain == ([f"{me}:{gid}", "0:0", "0:0"] if users > 1 else ["0:0"] * 3), plain
    again = image.call(["sh", "-c", look], network="none", userns="keep-id").stdout.split()
    assert again == ([f"{me}:{gid}", "0:0", "0:0"] if users > 1 else [f"{me}:{gid}"] * 3), again
    box.remove()
    image.remove()


def kept_volumes(engine: Engine, here: Path, users: int) -> None:
    """Files of an image that is mounted, of volumes, and what is given to the user, are whose they say."""
    me, other = f"{os.getuid()}:{os.getgid()}", "12:13" if users > 1 else "0:0"
    script = f"mkdir -p /w/part/deep; touch /w/root; chown -R {other} /w/part"
    maker = engine.run("busybox", ["sh", "-c", script], network="none")
    maker.wait(timeout=60)
    image = maker.commit("stocked")
    maker.remove()
    kept = {"userns": "keep-id", "network": "none"}
    root, theirs = ("0:0", other) if users > 1 else (me, me)
    for source, paths in (("stocked", ["/i/w/root", "/i/w/part", "/i/w/part/deep"]), ("busybox", ["/i", "/i/etc"])):
        mounts = [ck.Mount("/i", source, "image")]
        found = engine.call("busybox", ["stat", "-c", "%u:%g", *paths], mounts=mounts, check=True, **kept)  # type: ignore[arg-type]
        assert found.stdout.split() == ([root, theirs, theirs] if source == "stocked" else [root] * 2), found
    place = here / "out-place"
    place.mkdir()
    ck.Volume.create("shown", options={"type": "none", "device": str(place), "o": "bind"}, engine=engine)
    look = ["stat", "-c", "%u:%g", "/w", "/w/root", "/w/part/deep"]
    for name in ("ours", "shown"):
        found = engine.call(image, look, volumes=[f"{name}:/w"], check=True, **kept)  # type: ignore[arg-type]
        assert found.stdout.split() == [root, root, theirs], found
        mounts = [ck.Mount("/p", name, subpath="part", chown=True)]
        engine.call("busybox", "touch /p/deep/mine", mounts=mounts, check=True, **kept)  # type: ignore[arg-type]
        found = engine.call(image, look, volumes=[f"{name}:/w"], check=True, **kept)  # type: ignore[arg-type]
        assert found.stdout.split() == [root, root, me], found
        found = engine.call(image, look, volumes=[f"{name}:/w:U"], check=True, **kept)  # type: ignore[arg-type]
        assert found.stdout.split() == [me] * 3, found
    assert {path.stat().st_uid for path in (place, *place.rglob("*"))} == {os.getuid()}
    for volume in engine.volumes:
        volume.remove()
    image.remove()


def kept_refusals(engine: Engine, here: Path, users: int) -> None:
    """What it does not go with is an error that says so."""
    with engine.run("busybox", "sleep 60", name="other", network="none", stop_timeout=0):
        for options in ({"pid": "container:other"}, {"network": "container:other"}):
            _refused(engine, next(iter(options)), userns="keep-id", **options)
    with engine.run("busybox", "sleep 60", name="box", userns="keep-id", network="none", stop_timeout=0):
        _refused(engine, "keeps the id", userns="container:box", network="none")
        _refused(engine, "keeps the id", pid="container:box", network="none")
    assert engine.call("busybox", "id -u", userns="keep-id", network="host").stdout == f"{os.getuid()}\n"
    assert engine.call("busybox", "id -u", userns="keep-id:uid=0,gid=0", network="none").stdout == "0\n"
    if users == 1:
        _refused(engine, f"user 33: .*there are {os.getuid()} .*subuid", userns="keep-id", user="33:33")
    big = engine.call("busybox", ["sh", "-c", f"id -u; {_STAT} /etc"], userns="keep-id:uid=99999", network="none")
    assert big.stdout.split()[0] == "99999", big


def _refused(engine: Engine, told: str, **options: str) -> None:
    import re

    try:
        engine.call("busybox", "true", **options)  # type: ignore[arg-type]
    except (ck.InvalidArgument, ck.RuntimeFailure) as error:
        assert re.search(told, str(error)), error
    else:
        raise AssertionError(f"{options}: does not go")
