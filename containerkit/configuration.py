"""What a person or a machine's owner has set for all calls: places, registries, log limits.

Read from ``/etc/containerkit/config.toml``, then from ``$XDG_CONFIG_HOME/containerkit/config.toml`` (default
``~/.config``), whose members win one by one, then from the environment. ``CONTAINERKIT_CONFIG`` names one file instead
of the two. Everything is optional::

    root = "/var/lib/containerkit"        # CONTAINERKIT_ROOT
    run = "/run/containerkit"             # CONTAINERKIT_RUN
    platform = "linux/amd64"              # CONTAINERKIT_PLATFORM: of pulled images; default: this machine's
    bridge = "ck0"                        # CONTAINERKIT_BRIDGE: the default network's; taken as it is when it is there
    bridge_address = "10.1.0.1/24"        # CONTAINERKIT_BRIDGE_ADDRESS: its address and subnet; default: a free one
    bridge_mtu = "1400"                   # CONTAINERKIT_BRIDGE_MTU: bytes; default: the kernel's
    build_cache_size = "20g"              # CONTAINERKIT_BUILD_CACHE_SIZE: of layers that builds keep for the next ones
    build_cache_age = "720h"              # CONTAINERKIT_BUILD_CACHE_AGE: since a build had use of them

    [log]
    max_size = "10m"                      # CONTAINERKIT_LOG_MAX_SIZE
    max_file = 3                          # CONTAINERKIT_LOG_MAX_FILE

    [registries]
    insecure = ["registry.lan:5000", "10.0.0.0/8"]   # CONTAINERKIT_INSECURE_REGISTRIES: without TLS, or unverified
    additional = ["registry.lan:5000"]    # CONTAINERKIT_ADD_REGISTRIES: asked for short names before docker.io
    certs = ["/etc/containerkit/certs.d", "/etc/docker/certs.d"]   # CONTAINERKIT_CERTS: HOST:PORT/*.crt below it

    [registries.mirrors]                  # CONTAINERKIT_MIRRORS: docker.io=https://mirror.lan
    "docker.io" = ["https://mirror.lan"]

    [registries.realms]                   # other sites that may give tokens for a registry
    "registry.lan:5000" = ["tokens.example.com"]

Lists in the environment are separated by commas.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field, fields, replace
from pathlib import Path
from typing import Any

from containerkit.errors import InvalidArgument, from_os_error, suggestion
from containerkit.oci import platforms
from containerkit.options.policies import log_options
from containerkit.options.values import duration, size
from containerkit.values import frozen

_SYSTEM = "/etc/containerkit/config.toml"
_CERTS = ("/etc/containerkit/certs.d", "/etc/docker/certs.d", "/etc/containers/certs.d")

Lists = Mapping[str, tuple[str, ...]]


@frozen
class Log:
    """Bounds of every container's log; None: what containerkit has by itself."""

    max_size: int | None = None
    max_file: int | None = None

    def options(self, given: Any) -> Any:
        """The option ``log_options`` with these bounds where ``given``, which may be None, says nothing."""
        if not (given is None or isinstance(given, Mapping)):
            return given
        return {**{name: value for name, value in vars(self).items() if value is not None}, **(given or {})}


@frozen
class Registries:
    """Where images come from, and how far that is trusted. Registries are named by host, or host and port."""

    insecure: tuple[str, ...] = ()
    additional: tuple[str, ...] = ()
    certs: tuple[str, ...] = _CERTS
    mirrors: Lists = field(default_factory=dict)
    realms: Lists = field(default_factory=dict)


@frozen
class Configuration:
    """All of it; empty texts: what containerkit has by itself."""

    root: str = ""
    run: str = ""
    platform: str = ""
    bridge: str = ""
    bridge_address: str = ""
    bridge_mtu: str = ""
    build_cache_size: str = "20g"
    build_cache_age: str = "720h"
    log: Log = Log()
    registries: Registries = Registries()

    @classmethod
    def load(cls) -> Configuration:
        """From the files and the environment.

        Raises:
            InvalidArgument: something in them cannot be right; the file and the member are named.
        """
        found = cls()
        for path in _files():
            found = found.updated(_read(path), f"configuration {path}")
        return _from_environment(found)

    def updated(self, given: Mapping[str, Any], where: str = "configuration") -> Configuration:
        """With the members that ``given`` has, as the file names them; ``where`` names it in errors.

        Raises:
            InvalidArgument: an unknown member, or one of the wrong kind.
        """
        found: Configuration = _updated(self, given, where, "")
        return found


def _files() -> list[str]:
    if chosen := os.environ.get("CONTAINERKIT_CONFIG"):
        return [chosen]
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [path for path in (_SYSTEM, f"{home}/containerkit/config.toml") if os.path.exists(path)]


def _read(path: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise from_os_error(error, f"configuration {path}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"configuration {path}: {str(error).lower()}") from error


def _updated(value: Any, given: Mapping[str, Any], where: str, prefix: str) -> Any:
    if not isinstance(given, Mapping):
        raise _refusal(where, prefix.rstrip("."), "a table", given)
    known = {one.name: getattr(value, one.name) for one in fields(value)}
    changed = {}
    for name, wanted in given.items():
        if name not in known:
            hint = suggestion(str(name), known, before=prefix) or f" (known are {', '.join(prefix + n for n in known)})"
            raise InvalidArgument(f"{where}: {prefix}{name}: unknown{hint}")
        changed[name] = _member(known[name], wanted, where, prefix + name)
    return replace(value, **changed)


def _member(current: Any, wanted: Any, where: str, name: str) -> Any:
    if isinstance(current, (Log, Registries)):
        return _updated(current, wanted, where, f"{name}.")
    if isinstance(current, Mapping):
        if not isinstance(wanted, Mapping):
            raise _refusal(where, name, "a table", wanted)
        return {**current, **{str(key): _texts(value, where, f"{name}.{key}") for key, value in wanted.items()}}
    if isinstance(current, tuple):
        return _texts(wanted, where, name)
    if name.startswith("log."):
        member = name.removeprefix("log.")
        return getattr(log_options({member: wanted}, f"{where}: log"), member)
    if not isinstance(wanted, str):
        raise _refusal(where, name, "a text", wanted)
    if name == "bridge_mtu" and wanted and not (re.fullmatch(r"[0-9]{1,5}", wanted) and 68 <= int(wanted) <= 65535):
        raise _refusal(where, name, "a text with a number of bytes from 68 to 65535", wanted)
    if name in ("build_cache_size", "build_cache_age"):
        (size if name.endswith("size") else duration)(wanted, f"{where}: {name}")
    if name == "platform" and wanted:
        try:
            platforms.parse(wanted)
        except InvalidArgument as error:
            raise InvalidArgument(f"{where}: {error.message}") from error
    return wanted


def _texts(wanted: Any, where: str, name: str) -> tuple[str, ...]:
    if not isinstance(wanted, (list, tuple)) or not all(type(one) is str for one in wanted):
        raise _refusal(where, name, "a list of texts", wanted)
    return tuple(wanted)


def _refusal(where: str, name: str, expected: str, wanted: Any) -> InvalidArgument:
    return InvalidArgument(f"{where}: {name}{': ' if name else ''}expected {expected}, found {wanted!r:.80}")


def _from_environment(found: Configuration) -> Configuration:
    environment = {
        name: value for name, member in _VARIABLES.items() if (value := os.environ.get(f"CONTAINERKIT_{name}"))
    }
    for name, text in environment.items():
        table, _, member = _VARIABLES[name].rpartition(".")
        value = _parsed(name, text)
        given = {table: {member: value}} if table else {member: value}
        found = found.updated(given, f"configuration CONTAINERKIT_{name}")
    return found


#: Variable, less its prefix → the member it sets.
_VARIABLES = {
    "ROOT": "root", "RUN": "run", "PLATFORM": "platform", "BRIDGE": "bridge", "BRIDGE_ADDRESS": "bridge_address",
    "BRIDGE_MTU": "bridge_mtu", "BUILD_CACHE_SIZE": "build_cache_size",
    "BUILD_CACHE_AGE": "build_cache_age", "LOG_MAX_SIZE": "log.max_size",
    "LOG_MAX_FILE": "log.max_file", "INSECURE_REGISTRIES": "registries.insecure",
    "ADD_REGISTRIES": "registries.additional", "CERTS": "registries.certs", "MIRRORS": "registries.mirrors",
}  # fmt: skip


def _parsed(name: str, text: str) -> Any:
    if not _VARIABLES[name].startswith("registries."):
        return text
    items = [item.strip() for item in text.split(",") if item.strip()]
    if name != "MIRRORS":
        return items
    mirrors: dict[str, list[str]] = {}
    for item in items:
        registry, equals, mirror = item.partition("=")
        if not equals:
            raise InvalidArgument(f"configuration CONTAINERKIT_MIRRORS: {item!r}: write registry=https://mirror")
        mirrors.setdefault(registry, []).append(mirror)
    return mirrors
