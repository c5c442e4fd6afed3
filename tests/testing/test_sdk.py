"""The real SDK, on both transports, against the simulated API."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from anthropic import AsyncAnthropic, DefaultAioHttpClient, NotFoundError, transform_schema
from pydantic import BaseModel, Field

from promptchain.testing import Answer, MessagesAPI, Pace, count_tokens
from promptchain.usage import Usage

if TYPE_CHECKING:
    from anthropic.types import Message

Asked = dict[str, Any]


class Analysis(BaseModel):
    intent: str = Field(description="what the user wants", min_length=1)
    entities: list[str]
    confidence: float = Field(ge=0, le=1)
    parent: str | None = None


async def stream(client: AsyncAnthropic, **asked: Any) -> Message:
    async with client.messages.stream(**asked) as events:
        return await events.get_final_message()


async def create(client: AsyncAnthropic, **asked: Any) -> Message:
    return await client.messages.create(**asked)


both = pytest.mark.parametrize("ask", [stream, create])


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@both
async def test_a_scripted_text_arrives_as_it_is(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    said = 'Line one\nline "two" \\ 日本語 \u2028 🙂 </data>\r\n\r\ndata: end'
    api.script(said)
    message = await ask(client, **hello)
    assert text_of(message) == said
    assert message.stop_reason == "end_turn"
    assert message.model == "claude-haiku-4-5-20251001"
    assert message.id.startswith("msg_")


@both
async def test_without_a_script_the_offline_model_answers(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    first, second = await ask(client, **hello), await ask(client, **hello)
    assert text_of(first) == text_of(second) != ""
    assert "new engineer" in text_of(first)


@both
async def test_a_value_is_sent_as_its_json(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    value = Analysis(intent="ü", entities=["a"], confidence=0.5)
    api.script({"a": [1, None]}, value, [1, 2], Answer({"b": 2}), None)
    texts = [text_of(await ask(client, **hello)) for _ in range(5)]
    assert [json.loads(text) for text in texts] == [
        {"a": [1, None]},
        value.model_dump(),
        [1, 2],
        {"b": 2},
        None,
    ]


@both
async def test_usage_is_the_same_in_the_reply_on_the_bill_and_in_count_tokens(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    asked = {**hello, "system": "You are terse.", "output_config": {"format": _format()}}
    api.script("seven tokens make this")
    message = await ask(client, **asked)
    counted = await client.messages.count_tokens(
        **{key: value for key, value in asked.items() if key != "max_tokens"}
    )
    assert message.usage.input_tokens == counted.input_tokens > 20
    assert message.usage.output_tokens == count_tokens("seven tokens make this") == 6
    (entry,) = api.bill
    assert entry.usage == Usage(counted.input_tokens, 6) == api.bill.usage
    assert entry.cost == api.bill.cost is not None


def _format() -> dict[str, Any]:
    return {"type": "json_schema", "schema": transform_schema(Analysis)}


async def test_the_request_id_that_the_sdk_shows_is_on_the_bill(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    message = await client.messages.create(**hello)
    async with client.messages.stream(**hello) as events:
        await events.until_done()
    assert [entry.request_id for entry in api.bill] == [message._request_id, events.request_id]


async def test_message_start_has_the_input_and_message_delta_the_final_count(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.script("one two three")
    events = [event async for event in await client.messages.create(**hello, stream=True)]
    started = next(event for event in events if event.type == "message_start").message.usage
    ended = next(event for event in events if event.type == "message_delta").usage
    assert (started.input_tokens, started.output_tokens) == (ended.input_tokens, 1)
    assert ended.output_tokens == 4


@both
async def test_an_empty_reply_is_billed_one_token(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script("")
    message = await ask(client, **hello)
    assert message.content == []
    assert message.usage.output_tokens == api.bill.usage.output_tokens == 1


@both
async def test_the_answer_conforms_to_the_schema_that_was_asked_for(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    message = await ask(client, **hello, output_config={"format": _format()})
    jsonschema.validate(json.loads(text_of(message)), transform_schema(Analysis))


async def test_parse_of_the_sdk_gives_the_model_that_was_scripted(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    value = Analysis(intent="greet", entities=[], confidence=1)
    api.script(value)
    message = await client.messages.parse(**hello, output_format=Analysis)
    assert message.parsed_output == value


@both
async def test_a_bad_reply_is_sent_as_scripted_even_where_a_schema_was_asked_for(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script('{"intent": ')
    message = await ask(client, **hello, output_config={"format": _format()})
    assert text_of(message) == '{"intent": '


@both
async def test_a_reply_longer_than_max_tokens_is_cut_there(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script("one two three four five")
    message = await ask(client, **{**hello, "max_tokens": 3})
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)
    assert text_of(message) == "one two thre"


@both
async def test_a_stop_sequence_cuts_the_text_before_it(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script(Answer(deltas=["one tw", "o END thr", "ee STOP"]))
    message = await ask(client, **hello, stop_sequences=["STOP", "END"])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")
    assert text_of(message) == "one two "


@both
async def test_a_reply_that_fills_the_context_window_says_so(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script("one two three")
    asked = {**hello, "messages": [{"role": "user", "content": "word " * 199_991}]}
    message = await ask(client, **asked)
    assert message.usage.input_tokens + message.usage.output_tokens == 200_000
    assert message.stop_reason == "model_context_window_exceeded"
    assert text_of(message) == "one two"


@both
async def test_thinking_is_shown_signed_and_billed_when_it_is_asked_for(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script(Answer("Hello.", thinking="Let me see."))
    asked = {**hello, "max_tokens": 3_000, "thinking": {"type": "enabled", "budget_tokens": 1_024}}
    message = await ask(client, **asked)
    thought, said = message.content
    assert (thought.type, thought.thinking) == ("thinking", "Let me see.")
    assert thought.signature
    assert said.text == "Hello."
    assert message.usage.output_tokens == count_tokens("Let me see.") + count_tokens("Hello.")
    assert message.usage.output_tokens_details.thinking_tokens == count_tokens("Let me see.")
    assert api.bill.usage.output_tokens == message.usage.output_tokens


@both
async def test_omitted_thinking_is_billed_and_only_its_signature_sent(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script(*[Answer("Hello.", thinking="Let me see.")] * 2)
    adaptive = {**hello, "model": "claude-sonnet-5-5"}
    for thinking in ({"type": "adaptive", "display": "omitted"}, {"type": "adaptive"}):
        message = await ask(client, **adaptive, thinking=thinking)
        assert message.content[0].thinking == ""
        assert message.content[0].signature
        assert message.usage.output_tokens == count_tokens("Let me see.") + count_tokens("Hello.")


@both
async def test_nobody_thinks_who_was_not_asked_to(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script(Answer("Hello.", thinking="Let me see."))
    message = await ask(client, **hello)
    assert [block.type for block in message.content] == ["text"]
    assert message.usage.output_tokens == count_tokens("Hello.")


@both
async def test_thinking_counts_toward_max_tokens(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script(Answer("Hello.", thinking="one two three four"))
    asked = {**hello, "model": "claude-opus-5", "max_tokens": 3}
    message = await ask(client, **asked, thinking={"type": "adaptive", "display": "summarized"})
    assert [block.type for block in message.content] == ["thinking"]
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)


@both
async def test_exact_deltas_join_to_the_text(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, ask: Any
) -> None:
    api.script(Answer(deltas=["He", "l", "", "lo"]))
    assert text_of(await ask(client, **hello)) == "Hello"
    assert api.bill[0].deltas_sent == (3 if ask is stream else 0)


async def test_tokens_per_delta_groups_what_is_sent(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.pace = Pace(tokens_per_delta=2)
    api.script("one two three four")
    async with client.messages.stream(**hello) as events:
        assert [text async for text in events.text_stream] == ["one two", " three", " four"]


async def test_a_prefilled_reply_goes_on_on_a_model_that_allows_it(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.script("lo.")
    turns = [*hello["messages"], {"role": "assistant", "content": "Hel"}]
    assert text_of(await client.messages.create(**{**hello, "messages": turns})) == "lo."


async def test_the_models_are_listed_page_by_page(api: MessagesAPI, client: AsyncAnthropic) -> None:
    listed = [model.id async for model in client.models.list(limit=5)]
    assert len(listed) == len(set(listed)) == 18
    assert {"claude-haiku-5-5", "claude-opus-4-7", "claude-haiku-4-5-20251001"} <= set(listed)
    last = await client.models.list(before_id=listed[3], limit=2)
    assert [model.id for model in last.data] == listed[1:3]
    assert len(api.bill) == 0


async def test_a_model_is_found_by_its_name_with_and_without_a_date(
    api: MessagesAPI, client: AsyncAnthropic
) -> None:
    haiku = await client.models.retrieve("claude-haiku-4-5")
    assert haiku == await client.models.retrieve("claude-haiku-4-5-20251001")
    assert (haiku.display_name, haiku.line, haiku.lifecycle) == ("Claude Haiku 4.5", "haiku", "active")
    assert (haiku.max_input_tokens, haiku.max_tokens) == (200_000, 64_000)
    assert haiku.capabilities is not None
    assert haiku.capabilities.thinking.types.enabled.supported
    assert not haiku.capabilities.effort.supported
    assert (await client.models.retrieve("claude-sonnet-4-5")).lifecycle == "deprecated"
    with pytest.raises(NotFoundError):
        await client.models.retrieve("claude-haiku-4-5-20990101")


async def test_the_old_version_takes_a_temperature_that_the_sdk_no_longer_has(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.script("warm")
    message = await client.messages.create(
        **hello,
        extra_headers={"anthropic-version": "2023-06-01"},
        extra_body={"temperature": 0.3},
    )
    assert text_of(message) == "warm"
    assert api.bill[0].received["temperature"] == 0.3


async def test_200_requests_at_once_are_answered_and_billed_each(api: MessagesAPI, hello: Asked) -> None:
    api.answer_with(lambda request: f"echo {request.prompt}")
    async with AsyncAnthropic(
        base_url=api.url, api_key="test", max_retries=0, http_client=DefaultAioHttpClient()
    ) as client:

        async def one(number: int) -> Message:
            asked = {**hello, "messages": [{"role": "user", "content": f"number {number}"}]}
            return await (stream if number % 2 else create)(client, **asked)

        messages = await asyncio.gather(*(one(number) for number in range(200)))
    assert [text_of(message) for message in messages] == [f"echo number {number}" for number in range(200)]
    assert len(api.bill) == 200
    assert api.bill.usage == Usage(
        sum(message.usage.input_tokens for message in messages),
        sum(message.usage.output_tokens for message in messages),
    )
    assert all(entry.status == 200 and not entry.aborted for entry in api.bill)
