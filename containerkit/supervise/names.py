"""Names for containers that were given none."""

from __future__ import annotations

import secrets

_FIRST = """
able amber bold brave brisk calm clear clever cool deft eager early fair fast fine fresh gentle glad golden
grand happy keen kind lively lucky merry mild neat noble proud quick quiet rapid ready sharp shy silent smart
snug solid steady still sunny swift tidy warm wise witty young
"""
_SECOND = """
acorn anchor arch badger barrel beacon birch bridge brook cedar cliff clover comet coral crane creek delta
dune ember falcon fern finch fjord flint forest garnet grove harbor heron island ivy lagoon lark lynx maple
meadow mesa moss oak opal orchid otter pebble pine prairie quartz raven reef ridge river robin sail spruce
summit thistle tide tulip valley willow wren
"""


def random_name() -> str:
    """Two words joined by an underscore."""
    return f"{secrets.choice(_FIRST.split())}_{secrets.choice(_SECOND.split())}"


def random_id() -> str:
    """A container's id: 64 hexadecimal digits."""
    return secrets.token_hex(32)
