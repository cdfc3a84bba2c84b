"""``python -m tests.vm [PYTEST ARGUMENT…]``."""

from __future__ import annotations

import sys

from tests.vm import machine

if __name__ == "__main__":
    try:
        if len(sys.argv) > 1:
            sys.exit(machine.run(sys.argv[1:], machine.CHOSEN_LIMIT))
        sys.exit(machine.run(machine.TESTS))
    except machine.Unavailable as problem:
        sys.exit(f"vm: {problem}")
