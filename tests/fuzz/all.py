"""All parsers: they are in the table once their modules are imported."""

from __future__ import annotations

from tests.fuzz import (  # noqa: F401  # each puts its parsers into the table
    backups,
    choices,
    dockerfiles,
    images,
    layers,
    machines,
    messages,
    nets,
    outputs,
    registries,
)
from tests.fuzz.case import PARSERS

__all__ = ["PARSERS"]
