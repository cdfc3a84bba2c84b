"""Limit, prioritise, account and control the processes of a container: cgroups v1, v2 and hybrid behind one interface.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/\\*.rst, cgroups(7).

Words
    *hierarchy*: a mounted tree of cgroups. v1 has one per controller (or few), v2 has one for all. A machine with
    both is *hybrid*: each controller is in one of them, never in two.
    *controller*: the part of the kernel that limits and counts one thing: cpu, memory, pids …
    *cgroup*: a directory, of the same path below the root of every hierarchy that is used.
    *control hierarchy*: the one through which the whole is frozen, killed and listed: v2 where it is mounted, for it
    has ``cgroup.kill`` and its frozen processes can be killed; else the v1 freezer.
    *write*: a file of a controller and what goes into it.

One start, walked through
    ``Cgroup("/containerkit-1f2e")`` is a name; nothing is touched. ``hierarchies.detect()`` has read
    ``/proc/self/mountinfo`` once and knows where each controller is.
    ``create()`` makes the directories, and on v2 enables the controllers in the directories above.
    ``apply(resources)`` asks each controller's file (``memory.py``, ``cpu.py`` …) for its writes, a pure function of
    the limits, and writes them. Nothing is written for what is not limited. Call it again to change limits.
    ``open_for_clone()`` gives clone3(2) the v2 directory: the child is born in it. In the child, ``attach_self()``
    joins the v1 hierarchies.
    ``stats()`` reads; a ``StatsReader`` keeps the files open for those who read often.
    ``sub("exec-7")`` is a child cgroup for one exec'd process with all it starts, so that it can be killed alone.
    ``kill()`` ends every process, ``delete()`` removes the directories; both may be called twice.

=================  =========================================================================
``hierarchies``    where each controller is mounted: a pure function of mountinfo's text
``cgroup``         the interface
``limits``         the controllers' writes, into the kernel
``exec_group``     the child cgroup of one exec'd process
``oom``            being told that memory has run out
``files``          reading and writing the kernel's files, and the errors that come of it
``controller``     what a controller's file has to offer: its writes of v1 and v2, and what its statistics say;
                   ``controllers`` has all of them in a list: ``cpu``, ``cpuacct``, ``cpuset``, ``memory``, ``pids``,
                   ``blkio``, ``devices``, ``hugetlb``, ``net_cls``, ``perf_event``
``pressure``       how long processes have waited for a resource
``device_filter``  device rules as an eBPF program, for v2 has no files for them
``freezer``        freeze and thaw
``processes``      list and kill
``stats``          ``CgroupStats`` and ``Sample``, the values
``reader``         ``StatsReader``; ``sampling`` has the short way to the numbers of a recording
=================  =========================================================================
"""

from containerkit.linux.cgroups.cgroup import Cgroup
from containerkit.linux.cgroups.devices import DEFAULT_DEVICES
from containerkit.linux.cgroups.exec_group import ExecGroup
from containerkit.linux.cgroups.hierarchies import Hierarchies, delegated_parent, detect
from containerkit.linux.cgroups.oom import OomNotice
from containerkit.linux.cgroups.reader import StatsReader
from containerkit.linux.cgroups.stats import CgroupStats, Sample

__all__ = [
    "DEFAULT_DEVICES", "Cgroup", "CgroupStats", "ExecGroup", "Hierarchies", "OomNotice", "Sample", "StatsReader",
    "delegated_parent", "detect",
]  # fmt: skip
