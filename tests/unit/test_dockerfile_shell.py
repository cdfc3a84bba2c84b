"""Variables, quotes and escapes, against Docker's own tables where those are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.dockerfile import shell
from containerkit.errors import InvalidArgument

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "dockerfile-shell"
TABLE = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}


def reference(name: str) -> list[str]:
    if not (REFERENCE / name).exists():
        pytest.skip(f"needs Docker's table {name} at {REFERENCE}")
    return (REFERENCE / name).read_text().split("\n")


def test_words_expand_as_docker_s_table_says() -> None:
    checked = 0
    for number, line in enumerate(reference("envVarTest"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        platform, word, expected = (part.strip() for part in line.split("|"))
        if platform == "W":
            continue
        checked += 1
        try:
            found = shell.expand(word, TABLE)
        except InvalidArgument:
            found = "error"
        assert found == expected, f"line {number}: {word}"
    assert checked > 150


def test_words_are_split_as_docker_s_table_says() -> None:
    variables: dict[str, str] = {}
    for number, line in enumerate(reference("wordsTest"), 1):
        if line.startswith("ENV "):
            name, _, variables_value = line[4:].partition("=")
            variables[name] = variables_value
            continue
        if not line.strip() or line.startswith("#"):
            continue
        word, _, wanted = line.partition("|")
        wanted = wanted.removeprefix(" ")
        try:
            found = ",".join(shell.expand_words(word.strip(), variables))
        except InvalidArgument:
            found = "error"
        assert found.rstrip() == wanted.rstrip(), f"line {number}: {line}"


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("${v#f*b}", "arbaz"), ("${v##f*b}", "az"), ("${v%b*}", "foobar"), ("${v%%b*}", "foo"),
        ("${v/ba/fo}", "fooforbaz"), ("${v//ba/fo}", "fooforfoz"), ("${v//o/}", "fbarbaz"), ("${v/?/x}", "xoobarbaz"),
        ("${v//*/x}", "x"), ("${v/}/x}", "foobarbaz"), ("${v#}", "foobarbaz"), ("${v%z}", "foobarba"),
        ("${star#\\*}", "b"), ("${star/\\*/x}", "xb"), ("${star#?}", "b"), ("${path##*/}", "c.tar.gz"),
        ("${path%%.*}", "/a/b/c"), ("${path%.*}", "/a/b/c.tar"), ("${path//\\//-}", "-a-b-c.tar.gz"),
        ("${none#x}", ""), ("${none/x/y}", ""), ("${path#$dir}", "/c.tar.gz"), ("${v/bar/$dir}", "foo/a/bbaz"),
        ("${lines#a?}", "b"), ("${v/o/${none:-0}}", "f0obarbaz"),
    ],
)  # fmt: skip
def test_patterns_take_away_and_replace(word: str, meaning: str) -> None:
    variables = {"v": "foobarbaz", "star": "*b", "path": "/a/b/c.tar.gz", "dir": "/a/b", "lines": "a\nb"}
    assert shell.expand(word, variables) == meaning


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("`$a", "$a"), ("c:\\b\\$a", "c:\\b\\1"), ('"`$a`"`n"', '$a"`n'), ("${a:-`}}", "1"), ("${b:-`}}", "}")],
)
def test_the_escape_character_can_be_another(word: str, meaning: str) -> None:
    assert shell.expand(word, {"a": "1"}, "`") == meaning


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("${v/x}", "missing"), ("${v^}", "no modifier '^'"), ("${", "without a name"), ("${v", "'}' is missing"),
        ("${v:-", "'}' is missing"), ("'a", "single quote"), ('"a', "double quote"), ("${v:", "no modifier ':'"),
        ("${v:?give me v}", "variable v: give me v"), ("${v?}", "variable v: not set"), ("${a:-" * 99, "in each other"),
    ],
)  # fmt: skip
def test_a_malformed_word_is_refused(word: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        shell.expand(word, {})
    assert words in str(raised.value)


def test_variables_can_stand_in_each_other() -> None:
    assert shell.expand("${a:-" * 50 + "x" + "}" * 50, {}) == "x"
    with pytest.raises(InvalidArgument, match="more than 50"):
        shell.expand("${a:-" * 51 + "x" + "}" * 51, {})


def test_the_text_of_a_heredoc_keeps_its_quotes() -> None:
    found = shell.expand_text("'$a' \"${b:-x}\" \\$a it's\n", {"a": "1"})
    assert found == "'1' \"x\" $a it's\n"


def test_what_a_word_lacks_is_known() -> None:
    assert shell.missing("$a ${b} ${c:-1} ${d?} ${e#x} '$f' \\$g ${h+$i} $a", {"b": ""}) == ("a", "e", "i")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a=1 b='x y'  c=\"x \\\" y\"", ["a=1", "b='x y'", 'c="x \\" y"']),
        ("a\\ b c", ["a\\ b", "c"]), ("", []), ("a\\", ["a"]), ("a'b c'd e", ["a'b c'd", "e"]),
    ],
)  # fmt: skip
def test_quoted_words_are_split(text: str, words: list[str]) -> None:
    assert shell.split(text) == (words, True)
    assert shell.split(f'{text} "x')[1] is False


@given(st.text(alphabet="ab$ {}:-+?#%/*'\"\\\n", max_size=30))
def test_any_text_expands_or_is_refused(text: str) -> None:
    try:
        found = shell.expand(text, {"a": "x y", "b": ""})
    except InvalidArgument:
        return
    assert (
        "".join(shell.expand_words(text, {"a": "x y", "b": ""})) == "".join(found.split())
        or "\\" in text
        or ("'" in text or '"' in text)
    )


def test_a_long_word_takes_no_long_time() -> None:
    assert len(shell.expand("${a}" + "x\\y'z'" * 200_000, {"a": "1"})) == 1 + 3 * 200_000
    assert shell.expand("${v%%" + "*" * 50 + "y}", {"v": "x" * 10_000}) == "x" * 10_000


@pytest.mark.parametrize("modifier", ["#", "##", "%", "%%", "//"])
def test_a_pattern_with_many_wildcards_takes_no_long_time(modifier: str) -> None:
    word = "${v" + modifier + "*a" * 30 + "b" + ("/" if modifier == "//" else "") + "}"
    assert shell.expand(word, {"v": "a" * 60}) == "a" * 60


@pytest.mark.parametrize(
    ("word", "value"),
    [("${v#*a*b}", "-xc-ab"), ("${v##*a*b}", ""), ("${v%a*b}", "ab-xc-"), ("${v%%a*b}", ""), ("${v/x*c/-}", "ab---ab"),
     ("${v#*b-*c-}", "ab"), ("${v#a**b}", "-xc-ab"),
     ("${v%b-*c-}", "ab-xc-ab"), ("${v%\\*ab}", "ab-xc-ab"), ("${v%%-*}", "ab"), ("${v%?b}", "ab-xc-")],
)  # fmt: skip
def test_wildcards_take_the_first_place_that_fits(word: str, value: str) -> None:
    assert shell.expand(word, {"v": "ab-xc-ab"}) == value


@pytest.mark.parametrize("word", ["$a" * 30, "${b:-$a}" * 30, "${a//x/$a}", "${a:+$a}" * 30])
def test_variables_that_would_fill_the_memory_are_refused(word: str) -> None:
    with pytest.raises(InvalidArgument, match="its variables come to more than"):
        shell.expand(word, {"a": "x" * 1_000_000})
