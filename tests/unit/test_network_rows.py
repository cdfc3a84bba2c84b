"""The networks' rows: who is where, and by what address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from containerkit.errors import AlreadyExists, InvalidState, NotFound
from containerkit.store.containers import Containers
from containerkit.store.database import Database
from containerkit.store.netrows import NetworkRecord, PublishedPort, Wish, ports_of, written_ports
from containerkit.store.networks import Networks


class Rows:
    """A database with one image, containers made and moved by name."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.networks, self.containers = Networks(self.database), Containers(self.database)
        with self.database.transaction() as connection:
            connection.execute("INSERT INTO images VALUES ('image', 'm', 't', 1, 1, 0)")

    def network(self, name: str, net: str = "10.1.0.0/24", gateway: str = "10.1.0.1", part: str = "") -> NetworkRecord:
        subnets = json.dumps([[net, gateway, part]])
        id = name.encode().hex()
        return self.networks.insert(NetworkRecord(0, id, name, "bridge", name, subnets, 0, "{}", "{}", 0.0))

    def run(self, name: str, wishes: Sequence[Wish]) -> str:
        id = name.encode().hex().ljust(64, "0")
        self.containers.insert(id, name, "image", "image", ("true",), {}, False, wishes, starts=True)
        self.containers.move(id, "run")
        return id

    def address(self, id: str) -> str | None:
        return self.networks.of_container(id)[0].address


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(tmp_path / "metadata.db")


def test_addresses_are_leased_one_after_the_other_and_rest(rows: Rows) -> None:
    wish = Wish(rows.network("app").id)
    first, second = rows.run("first", [wish]), rows.run("second", [wish])
    assert (rows.address(first), rows.address(second)) == ("10.1.0.2", "10.1.0.3")
    rows.containers.move(first, "exit")
    assert rows.address(first) is None
    assert rows.address(rows.run("third", [wish])) == "10.1.0.4"
    rows.containers.move(first, "start")
    assert rows.address(first) == "10.1.0.5"


def test_a_full_pool_says_so_and_what_is_given_back_is_found(rows: Rows) -> None:
    wish = Wish(rows.network("tiny", "10.1.0.0/29").id)
    ids = [rows.run(f"c{n}", [wish]) for n in range(5)]
    with pytest.raises(InvalidState, match=r"^network tiny: no free address is left in 10\.1\.0\.0/29"):
        rows.run("more", [wish])
    assert [record.name for record in rows.containers.list()] == [f"c{n}" for n in (4, 3, 2, 1, 0)]
    given_back = rows.address(ids[2])
    rows.containers.delete(ids[2])
    assert rows.address(rows.run("more", [wish])) == given_back


def test_an_address_that_somebody_wants_is_kept_for_it(rows: Rows) -> None:
    network = rows.network("app")
    hers = rows.run("hers", [Wish(network.id, ip="10.1.0.3")])
    rows.containers.move(hers, "exit")
    assert rows.address(rows.run("one", [Wish(network.id)])) == "10.1.0.2"
    assert rows.address(rows.run("two", [Wish(network.id)])) == "10.1.0.4"
    rows.containers.move(hers, "start")
    assert rows.address(hers) == "10.1.0.3"
    with pytest.raises(InvalidState, match=r"^container late: ip 10\.1\.0\.3: is container hers's on network app"):
        rows.run("late", [Wish(network.id, ip="10.1.0.3")])


def test_a_range_is_kept_to(rows: Rows) -> None:
    wish = Wish(rows.network("app", part="10.1.0.128/30").id)
    assert [rows.address(rows.run(f"c{n}", [wish])) for n in range(4)] == [f"10.1.0.{n}" for n in range(128, 132)]
    with pytest.raises(InvalidState, match=r"10\.1\.0\.128/30"):
        rows.run("more", [wish])


def test_names_are_those_of_who_runs_on_the_same_network(rows: Rows) -> None:
    app, other = rows.network("app"), rows.network("other", "10.2.0.0/24", "10.2.0.1")
    db = rows.run("db", [Wish(app.id, aliases=("sql", "store"))])
    rows.run("replica", [Wish(app.id, aliases=("sql",)), Wish(other.id)])
    resolve = rows.networks.resolve
    assert resolve([app.id], "db") == resolve([app.id], "DB") == resolve([app.id], "store") == ["10.1.0.2"]
    assert resolve([app.id], db[:12]) == ["10.1.0.2"] and resolve([app.id], db[:11]) is None
    assert resolve([app.id], "sql") == ["10.1.0.2", "10.1.0.3"]
    assert resolve([other.id], "db") is None and resolve([other.id], "sql") is None
    assert resolve([app.id, other.id], "replica") == ["10.1.0.3", "10.2.0.2"]
    assert rows.networks.name_of([app.id], "10.1.0.2") == "db.app"
    assert rows.networks.name_of([other.id], "10.1.0.2") is None
    rows.containers.rename(db, "main")
    assert resolve([app.id], "db") is None and resolve([app.id], "main") == ["10.1.0.2"]
    rows.containers.move(db, "exit")
    assert resolve([app.id], "main") is None and resolve([app.id], "sql") == ["10.1.0.3"]


def test_a_network_that_is_used_stays(rows: Rows) -> None:
    network = rows.network("app")
    id = rows.run("web", [Wish(network.id)])
    with pytest.raises(InvalidState, match="^network app: in use by web"):
        rows.networks.delete(network.id)
    rows.containers.move(id, "exit")
    rows.networks.delete(network.id)
    with pytest.raises(NotFound, match="^container web: one of its networks has been removed"):
        rows.containers.move(id, "start")
    record = rows.containers.read(id)
    assert record is not None and record.state == "exited"


def test_networks_are_found_by_name_id_and_its_beginning(rows: Rows) -> None:
    network = rows.network("app")
    assert rows.networks.find("app") == rows.networks.find(network.id) == rows.networks.find("6170")
    with pytest.raises(NotFound, match="^network nosuch: not found"):
        rows.networks.find("nosuch")
    with pytest.raises(AlreadyExists, match="^network app: exists already"):
        rows.network("app")


def test_ports_are_written_as_they_are_read() -> None:
    ports = [PublishedPort("tcp", "", 8080, 80, "10.1.0.2", ""), PublishedPort("udp", "::1", 53, 53, "", "fd00::2")]
    assert ports_of(written_ports(ports)) == ports
