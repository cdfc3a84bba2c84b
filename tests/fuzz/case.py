"""A parser, and one case of it within its bounds."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

from hypothesis.strategies import SearchStrategy

from containerkit.errors import ContainerkitError

T = TypeVar("T")
Reading = Callable[[T], object]

#: Bytes of memory that a case may take, and how long: seconds of the processor, which a busy machine does not change.
_MEMORY, _SECONDS = 1 << 30, 5.0


@dataclass(frozen=True)
class Parser:
    """One that reads foreign bytes.

    Args:
        name: what ``./dev fuzz`` calls it.
        inputs: what it is given. Every one can be written as a literal of Python.
        reading: calls the product.
        subject: with which the message of an error begins.
        errors: what else it says that it raises.
        known: cases that took too long once, or too much memory; ``./dev test`` has them too.
        examples: how many other cases it has.
        seconds, memory: of the processor, and in bytes, for one case.
    """

    name: str
    inputs: SearchStrategy[Any]
    reading: Reading[Any]
    subject: str = ""
    errors: tuple[type[Exception], ...] = ()
    known: tuple[Any, ...] = ()
    examples: int = 60
    seconds: float = _SECONDS
    memory: int = _MEMORY


#: All of them, by name.
PARSERS: dict[str, Parser] = {}


def parser(name: str, inputs: SearchStrategy[T], **more: Any) -> Callable[[Reading[T]], Reading[T]]:
    """Make a reading a parser; ``more`` are members of :class:`Parser`."""

    def register(reading: Reading[T]) -> Reading[T]:
        assert name not in PARSERS, name
        PARSERS[name] = Parser(name, inputs, reading, **more)
        return reading

    return register


def check(one: Parser, case: Any) -> None:
    """Carry a case out.

    Raises:
        AssertionError: what has to hold does not, or took too long, or too much memory.
        Exception: what the product raised and has not said that it does.
    """
    with _bounded(one):
        try:
            one.reading(case)
        except one.errors:
            pass
        except ContainerkitError as error:
            message = error.message
            assert message.startswith(one.subject), f"an error that does not name {one.subject!r} first: {message}"
            message.encode("utf-8", "surrogateescape")  # it can be written down
            # What a caller gave as a text may be in it; of a file there are some words.
            most = 4 * len(case) + 20_000
            assert not isinstance(case, bytes) or len(message) < most, (
                f"an error of {len(message)} characters: {message[:200]}"
            )


class _TooLong(BaseException):
    """Nothing that a parser could take for an error of its own."""


@contextmanager
def _bounded(one: Parser) -> Iterator[None]:
    began = time.process_time()
    before = signal.signal(signal.SIGPROF, _ring)
    bound = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_mapped() + one.memory, bound[1]))
    signal.setitimer(signal.ITIMER_PROF, one.seconds)
    try:
        yield
    except _TooLong:
        raise AssertionError(f"more than {one.seconds} s of the processor") from None
    except MemoryError as error:
        if isinstance(error, ContainerkitError):
            raise
        raise AssertionError(f"more than {one.memory} bytes of memory") from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, bound)
        signal.signal(signal.SIGPROF, before)
    # Code in C is not interrupted.
    took = time.process_time() - began
    assert took < one.seconds, f"{took:.1f} s of the processor, more than {one.seconds}"


def _ring(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def _mapped() -> int:
    """Bytes of this process's address space."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
