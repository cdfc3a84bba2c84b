"""What a container has unless somebody says otherwise: Docker's mounts, and the paths that it hides or protects."""

from __future__ import annotations

from containerkit.oci.runtime_spec import Mount

#: The annotation of a container whose pid 1 is ours: the specification has no member for it.
INIT = "containerkit.init"

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def mounts(shm_size: int, sys: str) -> tuple[Mount, ...]:
    """The kernel's file systems.

    Args:
        shm_size: bytes of ``/dev/shm``.
        sys: ``"ro"`` or ``"rw"``, for ``/sys``.
    """
    return (
        Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount(
            "/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
        ),
        Mount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", f"size={shm_size}")),
        Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
        Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", sys)),
    )


MOUNTS = mounts(64 << 20, "ro")
