"""The firewall's elements, and other firewalls in the way: texts and bytes."""

from __future__ import annotations

from typing import Any

import pytest

from containerkit.net.firewall import Bridge, Translation, table_of
from containerkit.net.obstacles import find


def test_an_element_is_the_same_to_the_kernel_and_to_nft() -> None:
    one = Translation("tcp", "", 8080, "10.1.2.3", 80)
    assert one.text() == "any4 { tcp . 8080 : 10.1.2.3 . 80 }"
    assert one.element() == ("any4", bytes.fromhex("06000000 1f900000"), bytes.fromhex("0a010203 00500000"))
    at = Translation("udp", "192.0.2.1", 53, "10.1.2.3", 5353)
    assert at.text() == "at4 { 192.0.2.1 . udp . 53 : 10.1.2.3 . 5353 }"
    assert at.element().key == bytes.fromhex("c0000201 11000000 00350000")
    v6 = Translation("tcp", "::", 80, "fd00::2", 80)
    assert v6.text() == "any6 { tcp . 80 : fd00::2 . 80 }" and len(v6.element().data) == 20


@pytest.mark.parametrize(
    ("host_ip", "address", "possible"),
    [("", "10.1.2.3", True), ("", "fd00::2", True), ("::1", "10.1.2.3", False), ("127.0.0.1", "fd00::2", False)],
)
def test_one_ip_is_not_translated_to_the_other(host_ip: str, address: str, possible: bool) -> None:
    assert Translation("tcp", host_ip, 80, address, 80).is_possible is possible


def test_what_a_bridge_may_is_its_places_in_the_sets() -> None:
    plain = " ".join(Bridge("ck0", ("10.1.0.0/24", "fd00::/64")).elements())
    assert "leaving" in plain and "within" in plain and "internal" not in plain
    assert "hairpins4 { 10.1.0.0/24" in plain and "hairpins6 { fd00::/64" in plain
    closed = " ".join(Bridge("ck0", internal=True, among=False).elements())
    assert "internal" in closed and "leaving" not in closed and "within" not in closed


def test_every_engine_has_its_own_table() -> None:
    assert table_of("/a") == table_of("/a") != table_of("/b")


def _chain(family: str, table: str, name: str, policy: str = "drop", hook: str = "forward") -> dict[str, Any]:
    return {"chain": {"family": family, "table": table, "name": name, "hook": hook, "policy": policy}}


def _accept(family: str, table: str, key: str, value: str) -> dict[str, Any]:
    match = {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": value}}
    return {"rule": {"family": family, "table": table, "chain": "x", "expr": [match, {"accept": None}]}}


def test_a_chain_that_drops_is_an_obstacle_until_it_lets_our_bridges_through() -> None:
    chain = _chain("inet", "mine", "forward")
    assert [one.chain for one in find([chain], ("ck0",))] == ["inet mine forward"]
    into, out = _accept("inet", "mine", "iifname", "ck*"), _accept("inet", "mine", "oifname", "ck0")
    assert find([chain, into], ("ck0",)) and not find([chain, into, out], ("ck0",))
    assert find([chain, into, out], ("ck0", "ck-other"))
    assert find([chain, _accept("ip", "mine", "iifname", "ck*"), out], ("ck0",))


def test_chains_that_accept_or_are_elsewhere_are_none() -> None:
    assert not find([_chain("inet", "a", "f", policy="accept"), _chain("inet", "b", "i", hook="input")], ("ck0",))


def test_what_mends_it_is_said_in_its_own_words() -> None:
    (docker,) = find([_chain("ip", "filter", "FORWARD"), {"chain": {"family": "ip", "table": "filter",
                      "name": "DOCKER-USER"}}], ("ck0",))  # fmt: skip
    assert docker.mend == "iptables -I DOCKER-USER -i ck+ -j ACCEPT; iptables -I DOCKER-USER -o ck+ -j ACCEPT"
    (plain,) = find([_chain("ip", "filter", "FORWARD")], ("ck0",))
    assert plain.mend.startswith("iptables -I FORWARD -i ck+")
    (other,) = find([_chain("inet", "mine", "forward")], ("ck0",))
    assert other.mend.startswith("nft insert rule inet mine forward iifname 'ck*' accept")
