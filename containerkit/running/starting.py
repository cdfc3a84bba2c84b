"""Containers made and started: what ``create``, ``run``, ``call`` and ``start`` have the supervision do."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from containerkit.errors import InvalidArgument, Timeout
from containerkit.options import Command, LogOptions, Settings, settings
from containerkit.results import Result
from containerkit.store.containers import ContainerRecord
from containerkit.store.images import ImageRecord
from containerkit.store.store import Store
from containerkit.supervise import launch, messages, processes
from containerkit.supervise.awaiting import Running
from containerkit.supervise.networks import membership
from containerkit.supervise.output.collected import Output

if TYPE_CHECKING:
    from containerkit.engine import Engine
    from containerkit.image import Image


#: Of ``call``: its output is the result, all of it.
OF_A_CALL: Mapping[str, Any] = {"remove": True, "log_options": LogOptions(max_size=-1, max_file=1)}


def settle(engine: Engine, command: Command, options: Mapping[str, Any]) -> Settings:
    """What the options come to. What cannot be right is refused here, before an image is looked for, or pulled."""
    bounds = engine.configuration.log.options(options.get("log_options"))
    chosen = replace(settings(command, {**options, "log_options": bounds}), session=engine._session)
    if options.get("replace") and not chosen.name:
        raise InvalidArgument("replace: needs a name: it removes the container of that name first")
    return chosen if options.get("network") is not None else membership.possible(chosen)


def create(engine: Engine, image: Image, chosen: Settings, options: Mapping[str, Any]) -> ContainerRecord:
    """A container that does not run yet."""
    return launch.create(
        engine.store, engine.configuration, image._record, image._reference, chosen,
        replace=bool(options.get("replace")),
    )  # fmt: skip


def run(engine: Engine, image: Image, chosen: Settings, options: Mapping[str, Any]) -> ContainerRecord:
    """A container that has started."""
    with launch.whole(engine.store) as id:
        running = _launch(engine, image, chosen, options, None, id)
        running.wait_started(engine.store)
        running.channel.close()
    if chosen.name:  # it may follow another one that others are linked to
        membership.tell_linked(engine.store, running.record)
    return running.record


def walk(engine: Engine, image: Image, chosen: Settings, options: Mapping[str, Any], gates: Sequence[int]) -> Running:
    """A start that waits at two gates, before each of its operations (runtime/gate.py)."""
    with launch.whole(engine.store) as id:
        return _launch(engine, image, chosen, options, None, id, gates=gates)


def call(
    engine: Engine, image: Image, chosen: Settings, options: Mapping[str, Any], *,
    input: bytes | str | None, seconds: float | None, check: bool,
) -> Result:  # fmt: skip
    """What came of a container that ran to its end, and is gone."""
    with launch.whole(engine.store) as id:
        running = _launch(engine, image, chosen, options, input, id, with_log=True)
        began = time.monotonic()
        with running.channel:
            try:
                started = running.wait_started(engine.store, seconds)
                ended = running.wait_ended(engine.store, seconds) if started else None
            except BaseException:
                os.close(running.log)
                raise
    last = ended or messages.Exited(-1, time.monotonic() - began)
    output = Output.of_log(running.log)
    result = Result(last.exit_code, last.duration, last.oom_killed, running.record.command, output)
    if ended is None:
        raise Timeout(f"container {running.record.name}: still running after {seconds} s; ended", result=result)
    return result.check() if check else result


def start(store: Store, record: ContainerRecord, image: ImageRecord) -> None:
    """Start a container that does not run."""
    with processes.stdin_of(None) as stdin:
        running = launch.start(store, record, image, stdin)
    running.wait_started(store)
    running.channel.close()
    membership.tell_linked(store, record)


def _launch(
    engine: Engine, image: Image, chosen: Settings, options: Mapping[str, Any], input: bytes | str | None, id: str, *,
    with_log: bool = False, gates: Sequence[int] = (),
) -> Running:  # fmt: skip
    with processes.stdin_of(input) as stdin:
        return launch.run(
            engine.store, engine.configuration, image._record, image._reference, chosen, stdin, id=id,
            replace=bool(options.get("replace")), with_log=with_log, gates=gates,
        )  # fmt: skip
