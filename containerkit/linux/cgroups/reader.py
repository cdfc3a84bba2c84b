"""Reads the statistics of one cgroup again and again.

The files stay open: a read is one pread(2), and that a cgroup was removed shows as ENODEV. ``stats()`` is everything,
``sample()`` the few numbers of a recording, parsed no further than to them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from containerkit.errors import ContainerkitError, NotFound, RuntimeFailure
from containerkit.linux.cgroups import files, sampling
from containerkit.linux.cgroups.controller import Controller, Figures
from containerkit.linux.cgroups.controllers import CONTROLLERS
from containerkit.linux.cgroups.stats import CgroupStats, Sample

if TYPE_CHECKING:
    from containerkit.linux.cgroups.cgroup import Cgroup

_ABSENT = -1
_SIZE = 65536


class StatsReader:
    """A context manager; ``close()`` closes the files.

    Raises:
        NotFound: the cgroup does not exist.
    """

    def __init__(self, cgroup: Cgroup) -> None:
        if not cgroup.exists():
            raise NotFound(f"cgroup {cgroup.path}: no such cgroup")
        self.path = cgroup.path
        self._open: dict[str, int] = {}
        self._sources = [source for entry in CONTROLLERS if (source := self._source(cgroup, entry)) is not None]
        v1 = {controller.V1: directory for controller, is_v1, directory in self._sources if is_v1}
        v2 = {controller.V1: directory for controller, is_v1, directory in self._sources if not is_v1}
        self._parts = sampling.parts(v1, v2)

    @staticmethod
    def _source(cgroup: Cgroup, controller: Controller) -> tuple[Controller, bool, str] | None:
        """Where a controller's statistics are: (controller, whether that is v1, directory)."""
        v1, v2 = cgroup.home(controller)
        if v1 is not None:
            return controller, True, v1
        # v2 counts processor time in every cgroup, whatever is enabled.
        if controller.V1 == "cpuacct" and cgroup.hierarchies.v2 is not None:
            v2 = cgroup.hierarchies.v2 + cgroup.path
        return None if v2 is None else (controller, False, v2)

    def __enter__(self) -> StatsReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; a later read opens them again."""
        while self._open:
            _, descriptor = self._open.popitem()
            if descriptor != _ABSENT:
                os.close(descriptor)

    def stats(self) -> CgroupStats:
        """Everything, now.

        Raises:
            NotFound: the cgroup is gone.
        """
        with self._understood():
            return self._stats()

    def _stats(self) -> CgroupStats:
        figures: Figures = {}
        for controller, is_v1, directory in self._sources:
            names = controller.FILES_V1 if is_v1 else controller.FILES_V2
            texts = {name: text for name in names if (text := self._read(f"{directory}/{name}"))}
            figures.update(controller.stats_v1(texts) if is_v1 else controller.stats_v2(texts))
        return CgroupStats(**figures)

    def sample(self) -> Sample:
        """The numbers of a recording, now.

        Raises:
            NotFound: the cgroup is gone.
        """
        cpu, memory, pids, io = self._parts
        read = self._read
        with self._understood():
            return Sample(*cpu(read), *memory(read), pids(read), *io(read))

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, ArithmeticError) as problem:
            if isinstance(problem, ContainerkitError):
                raise
            raise RuntimeFailure(f"cgroup {self.path}: the kernel says {problem}") from problem

    def _read(self, path: str) -> bytes:
        """A file's content; empty when this kernel has no such file."""
        descriptor = self._open.get(path)
        try:
            if descriptor is None:
                descriptor = self._open[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return os.pread(descriptor, _SIZE, 0) if descriptor != _ABSENT else b""
        except OSError as problem:
            absent = problem.errno == errno.ENOENT and os.path.isdir(os.path.dirname(path))
            if absent or problem.errno == errno.EOPNOTSUPP:
                self._open.setdefault(path, _ABSENT)
                return b""
            raise files.error(problem, f"cgroup {self.path}") from problem
