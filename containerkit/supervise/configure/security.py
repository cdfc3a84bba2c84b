"""``security_opt``: no new privileges; the seccomp profile."""

from __future__ import annotations

import os
from pathlib import Path

from containerkit.errors import InvalidArgument
from containerkit.linux import capabilities
from containerkit.oci import runtime_spec as rs
from containerkit.oci import seccomp_default
from containerkit.options import Settings


def _security_options(settings: Settings) -> dict[str, str]:
    found = {}
    for option in settings.security_opt:
        # Docker took a colon before it took an equals sign, and still does.
        name, _, value = option.replace(":", "=", 1).partition("=")
        if name not in ("no-new-privileges", "seccomp"):
            raise InvalidArgument(f"security_opt {option!r}: expected no-new-privileges or seccomp=…")
        found[name] = value
    return found


def no_new_privileges(settings: Settings) -> bool:
    """Whether no program may gain rights (prctl(2), PR_SET_NO_NEW_PRIVS)."""
    return _security_options(settings).get("no-new-privileges", "false") in ("", "true")


def seccomp(settings: Settings) -> rs.Seccomp | None:
    """The filter: the default one, that of a file, or none."""
    chosen = _security_options(settings).get("seccomp", "")
    if chosen == "unconfined" or (settings.privileged and not chosen):
        return None
    held = capabilities.resolve(settings.cap_add, settings.cap_drop, settings.privileged)
    major, minor = (int(part) for part in os.uname().release.split(".")[:2])
    if not chosen:
        return seccomp_default.default_profile(held, os.uname().machine, (major, minor))
    from containerkit.oci import seccomp_profile

    try:
        text = Path(chosen).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"security_opt seccomp={chosen}: {error}") from error
    return seccomp_profile.loads(text, held, os.uname().machine, (major, minor))
