"""Instructions written down and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Run,
    Shell,
    Volume,
    apply,
    dump,
    from_config,
)
from containerkit.errors import InvalidArgument
from containerkit.oci.image_config import ContainerConfig, HealthConfig

FILE = """# syntax=docker/dockerfile:1
# check=skip=all;error=true
ARG V=1 W
FROM --platform=$BUILDPLATFORM a:$V AS b
ENV A=1 B="x y" C='$A' old=d\\ e
RUN --mount=type=cache,target=/c,id=$A --network=none make  it
RUN <<EOF
#!/bin/sh
x \\
EOF
RUN cat <<A <<-"B" > /x
a
A
\tb
B
FROM scratch
COPY --from=b --chown=1:1 --link a <<E /x/
hi "$A"
E
ADD --unpack=false ["a b", "/c"]
ONBUILD COPY <<-E /x
\ta
E
CMD -- --x
"""


def test_a_file_is_written_as_it_was() -> None:
    assert dump(Dockerfile.parse(FILE)) == FILE


def test_stages_and_instructions_are_written() -> None:
    file = Dockerfile.parse("# escape=`\nFROM a\nENV a=b` c\nFROM d\nWORKDIR c:\\x")
    assert dump(file.stages) == dump(file) == "# escape=`\nFROM a\nENV a=b` c\nFROM d\nWORKDIR c:\\x\n"
    assert dump(file.stages[1:]) == "# escape=`\nFROM d\nWORKDIR c:\\x\n"
    assert dump([]) == ""


def test_a_source_is_one_line_as_history_has_it() -> None:
    found = Dockerfile.parse("FROM x\ncopy   --chown=1:1 a \\\n  b <<E /x/\n1\nE\nrun a \\\n b\nCMD [ 'a' ]\nENV A  b")
    assert [one.source for one in found.stages[0].instructions] == [
        "COPY --chown=1:1 a b <<E /x/", "RUN a  b", "CMD [ 'a' ]", "ENV A=b",
    ]  # fmt: skip


NAMES = st.text("ab_1", min_size=1, max_size=4).map(lambda text: f"N{text}")
PLAIN = st.text("ab1/.-_:é<>=,[]", min_size=1, max_size=8).filter(lambda text: "<<" not in text)
ANY = st.text("ab $\"'\\`[]{},#=-<é\t", max_size=10)
QUOTED = ANY.map(lambda text: "'" + text.replace("'", "") + "'")
COMMANDS = st.one_of(
    st.lists(ANY, min_size=1, max_size=3).map(tuple),
    st.text("ab $\"'`[]{},#=-<é", min_size=1).map(lambda text: text.strip(" ")).filter(
        lambda text: text and not text.startswith("[") and "<<" not in text
    ),
)  # fmt: skip
PATHS = st.lists(
    st.one_of(PLAIN, st.text("ab \\[-", min_size=1).map(lambda text: f"-{text}")),
    min_size=1,
    max_size=3,
).map(tuple)
HEREDOCS = st.lists(
    st.builds(
        Heredoc,
        st.sampled_from(["E", "F"]),
        st.lists(st.text("ab $'\t\\"), max_size=3).map(lambda lines: "".join(f"{line}x\n" for line in lines)),
        st.booleans(),
        st.booleans(),
    ),
    max_size=2,
).map(tuple)
PAIRS = st.lists(st.tuples(NAMES, st.one_of(QUOTED, PLAIN)), min_size=1, max_size=3).map(tuple)
FILES: dict[str, st.SearchStrategy[object]] = {
    "heredocs": HEREDOCS, "chown": st.sampled_from(["", "1:1", "a b"]), "link": st.booleans(),
    "exclude": st.lists(st.text("ab #=,-<é\t", max_size=10), max_size=2).map(tuple),
}  # fmt: skip
INSTRUCTIONS: st.SearchStrategy[Instruction] = st.one_of(
    st.builds(Cmd, COMMANDS),
    st.builds(Entrypoint, COMMANDS),
    st.builds(Run, COMMANDS),
    st.builds(Env, PAIRS),
    st.builds(Label, PAIRS),
    st.builds(Arg, PAIRS),
    st.builds(Volume, PATHS.filter(lambda paths: all(path.strip() for path in paths))),
    st.builds(Shell, st.just(("a", " b"))),
    st.builds(Healthcheck, COMMANDS, st.sampled_from([0, 10**6, 10**9, 10**6 + 1]), retries=st.integers(0, 9)),
    st.builds(
        Copy, st.lists(PLAIN, min_size=1).map(tuple), st.just("/d/"), from_=st.sampled_from(["", "x:1"]), **FILES
    ),
    st.builds(Add, PATHS, st.just("/d/"), unpack=st.sampled_from([None, True, False])),
)


@given(st.lists(INSTRUCTIONS, max_size=5))
def test_what_is_written_is_read_again(instructions: list[Instruction]) -> None:
    written = "FROM scratch\n" + dump(instructions)
    assert Dockerfile.parse(written).stages[0].instructions == tuple(instructions)
    assert dump(Dockerfile.parse(written)) == written


VALUES = st.text("ab $\"'\\`{}[]#=é\t", max_size=8)
CONFIGS = st.builds(
    ContainerConfig,
    user=VALUES.filter(lambda text: text == text.strip()),
    working_dir=st.sampled_from(["", "/", "/a b", "/$x\"'\\y"]),
    env=st.one_of(
        st.none(), st.dictionaries(NAMES, VALUES, min_size=1).map(lambda d: tuple(f"{k}={v}" for k, v in d.items()))
    ),
    labels=st.one_of(st.none(), st.dictionaries(st.text("ab $\"'\\.", min_size=1), VALUES, min_size=1)),
    entrypoint=st.one_of(
        st.none(), st.lists(VALUES, min_size=1).map(tuple), VALUES.map(lambda text: ("/bin/sh", "-c", text))
    ),
    cmd=st.one_of(st.none(), st.lists(VALUES).map(tuple), VALUES.map(lambda text: ("/bin/sh", "-c", text))),
    shell=st.sampled_from([None, ("/bin/bash", "-c")]),
    volumes=st.one_of(st.none(), st.just({"/a b": {}, "/c": {}})),
    exposed_ports=st.one_of(st.none(), st.just({"80/tcp": {}, "53/udp": {}})),
    stop_signal=st.sampled_from(["", "SIGINT"]),
    healthcheck=st.one_of(
        st.none(),
        st.builds(HealthConfig, st.sampled_from([("NONE",)])),
        st.builds(HealthConfig, st.sampled_from([("CMD", "a b"), ("CMD-SHELL", "a  b")]), st.just(10**9)),
    ),
    on_build=st.sampled_from([None, ("RUN <<E\na\nE", "COPY a b")]),
)


@given(CONFIGS)
def test_a_config_is_said_in_instructions(config: ContainerConfig) -> None:
    text = dump(from_config(config, "scratch"))
    made = ContainerConfig()
    for one in Dockerfile.parse(text).stages[0].instructions:
        made = apply(made, one.expanded({}))
    assert made == config


@pytest.mark.parametrize("config", [ContainerConfig(env=("A=a\nb",)), ContainerConfig(labels={"a=b": "c"})])
def test_what_an_instruction_cannot_say_is_refused(config: ContainerConfig) -> None:
    with pytest.raises(InvalidArgument, match="an instruction cannot say"):
        from_config(config)
