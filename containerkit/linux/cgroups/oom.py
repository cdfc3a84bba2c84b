"""Being told that memory has run out, at the moment when it does.

Sources: cgroup-v1/memory.rst, "OOM Control" (an eventfd registered in ``cgroup.event_control``); cgroup-v2.rst,
"memory.events" (the file is "modified", which poll(2) reports as an exceptional condition until it is read again).
"""

from __future__ import annotations

import os
import select
from contextlib import ExitStack

from containerkit.linux.cgroups import memory


class OomNoticeV1:
    """Wait for ``events`` of ``descriptor``; then :meth:`seen` says whether memory has run out."""

    events = select.POLLIN

    def __init__(self, directory: str) -> None:
        self._directory = directory
        with ExitStack() as undo, ExitStack() as files:
            self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            undo.callback(os.close, self.descriptor)
            watched = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            files.callback(os.close, watched)
            control = os.open(f"{directory}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            files.callback(os.close, control)
            os.write(control, b"%d %d" % (self.descriptor, watched))
            undo.pop_all()

    def seen(self) -> bool:
        """Whether that is what happened: the kernel says the same of a cgroup that goes."""
        os.eventfd_read(self.descriptor)
        return os.path.exists(self._directory)

    def close(self) -> None:
        """Be told no more."""
        os.close(self.descriptor)


class OomNoticeV2:
    """As :class:`OomNoticeV1`."""

    events = select.POLLPRI

    def __init__(self, directory: str) -> None:
        self.descriptor = os.open(f"{directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        self._known = self._count()

    def _count(self) -> int:
        return memory.oom_kills_v2(os.pread(self.descriptor, 4096, 0))

    def seen(self) -> bool:
        """Whether that is what happened: the file tells of smaller troubles too, and of a cgroup that goes."""
        try:
            before, self._known = self._known, self._count()
        except OSError:
            return False
        return self._known > before

    def close(self) -> None:
        """Be told no more."""
        os.close(self.descriptor)


OomNotice = OomNoticeV1 | OomNoticeV2
