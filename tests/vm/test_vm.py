"""The kernel tests on a machine with cgroup v2 alone, with delegation to users."""

from __future__ import annotations

import os
import re

import pytest

from tests.vm import machine


@pytest.mark.timeout(machine.LIMIT + 60)
@pytest.mark.skipif("CONTAINERKIT_VM" in os.environ, reason="this is the virtual machine")
def test_on_cgroup_v2(finished: tuple[int, str]) -> None:
    code, output = finished
    if machine.UNAVAILABLE in output:
        pytest.skip(f"cgroup v2 and its delegation are not tested: {output.split(machine.UNAVAILABLE)[1].strip()}")
    assert code == 0, output[-8000:]
    # That they ran, and were not skipped.
    assert int(re.findall(r"(\d+) passed", output)[-1]) > 60, output[-3000:]
