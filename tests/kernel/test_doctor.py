"""doctor: what is found, what is missing, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image

NEEDED = (
    "Linux 5.11", "namespaces", "overlayfs", "seccomp", "memory", "pids", "idmapped mounts", "libseccomp", "root",
    "writable layers", "mmdebstrap",
)  # fmt: skip


def test_what_the_other_tests_use_is_found(engine: Engine) -> None:
    doctor = engine.doctor()
    assert all(doctor[name].ok and doctor[name].detail for name in NEEDED), doctor
    assert {finding.area for finding in doctor} == {"kernel", "cgroups", "rights", "programs", "store"}
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
