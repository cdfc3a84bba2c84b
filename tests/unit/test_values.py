"""Values behave as the frozen dataclasses that they are."""

from __future__ import annotations

import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from containerkit.values import frozen


@dataclass(frozen=True)
class Usual:
    name: str
    count: int = 2
    parts: list[str] = field(default_factory=list, repr=False)
    note: str = field(default="", compare=False, kw_only=True)


@frozen
class Cheap:
    name: str
    count: int = 2
    parts: list[str] = field(default_factory=list, repr=False)
    note: str = field(default="", compare=False, kw_only=True)


@frozen
class Named:
    """With what it says itself."""

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("no name")

    def __repr__(self) -> str:
        return f"<{self.name}>"


@frozen
class Loose:
    """Equal to all of its kind."""

    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loose)


@frozen
class Longer(Named):
    """One more."""

    size: int = 0


@frozen
class Unmade:
    """Of which there is none."""

    name: str
    size: int = 7


@pytest.mark.parametrize("given", [("a",), ("a", 3), ("a", 3, ["x"])])
def test_a_value_is_as_a_frozen_dataclass_is(given: Any) -> None:
    usual, cheap = Usual(*given, note="n"), Cheap(*given, note="n")
    assert vars(cheap) == vars(usual)
    assert repr(cheap) == repr(usual).replace("Usual", "Cheap")
    assert [one.name for one in fields(cheap)] == [one.name for one in fields(usual)]
    assert cheap == Cheap(*given) != Cheap("b", *given[1:])
    other: object = usual
    assert cheap != other
    assert vars(replace(cheap, count=9)) == vars(replace(usual, count=9))
    assert pickle.loads(pickle.dumps(cheap)) == cheap
    assert Cheap.__match_args__ == Usual.__match_args__


def test_equal_values_have_equal_hashes_and_lists_have_none() -> None:
    assert len({Named("a"), Named("a"), Named("b")}) == 2
    assert (hash(Loose("a")), Loose("a")) == (hash(Loose("a")), Loose("b"))
    with pytest.raises(TypeError):
        hash(Cheap("a"))


def test_no_two_values_share_what_a_factory_makes() -> None:
    assert Cheap("a").parts is not Cheap("a").parts


def test_a_value_is_not_changed() -> None:
    one = Named("a")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'name'"):
        one.name = "b"  # type: ignore[misc]  # that is what is tested
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'name'"):
        del one.name
    assert one.name == "a"


def test_help_shows_how_a_value_is_made() -> None:
    # No constructor is there before the first instance is.
    assert list(inspect.signature(Unmade).parameters) == ["name", "size"]
    assert inspect.signature(Unmade).parameters["size"].default == 7
    assert inspect.signature(Unmade).parameters["size"].annotation == "int"


def test_help_shows_a_subclass_s_own_constructor() -> None:
    class Own(Unmade):
        def __init__(self, both: str) -> None:
            super().__init__(both, 1)

    assert list(inspect.signature(Own).parameters) == ["both"]
    assert Own("a").name == "a"


@pytest.mark.parametrize("given", [{}, {"name": "a", "other": 1}])
def test_wrong_arguments_are_told_as_of_any_function(given: dict[str, Any]) -> None:
    for _ in range(2):  # the first call is another function's
        with pytest.raises(TypeError, match="name|other"):
            Cheap(**given)


def test_what_a_class_says_itself_counts() -> None:
    assert (repr(Named("a")), repr(Longer("a", 3))) == ("<a>", "Longer(name='a', size=3)")
    assert (Longer("a", 3).size, Longer("a") == Longer("a"), Longer("a") == Named("a")) == (3, True, False)
    with pytest.raises(ValueError, match="no name"):
        Longer("")
