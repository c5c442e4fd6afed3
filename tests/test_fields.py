"""What is known of types before there are values."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NewType, Protocol, TypeVar

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from promptchain.fields import NoFields, field_types, fits, shown

if TYPE_CHECKING:
    from decimal import Decimal as OnlyTheCheckerKnows

T = TypeVar("T")


class Animal(BaseModel):
    name: str


class Dog(Animal):
    breed: str


@dataclasses.dataclass
class Point:
    x: int

    @property
    def twice(self) -> int:
        return 2 * self.x


class Row(TypedDict, total=False):
    cell: str


class Later(TypedDict):
    price: OnlyTheCheckerKnows


class Box(BaseModel, Generic[T]):
    held: T


class Named(Protocol):
    name: str


class Colour(enum.Enum):
    RED = 1


UserId = NewType("UserId", int)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (str, str),
        (Dog, Animal),
        (bool, int),
        (int, float),
        (bool, float),
        (float, complex),
        (Any, Dog),
        (Dog, Any),
        (Dog, object),
        (object, Dog),
        (T, Dog),
        (str, str | None),
        (None, str | None),
        (Literal["a"], str),
        (Literal["a"], Literal["a", "b"]),
        (Literal[1, "a"], int | str),
        (list[Dog], list[Animal]),
        (list[int], Sequence[int]),
        (list[int], Iterable[str]),
        (list, list[int]),
        (dict[str, int], Mapping[str, int]),
        (Row, dict),
        (Row, Mapping[str, object]),
        (Row, Row),
        (Annotated[Dog, "x"], Animal),
        (list[Annotated[int, {"not": ["hashable"]}]], list[int]),
        (list[Annotated[int, Field(ge=0)]], list[int]),
        (Callable[[int], str], Callable[[int], str]),
        (Callable[[object], str], Callable[[int], str]),
        (Box[int], Box[int]),
        (Dog, Named),
        (UserId, int),
        (tuple[int, ...], tuple[int, ...]),
        (type[Dog], type[Animal]),
    ],
)
def test_what_may_fit_fits(given: Any, wanted: Any) -> None:
    assert fits(given, wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (str, int),
        (Animal, Dog),
        (Animal, str),
        (float, int),
        (complex, float),
        (str, float),
        (str | None, str),
        (None, str),
        (Literal["a", "c"], Literal["a", "b"]),
        (str, Literal["a"]),
        (Literal[1], str),
        (list[Animal], list[str]),
        (dict[str, int], dict[str, str]),
        (list[Annotated[int, {"not": ["hashable"]}]], list[str]),
        (Row, Dog),
        (Row, str),
        (Annotated[str, "x"], int),
        (Box[int], Point),
        (Colour, str),
    ],
)
def test_what_surely_does_not_fit_is_refused(given: Any, wanted: Any) -> None:
    assert not fits(given, wanted)


def test_the_fields_of_each_kind_of_class_are_known() -> None:
    assert field_types(Dog) == {"name": str, "breed": str}
    assert field_types(Point) == {"x": int, "twice": Any}
    assert field_types(Row) == {"cell": str}
    assert field_types(Box[int]) == {"held": int}
    assert field_types(Annotated[Dog, "x"]) == {"name": str, "breed": str}


def test_of_a_union_only_what_all_members_have_is_known() -> None:
    assert field_types(Dog | Animal) == {"name": str}
    assert field_types(Dog | Point) == {}


@pytest.mark.parametrize("tp", [Any, object, T, Dog | Any, Colour, UserId])
def test_of_some_types_nothing_is_known(tp: Any) -> None:
    assert field_types(tp) is None


def test_a_typed_dict_whose_names_only_a_checker_sees_is_not_known_and_does_not_fail() -> None:
    assert not field_types(Later)


@pytest.mark.parametrize(
    ("tp", "why"),
    [
        (str, "text"),
        (int, "int"),
        (list[Dog], r"list\[Dog\]"),
        (Dog | None, "None"),
        (None, "None"),
        (Literal["a"], "fixed values"),
        (bytes, "bytes"),
    ],
)
def test_some_types_surely_have_no_fields(tp: Any, why: str) -> None:
    with pytest.raises(NoFields, match=why):
        field_types(tp)


@pytest.mark.parametrize(
    ("tp", "text"),
    [
        (Dog, "Dog"),
        (None, "None"),
        (type(None), "None"),
        (list[Dog], "list[Dog]"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (Dog | None, "Dog | None"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Any, "Any"),
        (Annotated[int, Field(ge=0)], "int"),
    ],
)
def test_a_type_is_shown_as_it_is_written(tp: Any, text: str) -> None:
    assert shown(tp) == text
