"""Being attached to a container: its own streams, from the SDK's side (the monitor's is control.py).

Output is copied by the monitor into pipes of ours from the moment on that it hears of us; input and terminal are the
container's own, whose descriptors it hands out. To close the connection is to detach.
"""

from __future__ import annotations

import contextlib
import os
import socket
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from containerkit.errors import InvalidArgument, InvalidState, about
from containerkit.store.containers import ContainerRecord
from containerkit.store.store import Store
from containerkit.supervise import control, ending, messages


@dataclass
class Attachment:
    """One client. ``outputs``: a descriptor to read from for each stream that was asked for; they are the caller's."""

    store: Store
    record: ContainerRecord
    channel: socket.socket
    outputs: list[int] = field(default_factory=list)
    input: int | None = None
    terminal: int | None = None
    exited: messages.Exited | None = None

    @property
    def subject(self) -> str:
        return f"container {self.record.name}"

    @property
    def pid(self) -> int:
        return self.record.pid or 0

    def wait(self, timeout: float | None = None) -> messages.Exited | None:
        """How the container ended; None when it has not after ``timeout`` seconds."""
        if self.exited is None and ending.wait(self.store, self.record.id, timeout):
            now = self.store.containers.read(self.record.id)
            code = now.exit_code if now is not None else self.store.events.last_exit(self.record.id)
            seconds = max(time.time() - (self.record.started or 0), 0.0)  # the clock may have been set back
            self.exited = messages.Exited(137 if code is None else code, seconds)
        return self.exited

    def signal(self, number: int, *, tree: bool = False) -> None:
        """Send a signal to the container's pid 1; with ``tree``, end the container."""
        now = ending.current(self.store, self.record.id)
        if now is not None and tree:
            ending.stay_ended(self.store, now)
            ending.kill(self.store, now)
        elif now is not None:
            ending.send(now, number)

    def resize(self, rows: int, columns: int) -> None:
        """The terminal's new size in characters; in force when this returns."""
        if self.terminal is None:
            raise InvalidState(f"{self.subject}: cannot resize: no terminal that input is open to (tty, stdin_open)")
        termios.tcsetwinsize(self.terminal, (rows, columns))

    def close_input(self) -> None:
        """Let the container read the end of its input. Nothing happens once detached."""
        with contextlib.suppress(OSError):
            messages.send_reply(self.channel, messages.CloseInput())

    def take_input(self) -> int | None:
        """The descriptor to write to, which becomes the caller's: as long as somebody holds one, input is open."""
        descriptor, self.input = self.input, None
        return descriptor

    def end(self) -> None:
        """Detach."""
        self.channel.close()

    def close(self) -> None:
        self.channel.close()
        for descriptor in (self.input, self.terminal):
            if descriptor is not None:
                os.close(descriptor)
        self.input = self.terminal = None


def attach(store: Store, record: ContainerRecord, streams: Sequence[int]) -> Attachment:
    """Attach to a running container.

    Args:
        streams: which of its outputs (1 and 2).

    Raises:
        InvalidState: it has just ended.
    """
    gone = InvalidState(f"container {record.name}: cannot attach: it has ended")
    try:
        channel = control.connect(store.paths.control(record.id))
    except OSError as error:
        raise gone from error
    attachment = Attachment(store, record, channel)
    theirs = []
    try:
        for _ in streams:
            reader, writer = os.pipe()
            attachment.outputs.append(reader)
            theirs.append(writer)
        messages.send_reply(channel, messages.Attach(tuple(streams)), theirs)
        with about(f"container {record.name}"):
            reply, descriptors = messages.receive_reply(channel)
        if not isinstance(reply, messages.Attached):
            raise gone
        if descriptors:
            attachment.input = descriptors[0]
            attachment.terminal = os.dup(descriptors[0]) if reply.terminal else None
    except BaseException:
        attachment.close()
        for descriptor in attachment.outputs:
            os.close(descriptor)
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    store.containers.amend(record.id, "attach")
    return attachment


def parse_keys(text: str) -> bytes:
    """The bytes of ``"ctrl-p,ctrl-q"``, as docker writes them; empty for none.

    Raises:
        InvalidArgument: a part is no key.
    """
    keys = bytearray()
    for part in filter(None, text.split(",")):
        letter = part.removeprefix("ctrl-")
        if part != letter and len(letter) == 1 and ("@" <= letter.upper() <= "_"):
            keys.append(ord(letter.upper()) & 0x1F)
        elif len(part) == 1 and part.isascii():
            keys.append(ord(part))
        else:
            raise InvalidArgument(
                f'detach_keys {text!r}: {part}: write letters, or "ctrl-" and one, with commas between'
            )
    return bytes(keys)
