"""Input that is mostly right: something valid, of which a little is spoiled."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

#: What readers stumble over: ends, signs, digits of other scripts, numbers without end, halves of characters, nesting.
ODD: Sequence[bytes] = (
    b"\0", b"\n", b"\r", b"\r\n", b" ", b"\t", b"\x0b", b"\x0c", b"\x1c", b"\xff", b"\xc3", b"\xed\xa0\x80",
    b"\xc2\x85", "\u2028".encode(), "²".encode(), "٣".encode(), "İ".encode(), b"-", b"-1", b"+1", b"0x10", b"1_0",
    b"1e999", b"NaN", b"9" * 25, b"9" * 400, b"9" * 5000, b"/", b"..", b"/../", b"%", b"\\", b"'", b'"', b"{", b"}",
    b"[", b"]", b"$", b"${", b":", b"=", b",", b"*", b"**", b"?", b"#", b"!", b"@", b"|", b"[" * 3000, b'{"a":' * 3000,
    b"\xff" * 8, b"\x80" + b"\xff" * 7,
)  # fmt: skip
#: The longest input: long enough to tell what takes quadratic time.
_LONGEST = 1 << 17

Edit = Callable[[bytes, int, int], bytes]


def _flipped(data: bytes, at: int, what: int) -> bytes:
    return data[:at] + bytes((data[at] ^ (1 << what % 8),)) + data[at + 1 :] if data else data


def _odd(data: bytes, at: int, what: int) -> bytes:
    return data[:at] + ODD[what % len(ODD)] + data[at:]


def _instead(data: bytes, at: int, what: int) -> bytes:
    odd = ODD[what % len(ODD)]
    return data[:at] + odd + data[at + len(odd) :]


def _without(data: bytes, at: int, what: int) -> bytes:
    return data[:at] + data[at + what + 1 :]


def _cut(data: bytes, at: int, what: int) -> bytes:
    return data[:at]


def _moved(data: bytes, at: int, what: int) -> bytes:
    return data[:at] + data[at + what : at + 2 * what] + data[at : at + what] + data[at + 2 * what :]


def _twice(data: bytes, at: int, what: int) -> bytes:
    return data[: at + what + 1] + data[at:]


def _often(data: bytes, at: int, what: int) -> bytes:
    piece = data[at : at + 1 + what % 24]
    return data[:at] + piece * ((_LONGEST - len(data)) // max(1, len(piece))) + data[at:]


_EDITS: Sequence[Edit] = (_flipped, _odd, _odd, _instead, _instead, _without, _cut, _moved, _twice, _often)


def edited(data: bytes, edits: Sequence[tuple[int, int, int]]) -> bytes:
    """``data`` after edits: which, where (of 65536 parts of it), with what."""
    for kind, where, what in edits:
        data = _EDITS[kind](data, where * (len(data) or 1) >> 16, what)[:_LONGEST]
    return data


_SOME = st.lists(st.tuples(st.integers(0, len(_EDITS) - 1), st.integers(0, 65535), st.integers(0, 255)), max_size=4)


def spoiled(*valid: bytes | SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """One of the valid inputs, after some edits, or none."""
    seeds = [st.just(one) if isinstance(one, bytes) else one for one in valid]
    return st.builds(edited, st.one_of(seeds), _SOME)


def text(*valid: str | SearchStrategy[str]) -> SearchStrategy[str]:
    """As :func:`spoiled`; bytes that are no UTF-8 are halves of characters then, as Python reads file names."""
    seeds = [st.just(one) if isinstance(one, str) else one for one in valid]
    encoded = st.builds(lambda one: one.encode("utf-8", "surrogateescape"), st.one_of(seeds))
    return st.builds(lambda data: data.decode("utf-8", "surrogateescape"), spoiled(encoded))


#: Members of JSON that are hardly ever what was expected.
_MEMBERS: Sequence[Any] = (
    None, True, False, 0, 1, -1, 2**31, 2**32, 2**63, 2**64, 10**30, 1.5, -0.5, 1e308, float("inf"), float("nan"), "",
    "a", "\0", "\n", "\ud800", "\udc80", "²", "٣", "9" * 5000, "../..", "/", "/" * 300, "a" * 300, "-1", [], {}, [[]],
    [None], [0], [""], {"": None}, {"a": {}}, ["a"] * 1500, [{}] * 600,
)  # fmt: skip


def _changed(document: Any, changes: Sequence[tuple[int, int, int]]) -> bytes:
    found = deepcopy(document)
    for place, what, how in changes:
        places = list(_places(found))
        if not places:
            break
        holder, key = places[place % len(places)]
        if how == 0:
            del holder[key]
        elif how == 1 and isinstance(holder, list):
            holder.append(deepcopy(holder[key]))
        else:
            holder[key] = deepcopy(_MEMBERS[what % len(_MEMBERS)])
    return json.dumps(found).encode()


def _places(value: Any) -> Any:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in list(members):
        yield value, key
        yield from _places(member)


_FEW = st.lists(st.tuples(st.integers(0, 500), st.integers(0, len(_MEMBERS) - 1), st.integers(0, 5)), max_size=3)


def documents(*valid: Any) -> SearchStrategy[bytes]:
    """JSON: one of these documents with some members removed, doubled or replaced, and mostly no spoiled bytes."""
    changed = st.builds(_changed, st.sampled_from(valid), _FEW)
    return st.one_of(changed, changed, spoiled(changed))
