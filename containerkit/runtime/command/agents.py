"""seccomp's action notify: an agent outside decides on system calls, and gets a descriptor to hear of them.

Source: runtime-spec config-linux.md, "The Container Process State".
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping

from containerkit.oci.runtime_spec import SPEC_VERSION, Seccomp
from containerkit.runtime.command import terminals


def introduce(profile: Seccomp | None, state: Mapping[str, object], pid: int) -> Callable[[int], None]:
    """What to do with the descriptor when it comes: send it to the profile's agent, and tell it of whom.

    Args:
        state: the container's.
        pid: of the process that the filter is loaded in.
    """

    def take(listener: int) -> None:
        try:
            if profile is not None:
                _send(profile, state, pid, listener)
        finally:
            os.close(listener)

    return take


def _send(profile: Seccomp, state: Mapping[str, object], pid: int, listener: int) -> None:
    told = {
        "ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": pid, "metadata": profile.listener_metadata,
        "state": dict(state),
    }  # fmt: skip
    terminals.send(profile.listener_path, json.dumps(told).encode(), listener, f"seccomp agent {profile.listener_path}")
