"""The container's init until execve: straight-line code that executes operations and reports."""

from __future__ import annotations

import os
import time
from typing import NoReturn

from containerkit.errors import ContainerkitError, RuntimeFailure, reason
from containerkit.linux import capabilities, process
from containerkit.linux.takeover import Executed
from containerkit.runtime import messages
from containerkit.runtime.operation import Context, Operation
from containerkit.runtime.program import StartFailure


def run(operations: tuple[Operation, ...], context: Context, streams: tuple[int, int, int]) -> NoReturn:
    """Execute ``operations``, the last of which does not return; any failure is told to the parent.

    Args:
        streams: what becomes the program's input, output and error.

    Raises:
        Executed: in the understudy, whose memory it was.
    """
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
    # Nothing in the container may trace this process or look through its /proc while it still holds the host's rights.
    process.prctl(process.PR_SET_DUMPABLE, 0 if context.hides else 1)
    # Asked of the host's /proc, and remembered: nothing is opened by name once inside.
    capabilities.last_cap()
    try:
        for operation in operations if context.gate is None else context.gate.through(operations):
            began = time.perf_counter_ns()
            try:
                operation.execute(context)
            except StartFailure as error:
                _fail(context, str(error), error.exit_code, error.errno)
            except OSError as error:
                _fail(context, f"{operation.describe()}: {_reason(error)}", 125, error.errno or 0)
            except ContainerkitError as error:
                _fail(context, f"{operation.describe()}: {error}", 125, error.errno or 0)
            context.costs.append(time.perf_counter_ns() - began)
    except Executed:
        raise  # this is no init any more
    except RuntimeFailure as error:
        _fail(context, error.message, 125, 0)
    except BaseException as error:
        # A defect of ours: the parent still learns of it, and the forked interpreter never unwinds into its caller.
        _fail(context, f"init: {type(error).__name__}: {error}", 125, 0)
    os._exit(125)


def _reason(error: OSError) -> str:
    text = reason(error)
    return f"{text} ({os.fsdecode(error.filename)})" if error.filename else text


def _shorten(text: str, limit: int = 4000) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


def _fail(context: Context, text: str, exit_code: int, errno: int) -> NoReturn:
    try:
        messages.send(context.channel, "failed", text=_shorten(text), exit_code=exit_code, errno=errno)
    finally:
        os._exit(exit_code)
