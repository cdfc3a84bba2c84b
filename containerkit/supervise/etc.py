"""A container's ``/etc/hosts``, ``/etc/resolv.conf`` and ``/etc/hostname``: files in its bundle, mounted over its own.

They are written at each start, and again when its networks or those it is linked to change: in place, for what is
mounted is the file, not its name.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from containerkit.errors import NotFound, about
from containerkit.linux.routes import own_address
from containerkit.net import etcfiles
from containerkit.options import Settings
from containerkit.store import rights
from containerkit.store.containers import ContainerRecord
from containerkit.store.netrows import DEFAULT_NETWORK, Endpoint
from containerkit.store.store import Store
from containerkit.supervise import configjson
from containerkit.supervise.networks import segments

#: In the bundle → in the container.
FILES = {"hosts": "/etc/hosts", "resolv.conf": "/etc/resolv.conf", "hostname": "/etc/hostname"}


def hostname_of(settings: Settings, id: str) -> str:
    """Its host name: of a container on the host's network the host's, else its own or the id's first 12 digits."""
    if settings.hostname:
        return settings.hostname
    return socket.gethostname() if settings.network == "host" else id[:12]


def host_servers() -> str:
    """The host's resolv.conf; empty when there is none."""
    return _read("/etc/resolv.conf")


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def has_resolver(settings: Settings, endpoints: Sequence[Endpoint]) -> bool:
    """Whether it asks its monitor for names: on networks that have them; where only the host reaches its servers."""
    if not endpoints:
        return False
    if any(one.network is not None and one.network.name != DEFAULT_NETWORK for one in endpoints):
        return True
    if settings.dns:
        return False
    text = host_servers()
    return bool(etcfiles.upstreams(text)) and not etcfiles.resolv_conf(text).count("nameserver")


def texts(store: Store, record: ContainerRecord, settings: Settings, endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """What the files say."""
    hostname = hostname_of(settings, record.id)
    names = etcfiles.own_names(hostname, settings.domainname)
    own = [(address, names) for one in endpoints for address in (one.address, one.address6) if address]
    return {
        "hosts": etcfiles.hosts(own, extra=_extra(settings, endpoints), links=_linked(store, settings, endpoints)),
        "resolv.conf": etcfiles.resolv_conf(
            host_servers(), servers=settings.dns, search=settings.dns_search, options=settings.dns_options,
            resolver=has_resolver(settings, endpoints),
        ),
        "hostname": etcfiles.hostname(hostname),
    }  # fmt: skip


def _extra(settings: Settings, endpoints: Sequence[Endpoint]) -> list[tuple[str, str]]:
    gateway = next((route for plug in segments.plugs(endpoints) for route in plug.routes), "127.0.0.1")
    if rights.is_needed:
        # The gateway is in a network namespace that the host's servers are not in.
        gateway = own_address() or gateway
    found = [(name, gateway if address == "host-gateway" else address) for name, address in settings.add_hosts]
    if settings.network == "host":
        lines = [line.partition("#")[0].split() for line in _read("/etc/hosts").splitlines()]
        found += [(name, line[0]) for line in lines for name in line[1:] if name not in etcfiles.LOCAL_NAMES]
    return found


def _linked(store: Store, settings: Settings, endpoints: Sequence[Endpoint]) -> list[tuple[str, tuple[str, ...]]]:
    """Those it is linked to, at the addresses that they have on a network of its."""
    found: list[tuple[str, tuple[str, ...]]] = []
    mine = {one.network_id for one in endpoints}
    for name, alias in settings.links:
        try:
            other = store.containers.find(name)
        except NotFound:
            continue  # removed
        for one in store.networks.of_container(other.id):
            if one.network_id in mine:
                found += [(a, (alias, other.id[:12], other.name)) for a in (one.address, one.address6) if a]
    return found


def write(store: Store, record: ContainerRecord, settings: Settings) -> None:
    """Write the files of a container, as its rows say."""
    endpoints = store.networks.of_container(record.id)
    found = texts(store, record, settings, endpoints)
    with about(f"container {record.name}"):
        rights.if_refused(_write, configjson.directory(store, record.id), found)


def _write(directory: str, found: dict[str, str]) -> None:
    for name, text in found.items():
        path, flags = os.path.join(directory, name), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor, is_new = os.open(path, flags), False
        except FileNotFoundError:
            descriptor, is_new = os.open(path, flags | os.O_CREAT, 0o644), True
        try:
            if is_new:
                os.fchmod(descriptor, 0o644)  # whatever the umask is
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
