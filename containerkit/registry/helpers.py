"""Programs that keep logins in a keychain: ``docker-credential-NAME get|store|erase``, spoken to over their pipes.

Source: docker-credential-helpers, "Development": what goes in and comes out, and the words of one that has nothing.

No secret is ever in an error: of what a helper says, only words that cannot be one are repeated.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress

from containerkit.errors import InvalidArgument, NotFound, RegistryError

#: What a helper answers that has nothing.
_NOTHING = ("credentials not found in native keychain", "no credentials server url", "no credentials username")
#: Seconds; a keychain may ask its user.
_TAKES = 60.0


def get(helper: str, server: str) -> tuple[str, str] | None:
    """The user name and the secret that it keeps for a server; None when it has nothing.

    Raises:
        RegistryError: it is not installed, or failed.
        InvalidArgument: its name is none.
    """
    try:
        said = _ask(helper, "get", server)
    except NotFound:
        return None
    return read(said, helper, server)


def read(said: str, helper: str, server: str) -> tuple[str, str]:
    """The user name and the secret that a helper's answer has.

    Raises:
        RegistryError: it is none.
    """
    try:
        answer = json.loads(said)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise RegistryError(f"credential helper docker-credential-{helper}: an answer for {server} that is none")
    return user, secret


def store(helper: str, server: str, user: str, secret: str) -> None:
    """Have it keep them. Raises as :func:`get`."""
    _ask(helper, "store", json.dumps({"ServerURL": server, "Username": user, "Secret": secret}))


def erase(helper: str, server: str) -> None:
    """Have it forget them. Idempotent. Raises as :func:`get`."""
    with suppress(NotFound):
        _ask(helper, "erase", server)


def _ask(helper: str, verb: str, text: str) -> str:
    """What it prints.

    Raises:
        NotFound: it has nothing.
    """
    if not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise InvalidArgument(f"credential helper {helper!r}: not a name")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, verb], input=text.encode(), capture_output=True, timeout=_TAKES, check=False)
    except FileNotFoundError:
        raise RegistryError(
            f"credential helper {program}: not installed, and docker's configuration names it"
        ) from None
    except (OSError, subprocess.TimeoutExpired):
        raise RegistryError(f"credential helper {program}: {verb} failed") from None
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0:
        return said
    if any(said.lower().startswith(words) for words in _NOTHING):
        raise NotFound(f"credential helper {program}: nothing for it")
    # Of a get that failed, what it printed is words, unless it is an object; of a store it could be the secret.
    words = said.partition("\n")[0][:200] if verb == "get" and "{" not in said else ""
    raise RegistryError(
        f"credential helper {program}: {verb} failed" + (f": {words}" if words and words.isprintable() else "")
    )
