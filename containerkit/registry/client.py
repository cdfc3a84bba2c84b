"""What an engine does with registries: fetch an image, push one, log in, search."""

from __future__ import annotations

import getpass

from containerkit.configuration import Configuration
from containerkit.errors import InvalidArgument, NotFound, RegistryError
from containerkit.oci.manifest import Platform
from containerkit.oci.reference import DEFAULT_DOMAIN, Reference
from containerkit.options import Duration, duration
from containerkit.progress import Choice, choose
from containerkit.registry import accounts, catalogue, pull, push
from containerkit.registry.connections import Broken, Unreachable
from containerkit.registry.credentials import Credentials, registry_of
from containerkit.registry.deadline import Deadline
from containerkit.registry.names import candidates
from containerkit.registry.sessions import Session
from containerkit.results import SearchResult
from containerkit.store.images import ImageRecord
from containerkit.store.store import Store

#: What there is where no registry can be reached.
_WITHOUT_ONE = '; Image.from_host("sh", "ls") needs none: it takes programs of this machine'


def session(configuration: Configuration, tls_verify: bool | None, timeout: Duration | Deadline | None) -> Session:
    """One call to registries, with its deadline."""
    if not isinstance(timeout, Deadline):
        timeout = Deadline(None if timeout is None else duration(timeout, "timeout"))
    return Session(configuration.registries, timeout, tls_verify)


def fetch(
    store: Store, configuration: Configuration, text: str, wanted: Platform | None, missing: NotFound | None, *,
    tls_verify: bool | None = None, progress: Choice = "auto", timeout: Duration | Deadline | None = None,
) -> tuple[str, ImageRecord]:  # fmt: skip
    """The image of a reference from its registry, and how it is called.

    Args:
        missing: why it has to be fetched, for the error: it is not here.
        timeout: a deadline, too, which is the caller's to call off.

    Raises:
        NotFound: the registry has it not, or it is not here and cannot be fetched.
        RegistryError: the registry refuses, or sends something else than it announced.
    """
    references = candidates(text, configuration.registries)
    shown = choose(progress)
    try:
        reference, record = pull.pull_any(store, references, session(configuration, tls_verify, timeout), wanted, shown)
    except Broken as error:
        if missing is not None:
            # It is not here: that is what the caller has to know first.
            hint = _WITHOUT_ONE if isinstance(error, Unreachable) else ""
            raise NotFound(f"{missing.message}, and cannot be pulled: {error.message}{hint}") from None
        raise RegistryError(f"image {text}: {error.message}") from error
    return reference.familiar, record


def send(
    store: Store, configuration: Configuration, record: ImageRecord, text: str, *, tls_verify: bool | None,
    progress: Choice, timeout: Duration | None, compression: str | None,
) -> str:  # fmt: skip
    """Push an image under the tag ``text``; the digest that it has there."""
    calls = session(configuration, tls_verify, timeout)
    return push.push(store, record, Reference.parse(text), calls, choose(progress), compression)


def login(registry: str, username: str, password: str | None, calls: Session) -> str:
    """As ``ck.login``; what is not given is asked for."""
    registry = _registry(registry)
    user = username or input(f"user name at {registry}: ")
    if not user or ":" in user or not user.isprintable():
        # Not the name: what follows the colon may be the password.
        raise InvalidArgument(f"registry {registry}: a user name is needed, without a colon or a control character")
    secret = getpass.getpass(f"password of {user} at {registry}: ") if password is None else password
    return accounts.login(registry, calls, Credentials(user, secret))


def logout(registry: str) -> bool:
    """As ``ck.logout``."""
    return accounts.logout(_registry(registry))


def _registry(text: str) -> str:
    """The registry that is so named, or has that address."""
    registry = registry_of(text)
    try:
        is_one = Reference.parse(f"{registry}/x").domain == registry
    except InvalidArgument:
        is_one = False
    if not is_one:
        raise InvalidArgument(f"registry {text!r}: expected a host, with its port where that is not 443")
    return registry


def search(term: str, limit: int, calls: Session) -> list[SearchResult]:
    """As ``ck.search``."""
    first, slash, rest = term.partition("/")
    # No image's name has a port: with one it is a registry, also without the slash.
    is_registry = ":" in first or (slash and ("." in first or first == "localhost"))
    registry, words = (first, rest) if is_registry else (DEFAULT_DOMAIN, term)
    return catalogue.search(words, registry, calls, limit)
