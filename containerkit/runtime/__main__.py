"""``containerkit-runtime`` and ``python -m containerkit.runtime``: into a sealed interpreter, and there the command.

What enters a container is a copy of the interpreter that cannot be written to (CVE-2019-5736).
"""

from __future__ import annotations

from typing import NoReturn

from containerkit.linux import sealed


def main() -> NoReturn:
    """Go on as the command; nothing else is imported before."""
    sealed.become("containerkit.runtime.command.cli")


if __name__ == "__main__":
    main()
