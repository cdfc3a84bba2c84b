"""Logging in and out: whether a registry knows us, and where that is kept."""

from __future__ import annotations

from dataclasses import replace

from containerkit.errors import RegistryError
from containerkit.registry import credentials
from containerkit.registry.credentials import Credentials
from containerkit.registry.sessions import Session


def login(registry: str, session: Session, given: Credentials) -> str:
    """Ask the registry whether it knows them, and keep them; returns where, in words.

    Raises:
        RegistryError: it does not, or cannot be reached; nothing is kept then.
    """
    api = replace(session, given=given).api(session.hosts(registry)[-1])
    with api.request("GET", api.url("")) as response:
        if response.status in (401, 403):
            raise RegistryError(f"{api.host}: the login of {given.username} is refused ({api.complaint(response)})")
        api.expect(response, 200, f"{api.host}: login")
    return credentials.store(registry, given)


def logout(registry: str) -> bool:
    """Forget what is kept for a registry; whether there was something."""
    return credentials.erase(registry)
