"""Options as people write them, and as they are written down."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from containerkit.options import Settings, ports, settings, values
from tests.fuzz.case import parser
from tests.fuzz.edits import text

#: Option → what can be said.
_SAID: dict[str, tuple[str, ...]] = {
    "ports": ("8080:80", "127.0.0.1:8080:80/udp", "[::1]::80", "8000-8010:80", "80-82"),
    "expose": ("80", "53/udp", "7000-7010"),
    "volumes": ("/data", "site:/data:ro,nocopy", "/host:/data:rshared,z"),
    "mounts": ("type=bind,source=/a,target=/b,readonly", "type=tmpfs,dst=/x,tmpfs-size=64m,tmpfs-mode=1777"),
    "volumes_from": ("a:ro",),
    "memory": ("64m", "1.5g", "-1", "512KiB"),
    "memory_swap": ("128m",),
    "shm_size": ("64m",),
    "stop_timeout": ("1m30s", "300ms"),
    "stop_signal": ("SIGRTMIN+3", "15", "TERM"),
    "restart": ("on-failure:3", "always"),
    "user": ("a:b", "1000:1000"),
    "cpuset_cpus": ("0-2,7",),
    "hostname": ("a.b",),
    "network": ("none", "container:x", "a"),
    "ip": ("10.0.0.5", "::1"),
    "dns": ("10.0.0.1",),
    "dns_search": ("a.b.",),
    "dns_options": ("ndots:2",),
    "add_hosts": ("a:1.2.3.4", "a=::1", "a:host-gateway"),
    "links": ("a:b",),
    "mac_address": ("02:42:ac:11:00:02",),
    "userns": ("keep-id:uid=5,gid=6", "container:x", "remap"),
    "devices": ("/dev/a:/dev/b:rwm",),
    "device_cgroup_rules": ("c 10:200 rwm",),
    "device_read_bps": ("/dev/sda:1m",),
    "net_cls_classid": ("0x100001",),
    "env": ("A=b", "C"),
    "tmpfs": ("/x",),
    "workdir": ("/a",),
    "healthcheck": ("CMD x 'y'", "NONE", "CMD-SHELL z"),
    "entrypoint": ("a 'b c'",),
    "cgroup_parent": ("/a",),
    "name": ("web-1",),
    "network_aliases": ("a_b.c",),
    "pid": ("container:a",),
    "ipc": ("shareable",),
    "group_add": ("wheel",),
    "security_opt": ("no-new-privileges",),
}
#: Options that take lists only.
_LISTS = frozenset(
    (
        "dns",
        "dns_search",
        "dns_options",
        "add_hosts",
        "links",
        "devices",
        "device_cgroup_rules",
        "device_read_bps",
        "env",
        "network_aliases",
        "group_add",
        "security_opt",
        "mounts",
    )
)


def _given(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    said = text(*_SAID[name])
    return st.tuples(st.just(name), st.lists(said, max_size=3) if name in _LISTS else said)


@parser("options", st.sampled_from(sorted(_SAID)).flatmap(_given), examples=200)
def _options(case: tuple[str, Any]) -> None:
    name, value = case
    found = settings("sh", {name: value})
    assert Settings.read(json.loads(json.dumps(found.written()))) == found


_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        2**31,
        2**63,
        2**64,
        10**400,
        0.5,
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        "a",
        b"a",
        [],
        {},
        [None],
        {"a": 1},
        [[]],
        ((),),
        {"test": ["CMD"]},
        {"test": "x", "interval": float("inf")},
        {"max_size": "9" * 400 + "m"},
        {"max_file": "9" * 5000},
        {"nofile": (10**30, 10**30)},
        {80: "9" * 5000},
        {"Name": "on-failure", "MaximumRetryCount": "9" * 5000},
        {"2MB": "9" * 400},
        [("/a", "/b", "ro")],
        {"a": None},
    ]
)
_NAMES = st.sampled_from(
    sorted(
        {
            *_SAID,
            "cpus",
            "cpu_quota",
            "labels",
            "log_options",
            "ulimits",
            "hugetlb",
            "tty",
            "oom_score_adj",
            "sysctls",
            "env_file",
        }
    )
)


@parser("option of another type", st.tuples(_NAMES, _ODD), examples=200)
def _other(case: tuple[str, Any]) -> None:
    name, value = case
    found = settings("sh", {name: value})
    said = json.loads(json.dumps(found.written(), allow_nan=False))
    assert Settings.read(said) == found


@parser("ports", text(*_SAID["ports"]), subject="ports")
def _ports(data: str) -> None:
    found = ports.ports(data)
    assert ports.ports([str(one) for one in found]) == found


@parser("size", text(*_SAID["memory"]), subject="size")
def _size(data: str) -> None:
    assert -1 <= values.size(data) < 2**63


@parser("duration", text(*_SAID["stop_timeout"]), subject="duration")
def _duration(data: str) -> None:
    assert 0 <= values.duration(data) < 2**40


@parser("command", text('a \'b c\' "d\\"e" f\\ g'), subject="command", examples=25)
def _command(data: str) -> None:
    for word in values.command(data) or ():
        word.encode()
