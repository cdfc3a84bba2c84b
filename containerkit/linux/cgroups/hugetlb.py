"""The hugetlb controller: huge pages, one limit in bytes for each page size.

Sources: Documentation/admin-guide/cgroup-v1/hugetlb.rst; cgroup-v2.rst, "HugeTLB".
"""

from __future__ import annotations

import os
from functools import cache

from containerkit.errors import InvalidArgument
from containerkit.linux.cgroups.controller import Figures, Texts, Write, number
from containerkit.oci.runtime_spec import Resources


@cache
def page_sizes(directory: str = "/sys/kernel/mm/hugepages") -> tuple[str, ...]:
    """This machine's page sizes as the file names have them: ``2MB``, ``1GB``."""
    try:
        entries = os.listdir(directory)
    except OSError:
        return ()
    kilobytes = sorted(int(name.removeprefix("hugepages-").removesuffix("kB")) for name in entries)
    return tuple(_name(size) for size in kilobytes)


def _name(kilobytes: int) -> str:
    for unit, factor in (("GB", 1 << 20), ("MB", 1 << 10)):
        if kilobytes >= factor:
            return f"{kilobytes // factor}{unit}"
    return f"{kilobytes}KB"


V1, V2 = "hugetlb", "hugetlb"
FILES_V1: tuple[str, ...] = tuple(f"hugetlb.{size}.usage_in_bytes" for size in page_sizes())
FILES_V2: tuple[str, ...] = tuple(f"hugetlb.{size}.current" for size in page_sizes())


def limits(resources: Resources) -> str:
    return ", ".join(f"huge pages of {entry.page_size}" for entry in resources.hugepage_limits)


def writes_v1(resources: Resources) -> list[Write]:
    return _writes(resources, "limit_in_bytes")


def writes_v2(resources: Resources) -> list[Write]:
    return _writes(resources, "max")


def _writes(resources: Resources, suffix: str) -> list[Write]:
    writes = []
    for entry in resources.hugepage_limits:
        if not entry.page_size.isalnum():
            raise InvalidArgument(f"limit huge pages: page size {entry.page_size!r}: expected one such as 2MB")
        value = str(entry.limit)
        writes.append(Write(f"hugetlb.{entry.page_size}.{suffix}", value))
        # The reservation is bound too: mmap(2) fails with ENOMEM rather than a later touch with SIGBUS (Linux 5.7).
        writes.append(Write(f"hugetlb.{entry.page_size}.rsvd.{suffix}", value, optional=True))
    return writes


def stats_v1(texts: Texts) -> Figures:
    return {"hugetlb": {file.split(".")[1]: number(texts[file]) for file in FILES_V1 if file in texts}}


def stats_v2(texts: Texts) -> Figures:
    return {"hugetlb": {file.split(".")[1]: number(texts[file]) for file in FILES_V2 if file in texts}}
