"""The Dockerfile language, and what comes with a context."""

from __future__ import annotations

from hypothesis import strategies as st

from containerkit import dockerfile
from containerkit.builder import matching
from containerkit.builder.ignore import Ignore
from containerkit.dockerfile import shell
from containerkit.dockerfile.file import Dockerfile, parse_instructions
from containerkit.errors import BuildError, InvalidArgument, NotFound
from tests.fuzz.case import parser
from tests.fuzz.edits import spoiled, text

_LARGE = b"""\
# syntax=docker/dockerfile:1
# escape=\\
ARG V=1 NAME="a b"
FROM --platform=$BUILDPLATFORM alpine:${V:-3} AS one
ENV A=b C="d e" F='g' \\
# a comment within
    H=${V##*.}
RUN --mount=type=cache,target=/x,mode=0755,uid=7 --network=none <<EOF2 cat <<-"X" >/y
echo hello $A
EOF2
\tas it is
X
COPY --chown=1:2 --chmod=u+x --from=0 --exclude=*.md a b /c/
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 https://x.example/a.tgz /
ADD ["a b", "/c d/"]
EXPOSE 80 53/udp 7000-7010
HEALTHCHECK --interval=30s --timeout=1m30s --retries=3 CMD ["true"]
SHELL ["/bin/sh", "-ec"]
ONBUILD RUN make
STOPSIGNAL SIGTERM
VOLUME /data ["/x"]
USER 1000:100
WORKDIR /a/${A}
LABEL a="b" c=d
FROM one
ENTRYPOINT ["sh", "-c"]
CMD echo "$A"
"""
_SMALL = (b"FROM scratch\nCOPY <<E /x\na\nE\n", b'FROM a\nRUN ["a", "b"]\n', b"# escape=`\nFROM a\nRUN a `\n b\n")


@parser("dockerfile", spoiled(_LARGE, *_SMALL), examples=40)
def _dockerfile(data: bytes) -> None:
    try:
        found = Dockerfile.parse(data, "x")
    except BuildError as error:
        assert error.problems
        return
    for target in ("", "one", "1", "²", "9" * 5000):
        try:
            found.stage(target)
        except NotFound:
            pass
    again = dockerfile.dump(found)
    assert Dockerfile.parse(again, "x") == found
    assert dockerfile.dump(Dockerfile.parse(again, "x")) == again


_INSTRUCTION = st.sampled_from([line.decode() for line in _LARGE.splitlines()[4:] if line[:1].isupper()])


@parser("instruction", text(_INSTRUCTION), errors=(BuildError,), known=("EXPOSE " + "1-65535 " * 4000,))
def _instruction(data: str) -> None:
    for one in parse_instructions([data]):
        one.expanded({"A": "b", "V": "9" * 100})


_WORDS = ("a${V:-b}c", "'$V' \"${V:+x$W}\" \\$V", "${V##*/}${V%.*}${V//a/b}${V/[x]/$W}", "$V${V}$1 ${X?no} ${Y-$Z}")


@parser(
    "shell",
    st.tuples(text(*_WORDS), text("a/b.c", "x" * 50, "*?\\"), st.sampled_from("\\`")),
    known=(
        ("$V" * 60_000, "x" * 100_000, "\\"),
        ("${V%*x*y}", "x" * 100_000, "\\"),
        ("${V//x/$V}", "x" * 100_000, "\\"),
    ),
)
def _shell(case: tuple[str, str, str]) -> None:
    word, value, escape = case
    for read in (shell.expand, shell.expand_text, shell.expand_words, shell.missing):
        try:
            read(word, {"V": value, "W": "w"}, escape)
        except InvalidArgument:
            pass
    words, is_closed = shell.split(word, escape)
    assert not is_closed or shell.split(" ".join(words), escape)[0] == words


_PATTERNS = ("a/**/b*[c-e]?", "**/*.py", "!x/y", "/a/[^x]/**", "*a*a*a*b", r"a\*b", "**", "[a-z]*[!x]")
_NAMES = text("a/x/y/bcd.py", "x/y", "a" * 300, "a/[x]/z")


@parser("pattern", st.tuples(text(*_PATTERNS), _NAMES, st.booleans()), known=(("[a-z]*" * 20_000, "a" * 300, True),))
def _pattern(case: tuple[str, str, bool]) -> None:
    pattern, name, is_deep = case
    matching.matches(pattern, name, is_deep=is_deep)


_IGNORED = b"# all\n*\n!a/b/*.py\n\n/build/**\n**/*.o\n!keep\n  docs/[a-c]*  \n"


@parser("dockerignore", st.tuples(spoiled(_IGNORED), _NAMES), examples=30, seconds=20.0)
def _dockerignore(case: tuple[bytes, str]) -> None:
    data, name = case
    found = Ignore.parse(data)
    for path in (name[:80], "a/b/c.py", "build/x", "keep/y"):
        assert found.ignores(path) == bool(found.reason(path))
        found.may_show_below(path)
