"""Which reader takes which option: from what a person wrote to a member of ``Settings``."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from containerkit.errors import InvalidArgument
from containerkit.options import devices, mounts, networks, policies, ports, users, values
from containerkit.options.values import container_name, duration, environment, signal_number, size

_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62})")


def env_file(path: str | Path) -> tuple[str, ...]:
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, TypeError, ValueError) as error:
        raise InvalidArgument(f"env_file {path}: {error}") from error
    return environment(
        [line for line in lines if line.strip() and not line.lstrip().startswith("#")], f"env_file {path}"
    )


def _text(value: Any, option: str) -> str:
    if not isinstance(value, (str, Path)):
        raise InvalidArgument(f"{option} {value!r}: expected a string")
    return str(value)


def _signal(value: Any, option: str) -> str:
    signal_number(value, option)
    return str(value)


def _flag(value: Any, option: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{option} {value!r}: expected True or False")
    return value


def _whole(low: int, high: int) -> Callable[[Any, str], int]:
    def read(value: Any, option: str) -> int:
        number = _number(value, int)
        if not isinstance(number, int) or not low <= number <= high:
            raise InvalidArgument(f"{option} {value!r}: expected a whole number from {low} to {high}")
        return number

    return read


def _limit(value: Any, option: str) -> int:
    found = size(value, option)
    # A container below 6 MiB cannot even be executed into: docker's own minimum.
    if found != -1 and found < (6 << 20) and option in ("memory", "memory_reservation"):
        unit = f' ({found} are bytes; write "{found}m")' if 6 <= found < 1 << 16 else ""
        raise InvalidArgument(f"{option} {value!r}: the minimum is 6m{unit}")
    if found < -1:
        raise InvalidArgument(f"{option} {value!r}: cannot be negative")
    return found


def _cpus(value: Any, option: str) -> float:
    number = _number(value, float)
    if number is None or not 0.01 <= number <= 65536:
        raise InvalidArgument(f"{option} {value!r}: expected a number of cores from 0.01 up, as 1.5")
    return float(number)


def _number(value: Any, kind: Callable[[str], float]) -> float | None:
    """A number, or the text of one, as command lines have it; None for anything else."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return kind(value)
        return None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _hostname(value: Any, option: str) -> str:
    text = _text(value, option)
    if not _HOSTNAME.fullmatch(text):
        raise InvalidArgument(f"{option} {text!r}: not a host name")
    return text


def _mapping(value: Any, option: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f'{option} {value!r}: expected a mapping like {{"name": "value"}}')
    return {str(key): str(item) for key, item in value.items()}


def _ulimits(value: Any, option: str) -> dict[str, tuple[int, int]]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = dict(_ulimit(str(item), option) for item in value)
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{option} {value!r}: expected a mapping like {{'nofile': 99}}")
    found = {}
    for name, limit in value.items():
        pair = tuple(limit) if isinstance(limit, Sequence) and not isinstance(limit, str) else (limit, limit)
        if len(pair) != 2 or not all(isinstance(item, int) and -1 <= item < 2**63 for item in pair):
            raise InvalidArgument(f"{option} {name}: {limit!r}: expected a whole number or (soft, hard), -1 for none")
        found[str(name)] = (pair[0], pair[1])
    return found


def _ulimit(text: str, option: str) -> tuple[str, tuple[int, ...]]:
    """Of ``"nofile=1024:2048"`` or ``"nofile=1024"``, as command lines have it."""
    name, _, limits = text.partition("=")
    try:
        found = tuple(map(int, limits.split(":")))
    except ValueError:
        raise InvalidArgument(f'{option} {text!r}: expected "nofile=1024:2048", soft and hard') from None
    return name, found * 2 if len(found) == 1 else found


def _tmpfs(value: Any, option: str) -> dict[str, str]:
    found = dict(value) if isinstance(value, Mapping) else dict.fromkeys(values.texts(value, option), "")
    for path, words in found.items():
        if not isinstance(path, str) or not path.startswith("/"):
            raise InvalidArgument(f"{option} {path!r}: must be an absolute path")
        if not isinstance(words, str):
            raise InvalidArgument(f'{option} {path}: {words!r}: expected options like "size=64m"')
    return found


def _workdir(value: Any, option: str) -> str:
    text = _text(value, option)
    if not text.startswith("/"):
        raise InvalidArgument(f"{option} {text!r}: must be an absolute path")
    return text


def _joinable(*words: str) -> Callable[[Any, str], str]:
    """One of ``words``, or ``container:NAME``: that container's."""

    def read(value: Any, option: str) -> str:
        kind, _, name = str(value).partition(":")
        if value not in words and not (kind == "container" and name):
            expected = ", ".join(f'"{word}"' for word in words)
            raise InvalidArgument(f'{option} {value!r}: expected {expected} or "container:NAME"')
        return str(value)

    return read


def _one_of(*words: str) -> Callable[[Any, str], str]:
    def read(value: Any, option: str) -> str:
        if value not in words:
            raise InvalidArgument(f"{option} {value!r}: expected {' or '.join(map(repr, words))}")
        return str(value)

    return read


def _class_id(value: Any, option: str) -> int:
    try:
        number = int(value, 0) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 2**32:
        raise InvalidArgument(f"{option} {value!r}: expected a number below 2**32, as 0x100001 for tc's class 10:1")
    return number


def _user(value: Any, option: str) -> str:
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?", text):
        raise InvalidArgument(f'{option} {text!r}: write a name or number, with ":group" where wanted')
    return text


def _cpuset(value: Any, option: str) -> str:
    text = _text(value, option)
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*", text):
        raise InvalidArgument(f'{option} {text!r}: write numbers and ranges, as "0-2,7"')
    return text


def _cgroup_parent(value: Any, option: str) -> str:
    text = _text(value, option)
    if not text.startswith("/") or {".", ".."} & set(text.split("/")):
        raise InvalidArgument(f"{option} {text!r}: must be an absolute path below the root of the hierarchies")
    return text


#: Option → its reader: (value, option's name) → what ``Settings`` holds.
READERS: dict[str, Callable[[Any, str], Any]] = {
    "name": lambda value, option: container_name(_text(value, option)),
    "labels": _mapping, "hostname": _hostname, "domainname": _hostname, "remove": _flag,
    "entrypoint": values.command, "env": environment, "user": _user, "workdir": _workdir, "tty": _flag,
    "stdin_open": _flag, "init": _flag, "restart": policies.restart_policy, "healthcheck": policies.healthcheck,
    "log_options": policies.log_options,
    "stop_signal": _signal, "stop_timeout": duration, "group_add": values.texts,
    "memory": _limit, "memory_swap": _limit, "memory_reservation": _limit, "shm_size": _limit, "cpus": _cpus,
    "cpu_shares": _whole(0, 262144), "cpu_period": _whole(1000, 1_000_000), "cpu_quota": _whole(-1, 2**62),
    "cpuset_cpus": _cpuset, "cpuset_mems": _cpuset, "pids_limit": _whole(-1, 4194304), "blkio_weight": _whole(10, 1000),
    "device_read_bps": devices.rates, "device_write_bps": devices.rates,
    "device_read_iops": devices.rates, "device_write_iops": devices.rates,
    "hugetlb": devices.hugetlb, "net_cls_classid": _class_id,
    "oom_score_adj": _whole(-1000, 1000), "oom_kill_disable": _flag, "ulimits": _ulimits, "cap_add": values.texts,
    "cap_drop": values.texts, "privileged": _flag, "security_opt": values.texts, "read_only": _flag,
    "sysctls": _mapping, "cgroup_parent": _cgroup_parent, "tmpfs": _tmpfs, "devices": devices.devices,
    "volumes": mounts.volumes, "mounts": mounts.mounts, "volumes_from": mounts.volumes_from,
    "device_cgroup_rules": devices.rules,
    "network": networks.network, "network_aliases": networks.aliases, "ip": networks.addresses,
    "dns": networks.servers, "dns_search": networks.search, "dns_options": networks.dns_options,
    "add_hosts": networks.add_hosts, "links": networks.links, "ports": ports.ports, "publish_all": _flag,
    "expose": ports.expose, "mac_address": networks.mac_address,
    "pid": _joinable("private", "host"), "uts": _joinable("private", "host"),
    "ipc": _joinable("private", "shareable", "host"), "cgroupns": _joinable("private", "host"),
    "userns": users.userns,
}  # fmt: skip

#: What changes while a container lives.
RESOURCES = frozenset({
    "memory", "memory_swap", "memory_reservation", "cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus",
    "cpuset_mems", "pids_limit", "blkio_weight", "device_read_bps", "device_write_bps", "device_read_iops",
    "device_write_iops", "restart",
})  # fmt: skip
