"""The grammar of devices: which of the host's a container gets, what it may do with which, how fast it may use one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from containerkit.errors import InvalidArgument
from containerkit.options import values


class DeviceMapping(NamedTuple):
    """A device of the host, its path in the container, and what may be done with it (letters of ``rwm``)."""

    host: str
    container: str
    access: str = "rwm"


_RULE = re.compile(r"([abc]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})")


def devices(value: Any, option: str) -> tuple[DeviceMapping, ...]:
    """Of ``"/dev/fuse"``, ``"/dev/sda:/dev/xvda"``, ``"/dev/sda:/dev/xvda:r"``, ``"/dev/sda:r"``."""
    return tuple(_device(item, option) for item in values.texts(value, option))


def _device(text: str, option: str) -> DeviceMapping:
    host, _, rest = text.partition(":")
    container, _, access = rest.partition(":")
    if not access and container and not container.startswith("/"):
        container, access = "", container
    found = DeviceMapping(host, container or host, access or "rwm")
    if not found.host.startswith("/") or not found.container.startswith("/") or set(found.access) - set("rwm"):
        raise InvalidArgument(f'{option} {text!r}: write "/dev/host", with ":/dev/container" and ":rwm" where wanted')
    return found


def rules(value: Any, option: str) -> tuple[str, ...]:
    """``"c 10:200 rwm"``: type, numbers (``*`` for all), access."""
    found = values.texts(value, option)
    for text in found:
        if not _RULE.fullmatch(text):
            raise InvalidArgument(f'{option} {text!r}: write it as "c 10:200 rwm", with * for any number')
    return found


def rates(value: Any, option: str) -> dict[str, int]:
    """Device path → bytes or operations a second, of ``{"/dev/sda": "1m"}`` or ``["/dev/sda:1m"]``."""
    if isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        pairs = [(text.rpartition(":")[0], text.rpartition(":")[2]) for text in values.texts(value, option)]
    found = {}
    for path, rate in pairs:
        number = values.size(rate, f"{option} {path}")
        if not str(path).startswith("/") or number < 1:
            raise InvalidArgument(f'{option} {path}: {rate!r}: write "/dev/sda:1m", or {{"/dev/sda": "1m"}}')
        found[str(path)] = number
    return found


def hugetlb(value: Any, option: str) -> dict[str, int]:
    """Page size → bytes, of ``{"2MB": "64m"}``."""
    if not isinstance(value, Mapping):
        raise InvalidArgument(f'{option} {value!r}: expected a mapping like {{"2MB": "64m"}}')
    return {str(page): values.size(limit, f"{option} {page}") for page, limit in value.items()}


Rates = Mapping[str, int | str] | Sequence[str]
