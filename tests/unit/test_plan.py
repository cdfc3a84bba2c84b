"""Plans: what a start consists of, compared without root."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from containerkit.errors import InvalidArgument, Unsupported
from containerkit.oci import codec
from containerkit.oci.image_config import ContainerConfig
from containerkit.oci.runtime_spec import (
    Capabilities,
    Device,
    ExecCPUAffinity,
    Hook,
    Hooks,
    IDMapping,
    IOPriority,
    Linux,
    Mount,
    Namespace,
    NetDevice,
    Personality,
    Process,
    Rlimit,
    Root,
    Scheduler,
    Seccomp,
    SeccompSyscall,
    Spec,
    TimeOffset,
)  # fmt: skip
from containerkit.oci.users import Identity
from containerkit.options import settings
from containerkit.runtime import affinity, bundle, mount_options, namespaces, places, plan, program
from containerkit.supervise.configure.spec import configure

MOUNT = (Namespace("mount"),)
NOTIFY = Seccomp("SCMP_ACT_ALLOW", syscalls=(SeccompSyscall(("mkdir",), "SCMP_ACT_NOTIFY"),))
BASE = Spec(Root("rootfs"), Process(args=("true",)), linux=Linux(namespaces=(Namespace("mount"), Namespace("pid"))))
SCHEMAS = Path(__file__).parents[2].parent / "shared" / "reference" / "runtime-spec"


def kinds(spec: Spec, overlay: Mount | None = None) -> list[str]:
    return [type(operation).__name__ for operation in plan.build(bundle.validate(spec), overlay)]


def test_the_least_start() -> None:
    assert kinds(BASE) == [
        "Clone", "SetPropagation", "BindRootfs", *["CreateDevice"] * 6, "LinkDevices", "PivotRoot", "NewSession",
        "NewKeyring", "AwaitStart", "CloseDescriptors", "ChangeDirectory", "SetUser", "Execute",
    ]  # fmt: skip


def test_only_an_ordinary_user_s_init_shows_its_network() -> None:
    spec = bundle.validate(replace(BASE, linux=Linux(namespaces=(*MOUNT, Namespace("network")))))
    root, user = (list(plan.build(spec, confined=confined)) for confined in (False, True))
    assert [one for one in user if one not in root and not isinstance(one, places.CreateDevice)] == [
        namespaces.ShowNetwork()
    ]


def test_a_container_s_whole_start_in_order() -> None:
    spec = configure(
        "f" * 64, settings("true", {"memory": "64m", "network": "none"}), ContainerConfig(), Identity(0, 0)
    )
    found = kinds(spec, Mount("/", "overlay", "overlay", ("lowerdir=/l", "upperdir=/u", "workdir=/w")))
    in_order = [
        "CreateCgroup", "Clone", "JoinCgroup", "UnshareCgroup", "RaiseLoopback", "SetPropagation", "MountOverlay",
        "Mount", "CreateDevice", "LinkDevices", "ReadonlyPath", "MaskPath", "SetHostname", "PivotRoot",
        "NewSession", "AwaitStart", "CloseDescriptors", "LoadSeccomp", "ChangeDirectory", "DropBoundingSet",
        "SetUser", "SetCapabilities", "Execute",
    ]  # fmt: skip
    assert [kind for kind in dict.fromkeys(found) if kind in in_order] == in_order


def test_a_filter_is_loaded_while_that_is_allowed() -> None:
    process = replace(BASE.process, capabilities=Capabilities())
    spec = replace(BASE, process=process, linux=replace(BASE.linux, seccomp=Seccomp("SCMP_ACT_ALLOW")))
    found = kinds(spec)
    assert found.index("LoadSeccomp") < found.index("SetCapabilities")
    found = kinds(replace(spec, process=replace(process, no_new_privileges=True)))
    assert found.index("SetCapabilities") < found.index("NoNewPrivileges") < found.index("LoadSeccomp")


def test_namespaces_new_joined_and_offset() -> None:
    linux = Linux(
        namespaces=(Namespace("mount"), Namespace("pid", "/proc/7/ns/pid"), Namespace("network", "/proc/7/ns/net"),
                    Namespace("user"), Namespace("time")),
        uid_mappings=(IDMapping(0, 1000, 1),), gid_mappings=(IDMapping(0, 1000, 1),),
        time_offsets={"monotonic": TimeOffset(60)},
    )  # fmt: skip
    found = plan.build(replace(BASE, linux=linux))
    assert found.outside == (
        namespaces.OffsetClocks((("monotonic", TimeOffset(60)),)),
        namespaces.JoinNamespace("pid", "/proc/7/ns/pid"),
        namespaces.Clone(("mount", "user"), shares_memory=False),
    )
    assert found.inside[:2] == (
        namespaces.AwaitIdMaps(linux.uid_mappings, linux.gid_mappings),
        namespaces.JoinNamespace("network", "/proc/7/ns/net"),
    )


def test_clocks_of_others_are_joined_before_memory_is_shared() -> None:
    linux = replace(BASE.linux, namespaces=(Namespace("mount"), Namespace("time", "/proc/7/ns/time")))
    found = plan.build(replace(BASE, linux=linux))
    assert found.outside[-2:] == (
        namespaces.JoinNamespace("time", "/proc/7/ns/time"),
        namespaces.Clone(("mount",), shares_memory=True),
    )
    assert not any(isinstance(operation, namespaces.JoinNamespace) for operation in found.inside)


def test_devices_are_bound_in_a_user_namespace() -> None:
    dev = (Mount("/dev", "tmpfs", "tmpfs"),)
    linux = replace(BASE.linux, namespaces=(*BASE.linux.namespaces, Namespace("user")))
    made = [o for o in plan.build(replace(BASE, mounts=dev)) if isinstance(o, places.CreateDevice)]
    bound = [o for o in plan.build(replace(BASE, mounts=dev, linux=linux)) if isinstance(o, places.CreateDevice)]
    assert [device.bind for device in made] == [False] * 6 and [device.bind for device in bound] == [True] * 6


def test_mount_options() -> None:
    from containerkit.linux import mounts as m

    parsed = mount_options.parse(("rbind", "ro", "nosuid", "suid", "rslave", "size=64m", "mode=755"))
    assert parsed == mount_options.MountOptions(
        m.MS_BIND | m.MS_REC | m.MS_RDONLY, m.MS_SLAVE | m.MS_REC, "size=64m,mode=755"
    )
    assert parsed.is_bind


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"process": Process()}, "process.args: no command"),
        ({"process": Process(args=("a\0b",))}, "NUL"),
        ({"process": Process(args=("a",), cwd="b")}, "process.cwd: b: must be an absolute path"),
        ({"process": Process(args=("a",), rlimits=(Rlimit("RLIMIT_FOO", 1, 1),))}, "rlimit RLIMIT_FOO"),
        ({"process": Process(args=("a",), rlimits=(Rlimit("RLIMIT_CORE", 1, 2),))}, "above the hard limit"),
        ({"process": Process(args=("a",), capabilities=Capabilities(("CAP_FLY",)))}, "CAP_FLY"),
        ({"mounts": (Mount("proc"),)}, "must be absolute"),
        ({"hostname": "x"}, "uts namespace"),
        ({"linux": Linux(namespaces=(Namespace("soul"),))}, "unknown namespace soul"),
        ({"linux": Linux()}, "needs a mount namespace"),
        ({"linux": Linux(MOUNT * 2)}, "mount is there twice"),
        ({"linux": Linux(MOUNT, uid_mappings=(IDMapping(0, 0, 1),))}, "need a user namespace"),
        ({"linux": Linux(MOUNT, time_offsets={"monotonic": TimeOffset(1)})}, "need a time namespace"),
        ({"linux": Linux(MOUNT, rootfs_propagation="free")}, "rootfsPropagation: unknown: free"),
        ({"linux": Linux(MOUNT, personality=Personality("PLAN9"))}, "personality: unknown: PLAN9"),
        ({"linux": Linux(MOUNT, devices=(Device("/dev/x", "z"),))}, "/dev/x (z): no device"),
        ({"linux": Linux(MOUNT, seccomp=NOTIFY)}, "without a listenerPath"),
        ({"mounts": (Mount("/x", options=("idmap",)),)}, "/x: idmap without uidMappings"),
        ({"hooks": Hooks(poststop=(Hook("rm"),))}, "hooks: rm: must be an absolute path"),
        ({"hooks": Hooks(prestart=(Hook("/rm", timeout=0),))}, "timeout 0: must be above 0"),
        ({"oci_version": "2.0"}, "ociVersion '2.0'"),
        ({"process": Process(args=("a",), io_priority=IOPriority("IOPRIO_CLASS_LOW"))}, "IOPRIO_CLASS_LOW 0: unknown"),
        ({"process": Process(args=("a",), scheduler=Scheduler("SCHED_LUCK"))}, "scheduler: unknown: SCHED_LUCK"),
        ({"process": Process(args=("a",), exec_cpu_affinity=ExecCPUAffinity("2-1"))}, "2-1: no such range"),
        ({"linux": Linux(MOUNT, sysctl={"kernel.msgmax": "1"})}, "needs a ipc namespace"),
        ({"linux": Linux(MOUNT, sysctl={"vm.swappiness": "1"})}, "would change the whole machine"),
        ({"linux": Linux(MOUNT, sysctl={"net/../vm/swappiness": "1"})}, "not a parameter's name"),
    ],
)
def test_what_no_runtime_can_execute(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        bundle.validate(replace(BASE, **change))  # type: ignore[arg-type]  # one member, by name
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"process": Process(args=("a",), apparmor_profile="x")}, "process.apparmorProfile: x"),
        ({"process": Process(args=("a",), selinux_label="x")}, "process.selinuxLabel: x"),
        ({"linux": Linux(MOUNT, mount_label="x")}, "linux.mountLabel: x"),
        ({"linux": Linux(MOUNT, net_devices={"eth1": NetDevice()})}, "linux.netDevices"),
    ],
)
def test_what_this_runtime_does_not_do_is_said_so(change: dict[str, object], words: str) -> None:
    with pytest.raises(Unsupported) as caught:
        bundle.validate(replace(BASE, **change))  # type: ignore[arg-type]  # one member, by name
    assert words in str(caught.value)


@pytest.mark.parametrize(("text", "numbers"), [("", ()), ("0", (0,)), ("0-2,7", (0, 1, 2, 7)), ("3, 1", (1, 3))])
def test_lists_of_processors(text: str, numbers: tuple[int, ...]) -> None:
    assert affinity.parse(text) == numbers


@pytest.mark.parametrize("text", ["x", "1-", "-1", "1-2-3", "5-4", "99999", "1;2"])
def test_what_is_no_list_of_processors(text: str) -> None:
    with pytest.raises(InvalidArgument):
        affinity.parse(text)


def test_every_operation_describes_itself() -> None:
    spec = configure("f" * 64, settings("sleep 60", {"tty": True}), ContainerConfig(), Identity(33, 33, (50,)))
    words = [operation.describe() for operation in plan.build(spec)]
    assert all(words) and words[-1] == "execve sleep 60" and "setuid 33, setgid 33,50" in words
    assert program.Execute(("a",), ()).describe() == "execve a"


def test_our_configuration_meets_the_specification_s_schema() -> None:
    if not SCHEMAS.is_dir():
        pytest.skip(f"the specification's schemas are not at {SCHEMAS}")
    import jsonschema
    from referencing import Registry
    from referencing.jsonschema import DRAFT4

    spec = configure(
        "f" * 64,
        settings("true", {"memory": "64m", "cpus": 1, "pids_limit": 5, "ulimits": {"nofile": 9}, "tmpfs": ["/run"]}),
        ContainerConfig(),
        Identity(0, 0),
    )
    documents = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (name, DRAFT4.create_resource(text)) for name, text in documents.items()
    )
    schema = {key: value for key, value in documents["config-schema.json"].items() if key != "id"}
    jsonschema.Draft4Validator(schema, registry=registry).validate(codec.encode(spec))
