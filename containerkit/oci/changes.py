"""Dockerfile instructions that change an image's config and none of its files, as ``import`` and ``commit`` take them.

Source: the Dockerfile reference; docker import ``--change``. The full Dockerfile language is another package's.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from containerkit.errors import InvalidArgument
from containerkit.oci.image_config import ContainerConfig

_SHELL = ("/bin/sh", "-c")


def apply(config: ContainerConfig, changes: Iterable[str]) -> ContainerConfig:
    """``config`` with the instructions carried out in order.

    Raises:
        InvalidArgument: an instruction that is unknown, needs files, or lacks its argument.
    """
    for change in changes:
        word, _, rest = change.strip().partition(" ")
        handler = _HANDLERS.get(word.upper())
        if handler is None:
            near = difflib.get_close_matches(word.upper(), _HANDLERS, 1)
            hint = f"did you mean {near[0]}?" if near else "expected one of " + ", ".join(sorted(_HANDLERS))
            raise InvalidArgument(f"change {change!r}: unknown instruction {word} ({hint})")
        if not rest.strip():
            raise InvalidArgument(f"change {change!r}: {word.upper()} needs an argument")
        config = handler(config, rest.strip(), change)
    return config


Handler = Callable[[ContainerConfig, str, str], ContainerConfig]


def _json_list(text: str) -> tuple[str, ...] | None:
    """The exec form, or None when ``text`` is not a JSON list of strings."""
    try:
        found = json.loads(text) if text.startswith("[") else None
    except ValueError:
        return None
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return tuple(found)
    return None


def _command(config: ContainerConfig, text: str) -> tuple[str, ...]:
    # What looks like the exec form and is not JSON is the shell form, as in Docker.
    exec_form = _json_list(text)
    return exec_form if exec_form is not None else (*(config.shell or _SHELL), text)


def _words(text: str, change: str) -> list[str]:
    exec_form = _json_list(text)
    if exec_form is not None:
        return list(exec_form)
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"change {change!r}: {error}".lower()) from error


def _pairs(text: str, change: str) -> dict[str, str]:
    """``K=V L="W X"``, or the old form ``K the rest``."""
    first = text.split(None, 1)
    if "=" not in first[0]:
        if len(first) < 2:
            raise InvalidArgument(f"change {change!r}: expected name=value")
        return {first[0]: first[1]}
    pairs = {}
    for word in _words(text, change):
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise InvalidArgument(f"change {change!r}: expected name=value, found {word!r}")
        pairs[name] = value
    return pairs


def _env(config: ContainerConfig, text: str, change: str) -> ContainerConfig:
    env = dict(item.partition("=")[::2] for item in config.env or ())
    env.update(_pairs(text, change))
    return replace(config, env=tuple(f"{name}={value}" for name, value in env.items()))


def _label(config: ContainerConfig, text: str, change: str) -> ContainerConfig:
    return replace(config, labels={**(config.labels or {}), **_pairs(text, change)})


def _expose(config: ContainerConfig, text: str, change: str) -> ContainerConfig:
    ports = dict(config.exposed_ports or {})
    for word in _words(text, change):
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", word.lower())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if found is None or not 0 < first <= last < 65536:
            raise InvalidArgument(f"change {change!r}: {word!r} is not a port like 80, 53/udp or 8000-8010")
        ports |= {f"{port}/{found[3] or 'tcp'}": {} for port in range(first, last + 1)}
    return replace(config, exposed_ports=ports)


def _volume(config: ContainerConfig, text: str, change: str) -> ContainerConfig:
    added: Mapping[str, object] = {word: {} for word in _words(text, change)}
    return replace(config, volumes={**(config.volumes or {}), **added})


def _workdir(config: ContainerConfig, text: str, change: str) -> ContainerConfig:
    joined = text if text.startswith("/") else f"{config.working_dir.rstrip('/')}/{text}"
    return replace(config, working_dir=joined)


_HANDLERS: dict[str, Handler] = {
    "CMD": lambda config, text, change: replace(config, cmd=_command(config, text)),
    "ENTRYPOINT": lambda config, text, change: replace(config, entrypoint=_command(config, text)),
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "STOPSIGNAL": lambda config, text, change: replace(config, stop_signal=text),
    "USER": lambda config, text, change: replace(config, user=text),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
