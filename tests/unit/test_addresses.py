"""Subnets and addresses: what is asked for, what clashes, what is chosen."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.errors import InvalidArgument
from containerkit.store import addresses
from containerkit.store.addresses import Subnet


def test_the_first_address_is_the_gateway_s_unless_somebody_says() -> None:
    assert addresses.read("10.1.0.0/24", "", "", "network x") == Subnet("10.1.0.0/24", "10.1.0.1")
    assert addresses.read("10.1.0.0/24", "10.1.0.254", "", "network x").gateway == "10.1.0.254"
    assert addresses.read("fd00:1::/64", "", "", "network x").gateway == "fd00:1::1"
    assert addresses.read("10.1.0.0/31", "", "", "network x").gateway == "10.1.0.0"


@pytest.mark.parametrize(
    ("net", "gateway", "part", "words"),
    [
        ("10.1.0.0/33", "", "", "subnet '10.1.0.0/33'"),
        ("10.1.0.1/24", "", "", r"has host bits set \(did you mean 10.1.0.0/24\?\)$"),
        ("10.1.0.0", "", "", 'write how large it is: "10.1.0.0/24"$'),
        ("10.1.0.0/32", "", "", "too small"),
        ("nothing", "", "", "subnet 'nothing'"),
        ("10.1.0.0/24", "10.2.0.1", "", "gateway 10.2.0.1: not in the subnet"),
        ("10.1.0.0/24", "x", "", "gateway: "),
        ("10.1.0.0/24", "", "10.2.0.0/24", "ip_range 10.2.0.0/24: not in the subnet"),
        ("10.1.0.0/24", "", "fd00::/64", "ip_range fd00::/64: not in the subnet"),
    ],
)
def test_what_cannot_be_a_subnet_is_refused(net: str, gateway: str, part: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        addresses.read(net, gateway, part, "network x")
    assert str(caught.value).startswith("network x: ")


def test_the_subnet_s_own_addresses_and_the_gateway_s_are_nobody_s() -> None:
    subnet = addresses.read("10.1.0.0/29", "", "", "network x")
    assert [subnet.address(number) for number in subnet.numbers()] == [f"10.1.0.{n}" for n in range(1, 7)]
    for address in ("10.1.0.0", "10.1.0.7", "10.1.0.1", "10.1.1.2", "x", "fd00::1"):
        with pytest.raises(InvalidArgument):
            subnet.check(address, "network x")
    assert subnet.check("10.1.0.5", "network x") == "10.1.0.5"
    assert addresses.read("fd00::/64", "", "", "x").check("fd00:0:0:0:0::5", "x") == "fd00::5"


def test_a_range_gives_its_own_addresses_only() -> None:
    inside = addresses.read("10.1.0.0/24", "", "10.1.0.128/30", "x")
    assert [inside.address(number) for number in inside.numbers()] == [f"10.1.0.{n}" for n in range(128, 132)]
    at_the_end = addresses.read("10.1.0.0/24", "", "10.1.0.252/30", "x")
    assert [at_the_end.address(number) for number in at_the_end.numbers()] == [f"10.1.0.{n}" for n in (252, 253, 254)]


@given(st.lists(st.integers(0, 255), max_size=60), st.text(max_size=20))
def test_what_is_chosen_clashes_with_nothing(used: list[int], seed: str) -> None:
    taken = [f"10.{192 + number // 16}.{number % 16 * 16}.0/20" for number in used]
    found = addresses.choose(taken, seed)
    assert not addresses.clash(found.net, taken)
    assert found.gateway == str(ipaddress.ip_network(found.net)[1])


def test_when_all_is_taken_it_says_what_to_do() -> None:
    with pytest.raises(InvalidArgument, match="no free subnet is left: name one"):
        addresses.choose(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"], "seed")


def test_engines_begin_elsewhere_and_come_back_to_the_same() -> None:
    assert addresses.choose([], "/a") == addresses.choose([], "/a") != addresses.choose([], "/b")
    assert addresses.choose6("/a") != addresses.choose6("/b")
    net = ipaddress.ip_network(addresses.choose6("/a").net)
    assert net.prefixlen == 64 and net.subnet_of(ipaddress.ip_network("fd00::/8"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("net", "other", "found"),
    [
        ("10.1.0.0/24", "10.1.0.128/25", True),
        ("10.1.0.0/24", "10.0.0.0/8", True),
        ("10.1.0.0/24", "10.2.0.0/24", False),
        ("10.1.0.0/24", "fd00::/8", False),
        ("fd00:1::/64", "fd00:1::5/64", True),
    ],
)
def test_clashes(net: str, other: str, found: bool) -> None:
    assert addresses.clash(net, ["203.0.113.0/24", other]) == (other if found else "")


def test_who_has_an_address_has_the_same_hardware_address_as_who_had_it() -> None:
    assert addresses.mac_of("10.1.2.3") == "02:6b:0a:01:02:03"
    assert addresses.mac_of("fd00::3").startswith("02:6b:") and addresses.mac_of("fd00::3") != addresses.mac_of(
        "fd00::4"
    )
