"""What a registry demands: the grammar of WWW-Authenticate.

Source: RFC 9110, 11.6.1: ``1#challenge``, ``challenge = auth-scheme [ 1*SP ( token68 / #auth-param ) ]``; RFC 6750, 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from containerkit.values import frozen

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_GAP = re.compile(r"[\s,]*")
_SCHEME = re.compile(rf"({_TOKEN})(?=[\s,]|$)")
_TOKEN68 = re.compile(r"\s+[0-9A-Za-z._~+/-]+=*(?=\s*(?:,|$))")
# Values without quotes are no more than tokens; some registries write addresses so.
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_ODD = re.compile(r"[^\s,]+")
#: No registry says so much.
_LIMIT = 16_384


@frozen
class Challenge:
    """One way to be let in: a scheme in lower case, and its parameters by names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of all WWW-Authenticate headers of an answer; what follows no grammar is passed over."""
    return [challenge for header in headers for challenge in _parse(header[:_LIMIT])]


def _parse(header: str) -> Iterator[Challenge]:
    parameters: dict[str, str] | None = None
    position = 0
    while True:
        position = _end(_GAP, header, position)
        if position == len(header):
            return
        if one := _PARAMETER.match(header, position):
            if parameters is not None:
                value = one[3] if one[2] is None else re.sub(r"\\(.)", r"\1", one[2])
                parameters.setdefault(one[1].lower(), value)
            position = one.end()
        elif scheme := _SCHEME.match(header, position):
            parameters = {}
            yield Challenge(scheme[1].lower(), parameters)
            position = _end(_TOKEN68, header, scheme.end())
        else:
            position = _end(_ODD, header, position)


def _end(pattern: re.Pattern[str], header: str, position: int) -> int:
    found = pattern.match(header, position)
    return position if found is None else found.end()
