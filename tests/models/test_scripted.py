"""The scripted model: replies and failures in order."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from pydantic import BaseModel, Field

from promptchain.errors import ConfigurationError, IncompleteReplyError, OverloadedError
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    TextDelta,
    ThinkingDelta,
)
from promptchain.models.base import Model, complete
from promptchain.models.scripted import Scripted, ScriptedModel
from promptchain.usage import Usage


def ask(prompt: str = "Explain Raft") -> ModelRequest:
    return ModelRequest(messages=[{"role": "user", "content": prompt}], max_tokens=100)


async def events_until_error(model: ScriptedModel) -> tuple[list[ModelEvent], Exception | None]:
    seen: list[ModelEvent] = []
    try:
        async for event in model.stream(ask()):
            seen.append(event)
    except Exception as error:  # noqa: BLE001 - any, to be looked at
        return seen, error
    return seen, None


class Draft(BaseModel):
    content: str
    confidence: float = Field(alias="sureness")


@dataclasses.dataclass
class Point:
    x: int


async def test_replies_come_in_order_and_requests_are_kept() -> None:
    model = ScriptedModel("one", "two words")
    assert isinstance(model, Model)
    assert (await complete(model, ask("first"))).text == "one"
    assert model.pending == 1
    assert (await complete(model, ask("second"))).text == "two words"
    assert model.pending == 0
    assert [request.messages[0]["content"] for request in model.requests] == ["first", "second"]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ({"a": "é"}, {"a": "é"}),
        ([1, {"b": None}], [1, {"b": None}]),
        (Point(3), {"x": 3}),
        ([Point(1)], [{"x": 1}]),
        (Draft(content="c", sureness=0.5), {"content": "c", "sureness": 0.5}),
    ],
)
async def test_values_are_sent_as_json(value: Any, sent: object) -> None:
    assert json.loads((await complete(ScriptedModel(value), ask())).text) == sent


async def test_an_exception_is_raised_before_the_reply_begins_and_the_script_goes_on() -> None:
    busy = OverloadedError("busy")
    model = ScriptedModel(busy, "after a retry")
    seen, error = await events_until_error(model)
    assert error is busy
    assert seen == []
    assert (await complete(model, ask())).text == "after a retry"
    assert len(model.requests) == 2


async def test_an_error_can_come_after_some_of_the_text() -> None:
    model = ScriptedModel(Scripted(chunks=["half"], error=IncompleteReplyError("cut")))
    seen, error = await events_until_error(model)
    assert isinstance(error, IncompleteReplyError)
    assert isinstance(seen[0], ReplyStarted)
    assert seen[1:] == [TextDelta("half")]


async def test_every_part_of_a_reply_can_be_scripted() -> None:
    usage = Usage(input_tokens=7, output_tokens=5, cache_read_input_tokens=3)
    model = ScriptedModel(
        Scripted(
            chunks=["I ", "", "will not."],
            thinking="Hm.",
            stop_reason="refusal",
            stop_details={"category": "cyber"},
            usage=usage,
        ),
        name="claude-haiku-4-5",
    )
    started, *deltas, finished = [event async for event in model.stream(ask())]
    assert isinstance(started, ReplyStarted)
    assert started.model == "claude-haiku-4-5"
    assert started.usage == Usage(input_tokens=7, cache_read_input_tokens=3)
    assert deltas == [ThinkingDelta("Hm."), TextDelta("I "), TextDelta("will not.")]
    assert finished == ReplyFinished("refusal", usage, {"category": "cyber"})


async def test_usage_is_counted_where_the_script_does_not_tell_it() -> None:
    reply = await complete(ScriptedModel("12345"), ask("12345678"))
    assert reply.usage == Usage(input_tokens=2, output_tokens=2)


async def test_a_function_makes_the_reply_of_the_request() -> None:
    def echo(request: ModelRequest) -> str:
        return f"You said {request.messages[0]['content']}"

    model = ScriptedModel(echo, lambda _: OverloadedError("busy"), lambda _: {"a": 1})
    assert (await complete(model, ask("hello"))).text == "You said hello"
    with pytest.raises(OverloadedError):
        await complete(model, ask())
    assert (await complete(model, ask())).text == '{"a":1}'


async def test_asking_once_too_often_says_how_many_were_scripted_and_what_was_asked() -> None:
    model = ScriptedModel("one", name="judge")
    await complete(model, ask())
    with pytest.raises(ConfigurationError, match=r"'judge' is used up: 1 scripted.*number 2 asks: 'again\?'"):
        await complete(model, ask("again?"))
    assert len(model.requests) == 2


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (3, "reply 2 of the script is 3"),
        (OverloadedError, "is the class"),
        (Draft, "is the class"),
        ({"a": object()}, "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_a_reply_is_refused_when_the_script_is_written(reply: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        ScriptedModel("fine", reply)


async def test_a_function_that_gives_a_function_is_refused() -> None:
    nested: Any = lambda _: ask  # noqa: E731
    with pytest.raises(ConfigurationError, match="gave a function"):
        await complete(ScriptedModel(nested), ask())


async def test_fifty_requests_at_once_take_fifty_different_replies() -> None:
    texts = [f"reply {number} of many" for number in range(50)]
    model = ScriptedModel(*texts)
    replies = await asyncio.gather(*[complete(model, ask(str(number))) for number in range(50)])
    assert [reply.text for reply in replies] == texts
    assert len({reply.message_id for reply in replies}) == 50


async def test_a_reply_that_is_left_early_is_used_up() -> None:
    model = ScriptedModel(Scripted(chunks=["a", "b"], delay=10), "next")
    events = model.stream(ask())
    assert isinstance(await anext(events), ReplyStarted)
    await events.aclose()
    assert model.pending == 1
    assert (await complete(model, ask())).text == "next"


async def test_a_delay_passes_before_each_chunk() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await complete(ScriptedModel(Scripted(chunks=["a", "b", "c"], delay=0.02)), ask())
    assert loop.time() - started >= 0.055
