"""``Container.xray()``: what the kernel has of a container, compared with what the kernel says by other ways."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.linux import capabilities


def test_namespaces_are_told_by_inode_and_who_shares_them(engine: Engine, image: Image) -> None:
    with (
        engine.run("busybox", "sleep 60", name="db") as db,
        engine.run("busybox", "sleep 60", name="web", network="container:db", pid="host") as web,
    ):
        found = {one.type: one for one in web.xray().namespaces}
        assert {kind: str(one) for kind, one in found.items()} == {
            "user": "host's", "mount": "own", "uts": "own", "ipc": "own", "pid": "host's", "network": "shared with db",
            "cgroup": "own", "time": "host's",
        }  # fmt: skip
        assert found["network"].inode == os.stat(f"/proc/{db.pid}/ns/net").st_ino
        assert found["mount"].inode == int(web.exec("readlink /proc/self/ns/mnt").stdout.strip()[5:-1])
        assert [one.shared_with for one in db.xray().namespaces if one.type == "network"] == [("web",)]
        db.stop(timeout=0)
        assert str(next(one for one in web.xray().namespaces if one.type == "network")) == "own"


def test_cgroups_have_paths_limits_and_use(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", memory="64m", pids_limit=20, cpus=0.5, network="none") as box:
        found = {one.controller: one for one in box.xray().cgroups}
        memory, pids = found["memory"], found["pids"]
        assert str(64 << 20) in memory.limits.values() and 0 < memory.use["memory_bytes"] < 64 << 20
        assert (pids.limits, pids.use) == ({"pids.max": "20"}, {"pids": 1})
        assert "50000" in " ".join(found["cpu"].limits.values())
        for one in found.values():
            assert str(box.pid) in Path(one.path, "cgroup.procs").read_text().split()


def test_mounts_are_said_in_words(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", volumes=["site:/www:ro"], tmpfs=["/scratch"], network="none") as box:
        found = {one.target: one for one in box.xray().mounts}
        lines = box.exec("cat /proc/self/mountinfo").stdout.splitlines()
        assert [one.target for one in box.xray().mounts] == [line.split(" ")[4] for line in lines]
        assert found["/"].type == "overlay" and "layers" in found["/"].what
        assert (found["/www"].what, found["/www"].read_only) == ("volume site", True)
        assert found["/scratch"].what == "tmpfs" and not found["/scratch"].read_only
        assert found["/proc/sys"].what == "the same, read-only" and found["/sys/firmware"].what.startswith("a mask")


def test_layers_are_the_directories_of_the_stack(engine: Engine, image: Image) -> None:
    upper = image.with_run("echo one >/one")
    with upper.run("sleep 60", network="none") as box:
        below, above, own = box.xray().layers
        assert (below.diff_id, above.diff_id, own.diff_id) == (*box.image.layers, "")
        assert Path(above.path, "one").read_text() == "one\n" and above.size == 4 and "echo one" in above.created_by
        box.path("/two").write_text("two")
        assert own.writable and Path(own.path, "two").read_text() == "two"


def test_rights_are_those_of_the_process(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", cap_drop=["ALL"], cap_add=["CHOWN"], user="1000", network="none") as box:
        rights, filtered = box.xray().capabilities, box.xray().seccomp
        assert (rights.effective, rights.bounding) == ((), ("CAP_CHOWN",))
        assert len(rights.dropped) == capabilities.last_cap() and "CAP_SYS_ADMIN" in rights.dropped
        assert filtered.mode == "filter" and filtered.allowed > 250 and filtered.denied > 20 and filtered.conditional
    with engine.run("busybox", "sleep 60", security_opt=["seccomp=unconfined"], network="none") as box:
        assert box.xray().seccomp.mode == "none" and box.xray().seccomp.denied == 0


def test_a_cable_has_two_ends(engine: Engine, image: Image) -> None:
    ck.Network.create("front", engine=engine)
    with engine.run("busybox", "sleep 60", network="front") as box:
        lo, eth0 = box.xray().network
        assert (lo.name, lo.index, lo.peer, lo.kind) == ("lo", 1, None, "loopback")
        index = int(box.exec("cat /sys/class/net/eth0/ifindex").stdout)
        assert (eth0.name, eth0.index, eth0.kind, eth0.network) == ("eth0", index, "veth", "front")
        assert eth0.addresses[0].split("/")[0] == box.ip_address and eth0.mac == box.networks["front"].mac_address
        assert eth0.peer is not None and eth0.peer_index == int(Path(f"/sys/class/net/{eth0.peer}/ifindex").read_text())
        assert f"brif/{eth0.peer}" in str(*Path(f"/sys/class/net/{eth0.bridge}/brif").glob(eth0.peer))
    ck.Network.get("front", engine=engine).remove()


def test_ids_and_processes(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", userns="remap", network="none") as box:
        first = box.xray().ids[0]
        assert (first.kind, first.inside) == ("uid", 0) and first.outside > 0
        assert first.outside == os.stat(f"/proc/{box.pid}").st_uid
        (process,) = box.xray().processes
        assert (process.pid, process.container_pid, process.command) == (box.pid, 1, "sleep 60")
        assert str(box.xray().namespaces[0]) == "own"


def test_of_one_that_has_ended_it_says_what_is_gone(engine: Engine, image: Image) -> None:
    gone = {"namespaces", "cgroups", "mounts", "network", "ids", "processes"}
    with engine.create("busybox", "sleep 60", name="box", network="none") as box:
        assert set(box.xray().missing.values()) == {"not there: it has not been started"}
        box.start().stop(timeout=0)
        found = box.xray()
        assert set(found.missing) == gone and set(found.missing.values()) == {"gone: it has ended"}
        assert len(found.layers) == 2 and len(found.capabilities.bounding) == 14 and found.seccomp.mode is None
        with pytest.raises(ck.InvalidState, match="container box: namespaces: gone: it has ended"):
            found.frame("namespaces")
        assert "gone: it has ended" in found._repr_html_() and "without namespaces" in repr(found)
    with pytest.raises(ck.NotFound):
        box.xray()


def test_frames_and_drawing(engine: Engine, image: Image) -> None:
    with engine.run("busybox", ["sleep", "60"], name="box", labels={"a": "<b>"}, network="none") as box:
        found = box.xray()
        assert len(found.frame()) == len(found.namespaces) and found.frame("mounts").loc[0, "target"] == "/"
        assert found.frame("capabilities")["bounding"].sum() == 14
        for part in ("cgroups", "layers", "seccomp", "network", "ids", "processes"):
            assert len(found.frame(part))
        with pytest.raises(ck.InvalidArgument, match="expected one of namespaces"):
            found.frame("soul")
        assert repr(found).startswith("XRay('box', running: 8 namespaces (6 own), ")
        drawn = found._repr_html_()
        assert "<script" not in drawn and "sys_admin" in drawn and "14 of 4" in drawn and ">own<" in drawn


def test_of_one_without_an_image_all_but_the_layers_is_there(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "sleep 60", name="box", network="none") as box:
        engine.store.containers.amend(box.id, image="sha256:" + "0" * 64)
        seen = box.xray()
        assert list(seen.missing) == ["layers"] and len(seen.namespaces) == 8 and "layers: " in seen._repr_html_()
        engine.store.containers.amend(box.id, image=image.id)
