"""Typed inputs: the options of ``run``, ``create`` and ``call``, and the grammar of their values.

Options are written as a person writes them (:class:`RunOptions`) and kept as the machine needs them
(:class:`Settings`): bytes, seconds, lists. Whatever cannot be right is refused here, before anything is touched.
"""

from __future__ import annotations

import difflib
import inspect
import re
import shlex
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from containerkit.errors import InvalidArgument

Command = str | Sequence[str] | None
Size = int | str
Duration = float | str

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SIGNAL = re.compile(r"(?:SIG)?(RTMIN|RTMAX|[A-Z][A-Z0-9]*)([+-]\d+)?|(\d+)")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62})")


class RunOptions(TypedDict, total=False):
    """Options of ``run``, ``create`` and ``call``, named after those of ``docker run``.

    Identity: ``name``; ``replace`` (remove a container of that name first); ``labels``; ``hostname``, ``domainname``;
    ``remove`` (when it ends).

    Process: ``entrypoint``; ``env`` (mapping, or ``"A=1"`` strings) and ``env_file``; ``user`` (``"name"``, ``"1000"``,
    ``"1000:100"``); ``workdir``; ``tty``; ``stop_signal``; ``stop_timeout`` (seconds); ``group_add``.

    Limits: ``memory``, ``memory_swap`` (memory and swap together, -1 unlimited), ``memory_reservation``, ``shm_size``
    (bytes, or ``"64m"``); ``cpus`` (1.5 is one and a half cores); ``cpu_shares``; ``cpu_period``, ``cpu_quota``
    (microseconds); ``cpuset_cpus``, ``cpuset_mems`` (``"0-1"``); ``pids_limit``; ``blkio_weight`` (10 to 1000);
    ``oom_score_adj`` (-1000 to 1000); ``oom_kill_disable``; ``ulimits`` (``{"nofile": 99}`` or ``(soft, hard)``).

    Security: ``cap_add``, ``cap_drop``; ``privileged``; ``security_opt`` (``"no-new-privileges"``,
    ``"seccomp=unconfined"``, ``"seccomp=/a/profile.json"``); ``read_only``; ``sysctls``; ``cgroup_parent``.

    Files: ``tmpfs`` (``{"/run": "size=64m"}`` or paths). Network: ``network`` (``"none"``: loopback only, ``"host"``).
    """

    name: str
    replace: bool
    labels: Mapping[str, str]
    hostname: str
    domainname: str
    remove: bool
    entrypoint: Command
    env: Mapping[str, str] | Sequence[str]
    env_file: str | Path
    user: str | int
    workdir: str
    tty: bool
    stop_signal: str | int
    stop_timeout: Duration
    group_add: Sequence[str | int]
    memory: Size
    memory_swap: Size
    memory_reservation: Size
    shm_size: Size
    cpus: float
    cpu_shares: int
    cpu_period: int
    cpu_quota: int
    cpuset_cpus: str
    cpuset_mems: str
    pids_limit: int
    blkio_weight: int
    oom_score_adj: int
    oom_kill_disable: bool
    ulimits: Mapping[str, int | tuple[int, int]]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    privileged: bool
    security_opt: Sequence[str]
    read_only: bool
    sysctls: Mapping[str, str | int]
    cgroup_parent: str
    tmpfs: Mapping[str, str] | Sequence[str]
    network: str


@dataclass(frozen=True)
class Settings:
    """Options made plain: sizes in bytes, times in seconds, commands and sets as lists. What is written down."""

    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    name: str = ""
    labels: Mapping[str, str] | None = None
    hostname: str = ""
    domainname: str = ""
    remove: bool = False
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    tty: bool = False
    stop_signal: str = ""
    stop_timeout: float | None = None
    group_add: tuple[str, ...] = ()
    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    shm_size: int = 64 << 20
    cpus: float | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None
    blkio_weight: int | None = None
    oom_score_adj: int | None = None
    oom_kill_disable: bool = False
    ulimits: Mapping[str, tuple[int, int]] | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    security_opt: tuple[str, ...] = ()
    read_only: bool = False
    sysctls: Mapping[str, str] | None = None
    cgroup_parent: str = ""
    tmpfs: Mapping[str, str] | None = None
    network: str = "none"

    def written(self) -> dict[str, Any]:
        """Those that were given, as JSON takes them."""
        return {f.name: v for f in fields(self) if (v := getattr(self, f.name)) != f.default}

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Settings:
        """What :meth:`written` wrote."""
        values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in written.items()}
        if "ulimits" in values:
            values["ulimits"] = {name: tuple(pair) for name, pair in values["ulimits"].items()}
        return cls(**values)


def size(value: Size, option: str = "size") -> int:
    """Bytes of ``64``, ``"64m"``, ``"1.5g"``, ``"512KiB"`` (powers of 1024, as docker).

    Raises:
        InvalidArgument: not a size.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    if text == "-1":
        return -1
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidArgument(f'{option} {value!r}: not a size; write bytes, or a number with b, k, m or g as in "64m"')
    return int(float(match[1]) * _UNITS[match[2].lower()])


def duration(value: Duration, option: str = "duration") -> float:
    """Seconds of ``2.5``, ``"1m30s"``, ``"300ms"``.

    Raises:
        InvalidArgument: not a duration, or negative.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value).strip()
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) != text or not parts:
            raise InvalidArgument(
                f'{option} {value!r}: not a duration; write seconds, or a text like "1m30s" or "300ms"'
            )
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not seconds >= 0:
        raise InvalidArgument(f"{option} {value!r}: cannot be negative")
    return seconds


def command(value: Command, option: str = "command") -> tuple[str, ...] | None:
    """The arguments of a list, or of a string split as a shell splits words. No shell runs.

    Raises:
        InvalidArgument: unbalanced quotes, or something that is not text.
    """
    if value is None:
        return None
    if isinstance(value, str):
        try:
            arguments = tuple(shlex.split(value))
        except ValueError as error:
            raise InvalidArgument(f"{option} {value!r}: {str(error).lower()}") from error
    elif isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        arguments = tuple(value)
    else:
        raise InvalidArgument(f"{option} {value!r}: expected a list of arguments, or a string")
    for argument in arguments:
        if not isinstance(argument, str):
            raise InvalidArgument(f"{option}: argument {argument!r} is not a string")
        if not _is_transmissible(argument):
            raise InvalidArgument(f"{option}: argument {argument!r}: holds a NUL or what is not Unicode text")
    return arguments


def _is_transmissible(text: str) -> bool:
    """Whether execve(2) and JSON can carry it: no NUL, no lone surrogates."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)


def signal_number(value: str | int, option: str = "signal") -> int:
    """The number of ``"TERM"``, ``"SIGTERM"``, ``15``, ``"RTMIN+3"``.

    Raises:
        InvalidArgument: there is no such signal.
    """
    found = _SIGNAL.fullmatch(str(value).upper())
    if found is None:
        number = 0
    elif found[3]:
        number = int(found[3])
    elif found[1] in ("RTMIN", "RTMAX"):
        number = signal.Signals[f"SIG{found[1]}"] + int(found[2] or 0)
    else:
        number = 0 if found[2] else getattr(signal, f"SIG{found[1]}", 0)
    if number not in signal.valid_signals():
        raise InvalidArgument(f"{option} {value}: unknown; see signal(7)")
    return int(number)


def container_name(value: str) -> str:
    """A name as docker allows it.

    Raises:
        InvalidArgument: anything else.
    """
    if not _NAME.fullmatch(value):
        raise InvalidArgument(
            f"name {value!r}: use letters, digits, _ . - and at least two, beginning with a letter or digit"
        )
    return value


def environment(value: Mapping[str, str] | Sequence[str], option: str = "env") -> tuple[str, ...]:
    """``("A=1", …)`` from a mapping or from such strings."""
    pairs = [f"{k}={v}" for k, v in value.items()] if isinstance(value, Mapping) else list(_texts(value, option))
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if not name or not equals or not _is_transmissible(pair):
            raise InvalidArgument(f"{option} {pair!r}: write NAME=value")
    return tuple(pairs)


def _env_file(path: str | Path) -> tuple[str, ...]:
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"env_file {path}: {error}") from error
    return environment(
        [line for line in lines if line.strip() and not line.lstrip().startswith("#")], f"env_file {path}"
    )


def _texts(value: Any, option: str) -> tuple[str, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise InvalidArgument(f"{option} {value!r}: expected a list")
    return tuple(str(item) for item in value)


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
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidArgument(f"{option} {value!r}: expected a whole number from {low} to {high}")
        return value

    return read


def _limit(value: Any, option: str) -> int:
    found = size(value, option)
    # A container below 6 MiB cannot even be executed into: docker's own minimum.
    if found != -1 and found < (6 << 20) and option in ("memory", "memory_reservation"):
        raise InvalidArgument(f"{option} {value!r}: the minimum is 6m")
    if found < -1:
        raise InvalidArgument(f"{option} {value!r}: cannot be negative")
    return found


def _cpus(value: Any, option: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0.01 <= value <= 65536:
        raise InvalidArgument(f"{option} {value!r}: expected a number of cores from 0.01 up, as 1.5")
    return float(value)


def _hostname(value: Any, option: str) -> str:
    text = _text(value, option)
    if not _HOSTNAME.fullmatch(text):
        raise InvalidArgument(f"{option} {text!r}: not a host name")
    return text


def _mapping(value: Any, option: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{option} {value!r}: expected a mapping")
    return {str(key): str(item) for key, item in value.items()}


def _ulimits(value: Any, option: str) -> dict[str, tuple[int, int]]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{option} {value!r}: expected a mapping like {{'nofile': 99}}")
    found = {}
    for name, limit in value.items():
        pair = tuple(limit) if isinstance(limit, Sequence) and not isinstance(limit, str) else (limit, limit)
        if len(pair) != 2 or not all(isinstance(item, int) and item >= -1 for item in pair):
            raise InvalidArgument(f"{option} {name}: {limit!r}: expected a whole number or (soft, hard), -1 for none")
        found[str(name)] = (pair[0], pair[1])
    return found


def _tmpfs(value: Any, option: str) -> dict[str, str]:
    found = dict(value) if isinstance(value, Mapping) else dict.fromkeys(_texts(value, option), "")
    for path in found:
        if not path.startswith("/"):
            raise InvalidArgument(f"{option} {path!r}: must be an absolute path")
    return found


def _workdir(value: Any, option: str) -> str:
    text = _text(value, option)
    if not text.startswith("/"):
        raise InvalidArgument(f"{option} {text!r}: must be an absolute path")
    return text


def _network(value: Any, option: str) -> str:
    if value not in ("none", "host"):
        raise InvalidArgument(f'{option} {value!r}: expected "none" or "host"')
    return str(value)


def _user(value: Any, option: str) -> str:
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?", text):
        raise InvalidArgument(f'{option} {text!r}: write a name or number, with ":group" where wanted')
    return text


_COUNT = _whole(0, 2**62)
_READERS: dict[str, Callable[[Any, str], Any]] = {
    "name": lambda value, option: container_name(_text(value, option)),
    "labels": _mapping, "hostname": _hostname, "domainname": _hostname, "remove": _flag,
    "entrypoint": command, "env": environment, "user": _user, "workdir": _workdir, "tty": _flag,
    "stop_signal": _signal, "stop_timeout": duration, "group_add": _texts,
    "memory": _limit, "memory_swap": _limit, "memory_reservation": _limit, "shm_size": _limit, "cpus": _cpus,
    "cpu_shares": _whole(0, 262144), "cpu_period": _whole(1000, 1_000_000), "cpu_quota": _whole(-1, 2**62),
    "cpuset_cpus": _text, "cpuset_mems": _text, "pids_limit": _whole(-1, 4194304), "blkio_weight": _whole(10, 1000),
    "oom_score_adj": _whole(-1000, 1000), "oom_kill_disable": _flag, "ulimits": _ulimits, "cap_add": _texts,
    "cap_drop": _texts, "privileged": _flag, "security_opt": _texts, "read_only": _flag, "sysctls": _mapping,
    "cgroup_parent": _text, "tmpfs": _tmpfs, "network": _network,
}  # fmt: skip


def settings(command_: Command, options: Mapping[str, Any]) -> Settings:
    """The settings that ``options`` stand for.

    Raises:
        InvalidArgument: an unknown option (with the nearest known one), or a value that cannot be right.
    """
    values: dict[str, Any] = {"command": command(command_)}
    extra = _env_file(options["env_file"]) if options.get("env_file") is not None else ()
    for name, value in options.items():
        if name in ("env_file", "replace") or value is None:
            continue
        reader = _READERS.get(name)
        if reader is None:
            raise InvalidArgument(f"option {name}: unknown{_nearest(name)}")
        values[name] = reader(value, name)
    values["env"] = extra + values.get("env", ())
    found = Settings(**values)
    _check_together(found)
    return found


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, [*_READERS, "replace", "env_file"], 1)
    return f"; did you mean {near[0]}?" if near else ""


def _check_together(found: Settings) -> None:
    if found.cpus is not None and (found.cpu_quota is not None or found.cpu_period is not None):
        raise InvalidArgument("cpus: cannot be combined with cpu_period and cpu_quota: it stands for them")
    if found.memory_swap not in (None, -1) and (found.memory is None or found.memory_swap < found.memory):
        raise InvalidArgument("memory_swap: is memory and swap together: it needs memory, and cannot be below it")
    if found.memory_reservation and found.memory and found.memory_reservation > found.memory:
        raise InvalidArgument("memory_reservation: cannot be above memory")


F = TypeVar("F", bound=Callable[..., Any])


def shows_options(function: F) -> F:
    """Give a function that takes ``**options`` a signature that names them, for ``help()`` and for completion."""
    signature = inspect.signature(function)
    given = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    named = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=getattr(hint, "__forward_arg__", hint)
        )
        for name, hint in RunOptions.__annotations__.items()
    ]
    function.__signature__ = signature.replace(parameters=[*given, *named])  # type: ignore[attr-defined]  # PEP 362
    function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{inspect.cleandoc(RunOptions.__doc__ or '')}"
    return function
