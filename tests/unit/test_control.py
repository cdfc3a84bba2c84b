"""The monitor's control socket when descriptors have run out."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any, cast

import pytest

from containerkit.linux import passing
from containerkit.linux.loop import Loop
from containerkit.supervise import control
from containerkit.supervise.output.log import LogWriter
from containerkit.supervise.output.streams import Streams


def test_without_descriptors_who_speaks_to_it_waits_and_the_loop_rests(tmp_path: Path) -> None:
    loop, path = Loop(), str(tmp_path / "control")
    nobody = cast("Any", None)
    listening = control.Control(loop, path, nobody, nobody, nobody, nobody)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with control.connect(path) as client:
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            began = time.monotonic()
            for _ in range(4):  # refused, and after a while once more
                loop.turn()
            assert time.monotonic() - began > 0.3
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop.turn()
        listening.close()
        assert client.recv(1) == b""


class _Holds:
    def leave(self, connection: int) -> None:
        """Nobody is held."""


def _speak(tmp_path: Path, words: list[bytes], descriptors: int = 0) -> tuple[Loop, control.Control, Any]:
    """Who has said that to it, which has listened."""
    loop, nobody = Loop(), cast("Any", None)
    streams = Streams(loop, LogWriter(str(tmp_path / "log")))
    listening = control.Control(
        loop, str(tmp_path / "control"), lambda: streams, nobody, cast("Any", _Holds()), lambda: None
    )
    client = control.connect(str(tmp_path / "control"))
    for word in words:
        passing.send(client, word, [client.fileno()] * descriptors)
        loop.turn()
    loop.turn()
    return loop, listening, client


@pytest.mark.parametrize(
    "word", [b"nonsense", b"\xff {}", b'attach {"streams": [1, 3]}', b'attach {"streams": [1]}', b"started {}"]
)
def test_who_talks_nonsense_to_it_is_let_go(tmp_path: Path, word: bytes) -> None:
    loop, listening, client = _speak(tmp_path, [word], descriptors=2)
    with client:
        assert client.recv(1) == b""
    with control.connect(str(tmp_path / "control")) as other:
        loop.turn()
        other.send(b"refresh {}")
        loop.turn()
        assert other.recv(100) == b"refreshed {}"
    listening.close()


def test_who_asks_and_asks_and_reads_no_answer_is_let_go(tmp_path: Path) -> None:
    loop, listening, client = _speak(tmp_path, [])
    with client, pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100_000):
            client.send(b"refresh {}")
            loop.turn()
    listening.close()
