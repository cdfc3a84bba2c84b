"""Limits into the kernel: each controller's writes, where the controller is.

Source: Documentation/admin-guide/cgroup-v2.rst, "Controlling Controllers".
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable

from containerkit.errors import ContainerkitError, InvalidArgument, Unsupported
from containerkit.linux import bpf
from containerkit.linux.cgroups import device_filter, files
from containerkit.linux.cgroups.controller import Controller, Write
from containerkit.linux.cgroups.controllers import CONTROLLERS
from containerkit.linux.cgroups.hierarchies import Hierarchies
from containerkit.oci.runtime_spec import Resources

#: v2 controllers that every cgroup of ours gets, for they count too. The others are enabled when a limit needs them.
COUNTING = ("cpu", "io", "memory", "pids")


def home(path: str, hierarchies: Hierarchies, controller: Controller) -> tuple[str | None, str | None]:
    """The cgroup's directory where the controller is: (in v1, in v2), at least one of them None."""
    v1 = hierarchies.v1_root(controller.V1)
    if v1 is not None:
        return v1 + path, None
    v2 = hierarchies.v2_root(controller.V2)
    return None, None if v2 is None else v2 + path


def enable(path: str, hierarchies: Hierarchies, names: Iterable[str]) -> None:
    """Have v2 controllers in a cgroup: they are enabled in every cgroup above it, from the root down.

    Best effort: one that cannot be (EBUSY: a cgroup above has processes; EACCES: it is not ours) has no files in this
    cgroup, and a limit that needs them says so.
    """
    wanted = hierarchies.v2_controllers.intersection(names)
    if not wanted or hierarchies.v2 is None:
        return
    directory = hierarchies.v2
    for part in path.strip("/").split("/"):
        file = f"{directory}/cgroup.subtree_control"
        for name in wanted.difference(files.read(file).decode().split()):
            try:
                files.write(file, f"+{name}")
            except OSError:
                continue
        directory = f"{directory}/{part}"


def apply(path: str, hierarchies: Hierarchies, resources: Resources) -> None:
    """As :meth:`Cgroup.apply`."""
    for controller in CONTROLLERS:
        v1, v2 = home(path, hierarchies, controller)
        if v1 is not None:
            _write_all(path, v1, _ask(path, controller.writes_v1, resources))
        elif v2 is not None:
            if writes := _ask(path, controller.writes_v2, resources):
                enable(path, hierarchies, (controller.V2,))
                _write_all(path, v2, writes)
        elif controller.V1 == "devices" and hierarchies.v2 is not None:
            _filter_devices(path, hierarchies.v2 + path, resources)
        elif what := controller.limits(resources):
            raise Unsupported(f"cgroup {path}: limit {what}: no {controller.V1} controller on this machine")
    if resources.unified:
        _apply_unified(path, hierarchies, resources)


def _ask(path: str, writes: Callable[[Resources], list[Write]], resources: Resources) -> list[Write]:
    try:
        return writes(resources)
    except (InvalidArgument, Unsupported) as problem:
        raise type(problem)(f"cgroup {path}: {problem.message}") from None


def _write_all(path: str, directory: str, writes: list[Write]) -> None:
    """All ``writes``. One that the kernel finds invalid is tried again after the others.

    For some depend on each other: v1's memory limit may not exceed that of memory and swap, whichever is written
    first; a quota has to fit its period.
    """
    if not writes:
        return
    with files.Files(directory) as opened:
        again = [write for write in writes if not _try(path, opened, write, len(writes) > 1)]
        for write in again:
            _try(path, opened, write, False)


def _try(path: str, opened: files.Files, write: Write, may_fail: bool) -> bool:
    """Write; False when the kernel finds the value invalid and it ``may_fail``."""
    try:
        _write(opened, write)
    except OSError as problem:
        if problem.errno == errno.EINVAL and may_fail:
            return False
        raise _refusal(path, opened.directory, write, problem) from problem
    return True


def _write(opened: files.Files, write: Write) -> None:
    try:
        opened.write(write.file, write.value)
    except FileNotFoundError:
        if write.otherwise is not None:
            return _write(opened, write.otherwise)
        if not write.optional:
            raise


def _refusal(path: str, directory: str, write: Write, problem: OSError) -> ContainerkitError:
    if problem.errno in (errno.ENOENT, errno.EOPNOTSUPP) and os.path.isdir(directory):
        why = "this kernel has no such limit, or a cgroup above does not pass its controller on"
        return Unsupported(f"cgroup {path}: {write.file} = {write.value}: {why}", errno=problem.errno)
    return files.error(problem, f"cgroup {path}: {write.file} = {write.value}")


def _apply_unified(path: str, hierarchies: Hierarchies, resources: Resources) -> None:
    if hierarchies.v2 is None:
        raise Unsupported(f"cgroup {path}: unified limits: cgroup v2 is not mounted")
    for file, value in resources.unified.items():
        if "/" in file:
            raise InvalidArgument(f"cgroup {path}: unified limit {file!r}: expected a file name")
        enable(path, hierarchies, (file.partition(".")[0],))
        # One line a write: that is how the kernel takes the files that have a line for each device.
        _write_all(path, hierarchies.v2 + path, [Write(file, line) for line in value.split("\n") if line])


def _filter_devices(path: str, directory: str, resources: Resources) -> None:
    if not resources.devices:
        return
    try:
        bpf.replace_device_program(directory, device_filter.compile_rules(resources.devices))
    except InvalidArgument as problem:
        raise InvalidArgument(f"cgroup {path}: {problem.message}") from None
    except OSError as problem:
        raise files.error(problem, f"cgroup {path}: limit devices: {problem.filename}") from problem
