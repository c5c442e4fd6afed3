"""What leaves for the API and what does not: one call, one request, on the bill, whatever the client does."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anthropic
import httpx2
import pydantic_core
import pytest
from anthropic import APIRequest, AsyncAnthropic, DefaultAioHttpClient, DefaultAsyncHttpxClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from promptchain import AnthropicModel, Chain, Run, Step, Usage
from promptchain.errors import (
    ConfigurationError,
    IncompleteReplyError,
    MalformedReplyError,
    MissingKeyError,
    ModelError,
    ModelStatusError,
    RealCallForbiddenError,
)
from promptchain.events import AttemptFinished, AttemptStarted, Event
from promptchain.ledger import Ledger
from promptchain.messages import ModelRequest, ReplyFinished, TextDelta
from promptchain.metered import Metered
from promptchain.models import clients
from promptchain.models.base import complete
from promptchain.testing import Answer, Fault, MessagesAPI, Pace

HAIKU = "claude-haiku-4-5"
TRANSPORTS = {"httpx2": DefaultAsyncHttpxClient, "aiohttp": DefaultAioHttpClient}


def asked(content: str = "Say hello.", **changes: Any) -> ModelRequest:
    told: dict[str, Any] = {"max_tokens": 100, **changes}
    return ModelRequest(messages=({"role": "user", "content": content},), **told)


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def client_of(transport: str, base_url: str, **options: Any) -> AsyncGenerator[AsyncAnthropic]:
    told: dict[str, Any] = {"api_key": "mine", **options}
    http_client = TRANSPORTS[transport]()
    async with AsyncAnthropic(base_url=base_url, http_client=http_client, **told) as client:
        yield client


async def ledger_of(model: AnthropicModel, request: ModelRequest, kind: type[Exception]) -> Ledger:
    """What a call that fails with ``kind`` leaves on the ledger."""
    run = Run.begin("x")
    with pytest.raises(kind):
        async with aclosing(Metered(model, run).stream(request)) as events:
            async for _ in events:
                pass
    return run.ledger


# One call is one request.


async def twice(request: APIRequest, call_next: Any) -> Any:
    first = await call_next(request)
    await first.http_response.aread()
    return await call_next(request)


async def again_after_a_failure(request: APIRequest, call_next: Any) -> Any:
    try:
        response = await call_next(request)
        if response.status_code < 500:
            return response
    except ConnectionError:
        pass
    return await call_next(request)


async def in_a_task_of_its_own(request: APIRequest, call_next: Any) -> Any:
    await asyncio.create_task(call_next(request))
    return await asyncio.create_task(call_next(request.copy()))


@pytest.mark.parametrize("middleware", [twice, again_after_a_failure, in_a_task_of_its_own])
async def test_a_middleware_that_asks_again_is_refused_and_its_first_request_is_on_the_ledger(
    messages_api: MessagesAPI, transport: str, middleware: Any
) -> None:
    messages_api.script(Fault.status(529) if middleware is again_after_a_failure else "one", "two")
    async with client_of(transport, messages_api.url, middleware=[middleware]) as client:
        ledger = await ledger_of(AnthropicModel(HAIKU, client=client), asked(), ModelError)
    assert len(messages_api.bill) == len(ledger) == 1
    assert ledger.estimated
    assert ledger.usage.total_input_tokens >= messages_api.bill.usage.total_input_tokens
    assert ledger.usage.output_tokens >= messages_api.bill.usage.output_tokens


async def test_a_middleware_that_asks_once_is_left_alone_also_beside_another_call(
    messages_api: MessagesAPI, transport: str
) -> None:
    seen: list[str] = []

    async def once(request: APIRequest, call_next: Any) -> Any:
        seen.append(request.method)
        return await call_next(request)

    async with client_of(transport, messages_api.url, middleware=[once]) as client:
        model = AnthropicModel(HAIKU, client=client)
        replies = await asyncio.gather(*(complete(model, asked(f"{i}")) for i in range(10)))
        assert client.middleware == (once,)
    assert len({reply.request_id for reply in replies}) == len(messages_api.bill) == len(seen) == 10


async def test_a_middleware_that_runs_a_chain_of_its_own_keeps_the_one_request_of_its_call(
    messages_api: MessagesAPI, transport: str
) -> None:
    messages_api.script("inner", "outer")
    async with client_of(transport, messages_api.url) as inner:

        async def asks_first(request: APIRequest, call_next: Any) -> Any:
            await complete(AnthropicModel(HAIKU, client=inner), asked())
            return await call_next(request)

        async with client_of(transport, messages_api.url, middleware=[asks_first]) as client:
            reply = await complete(AnthropicModel(HAIKU, client=client), asked())
    assert reply.text == "outer"
    assert len(messages_api.bill) == 2


async def test_a_middleware_that_fails_behind_the_reply_leaves_its_request_on_the_ledger(
    messages_api: MessagesAPI, transport: str
) -> None:
    async def broken(request: APIRequest, call_next: Any) -> Any:
        await call_next(request)
        raise TypeError("of the middleware")

    async with client_of(transport, messages_api.url, middleware=[broken]) as client:
        ledger = await ledger_of(AnthropicModel(HAIKU, client=client), asked(), ModelError)
    assert len(messages_api.bill) == len(ledger) == 1
    assert ledger.estimated


# A server that answers anything.


@asynccontextmanager
async def server(answer: Callable[[int, asyncio.StreamWriter], Any]) -> AsyncGenerator[tuple[str, list[str]]]:
    """Its address, and the paths that were asked for. ``answer`` gets the number of the request."""
    paths: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            paths.append(head.split(" ")[1])
            length = next(
                int(line.split(":")[1]) for line in head.lower().split("\r\n") if "content-length" in line
            )
            await reader.readexactly(length)
            await answer(len(paths), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", paths


def reply(body: bytes, content_type: str = "text/event-stream", status: str = "200 OK", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-type: {content_type}", "connection: close", *more, "", ""]
    return "\r\n".join(head).encode() + body


def wired(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def start(**usage: Any) -> dict[str, Any]:
    return {
        "type": "message_start",
        "message": {"id": "m", "model": "x", **({"usage": usage} if usage else {})},
    }


TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "words"}}
STOP = {"type": "message_stop"}


def end(**usage: Any) -> dict[str, Any]:
    told = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    return {**told, "usage": usage} if usage else told


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
@pytest.mark.parametrize("owner", ["default", "caller"])
async def test_a_redirect_is_not_followed_and_says_where_the_address_has_moved(
    transport: str, status: str, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_aiohttp(monkeypatch, transport)

    async def moved(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"", "text/plain", status, "location: http://moved.example.com/v1/messages"))

    async with server(moved) as (url, paths), client_of(transport, url) as client:
        if owner == "caller":
            model = AnthropicModel(HAIKU, client=client)
        else:
            model = AnthropicModel(HAIKU, api_key="k", base_url=url)
        with pytest.raises(ModelStatusError, match=r"moved\.example\.com.*base_url") as caught:
            await complete(model, asked())
        assert len(paths) == 1
        assert (caught.value.status, caught.value.billable) == (int(status[:3]), False)
        await close_clients()


def hide_aiohttp(monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    """Let the default clients take the transport that they take where aiohttp is not installed."""
    find = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> Any:
        return None if name == "aiohttp" else find(name, package)

    if transport == "httpx2":
        monkeypatch.setattr("importlib.util.find_spec", found)


async def close_clients() -> None:
    for held, _ in clients._loops.values():  # pyright: ignore[reportPrivateUsage]
        for one in held.values():
            await one.client.close()
        held.clear()


# The bill of a reply that is cut, or that reports less than it should.


CUTS = {
    "nothing of the input": ([start(), TEXT], True, None, 100),
    "an input of none": ([start(input_tokens=0, output_tokens=1), TEXT], True, None, 100),
    "the input": ([start(input_tokens=40, output_tokens=1), TEXT], True, 40, 100),
    "the final count": ([start(input_tokens=40), TEXT, end(output_tokens=3)], False, 40, 3),
    "a final count without the output": ([start(input_tokens=40), TEXT, end(input_tokens=41)], True, 40, 100),
    "a final count without the input": ([start(), TEXT, end(output_tokens=3)], True, None, 100),
}


@pytest.mark.parametrize("case", CUTS)
async def test_a_cut_reply_costs_what_was_reported_or_an_upper_bound(transport: str, case: str) -> None:
    events, estimated, input_tokens, output_tokens = CUTS[case]

    async def cut(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(wired(*events)))

    request = asked()
    async with server(cut) as (url, _), client_of(transport, url) as client:
        ledger = await ledger_of(AnthropicModel(HAIKU, client=client), request, IncompleteReplyError)
    (attempt,) = ledger
    assert attempt.estimated is estimated
    if case == "a final count without the output":
        input_tokens = attempt.usage.input_tokens  # either report of it is the API's
    assert attempt.usage == Usage(input_tokens or request.input_bound(), output_tokens)


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([start(input_tokens=40), TEXT, end(output_tokens=3), STOP], Usage(40, 3)),
        ([start(), TEXT, end(input_tokens=40, output_tokens=3), STOP], Usage(40, 3)),
        ([start(input_tokens=40), TEXT, end(), STOP], None),
        ([start(), TEXT, end(), STOP], None),
    ],
)
async def test_a_whole_reply_is_exact_only_where_the_api_reported_it(
    transport: str, events: list[dict[str, Any]], usage: Usage | None
) -> None:
    async def whole(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(wired(*events)))

    async with server(whole) as (url, _), client_of(transport, url) as client:
        run = Run.begin("x")
        async with aclosing(Metered(AnthropicModel(HAIKU, client=client), run).stream(asked())) as stream:
            assert "words" in [event.text async for event in stream if isinstance(event, TextDelta)]
    (attempt,) = run.ledger
    assert attempt.estimated is (usage is None)
    assert usage is None or attempt.usage == usage
    assert attempt.usage.output_tokens == (3 if usage else 100)
    assert attempt.usage.input_tokens >= 40


PAGES = [
    (b"<!DOCTYPE html>\n\n<p>Sign in to the network</p>\n", "text/html; charset=utf-8"),
    (b'{"type":"message","content":[{"type":"text","text":"whole"}]}', "application/json"),
]


@pytest.mark.parametrize(("body", "content_type"), PAGES)
async def test_an_answer_in_another_language_is_malformed_and_not_to_be_asked_again(
    transport: str, body: bytes, content_type: str
) -> None:
    async def page(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body, content_type))

    async with server(page) as (url, _), client_of(transport, url) as client:
        with pytest.raises(MalformedReplyError, match=content_type.partition(";")[0]) as caught:
            await complete(AnthropicModel(HAIKU, client=client), asked())
    assert caught.value.billable


# The last text.


async def test_the_last_text_does_not_wait_for_the_end_of_the_body(transport: str) -> None:
    async def slow_to_end(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(wired(start(input_tokens=4), TEXT, end(output_tokens=3), STOP)))
        await writer.drain()
        await asyncio.sleep(3)

    async with server(slow_to_end) as (url, _), client_of(transport, url) as client:
        stream = AnthropicModel(HAIKU, client=client).stream(asked())
        began = time.perf_counter()
        async with aclosing(stream):
            times = {type(event): time.perf_counter() - began async for event in stream}
    assert times[ReplyFinished] - times[TextDelta] < 0.5
    assert times[ReplyFinished] < 1


# What cannot be sent is said before, and costs nothing.


@pytest.mark.parametrize("key", ["sk-ant\n", "sk\r\nx: y", "\x00"])
@pytest.mark.parametrize("place", ["key", "header", "request id"])
async def test_what_no_header_can_hold_is_said_before_anything_is_sent(
    messages_api: MessagesAPI, transport: str, key: str, place: str
) -> None:
    options: dict[str, Any] = {"api_key": key} if place == "key" else {}
    if place == "header":
        options["default_headers"] = {"x-own": key}
    request = asked(request_id=key if place == "request id" else None)
    async with client_of(transport, messages_api.url, **options) as client:
        model = AnthropicModel(HAIKU, client=client)
        assert len(await ledger_of(model, request, ConfigurationError)) == 0
        with pytest.raises(ConfigurationError, match="control character") as caught:
            await complete(model, request)
    assert "sk" not in str(caught.value)
    assert len(messages_api.bill) == 0


async def test_an_argument_that_is_no_json_is_said_and_costs_nothing(
    messages_api: MessagesAPI, transport: str
) -> None:
    request = asked(thinking={"type": object()})
    async with client_of(transport, messages_api.url) as client:
        ledger = await ledger_of(AnthropicModel(HAIKU, client=client), request, ConfigurationError)
    assert ledger.usage == Usage()
    assert not ledger.estimated
    assert len(messages_api.bill) == 0


async def test_a_closed_client_is_said_before_anything_is_sent(
    messages_api: MessagesAPI, transport: str
) -> None:
    async with client_of(transport, messages_api.url) as client:
        model = AnthropicModel(HAIKU, client=client)
    assert len(await ledger_of(model, asked(), ConfigurationError)) == 0
    with pytest.raises(ConfigurationError, match="the client is closed"):
        await complete(model, asked())


@pytest.mark.parametrize("base_url", ["api.example.com", "ftp://127.0.0.1"])
async def test_an_address_that_is_none_is_said_and_costs_nothing(
    base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMPTCHAIN_FORBID_REAL_CALLS")
    async with client_of("httpx2", base_url) as client:
        ledger = await ledger_of(AnthropicModel(HAIKU, client=client), asked(), ConfigurationError)
    assert ledger.usage == Usage()
    assert not ledger.estimated


@pytest.mark.parametrize(
    "client", ["x", 5, AsyncAnthropic, anthropic.Anthropic(api_key="k"), httpx2.AsyncClient()], ids=repr
)
def test_what_is_no_asynchronous_client_of_the_sdk_is_refused_at_once(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="AsyncAnthropic"):
        AnthropicModel(HAIKU, client=client)


@pytest.mark.parametrize("timeout", ["5", math.nan, math.inf, True, [1]])
def test_a_timeout_is_a_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="seconds above 0"):
        AnthropicModel(HAIKU, timeout=timeout)


def test_a_client_of_another_loop_is_refused_before_anything_is_sent(
    messages_api: MessagesAPI, transport: str
) -> None:
    client = AsyncAnthropic(base_url=messages_api.url, api_key="k", http_client=TRANSPORTS[transport]())
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(complete(AnthropicModel(HAIKU, client=client), asked()))
        first.run(complete(AnthropicModel(HAIKU, client=client), asked()))
        model = AnthropicModel(HAIKU, client=client)
        assert len(second.run(ledger_of(model, asked(), ConfigurationError))) == 0
        with pytest.raises(ConfigurationError, match="another event loop"):
            second.run(complete(model, asked()))
        first.run(client.close())
    assert len(messages_api.bill) == 2


@pytest.mark.parametrize("forbidden", ["key", "call"])
async def test_what_is_known_before_starts_no_attempt(
    messages_api: MessagesAPI, forbidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forbidden == "key":
        monkeypatch.delenv("ANTHROPIC_API_KEY")
    else:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://api.anthropic.com")
    seen: list[Event] = []
    with pytest.raises(MissingKeyError if forbidden == "key" else RealCallForbiddenError):
        await Chain("c", Step("a", prompt="x"), model=HAIKU).run("x", readers=[seen.append])
    assert not [event for event in seen if isinstance(event, AttemptStarted | AttemptFinished)]
    await close_clients()


async def test_a_profile_that_does_not_exist_is_a_missing_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_PROFILE", "nope")
    with pytest.raises(MissingKeyError, match="nope"):
        await complete(AnthropicModel(HAIKU), asked())


# Clients that are made when only a model is named.


async def held() -> list[AsyncAnthropic]:
    loop = asyncio.get_running_loop()
    return [one.client for one in clients._loops[loop][0].values()]  # pyright: ignore[reportPrivateUsage]


async def test_a_loop_keeps_a_bounded_number_of_clients_open(messages_api: MessagesAPI) -> None:
    for number in range(clients.MAX_CLIENTS + 3):
        await complete(AnthropicModel(HAIKU, api_key=f"key-{number}", base_url=messages_api.url), asked())
    kept = await held()
    assert len(kept) == clients.MAX_CLIENTS
    assert [client.api_key for client in kept][-1] == f"key-{clients.MAX_CLIENTS + 2}"
    assert not any(client.is_closed() for client in kept)
    await close_clients()


async def test_a_client_is_not_closed_while_a_request_of_it_runs(
    messages_api: MessagesAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_CLIENTS", 2)
    messages_api.answer_with(
        lambda request: (
            Answer(deltas=["word "] * 40, pace=Pace(between=0.05)) if request.prompt == "slow" else "x"
        )
    )
    slow = asyncio.create_task(
        complete(AnthropicModel(HAIKU, api_key="slow", base_url=messages_api.url), asked("slow"))
    )
    while not messages_api.bill:
        await asyncio.sleep(0.01)
    for number in range(4):
        await complete(AnthropicModel(HAIKU, api_key=f"key-{number}", base_url=messages_api.url), asked())
    assert not slow.done()
    assert [client.api_key for client in await held()] == ["slow", "key-3"]
    assert (await slow).text == "word " * 40
    await close_clients()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_was_closed_by_hand_is_let_go_with_its_clients(
    messages_api: MessagesAPI, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_aiohttp(monkeypatch, transport)
    gone: list[weakref.ref[Any]] = []
    for _ in range(3):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(complete(AnthropicModel(HAIKU), asked()))
        gone += [weakref.ref(loop), *map(weakref.ref, loop.run_until_complete(held()))]
        loop.close()
        del loop
    asyncio.run(complete(AnthropicModel(HAIKU), asked()))
    gc.collect()
    assert [kept() for kept in gone] == [None] * 6


IMPORTING = """
import asyncio, time
from promptchain import AnthropicModel
from promptchain.messages import ModelRequest
from promptchain.models.base import complete
from promptchain.errors import MissingKeyError

REQUEST = ModelRequest(messages=({"role": "user", "content": "x"},), max_tokens=10)

async def ask(delay):
    await asyncio.sleep(delay)
    try:
        await complete(AnthropicModel("claude-haiku-4-5"), REQUEST)
    except MissingKeyError:
        pass

async def main():
    longest, last, done = 0.0, time.perf_counter(), asyncio.gather(*map(ask, (0, 0.1, 0.3, 0.6)))
    while not done.done():
        await asyncio.sleep(0.01)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await done
    print(longest)

asyncio.run(main())
"""


def test_the_import_of_the_sdk_does_not_stop_the_loop_when_calls_start_apart() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    environment["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"  # elsewhere it would be forbidden, key or no key
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert float(done.stdout) < 1


# The bound of the input.


class Deep(BaseModel):
    """An output with everything that structured outputs cannot express."""

    word: str = Field(pattern=r"^[\\\"'a-z]+\n$", min_length=1, max_length=9, description='"quoted" \\ text')
    number: float = Field(gt=0, lt=1e20, multiple_of=1e-7)
    items: list[int] = Field(min_length=3, max_length=7, json_schema_extra={"x-note": ["\x7f'\"\\ \u200b"]})


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
EXTRAS = st.dictionaries(
    st.sampled_from(["pattern", "minLength", "maximum", "default", "examples", "x-own", "title", "\x7f"]),
    VALUES,
    max_size=4,
).flatmap(lambda extras: st.sampled_from([extras, {**extras, "format": "date"}, {**extras, "format": "x'"}]))


Schema = dict[str, Any]


def constrained(kind: str) -> st.SearchStrategy[Schema]:
    return EXTRAS.map(lambda extras: {**extras, "type": kind})


def an_object(extras: Schema, fields: dict[str, Schema]) -> Schema:
    return {**extras, "type": "object", "properties": fields}


def an_array(extras: Schema, item: Schema) -> Schema:
    return {**extras, "type": "array", "items": item}


def a_choice(extras: Schema, variants: list[Schema]) -> Schema:
    return {**extras, "oneOf": variants}


def with_definitions(definitions: dict[str, Schema], root: Schema) -> Schema:
    return {**root, "$defs": definitions}


def composed(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    named = st.dictionaries(st.text(max_size=5), inner, max_size=3)
    return st.one_of(
        st.builds(an_object, EXTRAS, named),
        st.builds(an_array, EXTRAS, inner),
        st.builds(a_choice, EXTRAS, st.lists(inner, min_size=1, max_size=3)),
        st.builds(with_definitions, named, inner),
    )


SCHEMAS = st.recursive(
    st.sampled_from(["object", "array", "string", "number", "null"]).flatmap(constrained), composed
)


def sent(schema: dict[str, Any]) -> int:
    return len(pydantic_core.to_json(anthropic.transform_schema(schema)))


@given(SCHEMAS)
def test_the_bound_of_the_input_holds_for_what_is_made_of_any_schema(schema: dict[str, Any]) -> None:
    without = asked().input_bound()
    assert asked(output_schema=schema).input_bound() - without >= sent(schema)


async def test_the_bound_of_the_input_holds_for_what_the_api_receives(
    messages_api: MessagesAPI, transport: str
) -> None:
    schema = Deep.model_json_schema()
    request = asked(output_schema=schema, system="Be brief.", max_tokens=1_000)
    messages_api.script({"word": "a", "number": 0.5, "items": [1, 2, 3]})
    async with client_of(transport, messages_api.url) as client:
        await complete(AnthropicModel(HAIKU, client=client), request)
    received = messages_api.bill[0].received
    read = [received["messages"], received["system"], received["output_config"]["format"]["schema"]]
    assert len(pydantic_core.to_json(received["output_config"]["format"]["schema"])) > len(
        pydantic_core.to_json(schema)
    )
    assert request.input_bound() >= len(pydantic_core.to_json(read))
