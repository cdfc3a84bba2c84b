"""How deletions are written: in an archive, and in a directory that overlayfs stacks.

Sources: image-spec, layer.md, "Whiteouts"; kernel, Documentation/filesystems/overlayfs.rst. What stands for overlayfs's
own marks where a file system has neither of them, apply.py says.
"""

from __future__ import annotations

import os
import stat

from containerkit.linux.confinement import is_confined

WHITEOUT, OPAQUE_MARK = ".wh.", ".wh..wh..opq"
#: By whether overlayfs runs in a user namespace.
OPAQUE = {False: "trusted.overlay.opaque", True: "user.overlay.opaque"}


def is_whiteout(found: os.stat_result, *, in_layer: bool) -> bool:
    """Whether it says that its name of the layers below is deleted.

    Args:
        in_layer: it is of an image's layer, where a socket says so too; a container's own are sockets.
    """
    return (stat.S_ISCHR(found.st_mode) and found.st_rdev == 0) or (in_layer and stat.S_ISSOCK(found.st_mode))


def is_opaque(path: str) -> bool:
    """Whether nothing of the layers below shows in the directory at ``path``."""
    try:
        return os.getxattr(path, OPAQUE[is_confined()], follow_symlinks=False) == b"y"
    except OSError:
        return os.path.lexists(f"{path}/{OPAQUE_MARK}")
