"""What this machine has of what containers need: a table of checks, each of which looks without changing anything.

Those of the store's contents, which are asked for, do more: what is damaged is taken away (store/verify.py).

A check *probes* for one feature, program or permission. What it finds is a detail worth knowing; what it does not find
is said with what is *lost*, and the command that *mends* it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from functools import cache

from containerkit.diagnosis import damage
from containerkit.errors import ContainerkitError, reason
from containerkit.linux import capabilities, confinement, mounts
from containerkit.linux import namespaces as ns
from containerkit.linux.cgroups import delegated_parent, detect
from containerkit.net import obstacles, outside
from containerkit.results import Doctor, Finding
from containerkit.runtime.namespaces import HoldMaps
from containerkit.store import rights, verify
from containerkit.store.snapshots import can_stack
from containerkit.store.store import Store
from containerkit.supervise import userns, worker
from containerkit.supervise.networks import bridging
from containerkit.values import frozen

_MODULE = "modprobe {0}, and for every boot: echo {0} > /etc/modules-load.d/{0}.conf"
_LOW_SPACE = 1 << 30


class Missing(Exception):
    """It is not there; the text says what was found instead, ``mend`` how to get it where that depends on it."""

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.mend = mend


@frozen
class Check:
    """One line of the table.

    Args:
        probe: gives the detail, or raises Missing.
        lost: what cannot be done without it.
        mend: the command, or what to do.
    """

    area: str
    name: str
    probe: Callable[[Store], str]
    lost: str
    mend: str


def examine(store: Store, *, verify: bool = False) -> Doctor:
    """Look at everything.

    Args:
        verify: read every blob of the store, and compare every unpacked layer with its blob. What is damaged is taken
            away, to be fetched or unpacked anew.
    """
    return Doctor(tuple([_look(check, store) for check in (*_checks(), *(_CONTENTS if verify else ()))]))


def _look(check: Check, store: Store) -> Finding:
    mend = check.mend
    try:
        return Finding(check.area, check.name, True, check.probe(store))
    except Missing as missing:
        detail, mend = str(missing), missing.mend or mend
    except OSError as error:
        detail = reason(error)
    except ContainerkitError as error:
        detail = error.message
    return Finding(check.area, check.name, False, detail, check.lost, mend)


def _checks() -> Iterator[Check]:
    yield from _KERNEL
    yield from (_controller(name, lost) for name, lost in _CONTROLLERS.items())
    yield from _USERS if confinement.is_rootless() else (*_ROOT, *_NETWORKS)
    yield from _PROGRAMS
    yield from _STORE


# -- the kernel ------------------------------------------------------------------------------------------------------


def _release(_: Store) -> str:
    numbers = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if numbers < (5, 11):
        raise Missing(platform.release())
    return platform.release()


def _namespaces(_: Store) -> str:
    there = set(os.listdir("/proc/self/ns"))
    absent = sorted(kind for kind, (_, name) in ns.KINDS.items() if name not in there)
    if absent:
        raise Missing(f"without {', '.join(absent)}")
    return ", ".join(sorted(ns.KINDS))


def _overlay(_: Store) -> str:
    with open("/proc/filesystems") as file:
        if "overlay" not in file.read().split():
            raise Missing("the kernel does not know it")
    return "the kernel knows it"


def _driver(name: str) -> Callable[[Store], str]:
    def probe(_: Store) -> str:
        if os.path.isdir(f"/sys/module/{name}"):
            return "there"
        base = f"/lib/modules/{platform.release()}"
        for file, marks in (("modules.builtin", "built in"), ("modules.dep", "loaded when needed")):
            try:
                with open(f"{base}/{file}") as lines:
                    if any(f"/{name}.ko" in line.partition(":")[0] for line in lines):
                        return marks
            except OSError:
                continue
        # One that is built in need not be named anywhere: its functions are looked for, too.
        if name in _symbols():
            return "built in"
        raise Missing("not found")

    return probe


@cache
def _symbols() -> frozenset[str]:
    """Which of the network's drivers have functions in this kernel."""
    marks = {"bridge": " br_add_if\n", "veth": " veth_xmit\n", "nf_tables": " nf_tables_newtable\n"}
    try:
        with open("/proc/kallsyms") as file:
            text = file.read().replace("\t", "\n")
    except OSError:
        return frozenset()
    return frozenset(name for name, mark in marks.items() if mark in text)


def _seccomp(_: Store) -> str:
    try:
        with open("/proc/sys/kernel/seccomp/actions_avail") as file:
            return file.read().strip()
    except OSError:
        raise Missing("the kernel has no seccomp filters") from None


def _idmap(store: Store) -> str:
    # By a worker: it takes a process with one thread.
    worker.call(map_owners, (str(store.paths.root),), {})
    return "on the store's file system"


def map_owners(path: str) -> None:
    """Mount ``path`` anew, nowhere, with other owners.

    Raises:
        OSError: its file system cannot, or there is no right to.
    """
    user_namespace = HoldMaps(*userns.maps()).open()
    try:
        tree = mounts.open_tree(path)
        try:
            mounts.mount_setattr(tree, mounts.MOUNT_ATTR_IDMAP, userns=user_namespace)
        finally:
            os.close(tree)
    finally:
        os.close(user_namespace)


def _pressure(_: Store) -> str:
    if not os.path.isdir("/proc/pressure"):
        raise Missing("no /proc/pressure")
    return ", ".join(sorted(os.listdir("/proc/pressure")))


_KERNEL = (
    Check("kernel", "Linux 5.11", _release, "everything", "install a newer kernel"),
    Check("kernel", "namespaces", _namespaces, "their isolation", "boot a kernel with CONFIG_NAMESPACES complete"),
    Check("kernel", "overlayfs", _overlay, "containers", _MODULE.format("overlay")),
    Check("kernel", "seccomp", _seccomp, "the filter of system calls", "boot a kernel with CONFIG_SECCOMP_FILTER"),
    Check("kernel", "pressure (PSI)", _pressure, "Stats.pressure", "add psi=1 to the kernel's command line"),
    Check("kernel", "bridge", _driver("bridge"), "bridge networks", _MODULE.format("bridge")),
    Check("kernel", "veth", _driver("veth"), "networks of containers", _MODULE.format("veth")),
    Check("kernel", "nf_tables", _driver("nf_tables"), "published ports", _MODULE.format("nf_tables")),
)  # fmt: skip


# -- cgroups ---------------------------------------------------------------------------------------------------------

_CONTROLLERS = {
    "cpu": "cpus, cpu_shares and cpu_quota",
    "cpuset": "cpuset_cpus and cpuset_mems",
    "memory": "memory limits, and memory in stats",
    "pids": "pids_limit",
    "io": "blkio_weight, device rates, and I/O in stats",
    "freezer": "pause",
    "devices": "rules about devices",
    "hugetlb": "hugetlb limits",
}
#: v1 has another name for it.
_V1_NAMES = {"io": "blkio"}
#: v2 has these without a controller.
_V2_HAS = ("freezer", "devices")


def _controller(name: str, lost: str) -> Check:
    old = _V1_NAMES.get(name, name)
    mend = "mount cgroup2, or add cgroup_no_v1=all to the kernel's command line; cgroup_enable=memory where it is off"
    return Check("cgroups", name, lambda store: _mounted(name, old), lost, mend)


def _mounted(name: str, old: str) -> str:
    found = detect()
    if found.v1_root(old) is not None:
        return f"v1 ({found.v1_root(old)})"
    if found.v2_root(name) is not None or (found.v2 is not None and name in _V2_HAS):
        return f"v2 ({found.v2})"
    raise Missing(f"in no hierarchy ({found.mode})")


# -- who we are ------------------------------------------------------------------------------------------------------


def _rights(_: Store) -> str:
    held = set(capabilities.read().effective)
    absent = sorted(set(capabilities.NAMES[: capabilities.last_cap() + 1]) - held)
    if absent:
        raise Missing(f"root without {', '.join(absent)}")
    return "all capabilities"


def _maps(_: Store) -> str:
    uids, gids = confinement.id_maps()
    if len(uids) < 2 or len(gids) < 2:
        raise Missing("one user and one group: yourself")
    return f"{sum(size for *_, size in uids)} users, {sum(size for *_, size in gids)} groups"


def _may_make_namespaces(_: Store) -> str:
    for path, bad in (
        ("user/max_user_namespaces", "0"), ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ):  # fmt: skip
        try:
            with open(f"/proc/sys/{path}") as file:
                value = file.read().strip()
        except OSError:
            continue
        if value == bad:
            raise Missing(f"{path.replace('/', '.')} = {value}")
    return "allowed"


def _delegation(_: Store) -> str:
    parent = delegated_parent()
    if parent is None:
        raise Missing(f"none for this user ({detect().mode})")
    return parent or "/"


def _way_out(_: Store) -> str:
    names = [os.path.basename(path) for path in outside.programs()]
    if not names:
        raise Missing("neither is on PATH")
    return names[0]


def _tun(_: Store) -> str:
    os.close(os.open(outside.TUN, os.O_RDWR | os.O_CLOEXEC))
    return outside.TUN


_ROOT = (
    Check("rights", "capabilities", _rights, "what they allow: ulimits above the present ones take CAP_SYS_RESOURCE",
          "give them to whatever runs this"),
    Check("rights", "idmapped mounts", _idmap, 'userns="remap"',
          "keep the store on ext4, xfs, btrfs or tmpfs; Linux 5.19 for overlayfs"),
)  # fmt: skip
_USERS = (
    Check("rights", "user namespaces", _may_make_namespaces, "containers without root",
          "as root: sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1"),
    Check("rights", "subordinate ids", _maps, "other users than root in containers",
          "as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER"),
    Check("rights", "delegated cgroup", _delegation, "limits, pause, stats",
          "as root, with cgroup v2 and systemd: systemctl edit user@.service: [Service] Delegate=yes"),
    Check("networks", "pasta or slirp4netns", _way_out, "the outside, for containers on networks",
          "as root: apt-get install passt"),
    Check("networks", outside.TUN, _tun, "the outside, for containers on networks", f"as root: {outside.MAKE_TUN}"),
)  # fmt: skip


# -- programs and packages -------------------------------------------------------------------------------------------


def _library(name: str) -> Callable[[Store], str]:
    def probe(_: Store) -> str:
        try:
            ctypes.CDLL(name)
        except OSError:
            raise Missing("not installed") from None
        return name

    return probe


def _package(name: str) -> Callable[[Store], str]:
    def probe(_: Store) -> str:
        if importlib.util.find_spec(name) is None:
            raise Missing("not installed")
        return "installed"

    return probe


def _program(*names: str) -> Callable[[Store], str]:
    def probe(_: Store) -> str:
        found = next((name for name in names if shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")), None)
        if found is None:
            raise Missing("not installed")
        return found

    return probe


def _forwarding(_: Store) -> str:
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        if file.read().strip() == "1":
            return "on"
    return "off: switched on with the first container on a network"


def _firewall(store: Store) -> str:
    in_use = {one.network for one in store.networks.leased() if one.network is not None}
    missing = worker.call(bridging.missing, (str(store.paths.root), sorted(in_use)), {})
    if missing:
        raise Missing(", ".join(missing))
    return f"as {len(in_use)} network(s) need it" if in_use else "laid with the first container on a network"


def _obstacles(store: Store) -> str:
    bridges = [one.interface for one in store.networks.list() if one.driver != "macvlan"] or ["ck0"]
    found = worker.call(obstacles.look, (tuple(bridges),), {})
    if found:
        raise Missing("; ".join(f"chain {one.chain} drops what it does not know" for one in found), found[0].mend)
    return "none drops our containers' packets"


_NETWORKS = (
    Check("networks", "libnftables", _library("libnftables.so.1"), "networks but none and host",
          "apt-get install libnftables1"),
    Check("networks", "forwarding", _forwarding, "ways out of networks", "sysctl net.ipv4.ip_forward=1"),
    Check("networks", "firewall", _firewall, "published ports, isolation of networks", "ck.networks.restore()"),
    Check("networks", "other firewalls", _obstacles, "ways out of networks, published ports from other hosts",
          "let our bridges through"),
)  # fmt: skip
_PROGRAMS = (
    Check("programs", "libseccomp", _library("libseccomp.so.2"), "the default seccomp profile",
          "apt-get install libseccomp2"),
    Check("programs", "mmdebstrap", _program("mmdebstrap", "debootstrap"), "Image.from_debian",
          "apt-get install mmdebstrap"),
    *(Check("programs", name, _package(name), lost, f"pip install {name}")
      for name, lost in (("pandas", "frames"), ("matplotlib", "plots"), ("ipywidgets", "widgets"))),
)  # fmt: skip


# -- the store -------------------------------------------------------------------------------------------------------


def _place(store: Store) -> str:
    if not os.access(store.paths.root, os.W_OK):
        raise Missing(f"{store.paths.root} cannot be written")
    return str(store.paths.root)


def _space(store: Store) -> str:
    free = shutil.disk_usage(store.paths.root).free
    if free < _LOW_SPACE:
        raise Missing(f"{free >> 20} MiB free")
    return f"{free >> 30} GiB free"


def _writable_layer(store: Store) -> str:
    if not rights.call(can_stack, store.paths.tmp):
        raise Missing("overlayfs does not take this file system")
    return "overlayfs takes it"


def _images(store: Store) -> str:
    if found := list(verify.images(store)):
        raise Missing(damage.text(store, found), damage.mend(store, found))
    return f"{len(store.images.list())} can be read"


def _blobs(store: Store) -> str:
    if found := list(verify.blobs(store)):
        raise Missing(damage.text(store, found), damage.mend(store, found))
    return f"{len(store.blobs.names())} as their names say"


def _layers(store: Store) -> str:
    if found := list(verify.layers(store)):
        raise Missing(damage.text(store, found), damage.mend_layers(found))
    return f"{len(store.layers.names())} as their blobs say"


_STORE = (
    Check("store", "root", _place, "everything", "choose another CONTAINERKIT_ROOT"),
    Check("store", "space", _space, "images and logs", "ck.prune(), or choose another CONTAINERKIT_ROOT"),
    Check("store", "writable layers", _writable_layer, "quick starts: every container gets a copy of its image",
          "keep the store on ext4, xfs, btrfs or tmpfs: choose another CONTAINERKIT_ROOT"),
    Check("store", "images", _images, "those that are named", "ck.prune(all=True)"),
)  # fmt: skip
#: What takes as long as reading everything.
_CONTENTS = (
    Check("store", "blobs", _blobs, "images that have them: they cannot be pushed, saved or unpacked", "ck.prune()"),
    Check("store", "layers", _layers, "files in containers of the images that have them", "ck.doctor(verify=True)"),
)  # fmt: skip
