"""containerkit.testing: fixtures for others' tests, and what nbval overlooks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import containerkit
from containerkit.testing import sanitizer

ROOT = Path(containerkit.__file__).parents[1]
TESTS = """
import containerkit as ck

def test_engine(ck_engine, ck_host_image):
    assert ck.default_engine() is ck_engine and [c for c in ck.containers] == []
    assert ck.call("host", "echo hello").stdout == "hello\\n"
    ck.Network.create("wires")
    ck.Volume.create("data")

def test_another_one_is_fresh(ck_engine):
    assert "host" not in ck.images and "data" not in ck.volumes and "wires" not in ck.networks

def test_run(ck_run, ck_host_image):
    web = ck_run(ck_host_image, ["sh", "-c", "echo ready; sleep 600"], name="web")
    assert web.wait_for(ck.until.log("ready")).status == "running"

def test_that_fails(ck_run, ck_host_image):
    ck_run("host", ["sh", "-c", "echo what the container said; sleep 600"], name="web").wait_for(ck.until.log("said"))
    assert False
"""


def run_pytest(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CONTAINERKIT_ROOT": str(place / "default"),
                   "CONTAINERKIT_RUN": str(place / "default-run")}  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(place), *arguments]
    return subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=False)


def test_fixtures_are_fresh_and_leave_nothing_and_logs_are_in_the_report(tmp_path: Path, nothing_is_left: None) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["containerkit.testing"]\n')
    (tmp_path / "test_it.py").write_text(TESTS)
    done = run_pytest(tmp_path, f"--basetemp={tmp_path}/temporary", "-q")
    assert "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert re.search(r"-+ container web \(running\) -+\nwhat the container said\n", done.stdout)
    assert not (tmp_path / "default").exists()


def test_the_sanitizer_is_found_from_a_command_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "containerkit.testing"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sanitizer()) and sanitizer().is_file()


def sanitized(text: str) -> str:
    """As nbval does it."""
    for pattern, replacement in re.findall("^regex: (.*)$\n^replace: (.*)$", sanitizer().read_text(), re.MULTILINE):
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sha256:" + "a1" * 32, "sha256:" + "b2" * 32), ("id 0a1b2c3d4e5f.", "id f5e4d3c2b1a0."),
        ("2026-01-02 03:04:05", "2027-11-12 13:14:15"), ("2026-01-02T03:04:05.123456+00:00", "2027-01-02T03:04:05Z"),
        ("172.17.0.2/16", "10.88.0.14/24"), ("http://127.0.0.1:8080/x", "http://127.0.0.1:40123/x"),
        ("fd00:1::2/64", "fd99:abcd::17/64"), ("02:42:ac:11:00:02", "be:ef:00:11:22:33"),
        ("<f at 0x7f0011223344>", "<f at 0x55aa66bb77cc>"), ("took 1.25 s", "took 700 ms"), ("3 seconds", "1 second"),
        ("1.5 MiB", "900 B"), ("NAME    SIZE     ID\nweb     1.5 MiB  x", "NAME  SIZE  ID\nweb   10.5 MiB   x"),
    ],
)  # fmt: skip
def test_what_differs_from_run_to_run_is_overlooked(one: str, other: str) -> None:
    assert sanitized(one) == sanitized(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("running", "exited"), ("exit code 0", "exit code 1"), ("python3.11", "python3.12"), ("8.8.8.8", "9.9.9.9"),
        ("count 3", "count 4"), ("deadbeef", "cafebabe"), ("v1.2.3", "v1.2.4"), ("a b", "ab"), ("12", "13"),
    ],
)  # fmt: skip
def test_what_matters_is_not(one: str, other: str) -> None:
    assert sanitized(one) != sanitized(other)


def test_a_stored_output_that_is_not_true_any_more_fails(tmp_path: Path) -> None:
    cells = [("print('id 0a1b2c3d4e5f took 1.25 s')", "id ffffffffff00 took 3 ms\\n", True),
             ("print('status', 'running')", "status exited\\n", False)]  # fmt: skip
    for number, (source, stored, is_good) in enumerate(cells):
        notebook = tmp_path / f"{number}.ipynb"
        notebook.write_text(
            textwrap.dedent(f"""
            {{"cells": [{{"cell_type": "code", "execution_count": 1, "id": "one", "metadata": {{}}, "outputs": [
              {{"name": "stdout", "output_type": "stream", "text": "{stored}"}}], "source": "{source}"}}],
             "metadata": {{"kernelspec": {{"display_name": "Python 3", "language": "python", "name": "python3"}}}},
             "nbformat": 4, "nbformat_minor": 5}}
        """)
        )
        done = run_pytest(tmp_path, "--nbval", "--nbval-sanitize-with", str(sanitizer()), "-q", str(notebook))
        assert (done.returncode == 0) is is_good, done.stdout
