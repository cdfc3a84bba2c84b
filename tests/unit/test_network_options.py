"""Options of networks: what people write for ports, names and addresses, and what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import containerkit as ck
from containerkit.errors import InvalidArgument, Unsupported
from containerkit.oci.image_config import ContainerConfig
from containerkit.options import PortMapping, Settings, network_name, settings
from containerkit.options.ports import expose, ports
from containerkit.supervise.linking import exposed


def read(**options: Any) -> Settings:
    return settings(None, options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [PortMapping(80)]),
        ("0:80", [PortMapping(80)]),
        (":80", [PortMapping(80)]),
        ("8080:80", [PortMapping(80, host_port=8080)]),
        ("127.0.0.1:8080:80", [PortMapping(80, "tcp", "127.0.0.1", 8080)]),
        ("127.0.0.1::80", [PortMapping(80, "tcp", "127.0.0.1")]),
        ("[::1]:8080:80", [PortMapping(80, "tcp", "::1", 8080)]),
        ("[0:0:0:0:0:0:0:1]::80/udp", [PortMapping(80, "udp", "::1")]),
        ("53:53/udp", [PortMapping(53, "udp", "", 53)]),
        ("53:53/UDP", [PortMapping(53, "udp", "", 53)]),
        ("80/tcp", [PortMapping(80)]),
        ("8000-8010:80", [PortMapping(80, "tcp", "", 8000, 8010)]),
        ("8000-8000:80", [PortMapping(80, "tcp", "", 8000)]),
        ("8000-8001:80-81", [PortMapping(80, "tcp", "", 8000), PortMapping(81, "tcp", "", 8001)]),
        ("80-81/udp", [PortMapping(80, "udp"), PortMapping(81, "udp")]),
        ("127.0.0.1::80-81", [PortMapping(80, "tcp", "127.0.0.1"), PortMapping(81, "tcp", "127.0.0.1")]),
    ],
)
def test_ports_are_written_as_docker_writes_them(text: str, expected: list[PortMapping]) -> None:
    assert read(ports=[text]).ports == tuple(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([80, "81:81"], [PortMapping(80), PortMapping(81, host_port=81)]),
        (80, [PortMapping(80)]),
        ("8080:80", [PortMapping(80, host_port=8080)]),
        (PortMapping(80), [PortMapping(80)]),
        ({80: 8080}, [PortMapping(80, host_port=8080)]),
        ({"80/udp": 8080}, [PortMapping(80, "udp", host_port=8080)]),
        ({80: ("127.0.0.1", 8080)}, [PortMapping(80, "tcp", "127.0.0.1", 8080)]),
        ({80: ("::1", None)}, [PortMapping(80, "tcp", "::1")]),
        ({80: ("", 8080)}, [PortMapping(80, host_port=8080)]),
        ({80: None, "81": 0}, [PortMapping(80), PortMapping(81)]),
        (
            {80: [8080, ("127.0.0.1", 8081)]},
            [PortMapping(80, host_port=8080), PortMapping(80, "tcp", "127.0.0.1", 8081)],
        ),
        ({80: (8080, 8081)}, [PortMapping(80, host_port=8080), PortMapping(80, host_port=8081)]),
        ({"80/tcp": "127.0.0.1:8080"}, [PortMapping(80, "tcp", "127.0.0.1", 8080)]),
        ({80: "8000-8010"}, [PortMapping(80, "tcp", "", 8000, 8010)]),
        ([PortMapping(80, "UDP", "0:0::1", 0)], [PortMapping(80, "udp", "::1")]),
        (PortMapping(80, "tcp", "", 8000, 8000), [PortMapping(80, host_port=8000)]),
        ([], []),
    ],
)
def test_ports_are_numbers_mappings_and_objects_too(value: Any, expected: list[PortMapping]) -> None:
    assert read(ports=value).ports == tuple(expected)


numbers = st.integers(1, 65535)
mappings = st.builds(
    PortMapping,
    numbers,
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["", "0.0.0.0", "127.0.0.1", "::", "::1", "fe80::1:2"]),
    st.none() | numbers,
    st.none(),
)
ranges = st.tuples(mappings, numbers).map(
    lambda pair: (
        pair[0]._replace(host_port_end=pair[1]) if pair[0].host_port and pair[1] > pair[0].host_port else pair[0]
    )
)


@given(ranges)
def test_a_mapping_is_read_again_from_its_text(mapping: PortMapping) -> None:
    assert ports([str(mapping)]) == ports([mapping]) == (mapping,)


@given(st.text("0123456789:-[]/.tcpud", max_size=24) | st.text(max_size=12))
def test_any_text_is_ports_or_is_refused(text: str) -> None:
    try:
        found = ports([text])
    except (InvalidArgument, Unsupported):
        return
    assert found and ports([str(one) for one in found]) == found


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["::1:8080:80"], "ports '::1:8080:80': write an IPv6 address in brackets, as \"[::1]:8080:80\""),
        (["127.0.0.1:80"], 'the host\'s port is missing; write "127.0.0.1:8080:80", or "127.0.0.1::80"'),
        (["[::1]:80"], "the host's port is missing"),
        (["localhost:80:80"], "'localhost': not an address"),
        (["[127.0.0.1:80:80"], "not an address"),
        (["1.2.3:80:80"], "not an address"),
        (["8000-8001:80-82"], "ranges of unequal length"),
        (["8000:80-82"], "ranges of unequal length"),
        (["82-80"], "a range from the lower one up"),
        (["65536:80"], "ports go from 1 to 65535"),
        (["8080:0"], "ports go from 1 to 65535"),
        (["8080:80/icmp"], "'icmp': not a protocol"),
        (["8080:80/"], "'': not a protocol"),
        (["8080:http"], "'http': not a port"),
        (["8080:"], "'': not a port"),
        ([" 80"], "' 80': not a port"),
        (["٨٠"], "not a port"),
        ([""], "not a port"),
        ([-1], "not a port"),
        ([True], "expected a port number"),
        (True, "expected a port number"),
        ([8.5], "expected a port number"),
        (8.5, "expected a list"),
        (b"80", "expected a list"),
        ({80: 8.5}, "expected a port number"),
        ([PortMapping(0)], "0: expected a whole number from 1 to 65535"),
        ([PortMapping(80, host_port=70000)], "70000: expected a whole number"),
        ([PortMapping("80")], "'80': expected a whole number"),  # type: ignore[arg-type]  # what a person types
        ([PortMapping(80, host_ip=None)], "host_ip and protocol are strings"),  # type: ignore[arg-type]  # the same
        ([PortMapping(80, "icmp")], "'icmp': not a protocol"),
        ([PortMapping(80, host_ip="here")], "'here': not an address"),
        ([PortMapping(80, host_port_end=81)], "needs host_port"),
        ([PortMapping(80, host_port=82, host_port_end=81)], "is below host_port"),
    ],
)
def test_what_is_not_a_port(value: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(ports=value)
    assert words in str(caught.value)


def test_sctp_is_said_to_be_missing() -> None:
    for value in (["80/sctp"], {"80/sctp": 80}, [PortMapping(80, "sctp")]):
        with pytest.raises(Unsupported, match='sctp is not passed on; write "/tcp" or "/udp"'):
            read(ports=value)


@pytest.mark.parametrize(
    "given",
    [
        ["8080:80", "8080:81"],
        ["8080:80", "8080:80"],
        ["8080:80", "127.0.0.1:8080:81"],
        ["[::1]:8080:80", "8080:81"],
        ["0.0.0.0:8080:80", "127.0.0.1:8080:81"],
        ["[::1]:8080:80", "[::]:8080:81"],
        ["8080-8081:80-81", "8081:82"],
    ],
)
def test_one_port_of_the_host_is_not_published_twice(given: list[str]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(ports=given)
    assert "want the same port of the host" in str(caught.value)
    assert f"{given[-1]}/tcp" in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        ["8080:80", "8080:80/udp"],
        ["127.0.0.1:8080:80", "127.0.0.2:8080:80"],
        ["0.0.0.0:8080:80", "[::]:8080:80"],
        ["80", "80"],
        ["8000-8010:80", "8000-8010:81", "8000:82"],
    ],
)
def test_what_can_be_published_together(given: list[str]) -> None:
    assert len(read(ports=given).ports) == len(given)


def test_what_an_image_says_of_ports_that_are_none_is_passed_over() -> None:
    said: dict[str, object] = {"80/tcp": {}, "²/tcp": {}, "9" * 5000: {}, "53/udp": {}}
    assert exposed(Settings(), ContainerConfig(exposed_ports=said)) == [(53, "udp"), (80, "tcp")]


def test_exposed_ports_are_written_as_images_write_them() -> None:
    given = [80, "53/udp", "7000-7002", "80/tcp"]
    assert read(expose=given).expose == ("80/tcp", "53/udp", "7000/tcp", "7001/tcp", "7002/tcp")
    for value in (["8080:80"], ["0"], ["80/x"], [None], {80: 80}):
        with pytest.raises(InvalidArgument, match="expose"):
            expose(value)
    assert read(publish_all=True).publish_all
    with pytest.raises(InvalidArgument, match="publish_all 1: expected True or False"):
        read(publish_all=1)


@pytest.mark.parametrize(
    ("value", "mode", "names"),
    [
        (None, "bridge", ("bridge",)),
        ("bridge", "bridge", ("bridge",)),
        ("default", "bridge", ("bridge",)),
        ("none", "none", ()),
        ("host", "host", ()),
        ("container:web", "container:web", ()),
        ("backend", "bridge", ("backend",)),
        (["backend", "default"], "bridge", ("backend", "bridge")),
        (["host"], "host", ()),
        (SimpleNamespace(name="backend"), "bridge", ("backend",)),
        ([SimpleNamespace(name="backend"), "front_1.x"], "bridge", ("backend", "front_1.x")),
        (SimpleNamespace(name="none"), "none", ()),
    ],
)
def test_networks(value: Any, mode: str, names: tuple[str, ...]) -> None:
    found = read(network=value)
    assert (found.network, found.networks) == (mode, names)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a b", "network 'a b': use letters, digits"),
        ("", "network ''"),
        (7, "network 7"),
        ([7], "network 7"),
        ([], 'no network; write "none"'),
        ("container:", 'write "container:" and the name or id'),
        (["backend", "host"], "network 'host': cannot be combined with other networks"),
        (["container:web", "backend"], "network 'container:web': cannot be combined"),
        (["bridge", "default"], "network 'bridge': given twice"),
    ],
)
def test_what_is_not_a_network(value: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(network=value)
    assert words in str(caught.value)


def test_names_of_networks() -> None:
    assert network_name("a") == "a" and network_name("Back_end.1-x") == "Back_end.1-x"
    for name in ("-a", ".a", "a/b", "a\n", "ä", None):
        with pytest.raises(InvalidArgument, match="begin with a letter or digit"):
            network_name(name)


def test_links_hosts_and_servers() -> None:
    assert read(links=["db", "db2:my_sql"]).links == (("db", "db"), ("db2", "my_sql"))
    assert read(links={"db": "mysql"}).links == (("db", "mysql"),)
    hosts = read(add_hosts=["a:1.2.3.4", "b=::1", "c:::2", "d:[::3]", "my_host:host-gateway"]).add_hosts
    assert hosts == (("a", "1.2.3.4"), ("b", "::1"), ("c", "::2"), ("d", "::3"), ("my_host", "host-gateway"))
    assert read(add_hosts={"a": "1.2.3.4", "b": "0::1"}).add_hosts == (("a", "1.2.3.4"), ("b", "::1"))
    found = read(dns=["1.1.1.1", "2001:db8::1"], dns_search=["example.com", "a_b."], dns_options=["ndots:2", "use-vc"])
    assert found.dns == ("1.1.1.1", "2001:db8::1") and found.dns_search == ("example.com", "a_b")
    assert found.dns_options == ("ndots:2", "use-vc")
    assert read(dns_search=["."]).dns_search == (".",)


def test_addresses_and_names_on_the_network() -> None:
    assert read(ip="172.20.0.9").ip == ("172.20.0.9",)
    assert read(ip=["172.20.0.9", "fd00:0::9"]).ip == ("172.20.0.9", "fd00::9")
    assert read(network_aliases=["db", "my_db", "db"]).network_aliases == ("db", "my_db")
    assert read(mac_address="02-42-AC-11-00-02").mac_address == "02:42:ac:11:00:02"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"links": "db"}, "links 'db': expected a list"),
        ({"links": ["a b"]}, "links 'a b': not a container's name"),
        ({"links": ["db:a b"]}, "links 'a b': not a host name"),
        ({"add_hosts": ["a"]}, "add_hosts 'a': '': not an address"),
        ({"add_hosts": ["a:b"]}, "add_hosts 'a': 'b': not an address"),
        ({"add_hosts": ["a b:1.2.3.4"]}, "add_hosts 'a b': not a host name"),
        ({"add_hosts": {"a": "1.2.3"}}, "not an address"),
        ({"dns": "1.1.1.1"}, "dns '1.1.1.1': expected a list"),
        ({"dns": ["dns.example"]}, "dns 'dns.example': not an IPv4 or IPv6 address"),
        ({"dns_search": ["a b"]}, "dns_search 'a b': not a host name"),
        ({"dns_search": [".", "a"]}, '"." means no domain; write it alone'),
        ({"dns_search": ["a" * 64]}, "not a host name"),
        ({"dns_search": [".".join(["a" * 60] * 5)]}, "not a host name"),
        ({"dns_options": ["ndots: 2"]}, "dns_options 'ndots: 2': write a word"),
        ({"dns_options": ["ndots:2\nnameserver:1"]}, "write a word"),
        ({"ip": "here"}, "ip 'here': not an IPv4"),
        ({"ip": ["1.2.3.4", "1.2.3.5"]}, "write one address, or a list of an IPv4 and an IPv6"),
        ({"ip": []}, "write one address"),
        ({"ip": 7}, "ip 7: expected a list"),
        ({"network_aliases": "db"}, "network_aliases 'db': expected a list"),
        ({"network_aliases": ["a b"]}, "network_aliases 'a b': not a host name"),
        ({"network_aliases": [""]}, "not a host name"),
        ({"mac_address": "02:42:ac:11:00"}, "mac_address '02:42:ac:11:00': write six bytes"),
        ({"mac_address": "02:42:ac-11:00:02"}, "write six bytes"),
        ({"mac_address": "01:00:5e:00:00:01"}, "a group's address"),
        ({"mac_address": "00:00:00:00:00:00"}, "nobody's address"),
    ],
)
def test_what_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        settings(None, given)
    assert words in str(caught.value)


ENDPOINT = {"ip": "172.20.0.9", "network_aliases": ["db"], "mac_address": "02:42:ac:11:00:02", "links": ["db"]}
PORTS = {"ports": [80], "publish_all": True, "expose": [80]}
FILES = {
    "hostname": "h",
    "dns": ["1.1.1.1"],
    "dns_search": ["a"],
    "dns_options": ["use-vc"],
    "add_hosts": ["a:1.2.3.4"],
}


@pytest.mark.parametrize("network", ["none", "host", "container:web"])
def test_what_belongs_to_a_network_needs_one(network: str) -> None:
    for option, value in ENDPOINT.items():
        with pytest.raises(
            InvalidArgument, match=f"{option}: conflicting with network '{network}': it is on no network"
        ):
            read(network=network, **{option: value})


def test_who_joins_a_container_says_nothing_of_ports_and_names() -> None:
    for option, value in (PORTS | FILES).items():
        with pytest.raises(
            InvalidArgument, match=f"{option}: conflicting with network 'container:web': .*whose network"
        ):
            read(network="container:web", **{option: value})
        # Docker publishes nothing there either, and lets it pass.
        assert getattr(read(network="host", **{option: value}), option)
        assert getattr(read(network="none", **{option: value}), option)
    assert read(network="container:web", domainname="example.com").domainname == "example.com"
    assert read(network=["a", "b"], **ENDPOINT, **PORTS, **FILES).networks == ("a", "b")


def test_network_settings_are_written_down_and_read_again() -> None:
    assert not {"network", "networks"} & Settings().written().keys()
    for options in (
        {"network": ["a", "b"], **ENDPOINT, **PORTS, **FILES, "ports": ["8000-8010:80", "[::1]::53/udp"]},
        {"network": "none"},
        {"network": "container:web"},
    ):
        found = settings(None, options)
        assert Settings.read(json.loads(json.dumps(found.written()))) == found


def test_a_port_mapping_is_public() -> None:
    assert ck.PortMapping is PortMapping
    assert str(PortMapping(80, "tcp", "::1", 8080)) == "[::1]:8080:80/tcp"
