"""Block devices: ``blkio`` in v1, ``io`` in v2. Rates in bytes or operations a second; 0 removes a limit.

Sources: Documentation/admin-guide/cgroup-v1/blkio-controller.rst; cgroup-v2.rst, "IO";
Documentation/block/bfq-iosched.rst.
"""

from __future__ import annotations

from collections.abc import Iterator

from containerkit.linux.cgroups.controller import Figures, Texts, Write
from containerkit.oci.runtime_spec import BlockIO, Resources, ThrottleDevice

V1, V2 = "blkio", "io"
FILES_V1: tuple[str, ...] = ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive")
FILES_V2: tuple[str, ...] = ("io.stat",)

#: v2 key of ``io.max`` → (v1's file, what the rate is)
_THROTTLES = {
    "rbps": "blkio.throttle.read_bps_device",
    "wbps": "blkio.throttle.write_bps_device",
    "riops": "blkio.throttle.read_iops_device",
    "wiops": "blkio.throttle.write_iops_device",
}


def limits(resources: Resources) -> str:
    block = resources.block_io
    asked = ["blkio weight"] if block.weight or block.weight_device else []
    return ", ".join([*asked, *(["device rates"] if any(_rates(block)) else [])])


def writes_v1(resources: Resources) -> list[Write]:
    block = resources.block_io
    writes = []
    # Which file a weight goes to is the I/O scheduler's matter: CFQ's (Linux 4) has no prefix, BFQ's has its name.
    if block.weight:
        weight = str(block.weight)
        writes.append(Write("blkio.weight", weight, otherwise=Write("blkio.bfq.weight", weight)))
    for device in block.weight_device:
        if device.weight is not None:
            line = f"{device.major}:{device.minor} {device.weight}"
            writes.append(Write("blkio.weight_device", line, otherwise=Write("blkio.bfq.weight_device", line)))
    for key, bound in _rates(block):
        writes.append(Write(_THROTTLES[key], f"{bound.major}:{bound.minor} {bound.rate}"))
    return writes


def writes_v2(resources: Resources) -> list[Write]:
    block = resources.block_io
    writes = []
    if block.weight:
        writes.append(_weight_v2("default", block.weight))
    for device in block.weight_device:
        if device.weight is not None:
            writes.append(_weight_v2(f"{device.major}:{device.minor}", device.weight))
    for key, bound in _rates(block):
        writes.append(Write("io.max", f"{bound.major}:{bound.minor} {key}={bound.rate or 'max'}"))
    return writes


def _weight_v2(device: str, weight: int) -> Write:
    # BFQ's range is v1's, 1 to 1000; io.weight (the io cost model) has 1 to 10000.
    scaled = 1 + (max(weight, 10) - 10) * 9999 // 990
    return Write("io.bfq.weight", f"{device} {weight}", otherwise=Write("io.weight", f"{device} {scaled}"))


def _rates(block: BlockIO) -> Iterator[tuple[str, ThrottleDevice]]:
    for key, devices in (
        ("rbps", block.throttle_read_bps_device), ("wbps", block.throttle_write_bps_device),
        ("riops", block.throttle_read_iops_device), ("wiops", block.throttle_write_iops_device),
    ):  # fmt: skip
        for device in devices:
            yield key, device


def totals_v1(text: bytes) -> tuple[int, int]:
    """Read and written, summed over all devices, from lines such as ``8:0 Read 4096``."""
    read = written = 0
    for line in text.split(b"\n"):
        _, _, rest = line.partition(b" ")
        if rest.startswith(b"Read "):
            read += int(rest[5:])
        elif rest.startswith(b"Write "):
            written += int(rest[6:])
    return read, written


def totals_v2(text: bytes) -> dict[bytes, int]:
    """The keys of ``io.stat`` (rbytes, wbytes, rios, wios …), summed over all devices."""
    sums: dict[bytes, int] = {}
    for word in text.split():
        key, equals, value = word.partition(b"=")
        if equals and value.isdigit():
            sums[key] = sums.get(key, 0) + int(value)
    return sums


def stats_v1(texts: Texts) -> Figures:
    byte_counts, operations = (totals_v1(texts.get(file, b"")) for file in FILES_V1)
    return {
        "io_read_bytes": byte_counts[0], "io_write_bytes": byte_counts[1],
        "io_read_ops": operations[0], "io_write_ops": operations[1],
    }  # fmt: skip


def stats_v2(texts: Texts) -> Figures:
    sums = totals_v2(texts.get("io.stat", b""))
    return {
        "io_read_bytes": sums.get(b"rbytes", 0), "io_write_bytes": sums.get(b"wbytes", 0),
        "io_read_ops": sums.get(b"rios", 0), "io_write_ops": sums.get(b"wios", 0),
    }  # fmt: skip
