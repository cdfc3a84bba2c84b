"""How much of what its process may open a relay may take: a client must not be able to use up the rest.

The monitor needs descriptors for more than relays: to be spoken to, for health checks, for its database.
"""

from __future__ import annotations

import os

#: Descriptors that are left to everything else.
_RESERVE = 256
#: So many there may always be, and never more.
_LEAST, _MOST = 16, 1024


class Room:
    """Counts what all relays of this process have open, of one kind.

    Args:
        cost: descriptors that are set aside for each.
    """

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._bound = _LEAST
        self.taken = 0

    @property
    def is_full(self) -> bool:
        """Whether there may be no more at present."""
        if not self.taken:
            # What is open now is not ours: sockets of many published ports, too.
            self._bound = max(_LEAST, min(_MOST, (_free() - _RESERVE) // self._cost))
        return self.taken >= self._bound

    def take(self) -> None:
        """There is one more."""
        self.taken += 1

    def leave(self) -> None:
        """One has gone."""
        self.taken -= 1


def _free() -> int:
    """Descriptors that this process may still open."""
    # Not at the top: a process that relays nothing does not need it.
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    try:
        return soft - len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0  # to look takes a descriptor, too


#: Connections have two descriptors each, clients that send datagrams one: no kind takes more than half.
CONNECTIONS, CLIENTS = Room(4), Room(2)
