"""When a process has its turn: sched_setattr(2), ioprio_set(2).

Sources: the man pages of those names; include/uapi/linux/{sched,ioprio}.h, include/uapi/linux/sched/types.h.
"""

from __future__ import annotations

import ctypes
import struct

from containerkit.linux.libc import check, libc, syscall_number
from containerkit.oci.runtime_spec import Scheduler

POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}  # fmt: skip
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08, "SCHED_FLAG_KEEP_PARAMS": 0x10, "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}  # fmt: skip
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_IOPRIO_WHO_PROCESS, _IOPRIO_CLASS_SHIFT = 1, 13

_sched_setattr = syscall_number("sched_setattr")
_ioprio_set = syscall_number("ioprio_set")
_long = ctypes.c_long


def set_scheduler(scheduler: Scheduler) -> None:
    """sched_setattr(2) of the calling thread.

    Raises:
        KeyError: an unknown policy or flag.
        OSError: EPERM without the right, EINVAL for values that do not go together.
    """
    flags = sum(FLAGS[name] for name in set(scheduler.flags))
    # struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period
    attributes = struct.pack(
        "=IIQiIQQQ", 48, POLICIES[scheduler.policy], flags, scheduler.nice, scheduler.priority, scheduler.runtime,
        scheduler.deadline, scheduler.period,
    )  # fmt: skip
    check(libc.syscall(_long(_sched_setattr), _long(0), attributes, _long(0)), "sched_setattr")


def set_io_priority(kind: str, priority: int) -> None:
    """ioprio_set(2) of the calling thread.

    Args:
        kind: of :data:`IO_CLASSES`.
        priority: 0 (first) to 7.
    """
    value = IO_CLASSES[kind] << _IOPRIO_CLASS_SHIFT | priority
    check(libc.syscall(_long(_ioprio_set), _long(_IOPRIO_WHO_PROCESS), _long(0), _long(value)), "ioprio_set")
