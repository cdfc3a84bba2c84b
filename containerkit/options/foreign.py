"""What people write who come from elsewhere, and what to write instead.

From ``docker run``, the docker package of Python, testcontainers and :mod:`subprocess`. A name that means the same
under another spelling is refused with that spelling: there is one way to write a thing, and whoever guesses another is
told in the same line.

``OPTIONS`` are keywords of ``run`` and of builds, ``KEYWORDS`` those of single methods, ``ATTRIBUTES`` what is looked
for on an object, ``NAMES`` on the module.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from containerkit.errors import InvalidArgument, suggestion

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

_RETURNS_AT_ONCE = "run() always returns at once; call() waits for the end, and gives the output"
_HEALTH = 'write healthcheck={"test": "command line", "interval": 5}'
_NOT_LINUX = "it means nothing on Linux"

#: Of ``run``, ``create`` and ``call``.
OPTIONS: dict[str, str] = {
    "detach": _RETURNS_AT_ONCE, "d": _RETURNS_AT_ONCE,
    "interactive": "write stdin_open=True, or use Container.attach() or Container.terminal()",
    "i": "write stdin_open=True", "t": "write tty=True", "it": "write tty=True, stdin_open=True",
    "stdout": "call() gives a Result with both streams; Container.logs(stderr=False) one of them",
    "stderr": "call() gives a Result with both streams; Container.logs(stdout=False) one of them",
    "stream": "write run(…).log_lines(follow=True)",
    "rm": "write remove=True", "auto_remove": "write remove=True",
    "environment": 'write env={"NAME": "value"}', "e": 'write env={"NAME": "value"}',
    "envs": 'write env={"NAME": "value"}',
    "environ": 'write env={"NAME": "value"}',
    "v": 'write volumes=["/here:/there"]', "volume": 'write volumes=["/here:/there"]',
    "binds": 'write volumes=["/here:/there"]', "mount": 'write mounts=[Mount("/there", "name")]',
    "volume_driver": "make the volume first: Volume.create(name, driver=…)",
    "p": 'write ports=["8080:80"]', "port": 'write ports=["8080:80"]', "publish": 'write ports=["8080:80"]',
    "port_bindings": "write ports={80: 8080}", "publish_all_ports": "write publish_all=True",
    "mem_limit": 'write memory="64m"', "m": 'write memory="64m"', "mem": 'write memory="64m"',
    "memory_limit": 'write memory="64m"', "memswap_limit": 'write memory_swap="128m"',
    "mem_reservation": 'write memory_reservation="64m"',
    "kernel_memory": "Linux has none of its own any more; write memory=…",
    "mem_swappiness": "not here; memory_swap=… bounds memory and swap together",
    "memory_swappiness": "not here; memory_swap=… bounds memory and swap together",
    "nano_cpus": "write cpus=1.5", "cpu": "write cpus=1.5", "cpu_limit": "write cpus=1.5",
    "cpuset": 'write cpuset_cpus="0-1"',
    "cpu_count": _NOT_LINUX + "; write cpus=1.5", "cpu_percent": _NOT_LINUX + "; write cpus=1.5",
    "isolation": _NOT_LINUX,
    "cpu_rt_period": "not here; write cpus=… or cpu_shares=…",
    "cpu_rt_runtime": "not here; write cpus=… or cpu_shares=…",
    "blkio_weight_device": "not here; write blkio_weight=… or device_read_bps=…",
    "network_mode": 'write network="host", "none", "container:NAME" or a network\'s name',
    "net": "write network=…", "networks": "write network=[…]: one, or a list of them",
    "networking_config": "write network=…, with ip=… and network_aliases=… where wanted",
    "network_disabled": 'write network="none"', "network_alias": 'write network_aliases=["name"]',
    "aliases": 'write network_aliases=["name"]', "ip6": 'write ip=["10.0.0.2", "fd00::2"]', "ip_address": "write ip=…",
    "ipv4_address": "write ip=…", "extra_hosts": 'write add_hosts={"name": "1.2.3.4"}',
    "add_host": 'write add_hosts={"name": "1.2.3.4"}', "dns_opt": 'write dns_options=["ndots:2"]',
    "dns_option": 'write dns_options=["ndots:2"]', "link": 'write links=["db:alias"]', "host": "write hostname=…",
    "restart_policy": 'write restart="on-failure:3", "always" or "unless-stopped"',
    "cmd": "write command=…, or give it after the image", "args": "write command=[…], or give them after the image",
    "image_name": "the image is the first argument", "working_dir": 'write workdir="/path"',
    "w": 'write workdir="/path"',
    "cwd": 'write workdir="/path"', "u": "write user=…", "uid": "write user=…", "h": "write hostname=…",
    "label": 'write labels={"key": "value"}', "l": 'write labels={"key": "value"}',
    "pid_mode": "write pid=…", "ipc_mode": "write ipc=…", "uts_mode": "write uts=…", "userns_mode": "write userns=…",
    "shm": 'write shm_size="64m"', "ulimit": 'write ulimits={"nofile": 99}',
    "sysctl": 'write sysctls={"name": "value"}',
    "cap": 'write cap_add=["NET_ADMIN"]', "device": 'write devices=["/dev/fuse"]',
    "gpus": 'not here; write devices=["/dev/…"], and volumes=… for their libraries',
    "device_requests": 'not here; write devices=["/dev/…"], and volumes=… for their libraries',
    "log_config": 'write log_options={"max_size": "10m"}', "log_opt": 'write log_options={"max_size": "10m"}',
    "log_driver": 'there is one; write log_options={"max_size": "10m"}',
    "health_cmd": _HEALTH, "health_interval": _HEALTH, "health_retries": _HEALTH, "health_timeout": _HEALTH,
    "health_start_period": _HEALTH, "no_healthcheck": 'write healthcheck="NONE"',
    "init_path": "write init=True", "runtime": "there is one, containerkit's own",
    "storage_opt": "not here; a volume can have a size: Volume.create(name, options={\"size\": \"1g\"})",
    "use_config_proxy": "write env={\"https_proxy\": …}", "version": "not needed",
    "cidfile": "the container is what run() returns: .id", "stdin": "write call(…, input=…), or stdin_open=True",
    "capture_output": "call() always gives the output", "text": "Result.stdout is text, Result.stdout_bytes are bytes",
    "shell": 'no shell runs; write ["sh", "-c", "command line"]',
    "timeout": "of call() and exec(); run() returns at once: Container.wait(timeout=…)",
    "check": "of call() and exec(); run() returns at once", "input": "of call() and exec(); run() returns at once",
    "exist_ok": "write replace=True, which removes the container of that name first",
    "policy": 'write pull="missing", "never" or "always"',
    "tls_verify": "pull first: pull(reference, tls_verify=False)",
}  # fmt: skip

#: Of builds.
OF_BUILDS: dict[str, str] = {
    "path": "the directory is the first argument", "fileobj": "write Image.from_dockerfile(text)",
    "file": "write dockerfile=…", "f": "write dockerfile=…", "t": 'write tag="name"',
    "tags": 'write tag=["one", "two"]',
    "buildargs": 'write build_args={"NAME": "value"}', "args": 'write build_args={"NAME": "value"}',
    "build_arg": 'write build_args={"NAME": "value"}', "nocache": "write no_cache=True",
    "shmsize": 'write shm_size="64m"',
    "rm": "not needed: a step's container never stays", "forcerm": "not needed: a step's container never stays",
    "extra_hosts": 'write add_hosts={"name": "1.2.3.4"}', "network_mode": "write network=…",
    "container_limits": 'write memory="64m", cpus=1.5', "mem_limit": 'write memory="64m"',
    "quiet": "write progress=False",
    "squash": "not here: an image keeps its layers", "secret": 'write secrets={"id": b"value"}',
    "custom_context": "write the archive as the first argument", "encoding": "not needed: an archive says it itself",
    "decode": "not needed: an Image is returned, and errors are exceptions", "label": 'write labels={"key": "value"}',
    "gzip": "not needed", "use_config_proxy": 'write build_args={"https_proxy": …}',
    "build_context": "write contexts={\"name\": …}", "platforms": 'one at a time: write platform="linux/arm64"',
}  # fmt: skip

_OF_PROCESSES = {
    "environment": 'write env={"NAME": "value"}', "working_dir": 'write workdir="/path"',
    "cwd": 'write workdir="/path"', "shell": 'no shell runs; write ["sh", "-c", "command line"]',
}  # fmt: skip

_OF_EXEC = {
    **_OF_PROCESSES,
    "stdin": "write input=…, or use popen()", "socket": "use popen()", "stream": "use popen(), whose stdout is a file",
    "demux": "not needed: a Result has stdout and stderr", "detach": "use popen(), which returns at once",
    "detach_keys": "use attach()", "tty": "use popen(…, tty=True), or terminal() in a notebook",
    "privileged": "not here: give the container what it needs: run(…, cap_add=[…])",
    "stdout": "not needed: a Result has stdout and stderr", "stderr": "not needed: a Result has stdout and stderr",
    "text": "Result.stdout is text, Result.stdout_bytes are bytes",
    "capture_output": "not needed: a Result has the output",
}  # fmt: skip

_OF_POPEN = {
    **_OF_PROCESSES,
    "stdin": "not needed: it has stdin, stdout and stderr", "stdout": "not needed: it has stdin, stdout and stderr",
    "stderr": "not needed: it has stdin, stdout and stderr", "input": "use exec(), or write to its stdin",
    "text": "its streams are bytes; exec() gives text",
    "timeout": "use exec(), or wait(timeout=…)", "check": "use exec()",
}  # fmt: skip

#: Of single methods, by where these are.
KEYWORDS: dict[str, dict[str, str]] = {
    "Container.exec": _OF_EXEC,
    "Container.popen": _OF_POPEN,
    "Container.logs": {
        "stream": "use log_lines(follow=True)", "follow": "use log_lines(follow=True)", "n": "write tail=10",
        "lines": "write tail=10",
    },
    "Container.stats": {
        "stream": "not needed: it is of this moment; record() measures over time",
        "decode": "not needed: the members of Stats are numbers",
    },
    "Container.remove": {"v": "write volumes=True", "link": "not here: a link is an option of its container"},
    "Container.wait": {"condition": "use wait_for(until.…)"},
    "Container.stop": {"time": "write timeout=…", "t": "write timeout=…"},
    "Container.commit": {
        "repository": 'write tag="name:version"', "repo": 'write tag="name:version"',
        "conf": "write changes=['ENV A=1']",
        "m": "write message=…", "comment": "write message=…",
    },
    "Image.pull": {
        "tag": 'write it behind the name: "busybox:1"', "all_tags": "one at a time",
        "repository": "the reference is the first argument", "auth_config": "log in first: login(registry, …)",
        "stream": "write progress=…", "decode": "write progress=…", "pull": 'write policy="missing"',
    },
    "Volume.create": {
        "driver_opts": "write options={…}", "opts": "write options={…}", "opt": "write options={…}",
        "size": 'write options={"size": "100m"}', "label": 'write labels={"key": "value"}',
    },
    "Network.create": {
        "check_duplicate": "not needed: a name is there once; exist_ok=True takes what there is",
        "ipam": 'write subnet="10.1.0.0/24", with gateway=… and ip_range=… where wanted',
        "enable_ipv6": "write ipv6=True", "opt": "write options={…}", "label": 'write labels={"key": "value"}',
        "attachable": "not needed", "scope": "not needed", "ingress": "not here",
    },
}  # fmt: skip
KEYWORDS["pull"] = KEYWORDS["Engine.pull"] = KEYWORDS["Image.pull"]

_STATELESS = "not needed: it reads the current state when asked"
_EXEC = "write .exec(command), which gives a Result"

#: Of objects, by class.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "Container": {
        "attrs": "write .inspect()", "exec_run": _EXEC, "execute": _EXEC, "run": _EXEC, "reload": _STATELESS,
        "state": "write .status, or .inspect()[\"State\"]", "is_running": 'write .status == "running"',
        "running": 'write .status == "running"', "exists": "write NAME in ck.containers",
        "put_archive": "write .copy_in(source, path)", "copy_to": "write .copy_in(source, path)",
        "get_archive": "write .copy_out(path, destination)", "copy_from": "write .copy_out(path, destination)",
        "cp": "write .copy_in(source, path) or .copy_out(path, destination)",
        "attach_socket": "write .attach()", "resize": "of a terminal: .popen(command, tty=True).resize(rows, columns)",
        "rm": "write .remove()", "delete": "write .remove()", "close": "write .remove(force=True), or use with",
        "terminate": "write .stop()", "send_signal": "write .kill(signal)",
        "poll": "write .exit_code, or .wait(timeout=0)",
        "returncode": "write .exit_code", "stdout": "write .logs(stderr=False)", "stderr": "write .logs(stdout=False)",
        "output": "write .logs()", "ip": "write .ip_address", "ps": "write .top()", "shell": "write .terminal()",
        "metrics": "write .stats(), or .record()", "network_settings": 'write .inspect()["NetworkSettings"]',
        "get_exposed_port": "write .port(80)", "get_container_host_ip": "write .port(80), which has address and port",
        "get_wrapped_container": "not needed: this is the container", "client": "not needed: verbs are the module's",
        "open": "write .path(\"/file\").open()",
    },
    "Image": {
        "attrs": "write .inspect()", "reload": _STATELESS, "name": "write .tags", "names": "write .tags",
        "repo_tags": "write .tags", "rm": "write .remove()", "delete": "write .remove()",
        "exec": "write .call(command)",
        "exists": "write NAME in ck.images", "client": "not needed: verbs are the module's",
        "start": "write .run(command)",
        "architecture": "write .platform", "export": "write .save(path)", "env": "write .config.env",
    },
    "Volume": {
        "attrs": "write .inspect()", "reload": _STATELESS, "id": "write .name", "mountpoint": "write .path",
        "rm": "write .remove()", "delete": "write .remove()", "exists": "write NAME in ck.volumes",
        "prune": "write ck.volumes.prune()", "copy": "write .clone(name)",
    },
    "Network": {
        "attrs": "write .inspect()", "reload": _STATELESS, "rm": "write .remove()", "delete": "write .remove()",
        "exists": "write NAME in ck.networks", "prune": "write ck.prune()",
    },
    "Result": {
        "output": "write .stdout", "returncode": "write .exit_code", "status_code": "write .exit_code",
        "code": "write .exit_code", "check_returncode": "write .check()", "decode": "write .stdout, which is text",
        "text": "write .stdout", "strip": "write .stdout.strip()", "split": "write .stdout.split()",
        "splitlines": "write .stdout.splitlines(), or .lines with times and streams",
        "logs": "write .stdout, or .lines",
        "wait": "not needed: it has ended; run() starts what goes on",
        "remove": "not needed: what call() runs is removed; run() starts what stays",
        "stop": "not needed: it has ended; run() starts what goes on",
        "name": "what call() runs is gone; run() gives a container",
    },
    "ContainerCollection": {
        "run": "write ck.run(image, command)", "create": "write ck.Container.create(image, command)",
        "get": "write ck.containers[name]", "list": "write list(ck.containers), or ck.Container.list()",
        "prune": "write ck.prune()",
    },
    "ImageCollection": {
        "pull": "write ck.pull(reference)", "build": "write ck.build(directory, tag=…)",
        "get": "write ck.images[reference]",
        "list": "write list(ck.images), or ck.Image.list()", "load": "write ck.Image.load(path)",
        "push": "write ck.images[reference].push()", "remove": "write ck.images[reference].remove()",
        "search": "write ck.search(term)", "prune": "write ck.prune(), or ck.prune(all=True)",
    },
    "VolumeCollection": {
        "create": "write ck.Volume.create(name)", "get": "write ck.volumes[name]",
        "list": "write list(ck.volumes), or ck.Volume.list()",
    },
    "NetworkCollection": {
        "create": "write ck.Network.create(name)", "get": "write ck.networks[name]",
        "list": "write list(ck.networks), or ck.Network.list()", "prune": "write ck.prune()",
    },
}  # fmt: skip

_NO_CLIENT = "not needed: there is no server; write ck.run(image, command). Engine(root) is a store of its own"

#: Of the module.
NAMES: dict[str, str] = {
    "from_env": _NO_CLIENT, "DockerClient": _NO_CLIENT, "APIClient": _NO_CLIENT, "Client": _NO_CLIENT,
    "client": _NO_CLIENT, "docker": _NO_CLIENT, "DockerContainer": "write ck.run(image, command)",
    "create": "write ck.Container.create(image, command)", "get": "write ck.Container.get(name)",
    "exec": "write ck.containers[name].exec(command)", "ps": "write ck.containers",
    "rm": "write ck.containers[name].remove()",
    "rmi": "write ck.images[reference].remove()", "stop": "write ck.containers[name].stop()",
    "start": "write ck.containers[name].start()", "kill": "write ck.containers[name].kill()",
    "logs": "write ck.containers[name].logs()", "inspect": "write ck.containers[name].inspect()",
    "top": "write ck.containers[name].top()", "wait": "write ck.containers[name].wait()",
    "stats": "write ck.containers.stats(), or ck.containers[name].stats()",
    "cp": "write ck.containers[name].copy_in(source, path) or .copy_out(path, destination)",
    "commit": "write ck.containers[name].commit(tag)", "attach": "write ck.containers[name].attach()",
    "tag": "write ck.images[reference].tag(name)", "push": "write ck.images[reference].push()",
    "save": "write ck.images.save(path)", "load": "write ck.Image.load(path)",
    "history": "write ck.images[reference].history()",
    "import_": "write ck.Image.import_(source)", "from_host": "write ck.Image.from_host(programs)",
    "from_dockerfile": "write ck.Image.from_dockerfile(text)", "backup": "write ck.volumes[name].backup(path)",
    "restore": "write ck.Volume.restore(path, name)", "ImageNotFound": "write ck.NotFound",
    "APIError": "write ck.ContainerkitError", "DockerException": "write ck.ContainerkitError",
    "ContainerError": "write ck.ProcessFailed",
}  # fmt: skip


def answers(cls: C) -> C:
    """A class whose objects say what to write instead of a name of ``ATTRIBUTES``."""
    table = ATTRIBUTES[cls.__name__]

    def missing(self: object, name: str) -> Any:
        if name in table:
            raise AttributeError(f"{cls.__name__} has no {name}: {table[name]}")
        if name.startswith("_") or hasattr(cls, name):
            # Once more as usual: for Python's own words, and for what a property has raised.
            return object.__getattribute__(self, name)
        public = [one for one in dir(self) if not one.startswith("_")]
        raise AttributeError(f"{cls.__name__} has no {name}{suggestion(name, public)}")

    cls.__getattr__ = missing  # type: ignore[attr-defined]  # by assignment: to mypy every name would be there
    return cls


def knows_keywords(function: F) -> F:
    """A function that says what to write instead of a keyword of ``KEYWORDS``."""
    table: Mapping[str, str] = KEYWORDS[function.__qualname__]

    @functools.wraps(function)
    def asked(*arguments: Any, **named: Any) -> Any:
        for name in named:
            if name in table:
                raise InvalidArgument(f"option {name}: {table[name]}")
        return function(*arguments, **named)

    return cast(F, asked)


def no_such_name(name: str) -> AttributeError:
    """What ``containerkit.NAME`` raises for a name that there is not."""
    if name in NAMES:
        return AttributeError(f"containerkit has no {name}: {NAMES[name]}")
    # Not left to Python, which says what is near on a terminal, and not in a notebook.
    near = suggestion(name, sys.modules["containerkit"].__all__)
    return AttributeError(f"module 'containerkit' has no attribute {name!r}{near}")
