"""Layers that do not name the directories above their files: the tree is that of layers unpacked one onto another."""

from __future__ import annotations

import os
import signal
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containerkit import Engine, Image
from containerkit.errors import InvalidArgument
from tests import archives, registry_stub, trees
from tests.kernel.test_store import contents, python
from tests.registry_stub import Stub, layer
from tests.tars import END, Member, block, info, pax, tar

LINK, HARDLINK, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
#: user::rwx user:7:r-x group::r-x mask::r-x other::---
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 7, 2**32 - 1, 2, 5, 7, 4, 5, 2**32 - 1, 16, 5, 2**32 - 1, 32, 0, 2**32 - 1)
NOTE = {"SCHILY.xattr.user.note": "hers"}
AGAIN = {"SCHILY.xattr.user.note": "again"}

BASE = tar(
    info("./", DIRECTORY, mode=0o711, uid=3, gid=4, mtime=9),
    info("tmp", DIRECTORY, mode=0o1777, mtime=1),
    info("home", DIRECTORY, mode=0o2750, uid=7, gid=8, mtime=2, pax_headers=NOTE),
    info("home/gone", mode=0o600),
    info("home/sub", DIRECTORY, mode=0o700, uid=9, mtime=3),
    info("usr", DIRECTORY, mode=0o755, mtime=4),
    info("usr/lib", DIRECTORY, mode=0o711, mtime=5),
    (info("usr/lib/old"), b"old"),
    info("lib", LINK, linkname="usr/lib"),
    info("absolute", LINK, linkname="/lib"),
    info("up", LINK, linkname="../../../../../../usr"),
    info("dangling", LINK, linkname="not/there"),
    info("file"),
)  # fmt: skip


@pytest.fixture
def stub(nothing_is_left: None) -> Iterator[Stub]:
    with registry_stub.serving() as stub:
        yield stub


def load(engine: Engine, *layers: bytes) -> Image:
    (image,) = Image.load(archives.tar(archives.docker(*layers, tags=["app:1"])), engine=engine)
    return image


def seen(engine: Engine, place: Path, *members: Member, base: bytes = BASE) -> trees.Facts:
    """What the kernel makes of the base and a layer of these members."""
    return trees.of_image(load(engine, base, tar(*members)), place)


def looks(facts: trees.Facts, name: str) -> tuple[object, ...]:
    """Mode, owner, group, seconds, attributes."""
    mode, uid, gid, time, _, xattrs, _ = facts[name]
    assert isinstance(mode, str) and isinstance(time, int)
    return int(mode, 8) & 0o7777, uid, gid, time // 10**9, xattrs


HOME = (0o2750, 7, 8, 2, {"user.note": b"hers"})


# -- what is implied is as below -------------------------------------------------------------------------------------


def test_a_directory_that_is_only_implied_is_as_the_layers_below_have_it(engine: Engine, tmp_path: Path) -> None:
    found = seen(engine, tmp_path, info("tmp/x"), info("home/sub/y"), info("new/er/z"))
    assert looks(found, "tmp") == (0o1777, 0, 0, 1, {}) and looks(found, "home") == HOME
    assert looks(found, "home/sub") == (0o700, 9, 0, 3, {}) and {"tmp/x", "home/gone", "home/sub/y"} <= found.keys()
    # Where there is nothing: always the same.
    assert looks(found, "new") == looks(found, "new/er") == (0o755, 0, 0, 0, {})


def test_a_container_sees_it_so(engine: Engine, busybox_tar: Path) -> None:
    image = load(engine, busybox_tar.read_bytes(), BASE, tar(info("tmp/x"), info("lib/y"), info("home/.wh.gone")))
    script = "stat -c '%a %u:%g %n' / /tmp /home /lib /usr/lib; ls /tmp /home /usr/lib"
    assert image.call(["sh", "-c", script], check=True).stdout.splitlines() == [
        "711 3:4 /", "1777 0:0 /tmp", "2750 7:8 /home", "777 0:0 /lib", "711 0:0 /usr/lib",
        "/home:", "sub", "", "/tmp:", "x", "", "/usr/lib:", "old", "y",
    ]  # fmt: skip
    assert image.call(["sh", "-c", "echo x >/tmp/mine && id -u"], user="33:33", check=True).stdout == "33\n"


def test_default_rights_are_those_of_below(engine: Engine, tmp_path: Path) -> None:
    base = pax((b"SCHILY.xattr.system.posix_acl_default", ACL)) + block(b"5", b"shared", mode=b"0000755") + END
    found = seen(engine, tmp_path, (info("shared/x", mode=0o644), b"x"), base=base)
    assert looks(found, "shared") == (0o755, 0, 0, 0, {"system.posix_acl_default": ACL})
    assert looks(found, "shared/x") == (0o644, 0, 0, 0, {})


def test_layers_in_between_hand_on_what_is_below_them(engine: Engine, tmp_path: Path) -> None:
    between = tar(info("home/a"), info("home/sub", DIRECTORY, mode=0o770, mtime=30), info("lib/sub/x"))
    found = trees.of_image(load(engine, BASE, between, tar(info("home/sub/b"), info("absolute/sub/y"))), tmp_path)
    assert looks(found, "home") == HOME and looks(found, "home/sub") == (0o770, 0, 0, 30, {})
    assert {"home/a", "home/sub/b", "usr/lib/sub/x", "usr/lib/sub/y"} <= found.keys()


def test_the_last_word_is_the_archives_own(engine: Engine, tmp_path: Path) -> None:
    """An entry for the directory, before the file or after it."""
    own = info("home", DIRECTORY, mode=0o500, mtime=50, pax_headers=AGAIN)
    for members in ([own, info("home/x")], [info("home/x"), own]):
        assert looks(seen(engine, tmp_path, *members), "home") == (0o500, 0, 0, 50, {"user.note": b"again"})
    # One for what is a link below takes the link's place, as with docker; what came before is where the link led.
    found = seen(engine, tmp_path, info("lib/x"), info("lib", DIRECTORY, mode=0o700), info("lib/y"))
    assert looks(found, "lib")[0] == 0o700 and {"lib/y", "usr/lib/x"} <= found.keys() and "lib/x" not in found


def test_the_root_is_as_the_uppermost_layer_says_that_names_it(engine: Engine, busybox_tar: Path) -> None:
    def root(image: Image) -> str:
        return image.call(["stat", "-c", "%a %u:%g", "/"], check=True).stdout

    lower = (busybox_tar.read_bytes(), BASE)
    assert root(load(engine, *lower, tar(info("x")), tar(info("y")))) == "711 3:4\n"
    assert root(load(engine, *lower, tar(info("x")), tar(info(".", DIRECTORY, mode=0o750)))) == "750 0:0\n"
    # What is deleted is all that is in it.
    assert root(load(engine, *lower, tar(info(".wh..wh..opq"), info("y")), busybox_tar.read_bytes())) == "711 3:4\n"


def test_a_copy_of_the_image_has_it_too(engine: Engine, busybox_tar: Path) -> None:
    engine.store.snapshots._can_stack = False
    image = load(engine, busybox_tar.read_bytes(), BASE, tar(info("tmp/x"), info("lib/y")))
    words = ["stat", "-c", "%a %u:%g", "/", "/tmp", "/usr/lib/y"]
    assert image.call(words, check=True).stdout == "711 3:4\n1777 0:0\n644 0:0\n"


# -- links below -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["lib", "absolute", "up/lib"])
def test_files_go_where_the_links_of_the_layers_below_lead(engine: Engine, tmp_path: Path, link: str) -> None:
    found = seen(engine, tmp_path, info(f"{link}/x"), info(f"{link}/sub/y"), info(f"{link}/own", DIRECTORY, mtime=70))
    assert {"usr/lib/old", "usr/lib/x", "usr/lib/sub/y"} <= found.keys()
    assert looks(found, "usr/lib") == (0o711, 0, 0, 5, {}) and looks(found, "usr/lib/own")[3] == 70
    assert looks(found, "usr/lib/sub") == (0o755, 0, 0, 0, {})
    before = trees.of_image(load(engine, BASE), tmp_path)
    for name in ("lib", "absolute", "up", "usr"):
        assert found[name] == before[name]


def test_a_layers_own_link_leads_into_the_layers_below(engine: Engine, tmp_path: Path) -> None:
    found = seen(engine, tmp_path, info("own", LINK, linkname="home/sub"), info("own/x"))
    assert looks(found, "home") == HOME and looks(found, "home/sub/x")
    with pytest.raises(InvalidArgument, match="what is above it is no directory"):
        seen(engine, tmp_path, info("own", LINK, linkname="no/where"), info("own/x"))


def test_hard_links_find_what_went_where_a_link_leads(engine: Engine, tmp_path: Path) -> None:
    found = seen(engine, tmp_path, (info("lib/x"), b"x"), info("tmp/y", HARDLINK, linkname="lib/x"))
    assert found["usr/lib/x"][4] == found["tmp/y"][4] == b"x"
    for name in ("lib/old", "lib/never", "nowhere/x"):
        with pytest.raises(InvalidArgument, match="which is not in the archive"):
            seen(engine, tmp_path, info("tmp/y", HARDLINK, linkname=name))


def test_where_a_link_leads_to_is_made(engine: Engine, tmp_path: Path) -> None:
    found = seen(engine, tmp_path, info("dangling/x"))
    assert looks(found, "not/there/x") and found["dangling"][4] == "not/there"


def test_a_directory_takes_the_place_of_a_file(engine: Engine, tmp_path: Path) -> None:
    assert looks(seen(engine, tmp_path, info("file/x")), "file") == (0o755, 0, 0, 0, {})


def test_a_user_is_found_where_a_link_leads(engine: Engine, busybox_tar: Path) -> None:
    links = tar(info(".wh.etc"), info("etc", LINK, linkname="usr/etc"), (info("usr/etc/passwd"), b"old:x:1:1::/:\n"))
    above = tar((info("etc/passwd"), b"new:x:77:78::/:\n"))
    image = load(engine, busybox_tar.read_bytes(), links, above)
    assert image.call(["id", "-u"], user="new", check=True).stdout == "77\n"


# -- deletions -------------------------------------------------------------------------------------------------------


def test_a_deletion_changes_nothing_of_the_directory(engine: Engine, tmp_path: Path) -> None:
    found = seen(engine, tmp_path, info("home/.wh.gone"), info("lib/.wh.old"))
    assert looks(found, "home") == HOME and looks(found, "usr/lib") == (0o711, 0, 0, 5, {})
    assert not {"home/gone", "usr/lib/old"} & found.keys() and found["lib"][4] == "usr/lib"


def test_all_of_a_directory_is_deleted_but_itself(engine: Engine, tmp_path: Path) -> None:
    found = seen(engine, tmp_path, info("home/.wh..wh..opq"), info("home/x"), info("lib/.wh..wh..opq"))
    assert {name for name in found if name.startswith("home/")} == {"home/x"} and "usr/lib/old" not in found
    mode, uid, gid, time, xattrs = looks(found, "home")
    assert (mode, uid, gid, time) == HOME[:4] and isinstance(xattrs, dict) and xattrs["user.note"] == b"hers"


def test_what_all_of_which_was_deleted_says_nothing_any_more(engine: Engine, tmp_path: Path) -> None:
    mark = info(".wh..wh..opq")
    for layers in (
        [BASE, tar(mark), tar(info("tmp/x"), info("lib/y"))],
        [BASE, tar(mark, info("tmp/x"), info("lib/y"))],
    ):
        found = trees.of_image(load(engine, *layers), tmp_path)
        assert looks(found, "tmp") == looks(found, "lib") == (0o755, 0, 0, 0, {}) and "lib/y" in found


def test_what_was_deleted_and_made_anew_is_new(engine: Engine, tmp_path: Path) -> None:
    found = seen(engine, tmp_path, info(".wh.home"), info("home/x"), info(".wh.lib"), info("lib/y"))
    assert looks(found, "home")[:4] == (0o755, 0, 0, 0) and "home/sub" not in found
    assert "lib/y" in found and "usr/lib/y" not in found


# -- in whatever order they come -------------------------------------------------------------------------------------


UPPER = tar(info("tmp/x"), info("lib/y"), info("home/.wh.gone"))


def test_a_pull_brings_the_same_tree(engine: Engine, stub: Stub, tmp_path: Path) -> None:
    """The lower layer is the larger one, and comes last."""
    large = BASE[:-1024] + tar((info("large"), os.urandom(300_000)))
    stub.image("app", [layer(large, compressed=False), layer(UPPER)])
    stub.rate = 600_000
    expected = trees.of_image(load(engine, large, UPPER), tmp_path)
    other = Engine(tmp_path / "other", tmp_path / "run")
    image = Image.pull(stub.name("app"), engine=other, progress=False)
    assert trees.of_image(image, tmp_path) == expected and looks(expected, "home") == HOME
    assert other.doctor(verify=True)["layers"].ok
    image.remove()
    assert contents(other)["layers"] == contents(other)["tmp"] == []
    other.close()


def test_a_layer_that_depends_on_those_below_waits_for_them(engine: Engine) -> None:
    image = load(engine, BASE, UPPER, tar(info("usr/own", DIRECTORY), info("whole")))
    layers, (below, *_), chain = engine.store.layers, image._record.layers, image._record.chain_ids
    for chain_id in chain:
        layers.remove(chain_id)
    assert layers.unpack(chain[1], chain[:1], image._record.layers[1]) == 0 and not layers.path(chain[1]).exists()
    blob = engine.store.blobs.path(image._record.layers[1].digest)
    assert layers.unpack_growing(chain[1], chain[:1], image._record.layers[1], blob) == 0
    assert contents(engine)["layers"] == contents(engine)["tmp"] == []
    layers.unpack(chain[0], (), below)
    assert layers.unpack(chain[1], chain[:1], image._record.layers[1]) > 0 and layers.path(chain[1]).exists()


def test_a_layer_that_names_all_waits_for_none(engine: Engine) -> None:
    image = load(engine, BASE, tar(info("usr", DIRECTORY), info("usr/x"), info("y")))
    layers, chain = engine.store.layers, image._record.chain_ids
    for chain_id in chain:
        layers.remove(chain_id)
    assert layers.unpack(chain[1], chain[:1], image._record.layers[1]) > 0 and layers.path(chain[1]).exists()


def test_what_is_killed_half_way_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "app.tar").write_bytes(archives.tar(archives.docker(BASE, UPPER, tags=["app:1"])))
    code = """
from containerkit.layers import apply
add = apply.Tree.add
def slow(self, entry):
    add(self, entry)
    if entry.name.startswith("lib/"):
        print(flush=True); time.sleep(60)
apply.Tree.add = slow
ck.Image.load(sys.argv[3], engine=engine, progress=False)
"""
    process = python(engine, code, str(tmp_path / "app.tar"))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len([name for name in contents(engine)["layers"] if name != ".lock"]) == 1  # the lower one, whole
    found = trees.of_image(load(engine, BASE, UPPER), tmp_path)
    assert looks(found, "tmp")[0] == 0o1777 and "usr/lib/y" in found and contents(engine)["tmp"] == []


# -- what others make of such a layer ---------------------------------------------------------------------------------


def spoil_the_lower(lower: Path, upper: Path) -> None:
    (lower / "home").chmod(0o755)


def spoil_the_upper(lower: Path, upper: Path) -> None:
    (upper / "home").chmod(0o755)


def spoil_what_was_moved(lower: Path, upper: Path) -> None:
    (upper / "usr/lib/y").write_text("rotten")


@pytest.mark.parametrize(("spoil", "damaged"), [(spoil_the_lower, 0), (spoil_the_upper, 1), (spoil_what_was_moved, 1)])
def test_damage_is_found_in_the_layer_that_has_it(
    engine: Engine, tmp_path: Path, spoil: Callable[[Path, Path], None], damaged: int
) -> None:
    image = load(engine, BASE, UPPER)
    before, record = trees.of_image(image, tmp_path), image._record
    assert engine.doctor(verify=True)["layers"].ok
    layers = engine.store.layers.ensure(record.chain_ids, record.layers)
    spoil(*layers)
    finding = engine.doctor(verify=True)["layers"]
    assert not finding.ok and [not path.exists() for path in layers] == [damaged == 0, damaged == 1], finding
    # One layer is away: the other can be judged all the same.
    assert engine.doctor(verify=True)["layers"].ok
    assert trees.of_image(image, tmp_path) == before and engine.doctor(verify=True)["layers"].ok
    os.unlink(engine.store.blobs.path(record.layers[0].digest))
    assert engine.doctor(verify=True)["layers"].ok  # nobody can say


def test_images_saved_committed_and_compared_have_the_same_tree(
    engine: Engine, tmp_path: Path, busybox_tar: Path
) -> None:
    box = busybox_tar.read_bytes()
    base, image = load(engine, box, BASE), load(engine, box, BASE, UPPER)
    assert [str(change) for change in base.diff(image)] == ["D /home/gone", "A /tmp/x", "A /usr/lib/y"]
    expected = trees.of_image(image, tmp_path)
    with image.run(["sh", "-c", "echo more >/lib/more"]) as container:
        container.wait(timeout=60)
        assert [str(change) for change in container.diff()] == ["C /usr", "C /usr/lib", "A /usr/lib/more"]
        made = container.commit("made")
    found = trees.of_image(made, tmp_path)
    assert found.pop("usr/lib/more")[4] == b"more\n"
    for name in ("usr/lib", "usr"):  # the container has written there
        assert found.pop(name)[:3] == expected[name][:3]
    assert found.pop(".") == ("0o40711", 3, 4)  # the container's own, where the image's uppermost layer says nothing
    assert found == {name: fact for name, fact in expected.items() if name not in ("usr/lib", "usr", ".")}
    image.save(tmp_path / "app.tar")
    other = Engine(tmp_path / "other", tmp_path / "run")
    (again,) = Image.load(tmp_path / "app.tar", engine=other)
    assert again.id == image.id and trees.of_image(again, tmp_path) == expected
    again.remove()
    other.close()
    entries = {entry.path: entry for entry in image.files(3)}
    assert entries["/home"].mode == "drwxr-s---" and entries["/home/gone"].kind == "deleted"
