"""Which variables there are: ARG, global ARG, what the caller gives, automatic ones, proxies; ENV before all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from containerkit.dockerfile import Dockerfile, Scope, platform_arguments
from containerkit.errors import InvalidArgument
from containerkit.oci.manifest import Platform

AUTOMATIC = platform_arguments(Platform("amd64", "linux"), Platform("arm", "linux", "v7"), "app")


def scopes(text: str, given: dict[str, str] | None = None, env: dict[str, str] | None = None) -> tuple[Scope, Scope]:
    """Before the first FROM, and at the end of its stage."""
    file = Dockerfile.parse(text)
    outside = Scope(given or {}, AUTOMATIC)
    for one in file.global_args:
        outside = outside.after(one)
    inside = outside.stage(env or {})
    for each in file.stages[0].instructions:
        inside = inside.after(each)
    return outside, inside


def test_automatic_arguments_say_the_platforms() -> None:
    assert AUTOMATIC == {
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "linux",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
        "BUILDPLATFORM": "linux/amd64",
        "BUILDOS": "linux",
        "BUILDARCH": "amd64",
        "BUILDVARIANT": "",
        "TARGETSTAGE": "app",
    }


def test_global_arguments_are_seen_in_from_and_where_they_are_named() -> None:
    outside, inside = scopes("ARG A=1 B=$A-$TARGETARCH C\nFROM x\nARG A\nARG B=own\nARG C D TARGETOS\nENV E=$A$C$B")
    assert outside.variables == {**AUTOMATIC, "A": "1", "B": "1-arm"}
    assert inside.variables == {"A": "1", "B": "own", "TARGETOS": "linux", "E": "1own"}
    assert scopes("ARG A=1\nFROM x\nENV B=$A$TARGETOS")[1].variables == {"B": ""}


def test_what_the_caller_gives_wins_over_defaults() -> None:
    given = {"A": "a", "B": "b", "D": "d", "TARGETARCH": "mine"}
    outside, inside = scopes("ARG A=1 B\nFROM x:$TARGETARCH\nARG A=2 B D=$A\nARG TARGETARCH", given)
    assert (outside.variables["A"], outside.variables["B"], outside.variables["TARGETARCH"]) == ("a", "b", "mine")
    assert inside.variables == {"A": "a", "B": "b", "D": "d", "TARGETARCH": "mine"}
    assert "D" not in outside.variables


def test_env_wins_over_arg() -> None:
    _, inside = scopes("FROM x\nARG A=1\nENV A=2\nARG A=3\nARG B=4 H=5\nENV C=$A$B", {"A": "9"}, {"H": "base"})
    assert inside.variables == {"A": "2", "B": "4", "H": "base", "C": "24"}
    assert inside.cached == {"B": "4"} and inside.environment["A"] == "2"


def test_defaults_of_one_instruction_do_not_see_each_other_in_a_stage() -> None:
    assert scopes("FROM x\nARG A=1\nARG A=2 B=$A")[1].variables == {"A": "2", "B": "1"}
    assert scopes("ARG A=1\nARG A=2 B=$A\nFROM x")[0].variables["B"] == "2"


def test_proxies_need_no_argument_and_leave_no_trace() -> None:
    given = {"HTTP_PROXY": "p", "no_proxy": "q", "OTHER": "o"}
    _, inside = scopes("FROM x\nARG A=1\nENV B=$HTTP_PROXY", given)
    proxies = {"HTTP_PROXY": "p", "http_proxy": "p", "NO_PROXY": "q", "no_proxy": "q"}
    assert inside.environment == {**proxies, "A": "1", "B": ""}
    assert inside.cached == {"A": "1"}
    assert scopes("FROM x\nARG HTTP_PROXY\nENV B=$HTTP_PROXY", given)[1].variables["B"] == "p"


def test_a_stage_on_a_stage_begins_with_its_variables() -> None:
    _, first = scopes("FROM x\nARG A=1\nENV B=2")
    second = first.outside().stage(first.env, first.args)
    assert second.variables == {"A": "1", "B": "2"} and first.outside().variables == AUTOMATIC
    assert replace(first, is_global=True).variables == AUTOMATIC


def test_a_required_argument_is_required() -> None:
    with pytest.raises(InvalidArgument, match=r"^ARG: variable V: tell the version$"):
        scopes('ARG V\nARG W="${V:?tell the version}"\nFROM x')
    assert scopes('ARG V\nARG W="${V:?tell the version}"\nFROM x', {"V": "1"})[0].variables["W"] == "1"
