"""What no builder takes."""

from __future__ import annotations

from tests.peers.builds.case import BOTH, BUILDKIT, CLASSIC, Builder, Case, File

FILES = {"x": "x", "d/y": File("y"), "a.txt": "a", "b.txt": "b"}


def _case(name: str, text: str | bytes, builders: tuple[Builder, ...] = BOTH, **more: object) -> Case:
    return Case(f"refused-{name}", text, FILES, refused=True, builders=builders, **more)  # type: ignore[arg-type]


CASES = (
    _case("empty", ""),
    _case("comments-only", "# nothing\n"),
    _case("no-from", "RUN true\n"),
    # Here BuildKit takes dockerd with it: index out of range.
    _case("arg-only", "ARG A=1\n", CLASSIC),
    _case("unknown-instruction", "FROM busybox\nRUNN true\n"),
    _case("from-nothing", "FROM\n"),
    _case("from-too-much", "FROM busybox AS\n"),
    _case("from-variable-empty", "ARG A\nFROM $A\n"),
    _case("from-wrong-reference", "FROM Busy//Box\n"),
    _case("stage-name-wrong", "FROM busybox AS 1a\n"),
    _case("stage-name-with-a-slash", "FROM busybox AS a/b\n"),
    _case("platform-wrong", "FROM --platform=not/a/real/platform/at-all busybox\n"),
    _case("from-flag-unknown", "FROM --nothing=1 busybox\n"),
    _case("run-fails", "FROM busybox\nRUN exit 3\n"),
    _case("run-empty", "FROM busybox\nRUN\n", CLASSIC),
    _case("run-program-absent", 'FROM busybox\nRUN ["/nowhere"]\n'),
    _case("run-in-scratch", "FROM scratch\nRUN true\n"),
    _case("run-flag-unknown", "FROM busybox\nRUN --nothing=1 true\n"),
    _case("run-mount-type-unknown", "FROM busybox\nRUN --mount=type=nothing,target=/x true\n", BUILDKIT),
    _case("run-mount-without-target", "FROM busybox\nRUN --mount=type=bind true\n", BUILDKIT),
    _case("run-mount-key-unknown", "FROM busybox\nRUN --mount=type=bind,target=/x,colour=red true\n", BUILDKIT),
    _case("run-mount-source-absent", "FROM busybox\nRUN --mount=target=/x,source=nothing true\n", BUILDKIT),
    _case("copy-absent", "FROM busybox\nCOPY nothing /x\n"),
    _case("copy-one-word", "FROM busybox\nCOPY x\n"),
    _case("copy-several-to-a-file", "FROM busybox\nCOPY a.txt b.txt /to\n", CLASSIC),
    _case("copy-matches-to-a-file", "FROM busybox\nCOPY *.txt /to\n", CLASSIC),
    _case("copy-flag-unknown", "FROM busybox\nCOPY --nothing x /x\n"),
    _case("copy-flag-twice", "FROM busybox\nCOPY --chown=1 --chown=2 x /x\n"),
    _case("copy-from-absent-stage", "FROM busybox\nCOPY --from=7 /x /x\n"),
    _case("copy-from-itself", "FROM busybox AS me\nCOPY --from=me /x /x\n"),
    _case("copy-from-a-later-stage", "FROM busybox AS a\nCOPY --from=b /bin/vi /x\nFROM a AS b\n"),
    _case("copy-from-absent-file", "FROM busybox AS a\nFROM busybox\nCOPY --from=a /nothing /x\n"),
    _case("add-from", "FROM busybox AS a\nFROM busybox\nADD --from=a /bin/vi /x\n"),
    _case("pattern-wrong", "FROM busybox\nCOPY [a /x\n", CLASSIC),
    _case("env-nothing", "FROM busybox\nENV\n"),
    _case("env-one-word", "FROM busybox\nENV A\n"),
    _case("env-half", "FROM busybox\nENV A=1 B\n"),
    _case("env-quote-open", 'FROM busybox\nENV A="1\n'),
    _case("env-name-empty", "FROM busybox\nENV =1\n"),
    _case("label-one-word", "FROM busybox\nLABEL a\n"),
    _case("modifier-unknown", "FROM busybox\nENV A=${B:!c}\n"),
    _case("brace-open", "FROM busybox\nENV A=${B\n"),
    _case("expose-nothing", "FROM busybox\nEXPOSE\n"),
    _case("expose-wrong", "FROM busybox\nEXPOSE eighty\n"),
    _case("expose-too-high", "FROM busybox\nEXPOSE 70000\n"),
    _case("expose-range-backwards", "FROM busybox\nEXPOSE 90-80\n"),
    _case("expose-protocol", "FROM busybox\nEXPOSE 80/nothing\n"),
    _case("user-nothing", "FROM busybox\nUSER\n"),
    _case("workdir-nothing", "FROM busybox\nWORKDIR\n"),
    _case("volume-nothing", "FROM busybox\nVOLUME\n"),
    _case("volume-empty", 'FROM busybox\nVOLUME [""]\n'),
    _case("stopsignal-wrong", "FROM busybox\nSTOPSIGNAL SIGNOTHING\n"),
    _case("stopsignal-two", "FROM busybox\nSTOPSIGNAL 9 15\n"),
    _case("shell-no-json", "FROM busybox\nSHELL /bin/sh -c\n"),
    _case("shell-empty", "FROM busybox\nSHELL []\n"),
    _case("healthcheck-nothing", "FROM busybox\nHEALTHCHECK\n"),
    _case("healthcheck-unknown-type", "FROM busybox\nHEALTHCHECK RUN true\n"),
    _case("healthcheck-none-with-more", "FROM busybox\nHEALTHCHECK NONE true\n"),
    _case("healthcheck-wrong-time", "FROM busybox\nHEALTHCHECK --interval=soon CMD true\n"),
    _case("healthcheck-negative", "FROM busybox\nHEALTHCHECK --retries=-1 CMD true\n"),
    _case("healthcheck-no-command", "FROM busybox\nHEALTHCHECK CMD\n"),
    _case("healthcheck-short-interval", "FROM busybox\nHEALTHCHECK --interval=1us CMD true\n"),
    _case("maintainer-nothing", "FROM busybox\nMAINTAINER\n"),
    _case("onbuild-nothing", "FROM busybox\nONBUILD\n"),
    _case("escape-wrong", "# escape=x\nFROM busybox\n"),
    _case("escape-twice", "# escape=`\n# escape=`\nFROM busybox\n"),
    _case("target-absent", "FROM busybox AS a\n", target="b"),
)
