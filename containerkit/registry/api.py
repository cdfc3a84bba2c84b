"""Requests to one host of a registry, with what it wants to know of us.

Source: opencontainers/distribution-spec 1.1, spec.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from containerkit.errors import NotFound, RegistryError
from containerkit.registry.authorization import Authorization
from containerkit.registry.connections import Body, Broken, Denied, NoTls, Response, Untrusted
from containerkit.registry.hosts import Host
from containerkit.registry.transport import Transport

_LIST_LIMIT, _PAGES = 8 << 20, 1000
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')


class Api:
    """The API of one host. For any thread.

    Args:
        scopes: what of it is asked for: ``repository:PATH:pull``.
    """

    def __init__(self, host: Host, transport: Transport, authorization: Authorization, scopes: Sequence[str]) -> None:
        self.host, self.transport = host, transport
        self._authorization, self._scopes = authorization, tuple(scopes)
        self._scheme = "" if len(host.schemes) > 1 else host.schemes[0]

    def url(self, rest: str) -> str:
        """Of an end point."""
        if not self._scheme:
            self._scheme = self._find_scheme()
        return f"{self._root(self._scheme)}{rest}"

    def _root(self, scheme: str) -> str:
        return f"{scheme}://{self.host.authority}{self.host.prefix}/v2/"

    def _find_scheme(self) -> str:
        # With TLS when it can be had, unverified where that is good enough; a wrong certificate is no reason to do
        # without.
        try:
            with self.transport.request("GET", self._root("https"), attempts=1):
                return "https"
        except Untrusted as error:
            raise RegistryError(f"{self.host}: {error.message}") from error
        except RegistryError as error:
            first = error
        try:
            with self.transport.request("GET", self._root("http"), attempts=2):
                return "http"
        except RegistryError as error:
            told = error if isinstance(first, NoTls) else first
            raise type(told)(f"{self.host}: {told.message}") from error

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: Body | None = None,
        size: int | None = None, **more: Any,
    ) -> Response:  # fmt: skip
        """A request with what is known of us, and once more when the host asks for it.

        Args:
            more: as :meth:`Transport.request` takes it.

        Raises:
            RegistryError: no answer, or it wants what we have not.
        """
        known = self._authorization.header(self._scopes)
        try:
            response = self.transport.request(method, url, self._with(headers, known, url), body, size, **more)
            if response.status == 401:
                response.close()
                known = self._authorization.answer(url, response.challenges, self._scopes, known)
                response = self.transport.request(method, url, self._with(headers, known, url), body, size, **more)
        except RegistryError as error:
            if error.message.startswith(str(self.host)):
                raise
            raise type(error)(f"{self.host}: {error.message}") from error
        response.subject = str(self.host)
        return response

    def _with(self, headers: Mapping[str, str] | None, authorization: str, url: str) -> dict[str, str]:
        # An upload may go on elsewhere: what is for this host's eyes stays here.
        is_here = urlsplit(url).netloc == self.host.authority
        return {**(headers or {}), **({"Authorization": authorization} if authorization and is_here else {})}

    def expect(self, response: Response, status: int, where: str) -> None:
        """
        Raises:
            RegistryError: the answer has another status; ``where`` is the subject of the error.
        """
        if response.status == status:
            return
        said = self.complaint(response)
        if response.status >= 500 or response.status == 416:
            raise Broken(f"{where}: {said}")
        if response.status in (401, 403):
            raise Denied(f"{where}: denied: it does not exist, or this login may not ({said})")
        if response.status == 429:
            said = f"too many requests: try again later, or log in ({said})"
        raise RegistryError(f"{where}: {said}")

    def complaint(self, response: Response) -> str:
        """What went wrong, in the registry's words, and without a word of ours that is a secret."""
        return self._authorization.hide(response.complaint())

    def pages(self, rest: str, member: str, where: str) -> Iterator[str]:
        """The texts in ``member`` of an answer, and of those that it says come next.

        Raises:
            NotFound: there is no such end point.
        """
        url = self.url(rest)
        for _ in range(_PAGES):
            with self.request("GET", url) as response:
                if response.status == 404:
                    raise NotFound(f"{where}: not found")
                self.expect(response, 200, where)
                found = response.json(_LIST_LIMIT)
                names = found.get(member) if isinstance(found, dict) else None
                yield from (name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
                following = next_page(response.headers.get("Link", ""))
                if following is None:
                    return
                url = self.transport.way(response.url, following, f"{where}: continues")


def next_page(header: str) -> str | None:
    """Where a Link header (RFC 8288) says that the next part of a list is."""
    found = _NEXT.search(header[:4096])
    return None if found is None else found[1]
