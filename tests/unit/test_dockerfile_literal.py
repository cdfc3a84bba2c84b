"""Values as instructions: what they mean is what was given, here and read again from the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerkit.dockerfile import Copy, Dockerfile, Instruction, Run, dump, literal
from containerkit.errors import InvalidArgument

LETTERS = "ab $\"'\\`[]{}()<>#=-*?é☃\t,;&|!~^%:"
TEXT = st.text(LETTERS, max_size=12)
WORDS = st.lists(TEXT, min_size=1, max_size=3)
SCRIPT = st.text(LETTERS + "\n", min_size=1, max_size=30).filter(lambda text: text.strip() != "")
NAMES = st.text("ab $\"'\\.-é", min_size=1, max_size=6)
PATHS = st.text(LETTERS + "/", min_size=1, max_size=10).filter(lambda path: path.strip() != "")
VARIABLES = {"a": "WRONG", "b": "WRONG", "ab": "WRONG"}


def meant(one: Instruction) -> Instruction:
    """What the text of an instruction means, read again."""
    (read,) = Dockerfile.parse("FROM scratch\n" + dump([one])).stages[0].instructions
    assert read == one
    return read.expanded(VARIABLES)


@given(st.dictionaries(NAMES, TEXT, min_size=1, max_size=3))
def test_variables_and_labels(values: dict[str, str]) -> None:
    assert dict(meant(literal.env(values)).pairs) == values  # type: ignore[attr-defined]
    assert dict(meant(literal.label(values)).pairs) == values  # type: ignore[attr-defined]


@given(SCRIPT)
def test_command_lines(script: str) -> None:
    one = meant(literal.run(script))
    assert isinstance(one, Run)
    # A heredoc ends with a line break, as lines do.
    assert one.script in (script, f"{script}\n")


@given(WORDS)
def test_commands(words: list[str]) -> None:
    for one in (literal.run(words), literal.cmd(words), literal.entrypoint(words), literal.shell(words)):
        assert meant(one).command == tuple(words)  # type: ignore[attr-defined]


@given(st.lists(PATHS, min_size=1, max_size=3), PATHS, TEXT)
def test_places(sources: list[str], destination: str, owner: str) -> None:
    destination += "/"
    one = meant(literal.copy(sources, destination, chown=owner, exclude=sources))
    assert isinstance(one, Copy)
    assert (one.sources, one.destination) == (tuple(sources), destination)
    assert (one.chown, one.exclude) == (owner, tuple(sources))
    added = meant(literal.add(sources, destination))
    assert (added.sources, added.destination) == (tuple(sources), destination)  # type: ignore[attr-defined]


@given(PATHS)
def test_paths_and_users(path: str) -> None:
    assert meant(literal.workdir(path)).path == path  # type: ignore[attr-defined]
    assert meant(literal.user(path)).user == path  # type: ignore[attr-defined]
    assert meant(literal.volume([path, "/x"])).paths == (path, "/x")  # type: ignore[attr-defined]


@given(
    st.dictionaries(
        st.text("abEOF.-_", min_size=1, max_size=4), st.lists(TEXT).map(lambda lines: "\n".join([*lines, ""])),
        min_size=1, max_size=2,
    )
)  # fmt: skip
def test_contents(contents: dict[str, str]) -> None:
    one = literal.copy_contents({name: text.encode() for name, text in contents.items()}, "/d/")
    if one is not None:
        read = meant(one)
        assert isinstance(read, Copy)
        assert {here.name: here.data for here in read.heredocs} == contents


@given(TEXT)
def test_fields_of_mounts(value: str) -> None:
    fields = literal.mount_fields({"type": "cache", "target": "/c", "id": f"i{value}"})
    one = meant(literal.run("x", [fields]))
    assert isinstance(one, Run) and one.mounts[0].id == f"i{value}"


def test_what_a_dockerfile_cannot_say_is_refused() -> None:
    for wrong in ("a\nb", "a\rb", "a\0b", "\udc80"):
        for make in (literal.user, literal.workdir, literal.cmd, literal.entrypoint):
            with pytest.raises(InvalidArgument):
                make(wrong)
        with pytest.raises(InvalidArgument):
            literal.env({"A": wrong})
