"""A Debian system from this machine's apt sources. Needs mmdebstrap, and that these sources can be reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image
from containerkit.layers import debianlayer
from containerkit.layers.pack import Packer
from containerkit.linux import isolated
from containerkit.progress import Progress
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(
    shutil.which("mmdebstrap") is None, reason="mmdebstrap is not installed (Debian package mmdebstrap)"
)


class Told(Progress):
    """Keeps what it is told: states by step, and the summary."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.summary = ""

    def item(self, key: str, state: str, done: int = 0, total: int | None = None) -> None:
        self.items[key] = state

    def end(self, summary: str) -> None:
        self.summary = summary


def left(engine: Engine) -> list[str]:
    """What is under way in the engine's root: files, and processes that have to do with it."""
    found = [path.name for path in engine.paths.tmp.iterdir()]
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(engine.paths.tmp) in command:
            found.append(command)
    return found


def use_tool(place: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Have this be mmdebstrap."""
    (place / "mmdebstrap").write_text(f"#!/bin/sh\n{script}\n")
    (place / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")


def test_a_debian_system_is_made_once_and_found_again(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    image = Image.from_debian("bookworm", ["hello"], tag="debian:12", engine=engine, progress=told)
    assert {"downloading packages with apt", "extracting archives", "packing"} <= set(told.items)
    assert set(told.items.values()) == {"done"} and told.summary.startswith("Debian bookworm: ")
    assert image.tags == ("debian:12",) and image.config.cmd == ("bash",) and len(image.layers) == 1
    (step,) = image.history()
    assert step["created_by"] == "from_debian bookworm hello"
    look = "hello; . /etc/os-release; echo $VERSION_CODENAME; dpkg-query -W -f '${Status}\n' hello; id -u www-data"
    assert image.call(["bash", "-c", look], check=True).stdout.split() == [
        "Hello,",
        "world!",
        "bookworm",
        "install",
        "ok",
        "installed",
        "33",
    ]
    # Nothing of this machine, nor of the making.
    empty = "var/lib/apt/lists var/cache/apt/archives var/log run tmp dev"
    (root,) = engine.store.layers.ensure(image._record.chain_ids, image._record.layers)
    for directory in empty.split():
        assert [path for path in (root / directory).rglob("*") if not path.is_dir()] == []
    for name in ("etc/resolv.conf", "etc/hostname", "etc/machine-id", "etc/apt/apt.conf.d/99mmdebstrap"):
        assert not (root / name).exists()
    assert "bookworm" in "".join(path.read_text() for path in (root / "etc/apt/sources.list.d").iterdir())
    # What is installed in it leaves nothing but itself, and does not wait for the disk.
    kept = "find /var/cache/apt /var/lib/apt/lists -name '*.deb' -o -name '*.bin' -o -name '*Translation*'"
    install = f"apt-get update -qq && apt-get install -qq --reinstall hello >/dev/null && {kept}"
    assert image.call(["sh", "-c", install], check=True).stdout == ""
    assert (root / "etc/dpkg/dpkg.cfg.d/90container").read_text() == "force-unsafe-io\n"
    # Its time is that of the archive, not of the call.
    assert image.created < datetime.fromtimestamp(time.time() - 60, timezone.utc)
    days = image.created.timestamp() // 86400
    assert f"root:*:{days:.0f}:" in (root / "etc/shadow").read_text()
    assert left(engine) == []
    use_tool(tmp_path, monkeypatch, "exit 9")  # it is not called any more
    assert Image.from_debian("bookworm", "hello", tag="again", engine=engine) == image
    assert list(image.tags) == ["again:latest", "debian:12"]


def test_what_there_is_not_is_told(engine: Engine) -> None:
    with pytest.raises(
        ck.NotFound, match=r"^from_debian: suite bookworm: package nosuchpackage: not found\n"
    ) as caught:
        Image.from_debian("bookworm", ["hello", "nosuchpackage"], engine=engine)
    assert "Unable to locate package nosuchpackage" in caught.value.log
    with pytest.raises(ck.NotFound, match=r"^from_debian: suite nosuchsuite: not found where .* apt gets") as caught:
        Image.from_debian("nosuchsuite", engine=engine)
    assert "does not have a Release file" in caught.value.log
    assert left(engine) == [] and Image.list(engine=engine) == []


def test_wrong_arguments_are_refused_before_anything_is_done(engine: Engine) -> None:
    for suite, packages in (("", ()), ("--help", ()), ("../x", ()), ("bookworm", ["Big"]), ("bookworm", ["a;b"])):
        with pytest.raises(ck.InvalidArgument, match="^from_debian: "):
            Image.from_debian(suite, packages, engine=engine)
    with pytest.raises(ck.InvalidArgument, match="did you mean debian"):
        Image.from_debian(tag="Debian", engine=engine)


def test_a_missing_tool_is_named(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = os.path.exists
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os.path, "exists", lambda path: path != "/usr/sbin/debootstrap" and exists(path))
    with pytest.raises(ck.Unsupported, match=r"mmdebstrap is not installed \(Debian package mmdebstrap\)"):
        Image.from_debian(engine=engine)


@pytest.mark.parametrize("words, kind", [
    ("echo E: Unable to locate package x; exit 100", ck.NotFound),
    ("echo cannot write: No space left on device; exit 1", ck.StorageError),
    ("echo something else; exit 3", ck.BuildError),
])  # fmt: skip
def test_how_the_tool_failed_is_told(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, kind: type[ck.ContainerkitError]
) -> None:
    use_tool(tmp_path, monkeypatch, f"seq 100\n{words}")
    with pytest.raises(kind, match="^from_debian: suite bookworm: ") as caught:
        Image.from_debian(engine=engine)
    assert caught.value.log.splitlines()[0] == "82" and caught.value.log.endswith(words.split(";")[0][5:])
    assert left(engine) == []


def test_nothing_is_left_when_time_is_up(engine: Engine) -> None:
    with pytest.raises(ck.Timeout, match="from_debian: suite bookworm: not there after 1.5 s; ended"):
        Image.from_debian(engine=engine, timeout=1.5)
    assert left(engine) == []


def test_nothing_is_left_of_a_killed_call(engine: Engine) -> None:
    code = """
import sys, containerkit as ck
from containerkit.progress import Progress
class Told(Progress):
    def item(self, key, state, done=0, total=None): print(key, flush=True)
ck.Image.from_debian(engine=ck.Engine(sys.argv[1], sys.argv[2]), progress=Told())
"""
    words = [sys.executable, "-c", code, str(engine.paths.root), str(engine.paths.run)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("extracting"):
                break
        assert len(left(engine)) > 1
        process.kill()
    assert eventually(lambda: len(left(engine)) == 1), "its files alone, which the next call sweeps"
    with engine.store.ingest():
        pass
    assert left(engine) == []


def test_an_isolated_program_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    told: list[str] = []
    script = f"mount -t tmpfs tmpfs {tmp_path}; (sleep 60) & setsid sleep 61 & echo $$; printf 'a\\rb\\nlast'"
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        isolated.run(["sh", "-c", f"{script}; wait"], os.environ, told.append, timeout=5)
    assert told == ["1", "a", "b"] and time.monotonic() - began < 50
    # The end of the first process is the end of all.
    assert isolated.run(["sh", "-c", script], os.environ, told.append) == 0 and told[-1] == "last"
    assert time.monotonic() - began < 50
    assert isolated.run(["sh", "-c", "echo end; exit 7"], os.environ, told.append) == 7 and told[-1] == "end"
    assert not os.path.ismount(tmp_path)


# -- the layer -------------------------------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Path]:
    """Something like what the tools make."""
    root = tmp_path / "system"
    files = {
        "var/lib/apt/lists/mirror_dists_x_InRelease": "Origin: X\nDate: Sat, 17 May 2025 10:00:00 UTC\nSuite: x\n",
        "var/lib/apt/lists/mirror_dists_y_Release": "Date: Fri, 16 May 2025 10:00:00 UTC\n",
        "etc/shadow": "root:*:20781:0:99999:7:::\nuser:!:20781::::::\nold::1:0:::::\n", "etc/hostname": "here",
        "var/log/dpkg.log": "made now", "etc/made": "made now", "dev/null": "", "usr/bin/program": "old",
    }  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    os.utime(root / "usr/bin/program", (1_600_000_000, 1_600_000_000))
    yield root


def test_the_same_packages_are_the_same_layer(engine: Engine, system: Path, tmp_path: Path) -> None:
    released = 1747476000  # the newer of the two
    assert debianlayer.released(system) == released
    found = []
    for _ in range(2):
        with (tmp_path / "layer").open("wb") as sink, Packer(sink) as packer:
            debianlayer.add_debian(packer, system)
        found.append(packer.result)
        os.utime(system / "etc/made")
        os.utime(system / "dev", (1, 1))
        (system / "etc/shadow").write_text((system / "etc/shadow").read_text().replace("20781", "20799"))
        (system / "var/log/dpkg.log").write_text("made later")
    assert found[0] == found[1] and found[0].newest == released * 10**9
    root = tmp_path / "unpacked"
    root.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", tmp_path / "layer", "-C", root], check=True)
    day = released // 86400
    assert (root / "etc/shadow").read_text() == f"root:*:{day}:0:99999:7:::\nuser:!:{day}::::::\nold::{day}:0:::::\n"
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == [
        "etc/made", "etc/shadow", "usr/bin/program",
    ]  # fmt: skip
    assert (root / "usr/bin/program").stat().st_mtime == 1_600_000_000 and (root / "var/log").is_dir()
