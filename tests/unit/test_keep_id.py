"""``userns="keep-id"``: who is who, as maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerkit.linux import confinement
from containerkit.oci.runtime_spec import IDMapping, Mount, mapped
from containerkit.options import Settings
from containerkit.options.users import keep_id
from containerkit.supervise.configure.machine import Machine
from containerkit.supervise.userns import Kept, kept

ANNA = (1234, 2345)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("keep-id", ANNA),
        ("keep-id:uid=1000", (1000, 2345)),
        ("keep-id:gid=100", (1234, 100)),
        ("keep-id:gid=100,uid=1000", (1000, 100)),
    ],
)
def test_who_the_person_is_inside(text: str, inside: tuple[int, int]) -> None:
    assert kept(text, ANNA) == Kept(ANNA, inside)


def test_other_words_keep_nobody() -> None:
    assert keep_id("host") is None and kept("container:keep-id", ANNA) is None


@pytest.mark.parametrize("inside", [1, 1000, 65535, 65536, 65537, 2**31 - 1])
def test_an_ordinary_user_s_map_has_the_person_and_everybody_else_once(inside: int) -> None:
    count = 65537
    uids, _ = Kept(ANNA, (inside, 0)).maps(count, count)
    assert mapped(uids, inside) == 0 and mapped(uids, 0) == min(inside, count - 1)
    rows = sorted((row.host_id, row.size) for row in uids)
    ends = [first + size for first, size in rows]
    assert [first for first, _ in rows] == [0, *ends[:-1]] and ends[-1] == count
    outside = {inside, 0, min(inside, count - 1)}
    assert all(mapped(uids, id) == id for id in {33, 12345, count - 2} - outside)
    # On the disk the same two have changed places.
    exchange = Kept(ANNA, (inside, 0)).exchange(count, count)
    assert exchange is not None and exchange.of(0, 0) == (mapped(uids, 0), 0)
    assert exchange.of(*exchange.of(0, 7)) == (0, 7) and exchange.of(33, 44) == (33, 44)


def test_who_is_alone_is_alone_inside_too() -> None:
    person = Kept(ANNA, ANNA)
    assert person.maps(1, 1) == ((IDMapping(1234, 0, 1),), (IDMapping(2345, 0, 1),))
    assert person.exchange(1, 1) is None


def test_who_is_root_inside_needs_no_map() -> None:
    person = Kept(ANNA, (0, 0))
    assert person.maps(65537, 65537) == ((), ()) and person.exchange(65537, 65537) is None


def test_a_path_of_the_host_shows_the_person_as_another() -> None:
    mount = Mount("/data", "bind", "/home/anna", ("rbind", "rprivate"))
    assert Machine(person=ANNA).swapped(Settings(userns="keep-id")) is None
    assert Machine(person=ANNA).swapped(Settings(userns="keep-id:uid=1000")) == Kept(ANNA, (1000, 2345))
    shown = Kept(ANNA, (1000, 2345)).shown(mount)
    assert shown.options == ("rbind", "rprivate", "ridmap")
    assert mapped(shown.uid_mappings, 1234) == 1000 and mapped(shown.uid_mappings, 1000) == 1234
    everybody = {row.size for row in shown.gid_mappings}
    assert everybody == {2**32 - 1} and all(mapped(shown.uid_mappings, id) == id for id in (0, 999, 2**32 - 2))


def test_ranges_of_subordinate_ids_are_numbers_that_there_can_be(tmp_path: Path) -> None:
    path = tmp_path / "subuid"
    path.write_bytes(
        b"\xff:1:2\nanna:100000:65536\nanna:\xc2\xb2:5\nanna:1:0\nanna:4294967295:1\nanna:1:" + b"9" * 5000 + b"\n"
    )
    assert confinement.ranges(str(path), ("anna",)) == [(100000, 65536)]
