"""The program that a call's container runs; and how values are written to a file, which both sides do alike.

In the container it is a script beside the exchange's files, for whatever interpreter is there: it needs the standard
library alone, and has to be understood by older versions to be able to tell that they are older.

A file of values: the pickle, then each of its out-of-band buffers (PEP 574), then a table of these, and its length.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import struct
import sys
from typing import Any

#: Where buffers begin: what vector instructions like.
_ALIGNED = 64
_PAIR = struct.Struct("<QQ")
#: Bytes of a file that is worth a descriptor for as long as a buffer of it is there: a map has one.
_LARGE = 1 << 20

#: The files of an exchange.
ABOUT, CALL, RESULT, PROBLEM, LIBRARY = "about", "call", "result", "problem", "library"


def write(path: str, value: Any, pickler: Any) -> None:
    """Write ``value`` to a new file.

    Args:
        pickler: a class like ``pickle.Pickler``.
    """
    buffers: list[pickle.PickleBuffer] = []
    table = []
    with open(path, "xb") as file:
        pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
        table.append((0, file.tell()))
        for buffer in buffers:
            file.write(bytes(-file.tell() % _ALIGNED))
            with buffer.raw() as raw:
                table.append((file.tell(), raw.nbytes))
                file.write(raw)
        for pair in table:
            file.write(_PAIR.pack(*pair))
        file.write(_PAIR.pack(len(table), 0))


def read(descriptor: int) -> Any:
    """The value in a file. Its buffers can be changed; those of a large file stay in it until looked at."""
    whole = memoryview(_content(descriptor))
    count, _ = _PAIR.unpack(whole[-_PAIR.size :])
    table = whole[-_PAIR.size * (count + 1) : -_PAIR.size]
    pickled, *buffers = (whole[offset : offset + size] for offset, size in _PAIR.iter_unpack(table))
    return pickle.loads(pickled, buffers=buffers)


def _content(descriptor: int) -> mmap.mmap | bytearray:
    size = os.fstat(descriptor).st_size
    if size >= _LARGE:
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    with open(descriptor, "rb", closefd=False) as file:
        return bytearray(file.read(size))


def main() -> None:
    """Call what the exchange has, and leave what becomes of it there."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(f"{here}/{ABOUT}", encoding="utf-8") as file:
        version, *path = file.read().splitlines()
    own = "%d.%d" % sys.version_info[:2]  # noqa: UP031  # read by versions of any age
    if own != version:
        with open(f"{here}/{PROBLEM}", "w", encoding="utf-8") as file:
            file.write(own)
        return
    sys.path[:] = path or [f"{here}/{LIBRARY}", *sys.path[1:]]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are what Python has opened
    outcome = _outcome(f"{here}/{CALL}")
    _send(f"{here}/{RESULT}", outcome)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # Threads that go on end with the container.
    os._exit(0)


def _outcome(path: str) -> tuple[Any, ...]:
    """(True, value), or (False, exception, its traceback)."""
    try:
        with open(path, "rb") as file:
            call = read(file.fileno())
        function, args, kwargs = call
        del call  # what it lets go of is gone
        return True, function(*args, **kwargs)
    except Exception as error:
        return _failure(error)


def _failure(error: BaseException) -> tuple[Any, ...]:
    import traceback

    # Lines are looked up by the caller, who has those of a notebook's cells. The first frame is ours.
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    return False, error, traceback.TracebackException(type(error), error, trace, lookup_lines=False)


def _send(path: str, outcome: tuple[Any, ...]) -> None:
    try:
        _write_whole(path, outcome)
        if not outcome[0]:
            _read_again(path)
    except Exception as error:
        if outcome[0]:
            # No result that can be sent is an error of the function's.
            _send(path, _failure(TypeError(f"its result cannot be sent: {error}")))
        else:
            _write_whole(path, (False, None, "".join(outcome[2].format())))


def _read_again(path: str) -> None:
    """Raises what the caller would meet: there are exceptions that are written, and cannot be made again."""
    with open(path, "rb") as file:
        read(file.fileno())


def _write_whole(path: str, outcome: tuple[Any, ...]) -> None:
    """The result is there whole or not at all."""
    try:
        _replace(path, outcome, pickle.Pickler)
    except Exception:
        # Of a class that only this function knows, say: it travels with its definition.
        import cloudpickle

        _replace(path, outcome, cloudpickle.Pickler)


def _replace(path: str, outcome: tuple[Any, ...], pickler: Any) -> None:
    begun = f"{path}.part"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(begun)
    write(begun, outcome, pickler)
    os.rename(begun, path)


if __name__ == "__main__":
    main()
