"""``python -m containerkit.runtime BUNDLE``: run a bundle to its end, with this process's standard streams.

The exit code is the program's, 128+n after signal n, and 125, 126 or 127 with one line of why when it did not start.
"""

from __future__ import annotations

import os
import sys

from containerkit.errors import ContainerkitError, start_exit_code
from containerkit.linux import process
from containerkit.runtime import bundle, create


def run(path: str) -> int:
    """Run the bundle in the directory ``path``; its exit code.

    Raises:
        ContainerkitError: it is no bundle, or cannot be started; nothing is left of it.
    """
    path = os.path.abspath(path)
    spec = bundle.load(path)
    program = bundle.read_filter(path, spec)
    rootfs = os.path.join(path, spec.root.path)
    child = create.create(spec, rootfs, streams=(0, 1, 2), seccomp_filter=program)
    try:
        child.start()
    except BaseException:
        child.discard()
        raise
    _, status = os.waitpid(child.pid, 0)
    if child.cgroup is not None:
        child.cgroup.kill()
        child.cgroup.delete()
    return process.exit_code(status)


def main(arguments: list[str]) -> int:
    """The command line."""
    if len(arguments) != 1:
        print("usage: python -m containerkit.runtime BUNDLE", file=sys.stderr)
        return 125
    try:
        return run(arguments[0])
    except ContainerkitError as error:
        print(error, file=sys.stderr)
        return start_exit_code(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
