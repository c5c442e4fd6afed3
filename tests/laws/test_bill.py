"""The ledger is the bill: to the token where the API could tell, an upper bound where it could not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from anthropic import AsyncAnthropic, DefaultAioHttpClient
from pydantic import BaseModel, Field

from promptchain import AnthropicModel, Chain, Gate, Ledger, PromptChainError, RunStream, Step, Usage
from promptchain.errors import (
    AuthenticationError,
    BadRequestError,
    BillingError,
    ConflictError,
    IncompleteReplyError,
    MalformedReplyError,
    MaxTokensError,
    ModelConnectionError,
    ModelNotFoundError,
    ModelStatusError,
    ModelTimeoutError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    RefusalError,
    ServerError,
)
from promptchain.events import AttemptFinished, Event
from promptchain.resilience import Policy
from promptchain.testing import Answer, Bill, Fault, MessagesAPI, Pace

HAIKU = "claude-haiku-4-5"

# How each failure looks by itself.
ONCE = Policy(retry=None, breaker=None)


class Analysis(BaseModel):
    intent: str
    key_entities: list[str]


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


ANALYSIS = Analysis(intent="learn Raft", key_entities=["Raft"])
DRAFT = Draft(content="Raft elects a leader.", confidence=0.9)


def steps() -> Any:
    return (
        Step(
            "analyze",
            prompt="What does this ask for?\n{input}",
            output=Analysis,
            gates=[Gate(lambda a: bool(a.intent.strip()), "the intent must be stated")],
        )
        | Step("process", prompt="Write.\nIntent: {analyze.intent}\n{input}", output=Draft)
        | Step("synthesize", prompt="Polish:\n{process.content}")
    )


@pytest.fixture(params=["httpx2", "aiohttp"])
async def client(request: pytest.FixtureRequest, messages_api: MessagesAPI) -> AsyncIterator[AsyncAnthropic]:
    transport = DefaultAioHttpClient() if request.param == "aiohttp" else None
    async with AsyncAnthropic(base_url=messages_api.url, api_key="x", http_client=transport) as client:
        yield client


@pytest.fixture
def model(client: AsyncAnthropic) -> AnthropicModel:
    """Whatever stalls ends soon."""
    return AnthropicModel(HAIKU, client=client, timeout=0.5)


def total(bill: Bill) -> tuple[Usage, Decimal | None]:
    return bill.usage, bill.cost


async def test_three_steps_over_http_are_three_requests_and_the_ledger_is_the_bill(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    messages_api.script(ANALYSIS, DRAFT, "Raft, polished, in a few words.")
    result = await Chain("answer", steps(), model=model).run("Explain Raft to a new engineer")
    assert result.output == "Raft, polished, in a few words."
    assert len(messages_api.bill) == 3
    assert [attempt.usage for attempt in result.ledger] == [entry.usage for entry in messages_api.bill]
    assert [a.request_id for a in result.ledger] == [entry.request_id for entry in messages_api.bill]
    assert (result.usage, result.cost) == total(messages_api.bill)
    assert result.cost is not None
    assert result.cost == Decimal(result.usage.input_tokens + 5 * result.usage.output_tokens) / 1_000_000
    assert not result.ledger.estimated
    assert {entry.headers["x-request-id"] for entry in messages_api.bill} == {result.run_id}


async def test_a_model_by_its_name_bills_the_same(messages_api: MessagesAPI) -> None:
    result = await Chain("answer", steps(), model=HAIKU).run("Explain Raft to a new engineer")
    assert len(messages_api.bill) == 3
    assert (result.usage, result.cost) == total(messages_api.bill)


def test_run_sync_bills_the_same(messages_api: MessagesAPI) -> None:
    result = Chain("answer", steps(), model=HAIKU).run_sync("Explain Raft to a new engineer")
    assert len(messages_api.bill) == 3
    assert (result.usage, result.cost) == total(messages_api.bill)


async def test_fifty_runs_at_once_bill_the_same_each_and_together(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    chain = Chain("answer", steps(), model=AnthropicModel(HAIKU, client=client))
    results = await asyncio.gather(*(chain.run(f"Explain topic {i}", request_id=f"r{i}") for i in range(50)))
    assert len(messages_api.bill) == 150
    assert Usage.sum(result.usage for result in results) == messages_api.bill.usage
    for result in results:
        mine = [e for e in messages_api.bill if e.headers["x-request-id"] == result.request_id]
        assert Usage.sum(entry.usage for entry in mine) == result.usage


FAULTS: list[tuple[str, Fault, type[PromptChainError]]] = [
    ("400", Fault.status(400), BadRequestError),
    ("401", Fault.status(401), AuthenticationError),
    ("402", Fault.status(402), BillingError),
    ("403", Fault.status(403), PermissionDeniedError),
    ("404", Fault.status(404), ModelNotFoundError),
    ("408", Fault.status(408), ModelTimeoutError),
    ("409", Fault.status(409), ConflictError),
    ("413", Fault.status(413), BadRequestError),
    ("418", Fault.status(418), ModelStatusError),
    ("422", Fault.status(422), BadRequestError),
    ("429", Fault.status(429, retry_after=3), RateLimitError),
    ("500", Fault.status(500), ServerError),
    ("503", Fault.status(503), ServerError),
    ("529", Fault.status(529), OverloadedError),
    ("reset at once", Fault.reset(), ModelConnectionError),
    ("reset after the start", Fault.reset(after=1), IncompleteReplyError),
    ("reset in the text", Fault.reset(after=4), IncompleteReplyError),
    ("reset before the end", Fault.reset(after=99), IncompleteReplyError),
    ("stall at once", Fault.stall(), ModelTimeoutError),
    ("stall in the text", Fault.stall(after=4), ModelTimeoutError),
    ("malformed at once", Fault.malformed(after=0), MalformedReplyError),
    ("malformed in the text", Fault.malformed(after=4), MalformedReplyError),
    ("overloaded at once", Fault.error(after=0), OverloadedError),
    ("overloaded in the text", Fault.error(after=4), OverloadedError),
    ("overloaded before the end", Fault.error(after=99), OverloadedError),
    ("an error of the API", Fault.error("api_error", after=4), ServerError),
    ("an end at once", Fault.end(after=0), IncompleteReplyError),
    ("an end in the text", Fault.end(after=4), IncompleteReplyError),
    ("an end without a stop", Fault.end(after=99), IncompleteReplyError),
    ("a refusal", Fault.refusal(category="cyber", explanation="No."), RefusalError),
    ("a refusal in the text", Fault.refusal(after=2), RefusalError),
    ("max_tokens", Fault.max_tokens(), MaxTokensError),
    ("max_tokens in the text", Fault.max_tokens(after=2), MaxTokensError),
]


def test_every_kind_of_fault_that_the_simulated_api_offers_is_tried() -> None:
    makers = {name for name, value in vars(Fault).items() if isinstance(value, classmethod)}
    assert {fault.kind for _, fault, _ in FAULTS} == makers


def assert_ledger_covers(ledger: Ledger | None, bill: Bill) -> None:
    """One attempt for each request: the same where the API could tell, and never less."""
    assert ledger is not None
    assert len(ledger) == len(bill)
    for attempt, entry in zip(ledger, bill, strict=True):
        if not attempt.estimated:
            assert attempt.usage == entry.usage
        assert attempt.usage.total_input_tokens >= entry.usage.total_input_tokens
        assert attempt.usage.output_tokens >= entry.usage.output_tokens
    assert ledger.cost is not None
    assert bill.cost is not None
    assert ledger.cost >= bill.cost


@pytest.mark.parametrize(("fault", "kind"), [pytest.param(f, k, id=name) for name, f, k in FAULTS])
@pytest.mark.parametrize("place", ["inner", "last"])
async def test_each_fault_ends_as_its_own_error_with_the_ledger_and_never_as_an_answer(
    messages_api: MessagesAPI, model: AnthropicModel, fault: Fault, kind: type[PromptChainError], place: str
) -> None:
    messages_api.script(ANALYSIS)
    if place == "last":
        messages_api.script(DRAFT)
    messages_api.script(fault, "never asked")
    text: list[str] = []
    chain = Chain("answer", steps(), model=model, max_tokens=500, policy=ONCE)
    async with chain.stream("Explain Raft") as stream:
        with pytest.raises(PromptChainError) as caught:
            async for piece in stream.text:
                text.append(piece)
        with pytest.raises(kind):
            await stream.result()
    error = caught.value
    assert type(error) is kind
    assert error.step == ("synthesize" if place == "last" else "process")
    assert error.ledger is stream.ledger
    assert error.run_id is not None
    assert messages_api.pending == 1
    assert place == "last" or text == []
    await asyncio.to_thread(messages_api.wait_idle)
    assert_ledger_covers(error.ledger, messages_api.bill)
    # What broke off without a word of the API's can only be bounded.
    told = fault.kind in {"status", "refusal", "max_tokens"}
    assert stream.ledger[-1].estimated is not told
    entry = messages_api.bill[-1]
    if entry.status is not None:
        assert error.request_id == entry.request_id


@pytest.mark.parametrize(("fault", "kind"), [pytest.param(f, k, id=name) for name, f, k in FAULTS])
async def test_a_fault_of_a_run_that_is_not_streamed_is_the_same_error(
    messages_api: MessagesAPI, model: AnthropicModel, fault: Fault, kind: type[PromptChainError]
) -> None:
    messages_api.script(ANALYSIS, fault, "never asked")
    with pytest.raises(PromptChainError) as caught:
        await Chain("answer", steps(), model=model, policy=ONCE).run("Explain Raft")
    assert type(caught.value) is kind
    assert messages_api.pending == 1
    await asyncio.to_thread(messages_api.wait_idle)
    assert_ledger_covers(caught.value.ledger, messages_api.bill)


@pytest.mark.parametrize(
    ("fault", "kind"), [pytest.param(f, k, id=name) for name, f, k in FAULTS if (f.after or 0) >= 4]
)
async def test_behind_committed_text_no_fault_is_asked_again(
    messages_api: MessagesAPI, model: AnthropicModel, fault: Fault, kind: type[PromptChainError]
) -> None:
    messages_api.script(ANALYSIS, DRAFT, fault, "never asked")
    text: list[str] = []
    async with Chain("answer", steps(), model=model).stream("Explain Raft") as stream:
        with pytest.raises(kind):
            async for piece in stream.text:
                text.append(piece)
    assert text
    assert messages_api.pending == 1
    await asyncio.to_thread(messages_api.wait_idle)
    assert_ledger_covers(stream.ledger, messages_api.bill)


Way = Callable[[Chain[str, str], MessagesAPI, Callable[[Bill], object], list[Event]], Awaitable[None]]


async def reached(api: MessagesAPI, until: Callable[[Bill], object]) -> None:
    await asyncio.to_thread(api.bill.wait, until)


async def by_cancelling_the_task(
    chain: Chain[str, str], api: MessagesAPI, until: Callable[[Bill], object], seen: list[Event]
) -> None:
    task = asyncio.create_task(chain.run("x", readers=[seen.append]))
    await reached(api, until)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_a_timeout(
    chain: Chain[str, str], api: MessagesAPI, until: Callable[[Bill], object], seen: list[Event]
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            task = asyncio.create_task(reached(api, until))
            task.add_done_callback(lambda _: limit.reschedule(0))
            await chain.run("x", readers=[seen.append])


async def by_leaving_the_stream(
    chain: Chain[str, str], api: MessagesAPI, until: Callable[[Bill], object], seen: list[Event]
) -> None:
    async with chain.stream("x", readers=[seen.append]):
        await reached(api, until)


async def by_cancelling_the_reader(
    chain: Chain[str, str], api: MessagesAPI, until: Callable[[Bill], object], seen: list[Event]
) -> None:
    async def read(stream: RunStream[str]) -> None:
        async with stream:
            async for _ in stream.text:
                pass

    task = asyncio.create_task(read(chain.stream("x", readers=[seen.append])))
    await reached(api, until)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


PHASES: list[tuple[str, Pace, Callable[[Bill], object]]] = [
    ("before the first byte", Pace(), lambda bill: len(bill) == 1),
    ("before the first text", Pace(first=30), lambda bill: len(bill) == 1 and bill[0].status == 200),
    ("in the text", Pace(between=0.01), lambda bill: len(bill) == 1 and bill[0].deltas_sent >= 3),
]
WAYS: list[Way] = [by_cancelling_the_task, by_a_timeout, by_leaving_the_stream, by_cancelling_the_reader]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize(("phase", "pace", "until"), PHASES, ids=[phase for phase, _, _ in PHASES])
async def test_whatever_is_cancelled_closes_upstream_and_is_on_the_ledger_as_an_upper_bound(
    messages_api: MessagesAPI,
    model: AnthropicModel,
    way: Way,
    phase: str,
    pace: Pace,
    until: Callable[[Bill], object],
) -> None:
    first = Fault.stall() if phase == "before the first byte" else Answer(deltas=["word "] * 400, pace=pace)
    messages_api.script(first, "never asked")
    chain = Chain("c", Step("a", prompt="{input}", max_tokens=500) | Step("b", prompt="x"), model=model)
    seen: list[Event] = []
    await way(chain, messages_api, until, seen)
    await asyncio.to_thread(messages_api.wait_idle, 2.0)
    (entry,) = messages_api.bill
    assert entry.aborted
    (attempt,) = [event.record for event in seen if isinstance(event, AttemptFinished)]
    assert attempt.estimated
    assert attempt.error == "cancelled"
    assert_ledger_covers(Ledger([attempt]), messages_api.bill)
    assert attempt.usage.output_tokens == 500
    assert messages_api.pending == 1


async def test_a_misspelt_placeholder_costs_nothing(messages_api: MessagesAPI, model: AnthropicModel) -> None:
    with pytest.raises(
        PromptChainError, match=r"step 'last': .*\{analize.intent\}.*Did you mean 'analyze'\?"
    ):
        Chain("c", steps() | Step("last", prompt="{analize.intent}"), model=model)
    assert len(messages_api.bill) == 0


async def test_a_bound_of_the_input_is_one_for_every_script_and_schema(
    messages_api: MessagesAPI, model: AnthropicModel
) -> None:
    for text in (
        "plain words " * 50,
        "Ünïcödé " * 50,
        "日本語の文章です。" * 50,
        "😀🤔" * 50,
        '"\\\n' * 200,
        os.linesep * 9 + "x",
    ):
        messages_api.bill.clear()
        messages_api.script(Fault.stall())
        step = Step("a", prompt="{input}", system="{input}", output=Analysis)
        chain = Chain("c", step, model=model, policy=ONCE)
        with pytest.raises(ModelTimeoutError) as caught:
            await chain.run(text)
        await asyncio.to_thread(messages_api.wait_idle)
        assert_ledger_covers(caught.value.ledger, messages_api.bill)
