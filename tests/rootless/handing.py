"""What lives on is handed over, as an ordinary user: scenarios of :mod:`tests.rootless.scenarios`."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from containerkit import Container, Engine, Network
from containerkit.linux.routes import own_address
from tests.processes import held, is_handed_over, own_memory, spare_of
from tests.rootless.networking import SERVE, fetch, get, hears, keeper, ours, server
from tests.waiting import eventually

SCENARIOS = ("handed_over", "handed_over_networks", "not_handed_over_yet", "handed_over_killed")


def handed_over(engine: Engine, here: Path, users: int) -> None:
    """Streams, exec, health, restarts and the exit code go on; the memory of the start does not."""
    script = "until test -e /go; do sleep 0.02; done; read x; echo got $x; echo err >&2; exit 7"
    check = {"test": "test -e /go", "interval": 0.1, "retries": 1000}
    box = engine.run("busybox", ["sh", "-c", script], name="box", stdin_open=True, network="none", healthcheck=check)

    def idle() -> Container:
        return engine.run("busybox", "sleep 60", network="none", stop_timeout=0)

    with idle() as other, held(idle) as attached, attached:
        assert eventually(lambda: is_handed_over(box) and is_handed_over(other)) and not is_handed_over(attached)
        assert own_memory(spare_of(attached)) > 1.5 * own_memory(other._record().monitor or 0)
    assert box.health == "starting"
    box.exec("touch /go", check=True)
    assert eventually(lambda: box.health == "healthy")
    with box.attach() as client:
        assert client.stdin is not None
        client.stdin.write(b"it\n")
        assert box.wait(timeout=60) == 7
    assert sorted(box.logs().split()) == ["err", "got", "it"]
    box.remove()
    script = "echo run; test -e /tmp/was && sleep 60; touch /tmp/was; exit 1"
    with engine.run(
        "busybox", ["sh", "-c", script], restart="on-failure:3", network="none", userns="keep-id", stop_timeout=0
    ) as again:
        assert eventually(lambda: again.status == "running" and is_handed_over(again))
        assert again.restart_count == 1 and again.logs().split() == ["run"] * 2


def handed_over_networks(engine: Engine, here: Path, users: int) -> None:
    """Ports, names and the ways out go on; networks come and go."""
    address = own_address()
    mine = Network.create("mine", engine=engine)
    other = Network.create("other", engine=engine)
    with server(address) as port:
        web = engine.run("busybox", SERVE, name="web", hostname="web", network="mine", ports=["80"])
        box = engine.run("busybox", "sleep 60", name="box", network="mine")
        assert eventually(lambda: is_handed_over(web) and is_handed_over(box))
        other.connect(box)
        for _ in range(2):
            assert get("127.0.0.1", web.ports["80/tcp"][0][1]) == "content of web"
            assert fetch(box, "web") == "content of web" and hears(box, address, port)
            assert "NXDOMAIN" in box.exec("nslookup nobody.invalid.").stdout
            other.connect(web)
            mine.disconnect(web)
            web.restart(timeout=0)
            assert eventually(lambda: is_handed_over(web))
            other, mine = mine, other
    for container in (web, box):
        container.remove(force=True)
    for network in (mine, other):
        network.remove()
    assert eventually(lambda: not ours())


def not_handed_over_yet(engine: Engine, here: Path, users: int) -> None:
    """While somebody is attached, or a connection lasts, it is in the same place as all others: for the next keeper."""
    mine = Network.create("mine", engine=engine)
    with held(lambda: _web(engine)) as web:
        _killed_keeper(engine, web)
    assert eventually(lambda: is_handed_over(web))
    web.remove(force=True)
    with held(lambda: _web(engine)) as web:
        port = web.ports["80/tcp"][0][1]
        assert get("127.0.0.1", port) == "content of web"
        connection = socket.create_connection(("127.0.0.1", port))
    with connection:
        _killed_keeper(engine, web)
    assert eventually(lambda: is_handed_over(web))
    web.remove(force=True)
    mine.remove()
    assert eventually(lambda: not ours())


def _web(engine: Engine) -> Container:
    return engine.run("busybox", SERVE, name="web", hostname="web", network="mine", ports=["80"])


def _killed_keeper(engine: Engine, web: Container) -> None:
    os.kill(keeper(engine), signal.SIGKILL)
    assert eventually(lambda: not ours())
    time.sleep(0.4)  # it would have been handed over by now
    with engine.run("busybox", "sleep 60", network="mine", stop_timeout=0) as box:
        assert fetch(box, "web") == "content of web"
    assert not is_handed_over(web)


def handed_over_killed(engine: Engine, here: Path, users: int) -> None:
    """Whoever is killed, before and after: the next call cleans up, and the ports are free."""
    with held(lambda: _box(engine, {80: None})) as box:
        _kill(box, spare_of(box))
    with held(lambda: _box(engine, dict(box.ports))) as box:
        _kill(box, box._record().monitor)
    box = _box(engine, dict(box.ports))
    assert eventually(lambda: is_handed_over(box))
    _kill(box, box._record().monitor)
    _box(engine, dict(box.ports)).remove(force=True)
    assert eventually(lambda: not ours())


def _box(engine: Engine, ports: Any) -> Container:
    return engine.run("busybox", "sleep 60", name="box", ports=ports, replace=True)


def _kill(box: Container, pid: int | None) -> None:
    os.kill(pid or 0, signal.SIGKILL)
    assert box.wait(timeout=60) == 137 and box.status == "exited"
