"""``python -m tests.vm [PYTEST ARGUMENT…]``."""

from __future__ import annotations

import signal
import sys

from tests.vm import machine

if __name__ == "__main__":
    # Asked to end, it ends the machine, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if len(sys.argv) > 1:
            sys.exit(machine.run(sys.argv[1:], machine.CHOSEN_LIMIT))
        sys.exit(machine.run(machine.TESTS))
    except machine.Unavailable as problem:
        print(f"{machine.UNAVAILABLE}{problem}")
        sys.exit(1)
