"""What lives on for long is handed over: nothing of it is lost, nothing of the start stays, and both may be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable

import pytest

import containerkit as ck
from containerkit import Container, Engine, Image, Network
from containerkit.linux import confinement, process
from tests.processes import held, is_handed_over, own_memory, parent, spare_of
from tests.servers import free_port
from tests.waiting import eventually

#: A line every hundredth of a second, with its number, until there is a file.
COUNTS = "i=0; until [ -e /enough ]; do i=$((i+1)); echo $i; sleep 0.01; done"


def test_what_a_start_has_put_into_memory_is_given_back(engine: Engine, image: Image) -> None:
    with (
        engine.run("busybox", "sleep 60") as container,
        held(lambda: engine.run("busybox", "sleep 60")) as attached,
        attached,
    ):
        assert eventually(lambda: is_handed_over(container)) and not is_handed_over(attached)
        assert own_memory(spare_of(attached)) > 1.5 * own_memory(parent(container.pid or 0))
    engine.prune()


def test_output_input_and_exit_code_go_through(engine: Engine, image: Image) -> None:
    container = engine.run("busybox", ["sh", "-c", f"{COUNTS}; read x; echo got $x >&2; exit 7"], stdin_open=True)
    assert eventually(lambda: is_handed_over(container))
    before = len(container.logs().split())
    container.exec("touch /enough")
    with container.attach() as client:
        assert client.stdin is not None
        client.stdin.write(b"it\n")
        assert container.wait(timeout=60) == 7
    *numbers, got, it = container.logs().split()
    assert numbers == [*map(str, range(1, len(numbers) + 1))] and len(numbers) > before and (got, it) == ("got", "it")


def test_a_terminal_goes_through(engine: Engine, image: Image) -> None:
    script = "read x; stty size; echo got $x"
    container = engine.run("busybox", ["sh", "-c", script], tty=True, stdin_open=True)
    assert eventually(lambda: is_handed_over(container))
    with container.attach() as client:
        client.resize(40, 100)
        assert client.stdin is not None
        client.stdin.write(b"it\n")
        assert container.wait(timeout=60) == 0
    assert "40 100" in container.logs() and "got it" in container.logs()


def test_who_is_attached_keeps_it_where_it_is(engine: Engine, image: Image) -> None:
    with held(lambda: engine.run("busybox", "cat", stdin_open=True)) as container, container.attach() as client:
        assert client.stdin is not None and client.stdout is not None
        time.sleep(0.5)
        client.stdin.write(b"still\n")
        assert client.stdout.readline() == b"still\n" and not is_handed_over(container)
    assert eventually(lambda: is_handed_over(container))
    container.remove(force=True)


def test_ports_and_names_go_through(engine: Engine, image: Image) -> None:
    net = Network.create("front", engine=engine)
    port = free_port()
    with (
        engine.run("busybox", "httpd -f -h /etc", name="web", network="front", ports={80: port}) as web,
        engine.run("busybox", "sleep 60", name="other", network="front") as other,
    ):
        for url in (f"http://127.0.0.1:{port}/passwd", f"http://[::1]:{port}/passwd"):
            web.wait_for(ck.until.port(80), timeout=60)
            # By a relay, to the second: that goes on with a connection.
            with socket.create_connection(("::1", port)) if "[" in url else urllib.request.urlopen(url):
                assert eventually(lambda: is_handed_over(other))
            assert eventually(lambda: is_handed_over(web))
            assert urllib.request.urlopen(url, timeout=60).read().startswith(b"root:")
        assert "Address" in other.exec("nslookup web").stdout
        net.disconnect(web)
        net.connect(web, aliases=["again"])
        assert "Address" in other.exec("nslookup again").stdout
    net.remove()
    engine.prune()


def test_health_and_memory_are_watched_on(engine: Engine, image: Image) -> None:
    script = "touch /well; sleep 1; cat /dev/zero | tail || sleep 60"
    check = {"test": "test -e /well", "interval": 1, "retries": 1}
    with engine.run("busybox", ["sh", "-c", script], memory="16m", healthcheck=check) as container:
        assert eventually(lambda: is_handed_over(container))
        assert eventually(lambda: container.health == "healthy")
        assert any(engine.events(follow=True, since=0, until=time.time() + 60, filters={"event": "oom"}))
        container.exec("rm /well")
        assert eventually(lambda: container.health == "unhealthy")


def test_a_restart_policy_goes_on(engine: Engine, image: Image) -> None:
    script = "echo run; sleep 0.4; exit 3"
    container = engine.run("busybox", ["sh", "-c", script], restart="on-failure:2")
    assert container.wait(timeout=60) == 3 and container.logs().split() == ["run"] * 3


def test_what_lives_on_after_a_restart_is_handed_over_too(engine: Engine, image: Image) -> None:
    script = "test -e /was && sleep 60; touch /was; exit 1"
    with engine.run("busybox", ["sh", "-c", script], restart="on-failure:5") as container:
        assert eventually(lambda: container.status == "running" and is_handed_over(container))
        assert container._record().restarts == 1


def _other_user_s_files() -> None:
    with process.filesystem_ids(1, 1):
        pass


def _other_user() -> None:
    with process.effective_ids(1, 1):
        pass


def _root_of_others() -> None:
    ids = [(0, 700_000_000, 10)]
    confinement.enter(confinement.create(ids, ids))


@pytest.mark.parametrize("become", [_other_user_s_files, _other_user, _root_of_others])
def test_who_ends_with_its_parent_does_so_after_a_change_of_rights(become: Callable[[], None]) -> None:
    me = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            process.end_with(me)
            become()
            os._exit(process.parent_death_signal())
        finally:
            os._exit(255)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.parametrize("whom", ["spare", "relief", "relief, handed over"])
def test_whoever_is_killed_the_next_call_cleans_up(engine: Engine, image: Image, whom: str) -> None:
    def start() -> Container:
        return engine.run("busybox", "sleep 60", name="box", ports={80: None})

    with contextlib.ExitStack() as stack:
        if whom == "relief, handed over":
            container = start()
            assert eventually(lambda: is_handed_over(container))
        else:
            container = stack.enter_context(held(start))
        record = container._record()
        victim = spare_of(container) if whom == "spare" else record.monitor
        os.kill(victim or 0, signal.SIGKILL)
        assert eventually(lambda: engine.containers["box"].status == "exited")
    assert process.start_time(record.pid or 0) is None and engine.containers["box"].exit_code == 137
    again = engine.run("busybox", "sleep 60", name="box", ports=dict(container.ports), replace=True)
    again.remove(force=True)
    engine.prune()


def test_a_program_that_wants_to_know_of_its_parent_s_end_hears_nothing(engine: Engine, image: Image) -> None:
    # As pid 1, it has a parent outside of its pid namespace.
    image = Image.from_host("setpriv", "sleep", tag="tools", engine=engine)
    with engine.run(image, ["setpriv", "--pdeathsig", "KILL", "sleep", "60"]) as container:
        assert eventually(lambda: is_handed_over(container))
        time.sleep(0.3)
        assert [one.command for one in container.top()] == ["sleep 60"] and container.status == "running"


def test_a_container_of_more_ports_than_a_message_has_room_for_stays_where_it_is(engine: Engine, image: Image) -> None:
    with engine.run("busybox", "httpd -f -h /etc", ports={80 + count: None for count in range(260)}) as container:
        time.sleep(0.6)
        assert not is_handed_over(container) and len(container.ports) == 260
        container.wait_for(ck.until.port(80), timeout=60)
        assert urllib.request.urlopen(f"http://127.0.0.1:{container.port(80)[0][1]}/passwd", timeout=60).status == 200
    engine.prune()
