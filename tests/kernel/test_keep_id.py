"""``userns="keep-id"``, as root: what a container writes into a directory of the host is whose sudo it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Engine, Image

ANNA, GROUP = 4242, 4343


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of hers, with a file of hers and one of root's; she has called sudo."""
    monkeypatch.setenv("SUDO_UID", str(ANNA))
    monkeypatch.setenv("SUDO_GID", str(GROUP))
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    (path / "hers").write_text("hers\n")
    (path / "hers").chmod(0o600)
    (path / "root").touch()
    for one in (path, path / "hers"):
        os.chown(one, ANNA, GROUP)
    yield path


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


def test_the_process_is_who_called_sudo(engine: Engine, image: Image, data: Path) -> None:
    script = "id -u; id -g; echo $HOME; cat /data/hers; touch /data/new; stat -c %u:%g /data/new"
    result = engine.call("busybox", ["sh", "-c", script], userns="keep-id", volumes=[f"{data}:/data"])
    assert result.stdout.split() == ["4242", "4343", "/", "hers", "4242:4343"], result
    assert owner(data / "new") == (ANNA, GROUP)
    # What is asked for wins.
    assert engine.call("busybox", "id -u", userns="keep-id", user="root").stdout == "0\n"


def test_without_sudo_it_is_root(engine: Engine, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert engine.call("busybox", "id -u", userns="keep-id").stdout == "0\n"
    options = {"userns": "keep-id:uid=1000,gid=100", "volumes": [f"{tmp_path}:/data"]}
    script = "touch /data/new; id -u; stat -c %u:%g /data/new"
    result = engine.call("busybox", ["sh", "-c", script], **options)  # type: ignore[arg-type]
    assert result.stdout.split() == ["1000", "1000:100"] and owner(tmp_path / "new") == (0, os.getegid())


def test_another_number_inside(engine: Engine, image: Image, data: Path) -> None:
    """As Jupyter's images want it: user 1000 of group 100."""
    options = {"userns": "keep-id:uid=1000,gid=100", "volumes": [f"{data}:/data"]}
    script = "id -u; id -g; cat /data/hers; touch /data/new; mkdir /data/dir; stat -c %u:%g /data /data/new /data/root"
    result = engine.call("busybox", ["sh", "-c", script], **options)  # type: ignore[arg-type]
    assert result.stdout.split() == ["1000", "100", "hers", "1000:100", "1000:100", "0:0"], result
    assert owner(data / "new") == owner(data / "dir") == (ANNA, GROUP)
    box = engine.run("busybox", "sleep 60", name="box", stop_timeout=0, **options)  # type: ignore[arg-type]
    with box:
        assert box.exec("id -u").stdout == "1000\n" and box.exec("id -u", user="root").stdout == "0\n"
        box.exec("touch /data/another", user="root", check=True)
        assert owner(data / "another") == (0, 0)
        # The two have changed places: who has her number inside is 1000 outside.
        box.exec("chown 4242:4343 /data/another", user="root", check=True)
        assert owner(data / "another") == (1000, 100)
        box.restart()
        box.exec("touch /data/again", check=True)
        assert owner(data / "again") == (ANNA, GROUP)
        steps = [step.description for step in box.explain().steps if "other owners" in step.description]
        assert steps == [f"mount_setattr: {data} with other owners, for /data"]


def test_what_is_given_to_the_user_is_hers(engine: Engine, image: Image, data: Path) -> None:
    options = {"userns": "keep-id:uid=1000,gid=100", "volumes": [f"{data}:/data:U"]}
    result = engine.call("busybox", ["sh", "-c", "touch /data/root; stat -c %u:%g /data /data/*"], **options)  # type: ignore[arg-type]
    assert result.stdout.split() == ["1000:100"] * 3, result
    assert owner(data) == owner(data / "hers") == owner(data / "root") == (ANNA, GROUP)


def test_volumes_of_ours_keep_their_owners(engine: Engine, image: Image, data: Path) -> None:
    engine.call("busybox", "touch /v/root", volumes=["kept:/v"])
    script = "stat -c %u /v/root"
    options = {"userns": "keep-id:uid=1000", "volumes": ["kept:/v"]}
    assert engine.call("busybox", ["sh", "-c", script], **options).stdout == "0\n"  # type: ignore[arg-type]
    engine.volumes["kept"].remove()


def test_a_file_system_without_such_mounts_is_named(engine: Engine, image: Image, data: Path) -> None:
    options = {"userns": "keep-id:uid=1000", "volumes": ["/proc/sys/kernel:/data:ro"]}
    with pytest.raises(ck.RuntimeFailure, match="/proc/sys/kernel.*for /data: .* no idmapped mounts"):
        engine.call("busybox", "true", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["keep-id:", "keep-id:uid", "keep-id:uid=x", "keep-id:uid=1,uid=2", "keepid",
                                  "keep-id:gid=-1", "keep-id:uid=4294967295", "keep-id:name=anna"])  # fmt: skip
def test_another_form_is_refused(engine: Engine, image: Image, text: str) -> None:
    with pytest.raises(ck.InvalidArgument, match=f"userns '{text}': expected .*keep-id:uid=1000,gid=100"):
        engine.call("busybox", "true", userns=text)
