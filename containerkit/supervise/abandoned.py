"""What belongs to a session (the package sessions): found by its id, and removed when the session is over.

A container has the session's id among its options; a network, and a volume without a name, as a label. While the
session lasts somebody holds the lease of that id: its process, and its watchdog.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import chain

from containerkit.errors import ContainerkitError, NotFound, from_os_error
from containerkit.store.netrows import SESSION
from containerkit.store.store import Store
from containerkit.supervise import ending
from containerkit.supervise.networks import membership
from containerkit.supervise.volumes import drivers


def containers(store: Store, session: str) -> list[str]:
    """The ids of the containers that belong to it, newest first."""
    return [record.id for record in store.containers.of_sessions() if record.options["session"] == session]


def end(store: Store, session: str) -> list[ContainerkitError]:
    """Remove what belongs to a session, also what runs; what went wrong, where the rest has been removed all the same.

    A volume that a container of nobody's session has come to use stays.
    """
    problems = []
    # One after another: networks and volumes are looked for when nothing of the session uses them any more.
    for remove in chain(_containers(store, session), _networks(store, session), _volumes(store, session)):
        try:
            remove()
        except NotFound:
            pass  # somebody else has just removed it
        except ContainerkitError as error:
            problems.append(error)
        except OSError as error:
            problems.append(from_os_error(error, "session"))
    return problems


def sweep(store: Store) -> None:
    """End the sessions whose process and watchdog are gone, both."""
    named = {record.options["session"] for record in store.containers.of_sessions()}
    named |= {network.labels[SESSION] for network in store.networks.of_sessions()}
    named |= {volume.labels[SESSION] for volume in store.volumes.of_sessions()}
    for session in sorted(filter(None, named)):
        lease = store.leases.take(session)
        if lease is not None:
            try:
                end(store, session)
            finally:
                os.close(lease)


def _containers(store: Store, session: str) -> Iterator[partial[None]]:
    for id in containers(store, session):
        yield partial(_remove, store, id)


def _remove(store: Store, id: str) -> None:
    record = ending.current(store, id)
    if record is not None:
        ending.remove(store, record, force=True, volumes=True)


def _networks(store: Store, session: str) -> Iterator[partial[None]]:
    for network in store.networks.of_sessions():
        if network.labels[SESSION] == session:
            yield partial(membership.remove, store, network)


def _volumes(store: Store, session: str) -> Iterator[partial[None]]:
    for volume in store.volumes.of_sessions():
        if volume.labels[SESSION] == session and not store.volumes.users(volume.name):
            yield partial(store.volumes.delete, volume.name, before=partial(drivers.remove, store.volumes))
