"""The kernel is fetched and unpacked once; each run boots it, runs pytest in it, and shows what pytest says."""

from __future__ import annotations

import compileall
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".vm"
#: What the default run takes: that which differs on cgroup v2. Everything else takes an hour here.
_LIMITS = "tests/rootless/test_rootless.py::test_an_ordinary_user"
_VOLUMES = "tests/kernel/test_volume"
TESTS = (
    "tests/kernel/test_cgroups.py", "tests/kernel/test_policies.py", f"{_LIMITS}[subordinate ids-limits]",
    f"{_LIMITS}[one id-limits]",
    # Volumes: filled, with swapped owners, and, by the freezer of cgroup v2, backed up at one moment and restored.
    f"{_VOLUMES}s.py::test_a_volume_of_the_image_takes_its_files",
    "tests/kernel/test_keep_id.py::test_another_number_inside",
    f"{_VOLUMES}_drivers.py::test_any_is_whose_id_is_kept[small-:U]",
    f"{_VOLUMES}_drivers.py::test_any_is_whose_id_is_kept[shown-:U]",
    f"{_VOLUMES}_backup.py::test_pauses_go_with_incremental_ones_and_directories",
    # Builds: commands in containers, their limits, and what is tied to a process that is killed.
    "tests/kernel/test_build.py::test_each_instruction_is_in_the_image",
    "tests/kernel/test_build.py::test_a_fork_bomb_is_held_by_the_limit_of_pids",
    "tests/kernel/test_build.py::test_kill_9_of_a_build_leaves_nothing[0.2]",
)  # fmt: skip
#: Seconds: of the default run, which has what other tests leave of the processors, and of one that somebody has chosen.
#: Emulated, everything takes many times as long.
LIMIT, CHOSEN_LIMIT = 4500, 7200

GUEST = """
mkdir /run/tree && mount --bind {root} /run/tree
# A file system like those of users, with extended attributes and idmapped mounts; in memory, for / is not writable.
mkdir /run/disk && mount -t tmpfs -o size=70% tmpfs /run/disk
truncate -s 8G /run/disk/ext4 && mkfs.ext4 -q -O ^has_journal /run/disk/ext4
modprobe loop && mount -o loop /run/disk/ext4 /tmp || mount -t tmpfs -o size=60% tmpfs /tmp
chmod 1777 /tmp
# This tree may be one of those that the new /tmp hides.
[ -d {root} ] || {{ mkdir -p {root} && mount --bind /run/tree {root}; }}
ip link set lo up
# Users are made: /etc has to be written to as a whole, and some of its files are mounts.
mkdir /tmp/etc && cp -a /etc/. /tmp/etc && mount --bind /tmp/etc /etc
cd {root}
export HOME=/tmp PYTHONDONTWRITEBYTECODE=1 CONTAINERKIT_VM=1
{python} -m pytest -p no:cacheprovider --timeout 600 --basetemp=/tmp/pytest {arguments}
echo "exit code $?"
"""


#: How the command says that it cannot.
UNAVAILABLE = "vm: unavailable: "


class Unavailable(Exception):
    """What the machine is made of cannot be had here; the text says what."""


def run(arguments: Sequence[str], limit: int = LIMIT) -> int:
    """Boot, run pytest with ``arguments``, and show its output; its exit code.

    Args:
        limit: seconds.

    Raises:
        Unavailable: no qemu, no virtme-ng, or no kernel.
    """
    vng = Path(sys.executable).with_name("vng")
    if not vng.exists():
        raise Unavailable("virtme-ng is not installed (pip install '.[vm]')")
    if shutil.which("qemu-system-x86_64") is None:
        raise Unavailable("qemu is not installed (Debian package qemu-system-x86)")
    kernel = fetch()
    # There the tree is read-only: each process would compile all of it anew.
    for tree in ("containerkit", "tests"):
        compileall.compile_dir(ROOT / tree, quiet=1)
    script = CACHE / "guest.sh"
    script.write_text(GUEST.format(root=ROOT, python=sys.executable, arguments=shlex.join(arguments)))
    words = [
        str(vng), "--run", str(kernel), "--disable-kvm", "--disable-microvm", "--cpus", "2", "--memory", "4G",
        "--force-9p", "--rwdir", str(CACHE), "--", "sh", str(script),
    ]  # fmt: skip
    path = f"{vng.parent}:{os.environ['PATH']}"
    code = 1
    with modules(kernel):
        machine = subprocess.Popen(
            ["timeout", str(limit), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", cwd=CACHE, env={**os.environ, "PATH": path},
        )  # fmt: skip
        assert machine.stdout is not None
        try:
            for line in machine.stdout:
                print(line, end="", flush=True)
                if found := re.match(r"exit code (\d+)", line):
                    code = int(found[1])
        finally:
            machine.terminate()
            machine.wait()
    return code


def fetch() -> Path:
    """Debian's kernel, unpacked into the cache.

    Raises:
        Unavailable: it cannot be fetched.
    """
    found = sorted(CACHE.glob("root/boot/vmlinuz-*"))
    if found:
        return found[-1]
    if shutil.which("apt-get") is None:
        raise Unavailable("no apt-get: the kernel is Debian's")
    CACHE.mkdir(exist_ok=True)
    depends = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=False)
    package = re.search(r"Depends: (linux-image-[\w.+-]+)", depends.stdout)
    if package is None:
        raise Unavailable("the package linux-image-amd64 is not known here")
    done = subprocess.run(["apt-get", "download", "-qq", package[1]], cwd=CACHE, capture_output=True, check=False)
    archives = list(CACHE.glob("linux-image-*.deb"))
    if done.returncode or not archives:
        raise Unavailable(f"the package {package[1]} cannot be fetched")
    subprocess.run(["dpkg", "-x", archives[0], CACHE / "root"], check=True)
    archives[0].unlink()
    (kernel,) = CACHE.glob("root/boot/vmlinuz-*")
    subprocess.run(["depmod", "-b", CACHE / "root", kernel.name.removeprefix("vmlinuz-")], check=True)
    return kernel


@contextmanager
def modules(kernel: Path) -> Iterator[None]:
    """Its modules where they are looked for, for as long as the machine runs."""
    version = kernel.name.removeprefix("vmlinuz-")
    place = Path("/lib/modules") / version
    place.parent.mkdir(exist_ok=True)
    if place.exists():
        yield
        return
    place.unlink(missing_ok=True)
    place.symlink_to(CACHE / "root/lib/modules" / version)
    try:
        yield
    finally:
        place.unlink(missing_ok=True)
