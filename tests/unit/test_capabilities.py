"""Names, and which of them a container gets."""

from __future__ import annotations

import pytest

from containerkit.errors import InvalidArgument
from containerkit.linux import capabilities


def test_the_table_is_the_kernels() -> None:
    numbers = {"CAP_CHOWN": 0, "CAP_SETPCAP": 8, "CAP_SYS_ADMIN": 21, "CAP_AUDIT_READ": 37, "CAP_BPF": 39}
    assert {name: capabilities.NUMBERS[name] for name in numbers} == numbers
    assert len(capabilities.NAMES) == 41


def test_the_default_is_dockers() -> None:
    assert len(capabilities.DEFAULT) == 14
    assert capabilities.mask(capabilities.DEFAULT) == 0xA80425FB


def test_a_mask_and_its_names() -> None:
    assert capabilities.names(capabilities.mask(("CAP_KILL", "CAP_CHOWN"))) == ("CAP_CHOWN", "CAP_KILL")
    assert capabilities.names(1 << 63) == ()


@pytest.mark.parametrize("name", ["net_admin", "NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin"])
def test_names_are_taken_as_docker_takes_them(name: str) -> None:
    assert set(capabilities.resolve([name])) == {*capabilities.DEFAULT, "CAP_NET_ADMIN"}
    assert "CAP_KILL" not in capabilities.resolve([], ["kill"])


def test_all() -> None:
    assert capabilities.resolve(["ALL"]) == capabilities.NAMES
    assert set(capabilities.NAMES) - set(capabilities.resolve(["all"], ["mknod"])) == {"CAP_MKNOD"}
    assert capabilities.resolve([], ["ALL"]) == ()
    assert capabilities.resolve(["chown"], ["ALL"]) == ("CAP_CHOWN",)


def test_added_after_dropped() -> None:
    assert "CAP_KILL" in capabilities.resolve(["kill"], ["kill"])


def test_privileged_has_them_all() -> None:
    assert capabilities.resolve(privileged=True, cap_drop=["ALL"]) == capabilities.NAMES


@pytest.mark.parametrize("name", ["CAP_FLY", "", "CAP_", "NET-ADMIN"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="unknown"):
        capabilities.resolve([name])
    with pytest.raises(InvalidArgument, match="unknown"):
        capabilities.mask([name])
