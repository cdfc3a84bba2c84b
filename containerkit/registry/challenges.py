"""What a registry demands: the grammar of WWW-Authenticate.

Source: RFC 9110, 11.6.1: ``1#challenge``, ``challenge = auth-scheme [ 1*SP ( token68 / #auth-param ) ]``; RFC 6750, 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?:\s+|\s*$|\s*,)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*(?=,|$)')
#: No registry says so much.
_LIMIT = 16_384


@dataclass(frozen=True)
class Challenge:
    """One way to be let in: a scheme in lower case, and its parameters by names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of all WWW-Authenticate headers of an answer; what follows no grammar is passed over."""
    return [challenge for header in headers for challenge in _parse(header[:_LIMIT])]


def _parse(header: str) -> list[Challenge]:
    challenges = []
    position = 0
    while found := _SCHEME.match(header, position):
        scheme, position = found[1].lower(), found.end()
        parameters: dict[str, str] = {}
        while one := _PARAMETER.match(header, position):
            value = one[3] if one[2] is None else re.sub(r"\\(.)", r"\1", one[2])
            parameters.setdefault(one[1].lower(), value)
            position = one.end()
        challenges.append(Challenge(scheme, parameters))
    return challenges
