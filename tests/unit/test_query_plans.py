"""What a start, an end, an opening and a removal ask of the database: no query goes through a table that grows.

Asked are SQLite's own plans of the statements that were executed: how long they take is not measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from containerkit.engine import Engine
from containerkit.errors import InvalidState
from containerkit.options import settings
from containerkit.reading import listing
from containerkit.store import imagerows
from containerkit.store.containers import Containers, process_columns
from containerkit.store.database import Database
from containerkit.store.netrows import SESSION, NetworkRecord, PublishedPort, Wish, written_ports
from containerkit.store.networks import Networks
from containerkit.store.volumerows import Use
from containerkit.store.volumes import Volumes
from containerkit.supervise import abandoned, recover

#: The tables that grow with what a user has; ``events`` with what happens.
GROWING = ("images", "uses", "tags", "digests", "containers", "events", "networks", "endpoints", "aliases", "volumes",
           "volume_uses")  # fmt: skip
#: Indexes with few of the rows: those that run, publish, speak of others, belong to a session …
FEW = ("containers_owned", "containers_publishing", "containers_speaking", "containers_mounting", "containers_session",
       "networks_session", "volumes_session", "volumes_other")  # fmt: skip


@contextmanager
def watched(database: Database) -> Iterator[list[str]]:
    """At the end of the block: the walks through growing tables that its statements were, each with its plan."""
    statements: list[str] = []
    walks: list[str] = []
    connection = database.connection()
    connection.set_trace_callback(statements.append)
    try:
        yield walks
    finally:
        connection.set_trace_callback(None)
    for statement in dict.fromkeys(statements):
        if statement.split(" ", 1)[0] in ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA"):
            continue
        names = _names(statement)
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
            words = row[3].split()
            if words[0] == "SCAN" and names.get(words[1], words[1]) in GROWING and words[-1] not in FEW:
                walks.append(f"{row[3]}: {statement}")


def _names(statement: str) -> dict[str, str]:
    """Short name → table."""
    words = statement.replace(",", " ").replace("(", " ").split()
    return {words[at + 2]: words[at + 1] for at, word in enumerate(words[:-2]) if word in ("FROM", "JOIN")}


class Rows:
    """A store's tables, with one of everything."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path / "metadata.db")
        self.containers, self.networks = Containers(self.database), Networks(self.database)
        self.volumes = Volumes(self.database)
        for name in ("volumes", "tmp"):
            (path / name).mkdir()
        with self.database.transaction() as connection:
            connection.execute("INSERT INTO images VALUES ('image', 'm', 't', 1, 1, 0)")
        nets = json.dumps([["10.1.0.0/24", "10.1.0.1", ""], ["fd00::/64", "fd00::1", ""]])
        row = NetworkRecord(0, "ab" * 32, "app", "bridge", "ck-app", nets, 0, "{}", "{}", 0.0)
        self.network = self.networks.insert(row).id

    def made(self, name: str) -> str:
        id = name.encode().hex().ljust(64, "0")
        wish, spec = Wish(self.network, aliases=("web",)), settings(None, {"name": name}).written()
        self.containers.insert(
            id, name, "image", "image", ("true",), spec, False, [wish], [Use("data"), Use("x", True)], starts=True
        )
        return id


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    found = Rows(tmp_path)
    found.made("first")
    return found


def test_a_start_and_an_end_walk_through_no_table(rows: Rows) -> None:
    columns = process_columns(1, 1, 2, 2)
    with watched(rows.database) as walks:
        id = rows.made("second")
        rows.networks.of_container(id)
        port = PublishedPort("tcp", "", 8080, 80)
        rows.containers.move(id, "run", **columns, started=1.0, ports=written_ports([port]))
        rows.containers.find("second")
        rows.containers.linked()
        rows.containers.publishing()
        rows.networks.resolve([rows.network], "web")
        rows.networks.name_of([rows.network], "10.1.0.3")
        rows.containers.has_joiners(id)
        rows.containers.move(id, "exit", exit_code=0)
        rows.containers.move(id, "start")
        rows.containers.move(id, "fail")
        rows.containers.delete(id, volumes=True)
    assert not walks, "\n".join(walks)


def test_networks_volumes_and_images_come_and_go_without_a_walk(rows: Rows) -> None:
    with watched(rows.database) as walks:
        rows.networks.of_network(rows.network)
        rows.networks.has_members(rows.network)
        with suppress(InvalidState):
            rows.networks.delete(rows.network)
        rows.containers.rename("6669727374".ljust(64, "0"), "other")
        rows.volumes.insert("new", "local", {}, {})
        rows.volumes.users("new")
        rows.volumes.running("data")
        rows.volumes.find("new")
        rows.volumes.delete("new")
        with rows.database.transaction() as connection:
            imagerows.tag(connection, "docker.io/library/new:1", "image")
            imagerows.names(connection, "image")
            imagerows.find(connection, "new:1")
            imagerows.refuse_in_use(connection, "new:1", "other", force=False)
            imagerows.untag(connection, "docker.io/library/new:1", "image")
    assert not walks, "\n".join(walks)


def test_an_opening_and_a_list_of_those_that_run_walk_through_those_alone(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "root", tmp_path / "run")
    store = engine.store
    store.volumes.insert("mine", "local", {}, {SESSION: "ab" * 8})
    with watched(store.database) as walks:
        recover.sweep(store)
        abandoned.sweep(store)
        listing.records(store, all=False)
        store.events.last()
    engine.close()
    # Directories are compared with the names of all volumes, and the ids of all containers: 0.2 ms for a thousand.
    walks = [one for one in walks if not one.endswith(("SELECT name FROM volumes", "SELECT id FROM containers"))]
    assert not walks, "\n".join(walks)
