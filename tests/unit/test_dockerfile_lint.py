"""Rules: each says what it has to where it should, and nothing where a file is as it should be."""

from __future__ import annotations

import pytest

from containerkit.dockerfile import Dockerfile, undefined_variables


def warnings(text: str) -> list[str]:
    return [f"{w.location.first} {w.rule}" for w in Dockerfile.parse(text).warnings]


def stage(text: str) -> list[str]:
    return warnings(f"FROM alpine\n{text}")


GOOD = """# syntax=docker/dockerfile:1
ARG VERSION=3
FROM --platform=$BUILDPLATFORM golang:${VERSION} AS build
ARG TARGETOS TARGETARCH PUBLIC_KEY
ENV GOOS=$TARGETOS TOKENS=1 PATH=/x:$PATH
WORKDIR /src
WORKDIR lower
COPY --parents . .
RUN --mount=type=secret,id=key [ -f x ] && make $NOTHING
ONBUILD RUN $x
FROM scratch
COPY --from=build --chown=1 ["a", "/b"]
EXPOSE 80/tcp 53/udp
HEALTHCHECK CMD true
ENTRYPOINT ["/b"]
CMD ["-x"]
"""


def test_a_good_file_has_no_warnings() -> None:
    assert Dockerfile.parse(GOOD).warnings == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("run a\nRUN b", ["2 ConsistentInstructionCasing"]),
        ("Run a", ["2 ConsistentInstructionCasing"]),
        ("user a\nrun b\nrun c", ["1 ConsistentInstructionCasing"]),
        ("MAINTAINER x", ["2 MaintainerDeprecated"]),
        ("RUN a \\\n\n b", ["2 NoEmptyContinuation"]),
        ("RUN a \\\n# x\n b", []),
        ("WORKDIR a", ["2 WorkdirRelativePath"]),
        ("WORKDIR $a", []),
        ("WORKDIR 'a b'\nWORKDIR c", ["2 WorkdirRelativePath"]),
        ("WORKDIR /a\nWORKDIR b", []),
        ("ENV a b", ["2 LegacyKeyValueFormat"]),
        ("LABEL a b=c", ["2 LegacyKeyValueFormat"]),
        ("ENV a=b c='d e'", []),
        ("ENV API_KEY=1", ["2 SecretsUsedInArgOrEnv"]),
        ("ARG a PASSWORD", ["2 SecretsUsedInArgOrEnv"]),
        ("ARG PUBLIC_KEY KEYBOARD TOKENIZER", []),
        ("ENV db_passwd=1", ["2 SecretsUsedInArgOrEnv"]),
        ("CMD a", ["2 JSONArgsRecommended"]),
        ("ENTRYPOINT a", ["2 JSONArgsRecommended"]),
        ("CMD ['a']", ["2 JSONArgsRecommended"]),
        ('SHELL ["/bin/bash", "-c"]\nCMD a', []),
        ("RUN a", []),
        ("RUN ['a']", ["2 JSONArgsRecommended"]),
        ("RUN [“a”]", ["2 JSONArgsRecommended"]),
        ('RUN [ "$x" = y ]', []),
        ('COPY ["a", "b",] /c/', []),
        ("VOLUME ['/a']", ["2 JSONArgsRecommended"]),
        ("COPY --link ['a', '/b']", ["2 JSONArgsRecommended"]),
        ('CMD ["a"]\nCMD ["b"]\nCMD ["c"]', ["2 MultipleInstructionsDisallowed", "3 MultipleInstructionsDisallowed"]),
        ('ENTRYPOINT ["a"]\nENTRYPOINT ["b"]', ["2 MultipleInstructionsDisallowed"]),
        ("HEALTHCHECK NONE\nHEALTHCHECK CMD a", ["2 MultipleInstructionsDisallowed"]),
        ("EXPOSE 80/TCP", ["2 ExposeProtoCasing"]),
        ("EXPOSE 8080:80", ["2 ExposeInvalidFormat"]),
        ("EXPOSE 127.0.0.1:80:80", ["2 ExposeInvalidFormat"]),
        ("EXPOSE ${P:-80}", []),
        ("EXPOSE 80-82", []),
        ("ARG NAME\nRUN a\nUSER $NAEM", ["4 UndefinedVar"]),
        ("ENV Dir=/a\nWORKDIR $DIR", ["3 UndefinedVar"]),
        ("USER $JAVA_HOME", []),
        ("COPY ${PAHT} b", ["2 UndefinedVar"]),
        ("ENV a=$HTTP_PROXY", []),
        ("ARG A\nENV B=$A${A:-x}${Z-y}", []),
        ("RUN --mount=target=$PHAT a", ["2 UndefinedVar"]),
    ],
)
def test_rules_on_instructions(text: str, found: list[str]) -> None:
    assert stage(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM a as b", ["1 FromAsCasing"]),
        ("from a as b", []),
        ("from a AS b", ["1 FromAsCasing"]),
        ("FROM a AS Bc", ["1 StageNameCasing"]),
        ("FROM a AS scratch", ["1 ReservedStageName"]),
        ("FROM a AS context", ["1 ReservedStageName"]),
        ("FROM a AS b\nFROM b AS b", ["2 DuplicateStageName"]),
        ("FROM a AS b\nFROM a", ["1 UnusedStage"]),
        ("FROM a\nFROM a\nCOPY --from=0 a b", []),
        ("FROM a AS b\nFROM c\nRUN --mount=from=b,target=/x y", []),
        ("FROM a AS b\nFROM c\nONBUILD COPY --from=b a b", []),
        ("FROM a AS b-amd64\nFROM b-${TARGETARCH}", []),
        ("FROM a:$TGA", ["1 UndefinedArgInFrom"]),
        ("ARG TAG=1\nFROM a:$TGA", ["2 UndefinedArgInFrom"]),
        ("FROM a:$TARGETARCH", []),
        ("ARG TAG\nFROM a:$TAG", ["2 InvalidDefaultArgInFrom"]),
        ("ARG TAG\nFROM a:${TAG:-1}", []),
        ("ARG TAG\nFROM $TAG", ["2 InvalidDefaultArgInFrom"]),
        ("ARG B=A!\nFROM $B", ["2 InvalidDefaultArgInFrom"]),
        ("ARG B=scratch\nFROM $B", []),
        ("ARG A=b C=$A\nFROM x AS b\nFROM $C", []),
        ("ARG T=1\nFROM a:$T", []),
        ("FROM --platform=$TARGETPLATFORM a", ["1 RedundantTargetPlatform"]),
        ("FROM --platform=$BUILDPLATFORM a", []),
        ("FROM --platform=linux/amd64 a", ["1 FromPlatformFlagConstDisallowed"]),
        ("FROM --platform=linux/amd64 a AS b-amd64", []),
        ("FROM scratch AS a\nENV A=1\nARG B\nFROM a\nUSER $A$B$D", ["5 UndefinedVar"]),
        ('FROM x AS a\nWORKDIR /x\nSHELL ["a"]\nFROM a\nWORKDIR b\nCMD c', []),
    ],
)
def test_rules_on_stages(text: str, found: list[str]) -> None:
    assert warnings(text) == found


@pytest.mark.parametrize(
    "syntax", ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7@sha256:0", "docker/dockerfile"]
)
def test_another_language_is_noted(syntax: str) -> None:
    assert warnings(f"# syntax={syntax}\nFROM a") == []
    assert warnings("# syntax=me/mine:1\nFROM a") == ["1 SyntaxIgnored"]
    assert warnings("# syntax=me/mine:1\n# check=skip=SyntaxIgnored\nFROM a") == []


def test_a_warning_says_what_to_do() -> None:
    (found,) = Dockerfile.parse("FROM alpine\nARG NAME\nUSER $NAEM", "app").warnings
    assert str(found) == "app:3: UndefinedVar: USER: variable $NAEM is not set (did you mean $NAME?)"
    assert found.help == "set it with ENV or ARG before it is used"


def test_a_build_asks_with_the_base_image_s_environment() -> None:
    (one,) = Dockerfile.parse("FROM alpine\nUSER $JAVA_HOME$1$no_proxy").stages[0].instructions
    (found,) = undefined_variables(one, {"JAVA_HOM": ""})
    assert "did you mean $JAVA_HOM?" in found.message
    assert undefined_variables(one, {"JAVA_HOME": ""}) == []
