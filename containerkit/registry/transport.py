"""Requests: sent again when that may help, and followed where a registry may send them.

Redirects are followed here and not by the library: what is for a registry's eyes only (an Authorization) is not sent to
where it points, and it cannot point where a registry has no business: from https to http, or from outside into this
machine and its link (169.254.169.254 knows a cloud's secrets).

Sources: RFC 9110 (Retry-After, redirects), RFC 6585 (429).
"""

from __future__ import annotations

import email.utils
import random
import re
import socket
import time
from collections.abc import Callable, Mapping
from datetime import timezone
from functools import lru_cache
from urllib.parse import urljoin, urlsplit

from containerkit.errors import RegistryError
from containerkit.registry import connections
from containerkit.registry.connections import Body, Broken, Response, Unreachable
from containerkit.registry.deadline import Deadline
from containerkit.registry.hosts import Trust, address_of, is_loopback

#: How often a request is sent, and how often a host that does not answer at all is called.
_ATTEMPTS, _CONNECTS = 5, 2
#: Seconds before the second attempt, or less; each further one waits twice as long, or as long as the registry asks, up
#: to this.
_FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
#: With these a registry says that another time would be better.
PASSING = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTS = 5
#: What another reader of addresses could take for another host's (RFC 3986, 3.2) is none.
_AUTHORITY = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_UNSAFE = re.compile(r"[^\x21-\x7e]|\\")


class Transport:
    """Requests to one host and to where it redirects.

    Args:
        trust: how the certificate of a host and port is looked at.
        deadline: when all has to be over.
    """

    def __init__(self, trust: Callable[[str], Trust], deadline: Deadline) -> None:
        self._trust, self._deadline = trust, deadline

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Body | None = None,
        size: int | None = None, *, attempts: int = _ATTEMPTS,
    ) -> Response:  # fmt: skip
        """Send a request, again when that may help, and follow redirects.

        Args:
            body: what is sent, of ``size`` bytes.
            attempts: how often at most.

        Raises:
            RegistryError: no answer, or a redirect that is not to be followed.
            Timeout: the deadline has come.
        """
        for attempt in range(1, attempts + 1):
            self._deadline.check()
            is_last = attempt == attempts
            try:
                response = self._follow(method, url, dict(headers or {}), body, size)
            except Unreachable:
                if attempt >= min(attempts, _CONNECTS):
                    raise
                asked = None
            except Broken:
                if is_last:
                    raise
                asked = None
            else:
                if response.status not in PASSING or is_last:
                    return response
                asked = retry_after(response.headers.get("Retry-After", ""), time.time())
                if asked is not None and asked > LONGEST_PAUSE:
                    return response
                response.close()
            self.pause(attempt, asked)
        raise AssertionError("unreachable")

    def pause(self, failures: int, asked: float | None = None) -> None:
        """Wait before another attempt: for as long as was asked for, else the longer the more have failed."""
        # Not all at once: who was turned away together comes back apart.
        seconds = min(_FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.0)
        self._deadline.sleep(seconds if asked is None else asked)

    def _follow(self, method: str, url: str, headers: dict[str, str], body: Body | None, size: int | None) -> Response:
        for _ in range(_REDIRECTS + 1):
            trust = self._trust(urlsplit(url).netloc)
            response = connections.send(method, url, headers, body, size, trust, self._deadline)
            target = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not target:
                return response
            response.close()
            following = self.way(url, target, "redirects")
            if _origin(following) != _origin(url):
                headers.pop("Authorization", None)
            if response.status == 303 and method not in ("GET", "HEAD"):
                method, body, size = "GET", None, None
            url = following
        raise RegistryError(f"more than {_REDIRECTS} redirects")

    def way(self, origin: str, target: str, verb: str) -> str:
        """Where a registry sends us: ``target`` as ``origin`` means it.

        Raises:
            RegistryError: as :meth:`check_way`.
        """
        try:
            found = urljoin(origin, target)
        except ValueError:
            found = target
        self.check_way(origin, found, verb)
        return found

    def check_way(self, origin: str, target: str, verb: str) -> None:
        """Whether a registry may send us there.

        Raises:
            RegistryError: from https to http, to this machine or its link from outside, or to no address of the web.
        """
        try:
            here, there = urlsplit(origin), urlsplit(target)
            is_address = there.scheme in ("https", "http") and _AUTHORITY.fullmatch(there.netloc) and there.port != 0
        except ValueError:
            is_address = False
        if not is_address or _UNSAFE.search(target):
            raise RegistryError(f"{verb} to {target[:100]!r}, which is no address of the web")
        shown = f"{there.scheme}://{there.netloc}{there.path}"[:200]
        if here.scheme == "https" and there.scheme == "http":
            raise RegistryError(f"{verb} from https to http ({shown})")
        if there.netloc != here.netloc and _locality(there.netloc) not in ("", _locality(here.netloc)):
            raise RegistryError(f"{verb} to {shown}, an address of this machine or its link")


def retry_after(text: str, now: float) -> float | None:
    """Seconds to wait, from a Retry-After header: a number of them, or a date; None when it is neither."""
    number = text.strip()
    if number.isdecimal():
        return float(number) if len(number) < 12 else None
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


@lru_cache(maxsize=256)
def _locality(authority: str) -> str:
    """``machine`` for this machine, ``link`` for what is only known on its link, else nothing.

    A name is what it stands for.
    """
    if is_loopback(authority):
        return "machine"
    name = urlsplit(f"//{authority}").hostname or ""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return ""
    addresses = [address for one in found if (address := address_of(one.partition("%")[0])) is not None]
    if any(address.is_link_local for address in addresses):
        return "link"
    return "machine" if any(address.is_loopback or address.is_unspecified for address in addresses) else ""
