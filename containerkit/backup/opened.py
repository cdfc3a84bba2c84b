"""What a restore and a verification read from, whatever form the backup has."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Protocol

from containerkit.backup.items import Item
from containerkit.backup.manifest import Manifest
from containerkit.backup.members import Piece


class Opened(Protocol):
    """An open backup."""

    @property
    def manifest(self) -> Manifest:
        """What it says."""

    @property
    def subject(self) -> str:
        """What errors call it."""

    def contents(self, wanted: Set[str]) -> Iterator[tuple[Item, Iterator[Piece]]]:
        """Those of the wanted files that are in it, and their contents, each read before the next step."""

    def beside(self, name: str) -> str | None:
        """The place of another one, in the same directory."""

    def close(self) -> None:
        """Let files go."""
