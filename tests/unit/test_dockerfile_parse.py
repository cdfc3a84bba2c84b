"""What a file says: lines, directives, heredocs, forms, flags, and what is wrong with it."""

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
    OnBuild,
    Run,
    RunMount,
    Shell,
    User,
    Volume,
    dump,
    parse_instructions,
    stages,
)
from containerkit.errors import BuildError, InvalidArgument, NotFound


def inside(text: str, escape: str = "\\") -> tuple[Instruction, ...]:
    """The instructions of a stage."""
    head = "" if escape == "\\" else f"# escape={escape}\n"
    return Dockerfile.parse(f"{head}FROM scratch\n{text}").stages[0].instructions


def one(text: str, escape: str = "\\") -> Instruction:
    (found,) = inside(text, escape)
    return found


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(BuildError) as raised:
        Dockerfile.parse(text)
    return [f"{problem.location.first} {problem.message}" for problem in raised.value.problems]


# -- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("RUN a \\\n  b", "a   b"), ("RUN a\\\nb", "ab"), ("RUN a \\  \t\n b", "a  b"), ("RUN a \\\n# no\n b", "a  b"),
        ("RUN a \\\n   # no \\\n b", "a  b"), ("RUN a \\\n\n b", "a  b"), ("RUN a \\\\", "a \\\\"),
        ("RUN a # not a comment", "a # not a comment"), ("RUN a \\", "a"), ("RUN \\\n a", "a"),
        ("\\\nRUN a", "a"), ("  run\ta", "a"), ("\tRUN\ta  b", "a  b"), ("RUN a\r\n", "a"),
        ("RUN a \\\r\n b\r\n", "a  b"),
        ("RUN a \\\n\\\nb", "a b"), ("RUN a\\b\\", "a\\b"),
    ],
)  # fmt: skip
def test_lines_are_joined(text: str, command: str) -> None:
    assert one(text) == Run(command)


def test_instructions_know_their_lines() -> None:
    found = inside("\n# x\nRUN a \\\n\n  b\nCOPY <<E <<F /d/\n1\nE\n2\nF\nUSER x")
    assert [(i.location.name, i.location.first, i.location.last) for i in found] == [
        ("Dockerfile", 4, 6), ("Dockerfile", 7, 11), ("Dockerfile", 12, 12),
    ]  # fmt: skip


def test_bytes_and_their_marks_are_read() -> None:
    assert Dockerfile.parse("\ufeffFROM é\r\n".encode()).stages[0].base.image == "é"
    assert Dockerfile.parse(b"\xef\xbb\xbf# escape=`\nFROM a\nRUN a `\n b").stages[0].instructions == (Run("a  b"),)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"FROM a\nRUN \xff\n", "2 byte 0xff is not UTF-8"), ("FROM a\nRUN \0", "2 holds a NUL"),
        ("\0", "1 holds a NUL"),
        ("", "no FROM"), ("\n# nothing\n", "no FROM"), ("ARG A", "no FROM"), (b"\xef\xbb\xbf", "no FROM"),
    ],
)  # fmt: skip
def test_what_is_no_dockerfile_is_refused(data: str | bytes, words: str) -> None:
    (found,) = problems(data)
    assert words in found


def test_a_line_of_a_megabyte_is_read() -> None:
    assert one("RUN " + "x y " * 250_000) == Run(("x y " * 250_000).strip())
    env = one("ENV " + " ".join(f"A{n}='{n}'" for n in range(80_000)))
    assert isinstance(env, Env) and len(env.expanded({}).pairs) == 80_000
    assert one("RUN a" + " \\\n b" * 100_000) == Run("a" + "  b" * 100_000)


# -- directives ------------------------------------------------------------------------------------------------------


def test_directives_stand_at_the_top() -> None:
    found = Dockerfile.parse(
        "#Syntax = docker/dockerfile:1 \n#\tescape=`\n# check=skip=A,b;error=true\nFROM a"
    ).directives
    assert (found.syntax, found.escape, found.skip, found.error) == (
        "docker/dockerfile:1", "`", frozenset({"a", "b"}), True,
    )  # fmt: skip
    for front in ("# hello\n", "\n", "# unknown=1\n", "FROM a\n"):
        assert Dockerfile.parse(f"{front}# escape=`\nFROM a").directives.escape == "\\"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# escape=x\n", "1 directive escape: 'x' is neither \\ nor `"),
        ("# escape=`\n# Escape=`\n", "2 directive escape: only one is possible"),
        ("# syntax=a\n# syntax=b\n", "2 directive syntax: only one is possible"),
        ("# check=wrong\n", "1 directive check: 'wrong' is neither skip=RULE,RULE nor error=true"),
        ("# check=error=perhaps\n", "1 directive check: 'error=perhaps' is neither"),
    ],
)
def test_wrong_directives_are_refused(text: str, found: str) -> None:
    (problem,) = problems(f"{text}FROM a")
    assert problem.startswith(found)


def test_checks_are_left_out_or_made_errors() -> None:
    text = "FROM a\nMAINTAINER x\nWORKDIR b"
    assert [w.rule for w in Dockerfile.parse(text).warnings] == ["MaintainerDeprecated", "WorkdirRelativePath"]
    only = Dockerfile.parse(f"# check=skip=maintainerdeprecated\n{text}").warnings
    assert [w.rule for w in only] == ["WorkdirRelativePath"]
    assert Dockerfile.parse(f"# check=skip=all;error=true\n{text}").warnings == ()
    assert problems(f"# check=error=true;skip=WorkdirRelativePath\n{text}") == [
        "3 MaintainerDeprecated: MAINTAINER is deprecated"
    ]


# -- heredocs --------------------------------------------------------------------------------------------------------


def test_a_heredoc_that_is_all_is_a_script() -> None:
    script = one("RUN <<EOF\necho \\\n# kept\n\nEOF\n")
    assert isinstance(script, Run) and script.script == "echo \\\n# kept\n\n" and not script.is_program
    program = one("RUN --network=none <<-'EOF'\n\t#!/usr/bin/env python3\n\tif 1:\n\t\tprint()\n\tEOF")
    assert isinstance(program, Run) and program.is_program and program.network == "none"
    assert program.script == "#!/usr/bin/env python3\nif 1:\nprint()\n"


def test_a_heredoc_in_a_command_is_the_shell_s() -> None:
    found = one('RUN cat <<-A 3<<"B" > /x && cat <&3\n\ta\n\tA\n$b\nB\n')
    assert isinstance(found, Run)
    assert found.heredocs == (Heredoc("A", "\ta\n", True, True), Heredoc("B", "$b\n", False, False))
    assert found.script == 'cat <<-A 3<<"B" > /x && cat <&3\n\ta\nA\n$b\nB' and not found.is_program


@pytest.mark.parametrize("text", ["RUN cat<<EOF", "RUN echo '<<EOF'", "RUN cat <<<EOF", "RUN cat << EOF", "RUN a <<",
                                  "\tRUN\ta <<", "RUN it's <<EOF", "ENV A=<<EOF", "CMD <<EOF"])  # fmt: skip
def test_what_only_looks_like_a_heredoc_is_none(text: str) -> None:
    assert len(inside(f"{text}\nUSER x")) == 2


def test_heredocs_are_files_to_copy() -> None:
    found = one("COPY --chmod=600 a <<one <<\"two\" /d/\n$A '$B' \\$C\none\n$A\ntwo")
    assert isinstance(found, Copy) and (found.sources, found.destination) == (("a",), "/d/")
    assert [h.data for h in found.expanded({"A": "1", "B": "2"}).heredocs] == ["1 '2' $C\n", "$A\n"]
    assert one("COPY\t<<x\t/y\na\nx") == Copy((), "/y", (Heredoc("x", "a\n"),))
    add = one("ADD <<-x /y\n\t$A\n\tx")
    assert isinstance(add, Add) and add.expanded({"A": "1"}).heredocs[0].data == "1\n"
    crlf = one("COPY <<x /y\r\na\r\nx\r\n")
    assert isinstance(crlf, Copy) and crlf.heredocs[0].content == "a\r\n"


def test_a_heredoc_that_does_not_end_is_refused_once() -> None:
    assert problems("FROM a\nRUN <<A cat <<B\nx\nA\ny\nFROM b") == [
        "2 RUN: heredoc B: the file ends before a line that is B"
    ]
    assert "destination" in problems("FROM a\nCOPY a <<B\nx\nB")[0]


def test_a_heredoc_can_wait_for_another_build() -> None:
    found = one("ONBUILD RUN <<EOF\nx\nEOF\n")
    assert isinstance(found, OnBuild) and found.trigger == "RUN <<EOF\nx\nEOF"
    assert parse_instructions([found.trigger]) == (found.instruction,) == (Run("<<EOF", (Heredoc("EOF", "x\n"),)),)


# -- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('CMD ["a", "b c"]', ("a", "b c")), ('CMD  [ "a" ]  ', ("a",)), ('CMD ["a\\n\\u00e9\\"\\\\"]', ('a\né"\\',)),
        ("CMD []", ()), ('CMD ["a"] and more', ("a",)), ("CMD ['a']", "['a']"), ('CMD ["a",]', '["a",]'),
        ('CMD ["a"', '["a"'), ('CMD ["c:\\windows"]', '["c:\\windows"]'), ("CMD [ -f x ] && y", "[ -f x ] && y"),
        ('CMD "a" b', '"a" b'), ('CMD ["\\ud800"]', ("\ufffd",)), ('CMD ["a" \\\n , "b"]', ("a", "b")),
        ("CMD $a '$b'  c", "$a '$b'  c"), ("CMD -- --x", "--x"),
    ],
)  # fmt: skip
def test_commands_have_two_forms(text: str, command: str | tuple[str, ...]) -> None:
    assert one(text) == Cmd(command)
    assert one(text.replace("CMD", "ENTRYPOINT", 1)) == Entrypoint(command)


@pytest.mark.parametrize("text", ['CMD ["a", 1]', "RUN [[]]", 'COPY ["a", null, "b"]', 'VOLUME [{"a": 1}]'])
def test_a_list_of_other_things_is_refused(text: str) -> None:
    assert "can hold strings only" in problems(f"FROM a\n{text}")[0]


def test_lists_of_paths_have_two_forms() -> None:
    assert one('COPY ["a b", "$x", "/c/"]') == Copy(("a b", "$x"), "/c/")
    assert one("VOLUME /a  /b") == one('VOLUME ["/a", "/b"]') == Volume(("/a", "/b"))
    assert one('SHELL ["/bin/bash", "-c"]') == Shell(("/bin/bash", "-c"))
    assert problems("FROM a\nSHELL /bin/sh -c")[0].startswith("2 SHELL: expected a list in JSON")


# -- single instructions ---------------------------------------------------------------------------------------------


def test_names_and_values_are_read() -> None:
    assert one("ENV a=1 b='x y' c=\"z\"\\ w").expanded({}) == Env((("a", "1"), ("b", "x y"), ("c", "z w")))
    assert one("ENV a b  'c  d' $e\\ f=g").expanded({"e": "1"}) == Env((("a", "b  c  d 1 f=g"),))
    assert one('LABEL "a b"=c \'d\'="e\\\nf" $g=h').expanded({"g": "i"}) == Label(
        (("a b", "c"), ("d", "ef"), ("i", "h"))
    )
    assert one('ARG a b=1 c="$d e"').expanded({"d": "2"}) == Arg((("a", None), ("b", "1"), ("c", "2 e")))
    assert one("ENV a `b", "`").expanded({}) == Env((("a", "b"),))
    assert one("ENV a=c:\\b`\n c=d", "`") == Env((("a", "c:\\b"), ("c", "d")))


def test_env_sees_what_was_before_it() -> None:
    assert one("ENV abc=bye def=$abc").expanded({"abc": "hello"}) == Env((("abc", "bye"), ("def", "hello")))


def test_health_checks_are_read() -> None:
    found = one("HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=5ms --retries=4 cmd a b")
    assert found == Healthcheck("a b", 90 * 10**9, 1500 * 10**6, 0, 5 * 10**6, 4)
    assert one('HEALTHCHECK CMD ["a"]') == Healthcheck(("a",))
    assert one("HEALTHCHECK none") == Healthcheck(None)


def test_flags_of_files_are_read() -> None:
    copy = one("COPY --from=Base --chown=$u:g --chmod=755 --link --parents=true --exclude=*.md --exclude='a b' a /b")
    assert copy == Copy(("a",), "/b", (), "$u:g", "755", True, ("*.md", "a b"), "base", True)
    assert copy.expanded({"u": "7"}).source == (
        "COPY --from=base --chown=7:g --chmod=755 --link --exclude=*.md --exclude=a\\ b --parents a /b"
    )
    add = one("ADD --checksum=sha256:$s --keep-git-dir=true --unpack=false --link=false https://x/y /z")
    assert add == Add(("https://x/y",), "/z", checksum="sha256:$s", keep_git_dir=True, unpack=False)
    assert one("COPY -- --a /b") == Copy(("--a",), "/b")


def test_mounts_are_read() -> None:
    found = one(
        "RUN --mount=target=/a,rw --mount=type=cache,dst=/c,id=$i,sharing=locked,uid=$u,gid=2,mode=0755,source=s,ro "
        "--mount=type=tmpfs,destination=/t,size=64m --mount=type=secret,id=k,env=K,required,mode=0400 "
        "--mount=type=secret,target=/root/.aws --mount=type=ssh "
        "--device=a/b=all --security=insecure make"
    )
    assert isinstance(found, Run) and (found.security, found.devices) == ("insecure", ("a/b=all",))
    assert found.expanded({"i": "I", "u": "1"}).mounts == (
        RunMount("bind", "/a"),
        RunMount("cache", "/c", "s", "", True, "locked", "I", 1, 2, 0o755),
        RunMount("tmpfs", "/t", size=64 << 20),
        RunMount("secret", id="k", env="K", required=True, mode=0o400),
        RunMount("secret", "/root/.aws", id=".aws"),
        RunMount("ssh", id="default"),
    )


def test_a_mount_can_have_commas_and_sources() -> None:
    found = one("RUN --mount='type=bind,\"source=a,b\",target=/y,from=Base' x")
    assert isinstance(found, Run) and found.sources == ("Base",)
    assert found.mounts == (RunMount("bind", "/y", "a,b", "Base", True),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MAINTANIER x", "unknown instruction MAINTANIER (did you mean MAINTAINER?)"),
        ("copi a b", "unknown instruction copi (did you mean COPY?)"),
        ("é", "unknown instruction é"),
        ("RUN", "RUN: needs an argument"),
        ("RUN []", "RUN: needs an argument"),
        ("CMD  ", "CMD: needs an argument"),
        ("COPY --form=a b c", "COPY: unknown flag --form (did you mean --from?)"),
        ("COPY --zzz b c", "COPY: unknown flag --zzz (there are --from, "),
        ("CMD --x", "CMD: unknown flag --x (CMD has none; "),
        ("COPY --from a b", "COPY: --from needs a value"),
        ("COPY --chown=a --chown=b c d", "COPY: --chown is there twice"),
        ("COPY --link=x a b", "neither true nor false"),
        ("COPY --from=$x a b", "COPY: --from cannot have variables"),
        ("COPY --from= a b", "COPY: --from needs a stage"),
        ("COPY a", "COPY: needs a source and a destination"),
        ('ADD ["a"]', "ADD: needs a source"),
        ("COPY a b c", "COPY: several sources need a directory"),
        ("ADD a b $c", ""),
        ("COPY a b .", ""),
        ("COPY <<a <<b c\na\nb", "COPY: several sources"),
        ("COPY 'a b", "COPY: a single quote"),
        ("FROM", "FROM: needs an argument"),
        ("FROM a b", "FROM: expected IMAGE or IMAGE AS NAME"),
        ("FROM a in b", "FROM: expected IMAGE"),
        ("FROM a AS 1b", "FROM: stage name '1b'"),
        ("FROM --platfrom=x a", "did you mean --platform?"),
        ("FROM ''", "FROM: the image's name is empty"),
        ("ENV a", "ENV: expected NAME=value"),
        ("ENV =a", "ENV: the name is missing"),
        ("ENV ''=a", "ENV: the name of value 'a' is empty"),
        ("ENV a=1 b", "found 'b'"),
        ("LABEL a='b", "LABEL: a single quote (') does not end"),
        ("ENV a=${b!}", "ENV: ${b!…}: there is no modifier"),
        ("ARG =1", "ARG: the name is missing"),
        ("EXPOSE http", "EXPOSE: 'http' is not a port"),
        ("EXPOSE 0", "not a port"),
        ("EXPOSE 9-8", "not a port"),
        ("EXPOSE 65536", "not a port"),
        ("EXPOSE 1/icmp", "not a"),
        ("EXPOSE" + " 1-65535" * 10, "EXPOSE: more than 196605 ports"),
        ("STOPSIGNAL SIGNONE", "STOPSIGNAL: signal SIGNONE: unknown"),
        ("STOPSIGNAL 0", "unknown"),
        ("STOPSIGNAL 999", "unknown"),
        ("STOPSIGNAL $x", ""),
        ("STOPSIGNAL rtmin+3", ""),
        ("STOPSIGNAL 9", ""),
        ("SHELL []", "SHELL: expected a list"),
        ("VOLUME ['']", ""),
        ('VOLUME [""]', "VOLUME: a path is empty"),
        ("ONBUILD ONBUILD RUN a", "ONBUILD: ONBUILD cannot be done later"),
        ("ONBUILD from a", "ONBUILD: FROM cannot"),
        ("ONBUILD MAINTAINER a", "ONBUILD: MAINTAINER cannot"),
        ("ONBUILD RNU a", "ONBUILD: unknown instruction RNU"),
        ("HEALTHCHECK a", "HEALTHCHECK: expected CMD or NONE"),
        ("HEALTHCHECK CMD", "HEALTHCHECK: CMD needs a command"),
        ("HEALTHCHECK NONE a", "NONE takes no arguments"),
        ("HEALTHCHECK --interval=30 CMD a", "expected at least 1ms"),
        ("HEALTHCHECK --timeout=x CMD a", "HEALTHCHECK: --timeout 'x': not a duration"),
        ("HEALTHCHECK --interval=1us CMD a", "at least 1ms"),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries=-1: expected"),
        ("HEALTHCHECK --interval=² CMD a", "not a duration"),
        ("HEALTHCHECK --interval=0 CMD a", ""),
        (f"HEALTHCHECK --interval={'9' * 400}h CMD a", "not a duration"),
        ("RUN --network=nane a", "did you mean none?"),
        ("RUN --security=x a", "expected one of sandbox, insecure"),
        ("RUN --mount=type=bnid,target=/a b", "did you mean 'bind'?".replace("'", "")),
        ("RUN --mount=type=bind a", "type bind needs a target"),
        ("RUN --mount=type=tmpfs,target=/a,size=x b", "not a size"),
        ("RUN --mount=type=tmpfs,target=/a,from=b c", "type tmpfs has no 'from'"),
        ("RUN --mount=target a", "needs a value"),
        ("RUN --mount=type=cache,target=/a,shraing=locked b", "did you mean sharing?"),
        ("RUN --mount=type=cache,target=/a,sharing=x b", "sharing 'x' is none of"),
        ("RUN --mount=type=secret a", "type secret needs an id"),
        ("RUN --mount=type=ssh,mode=9 a", "not an octal number"),
        ("RUN --mount=type=ssh,uid=x a", "uid 'x' is not a number"),
        ("RUN --mount=from=$a,target=/b c", "cannot have variables"),
        ("RUN --mount=target=/a,ro=maybe b", "neither true nor false"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, found: str) -> None:
    if not found:
        inside(text)
        return
    (problem,) = problems(f"FROM scratch\n{text}")
    assert found in problem and problem.startswith("2 ")


def test_what_only_variables_can_make_wrong_is_found_then() -> None:
    for text, words in (
        ("COPY a b $c", "COPY: several sources"),
        ("STOPSIGNAL $c", "STOPSIGNAL: signal c: unknown"),
        ("EXPOSE $c", "EXPOSE: 'c' is not a port"),
        ("VOLUME $none", "VOLUME: a path is empty"),
        ("USER ${none:?who}", "USER: variable none: who"),
        ("RUN --mount=target=/a,uid=$c,type=cache b", "RUN: --mount: uid"),
    ):
        with pytest.raises(InvalidArgument) as raised:
            one(text).expanded({"c": "c"})
        assert str(raised.value).startswith(words)
    assert one("EXPOSE $p 80 ${q}/udp").expanded({"p": "1 2-3", "q": "53"}).source == (
        "EXPOSE 1/tcp 2/tcp 3/tcp 80/tcp 53/udp"
    )


def test_the_shell_expands_commands_and_not_the_builder() -> None:
    for text in (
        "RUN echo $a '${b",
        'CMD ["$a"]',
        "ENTRYPOINT $a",
        "ONBUILD ENV a=$a",
        "MAINTAINER $a",
        'SHELL ["$a"]',
    ):
        assert one(text).expanded({"a": "1"}) == one(text)


# -- whole files -----------------------------------------------------------------------------------------------------


def test_every_problem_is_told_with_its_lines() -> None:
    with pytest.raises(BuildError) as raised:
        Dockerfile.parse("FROM a\n\nRNU x \\\n  y\nUSER\nRUN z", "app/Dockerfile")
    assert str(raised.value) == (
        "app/Dockerfile:3: unknown instruction RNU (did you mean RUN?)\n"
        "       1 | FROM a\n       2 |\n>>>    3 | RNU x \\\n>>>    4 |   y\n       5 | USER\n       6 | RUN z\n\n"
        "app/Dockerfile:5: USER: needs an argument\n"
        "       3 | RNU x \\\n       4 |   y\n>>>    5 | USER\n       6 | RUN z"
    )


def test_an_excerpt_cannot_steer_a_terminal() -> None:
    with pytest.raises(BuildError) as raised:
        Dockerfile.parse("FROM a\n\x1b[2JX y\nB " + "x" * 1000)
    assert "\x1b" not in str(raised.value) and all(len(line) < 200 for line in str(raised.value).split("\n"))


def test_stages_are_gathered() -> None:
    found = Dockerfile.parse(
        "ARG V=1\nARG W\nFROM --platform=$BUILDPLATFORM a:$V AS One\nRUN x\nFROM one\nCOPY --from=0 a b\n"
        "FROM scratch AS last\nCOPY --from=ONE a b\nRUN --mount=from=one,target=/x y\nCOPY --from=alpine:3 a b"
    )
    assert found.global_args == (Arg((("V", "1"),)), Arg((("W", None),)))
    assert [(s.index, s.name, s.base.image) for s in found.stages] == [
        (0, "one", "a:$V"),
        (1, "", "one"),
        (2, "last", "scratch"),
    ]
    assert stages.base_of(found.stages[1], found.stages) is found.stages[0]
    assert [origin for origin, _ in found.stages[2].sources] == ["one", "one", "alpine:3"]
    assert found.stage() is found.stages[2] and found.stage("ONE") is found.stages[0] and found.stage("1").index == 1
    with pytest.raises(NotFound, match=r"^Dockerfile: stage lats: not there \(did you mean last\?\)$"):
        found.stage("lats")


def test_a_name_means_the_last_stage_before_that_has_it() -> None:
    found = Dockerfile.parse("FROM x AS a\nFROM y AS a\nFROM a\nCOPY --from=a b c\nFROM z AS a").stages
    assert stages.base_of(found[2], found) is found[1] is stages.source_of("a", found[2], found)
    assert stages.base_of(found[0], found) is None


def test_only_what_a_target_needs_is_built() -> None:
    found = Dockerfile.parse(
        "FROM x AS a\nFROM x AS b\nFROM a AS c\nCOPY --from=e f g\nFROM scratch AS d\nCOPY --from=c x y\nFROM b AS e"
    )
    bases = [stages.base_of(stage, found.stages) for stage in found.stages]
    needed = stages.needed([found.stage("d")], found.stages, bases)
    assert [stage.name for stage in needed] == ["a", "b", "e", "c", "d"]
    assert [stage.name for stage in stages.needed([found.stage("e")], found.stages, bases)] == ["b", "e"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("RUN a\nFROM b", "1 RUN: only ARG can stand before the first FROM"),
        ("RUN a", "1 RUN: only ARG can stand before the first FROM"),
        ("FROM a\nCOPY --from=1 a b", "2 COPY: stage 1: not there (there are 1, counted from 0)"),
        ("FROM a AS b\nCOPY --from=b a b", "2 COPY: stage b: takes files from itself"),
        ("FROM a AS b\nCOPY --from=000000000 a b", "2 COPY: stage b: takes files from itself"),
        ("FROM a\nRUN --mount=from=0,target=/a b", "2 RUN: stage 0: takes files from itself"),
        ("FROM a AS b\nCOPY --from=c a b\nFROM b AS c", "1 stage b: needs c, which needs b"),
        ("FROM a\n" * 1001, "1001 more than 1000 stages"),
    ],
)
def test_stages_that_cannot_be_are_refused(text: str, found: str) -> None:
    assert problems(text) == [found]


def test_instructions_without_a_file_are_read() -> None:
    assert parse_instructions(["user x", "RUN <<E\na\nE"]) == (User("x"), Run("<<E", (Heredoc("E", "a\n"),)))
    with pytest.raises(BuildError, match=r"^trigger:2: expected one instruction, found 2\n") as raised:
        parse_instructions(["USER x", "USER y\nUSER z", "", "X"], "trigger")
    assert [problem.location.first for problem in raised.value.problems] == [2, 3, 4]


WORDS = st.sampled_from(
    [
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "ARG",
        "CMD",
        "LABEL",
        "EXPOSE",
        "HEALTHCHECK",
        "ONBUILD",
        "VOLUME",
        "ADD",
        "SHELL",
        "\n",
        "\n",
        "\n",
        " ",
        " ",
        "\\\n",
        "<<E",
        "\nE\n",
        "--from=a",
        "--mount=type=cache,target=/x",
        "--",
        "a=b",
        '["a"',
        '"]',
        '"',
        "'",
        "$",
        "${a",
        "}",
        "\\",
        "#",
        "\xa0",
        "\x0b",
        "scratch",
        "AS",
        "x",
        "80",
        "[",
        "]",
        ",",
        "\r\n",
    ]
)


@given(st.lists(WORDS, max_size=30).map("".join))
def test_any_text_is_a_file_or_refused(text: str) -> None:
    try:
        found = Dockerfile.parse("FROM scratch\n" + text)
    except BuildError as error:
        assert error.problems
        return
    assert Dockerfile.parse(dump(found)) == found


@pytest.mark.parametrize("digits", ["²", "٣", "9" * 5000])
def test_what_only_looks_like_a_number_counts_no_stage(digits: str) -> None:
    found = Dockerfile.parse(f"FROM scratch\nCOPY --from={digits} a b")
    assert [origin for origin, _ in found.stages[0].sources] == [digits]  # an image's name, or none
    with pytest.raises(NotFound, match="not there"):
        found.stage(digits)


def test_thousands_of_problems_are_counted_and_not_all_said() -> None:
    with pytest.raises(BuildError) as raised:
        Dockerfile.parse("FROM a\n" + "NO\n" * 1000)
    assert len(raised.value.problems) == 1000 and raised.value.message.endswith("\n\nand 950 more")
