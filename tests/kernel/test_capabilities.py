"""A process's capability sets."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from containerkit.linux import capabilities
from containerkit.linux.capabilities import CapabilitySets

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def sets_after(act: Callable[[], None]) -> CapabilitySets:
    """The sets of a child that has done ``act``."""
    (reading, writing), (hold, release) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os.write(writing, b"x")
            os.close(release)
            os.read(hold, 1)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"x"
        return capabilities.read(pid)
    finally:
        os.close(release)
        os.waitpid(pid, 0)
        os.close(hold)
        os.close(reading)


def test_the_kernels_list_is_not_longer_than_ours() -> None:
    assert capabilities.last_cap() < len(capabilities.NAMES)


def test_bounding_set_and_sets() -> None:
    def act() -> None:
        capabilities.drop_bounding(("CAP_CHOWN", "CAP_KILL"))
        capabilities.apply(("CAP_CHOWN",), ("CAP_CHOWN", "CAP_KILL"), ())

    both = ("CAP_CHOWN", "CAP_KILL")
    assert sets_after(act) == CapabilitySets((), both, ("CAP_CHOWN",), both, ())


def test_ambient_needs_inheritable() -> None:
    def act() -> None:
        capabilities.apply(("CAP_CHOWN",), ("CAP_CHOWN", "CAP_KILL"), ("CAP_KILL",))
        capabilities.raise_ambient(("CAP_KILL", "CAP_CHOWN"))

    assert sets_after(act).ambient == ("CAP_KILL",)


def test_what_the_process_lacks_is_left_out() -> None:
    def act() -> None:
        capabilities.drop_bounding(("CAP_CHOWN",))
        capabilities.apply(("CAP_CHOWN",), ("CAP_CHOWN",), ())
        capabilities.apply(capabilities.NAMES, capabilities.NAMES, capabilities.NAMES)

    only = ("CAP_CHOWN",)
    assert sets_after(act) == CapabilitySets(only, only, only, only, ())


def test_without_setpcap_a_bound_that_holds_already_is_fine() -> None:
    def act() -> None:
        capabilities.drop_bounding(("CAP_CHOWN",))
        capabilities.apply((), (), ())
        capabilities.drop_bounding(("CAP_CHOWN",))
        try:
            capabilities.drop_bounding(())
        except PermissionError:
            return
        os._exit(1)

    assert sets_after(act).bounding == ("CAP_CHOWN",)
