"""Where a registry is asked: its mirrors, then itself; by which scheme, and whom to believe.

Sources: distribution specification 1.1, "Endpoints"; dockerd(8), ``--insecure-registry``, ``--registry-mirror``;
docker's ``certs.d`` layout (``HOST:PORT/*.crt`` are CAs, ``*.cert`` with ``*.key`` are ours).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator

from containerkit.configuration import Registries
from containerkit.errors import InvalidArgument
from containerkit.oci.reference import DEFAULT_DOMAIN
from containerkit.values import frozen

#: Where docker.io answers.
_DOCKER_HUB = "registry-1.docker.io"


@frozen
class Trust:
    """How a host's certificate is looked at.

    Args:
        verify: whether it has to be good.
        authorities: files with CAs to believe beside the system's.
        client: our certificate and its key, where the host wants one.
    """

    verify: bool = True
    authorities: tuple[str, ...] = ()
    client: tuple[str, str] | None = None


@frozen
class Host:
    """Where to ask for the repositories of a registry.

    Args:
        registry: the registry's name in references.
        authority: host and port.
        schemes: to try in this order: ``https``, ``http``.
        prefix: path before ``/v2/``, of mirrors.
        realms: other sites that may give tokens for it.
    """

    registry: str
    authority: str
    schemes: tuple[str, ...] = ("https",)
    trust: Trust = Trust()
    prefix: str = ""
    is_mirror: bool = False
    realms: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"mirror {self.authority} of {self.registry}" if self.is_mirror else f"registry {self.registry}"

    @property
    def account(self) -> str:
        """What its credentials are kept under."""
        return self.authority if self.is_mirror else self.registry


def hosts(registry: str, configuration: Registries, tls_verify: bool | None = None) -> list[Host]:
    """Where to ask for what ``registry`` has, in order: mirrors first. Only the last one takes what is pushed.

    Args:
        tls_verify: False: a certificate that nobody vouches for is good enough, and so is none; True: neither, whatever
            the configuration says.
    """
    mirrors = [_mirror(registry, url, configuration) for url in configuration.mirrors.get(registry, ())]
    authority = _DOCKER_HUB if registry == DEFAULT_DOMAIN else registry
    insecure = (
        not tls_verify
        if tls_verify is not None
        else any(is_insecure(name, configuration.insecure) for name in (registry, authority))
    )
    return [*mirrors, _host(registry, authority, insecure, configuration, tls_verify)]


def _mirror(registry: str, url: str, configuration: Registries) -> Host:
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "https", url
    authority, _, path = rest.partition("/")
    if scheme not in ("https", "http") or not authority or "@" in authority:
        shown = url.rpartition("@")[2]  # no password
        raise InvalidArgument(
            f"configuration: registries.mirrors: {shown!r} of {registry}: expected https://HOST[/PATH]"
        )
    trust = trust_in(authority, configuration)
    prefix = f"/{path.strip('/')}" if path.strip("/") else ""
    return Host(registry, authority, (scheme,), trust, prefix, is_mirror=True,
                realms=configuration.realms.get(authority, ()))  # fmt: skip


def _host(registry: str, authority: str, insecure: bool, configuration: Registries, tls_verify: bool | None) -> Host:
    trust = _trust(authority, insecure, configuration.certs)
    # On this machine, plain HTTP passes nobody by.
    plain = insecure or (tls_verify is None and is_loopback(authority))
    schemes = ("https", "http") if plain else ("https",)
    return Host(registry, authority, schemes, trust, realms=configuration.realms.get(registry, ()))


def is_insecure(authority: str, entries: tuple[str, ...]) -> bool:
    """Whether an entry names it: a host, a host and port, ``*.domain``, or a network that its address is in.

    Raises:
        InvalidArgument: an entry is none of these.
    """
    authority = authority.lower()
    name = host_of(authority)
    return True in [_names(entry.lower(), authority, name) for entry in entries]  # all are looked at


def _names(entry: str, authority: str, name: str) -> bool:
    if "/" not in entry:
        return entry in (authority, name) or (entry.startswith("*.") and name.endswith(entry[1:]))
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise InvalidArgument(f"configuration: registries.insecure: {entry!r}: not a host and not a network") from error
    return (address := address_of(name)) is not None and address in network


def host_of(authority: str) -> str:
    """An authority without its port, and an IPv6 address without its brackets; one without both is itself."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority if authority.count(":") > 1 else authority.partition(":")[0]


def address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that ``name`` is (an IPv4 address that is written as one of IPv6 is itself); None for a name."""
    try:
        found = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_loopback(authority: str) -> bool:
    """Whether it is this machine, by its name or address."""
    name = host_of(authority).lower().rstrip(".")
    address = address_of(name)
    return name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback)


def trust_in(authority: str, configuration: Registries) -> Trust:
    """How a host's certificate is looked at, as the configuration says."""
    return _trust(authority, is_insecure(authority, configuration.insecure), configuration.certs)


def _trust(authority: str, insecure: bool, places: tuple[str, ...]) -> Trust:
    files = list(_certificates(authority, places))
    authorities = tuple([path for path in files if path.endswith(".crt")])
    pairs = [(path, f"{path[:-5]}.key") for path in files if path.endswith(".cert")]
    for certificate, key in pairs:
        if key not in files:
            raise InvalidArgument(f"registry {authority}: certificate {certificate}: its key {key} is missing")
    return Trust(not insecure, authorities, pairs[0] if pairs else None)


def _certificates(authority: str, places: tuple[str, ...]) -> Iterator[str]:
    for place in places:
        directory = os.path.join(os.path.expanduser(place), authority)
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            continue
        yield from (os.path.join(directory, name) for name in names if name.endswith((".crt", ".cert", ".key")))
