"""Restart policies: whether a container that has ended is started again, and after how long."""

from __future__ import annotations

_FIRST, _LONGEST = 0.1, 60.0
#: Seconds that a run has to last for the next wait to begin from the shortest again.
_WELL = 10.0


def wanted(policy: str, retries: int, exit_code: int, restarts: int) -> bool:
    """Whether it is started again.

    Args:
        policy: no, on-failure, always or unless-stopped.
        retries: how often at most, for on-failure; 0 for ever.
        restarts: how often it has been already.
    """
    if policy == "on-failure":
        return exit_code != 0 and (retries == 0 or restarts < retries)
    return policy in ("always", "unless-stopped")


def back_off(before: float, lasted: float) -> float:
    """Seconds to wait before the next start: twice as long each time, from 0.1 up to 60, as docker does.

    Args:
        before: the last wait, 0 for none.
        lasted: seconds that the last run took.
    """
    return _FIRST if lasted >= _WELL or before == 0 else min(before * 2, _LONGEST)
