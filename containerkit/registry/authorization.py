"""What is sent along so that a registry answers: a token of its realm, or a user and a password.

Sources: distribution's token authentication specification (and its OAuth 2 form, for identity tokens); RFC 7617.

A registry can name any realm, and whoever gives tokens gets to see the credentials: so a realm is asked only when it
belongs to the registry's own site, or the configuration says so (``registries.realms``); never without TLS when the
registry has it, and never on this machine or its link when the registry is elsewhere.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from containerkit.errors import RegistryError
from containerkit.registry import challenges, credentials
from containerkit.registry.challenges import Challenge
from containerkit.registry.connections import Denied, of_bytes
from containerkit.registry.credentials import Credentials
from containerkit.registry.hosts import Host, address_of, host_of, is_loopback
from containerkit.registry.transport import Transport
from containerkit.values import frozen

_LIMIT = 1 << 20
#: Seconds that a token is good for when nobody says, and before its end when it is not used any more.
_LIFE, _MARGIN = 60.0, 5.0
_LONGEST = 24 * 3600
_CLIENT = "containerkit"


@frozen
class _Token:
    header: str = field(repr=False)
    until: float


class Authorization:
    """What one host is told about us; remembers its tokens. For any thread.

    Args:
        repository: what the credentials are looked up for.
        given: credentials to use instead of those that are kept.
    """

    def __init__(
        self, host: Host, transport: Transport, repository: str = "", given: Credentials | None = None
    ) -> None:
        self._host, self._transport, self._repository = host, transport, repository
        self._given = given
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._basic = ""
        self._secrets: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def header(self, scopes: Sequence[str]) -> str:
        """What to send as Authorization from what is known already; empty for nothing."""
        token = self._tokens.get(tuple(scopes))
        if token is not None and time.monotonic() < token.until:
            return token.header
        return self._basic

    def answer(self, url: str, headers: Iterable[str], scopes: Sequence[str], sent: str) -> str:
        """What to send after a 401.

        Args:
            url: that was answered so.
            headers: the WWW-Authenticate headers.
            sent: what was sent before.

        Raises:
            RegistryError: the registry wants what we have not or do not give.
        """
        with self._lock:
            if (known := self.header(scopes)) not in ("", sent):
                return known  # another thread has just asked
            return self._answer(url, challenges.parse(headers), scopes, sent)

    def _answer(self, url: str, found: Sequence[Challenge], scopes: Sequence[str], sent: str) -> str:
        for challenge in found:
            if challenge.scheme == "bearer":
                return self._bearer(url, challenge, scopes)
        for challenge in found:
            if challenge.scheme == "basic":
                return self._login(sent)
        wanted = ", ".join(challenge.scheme for challenge in found) or "nothing that we know"
        raise RegistryError(f"{self._host}: wants {wanted} as authorization")

    def hide(self, said: str) -> str:
        """What a registry has said, without what is for its eyes only."""
        for secret in self._secrets:
            said = said.replace(secret, "…")
        return said

    def _credentials(self) -> Credentials | None:
        known = self._given or credentials.find(self._host.account, self._repository)
        if known is not None:
            secrets = (known.password, known.identity_token, _basic(known).removeprefix("Basic "))
            self._secrets = tuple(filter(None, secrets))
        return known

    def _login(self, sent: str) -> str:
        known = self._credentials()
        if known is None:
            raise Denied(f'{self._host}: wants a login: ck.login("{self._host.account}", …)')
        self._basic = _basic(known)
        if self._basic == sent:
            raise Denied(f"{self._host}: the login of {known.username} is refused")
        return self._basic

    def _bearer(self, url: str, challenge: Challenge, scopes: Sequence[str]) -> str:
        realm = challenge.parameters.get("realm", "")
        self._check_realm(url, realm)
        asked = [scope for scope in challenge.parameters.get("scope", "").split(" ") if scope]
        wanted = list(dict.fromkeys([*scopes, *asked]))
        known = self._credentials()
        service = challenge.parameters.get("service", "")
        answer = (
            self._oauth(realm, service, wanted, known)
            if known and known.identity_token
            else (self._plain(realm, service, wanted, known))
        )
        text = answer.get("token") or answer.get("access_token")
        if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
            raise RegistryError(f"{self._host}: its realm gave no token")
        life = answer.get("expires_in")
        seconds = float(min(life, _LONGEST)) if isinstance(life, (int, float)) and life > 0 else _LIFE
        token = _Token(f"Bearer {text}", time.monotonic() + max(seconds - _MARGIN, seconds / 2))
        self._tokens[tuple(scopes)] = token
        return token.header

    def _plain(self, realm: str, service: str, scopes: list[str], known: Credentials | None) -> dict[str, Any]:
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        if known is not None:
            query.append(("account", known.username))
        parts = urlsplit(realm)
        url = urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), *query])))
        return self._ask("GET", url, {"Authorization": _basic(known)} if known is not None else {}, None, known)

    def _oauth(self, realm: str, service: str, scopes: list[str], known: Credentials) -> dict[str, Any]:
        form = {"grant_type": "refresh_token", "service": service, "client_id": _CLIENT, "scope": " ".join(scopes),
                "refresh_token": known.identity_token}  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", realm, headers, urlencode(form).encode(), known)

    def _ask(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, known: Credentials | None
    ) -> dict[str, Any]:
        where = urlsplit(url).netloc
        content = None if body is None else of_bytes(body)
        with self._transport.request(method, url, headers, content, None if body is None else len(body)) as response:
            response.subject = str(self._host)
            if response.status in (401, 403):
                who = f"the login of {known.username or 'its token'}" if known else "nobody without a login"
                word = "is refused" if known else "is let in"
                said = self.hide(response.complaint())
                raise Denied(f"{self._host}: {who} {word} (by {where}: {said})")
            if response.status != 200:
                raise RegistryError(f"{self._host}: no token from {where}: {self.hide(response.complaint())}")
            found = response.json(_LIMIT)
        if not isinstance(found, dict):
            raise RegistryError(f"{self._host}: its realm gave no token")
        return found

    def _check_realm(self, url: str, realm: str) -> None:
        self._transport.check_way(url, realm, f"{self._host}: sends for its tokens")
        ours, theirs = host_of(self._host.authority), urlsplit(realm).hostname or ""
        netloc = urlsplit(realm).netloc
        allowed = {theirs, netloc} & set(self._host.realms)
        if not allowed and not is_same_site(ours, theirs):
            raise RegistryError(
                f"{self._host}: sends for its tokens to {theirs}, another site (if that is right, say so in the"
                f' configuration: registries.realms."{self._host.account}" = ["{netloc}"])'
            )


def is_same_site(one: str, other: str) -> bool:
    """Whether two hosts are one site's: the same, both this machine, or of names with the same last two labels or more.

    Where names are given out below two labels (``co.uk``), three have to agree.
    """
    if one == other or (is_loopback(one) and is_loopback(other)):
        return True
    if address_of(one) is not None or address_of(other) is not None:
        return False
    return _site(one) == _site(other)


def _site(name: str) -> tuple[str, ...]:
    labels = name.lower().rstrip(".").split(".")
    is_short = len(labels) >= 3 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return tuple(labels[-3:] if is_short else labels[-2:])


def _basic(known: Credentials) -> str:
    pair = f"{known.username}:{known.password}".encode()
    return "Basic " + base64.b64encode(pair).decode()
