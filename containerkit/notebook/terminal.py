"""A terminal in a notebook: a process in a container, and xterm.js in the page.

A thread reads what the process writes and passes it on, many times a second and not byte for byte; another writes what
was typed, for a process that does not read must not stop the kernel. The page says how much of it has been drawn: a
process that writes more than a page can draw waits, as it would at a real terminal. The last of the output is kept, for
a page that opens later.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import IO, TYPE_CHECKING, Any

import anywidget

from containerkit.errors import ContainerkitError
from containerkit.linux.process import readable
from containerkit.notebook import assets, cells

if TYPE_CHECKING:
    from containerkit.running.process import Process

#: Bytes of output that are kept, that may be under way to the page, and that are read at once.
_KEPT, _AHEAD, _READ = 128 * 1024, 512 * 1024, 65536
#: Seconds between two messages: what is written meanwhile goes into one.
_PAUSE = 0.02


class Terminal(anywidget.AnyWidget):
    """A terminal on ``process``, which was started with ``tty=True``. It ends with the terminal.

    Args:
        name: of the container.

    ``output`` is the last of what it has written, ``exit_code`` None until it has ended, ``error`` what went wrong.
    """

    _esm = assets.read("terminal.js")
    _css = assets.read("terminal.css")

    #: From when it is made until it is closed.
    _is_open = False

    def __init__(self, process: Process, name: str) -> None:
        super().__init__()
        self.exit_code: int | None = None
        self.error = ""
        self._process, self._name, self._kept = process, name, bytearray()
        self._is_seen = False
        # Hellos until now, and bytes since the last one: sent, and drawn by the view that is fastest.
        self._turn = self._sent = self._drawn = 0
        self._room = threading.Condition()
        self._typed: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._is_open = True
        self.on_msg(self._heard)
        self._threads = [self._start(self._read, "output"), self._start(self._write, "input")]
        self._forget = cells.when_run_again(self.close)

    def _start(self, work: Any, what: str) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"terminal {self._name}: {what}", daemon=True)
        thread.start()
        return thread

    @property
    def output(self) -> str:
        """The last of what it has written, with control sequences."""
        return bytes(self._kept).decode(errors="replace")

    def type(self, text: str) -> None:
        """As if it were typed; ``"\\r"`` is Enter, ``"\\x03"`` Ctrl-C."""
        self._typed.put(text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Tell the process how large its window is."""
        try:
            self._process.resize(rows, columns)
        except ContainerkitError as error:
            self.error = str(error)

    # -- between the process and the page ----------------------------------------------------------------------------

    def _read(self) -> None:
        output = self._process.stdout
        assert output is not None
        try:
            while data := _take(output):
                self._pass_on(data)
                time.sleep(_PAUSE)
        except (OSError, ValueError):
            pass  # it is closed
        self._typed.put(None)
        self.exit_code = self._process.wait()
        self._tell_end()

    def _pass_on(self, data: bytes) -> None:
        with self._room:
            self._kept += data
            del self._kept[:-_KEPT]
            if self._is_seen:
                self._sent += len(data)
                self.send({"kind": "output"}, buffers=[data])
            self._room.wait_for(lambda: self._sent - self._drawn < _AHEAD or not self._is_seen)

    def _tell_end(self) -> None:
        if self._is_seen:
            self.send({"kind": "ended", "exit": self.exit_code})

    def _write(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            while (data := self._typed.get()) is not None:
                while data:
                    data = data[stdin.write(data) :]
        except (OSError, ValueError):
            pass  # it has ended

    def _heard(self, _: object, content: dict[str, Any], buffers: object) -> None:
        kind = content.get("kind")
        if kind == "typed":
            self.type(str(content["text"]))
        elif kind == "size":
            self.resize(int(content["rows"]), int(content["columns"]))
        elif kind == "drawn":
            with self._room:
                if content["turn"] == self._turn:
                    self._drawn = max(self._drawn, int(content["bytes"]))
                self._room.notify_all()
        elif kind == "library":
            scripts = [assets.read(f"vendor/xterm.{end}").encode() for end in ("mjs", "css")]
            self.send({"kind": "library"}, buffers=scripts)
        elif kind == "hello":
            self._greet()

    def _greet(self) -> None:
        with self._room:
            self._is_seen, self._turn = True, self._turn + 1
            self._sent, self._drawn = len(self._kept), 0
            self.send({"kind": "output", "is_new": True, "turn": self._turn}, buffers=[bytes(self._kept)])
            self._room.notify_all()
        if self.exit_code is not None:
            self._tell_end()

    def close(self) -> None:
        """End the process, with everything it started, and take the widget away."""
        if not self._is_open:
            return
        self._is_open = False
        self._forget()
        with self._room:
            self._is_seen = False
            self._room.notify_all()
        self._typed.put(None)
        if self.exit_code is None:
            self._process.kill()
        for thread in self._threads:
            thread.join()
        self._process.close()
        super().close()

    def __repr__(self) -> str:
        return f"Terminal({self._name!r})"


def _take(output: IO[bytes]) -> bytes:
    """What there is to be read, waited for: a terminal gives it in small pieces."""
    data = piece = output.read(_READ)
    while piece and len(data) < _READ and readable(output.fileno(), 0):
        piece = output.read(_READ)
        data += piece
    return data
