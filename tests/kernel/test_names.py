"""Names: /etc/hosts, /etc/resolv.conf, /etc/hostname; the resolver; links."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image, Network
from tests import hosts
from tests.hosts import Host, look_up, web


def sleeper(engine: Engine, name: str | None = None, **options: object) -> Container:
    return engine.run("busybox", "sleep 60", name=name, **options)  # type: ignore[arg-type]  # as they come


def file(container: Container, name: str) -> str:
    return container.exec(["cat", f"/etc/{name}"]).stdout


def dig(container: Container, *question: str) -> list[str]:
    """What dig(1) prints in the network of a container, without the rest."""
    command = ["nsenter", f"--net=/proc/{container.pid}/ns/net", "dig", "@127.0.0.11", "+short", "+time=10", "+tries=1"]
    return subprocess.run([*command, *question], capture_output=True, text=True, check=True).stdout.split()


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_files_of_a_container(engine: Engine, image: Image) -> None:
    container = sleeper(
        engine, hostname="one", domainname="lan.test", add_hosts=["db:192.0.2.7", "up:host-gateway"],
        dns=["192.0.2.53"], dns_search=["lan.test"], dns_options=["ndots:3"],
    )  # fmt: skip
    assert container.exec("hostname").stdout == "one\n" == file(container, "hostname")
    assert container.exec("cat /proc/sys/kernel/domainname").stdout == "lan.test\n"
    assert container.exec("hostname -f").stdout == "one.lan.test\n"
    lines = file(container, "hosts").splitlines()
    gateway = engine.networks["bridge"].gateway
    assert lines[0] == "127.0.0.1\tlocalhost" and "::1\tlocalhost ip6-localhost ip6-loopback" in lines
    assert lines[-3:] == ["192.0.2.7\tdb", f"{gateway}\tup", f"{container.ip_address}\tone.lan.test one"]
    assert file(container, "resolv.conf") == "nameserver 192.0.2.53\nsearch lan.test\noptions ndots:3\n"
    plain = sleeper(engine)
    assert file(plain, "hostname") == f"{plain.short_id}\n"
    assert file(plain, "hosts").endswith(f"{plain.ip_address}\t{plain.short_id}\n")


def test_the_files_follow_a_restart(engine: Engine, image: Image) -> None:
    container = sleeper(engine, "moving")
    old = str(container.ip_address)
    container.stop(timeout=0)
    other = sleeper(engine)
    container.start()
    assert str(container.ip_address) != old
    text = file(container, "hosts")
    assert old not in text and f"{container.ip_address}\t{container.short_id}\n" in text
    assert other.exec(["ping", "-c1", "-W10", str(container.ip_address)])


def test_what_a_program_writes_there_is_seen(engine: Engine, image: Image) -> None:
    """The files are mounted, also over those of the image, and are the container's own."""
    container = sleeper(engine)
    assert container.exec(["sh", "-c", "echo 192.0.2.9 added >>/etc/hosts && grep added /etc/hosts"])
    assert "added" not in file(sleeper(engine), "hosts")


def test_names_of_the_host(engine: Engine, image: Image) -> None:
    container = sleeper(engine, network="host")
    assert file(container, "resolv.conf").splitlines()[0] == Path("/etc/resolv.conf").read_text().splitlines()[0]
    assert file(container, "hostname") == f"{socket.gethostname()}\n"


# -- the resolver ------------------------------------------------------------------------------------------------------


def test_containers_find_each_other_by_name_alias_and_short_id(engine: Engine, image: Image) -> None:
    Network.create("own", ipv6=True, engine=engine)
    client = sleeper(engine, network="own")
    server = web(engine, "web", network="own", network_aliases=["www", "www.shop.test"])
    place = server.networks["own"]
    for name in ("web", "WEB", "www", "www.shop.test", server.short_id, "web.own"):
        assert dig(client, name) == [place.ip_address] == dig(client, name, "+tcp"), name
        assert dig(client, name, "AAAA") == [place.ip6_address], name
    assert look_up(client, "web") == [place.ip_address, place.ip6_address]
    assert hosts.ask(client, "www") == "web"
    for address in (place.ip_address, place.ip6_address):
        assert dig(client, "-x", str(address)) == ["web.own."]
    assert dig(client, "web", "MX") == []


def test_names_are_of_a_network(engine: Engine, image: Image) -> None:
    for name in ("one", "two"):
        Network.create(name, engine=engine)
    there = web(engine, "web", network="two", network_aliases=["www"])
    both, here, default = (sleeper(engine, network=name) for name in (["one", "two"], "one", "bridge"))
    assert dig(both, "web") == [there.ip_address]
    assert dig(here, "web", "+tries=1") == [] == dig(here, "www") == dig(here, there.short_id)
    assert dig(both, str(here.name)) == [here.ip_address] and dig(both, str(default.name)) == []
    assert "127.0.0.11" not in file(default, "resolv.conf")


def test_one_alias_of_several_containers_goes_round(engine: Engine, image: Image) -> None:
    Network.create("own", engine=engine)
    client = sleeper(engine, network="own")
    servers = [sleeper(engine, network="own", network_aliases=["db"]) for _ in range(3)]
    answers = [dig(client, "db") for _ in range(6)]
    expected = {server.ip_address for server in servers}
    assert all(set(answer) == expected for answer in answers)
    assert {answer[0] for answer in answers} == expected


def test_a_name_changes_the_moment_its_container_does(engine: Engine, image: Image) -> None:
    Network.create("own", engine=engine)
    client = sleeper(engine, network="own")
    assert dig(client, "web") == []
    server = sleeper(engine, "web", network="own")
    assert dig(client, "web") == [server.ip_address]
    server.pause()
    assert dig(client, "web") == [server.ip_address]
    server.unpause().stop(timeout=0)
    assert dig(client, "web") == []
    server.start()
    assert dig(client, "web") == [server.ip_address]
    server.rename("site")
    assert dig(client, "web") == [] and dig(client, "site") == [server.ip_address]
    engine.networks["own"].disconnect("site")
    assert dig(client, "site") == []
    engine.networks["own"].connect("site", aliases=["again"])
    assert dig(client, "again") == [server.ip_address]
    server.remove(force=True)
    assert dig(client, "again") == [] == dig(client, "site")


def test_other_names_are_asked_for_outside(engine: Engine, image: Image, outside: Host) -> None:
    Network.create("own", engine=engine)
    with outside.names(far_test="203.0.113.7", web="203.0.113.8", six_test="2001:db8::7") as asked:
        client = sleeper(engine, network="own", dns=[outside.address])
        web_here = sleeper(engine, "web", network="own")
        assert dig(client, "far.test") == ["203.0.113.7"] == dig(client, "far.test", "+tcp")
        assert dig(client, "six.test", "AAAA") == ["2001:db8::7"] and look_up(client, "far.test") == ["203.0.113.7"]
        assert dig(client, "web") == [web_here.ip_address] and dig(client, "nowhere.test") == []
        said = asked.read_text()
        assert "udp 1 far.test" in said and "tcp 1 far.test" in said and "web" not in said
        # On the default network it is asked by the container itself.
        default = sleeper(engine, dns=[outside.address])
        assert look_up(default, "far.test") == ["203.0.113.7"]


def test_servers_that_are_silent_are_passed_over(engine: Engine, image: Image, outside: Host) -> None:
    Network.create("own", engine=engine)
    with outside.names(far_test="203.0.113.7"):
        nobody = outside.here.rpartition(".")[0] + ".99"
        client = sleeper(engine, network="own", dns=[nobody, outside.here, outside.address])
        assert dig(client, "far.test", "+time=20") == ["203.0.113.7"]


def test_an_internal_network_asks_nobody_outside(engine: Engine, image: Image, outside: Host) -> None:
    own = Network.create("own", internal=True, engine=engine)
    Network.create("open", engine=engine)
    with outside.names(far_test="203.0.113.7") as asked:
        client = sleeper(engine, network="own", dns=[outside.address])
        peer = sleeper(engine, "peer", network="own")
        assert dig(client, "peer") == [peer.ip_address]
        assert dig(client, "far.test") == [] == dig(client, "far.test", "+tcp") and asked.read_text() == ""
        engine.networks["open"].connect(client)
        assert dig(client, "far.test") == ["203.0.113.7"]
        own.disconnect(client)
        engine.networks["open"].disconnect(client)
        own.connect(client)
        assert dig(client, "far.test") == []


def test_a_container_may_serve_names_itself(engine: Engine, image: Image) -> None:
    """It takes port 53 of all its addresses, 127.0.0.11 too."""
    Network.create("own", engine=engine)
    peer = sleeper(engine, "peer", network="own")
    command = ["sh", "-c", "cd /tmp && nc -ll -p 53 -e echo served"]
    server = engine.run("busybox", command, network="own", expose=[53])
    server.wait_for(ck.until.port(53), timeout=60)
    assert dig(server, "peer") == [peer.ip_address] == dig(server, "peer", "+tcp")
    assert peer.exec(["nc", "-w10", str(server.ip_address), "53"], input="").stdout == "served\n"


# -- links -------------------------------------------------------------------------------------------------------------


def test_a_link_as_docker_has_it(engine: Engine, image: Image) -> None:
    db = sleeper(engine, "db", expose=[3306, "53/udp"], env={"PASSWORD": "x", "HOME": "/db"})
    app = sleeper(engine, "app", links=["db:mysql"])
    assert file(app, "hosts").endswith(f"{db.ip_address}\tmysql {db.short_id} db\n")
    env = dict(line.split("=", 1) for line in app.exec("env").stdout.splitlines())
    wanted = {
        "MYSQL_PORT": f"udp://{db.ip_address}:53",
        "MYSQL_PORT_3306_TCP": f"tcp://{db.ip_address}:3306",
        "MYSQL_PORT_3306_TCP_ADDR": str(db.ip_address),
        "MYSQL_PORT_3306_TCP_PORT": "3306",
        "MYSQL_PORT_3306_TCP_PROTO": "tcp",
        "MYSQL_PORT_53_UDP_ADDR": str(db.ip_address),
        "MYSQL_NAME": "/app/mysql",
        "MYSQL_ENV_PASSWORD": "x",
    }
    assert {name: env.get(name) for name in wanted} == wanted and "MYSQL_ENV_HOME" not in env
    assert app.inspect()["HostConfig"]["Links"] == ["/db:/app/mysql"]
    assert app.exec(["ping", "-c1", "-W10", "mysql"])


def test_the_entry_follows_the_linked_container(engine: Engine, image: Image) -> None:
    db = sleeper(engine, "db")
    app = sleeper(engine, "app", links=["db"])
    old = str(db.ip_address)
    db.stop(timeout=0)
    sleeper(engine)
    db.start()
    assert str(db.ip_address) != old
    assert old not in file(app, "hosts").split() and f"{db.ip_address}\tdb" in file(app, "hosts")
    engine.networks["bridge"].disconnect(db)
    assert "db" not in file(app, "hosts").split()
    engine.networks["bridge"].connect(db, ip=old)
    assert f"{old}\tdb" in file(app, "hosts")
    db = sleeper(engine, "db", replace=True)
    assert f"{db.ip_address}\tdb" in file(app, "hosts")


def test_a_link_to_one_that_does_not_run_is_an_error(engine: Engine, image: Image) -> None:
    db = sleeper(engine, "db")
    app = sleeper(engine, "app", links=["db"])
    for container in (app, db):
        container.stop(timeout=0)
    with pytest.raises(ck.InvalidState, match=r"container app: cannot link to db: it does not run"):
        app.start()
    with pytest.raises(ck.InvalidState, match="cannot link to db"):
        sleeper(engine, "other", links=["db"])
    with pytest.raises(ck.NotFound, match="nobody"):
        sleeper(engine, "other", links=["nobody"])
    assert app.status == "exited" and "other" not in engine.containers
    Network.create("own", engine=engine)
    db.start()
    with pytest.raises(ck.InvalidState, match="on no network together"):
        sleeper(engine, links=["db"], network="own")


def test_a_linked_container_that_is_gone_is_in_nobodys_way(engine: Engine, image: Image) -> None:
    db = sleeper(engine, "db")
    app = sleeper(engine, "app", links=["db"])
    db.remove(force=True)
    own = Network.create("own", engine=engine)
    own.connect(app)
    words = file(app, "hosts").split()
    assert "db" not in words and app.networks["own"].ip_address in words


def test_links_and_joined_namespaces_follow_a_rename(engine: Engine, image: Image) -> None:
    db = sleeper(engine, "db")
    app = sleeper(engine, "app", links=["db"])
    joined = sleeper(engine, "joined", network="container:db", pid="container:db", env={"A": "db"})
    db.rename("sql")
    assert file(app, "hosts").endswith(f"{db.ip_address}\tdb {db.short_id} sql\n")
    sleeper(engine, "db")  # somebody else
    for container in (app, joined):
        container.restart(timeout=0)
    assert app.inspect()["HostConfig"]["Links"] == ["/sql:/app/db"]
    assert file(app, "hosts").endswith(f"{db.ip_address}\tdb {db.short_id} sql\n")
    found = joined.inspect()["HostConfig"]
    assert found["NetworkMode"] == found["PidMode"] == "container:sql"
    assert joined.interfaces() == db.interfaces() and "A=db" in joined.exec("env").stdout


def test_links_on_a_network_with_names(engine: Engine, image: Image) -> None:
    Network.create("own", engine=engine)
    db = sleeper(engine, "db", network="own")
    app = sleeper(engine, "app", network="own", links=["db:mysql"])
    other = sleeper(engine, network="own")
    assert dig(app, "mysql") == [db.ip_address] and dig(other, "mysql") == []
    assert "MYSQL_NAME" not in app.exec("env").stdout


def test_linked_containers_start_first_after_a_reboot(engine: Engine, image: Image) -> None:
    db = engine.run("busybox", "sleep 60", name="db", restart="always")
    middle = engine.run("busybox", "sleep 60", name="middle", restart="always", links=["db"])
    app = engine.run("busybox", "sleep 60", name="app", restart="always", links=["middle:m", "db"])
    for container in (app, db, middle):
        container.stop(timeout=0)
    assert [one.name for one in engine.boot()] == ["db", "middle", "app"]
    assert f"{middle.ip_address}\tm " in file(app, "hosts")
