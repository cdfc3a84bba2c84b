"""The options of ``run``, as a line of words has them: docker's names, and ours.

Which there are, and of what kind each is, say the annotations of ``RunOptions``: ``--memory 64m``, ``--read-only``,
``--env A=1 --env B=2``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from containerkit.options import RunOptions

#: What docker calls them besides.
_ALSO = {
    "add_hosts": ["--add-host"], "cpu_shares": ["-c"], "device_cgroup_rules": ["--device-cgroup-rule"],
    "devices": ["--device"], "dns_options": ["--dns-option"], "env": ["-e"], "healthcheck": ["--health-cmd"],
    "hostname": ["-h"], "labels": ["-l", "--label"], "links": ["--link"], "log_options": ["--log-opt"],
    "memory": ["-m"], "mounts": ["--mount"], "network_aliases": ["--network-alias"], "ports": ["-p", "--publish"],
    "publish_all": ["-P"], "remove": ["--rm"], "stdin_open": ["-i", "--interactive"], "sysctls": ["--sysctl"],
    "tty": ["-t"], "ulimits": ["--ulimit"], "user": ["-u"], "volumes": ["-v", "--volume"], "workdir": ["-w"],
}  # fmt: skip
_NUMBER = re.compile(r"\d+(\.\d+)?")


def add(parser: argparse.ArgumentParser, without: Sequence[str] = ()) -> None:
    """Give ``parser`` the options of ``run``."""
    for name, hint in RunOptions.__annotations__.items():
        if name in without:
            continue
        words = [*_ALSO.get(name, ()), f"--{name.replace('_', '-')}"]
        alternatives = kinds(hint)
        if alternatives == {"bool"}:
            parser.add_argument(*words, dest=name, action="store_true", default=None)
        elif alternatives & {"Sequence", "Networks", "Ports", "Exposed"}:
            parser.add_argument(*words, dest=name, action="append", metavar="VALUE")
        elif alternatives & {"Mapping", "Rates"} and "str" not in alternatives:
            parser.add_argument(*words, dest=name, action=_Pairs, metavar="NAME=VALUE")
        else:
            parser.add_argument(*words, dest=name, type=_reader(alternatives), metavar="VALUE")


def given(wishes: argparse.Namespace) -> dict[str, Any]:
    """Those that the line has, for ``run`` and ``call``."""
    found = {name: getattr(wishes, name, None) for name in RunOptions.__annotations__}
    return {name: _plain(name, value) for name, value in found.items() if value is not None}


def kinds(hint: Any) -> set[str]:
    """The alternatives of an annotation, without what is in brackets."""
    text = str(getattr(hint, "__forward_arg__", hint))
    while "[" in text:
        text = re.sub(r"\[[^\[\]]*\]", "", text)
    return set(text.split(" | "))


def _reader(kinds: set[str]) -> Callable[[str], Any]:
    if kinds == {"int"} or kinds == {"float"}:
        return int if "int" in kinds else float
    return number_or_text if kinds & {"Size", "Duration"} else str


def number_or_text(text: str) -> Any:
    """Bytes and seconds are numbers where no unit follows."""
    return (float(text) if "." in text else int(text)) if _NUMBER.fullmatch(text) else text


def _plain(name: str, value: Any) -> Any:
    """One network is that network; of temporary file systems with options the mapping."""
    if name == "network" and len(value) == 1:
        return value[0]
    if name == "tmpfs" and any(":" in one for one in value):
        return {target: options for target, _, options in (one.partition(":") for one in value)}
    return value


class _Pairs(argparse.Action):
    """``NAME=VALUE``, again and again; docker writes limits of devices with a colon."""

    def __call__(self, parser: argparse.ArgumentParser, found: argparse.Namespace, said: Any, _: Any = None) -> None:
        name, separator, value = str(said).partition(":" if "=" not in said else "=")
        if not name or not separator:
            parser.error(f"--{self.dest.replace('_', '-')} {said}: expected NAME=VALUE")
        soft, _, hard = value.partition(":")
        if self.dest == "ulimits" and soft.lstrip("-").isdigit():
            value = (int(soft), int(hard)) if hard else int(soft)  # type: ignore[assignment]  # what ulimits takes
        setattr(found, self.dest, {**(getattr(found, self.dest) or {}), name: value})
