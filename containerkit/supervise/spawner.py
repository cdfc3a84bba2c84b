"""The spawner: everything imported once, then one fork per request. It ends with its SDK process.

Started as ``python -I -S -c "…spawner.main()"`` with its socket as descriptor 3. One thread, no state.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sqlite3

from containerkit.linux import cgroups
from containerkit.oci import codec
from containerkit.oci.runtime_spec import Process, Root, Spec
from containerkit.supervise import helper, messages, monitor

SOCKET = 3


def main() -> None:
    """Serve until the SDK process closes its end."""
    channel = socket.socket(fileno=SOCKET)
    # Inherited dispositions are the user's process's; here and in all children they are the default.
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children reap themselves
    _warm_up()
    while True:
        data, descriptors = messages.receive(channel)
        if not data:
            return
        _fork(channel, data, descriptors)


def _warm_up() -> None:
    """Do once what every fork would do at its first use of something, then stop the collector from writing to it."""
    codec.prepare(Spec, messages.Start, messages.Enter)
    codec.loads(Spec, codec.dumps(Spec(Root("rootfs"), Process(args=("true",)))))
    cgroups.detect()
    sqlite3.connect(":memory:").close()
    gc.disable()
    gc.collect()
    gc.freeze()


def _fork(channel: socket.socket, data: bytes, descriptors: list[int]) -> None:
    try:
        pid = os.fork()
    except OSError as error:
        with socket.socket(fileno=descriptors[0]) as reply:
            text = f"cannot fork: {(error.strerror or '').lower()}"
            messages.send_reply(reply, messages.Failed(text, errno=error.errno))
        descriptors = descriptors[1:]
        pid = -1
    if pid == 0:
        channel.close()
        _child(data, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def _child(data: bytes, descriptors: list[int]) -> None:
    code = 1
    reply = socket.socket(fileno=descriptors[0])
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        request = messages.decode(data)
        if isinstance(request, messages.Start):
            monitor.run(request, reply, descriptors[1:])
        else:
            helper.run(request, reply, descriptors[1:])
        code = 0
    except BaseException as error:
        messages.send_reply(reply, messages.Failed(f"internal error: {type(error).__name__}: {error}"))
    finally:
        os._exit(code)
