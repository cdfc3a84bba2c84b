"""The command line: arguments, errors and the log."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from containerkit.errors import ContainerkitError, InvalidArgument, Unsupported, from_os_error, start_exit_code
from containerkit.oci import codec
from containerkit.oci.runtime_spec import CPU, SPEC_VERSION, BlockIO, Memory, Pids, Resources
from containerkit.options.values import duration, signal_number, size
from containerkit.runtime.command import executing, life, telling
from containerkit.runtime.command.records import Records

Arguments = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; its exit code."""
    parsed = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        _check_globals(parsed)
        code: int = parsed.do(Records(os.path.abspath(parsed.root)), parsed)
        return code
    except ContainerkitError as error:
        return _fail(parsed, error)
    except BrokenPipeError:
        return 1


def _fail(parsed: Arguments, error: ContainerkitError) -> int:
    text = error.message
    # Those who call runtimes look for the kernel's words.
    if error.errno and (words := os.strerror(error.errno).lower()) not in text.lower():
        text = f"{text}: {words}"
    _log(parsed, "error", text)
    print(f"containerkit-runtime: {text}", file=sys.stderr)
    return start_exit_code(error) if parsed.do in (_run, _exec) else 1


def _log(parsed: Arguments, level: str, text: str) -> None:
    if not parsed.log:
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if parsed.log_format == "json":
        line = json.dumps({"level": level, "msg": text, "time": now})
    else:
        line = f'time="{now}" level={level} msg={json.dumps(text)}'
    try:
        with open(parsed.log, "a") as file:
            file.write(line + "\n")
    except OSError:
        pass  # it is said on standard error too


def _tell(parsed: Arguments, failures: Sequence[str]) -> None:
    for text in failures:
        _log(parsed, "warning", text)
        print(f"containerkit-runtime: warning: {text}", file=sys.stderr)


def _check_globals(parsed: Arguments) -> None:
    if parsed.systemd_cgroup or parsed.cgroup_manager == "systemd":
        raise Unsupported("systemd-cgroup: this runtime makes cgroups itself: use the cgroup manager cgroupfs")


# -- the commands ----------------------------------------------------------------------------------------------------


def _making(parsed: Arguments) -> life.Making:
    preserve = parsed.preserve_fds + int(os.environ.get("LISTEN_FDS", "0") or 0)
    return life.Making(
        parsed.bundle, parsed.config, parsed.console_socket, parsed.pid_file, preserve, pivot=not parsed.no_pivot
    )


def _create(records: Records, parsed: Arguments) -> int:
    life.create(records, parsed.id, _making(parsed))
    return 0


def _start(records: Records, parsed: Arguments) -> int:
    _tell(parsed, life.start(records, parsed.id))
    return 0


def _run(records: Records, parsed: Arguments) -> int:
    code, failures = life.run(records, parsed.id, _making(parsed), detach=parsed.detach, keep=parsed.keep)
    _tell(parsed, failures)
    return code


def _kill(records: Records, parsed: Arguments) -> int:
    life.kill(records, parsed.id, signal_number(parsed.signal), everyone=parsed.all)
    return 0


def _delete(records: Records, parsed: Arguments) -> int:
    _tell(parsed, life.delete(records, parsed.id, force=parsed.force))
    return 0


def _pause(records: Records, parsed: Arguments) -> int:
    life.pause(records, parsed.id)
    return 0


def _resume(records: Records, parsed: Arguments) -> int:
    life.resume(records, parsed.id)
    return 0


def _update(records: Records, parsed: Arguments) -> int:
    life.update(records, parsed.id, _resources(parsed))
    return 0


def _resources(parsed: Arguments) -> Resources:
    if parsed.resources:
        try:
            with open(0 if parsed.resources == "-" else parsed.resources, "rb") as file:
                return codec.loads(Resources, file.read(), parsed.resources)
        except OSError as error:
            raise from_os_error(error, f"resources {parsed.resources}") from error
    return Resources(
        memory=Memory(limit=parsed.memory, reservation=parsed.memory_reservation, swap=parsed.memory_swap),
        cpu=CPU(parsed.cpu_shares, parsed.cpu_quota, parsed.cpu_period, parsed.cpuset_cpus, parsed.cpuset_mems),
        pids=Pids(parsed.pids_limit or 0),
        block_io=BlockIO(weight=parsed.blkio_weight),
    )


def _exec(records: Records, parsed: Arguments) -> int:
    wanted = executing.Execution(
        tuple(parsed.args), parsed.process, parsed.tty, parsed.user, parsed.cwd, tuple(parsed.env), tuple(parsed.cap),
        tuple(parsed.additional_gids), parsed.no_new_privs, parsed.detach, parsed.console_socket, parsed.pid_file,
        parsed.preserve_fds, parsed.ignore_paused,
    )  # fmt: skip
    if not wanted.args and not wanted.process:
        raise InvalidArgument("exec: no command, and no --process")
    return executing.execute(records, parsed.id, wanted)


def _state(records: Records, parsed: Arguments) -> int:
    print(telling.state(records, parsed.id))
    return 0


def _list(records: Records, parsed: Arguments) -> int:
    if text := telling.containers(records, parsed.format, quiet=parsed.quiet):
        print(text)
    return 0


def _ps(records: Records, parsed: Arguments) -> int:
    print(telling.processes(records, parsed.id, parsed.format))
    return 0


def _events(records: Records, parsed: Arguments) -> int:
    for line in telling.events(records, parsed.id, duration(parsed.interval, "interval"), once=parsed.stats):
        print(line, flush=True)
    return 0


def _features(records: Records, parsed: Arguments) -> int:
    print(telling.features())
    return 0


def _spec(records: Records, parsed: Arguments) -> int:
    telling.write_example(parsed.bundle, rootless=parsed.rootless_spec)
    return 0


# -- their arguments -------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"containerkit-runtime: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="containerkit-runtime", description="run containers from bundles (OCI runtime specification)")
    default = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", f"/tmp/run-{os.geteuid()}")
    parser.add_argument("--root", default=f"{default}/containerkit-runtime", help="where containers are written down")
    parser.add_argument("--log", default="", metavar="FILE", help="write errors there, too")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--log-level", default="", help=argparse.SUPPRESS)
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--systemd-cgroup", action="store_true", help="refused: cgroups are made without systemd")
    parser.add_argument("--cgroup-manager", choices=("cgroupfs", "systemd", "disabled"), default="cgroupfs")
    parser.add_argument("--rootless", default="auto", help=argparse.SUPPRESS)
    parser.add_argument("--criu", default="", help=argparse.SUPPRESS)
    parser.add_argument("--version", "-v", action="version", version=_version())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_life(commands)
    _add_telling(commands)
    return parser


def _version() -> str:
    from containerkit import __version__

    return f"containerkit-runtime version {__version__}\nspec: {SPEC_VERSION}"


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, do: Callable[[Records, Arguments], int], text: str
) -> argparse.ArgumentParser:
    added = commands.add_parser(name, help=text, description=text)
    added.set_defaults(do=do)
    return added


def _add_life(commands: argparse._SubParsersAction[_Parser]) -> None:
    for name, do, text in (
        ("create", _create, "make a container that waits for start"),
        ("run", _run, "make and start a container, and wait for its end"),
    ):
        added = _command(commands, name, do, text)
        added.add_argument("--bundle", "-b", default=".", metavar="DIRECTORY")
        added.add_argument("--config", "-f", default="config.json", metavar="FILE", help="another configuration")
        _add_process_options(added)
        added.add_argument("--no-pivot", action="store_true", help="move the root file system, where there is no pivot")
        for tolerated in ("--no-new-keyring", "--no-subreaper"):
            added.add_argument(tolerated, action="store_true", help=argparse.SUPPRESS)
        if name == "run":
            added.add_argument("--detach", "-d", action="store_true", help="return once it runs")
            added.add_argument("--keep", action="store_true", help="do not delete it when it has ended")
        added.add_argument("id")
    _command(commands, "start", _start, "let a created container run").add_argument("id")
    kill = _command(commands, "kill", _kill, "send a signal to a container")
    kill.add_argument("--all", "-a", action="store_true", help="to all its processes")
    kill.add_argument("id")
    kill.add_argument("signal", nargs="?", default="TERM")
    delete = _command(commands, "delete", _delete, "remove a container that has ended")
    delete.add_argument("--force", "-f", action="store_true", help="end it first")
    delete.add_argument("id")
    _command(commands, "pause", _pause, "stop its processes where they are").add_argument("id")
    _command(commands, "resume", _resume, "let them go on").add_argument("id")
    _add_update(commands)
    _add_exec(commands)


def _add_process_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("--console-socket", default="", metavar="SOCKET", help="send the terminal there")
    added.add_argument("--pid-file", default="", metavar="FILE", help="write the pid there")
    added.add_argument("--preserve-fds", type=int, default=0, metavar="N", help="give it descriptors 3 to 2+N")


def _add_update(commands: argparse._SubParsersAction[_Parser]) -> None:
    update = _command(commands, "update", _update, "change limits while it runs")
    update.add_argument("--resources", "-r", default="", metavar="FILE", help="linux.resources as JSON; - for stdin")
    for option in ("--memory", "--memory-reservation", "--memory-swap"):
        update.add_argument(option, type=lambda text: size(text, "memory"), metavar="BYTES")
    for option in ("--cpu-shares", "--cpu-quota", "--cpu-period", "--pids-limit", "--blkio-weight"):
        update.add_argument(option, type=int, metavar="N")
    update.add_argument("--cpuset-cpus", default="", metavar="LIST")
    update.add_argument("--cpuset-mems", default="", metavar="LIST")
    update.add_argument("id")


def _add_exec(commands: argparse._SubParsersAction[_Parser]) -> None:
    added = _command(commands, "exec", _exec, "run one more process in a container")
    added.add_argument("--process", "-p", default="", metavar="FILE", help="the specification's process, as JSON")
    added.add_argument("--tty", "-t", action="store_true")
    added.add_argument("--user", "-u", default="", metavar="UID[:GID]")
    added.add_argument("--cwd", default="", metavar="PATH")
    added.add_argument("--env", "-e", action="append", default=[], metavar="NAME=VALUE")
    added.add_argument("--cap", "-c", action="append", default=[], metavar="NAME", help="one more capability")
    added.add_argument("--additional-gids", "-g", action="append", type=int, default=[], metavar="GID")
    added.add_argument("--no-new-privs", action="store_true")
    added.add_argument("--detach", "-d", action="store_true", help="return once it runs")
    added.add_argument("--ignore-paused", action="store_true")
    _add_process_options(added)
    added.add_argument("id")
    added.add_argument("args", nargs=argparse.REMAINDER, metavar="COMMAND")


def _add_telling(commands: argparse._SubParsersAction[_Parser]) -> None:
    _command(commands, "state", _state, "tell a container's state, as JSON").add_argument("id")
    listing = _command(commands, "list", _list, "list all containers")
    listing.add_argument("--format", "-f", choices=("table", "json"), default="table")
    listing.add_argument("--quiet", "-q", action="store_true", help="ids alone")
    processes = _command(commands, "ps", _ps, "list a container's processes")
    processes.add_argument("--format", "-f", choices=("table", "json"), default="table")
    processes.add_argument("id")
    processes.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    events = _command(commands, "events", _events, "tell what a container uses, as lines of JSON")
    events.add_argument("--interval", default="5s", metavar="TIME")
    events.add_argument("--stats", action="store_true", help="once")
    events.add_argument("id")
    _command(commands, "features", _features, "tell what this runtime can do, as JSON")
    spec = _command(commands, "spec", _spec, "write a configuration to begin with")
    spec.add_argument("--rootless", dest="rootless_spec", action="store_true", help="for an ordinary user")
    spec.add_argument("--bundle", "-b", default=".", metavar="DIRECTORY")
