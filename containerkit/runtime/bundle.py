"""Reading a bundle: ``config.json`` into a Spec, and what no runtime could execute refused before anything is touched.

Source: runtime-spec config.md and config-linux.md.
"""

from __future__ import annotations

import os
import resource
from dataclasses import replace

from containerkit.errors import InvalidArgument, from_os_error
from containerkit.linux import capabilities, namespaces
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Resources, Rlimit, Spec

#: Parameters that belong to a namespace; every other one is the whole machine's.
_SYSCTLS = {
    "ipc": ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
            "kernel.shmmni", "kernel.shm_rmid_forced", "fs.mqueue."),
    "network": ("net.",),
    "uts": ("kernel.domainname", "kernel.hostname"),
}  # fmt: skip


def load(bundle: str) -> Spec:
    """The validated configuration of the bundle at that path.

    Raises:
        NotFound: no ``config.json``.
        InvalidArgument: it is not what the specification allows; the message names the member.
    """
    path = os.path.join(bundle, "config.json")
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise from_os_error(error, f"bundle {bundle}") from error
    return validate(_complete(codec.loads(Spec, text, "config.json"), bundle))


def _complete(spec: Spec, bundle: str) -> Spec:
    """With a cgroup of its own where there are limits: the specification leaves its default path to the runtime."""
    if spec.linux.cgroups_path or spec.linux.resources == Resources():
        return spec
    found = os.stat(bundle)
    path = f"/containerkit-bundle-{found.st_dev:x}-{found.st_ino:x}"
    return replace(spec, linux=replace(spec.linux, cgroups_path=path))


def write_filter(bundle: str, program: bytes) -> None:
    """Keep the compiled seccomp profile beside the configuration it belongs to."""
    with open(os.path.join(bundle, "seccomp.bpf"), "wb") as file:
        file.write(program)


def read_filter(bundle: str, spec: Spec | None = None) -> bytes:
    """The compiled seccomp profile; compiled now when :func:`write_filter` has not been called and ``spec`` is given.

    Raises:
        Unsupported: it has to be compiled, and libseccomp is not installed.
    """
    try:
        with open(os.path.join(bundle, "seccomp.bpf"), "rb") as file:
            return file.read()
    except FileNotFoundError:
        if spec is None or spec.linux.seccomp is None:
            return b""
    # Not at the top: whoever has compiled profiles needs none of what this needs.
    from containerkit.linux import seccomp_cache

    return seccomp_cache.filter_for(spec.linux.seccomp)


def validate(spec: Spec) -> Spec:
    """``spec`` itself, when a Linux runtime can execute it.

    Raises:
        InvalidArgument: it cannot; the message names the member.
    """
    _validate_process(spec)
    for entry in spec.linux.namespaces:
        if entry.type not in namespaces.KINDS:
            raise InvalidArgument(f"config.json: linux.namespaces: unknown namespace {entry.type}")
    for mount in spec.mounts:
        if not mount.destination.startswith("/"):
            raise InvalidArgument(f"config.json: mounts: {mount.destination}: the destination must be absolute")
    for name in spec.linux.sysctl:
        _validate_sysctl(spec, name)
    if spec.hostname and spec.linux.namespace("uts") is None:
        raise InvalidArgument("config.json: hostname: needs a uts namespace of its own")
    return spec


def _validate_process(spec: Spec) -> None:
    process = spec.process
    if not process.args or not process.args[0]:
        raise InvalidArgument("config.json: process.args: no command")
    if not process.cwd.startswith("/"):
        raise InvalidArgument(f"config.json: process.cwd: {process.cwd}: must be an absolute path")
    for text in (*process.args, *process.env):
        if "\0" in text:
            raise InvalidArgument("config.json: process: an argument or variable holds a NUL character")
    for limit in process.rlimits:
        _validate_rlimit(limit)
    if process.capabilities is not None:
        sets = process.capabilities
        for name in {*sets.bounding, *sets.effective, *sets.permitted, *sets.inheritable, *sets.ambient}:
            if name not in capabilities.NUMBERS:
                raise InvalidArgument(f"config.json: process.capabilities: unknown capability {name}")


def _validate_rlimit(limit: Rlimit) -> None:
    if not limit.type.startswith("RLIMIT_") or not hasattr(resource, limit.type):
        raise InvalidArgument(f"rlimit {limit.type}: unknown; see getrlimit(2)")
    if limit.soft > limit.hard:
        raise InvalidArgument(f"rlimit {limit.type}: soft limit {limit.soft} is above the hard limit {limit.hard}")


def _validate_sysctl(spec: Spec, name: str) -> None:
    if ".." in name.split("/") or name.startswith("/"):
        raise InvalidArgument(f"sysctl {name}: not a parameter's name")
    for kind, prefixes in _SYSCTLS.items():
        if name.replace("/", ".").startswith(prefixes):
            if spec.linux.namespace(kind) is None:
                raise InvalidArgument(f"sysctl {name}: needs a {kind} namespace of its own")
            return
    raise InvalidArgument(f"sysctl {name}: not kept per namespace: it would change the whole machine")
