"""What an image says of how it was made: a line for each instruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from containerkit.dockerfile import Add, Copy
from containerkit.oci.image_config import History

#: Written into each, as others write what made theirs.
COMMENT = "containerkit.dockerfile"
Entry = History


def entry(said: str) -> Entry:
    """The line of an instruction; its time is filled in when the image is finished."""
    return History(created_by=said, comment=COMMENT)


def copy(instruction: Copy | Add) -> Entry:
    """A COPY or an ADD; where from is nobody's business who has the image."""
    return entry((replace(instruction, from_="") if isinstance(instruction, Copy) else instruction).source)


def run(command: Sequence[str], args: Mapping[str, str]) -> str:
    """A RUN, with the build arguments that it has seen."""
    said = " ".join(f"{name}={value}" for name, value in args.items())
    return " ".join(("RUN", *((f"|{len(args)}", said) if args else ()), *command))
