"""The grammar of networks: which a container is on, its addresses and names there, and the names it knows itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from containerkit.errors import InvalidArgument
from containerkit.options.values import ip_address, texts

if TYPE_CHECKING:
    from containerkit.options import Settings


class Named(Protocol):
    """An object that stands for the network of its name."""

    @property
    def name(self) -> str: ...


Networks = str | Named | Sequence[str | Named]


class Membership(NamedTuple):
    """What ``network`` says.

    ``mode``: ``"bridge"`` (it is on networks), ``"none"``, ``"host"`` or ``"container:NAME"``; ``names``: the networks.
    """

    mode: str
    names: tuple[str, ...]


_ALONE = ("none", "host")
#: Of networks, and of containers and their ids.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_DNS_OPTION = re.compile(r"[a-z][a-z0-9-]*(?::[0-9]+)?")
_MAC = re.compile(r"[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}")


def network_name(value: Any, option: str = "network") -> str:
    """A network's name: letters, digits, ``_ . -``, beginning with a letter or digit.

    Raises:
        InvalidArgument: anything else.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidArgument(f"{option} {value!r}: use letters, digits, _ . - and begin with a letter or digit")
    return value


def network(value: Any, option: str = "network") -> Membership:
    """Of ``"none"``, ``"host"``, ``"container:NAME"``, a network's name, a network, or a list of these two.

    Raises:
        InvalidArgument: not a name; a network twice; what stands alone in a list.
    """
    items = [value] if isinstance(value, str) or not isinstance(value, Sequence) else list(value)
    if not items:
        raise InvalidArgument(f'{option} {value!r}: no network; write "none"')
    given = [item if isinstance(item, str) else getattr(item, "name", item) for item in items]
    alone = [item for item in given if item in _ALONE or str(item).startswith("container:")]
    if len(given) > 1 and alone:
        raise InvalidArgument(
            f'{option} {alone[0]!r}: cannot be combined with other networks; write "{alone[0]}" alone'
        )
    if alone:
        return Membership(_mode(alone[0], option), ())
    # docker's other word for the network that a container is on unasked.
    names = ["bridge" if item == "default" else network_name(item, option) for item in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidArgument(f"{option} {twice[0]!r}: given twice")
    return Membership("bridge", tuple(names))


def _mode(value: str, option: str) -> str:
    kind, _, name = value.partition(":")
    if kind == "container" and not _NAME.fullmatch(name):
        raise InvalidArgument(f'{option} {value!r}: write "container:" and the name or id of a container')
    return value


def addresses(value: Any, option: str = "ip") -> tuple[str, ...]:
    """A container's own addresses: one, or an IPv4 and an IPv6 address.

    Raises:
        InvalidArgument: not an address, or two of one family.
    """
    found = _addresses([value] if isinstance(value, str) else value, option)
    if not found or len({":" in address for address in found}) < len(found):
        raise InvalidArgument(f"{option} {value!r}: write one address, or a list of an IPv4 and an IPv6 address")
    return found


def servers(value: Any, option: str = "dns") -> tuple[str, ...]:
    """Addresses of name servers."""
    return _addresses(value, option)


def _addresses(value: Any, option: str) -> tuple[str, ...]:
    found = []
    for text in texts(value, option):
        address = ip_address(text)
        if not address:
            raise InvalidArgument(f"{option} {text!r}: not an IPv4 or IPv6 address")
        found.append(address)
    return tuple(found)


def search(value: Any, option: str = "dns_search") -> tuple[str, ...]:
    """Domains in which a short name is looked for; ``"."`` alone for none."""
    found = texts(value, option)
    if "." in found and len(found) > 1:
        raise InvalidArgument(f'{option} {value!r}: "." means no domain; write it alone')
    return found if found == (".",) else tuple(_host_name(text.removesuffix("."), option) for text in found)


def dns_options(value: Any, option: str = "dns_options") -> tuple[str, ...]:
    """Words of resolv.conf(5)'s ``options``, as ``"ndots:2"`` or ``"use-vc"``."""
    found = texts(value, option)
    for text in found:
        if not _DNS_OPTION.fullmatch(text):
            raise InvalidArgument(f'{option} {text!r}: write a word of resolv.conf(5), as "ndots:2" or "use-vc"')
    return found


def aliases(value: Any, option: str = "network_aliases") -> tuple[str, ...]:
    """Other names of a container on its networks."""
    return tuple(dict.fromkeys(_host_name(text, option) for text in texts(value, option)))


def _host_name(text: str, option: str) -> str:
    """A host's name; docker allows underscores."""
    if not _HOST.fullmatch(text):
        raise InvalidArgument(f"{option} {text!r}: not a host name; use letters, digits, - and _ with dots between")
    return text


def add_hosts(value: Any, option: str = "add_hosts") -> tuple[tuple[str, str], ...]:
    """(name, address) of ``"name:1.2.3.4"``, ``"name=::1"``, ``"name:host-gateway"``, or of a mapping of these.

    Raises:
        InvalidArgument: neither an address nor ``host-gateway``, or not a host name.
    """
    found = []
    for name, address in _pairs(value, option):
        known = address if address == "host-gateway" else ip_address(address.removeprefix("[").removesuffix("]"))
        if not known:
            raise InvalidArgument(
                f'{option} {name!r}: {address!r}: not an address; write "name:1.2.3.4", "name=::1" or '
                f'"name:host-gateway"'
            )
        found.append((_host_name(name, option), known))
    return tuple(found)


def links(value: Any, option: str = "links") -> tuple[tuple[str, str], ...]:
    """(container, alias) of ``"db"``, ``"db:mysql"``, or of ``{"db": "mysql"}``. The alias is else the name.

    Raises:
        InvalidArgument: not a container's name, or not a host name.
    """
    found = []
    for name, alias in _pairs(value, option):
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f'{option} {name!r}: not a container\'s name; write "db", or "db:alias"')
        found.append((name, _host_name(alias, option) if alias else name))
    return tuple(found)


def _pairs(value: Any, option: str) -> list[tuple[str, str]]:
    """Name and the rest, of a mapping or of a list of texts with ``=`` or ``:`` between."""
    if isinstance(value, Mapping):
        return [(str(name), str(rest)) for name, rest in value.items()]
    found = []
    for text in texts(value, option):
        name, _, rest = text.partition("=" if "=" in text else ":")
        found.append((name, rest))
    return found


def mac_address(value: Any, option: str = "mac_address") -> str:
    """``"02:42:ac:11:00:02"``, of one host: no group's, not all zeros.

    Raises:
        InvalidArgument: anything else.
    """
    text = str(value).lower()
    if not _MAC.fullmatch(text):
        raise InvalidArgument(f'{option} {value!r}: write six bytes, as "02:42:ac:11:00:02"')
    if int(text[:2], 16) & 1:
        raise InvalidArgument(f'{option} {value!r}: a group\'s address; the first byte must be even, as in "02:…"')
    if not set(text) - set("0:-"):
        raise InvalidArgument(f'{option} {value!r}: nobody\'s address; write one as "02:42:ac:11:00:02"')
    return text.replace("-", ":")


#: What says who a container is on a network: it needs one of its own.
_OF_AN_ENDPOINT = ("ip", "network_aliases", "mac_address", "links")
#: What a container that joins another one's network takes from that one.
_OF_THE_OTHER = ("ports", "publish_all", "expose")
_OF_ITS_FILES = ("hostname", "dns", "dns_search", "dns_options", "add_hosts")


def check_together(found: Settings) -> None:
    """Refuse what docker calls conflicting.

    Raises:
        InvalidArgument: an option that means nothing with this network.
    """
    if found.network == "bridge":
        return
    refused = dict.fromkeys(_OF_AN_ENDPOINT, 'it is on no network; name one, as network="bridge"')
    if found.network not in _ALONE:
        refused |= dict.fromkeys(
            _OF_THE_OTHER, "its ports are those of the container whose network it joins; say it there"
        )
        refused |= dict.fromkeys(
            _OF_ITS_FILES, "it has the names of the container whose network it joins; say it there"
        )
    for option, reason in refused.items():
        if getattr(found, option):
            raise InvalidArgument(f"{option}: conflicting with network {found.network!r}: {reason}")
