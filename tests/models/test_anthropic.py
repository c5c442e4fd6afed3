"""Claude through the real SDK, over real HTTP, on both of its transports."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from anthropic import AsyncAnthropic, DefaultAioHttpClient
from pydantic import BaseModel, Field

from promptchain import AnthropicModel, Chain, Step
from promptchain.errors import (
    BadRequestError,
    ConfigurationError,
    IncompleteReplyError,
    MalformedReplyError,
    MissingKeyError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelTimeoutError,
    OutputTypeError,
    OverloadedError,
    PromptChainError,
    RealCallForbiddenError,
    ServerError,
)
from promptchain.messages import (
    LimitsReported,
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    RequestReady,
    TextDelta,
    ThinkingDelta,
)
from promptchain.models.base import complete
from promptchain.testing import Answer, Fault, MessagesAPI, Pace
from promptchain.usage import Usage

HAIKU = "claude-haiku-4-5"


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


def asked(content: str = "Say hello.", **changes: Any) -> ModelRequest:
    told: dict[str, Any] = {"max_tokens": 100, **changes}
    return ModelRequest(messages=({"role": "user", "content": content},), **told)


@pytest.fixture(params=["httpx2", "aiohttp"])
async def client(request: pytest.FixtureRequest, messages_api: MessagesAPI) -> AsyncIterator[AsyncAnthropic]:
    """A client of the caller's own, with the retries that the SDK has when nobody turns them off."""
    transport = DefaultAioHttpClient() if request.param == "aiohttp" else None
    async with AsyncAnthropic(base_url=messages_api.url, api_key="mine", http_client=transport) as sdk:
        yield sdk


@pytest.fixture
def model(client: AsyncAnthropic) -> AnthropicModel:
    return AnthropicModel(HAIKU, client=client)


async def events_of(model: AnthropicModel, request: ModelRequest) -> list[ModelEvent]:
    async with aclosing(model.stream(request)) as stream:
        return [event async for event in stream]


async def test_the_request_is_exactly_what_was_asked(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    messages_api.script('{"content":"x","confidence":1}')
    await complete(
        model,
        asked(
            "Grüße 😀",
            system="You are.",
            output_schema=Draft.model_json_schema(),
            stop_sequences=("END",),
            request_id="caller-7",
        ),
    )
    (entry,) = messages_api.bill
    assert entry.received == {
        "model": HAIKU,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Grüße 😀"}],
        "stream": True,
        "system": "You are.",
        "stop_sequences": ["END"],
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "title": "Draft",
                    "properties": {
                        "content": {"type": "string", "title": "Content"},
                        "confidence": {
                            "type": "number",
                            "title": "Confidence",
                            "description": "{maximum: 1, minimum: 0}",
                        },
                    },
                    "required": ["content", "confidence"],
                    "additionalProperties": False,
                },
            }
        },
    }
    assert entry.headers["x-request-id"] == "caller-7"
    assert entry.headers["authorization"] == "Bearer mine"


async def test_what_is_not_said_is_not_sent(messages_api: MessagesAPI, model: AnthropicModel) -> None:
    await complete(model, asked())
    assert set(messages_api.bill[0].received) == {"model", "max_tokens", "messages", "stream"}
    assert "x-request-id" not in messages_api.bill[0].headers


async def test_effort_and_thinking_are_sent_as_the_sdk_spells_them(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    thinking = {"type": "adaptive", "display": "summarized"}
    messages_api.script(Answer("text", thinking="hm hm"))
    events = await events_of(
        AnthropicModel("claude-opus-5", client=client),
        asked(effort="low", thinking=thinking, max_tokens=2_000),
    )
    received = messages_api.bill[0].received
    assert received["output_config"] == {"effort": "low"}
    assert received["thinking"] == thinking
    assert "".join(e.text for e in events if isinstance(e, ThinkingDelta)) == "hm hm"
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "text"


async def test_the_usage_is_that_of_the_bill_and_the_request_has_its_id(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    messages_api.script("some words for an answer")
    events = await events_of(model, asked())
    (entry,) = messages_api.bill
    ready, limits, start, end = *events[:3], events[-1]
    assert isinstance(ready, RequestReady)
    assert isinstance(limits, LimitsReported)
    assert isinstance(start, ReplyStarted)
    assert isinstance(end, ReplyFinished)
    assert (start.request_id, start.model) == (entry.request_id, f"{HAIKU}-20251001")
    assert start.message_id.startswith("msg_")
    assert start.usage.input_tokens == entry.usage.input_tokens > 0
    assert end.usage == entry.usage
    assert end.stop_reason == "end_turn"


async def test_reads_and_writes_of_the_cache_are_counted_apart(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    block = {"type": "text", "text": "word " * 20_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    request = ModelRequest(messages=({"role": "user", "content": [block]},), max_tokens=50)
    messages_api.script("one", "two")
    first, second = await complete(model, request), await complete(model, request)
    assert first.usage.cache_creation_input_tokens == first.usage.cache_creation_1h_input_tokens > 10_000
    assert second.usage.cache_read_input_tokens == first.usage.cache_creation_input_tokens
    assert [first.usage, second.usage] == [entry.usage for entry in messages_api.bill]


FAULTS = [
    (Fault.status(400), BadRequestError),
    (Fault.status(404), ModelNotFoundError),
    (Fault.status(408), ModelTimeoutError),
    (Fault.status(409), PromptChainError),
    (Fault.status(429, retry_after=0.01, should_retry=True), PromptChainError),
    (Fault.status(500, should_retry=True), ServerError),
    (Fault.status(529, retry_after=0.01), OverloadedError),
    (Fault.reset(), ModelConnectionError),
    (Fault.reset(after=3), IncompleteReplyError),
    (Fault.malformed(after=3), MalformedReplyError),
    (Fault.error(after=0), OverloadedError),
    (Fault.error("api_error", after=4), ServerError),
    (Fault.end(after=0), IncompleteReplyError),
    (Fault.end(after=4), IncompleteReplyError),
    (Fault.end(after=99), IncompleteReplyError),
]


@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=lambda value: getattr(value, "kind", None))
async def test_one_call_is_one_request_also_when_it_fails(
    messages_api: MessagesAPI, model: AnthropicModel, fault: Fault, kind: type[PromptChainError]
) -> None:
    messages_api.script(fault, "never asked")
    with pytest.raises(kind) as caught:
        await complete(model, asked())
    assert len(messages_api.bill) == 1
    assert messages_api.pending == 1
    if fault.kind != "reset" or fault.after:
        assert caught.value.request_id == messages_api.bill[0].request_id


async def test_a_stall_ends_after_the_timeout_and_names_the_request(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    messages_api.script(Fault.stall(after=3), Fault.stall())
    model = AnthropicModel(HAIKU, client=client, timeout=0.2)
    with pytest.raises(ModelTimeoutError) as caught:
        await complete(model, asked())
    assert caught.value.billable
    assert caught.value.request_id == messages_api.bill[0].request_id
    with pytest.raises(ModelTimeoutError):
        await complete(model, asked())
    await asyncio.to_thread(messages_api.wait_idle)
    assert [entry.aborted for entry in messages_api.bill] == [True, True]


async def test_where_nobody_listens_nothing_was_billed(
    client: AsyncAnthropic, messages_api: MessagesAPI
) -> None:
    nowhere = AnthropicModel(HAIKU, client=client.with_options(base_url="http://127.0.0.1:1"))
    with pytest.raises(ModelConnectionError) as caught:
        await complete(nowhere, asked())
    assert not caught.value.billable


async def test_the_second_call_uses_the_connection_of_the_first(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    opened: list[object] = []
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def counted(*args: Any, **kwargs: Any) -> Any:
        opened.append(args)
        return await connect(*args, **kwargs)

    loop.create_connection = counted  # type: ignore[method-assign]
    try:
        for pace in (Pace(), Pace(between=0.005), Pace()):
            messages_api.pace = pace
            await complete(model, asked())
    finally:
        loop.create_connection = connect  # type: ignore[method-assign]
    assert len(opened) == 1
    assert len(messages_api.bill) == 3


async def test_closing_the_stream_closes_the_connection_at_once(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    messages_api.script(Answer(deltas=["word "] * 500, pace=Pace(between=0.02)))
    async with aclosing(model.stream(asked(max_tokens=1_000))) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                break
    await asyncio.to_thread(messages_api.wait_idle, 1.0)
    (entry,) = messages_api.bill
    assert entry.aborted
    assert entry.deltas_sent < 50


async def test_a_client_of_the_callers_own_stays_open_and_keeps_its_own_retries(
    messages_api: MessagesAPI, client: AsyncAnthropic, model: AnthropicModel
) -> None:
    await complete(model, asked())
    assert client.max_retries == 2
    assert not client.is_closed()


@pytest.mark.parametrize(
    "options", [{"api_key": "x"}, {"base_url": "http://127.0.0.1"}], ids=lambda options: next(iter(options))
)
def test_a_client_and_what_belongs_to_it_are_not_both_given(options: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="belong to the client"):
        AnthropicModel(HAIKU, client=AsyncAnthropic(api_key="x"), **options)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_is_above_zero(timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        AnthropicModel(HAIKU, timeout=timeout)


async def test_without_a_key_no_request_is_sent(
    messages_api: MessagesAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    for model in (
        AnthropicModel(HAIKU),
        AnthropicModel(HAIKU, client=AsyncAnthropic(base_url=messages_api.url)),
    ):
        with pytest.raises(MissingKeyError, match="ANTHROPIC_API_KEY"):
            await complete(model, asked())
    with pytest.raises(MissingKeyError) as caught:
        await Chain("c", Step("a", prompt="x"), model=HAIKU).run("x")
    assert caught.value.step == "a"
    assert caught.value.ledger is not None
    assert len(caught.value.ledger) == 0
    assert len(messages_api.bill) == 0


async def test_a_key_or_an_address_of_the_models_own_is_used(messages_api: MessagesAPI) -> None:
    await complete(AnthropicModel(HAIKU, api_key="its-own", base_url=messages_api.url), asked())
    assert messages_api.bill[0].headers["authorization"] == "Bearer its-own"


async def test_while_real_calls_are_forbidden_none_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    with pytest.raises(RealCallForbiddenError, match=r"api\.anthropic\.com"):
        await complete(AnthropicModel(HAIKU), asked())


async def test_a_schema_that_the_sdk_refuses_is_told_before_anything_is_sent(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    with pytest.raises(OutputTypeError, match="structured outputs cannot express"):
        await complete(model, asked(output_schema={"description": "anything"}))
    assert len(messages_api.bill) == 0


async def test_what_the_api_refuses_is_told_in_its_words_and_not_billed(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    with pytest.raises(ModelNotFoundError, match=r"Did you mean 'claude-haiku-4-5'\?"):
        await complete(AnthropicModel("claude-haiku-4-55", client=client), asked())
    with pytest.raises(BadRequestError, match="max_tokens"):
        await complete(AnthropicModel(HAIKU, client=client), asked(max_tokens=10_000_000))
    assert messages_api.bill.usage == Usage()


async def test_many_calls_at_once_each_have_their_own_reply(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    messages_api.answer_with(lambda request: f"reply to {request.prompt}")
    replies = await asyncio.gather(*(complete(model, asked(f"number {i}")) for i in range(40)))
    assert [reply.text for reply in replies] == [f"reply to number {i}" for i in range(40)]
    assert len({reply.request_id for reply in replies}) == 40


PROGRAM = """
import asyncio, sys
from promptchain import Chain, Step
from promptchain.testing import Answer, MessagesAPI, Pace
import os

chain = Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5")

async def once():
    first, second = await chain.run("x"), await chain.run("y")
    async with chain.stream("z") as stream:
        await anext(stream.text)
    return first.output

with MessagesAPI(pace=Pace(between=0.001)) as api:
    os.environ.update(ANTHROPIC_BASE_URL=api.url, ANTHROPIC_API_KEY="x", NO_PROXY="127.0.0.1")
    if sys.argv[1] == "asyncio.run":
        asyncio.run(once())
        asyncio.run(once())
    elif sys.argv[1] == "run_sync":
        chain.run_sync("x")
        chain.run_sync("y")
    else:
        chain.run_sync("x")
        asyncio.run(once())
    api.wait_idle()
    print(len(api.bill))
"""


@pytest.mark.parametrize(("way", "requests"), [("asyncio.run", 6), ("run_sync", 2), ("both", 4)])
@pytest.mark.parametrize("transport", ["aiohttp", "httpx2"])
def test_the_shared_client_is_closed_with_its_loop_and_leaves_no_complaint(
    way: str, requests: int, transport: str
) -> None:
    hide = (
        "import importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'aiohttp' else f(name, package)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            (hide if transport == "httpx2" else "") + PROGRAM,
            way,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANTHROPIC_")},
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"{requests}\n", "", 0)
