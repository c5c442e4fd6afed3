"""Output types: which can be asked for, and what a reply must be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from typing_extensions import TypedDict

from promptchain.errors import OutputError, OutputTypeError
from promptchain.outputs import OutputType


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


@dataclasses.dataclass
class Point:
    x: int


class Row(TypedDict):
    cell: str


class Colour(Enum):
    RED = "red"


class Strange(BaseModel):
    @field_validator("*", mode="after")
    @classmethod
    def never(cls, value: object) -> object:
        raise AssertionError("no")

    x: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int


class Loose(BaseModel):
    inner: list[dict[str, int]]


class Anything(BaseModel):
    value: Any


class Opaque:
    pass


@pytest.mark.parametrize(
    ("form", "reply", "value"),
    [
        (str, " as it is\n", " as it is\n"),
        (Draft, '{"content":"ü","confidence":1}', Draft(content="ü", confidence=1)),
        (list[Draft], "[]", []),
        (Point, '{"x":3}', Point(3)),
        (Row, '{"cell":"c"}', {"cell": "c"}),
        (Literal["a", "b"], '"b"', "b"),
        (Colour, '"red"', Colour.RED),
        (int | None, "null", None),
        (Draft | Point, '{"x":1}', Point(1)),
        (date, '"2026-11-23"', date(2026, 11, 23)),
        (Annotated[str, StringConstraints(min_length=2)], '"ab"', "ab"),
        (bool, " true ", True),
    ],
)
def test_a_reply_becomes_a_value(form: Any, reply: str, value: object) -> None:
    kind = OutputType[Any](form)
    assert kind.parse(reply) == value
    assert (kind.schema is None) == (form is str)


@pytest.mark.parametrize(
    ("form", "reply", "says"),
    [
        (Draft, '{"content":"x","confidence":2}', "confidence: Input should be less than or equal to 1"),
        (Draft, '{"content":"x"}', "confidence: Field required"),
        (Draft, "Here you are: {}", "it begins 'Here you are: {}'"),
        (Draft, '{"content":"x","confidence":0.5', "it is not JSON"),
        (Literal["a"], '"b"', "Input should be 'a'"),
        (list[int], "[1,2,3,4,5]{}", "it is not JSON"),
        (list[int], '["a","b","c","d","e"]', "; and 2 more"),
        (int, '"1.5"', "unable to parse"),
        (str, "", "empty"),
        (str, " \n", "empty"),
        (Draft, "", "empty"),
        (Strange, '{"x":1}', "no"),
    ],
)
def test_a_reply_that_does_not_validate_is_an_error_that_says_where(form: Any, reply: str, says: str) -> None:
    with pytest.raises(OutputError) as caught:
        OutputType[Any](form).parse(reply)
    assert says in str(caught.value)
    assert caught.value.reply == reply


def test_an_output_error_lists_what_is_wrong_where() -> None:
    with pytest.raises(OutputError) as caught:
        OutputType(list[Draft]).parse('[{"content":1,"confidence":0}]')
    (problem,) = caught.value.errors
    assert (problem["loc"], problem["type"]) == ((0, "content"), "string_type")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("form", "says"),
    [
        (Opaque, "Opaque cannot be an output type"),
        (Callable[[int], int], "cannot be an output type"),
        (42, "42 cannot be an output type"),
        ("Unknown", "cannot be an output type"),
        (Any, "can be anything"),
        (object, "cannot be an output type"),
        (dict[str, int], "free keys"),
        (Mapping[str, int], "free keys"),
        (dict[Annotated[str, StringConstraints(pattern="^x")], int], "free keys"),
        (dict[Literal["a", "b"], int], "free keys"),
        (Open, "free keys"),
        (Loose, r"inner\[\] is a mapping with free keys"),
        (Anything, "value can be anything"),
        (list[Any], r"\[\] can be anything"),
        (list, "anything"),
        (tuple[int, str], "tuple"),
        (Draft | dict[str, str], "free keys"),
    ],
)
def test_a_type_that_cannot_be_asked_for_is_refused_when_the_step_is_written(form: Any, says: str) -> None:
    with pytest.raises(OutputTypeError, match=says):
        OutputType[Any](form)


def test_a_path_is_text_to_the_model() -> None:
    assert OutputType(Path).parse('"a/b"') == Path("a/b")
