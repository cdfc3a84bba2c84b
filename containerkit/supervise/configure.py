"""Options and an image's config become a runtime-spec configuration.

Of the host only its devices are looked at, and who may do what here: :class:`Place` says it as a value.

The defaults are Docker's: its 14 capabilities, its seccomp profile, its masked and read-only paths, its mounts.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.linux import capabilities, confinement
from containerkit.linux.cgroups import DEFAULT_DEVICES, delegated_parent
from containerkit.oci import runtime_spec as rs
from containerkit.oci import seccomp_default
from containerkit.oci.image_config import ContainerConfig, HealthConfig
from containerkit.oci.users import Identity
from containerkit.options import Duration, Healthcheck, Settings
from containerkit.runtime import defaults
from containerkit.store.owners import Exchange
from containerkit.supervise import devices, etc, messages, userns

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Place:
    """What there is to be had of the machine.

    Args:
        is_rootless: it is an ordinary user who asks.
        cgroup: the path of the cgroup below which others may be made; None for nowhere.
        users, groups: how many there are: 2**31, or those of the user namespace.
        person: the user and the group of who asks; where that is root by sudo(8), of who called that.
    """

    is_rootless: bool = False
    cgroup: str | None = ""
    users: int = 2**31
    groups: int = 2**31
    person: tuple[int, int] = (0, 0)

    @classmethod
    def here(cls) -> Place:
        """Of this process."""
        if os.geteuid() == 0:
            return cls(person=_by_sudo() or (0, os.getegid()))
        users, groups = (sum(size for *_, size in rows) for rows in confinement.id_maps())
        return cls(True, delegated_parent(), users, groups, (os.geteuid(), os.getegid()))

    def kept(self, settings: Settings) -> userns.Kept | None:
        """Who is kept by ``userns="keep-id"``."""
        return userns.kept(settings.userns, self.person)

    def exchange(self, settings: Settings) -> Exchange | None:
        """Who changes places with root on the container's disk."""
        kept = self.kept(settings) if self.is_rootless else None
        return kept.exchange(self.users, self.groups) if kept is not None else None

    def on_disk(self, settings: Settings, who: Identity) -> Identity:
        """A user of the container by the numbers that the files on the disk have."""
        kept = self.kept(settings) if self.is_rootless else None
        return kept.on_disk(who, self.users, self.groups) if kept is not None else who

    def swapped(self, settings: Settings) -> userns.Kept | None:
        """Root's: whose files are shown as another's where paths of the host are mounted; None for nobody's."""
        kept = None if self.is_rootless else self.kept(settings)
        return kept if kept is not None and kept.inside != kept.outside else None


def _by_sudo() -> tuple[int, int] | None:
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    return (int(uid), int(gid)) if uid.isdecimal() and gid.isdecimal() else None


def command_of(settings: Settings, image: ContainerConfig) -> tuple[str, ...]:
    """What runs: an entry point given with the call drops the image's command, as in docker.

    Raises:
        InvalidArgument: neither the image nor the caller names a program.
    """
    if settings.entrypoint is not None:
        arguments = settings.entrypoint + (settings.command or ())
    else:
        arguments = tuple(image.entrypoint or ()) + (
            settings.command if settings.command is not None else tuple(image.cmd or ())
        )
    if not arguments or not arguments[0]:
        raise InvalidArgument("command: none given, and the image has none")
    return arguments


def environment_of(
    settings_env: tuple[str, ...], image_env: tuple[str, ...], home: str, hostname: str, tty: bool
) -> tuple[str, ...]:
    """``PATH``, ``HOSTNAME``, ``TERM``, then the image's, then the caller's; ``HOME`` of the user."""
    found = {"PATH": DEFAULT_PATH}
    if hostname:
        found["HOSTNAME"] = hostname
    if tty:
        found["TERM"] = "xterm"
    for pair in (*image_env, *settings_env):
        name, _, value = pair.partition("=")
        found[name] = value
    found.setdefault("HOME", home)
    return tuple(f"{name}={value}" for name, value in found.items())


def configure(
    id: str, settings: Settings, image: ContainerConfig, who: Identity, place: Place | None = None, *,
    hostname: str = "", files: Mapping[str, str] | None = None, mounts: Iterable[rs.Mount] = (),
) -> rs.Spec:  # fmt: skip
    """The configuration of a container.

    Args:
        id: the container's id.
        hostname: its host name; default: the first 12 digits of the id.
        files: what of the host's is mounted where in the container: path there → path here.
        mounts: volumes and what else the caller wants (volumes/settling.py).
        settings: the caller's options.
        image: the image's config.
        who: the user, resolved against the container's files.
        place: what the machine gives; everything when not said.
    """
    place = place or Place()
    uids, gids = _maps(settings, place)
    _check_user(settings, who, uids, gids)
    own_network = settings.network in ("none", "bridge")
    # Somebody else's uts namespace has its name.
    hostname = (hostname or settings.hostname or id[:12]) if settings.uts == "private" else ""
    nodes, rules = devices.mapped(settings.devices)
    if settings.privileged:
        nodes += devices.everything()
    return rs.Spec(
        root=rs.Root("rootfs", settings.read_only),
        process=_process(settings, image, who, hostname),
        hostname=hostname,
        domainname=settings.domainname,
        mounts=_together(
            _mounts(settings, place),
            _binds(files or {}, mapped=bool(uids) and not place.is_rootless),
            _tmpfs(settings),
            mounts,
        ),
        annotations={defaults.INIT: "true"} if settings.init else {},
        linux=rs.Linux(
            namespaces=tuple(_namespaces(settings, has_users=bool(uids))),
            uid_mappings=uids,
            gid_mappings=gids,
            devices=tuple({node.path: node for node in nodes}.values()),
            cgroups_path=_cgroup(id, settings, place),
            resources=_within(resources(settings, rules), place),
            sysctl={
                **_network_sysctls(own_network, gids or (rs.IDMapping(0, 0, place.groups),)),
                **(settings.sysctls or {}),
            },
            seccomp=_seccomp(settings),
            masked_paths=() if settings.privileged else defaults.MASKED_PATHS,
            readonly_paths=() if settings.privileged else defaults.READONLY_PATHS,
        ),
    )


def _cgroup(id: str, settings: Settings, place: Place) -> str:
    if place.cgroup is None:
        return ""
    return f"{place.cgroup}{settings.cgroup_parent.rstrip('/')}/containerkit-{id}"


def _within(limits: rs.Resources, place: Place) -> rs.Resources:
    """Those limits that can be had there. An ordinary user makes no devices, and needs no rules about them."""
    if not place.is_rootless:
        return limits
    return replace(limits, devices=()) if place.cgroup is not None else rs.Resources()


def asks_for_limits(settings: Settings) -> bool:
    """Whether there is anything to limit."""
    return replace(resources(settings), devices=()) != rs.Resources()


def _network_sysctls(own_network: bool, groups: tuple[rs.IDMapping, ...]) -> dict[str, str]:
    """As Docker: everybody may listen on low ports, and every group that there is may ping."""
    if not own_network:
        return {}
    first, last = min(m.container_id for m in groups), max(m.container_id + m.size - 1 for m in groups)
    return {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": f"{first} {last}"}


def _maps(settings: Settings, place: Place) -> tuple[tuple[rs.IDMapping, ...], tuple[rs.IDMapping, ...]]:
    if (kept := place.kept(settings)) is not None:
        maps = kept.maps(place.users, place.groups) if place.is_rootless else ((), ())
        _check_joined(settings, bool(maps[0]))
        return maps
    if settings.userns != "remap":
        return (), ()  # those of another container are filled in at each start
    for kind, choice in choices(settings).items():
        if choice not in ("private", "shareable") and kind != "user":
            raise InvalidArgument(
                f'{kind} {choice!r}: with userns "remap" it has to be private: others\' are not its own'
            )
    if place.is_rootless:
        raise Unsupported('userns "remap": an ordinary user\'s containers are in a user namespace already')
    if settings.privileged:
        raise InvalidArgument('privileged: with userns "remap" there is no right to give')
    return userns.maps()


def _check_joined(settings: Settings, has_users: bool) -> None:
    for kind, choice in choices(settings).items():
        if has_users and choice.startswith("container:"):
            raise InvalidArgument(
                f'{kind} {choice!r}: with userns "{settings.userns}" it cannot be another container\'s: '
                "that belongs to other users"
            )


def _check_user(
    settings: Settings, who: Identity, uids: tuple[rs.IDMapping, ...], gids: tuple[rs.IDMapping, ...]
) -> None:
    if settings.userns == "remap" or not uids:
        return
    for kind, id, maps in (("user", who.uid, uids), ("group", who.gid, gids)):
        if rs.mapped(maps, id) is None:
            raise InvalidArgument(
                f'{kind} {id}: with userns "{settings.userns}" there is none of that number: '
                f"{_told(maps)} (more need subordinate ids: see subuid(5))"
            )


def _told(maps: tuple[rs.IDMapping, ...]) -> str:
    ranges: list[tuple[int, int]] = []
    for first, size in sorted((m.container_id, m.size) for m in maps):
        joins = bool(ranges) and ranges[-1][1] + 1 == first
        ranges.append((ranges.pop()[0] if joins else first, first + size - 1))
    return "there are " + ", ".join(f"{first} to {last}" if first < last else f"{first}" for first, last in ranges)


def _namespaces(settings: Settings, *, has_users: bool) -> Iterator[rs.Namespace]:
    """Private ones, and those of another container, whose path is filled in at each start (:func:`join`)."""
    yield rs.Namespace("mount")
    if has_users:
        yield rs.Namespace("user")
    for kind, choice in choices(settings).items():
        if choice in ("private", "shareable"):
            yield rs.Namespace(kind)
        elif choice != "host":
            yield rs.Namespace(kind, "/proc/0/ns/" + kind)


def choices(settings: Settings) -> dict[str, str]:
    """Namespace → private, shareable, host or ``container:NAME``."""
    network = "private" if settings.network in ("none", "bridge") else settings.network
    return {
        "uts": settings.uts, "ipc": settings.ipc, "pid": settings.pid, "cgroup": settings.cgroupns, "network": network,
        "user": settings.userns if settings.userns.startswith("container:") else "host",
    }  # fmt: skip


def join(spec: rs.Spec, paths: Mapping[str, str], users: rs.Linux | None, settings: Settings | None = None) -> rs.Spec:
    """With these namespaces joined.

    Args:
        paths: namespace → path.
        users: the container whose users it shares, where it does.
        settings: the container's; its volumes are mounted with the owners of those users.
    """
    namespaces = tuple(rs.Namespace(entry.type, paths.get(entry.type, entry.path)) for entry in spec.linux.namespaces)
    if users is not None and not users.uid_mappings:
        # Its users are the machine's: there is nothing to join.
        namespaces = tuple(entry for entry in namespaces if entry.type != "user")
    linux = replace(spec.linux, namespaces=namespaces)
    if users is None:
        return replace(spec, linux=linux)
    linux = replace(linux, uid_mappings=users.uid_mappings, gid_mappings=users.gid_mappings)
    files = {one.destination: one.source for one in spec.mounts if one.destination in etc.FILES.values()}
    wanted = (
        {one.target for one in settings.mounts if one.type != "tmpfs"} if settings and users.uid_mappings else set()
    )
    kept = [one for one in spec.mounts if one.destination not in files]
    others = [_mapped(one) if one.destination in wanted else one for one in kept]
    return replace(spec, linux=linux, mounts=(*others, *_binds(files, mapped=bool(users.uid_mappings))))


def _mapped(mount: rs.Mount) -> rs.Mount:
    return mount if "idmap" in mount.options else replace(mount, options=(*mount.options, "idmap"))


def with_environment(spec: rs.Spec, settings: Settings, image: ContainerConfig, below: Mapping[str, str]) -> rs.Spec:
    """With other variables below those that the image and the caller give."""
    inherited = dict(pair.partition("=")[::2] for pair in spec.process.env)
    own = environment_of(settings.env, tuple(image.env or ()), inherited.get("HOME", "/"), spec.hostname, settings.tty)
    known = [pair.partition("=")[0] for pair in own]
    found = (*own, *(f"{name}={value}" for name, value in below.items() if name not in known))
    return replace(spec, process=replace(spec.process, env=found))


def share_names(spec: rs.Spec, hostname: str, files: Mapping[str, str]) -> rs.Spec:
    """With the host name and the files of another container, whose network it joins."""
    if not files:
        return spec
    mounts = tuple(replace(one, source=files.get(one.destination, one.source)) for one in spec.mounts)
    return replace(spec, hostname=hostname if spec.hostname else "", mounts=mounts)


def _process(settings: Settings, image: ContainerConfig, who: Identity, hostname: str) -> rs.Process:
    return rs.Process(
        cwd=settings.workdir or image.working_dir or "/",
        args=command_of(settings, image),
        env=environment_of(settings.env, tuple(image.env or ()), who.home, hostname, settings.tty),
        terminal=settings.tty,
        user=rs.User(who.uid, who.gid, additional_gids=who.groups),
        capabilities=capability_sets(settings, who.uid),
        rlimits=tuple(
            rs.Rlimit(_rlimit(n), hard % 2**64, soft % 2**64) for n, (soft, hard) in (settings.ulimits or {}).items()
        ),
        no_new_privileges=_no_new_privileges(settings),
        oom_score_adj=settings.oom_score_adj,
    )


def capability_sets(settings: Settings, uid: int) -> rs.Capabilities:
    """Bounding always; effective and permitted only for root. Inheritable stays empty (CVE-2022-24769)."""
    names = capabilities.resolve(settings.cap_add, settings.cap_drop, settings.privileged)
    held = names if uid == 0 else ()
    return rs.Capabilities(bounding=names, effective=held, permitted=held)


def _rlimit(name: str) -> str:
    return "RLIMIT_" + name.upper().removeprefix("RLIMIT_")


def _security_options(settings: Settings) -> dict[str, str]:
    found = {}
    for option in settings.security_opt:
        # Docker took a colon before it took an equals sign, and still does.
        name, _, value = option.replace(":", "=", 1).partition("=")
        if name not in ("no-new-privileges", "seccomp"):
            raise InvalidArgument(f"security_opt {option!r}: expected no-new-privileges or seccomp=…")
        found[name] = value
    return found


def _no_new_privileges(settings: Settings) -> bool:
    return _security_options(settings).get("no-new-privileges", "false") in ("", "true")


def _seccomp(settings: Settings) -> rs.Seccomp | None:
    chosen = _security_options(settings).get("seccomp", "")
    if chosen == "unconfined" or (settings.privileged and not chosen):
        return None
    held = capabilities.resolve(settings.cap_add, settings.cap_drop, settings.privileged)
    major, minor = (int(part) for part in platform.release().split(".")[:2])
    if not chosen:
        return seccomp_default.default_profile(held, platform.machine(), (major, minor))
    from containerkit.oci import seccomp_profile

    try:
        text = Path(chosen).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"security_opt seccomp={chosen}: {error}") from error
    return seccomp_profile.loads(text, held, platform.machine(), (major, minor))


def _mounts(settings: Settings, place: Place) -> tuple[rs.Mount, ...]:
    mounts = list(defaults.mounts(settings.shm_size, "rw" if settings.privileged else "ro"))
    if settings.ipc == "host":
        shared = [path for path in ("/dev/shm", "/dev/mqueue") if os.path.isdir(path)]
        mounts = [_of_host(mount) if mount.destination in shared else mount for mount in mounts]
        if place.is_rootless:
            # Only the owner of an ipc namespace mounts its message queues; where the host shows none, there are none.
            mounts = [mount for mount in mounts if mount.type != "mqueue"]
    if place.groups == 1:
        # The terminals' group is none that this user namespace has.
        mounts = [replace(mount, options=tuple(o for o in mount.options if o != "gid=5")) for mount in mounts]
    if place.is_rootless:
        # Only the owner of a network namespace mounts sysfs for it, and of a pid namespace procfs.
        joined = {"/sys": settings.network not in ("none", "bridge"), "/proc": settings.pid != "private"}
        mounts = [_of_host(mount) if joined.get(mount.destination) else mount for mount in mounts]
    return tuple(mounts)


def _tmpfs(settings: Settings) -> Iterator[rs.Mount]:
    for path, options in (settings.tmpfs or {}).items():
        given = tuple(option for option in options.split(",") if option)
        yield rs.Mount(path, "tmpfs", "tmpfs", ("nosuid", "nodev", "noexec", *given))


def _together(own: Iterable[rs.Mount], *wanted: Iterable[rs.Mount]) -> tuple[rs.Mount, ...]:
    """Ours in their order, then what is wanted, those above before those below; of two at one place the later."""
    later = {one.destination: one for several in wanted for one in several}
    first = []
    for one in own:
        # What is wanted above hides it: it comes after that.
        if any(one.destination.startswith(f"{above}/") for above in later):
            later.setdefault(one.destination, one)
        elif one.destination not in later:
            first.append(one)
    return (*first, *sorted(later.values(), key=lambda one: one.destination.count("/")))


def _binds(files: Mapping[str, str], *, mapped: bool) -> Iterator[rs.Mount]:
    """Files of the host: of root there, and so of the container's root, whoever that is."""
    for destination, source in files.items():
        # With other owners it is mounted from outside, where the way to it is open.
        yield rs.Mount(destination, "bind", source, ("bind", "rprivate", *(("idmap",) if mapped else ())))


def _of_host(mount: rs.Mount) -> rs.Mount:
    return rs.Mount(mount.destination, "bind", mount.destination, ("rbind",))


def resources(settings: Settings, rules: Sequence[rs.DeviceCgroup] = ()) -> rs.Resources:
    """The limits, as the specification writes them.

    Args:
        rules: for the devices that the container gets.

    Raises:
        InvalidArgument: a rate for what is no block device.
    """
    # Docker's rule: with a memory limit and nothing said about swap, as much swap again may be used. A limit that is
    # taken away (-1) takes that of swap with it: it cannot be above the latter.
    swap = settings.memory_swap
    if swap is None and settings.memory is not None:
        swap = settings.memory * 2 if settings.memory > 0 else -1
    allowed = (*DEFAULT_DEVICES, *rules, *map(_rule, settings.device_cgroup_rules))
    quota, period = settings.cpu_quota, settings.cpu_period
    if settings.cpus is not None:
        period = 100_000
        quota = round(settings.cpus * period)
    return rs.Resources(
        devices=(rs.DeviceCgroup(True),) if settings.privileged else allowed,
        memory=rs.Memory(
            limit=settings.memory, reservation=settings.memory_reservation, swap=swap,
            disable_oom_killer=settings.oom_kill_disable or None,
        ),
        cpu=rs.CPU(settings.cpu_shares, quota, period, settings.cpuset_cpus, settings.cpuset_mems),
        pids=rs.Pids(settings.pids_limit or 0),
        block_io=rs.BlockIO(
            weight=settings.blkio_weight,
            throttle_read_bps_device=devices.throttles(settings.device_read_bps, "device_read_bps"),
            throttle_write_bps_device=devices.throttles(settings.device_write_bps, "device_write_bps"),
            throttle_read_iops_device=devices.throttles(settings.device_read_iops, "device_read_iops"),
            throttle_write_iops_device=devices.throttles(settings.device_write_iops, "device_write_iops"),
        ),
        hugepage_limits=tuple(rs.HugepageLimit(page, limit) for page, limit in (settings.hugetlb or {}).items()),
        network=rs.NetworkClass(settings.net_cls_classid),
    )  # fmt: skip


def _rule(text: str) -> rs.DeviceCgroup:
    kind, numbers, access = text.split()
    major, minor = (None if number == "*" else int(number) for number in numbers.split(":"))
    return rs.DeviceCgroup(True, kind, major, minor, access)


def exec_process(
    spec: rs.Spec, args: tuple[str, ...], who: Identity | None, env: tuple[str, ...], workdir: str, tty: bool
) -> rs.Process:
    """The process of an exec: the container's, with what the call changes.

    Args:
        spec: the container's configuration.
        who: another user, or None for the container's own.
        env: ``NAME=value`` pairs over the container's.
    """
    inherited = spec.process
    variables = dict(pair.partition("=")[::2] for pair in inherited.env)
    sets, user = inherited.capabilities, inherited.user
    if who is not None:
        user = rs.User(who.uid, who.gid, additional_gids=who.groups)
        variables["HOME"] = who.home
        if sets is not None:
            held = sets.bounding if who.uid == 0 else ()
            sets = rs.Capabilities(bounding=sets.bounding, effective=held, permitted=held)
    if tty:
        variables["TERM"] = "xterm"
    variables.update(pair.partition("=")[::2] for pair in env)
    return rs.Process(
        cwd=workdir or inherited.cwd, args=args, env=tuple(f"{n}={v}" for n, v in variables.items()), terminal=tty,
        user=user, capabilities=sets, rlimits=inherited.rlimits, no_new_privileges=inherited.no_new_privileges,
        oom_score_adj=inherited.oom_score_adj,
    )  # fmt: skip


def describe_command(arguments: tuple[str, ...]) -> str:
    """As a person would type it."""
    return shlex.join(arguments)


def inherit(settings: Settings, image: ContainerConfig) -> Settings:
    """The caller's options with what the image says of a container's whole life: stop signal, labels, health check."""
    return replace(
        settings,
        stop_signal=settings.stop_signal or image.stop_signal,
        labels={**(image.labels or {}), **(settings.labels or {})} or None,
        healthcheck=_healthcheck(settings.healthcheck, image.healthcheck),
    )


def _healthcheck(given: Healthcheck | None, image: HealthConfig | None) -> Healthcheck | None:
    """Member by member: the caller's, the image's (in nanoseconds, 0 for unset)."""
    if given is None and image is None:
        return None
    given, image = given or Healthcheck(), image or HealthConfig()

    def seconds(member: str) -> Duration | None:
        own: Duration | None = getattr(given, member)
        return own if own is not None else max(getattr(image, member), 0) / 1e9 or None

    times = {name: seconds(name) for name in ("interval", "timeout", "start_period", "start_interval")}
    retries = given.retries if given.retries is not None else max(image.retries, 0) or None
    return Healthcheck(test=given.test or image.test, retries=retries, **times)


def probe(check: Healthcheck | None) -> messages.Probe | None:
    """What the monitor shall do for a health check; docker's defaults where nobody says."""
    form, *words = (check.test if check is not None else ()) or ("NONE",)
    if check is None or form not in ("CMD", "CMD-SHELL") or not words:
        return None
    seconds = {
        name: float(value if (value := getattr(check, name)) is not None else default)
        for name, default in (("interval", 30), ("timeout", 30), ("start_period", 0), ("start_interval", 5))
    }
    return messages.Probe(
        args=("/bin/sh", "-c", words[0]) if form == "CMD-SHELL" else tuple(words), retries=check.retries or 3, **seconds
    )
