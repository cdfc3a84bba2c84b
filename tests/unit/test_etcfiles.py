"""A container's /etc/hosts, /etc/resolv.conf and /etc/hostname."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.net import etcfiles
from containerkit.net.etcfiles import hosts, own_names, resolv_conf, upstreams

HOST = """\
# written by hand
domain old.example
nameserver 127.0.0.53
nameserver 192.0.2.1   # the office
nameserver
nameserver dns.example
nameserver 192.0.2.300
nameserver ::1
nameserver ::ffff:127.0.0.1
nameserver 0.0.0.0
nameserver ::
; another comment
nameserver 2001:db8::53
nameserver fe80::1%eth0
nameserver 192.0.2.1%eth0
nameserver fe80::1%
search first.example
search example.com corp.example # not this
options timeout:1
options attempts:2 timeout:1
sortlist 192.0.2.0
nonsense line
"""
SERVERS = ["127.0.0.53", "192.0.2.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "2001:db8::53", "fe80::1%eth0"]


def test_hosts_of_a_container_alone() -> None:
    assert hosts([]) == (
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n"
        "ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )


def test_hosts_added_then_its_own_then_links() -> None:
    text = hosts(
        [("172.17.0.3", own_names("web", "example.com")), ("fd00::3", own_names("web"))],
        extra=[("db", "10.0.0.1"), ("gate", "172.17.0.1")],
        links=[("172.17.0.2", ("mysql", "0123456789ab", "db")), ("172.17.0.4", ("cache", "ba9876543210", "cache"))],
    )
    assert text.removeprefix(hosts([])).splitlines() == [
        "10.0.0.1\tdb", "172.17.0.1\tgate", "172.17.0.3\tweb.example.com web", "fd00::3\tweb",
        "172.17.0.2\tmysql 0123456789ab db", "172.17.0.4\tcache ba9876543210",
    ]  # fmt: skip


def test_names_of_a_container_itself() -> None:
    assert own_names("web") == ("web",)
    assert own_names("web", "example.com") == ("web.example.com", "web")
    assert own_names("web.example.com") == ("web.example.com", "web")
    assert etcfiles.hostname("web") == "web\n"


def test_the_host_s_servers_without_those_on_its_loopback() -> None:
    assert resolv_conf(HOST).splitlines() == [
        "nameserver 192.0.2.1", "nameserver 2001:db8::53", "search example.com corp.example",
        "options timeout:1 attempts:2",
    ]  # fmt: skip


def test_what_is_given_takes_the_place_of_the_host_s() -> None:
    assert resolv_conf(HOST, servers=["127.0.0.1", "192.0.2.9"]).splitlines()[:3] == [
        "nameserver 127.0.0.1", "nameserver 192.0.2.9", "search example.com corp.example",
    ]  # fmt: skip
    assert "search mine.example\n" in resolv_conf(HOST, search=["mine.example"])
    assert resolv_conf(HOST, options=["ndots:2"]).endswith("corp.example\noptions ndots:2\n")
    assert "search" not in resolv_conf(HOST, search=["."])


def test_with_the_resolver_it_is_the_only_server() -> None:
    assert resolv_conf(HOST, servers=["192.0.2.9"], resolver=True).splitlines() == [
        "nameserver 127.0.0.11", "search example.com corp.example", "options timeout:1 attempts:2 ndots:0",
    ]  # fmt: skip
    assert resolv_conf("", resolver=True) == "nameserver 127.0.0.11\noptions ndots:0\n"
    assert resolv_conf(HOST, options=["ndots:5"], resolver=True).endswith("options ndots:5\n")
    assert resolv_conf("options ndots:3 edns0\n", resolver=True).endswith("options ndots:3 edns0\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("nameserver 127.0.0.53\n", ""),
        ("search a\ndomain b\n", "search b\n"),
        ("domain b c\n", "search b\n"),
        ("search a\nsearch\n", "search a\n"),
        ("search .\n", ""),
        ("search a ;b\n", "search a\n"),
        ("nameserver 192.0.2.1\r\nsearch a b\r\n", "nameserver 192.0.2.1\nsearch a b\n"),
        ("\tnameserver\t192.0.2.1 192.0.2.2", "nameserver 192.0.2.1\n"),
        ("nameservers 192.0.2.1\nNAMESERVER 192.0.2.1\n#nameserver 192.0.2.1\n;search a\n", ""),
        ("nameserver 192.0.2.1\0\n", ""),
    ],
)
def test_resolv_conf_in_odd_forms(text: str, expected: str) -> None:
    assert resolv_conf(text) == expected


@given(st.text("#; \t\r\n.:%0127abnames", max_size=40) | st.text(max_size=40))
def test_any_text_is_read(text: str) -> None:
    once = resolv_conf(f"nameserver {text}\nsearch {text}\noptions {text}\n{text}")
    assert resolv_conf(once) == once


def test_whom_the_resolver_asks() -> None:
    assert upstreams(HOST) == SERVERS
    assert upstreams(HOST + "nameserver 192.0.2.1\n") == SERVERS
    assert upstreams(HOST, ["192.0.2.9", "192.0.2.9"]) == ["192.0.2.9"]
    assert upstreams("") == []


def test_a_monitor_imports_little_for_it() -> None:
    script = f"import sys; sys.path[:0] = {sys.path!r}; import containerkit.net.etcfiles; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert not {"ipaddress", "pathlib", "urllib", "hashlib", "logging"} & set(done.stdout.split())
