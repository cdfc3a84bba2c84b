"""The grammar of mounts: docker's short and long forms, typed ones, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from containerkit import InvalidArgument, Mount
from containerkit.options import Settings, settings
from containerkit.options.mounts import mounts, volume_name, volumes, volumes_from


@pytest.mark.parametrize(("text", "mount"), [
    ("/data", Mount("/data")),
    ("site:/data", Mount("/data", "site")),
    ("site:/data/", Mount("/data", "site")),
    ("site:/data:ro", Mount("/data", "site", read_only=True)),
    ("site:/data:rw,nocopy", Mount("/data", "site", nocopy=True)),
    ("/host:/data", Mount("/data", "/host", "bind", create=True)),
    ("/host/../x:/data:ro,rshared", Mount("/data", "/x", "bind", read_only=True, propagation="rshared", create=True)),
    ("/host:/data:O", Mount("/data", "/host", "bind", copy_on_write=True, create=True)),
    ("/host:/data:U,noexec,z", Mount("/data", "/host", "bind", chown=True, options=("noexec",), create=True)),
])  # fmt: skip
def test_short_forms_are_those_of_docker(text: str, mount: Mount) -> None:
    assert volumes(text) == volumes([text]) == (mount,)


def test_a_relative_path_is_a_directory_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert volumes("./data:/data")[0].source == str(tmp_path / "data")
    monkeypatch.setenv("HOME", "/home/ada")
    assert volumes("~/data:/data")[0].source == "/home/ada/data"


def test_mappings_and_pairs_say_the_same(tmp_path: Path) -> None:
    wanted = (Mount("/data", "site"), Mount("/h", str(tmp_path), "bind", read_only=True, create=True))
    assert volumes({"site": "/data", tmp_path: "/h:ro"}) == wanted
    assert volumes({"site": {"bind": "/data", "mode": "rw"}, str(tmp_path): {"bind": "/h", "mode": "ro"}}) == wanted
    assert volumes([("site", "/data"), (tmp_path, "/h", "ro")]) == wanted


@pytest.mark.parametrize(("value", "mount"), [
    ("type=bind,source=/a,target=/b,readonly", Mount("/b", "/a", "bind", read_only=True)),
    ("src=site,dst=/b,volume-nocopy", Mount("/b", "site", nocopy=True)),
    ("type=volume,src=site,dst=/b,volume-subpath=a/b", Mount("/b", "site", subpath="a/b")),
    ("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1777", Mount("/t", type="tmpfs", size=1 << 20, mode=0o1777)),
    ({"type": "bind", "source": Path("/a"), "target": "/b"}, Mount("/b", "/a", "bind")),
    ({"type": "image", "source": "busybox", "target": "/b"}, Mount("/b", "busybox", "image")),
    (Mount("/t", type="tmpfs", size="2k"), Mount("/t", type="tmpfs", size=2048)),
])  # fmt: skip
def test_long_forms_are_those_of_docker(value: Any, mount: Mount) -> None:
    assert mounts([value]) == (mount,)


@pytest.mark.parametrize(("value", "words"), [
    ("data:relative", "must be an absolute path"),
    ("", "write"),
    ("a:/b:ro:x", "write"),
    ("a:/b:rx", "unknown option 'rx'"),
    ("bad name:/b", "a name has letters"),
    ("site:/", "nothing can be mounted at /"),
    ("site:/proc/self", "nothing can be mounted at /proc/self"),
    (["a:/x", "b:/x/"], "two mounts at one place"),
    (5, "expected"),
    ("site:/data:rshared", "propagation is for bind mounts"),
    ("site:/data:O", "copy_on_write is for bind mounts"),
    ("/host:/data:O,U", "copy_on_write: cannot be combined"),
])  # fmt: skip
def test_what_cannot_be_a_volume_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        volumes(value)


@pytest.mark.parametrize(("value", "words"), [
    ({"target": "/x", "colour": "red"}, "unknown member 'colour'"),
    ({"source": "a"}, "needs a target"),
    ("type=nfs,target=/x", "type 'nfs'"),
    ("type=bind,target=/x", "needs a source"),
    ("type=image,target=/x", "needs a source"),
    (Mount("/x", "/a", "bind", subpath="b"), "subpath is for volume and image"),
    (Mount("/x", size="1m"), "size is for tmpfs"),
    (Mount("/x", "v", subpath="../y"), "expected a path below the volume"),
    (Mount("/x", "v", subpath="/y"), "expected a path below the volume"),
    (Mount("/x", "/a", "bind", propagation="upwards"), "propagation 'upwards'"),
    (Mount("/x", "v", options=("fast",)), "option 'fast'"),
    (Mount("/x", type="tmpfs", size="much"), "size"),
    ("type=tmpfs,target=/x,tmpfs-mode=rwx", "octal"),
])  # fmt: skip
def test_what_cannot_be_a_mount_is_refused(value: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        mounts([value])


def test_volumes_of_other_containers() -> None:
    assert volumes_from("db") == (("db", ""),)
    assert volumes_from(["db:ro", "web:rw"]) == (("db", "ro"), ("web", "rw"))
    with pytest.raises(InvalidArgument, match="expected a container's name"):
        volumes_from("db:x")


def test_one_place_has_one_mount_whoever_says_so() -> None:
    for options in ({"tmpfs": ["/x"]}, {"mounts": [Mount("/x", "b")]}):
        with pytest.raises(InvalidArgument, match="/x: two mounts at one place"):
            settings("true", {"volumes": ["a:/x"], **options})


def test_what_is_written_down_is_read_again() -> None:
    found = settings("true", {"volumes": ["a:/x:ro,noexec"], "mounts": [Mount("/t", type="tmpfs", size="1m")],
                              "volumes_from": ["db:ro"]})  # fmt: skip
    import json

    assert Settings.read(json.loads(json.dumps(found.written()))) == found


def test_a_mount_shows_what_was_said_of_it() -> None:
    assert repr(Mount("/data", "site", read_only=True)) == "Mount(target='/data', source='site', read_only=True)"


@pytest.mark.parametrize("name", ["", "-x", "a/b", "..", "a b", "x" * 256])
def test_names_of_volumes(name: str) -> None:
    with pytest.raises(InvalidArgument, match="a name has letters"):
        volume_name(name)
    assert volume_name("a.b-c_9") == "a.b-c_9"
