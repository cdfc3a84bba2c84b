"""The loop: descriptors that come and go within one turn."""

from __future__ import annotations

import os

from containerkit.linux.loop import Loop


def test_a_new_descriptor_does_not_hear_what_was_meant_for_an_old_one_of_its_number() -> None:
    loop = Loop()
    ends = [*os.pipe(), *os.pipe()]
    readers = ends[::2]
    heard: list[str] = []

    def replace(own: int) -> None:
        heard.append("old")
        other = readers[1 - readers.index(own)]
        loop.remove(other)
        os.dup2(own, other)
        loop.add(other, lambda _: heard.append("new"))

    for reader, writer in zip(readers, ends[1::2], strict=True):
        loop.add(reader, lambda _, reader=reader: replace(reader))  # type: ignore[misc] # its type is not inferred
        os.write(writer, b"x")
    loop.turn()
    assert heard == ["old"]
    for descriptor in ends:
        os.close(descriptor)
