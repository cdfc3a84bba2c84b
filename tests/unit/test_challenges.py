"""What a registry demands: the grammar of WWW-Authenticate, and what is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.registry.challenges import Challenge, parse

REALM = "https://auth.docker.io/token"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="registry"'], [("basic", {"realm": "registry"})]),
        (
            [f'Bearer realm="{REALM}",service="registry.docker.io",scope="repository:a/b:pull,push"'],
            [("bearer", {"realm": REALM, "service": "registry.docker.io", "scope": "repository:a/b:pull,push"})],
        ),
        # Several in one header, and in several.
        (
            ['Basic realm="a", Bearer realm="b", service="c"'],
            [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "service": "c"})],
        ),
        (['Basic realm="a"', 'Bearer realm="b"'], [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        (["Negotiate, Basic realm=a"], [("negotiate", {}), ("basic", {"realm": "a"})]),
        (["Negotiate"], [("negotiate", {})]),
        # What follows a scheme may be one opaque word.
        (["Negotiate YII+/x==, Basic realm=a"], [("negotiate", {}), ("basic", {"realm": "a"})]),
        (["NTLM TlRMTVNTUAAB, Basic realm=a"], [("ntlm", {}), ("basic", {"realm": "a"})]),
        (["Negotiate a="], [("negotiate", {})]),
        # Quotes.
        (['Bearer realm="a, b=c, Basic d",x=y'], [("bearer", {"realm": "a, b=c, Basic d", "x": "y"})]),
        (['Bearer realm="a\\"b\\\\c",x=""'], [("bearer", {"realm": 'a"b\\c', "x": ""})]),
        # Case, spaces, empty elements of a list, repetition.
        (['BEARER Realm = "x" ,, SERVICE=y'], [("bearer", {"realm": "x", "service": "y"})]),
        ([', ,Bearer realm="x",'], [("bearer", {"realm": "x"})]),
        (['Bearer realm="good",realm="evil"'], [("bearer", {"realm": "good"})]),
        (["Bearer\trealm=x"], [("bearer", {"realm": "x"})]),
        # Without a comma, and an address without quotes: not the grammar, and said by some.
        (['Bearer realm="x" service="y"'], [("bearer", {"realm": "x", "service": "y"})]),
        ([f"Bearer realm={REALM},service=y"], [("bearer", {"realm": REALM, "service": "y"})]),
        # What is none is passed over, and what comes after it is not.
        ([], []),
        ([""], []),
        (['realm="x"'], []),
        (['realm="x y", Basic realm="z"'], [("basic", {"realm": "z"})]),
        (['"", ;;;, Basic realm="x"'], [("basic", {"realm": "x"})]),
        (['Bearer realm="x'], [("bearer", {"realm": ""})]),
        (['@@@ Bearer realm="x"'], [("bearer", {"realm": "x"})]),
        (["Bearer (x), Basic realm=a"], [("bearer", {}), ("basic", {"realm": "a"})]),
    ],
)  # fmt: skip
def test_challenges_are_read(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(found.scheme, dict(found.parameters)) for found in parse(headers)] == expected


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES.map(str.lower), TEXTS, max_size=4)), max_size=4))
def test_what_follows_the_grammar_is_read_as_it_was_written(written: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={quoted(text)}" for name, text in parameters.items())
        for scheme, parameters in written
    )
    assert parse([header]) == [Challenge(scheme.lower(), parameters) for scheme, parameters in written]


@given(st.lists(st.text(max_size=60) | st.from_regex(r'[Bb =",\\a;]{0,60}', fullmatch=True), max_size=3))
def test_any_header_is_read_or_passed_over(headers: list[str]) -> None:
    for challenge in parse(headers):
        assert challenge.scheme == challenge.scheme.lower() != ""
        assert all(name == name.lower() for name in challenge.parameters)


@pytest.mark.parametrize(
    "piece",
    ["a", " ", ",", "a ", "a,", 'a="', 'a="\\', "a=b,", "a = ", 'a="\\",', "a==,", "a= ,", '"', "\\", "=", "b c==",
     " =", "(", 'x="y" '],
)  # fmt: skip
def test_hostile_headers_take_no_time(piece: str) -> None:
    header = "Bearer " + piece * (16_384 // len(piece))
    began = time.process_time()
    parse([header, header])
    assert time.process_time() - began < 0.5


def test_what_no_registry_says_is_not_read_to_its_end() -> None:
    (found,) = parse(['Bearer realm="x",' + "a," * 20_000 + 'late="y"'])[:1]
    assert dict(found.parameters) == {"realm": "x"}
    assert len(parse(["a," * 50_000])) < 10_000
