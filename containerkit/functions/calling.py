"""Many calls at once: started as there is room, waited for in one place, without threads."""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Collection, Iterable
from typing import Any

from containerkit.errors import ContainerkitError
from containerkit.functions.call import Call, Outcome

#: Seconds between two looks at the output. Not inotify(7): to close that takes as long, since it waits for the kernel.
_GLANCE = 0.05


def carry_out(inputs: Iterable[Any], start: Callable[[Any], Call], parallel: int) -> list[Outcome]:
    """What becomes of each input, in their order. Interrupted, it ends all that run.

    Args:
        start: makes a call of an input.
        parallel: how many run at once.
    """
    waiting = iter(inputs)
    outcomes: list[Outcome] = []
    running: dict[int, Call] = {}
    has_more = True
    try:
        while running or has_more:
            while has_more and len(running) < parallel:
                try:
                    given = next(waiting)
                except StopIteration:
                    has_more = False
                    break
                outcomes.append(Outcome())
                try:
                    running[len(outcomes) - 1] = start(given)
                except ContainerkitError as error:
                    outcomes[-1] = Outcome(error=error)
            _wait(running.values())
            for number in [number for number, call in running.items() if call.step()]:
                outcomes[number] = running.pop(number).outcome()
    finally:
        # Whoever has interrupted it may do so again while it waits for one of them: that ends this wait alone.
        with contextlib.ExitStack() as stack:
            for call in running.values():
                call.hang_up()
                stack.callback(call.close)
    return outcomes


def _wait(calls: Collection[Call]) -> None:
    """Until one of them has news, or time is up, or it is time to look for output."""
    poll = select.poll()
    for call in calls:
        poll.register(call, select.POLLIN)
    left = [left for call in calls if (left := call.left) is not None]
    if calls:
        poll.poll(min([*left, _GLANCE]) * 1000 + 1)
