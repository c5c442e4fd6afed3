"""What a chain accepts as its input."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from promptchain import Chain, step
from promptchain.errors import InputError
from promptchain.inputs import DEFAULT_MAX_BYTES, InputType


class Topic(BaseModel):
    title: str


@dataclasses.dataclass
class Pair:
    a: int


class Handle:
    """A class that pydantic does not know."""


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Any, "text"),
        (object, "text"),
        (str, "ü" * 10),
        (int, 3),
        (Topic, Topic(title="x")),
        (list[Topic], [Topic(title="x")]),
        (Pair, Pair(1)),
        (Literal["a"], "a"),
        (int | str, "text"),
        (Handle, Handle()),
    ],
)
def test_what_is_of_the_type_is_accepted(form: Any, value: object) -> None:
    assert InputType(form, 100).accept(value) == value


@pytest.mark.parametrize(
    ("form", "value", "says"),
    [
        (str, "", "empty"),
        (str, " \r\n\t", "empty"),
        (Any, 3, "takes text, not int"),
        (Any, None, "takes text, not NoneType"),
        (Any, b"bytes", "takes text, not bytes"),
        (str, "a\ud800b", "surrogate pair at character 1"),
        (str, "ü" * 51, "102 bytes, and this chain takes 100"),
        (int, "3", "takes int"),
        (int, True, "takes int"),
        (Topic, {"title": 3}, "takes Topic: title: "),
        (list[Topic], [Topic(title="x"), 3], "1: Input"),
        (Handle, 3, "Handle"),
        (int | str, "", "empty"),
    ],
)
def test_what_is_not_is_refused_with_the_reason(form: Any, value: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        InputType(form, 100).accept(value)


async def test_a_mapping_of_the_fields_reaches_the_stages_as_the_model_it_stands_for() -> None:
    @step
    def title(topic: Topic) -> str:
        return topic.title

    told: Any = {"title": "x"}
    assert (await Chain("c", title).run(told)).output == "x"
    async with Chain("c", title).stream(told) as stream:
        assert (await stream.result()).output == "x"


def test_a_text_of_exactly_the_most_bytes_is_accepted() -> None:
    InputType(str, 100).accept("ü" * 50)


def test_ten_megabytes_are_refused_at_once() -> None:
    began = time.perf_counter()
    with pytest.raises(InputError, match="10,000,000 bytes"):
        InputType(str, DEFAULT_MAX_BYTES).accept("x" * 10_000_000)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [(Any, "[1]", "[1]"), (list[int], "[1]", [1]), (Topic, '{"title":"x"}', Topic(title="x")), (int, "3", 3)],
)
def test_a_text_stands_for_itself_or_for_json(form: Any, text: str, value: object) -> None:
    assert InputType(form, 100).read(text) == value


@pytest.mark.parametrize("text", ["", "{", '{"title":3}', "x"])
def test_a_text_that_stands_for_nothing_of_the_type_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="takes Topic as JSON"):
        InputType(Topic, 100).read(text)


@step
def echo(text: str) -> str:
    return text


async def test_every_door_of_a_chain_checks_the_input_before_anything_happens() -> None:
    seen: list[object] = []
    chain = Chain("c", echo, max_input_bytes=3)
    for bad in ("", "four", "\ud800"):
        with pytest.raises(InputError):
            await chain.run(bad, readers=[seen.append])
        with pytest.raises(InputError):
            chain.run_sync(bad, readers=[seen.append])
        with pytest.raises(InputError):
            chain.stream(bad, readers=[seen.append])
    assert seen == []
    assert (await chain.run("abc")).output == "abc"


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a\nb", "ü", "a\x7f"])
async def test_a_request_id_that_is_no_header_is_refused(request_id: str) -> None:
    with pytest.raises(InputError, match="request id"):
        await Chain("c", echo).run("x", request_id=request_id)
