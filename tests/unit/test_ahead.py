"""A stream that is read ahead gives what it would have given."""

from __future__ import annotations

import io
import random
import threading

import pytest

from containerkit.layers.ahead import Ahead


class Failing:
    """So many bytes, then an error."""

    def __init__(self, size: int) -> None:
        self.left, self.reads = size, 0

    def read(self, size: int = -1, /) -> bytes:
        self.reads += 1
        if not self.left:
            raise OSError(5, "input/output error")
        data = bytes(min(size, self.left))
        self.left -= len(data)
        return data


class Endless:
    def __init__(self) -> None:
        self.reads = 0

    def read(self, size: int = -1, /) -> bytes:
        self.reads += 1
        return bytes(size)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "containerkit-ahead"]


@pytest.mark.parametrize("size", [1, 512, 1 << 18, 10**6, -1])
def test_the_same_bytes_come_whatever_is_asked_for(size: int) -> None:
    content = random.Random(1).randbytes(3 if size == 1 else 3_000_000)
    with Ahead(io.BytesIO(content)) as stream:
        pieces = list(iter(lambda: stream.read(size), b""))
        assert (b"".join(pieces), stream.read(size)) == (content, b"")
    assert size < 0 or max(map(len, pieces)) <= size
    assert not threads()


def test_an_error_comes_where_it_came_and_again() -> None:
    failing = Failing(500_000)
    with Ahead(failing) as stream:
        assert sum(len(stream.read(200_000)) for _ in range(3)) <= 500_000
        for _ in range(2):
            with pytest.raises(OSError, match="input/output error"):
                while stream.read():
                    pass
    assert failing.left == 0
    assert not threads()


def test_whoever_stops_leaves_no_thread() -> None:
    endless = Endless()
    with pytest.raises(ValueError, match="enough"), Ahead(endless) as stream:
        stream.read(10)
        raise ValueError("enough")
    assert not threads()
    assert endless.reads < 100
