"""Python functions in containers: values in and out, limits, errors, this machine's files as a view."""

from __future__ import annotations

import inspect
import math
import mmap
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

import containerkit as ck
from containerkit import Engine, Image, InvalidArgument, MapFailed, Mount, OutOfMemory, ProcessFailed, Timeout
from containerkit.functions import sending
from containerkit.linux import process
from tests.processes import parent
from tests.waiting import eventually


@pytest.fixture
def python(engine: Engine) -> Image:
    """An image with this machine's Python."""
    return Image.from_host("python3", tag="python", engine=engine)


# -- values in, values out ---------------------------------------------------------------------------------------------


def test_a_function_runs_in_a_container_of_its_own(engine: Engine) -> None:
    def where(*names: str, **others: str) -> tuple[Any, ...]:
        return names, others, os.getpid(), os.readlink("/proc/self/ns/pid")

    contained = engine.function(where)
    names, others, pid, namespace = contained("a", b="c")
    assert (names, others, pid) == (("a",), {"b": "c"}, 1)
    assert namespace != os.readlink("/proc/self/ns/pid") == contained.local()[3]
    assert contained.__name__ == "where" and repr(contained) == "<function where in host>"


def test_arrays_and_frames_travel_and_can_be_changed(engine: Engine) -> None:
    frame = pandas.DataFrame({"x": numpy.arange(5.0), "name": list("abcde")})

    @engine.function
    def double(array: Any, frame: Any) -> tuple[Any, Any]:
        array *= 2
        return array, frame.assign(x=frame.x * 2)

    array = numpy.arange(3 << 20)
    doubled, frames = double(array, frame)
    assert (doubled == numpy.arange(3 << 20) * 2).all() and (array == numpy.arange(3 << 20)).all()
    doubled[0] = 7
    assert doubled[0] == 7
    pandas.testing.assert_frame_equal(frames, frame.assign(x=frame.x * 2))


def test_large_arrays_are_beside_the_pickle(tmp_path: Path) -> None:
    array = numpy.ones((1000, 1000))
    sending.write_call(str(tmp_path / "call"), "f", print, (array, array.T, array[::2, ::2]), {}, whole=False)
    from containerkit.functions import inside

    with open(tmp_path / "call", "rb") as file:
        _, arrays, _ = inside.read(file.fileno())
    # Two show the mapped file itself; the third was not in one piece.
    assert [_owner(one) for one in arrays] == [mmap.mmap, mmap.mmap, bytes]
    assert all((one == 1).all() for one in arrays) and (tmp_path / "call").stat().st_size < 21 << 20


def test_small_arrays_that_are_kept_hold_no_descriptor(engine: Engine) -> None:
    contained = engine.function(numpy.ones)
    contained(1)  # what the engine itself opens is open
    before = len(os.listdir("/proc/self/fd"))
    kept = contained.map([3, 3], parallel=1)
    assert len(os.listdir("/proc/self/fd")) == before
    kept[0][0] = 7
    assert [list(one) for one in kept] == [[7, 1, 1], [1, 1, 1]]


def _owner(array: Any) -> type:
    """Whose memory an array shows."""
    while isinstance(array, numpy.ndarray):
        array = array.base
    return type(array.obj if isinstance(array, memoryview) else array)


def test_lambdas_closures_classes_and_recursion_travel(engine: Engine) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    factor = 3
    assert engine.function(lambda x: x * factor)(2) == 6
    found = engine.function(lambda point: [point, Point(point.x + 1)])(Point(1))
    assert [type(one) for one in found] == [Point, Point] and [one.x for one in found] == [1, 2]

    @engine.function
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n else 1

    assert factorial(5) == 120
    assert engine.function(lambda f, x: f(x))(factorial, 4) == 24


def test_what_a_script_defines_travels(engine: Engine, tmp_path: Path) -> None:
    script = """
        import sys
        import containerkit as ck

        class Odd(Exception):
            pass

        def helper(x):
            if x % 2:
                raise Odd(x)
            return x // 2

        @ck.function
        def half(x: int) -> int:
            return helper(x)

        print(half(4))
        try:
            half(3)
        except Odd as error:
            print("odd", error.args, "return helper(x)" in str(error.__cause__))
    """
    (tmp_path / "script.py").write_text(textwrap.dedent(script))
    environment = {**os.environ, "CONTAINERKIT_ROOT": str(engine.paths.root), "CONTAINERKIT_RUN": str(engine.paths.run)}
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "2\nodd (3,) True\n", done.stderr


def test_methods_are_called_with_their_object(engine: Engine) -> None:
    class Scale:
        factor = 3

        @engine.function
        def apply(self, x: int) -> int:
            return self.factor * x

    assert Scale().apply(2) == 6


# -- output and errors -------------------------------------------------------------------------------------------------


def test_output_is_shown_as_it_comes(engine: Engine, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flag = tmp_path / "flag"

    @engine.function(volumes=[f"{tmp_path}:{tmp_path}"])
    def speak() -> None:
        print("begun é")
        print("problem", file=sys.stderr)
        while not flag.exists():
            time.sleep(0.01)

    class Out:
        """Lets the function end when its output is here."""

        text = ""

        def write(self, text: str) -> None:
            self.text += text
            if "begun" in self.text:
                flag.touch()

        def flush(self) -> None:
            pass

    out, before = Out(), sys.stdout
    sys.stdout = out
    try:
        speak()
    finally:
        sys.stdout = before
    assert out.text == "begun é\n" and capfd.readouterr().err == "problem\n"


def test_an_exception_comes_back_with_its_traceback(engine: Engine) -> None:
    @engine.function
    def fail(numbers: dict[str, int]) -> int:
        return 1 + numbers["none"]

    with pytest.raises(KeyError, match="none") as raised:
        fail({})
    assert "in fail" in str(raised.value.__cause__) and 'return 1 + numbers["none"]' in str(raised.value.__cause__)


def test_an_exception_that_cannot_travel_is_told(engine: Engine) -> None:
    class Stubborn(Exception):
        def __reduce__(self) -> Any:
            raise TypeError("no")

    class OneWay(Exception):
        def __init__(self, one: str, other: str) -> None:
            super().__init__(f"{one} {other}")

    @engine.function
    def fail(error: type[Exception], *words: str) -> None:
        raise error(*words)

    for error, words in ((Stubborn, ["all of it"]), (OneWay, ["all", "of it"])):
        with pytest.raises(ProcessFailed, match=f"{error.__name__}: all of it") as raised:
            fail(error, *words)
        assert "in fail" in str(raised.value.__cause__)


def test_a_result_that_cannot_travel_is_an_error(engine: Engine) -> None:
    with pytest.raises(TypeError, match="result cannot be sent: cannot pickle 'generator' object"):
        engine.function(lambda: (x for x in "ab"))()
    with pytest.raises(InvalidArgument, match=r"function <lambda>: cannot be sent .*generator"):
        engine.function(lambda x: x)(x for x in "ab")


def test_what_has_not_one_result_is_refused(engine: Engine) -> None:
    def generate() -> Any:
        yield 1

    async def wait() -> None: ...

    for function, words in ((generate, "is a generator"), (wait, "is a coroutine"), (3, "cannot be called")):
        with pytest.raises(InvalidArgument, match=words):
            engine.function(function)  # type: ignore[arg-type]  # that is what is tried
    with pytest.raises(InvalidArgument, match="option name: is not for functions"):
        engine.function(name="mine")(len)
    with pytest.raises(InvalidArgument, match="did you mean memory"):
        engine.function(memroy="64m")(len)  # type: ignore[call-overload]  # that is what is tried


def test_an_end_without_a_result_is_told(engine: Engine) -> None:
    def leave(how: str) -> None:
        print("last words", file=sys.stderr)
        if how == "exit":
            sys.exit(3)
        os.kill(os.getpid(), signal.SIGSEGV) if how == "signal" else os._exit(0)

    contained = engine.function(init=True)(leave)
    for how, code in (("exit", 3), ("signal", 139), ("_exit", 0)):
        words = rf"function leave: ended without a result \(exit code {code}\)"
        with pytest.raises(ProcessFailed, match=words) as raised:
            contained(how)
        assert raised.value.result.stderr == "last words\n"


# -- limits ------------------------------------------------------------------------------------------------------------


def test_too_much_memory_is_an_exception(engine: Engine) -> None:
    @engine.function(memory="64m", memory_swap="64m")
    def fill(megabytes: int) -> int:
        return len(bytearray(megabytes << 20))

    assert fill(8) == 8 << 20
    with pytest.raises(OutOfMemory, match="function fill: out of memory: the limit is 64 MiB") as raised:
        fill(300)
    assert isinstance(raised.value, MemoryError) and raised.value.result.oom_killed


def test_time_that_is_up_ends_all_of_it(engine: Engine) -> None:
    @engine.function(timeout="4s")
    def sleep(seconds: float) -> str:
        print("so far")
        subprocess.Popen(["sleep", "60"])
        time.sleep(seconds)
        return "slept"

    with pytest.raises(Timeout, match="function sleep: still running after 4 s; ended") as raised:
        sleep(60)
    assert raised.value.result is not None and raised.value.result.stdout == "so far\n"
    assert len(engine.containers) == 0


def test_there_is_no_network_but_where_it_is_asked_for(engine: Engine) -> None:
    def interfaces() -> list[str]:
        return sorted(os.listdir("/sys/class/net"))

    assert engine.function(interfaces)() == ["lo"]
    assert "eth0" in engine.function(network="bridge")(interfaces)()


def test_the_options_of_run_are_its_options(engine: Engine, python: Image) -> None:
    def look() -> tuple[Any, ...]:
        return os.environ["COLOUR"], os.getcwd(), os.getuid(), os.statvfs("/srv").f_blocks * 4096, os.uname().nodename

    options: Any = {"workdir": "/usr", "tmpfs": {"/srv": "size=1m"}, "hostname": "there"}
    assert engine.function(**options, env={"COLOUR": "red"})(look)() == ("red", "/usr", 0, 1 << 20, "there")
    with pytest.raises(InvalidArgument, match="user nosuch"):
        engine.function(user="nosuch")(look)()
    contained = engine.function(**options, image="python", env=["COLOUR=blue"], user="1234")(look)
    assert contained() == ("blue", "/usr", 1234, 1 << 20, "there")


# -- many inputs -------------------------------------------------------------------------------------------------------


def test_a_map_keeps_the_order_and_the_limit(engine: Engine, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    @engine.function(volumes=[f"{place}:{place}"])
    def square(x: int) -> tuple[int, int]:
        mine = place / str(x)
        mine.touch()
        time.sleep(1.2 if x == 0 else 0.6)
        running = len(list(place.iterdir()))
        mine.unlink()
        return x * x, running

    found = square.map(iter(range(9)), parallel=4)
    assert [value for value, _ in found] == [x * x for x in range(9)]
    assert 1 < max(running for _, running in found) <= 4
    assert square.map([]) == []
    with pytest.raises(InvalidArgument, match="parallel 0"):
        square.map([1], parallel=0)


def test_errors_of_a_map_do_not_lose_the_others(engine: Engine) -> None:
    @engine.function(timeout=20)
    def invert(x: int) -> float:
        return 1 / x

    with pytest.raises(MapFailed, match=r"2 of 4 inputs failed, input 1 with ZeroDivisionError: division") as raised:
        invert.map([1, 0, 2, "x"], parallel=2)
    one, zero, half, text = raised.value.results
    assert (one, half) == (1, 0.5) and isinstance(zero, ZeroDivisionError) and isinstance(text, TypeError)
    assert raised.value.__cause__ is zero


def test_a_call_that_the_kernel_refuses_does_not_lose_the_others(engine: Engine) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def inputs() -> Any:
        yield "one"
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        yield "two"
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        yield "three"

    try:
        with pytest.raises(MapFailed, match="1 of 3 inputs failed, .*function upper: too many open files") as raised:
            engine.function(str.upper).map(inputs(), parallel=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    one, two, three = raised.value.results
    assert (one, three) == ("ONE", "THREE") and isinstance(two, ck.ContainerkitError)


def test_an_interrupt_ends_all_that_run(engine: Engine) -> None:
    def inputs() -> Any:
        yield from (60, 60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.function(time.sleep).map(inputs(), parallel=3)
    assert len(engine.containers) == 0 and not list(engine.store.paths.tmp.iterdir())


def test_a_second_interrupt_ends_the_wait_and_no_less(engine: Engine) -> None:
    found: list[Any] = []
    stopped: list[int] = []

    def inputs() -> Any:
        yield from (60, 60)
        while [one.state for one in found] != ["running", "running"]:
            found[:] = engine.store.containers.list()
        stopped[:] = {found[0].monitor, parent(found[0].pid)}  # of the first that is waited for: it starts, or has
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        again.start()
        raise KeyboardInterrupt

    def interrupt() -> None:
        eventually(lambda: len(engine.store.containers.list()) == 1)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    again = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.function(time.sleep).map(inputs(), parallel=3)
    again.join()
    assert [one.id for one in engine.store.containers.list()] == [found[0].id]
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: not engine.store.containers.list()) and not list(engine.store.paths.tmp.iterdir())


# -- this machine's files ----------------------------------------------------------------------------------------------


def test_what_it_writes_to_this_machine_vanishes(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "gone").write_text("here")

    @engine.function
    def write() -> tuple[list[str], str, str]:
        (tmp_path / "kept").write_text("new")
        (tmp_path / "gone").unlink()
        (tmp_path / "made").mkdir()
        Path("/etc/containerkit-test").write_text("x")
        Path("/usr/bin/containerkit-test").write_text("x")
        Path("/root/containerkit-test").write_text("x")
        return sorted(path.name for path in tmp_path.iterdir()), (tmp_path / "kept").read_text(), os.getcwd()

    seen, text, where = write()
    assert {"kept", "made"} <= set(seen) and "gone" not in seen and (text, where) == ("new", os.getcwd())
    assert (tmp_path / "kept").read_text() == "old" and (tmp_path / "gone").exists()
    assert not (tmp_path / "made").exists() and not os.path.exists("/etc/containerkit-test")
    assert not os.path.exists("/usr/bin/containerkit-test") and not os.path.exists("/root/containerkit-test")
    # Nor does the next call see it.
    assert "made" not in engine.function(os.listdir)(str(tmp_path))


def test_the_view_has_what_the_interpreter_has(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ownmodule.py").write_text("def answer():\n    return 42\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SECRET_TOKEN", "secret")

    @engine.function
    def look() -> tuple[Any, ...]:
        import ownmodule  # type: ignore[import-not-found]  # made above

        prefix = (sys.executable, sys.prefix)
        return prefix, numpy.__file__, ownmodule.answer(), "SECRET_TOKEN" in os.environ, os.listdir("/run")

    prefix, file, answer, told, run = look()
    assert prefix == (sys.executable, sys.prefix) and file == numpy.__file__ and answer == 42 and not told
    assert run == ["containerkit"]
    assert os.path.islink("/bin") == engine.function(os.path.islink)("/bin")


def test_the_users_of_the_view_are_those_of_this_machine(engine: Engine) -> None:
    # As this user the interpreter may be out of reach: then it cannot be started, and that is told.
    contained = engine.function(user="nobody")(lambda: (os.getuid(), os.environ["HOME"]))
    try:
        assert contained() == (pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_dir)
    except ck.RuntimeFailure as error:
        assert error.exit_code == 126


def test_no_service_of_this_machine_is_reached_through_its_socket(engine: Engine, tmp_path: Path) -> None:
    def ask(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)

    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        ask(path)
        with pytest.raises(ConnectionRefusedError):
            engine.function(ask)(path)


@pytest.mark.parametrize("name", ["a disk", "two\u2028lines"])
def test_other_file_systems_are_in_the_view(engine: Engine, tmp_path: Path, name: str) -> None:
    disk = tmp_path / name
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)
    try:
        (disk / "data").write_text("there")

        @engine.function
        def change() -> str:
            before = (disk / "data").read_text()
            (disk / "data").write_text("changed")
            return before + (disk / "data").read_text()

        assert change() == "therechanged" and (disk / "data").read_text() == "there"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_one_whose_place_is_no_text_is_not_in_the_view_and_breaks_nothing(engine: Engine, tmp_path: Path) -> None:
    disk = tmp_path / os.fsdecode(b"\xff")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)
    try:
        (disk / "data").touch()
        assert engine.function(os.listdir)(disk) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_the_view_is_no_image(engine: Engine) -> None:
    assert engine.function(lambda: 1)() == 1
    assert len(engine.images) == 0 and len(engine.containers) == 0
    assert not list(engine.store.paths.tmp.iterdir())


def test_a_bind_can_be_copy_on_write(engine: Engine, image: Image, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("old")
    script = "echo new >/data/kept; echo more >/data/made; cat /data/*; stat -c %a /data"
    tmp_path.chmod(0o711)
    for mount in (f"{tmp_path}:/data:O", Mount("/data", str(tmp_path), "bind", copy_on_write=True)):
        assert image.call(["sh", "-c", script], volumes=[mount]).stdout == "new\nmore\n711\n"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"
    # Nor do files that are copied into one that does not run reach the directory.
    box = image.create("true", volumes=[f"{tmp_path}:/data:O"])
    box.path("/data").mkdir()
    box.path("/data/late").write_text("x")
    assert not (tmp_path / "late").exists() and box.inspect()["Mounts"][0]["Mode"] == "O"
    with pytest.raises(ck.RuntimeFailure, match="not a directory"):
        image.call("true", volumes=[f"{tmp_path}/kept:/data:O"])
    with pytest.raises(InvalidArgument, match="cannot be combined"):
        image.call("true", volumes=[f"{tmp_path}:/data:O,ro"])


# -- in an image -------------------------------------------------------------------------------------------------------


def helper(x: int) -> int:
    return x + 1


def uses_helper(x: int) -> tuple[int, bool]:
    return helper(x), os.path.exists("/etc/debian_version")


def test_a_function_runs_in_an_image(engine: Engine, python: Image) -> None:
    assert python.call_python(math.sqrt, 16) == 4
    assert python.call_python(uses_helper, 1) == (2, False)
    contained = engine.function(image="python", memory="64m")(uses_helper)
    assert contained.map([1, 2]) == [(2, False), (3, False)] and repr(contained) == "<function uses_helper in python>"
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        python.call_python(len, numpy.ones(3))


def test_another_python_is_named(python: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    monkeypatch.setattr(sending, "version", lambda: "3.99")
    with pytest.raises(ck.Unsupported, match=f"image python has Python {own}, and this is Python 3.99"):
        python.call_python(math.sqrt, 16)


def test_an_image_without_python_is_named(image: Image) -> None:
    with pytest.raises(ck.RuntimeFailure, match="function sqrt: image busybox has no python3"):
        image.call_python(math.sqrt, 16)


# -- nothing is left ---------------------------------------------------------------------------------------------------


def test_a_container_whose_monitor_is_killed_ends_with_its_call(engine: Engine) -> None:
    found: list[Any] = []

    def inputs() -> Any:
        yield 60
        while [one.state for one in found] != ["running"]:
            found[:] = engine.store.containers.list()
        os.kill(found[0].monitor, signal.SIGKILL)

    with pytest.raises(MapFailed, match=r"function sleep: ended without a result \(exit code 137\)"):
        engine.function(time.sleep).map(inputs(), parallel=2)
    assert process.start_time(found[0].pid) is None and not engine.store.containers.list()


def test_a_killed_caller_leaves_nothing(engine: Engine) -> None:
    script = f"""
        import time
        import containerkit as ck

        engine = ck.Engine({str(engine.paths.root)!r}, {str(engine.paths.run)!r})
        engine.function(lambda: (print("begun"), time.sleep(60)))()
    """
    caller = subprocess.Popen([sys.executable, "-c", inspect.cleandoc(script)], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None and caller.stdout.readline() == "begun\n"
    assert [one.name[:16] for one in engine.containers] == ["function-lambda-"]
    caller.kill()
    caller.wait()
    caller.stdout.close()
    assert eventually(lambda: len(engine.containers) == 0)
    engine.close()
    assert len(engine.containers) == 0  # opened again, it sweeps
    assert not list(engine.store.paths.tmp.iterdir())
