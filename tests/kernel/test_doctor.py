"""doctor: what is found, what is missing, and what is said of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.net.firewall import table_of

NEEDED = (
    "Linux 5.11", "namespaces", "overlayfs", "seccomp", "memory", "pids", "idmapped mounts", "libseccomp", "root",
    "writable layers", "mmdebstrap",
)  # fmt: skip


def test_what_the_other_tests_use_is_found(engine: Engine) -> None:
    doctor = engine.doctor()
    assert all(doctor[name].ok and doctor[name].detail for name in NEEDED), doctor
    assert {finding.area for finding in doctor} == {"kernel", "cgroups", "rights", "networks", "programs", "store"}
    assert bool(doctor) is (not doctor.missing)
    for finding in doctor.missing:
        assert finding.lost and finding.mend and f"mend: {finding.mend}" in repr(doctor)
    with pytest.raises(ck.NotFound):
        doctor["moon"]


def test_a_missing_right_is_named(engine: Engine) -> None:
    # In a child: rights do not come back.
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        from containerkit.linux import capabilities

        effective, permitted, inheritable = capabilities.capget()
        bit = 1 << capabilities.number("CAP_NET_ADMIN")
        capabilities.capset(effective & ~bit, permitted & ~bit, inheritable)
        os.write(writer, repr(engine.doctor()["capabilities"]).encode())
        os._exit(0)
    os.close(writer)
    found = os.read(reader, 5000).decode()
    os.waitpid(pid, 0)
    os.close(reader)
    assert "ok=False" in found and "CAP_NET_ADMIN" in found


def test_a_firewall_that_somebody_has_reloaded_is_seen_and_restored(engine: Engine, image: Image) -> None:
    engine.run("busybox", "httpd -f -h /etc", name="web", ports={80: None})
    assert engine.doctor()["firewall"].ok
    subprocess.run(["nft", "delete", "table", "inet", table_of(str(engine.paths.root))], check=True)
    found = engine.doctor()["firewall"]
    assert not found.ok and "somebody has reloaded the firewall" in found.detail
    assert found.mend == "ck.networks.restore()"
    engine.networks.restore()
    assert engine.doctor()["firewall"].ok


def test_a_bridge_that_somebody_has_deleted_is_seen_and_restored(engine: Engine, image: Image) -> None:
    box = engine.run("busybox", "sleep 60", name="box", stop_timeout=0)
    bridge = engine.networks["bridge"]
    subprocess.run(["ip", "link", "delete", str(bridge.interface)], check=True)
    found = engine.doctor()["firewall"]
    assert not found.ok and f"no bridge {bridge.interface}" in found.detail
    assert box.exec(["ping", "-c1", "-W1", str(bridge.gateway)]).exit_code != 0
    engine.networks.restore()
    assert engine.doctor()["firewall"].ok
    assert box.exec(["ping", "-c1", "-W10", str(bridge.gateway)]).exit_code == 0


def test_somebody_else_s_firewall_in_the_way_is_named_with_what_mends_it(engine: Engine, image: Image) -> None:
    engine.run("busybox", "sleep 60", name="box", stop_timeout=0)
    assert engine.doctor()["other firewalls"].ok
    table = ["inet", "containerkit_obstacle"]
    chain = "{ type filter hook forward priority 0; policy drop; }"
    subprocess.run(["nft", "add", "table", *table], check=True)
    try:
        # Accepted first, so that nobody else's packets on this machine are dropped.
        subprocess.run(["nft", "add", "chain", *table, "forward", chain.replace("drop", "accept")], check=True)
        subprocess.run(["nft", "add", "rule", *table, "forward", "oifname", "!=", "ck*", "accept"], check=True)
        subprocess.run(["nft", "chain", *table, "forward", "{ policy drop; }"], check=True)
        found = engine.doctor()["other firewalls"]
        assert not found.ok and "inet containerkit_obstacle forward" in found.detail
        subprocess.run(found.mend, shell=True, check=True)
        assert engine.doctor()["other firewalls"].ok
    finally:
        subprocess.run(["nft", "delete", "table", *table], check=True)


def test_a_damaged_blob_is_found(engine: Engine, image: Image) -> None:
    assert engine.doctor(verify=True)["blobs"].ok
    blob = max(Path(engine.store.paths.blobs).iterdir(), key=lambda path: path.stat().st_size)
    with blob.open("r+b") as file:
        file.seek(100)
        file.write(b"rotten")
    finding = engine.doctor(verify=True)["blobs"]
    assert not finding.ok and blob.name in finding.detail and "is damaged" in finding.detail


def test_as_a_page_and_as_a_frame(engine: Engine) -> None:
    doctor = engine.doctor()
    frame = doctor.frame()
    assert list(frame.columns) == ["area", "name", "status", "detail", "lost", "mend"] and len(frame) == len(doctor)
    assert "<script" not in doctor._repr_html_() and "overlayfs" in doctor._repr_html_()
