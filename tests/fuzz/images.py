"""What an image, or a bundle, says of itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from containerkit import dockerfile
from containerkit.archives import names
from containerkit.builder import inline
from containerkit.dockerfile.recovering import recovered
from containerkit.errors import BuildError, InvalidArgument
from containerkit.oci import codec, image_config, manifest, platforms, seccomp_profile
from containerkit.oci.image_config import ContainerConfig, ImageConfig
from containerkit.oci.reference import Reference
from containerkit.oci.runtime_spec import Spec
from containerkit.runtime import bundle
from tests.fuzz.case import parser
from tests.fuzz.edits import documents, text

_DIGEST = "sha256:" + "0a" * 32


@parser(
    "reference",
    text("busybox", "docker.io/library/a_b-c:1.2", f"h.example:5000/a/b:x@{_DIGEST}", "[::1]:5/a", "a" * 255),
)
def _reference(data: str) -> None:
    found = Reference.parse(data)
    assert Reference.parse(found.full) == Reference.parse(found.familiar) == found
    names.clean(data)


@parser("platform", text("linux/amd64", "linux/arm/v7", "arm64", "windows/amd64"), subject="platform")
def _platform(data: str) -> None:
    found = platforms.parse(data)
    assert platforms.parse(platforms.text(found)) == found


def _blob(kind: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _DIGEST, "size": 10, **more}


_MANIFEST = {
    "schemaVersion": 2,
    "mediaType": manifest.OCI_MANIFEST,
    "config": _blob(manifest.OCI_CONFIG),
    "layers": [_blob(manifest.OCI_LAYER + "+gzip"), _blob(manifest.DOCKER_LAYER + ".gzip", annotations={"a": "b"})],
    "annotations": {"org.opencontainers.image.ref.name": "a:1"},
}
_PLATFORM = {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1", "os.features": ["x"]}
_INDEX = {
    "schemaVersion": 2,
    "mediaType": manifest.OCI_INDEX,
    "manifests": [_blob(manifest.OCI_MANIFEST, platform=_PLATFORM), _blob(manifest.OCI_INDEX, urls=["x"])],
}


def _is_stable(value: Any) -> None:
    """What is written of it is read as the same."""
    said = codec.dumps(value)
    assert codec.dumps(codec.loads(type(value), said, "x")) == said


@parser("manifest", documents(_MANIFEST), subject="manifest x")
def _manifest(data: bytes) -> None:
    found = manifest.read_manifest(data, "manifest x")
    for layer in found.layers:
        manifest.oci_layer(layer)
    _is_stable(found)


@parser("index", documents(_INDEX), subject="index x")
def _index(data: bytes) -> None:
    found = manifest.read_index(data, "index x")
    _is_stable(found)
    for one in found.manifests:
        if one.platform is not None:
            platforms.matches(one.platform, platforms.this_machine())
    try:
        platforms.choose(found.manifests, platforms.this_machine(), "index x")
    finally:
        for one in found.manifests:
            names_of(one.annotations)


def names_of(annotations: Any) -> None:
    try:
        names.tag_of(annotations)
    except InvalidArgument:
        pass


@parser("media type", documents(_MANIFEST, _INDEX), subject="x")
def _media_type(data: bytes) -> None:
    manifest.media_type_of(data, "text/plain; a", "x")


_CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [_DIGEST]},
    "created": "2030-01-31T12:00:00.123456789+01:00",
    "author": "a",
    "config": {
        "User": "a:b",
        "ExposedPorts": {"80/tcp": {}, "53-55/udp": {}},
        "Env": ["PATH=/bin", "A=b c"],
        "Entrypoint": ["/bin/sh", "-c", "a"],
        "Cmd": ["a"],
        "Volumes": {"/v": {}},
        "WorkingDir": "/w",
        "Labels": {"a": "b"},
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 10**9, "Timeout": 1, "Retries": 3},
        "Shell": ["/bin/sh", "-c"],
        "OnBuild": ["RUN x", "COPY a b"],
    },
    "history": [
        {"created_by": "|1 V=1 /bin/sh -c make # buildkit"},
        {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]'},
        {"created_by": "ENV A=b c D=e"},
        {"created_by": "RUN /bin/sh -c a # buildkit", "empty_layer": True},
        {"created_by": "WORKDIR /a"},
        {"created_by": "USER a"},
        {"created_by": "ARG A=1"},
        {"created_by": "SHELL [a]"},
    ],
}


@parser("image config", documents(_CONFIG), subject="config x")
def _config(data: bytes) -> None:
    found = image_config.read(data, "x", 1)
    _is_stable(found)
    image_config.parse_time(found.created)


@parser("recovering", documents(_CONFIG))
def _recovering(data: bytes) -> None:
    found = codec.loads(ImageConfig, data, "config x")
    _rebuilt(found.config)
    recovered(found.history, found.config)


def _rebuilt(config: ContainerConfig) -> None:
    """A config as instructions makes the same config."""
    try:
        said = dockerfile.from_config(config)
    except (InvalidArgument, BuildError):
        return
    dockerfile.dump(said)


_SPEC = {
    "ociVersion": "1.2.0",
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "a",
    "annotations": {"a": "b"},
    "process": {
        "args": ["sh", "-c", "a"],
        "env": ["A=b"],
        "cwd": "/",
        "user": {"uid": 1, "gid": 2, "additionalGids": [3], "umask": 18},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}],
        "capabilities": {"bounding": ["CAP_CHOWN"]},
        "oomScoreAdj": 5,
        "terminal": True,
        "consoleSize": {"height": 10, "width": 20},
        "noNewPrivileges": True,
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "scheduler": {"policy": "SCHED_OTHER", "nice": 1, "flags": []},
        "execCPUAffinity": {"initial": "0-1", "final": "1"},
    },
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/a", "type": "bind", "source": "/b", "options": ["rbind", "ro", "mode=755", "size=64m"]},
        {
            "destination": "/c",
            "source": "d",
            "options": ["bind", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}],
        },
    ],
    "hooks": {"prestart": [{"path": "/bin/x", "args": ["x"], "timeout": 3}]},
    "linux": {
        "namespaces": [
            {"type": "mount"},
            {"type": "pid"},
            {"type": "uts"},
            {"type": "user"},
            {"type": "network", "path": "/x"},
            {"type": "time"},
        ],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438}],
        "cgroupsPath": "/x/y",
        "resources": {
            "memory": {"limit": 10**8, "swap": 2 * 10**8},
            "cpu": {"shares": 10, "quota": 1000, "period": 1000, "cpus": "0-1"},
            "pids": {"limit": 10},
            "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 3}],
            "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 5}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
            "unified": {"memory.high": "5"},
        },
        "sysctl": {"net.ipv4.ip_forward": "1", "kernel.shmmax": "5"},
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "timeOffsets": {"monotonic": {"secs": 5, "nanosecs": 6}},
        "rootfsPropagation": "slave",
        "personality": {"domain": "LINUX"},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}
            ],
        },
    },
}


@parser("config.json", documents(_SPEC), examples=120)
def _spec(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place, "config.json").write_bytes(data)
        found = bundle.load(place)
    assert isinstance(found, Spec)
    _is_stable(found)


_PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {
            "names": ["read"],
            "action": "SCMP_ACT_ALLOW",
            "includes": {"caps": ["CAP_X"], "arches": ["amd64"], "minKernel": "4.8"},
        },
        {
            "name": "write",
            "action": "SCMP_ACT_ALLOW",
            "excludes": {"minKernel": "5.10"},
            "args": [{"index": 1, "value": 2, "op": "x"}],
        },
    ],
}


@parser("seccomp profile", documents(_PROFILE), subject="profile x")
def _profile(data: bytes) -> None:
    seccomp_profile.loads(data, ["CAP_X"], "x86_64", (5, 10), "profile x")


@parser("build cache", documents([["0" * 64, 1.5, -1], ["1" * 64, 5, 0]]))
def _build_cache(data: bytes) -> None:
    class Record:
        id, layers, chain_ids, config = _DIGEST, (), (), None

    said = data.decode("utf-8", "replace")
    record: Any = Record()
    list(inline.steps(record, {inline.ANNOTATION: said}, {}))


@parser("time", text("2030-01-31T12:00:00.5+01:00", "2030-01-31t12:00:00z"), subject="time")
def _time(data: str) -> None:
    image_config.parse_time(data)


def _changes() -> st.SearchStrategy[list[str]]:
    return st.lists(
        text("CMD a", "ENV A=b", 'ENTRYPOINT ["x"]', "EXPOSE 80", "LABEL a=b", "HEALTHCHECK CMD x"), max_size=3
    )


@parser("changes", _changes(), subject="change")
def _change(case: list[str]) -> None:
    dockerfile.apply_changes(ContainerConfig(), case)
