"""The meter: no request leaves unrecorded, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from promptchain import Chain, Run, Step, Usage
from promptchain.errors import MissingKeyError, ModelError, OutputTypeError, RateLimitError
from promptchain.events import AttemptFinished, AttemptStarted, Event, RetryScheduled, RunFailed, Waiting
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    RequestReady,
    TextDelta,
    UsageReported,
)
from promptchain.metered import Metered
from promptchain.models.scripted import ScriptedModel
from promptchain.resilience import Policy
from promptchain.testing import Fault, MessagesAPI

REQUEST = ModelRequest(messages=({"role": "user", "content": "ü" * 10},), max_tokens=100)


class Halting:
    """A model that waits for ever after so many events."""

    name = "halting"

    def __init__(self, after: int) -> None:
        self.after = after
        self.waiting = asyncio.Event()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        events: list[ModelEvent] = [
            ReplyStarted("m", "halting", Usage(7, 1), "req_1"),
            TextDelta("a"),
            TextDelta("b"),
        ]
        for event in events[: self.after]:
            yield event
        self.waiting.set()
        await asyncio.get_running_loop().create_future()


async def by_cancelling(chain: Chain[str, str], model: Halting) -> None:
    task = asyncio.create_task(chain.run("x", readers=[LOG.append]))
    await model.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def by_a_timeout(chain: Chain[str, str], model: Halting) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await chain.run("x", readers=[LOG.append])


async def by_leaving(chain: Chain[str, str], model: Halting) -> None:
    async with chain.stream("x", readers=[LOG.append]):
        await model.waiting.wait()


LOG: list[Event] = []


@pytest.mark.parametrize("way", [by_cancelling, by_a_timeout, by_leaving])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_cancelled_attempt_is_recorded_as_an_upper_bound(
    way: Callable[[Chain[str, str], Halting], Awaitable[None]], after: int
) -> None:
    LOG.clear()
    model = Halting(after)
    await way(Chain("c", Step("a", prompt="{input}", max_tokens=100), model=model), model)
    (attempt,) = [event.record for event in LOG if isinstance(event, AttemptFinished)]
    assert attempt.estimated
    assert attempt.error == "cancelled"
    assert attempt.stop_reason is None
    assert attempt.usage.output_tokens == 100
    assert attempt.usage.input_tokens == 7 if after else attempt.usage.input_tokens >= 1
    assert attempt.request_id == ("req_1" if after else None)
    assert (attempt.first_text is None) == (after < 2)


async def drained(model: Any) -> Run:
    run = Run.begin("x")
    async with aclosing(Metered(model, run).stream(REQUEST)) as events:
        async for _ in events:
            pass
    return run


async def test_a_complete_reply_is_recorded_as_the_api_counts_it() -> None:
    (attempt,) = (await drained(ScriptedModel("text"))).ledger
    assert not attempt.estimated
    assert (attempt.error, attempt.stop_reason, attempt.number) == (None, "end_turn", 1)
    assert 0 <= (attempt.first_text or -1) <= attempt.seconds


async def test_closing_behind_the_last_event_is_no_failure() -> None:
    run = Run.begin("x")
    async with aclosing(Metered(ScriptedModel("text"), run).stream(REQUEST)) as events:
        async for event in events:
            if isinstance(event, ReplyFinished):
                break
    assert (run.ledger[0].error, run.ledger[0].estimated) == (None, False)


async def test_every_request_of_a_step_has_its_number() -> None:
    run, model = Run.begin("x"), ScriptedModel("one", "two", "three")
    metered = Metered(model, run)
    for _ in range(3):
        async with aclosing(metered.stream(REQUEST)) as events:
            async for _ in events:
                pass
    assert [attempt.number for attempt in run.ledger] == [1, 2, 3]
    assert metered.name == "scripted"


@pytest.mark.parametrize("error", [MissingKeyError("no key"), OutputTypeError("no schema")])
async def test_what_was_never_sent_is_not_recorded(error: Exception) -> None:
    run = Run.begin("x")
    with pytest.raises(type(error)):
        async with aclosing(Metered(ScriptedModel(error), run).stream(REQUEST)) as events:
            await anext(events)
    assert len(run.ledger) == 0


@pytest.mark.parametrize(
    ("error", "usage", "estimated"),
    [
        (RateLimitError("wait", status=429, request_id="req_9"), Usage(), False),
        (ModelError("lost", request_id="req_9"), Usage(REQUEST.input_bound(), 100), True),
        (ModelError("never left", billable=False, request_id="req_9"), Usage(), False),
    ],
)
async def test_a_failure_before_the_reply_costs_nothing_or_its_worst_case(
    error: ModelError, usage: Usage, estimated: bool
) -> None:
    run = Run.begin("x")
    with pytest.raises(ModelError):
        async with aclosing(Metered(ScriptedModel(error), run).stream(REQUEST)) as events:
            await anext(events)
    (attempt,) = run.ledger
    assert (attempt.usage, attempt.estimated, attempt.request_id) == (usage, estimated, "req_9")


async def test_the_bound_of_the_input_counts_bytes_and_not_characters() -> None:
    plain = ModelRequest(messages=({"role": "user", "content": "u" * 10},), max_tokens=1)
    assert REQUEST.input_bound() - plain.input_bound() == 10
    with_system = ModelRequest(messages=plain.messages, max_tokens=1, system="s" * 1_000)
    assert with_system.input_bound() - plain.input_bound() >= 990


class Told:
    """Yields what it was told, and then raises what it was told."""

    name = "told"

    def __init__(self, *events: ModelEvent, error: Exception | None = None) -> None:
        self.events = events
        self.error = error

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        for event in self.events:
            yield event
        if self.error is not None:
            raise self.error


BOUND = REQUEST.input_bound()
CUT = ModelError("cut")


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([ReplyStarted("m", "x", Usage(7, 1))], Usage(7, 100)),
        ([ReplyStarted("m", "x", Usage(0, 0, 5, 0))], Usage(0, 100, 5)),
        ([ReplyStarted("m", "x", Usage())], Usage(BOUND, 100)),
        ([ReplyStarted("m", "x", Usage(0, 1))], Usage(BOUND, 100)),
        ([ReplyStarted("m", "x", Usage(7, 130))], Usage(7, 130)),
    ],
)
async def test_a_cut_reply_is_bounded_by_what_was_reported_and_never_by_what_was_not(
    events: list[ModelEvent], usage: Usage
) -> None:
    run = Run.begin("x")
    with pytest.raises(ModelError):
        async with aclosing(Metered(Told(*events, error=CUT), run).stream(REQUEST)) as stream:
            async for _ in stream:
                pass
    (attempt,) = run.ledger
    assert (attempt.usage, attempt.estimated) == (usage, True)


@pytest.mark.parametrize(
    ("reported", "usage"), [(Usage(7, 9), Usage(7, 100)), (Usage(0, 9), Usage(BOUND, 100))]
)
async def test_a_whole_reply_whose_count_is_missing_is_an_upper_bound(reported: Usage, usage: Usage) -> None:
    end = ReplyFinished("end_turn", reported, reported=False)
    (attempt,) = (await drained(Told(ReplyStarted("m", "x", Usage()), TextDelta("a"), end))).ledger
    assert (attempt.usage, attempt.estimated, attempt.stop_reason) == (usage, True, "end_turn")


@pytest.mark.parametrize("error", [CUT, None])
async def test_a_reply_cut_after_its_final_count_costs_exactly_that(error: Exception | None) -> None:
    run = Run.begin("x")
    model = Told(
        ReplyStarted("m", "x", Usage(7, 1)), UsageReported(Usage(7, 9)), TextDelta("late"), error=error
    )
    async with aclosing(Metered(model, run).stream(REQUEST)) as stream:
        async for event in stream:
            if isinstance(event, TextDelta) and error is None:
                break
            if isinstance(event, TextDelta):
                with pytest.raises(ModelError):
                    await anext(stream)
                break
    (attempt,) = run.ledger
    assert (attempt.usage, attempt.estimated) == (Usage(7, 9), False)


async def test_what_is_for_the_record_alone_goes_no_further() -> None:
    end = ReplyFinished("end_turn", Usage(7, 9))
    model = Told(RequestReady(), ReplyStarted("m", "x", Usage(7)), UsageReported(Usage(7, 9)), end)
    async with aclosing(Metered(model, Run.begin("x")).stream(REQUEST)) as stream:
        assert [type(event) async for event in stream] == [RequestReady, ReplyStarted, ReplyFinished]


@pytest.mark.parametrize(
    ("events", "error", "attempts"),
    [
        ([], MissingKeyError("no key"), 0),
        ([], RateLimitError("wait"), 1),
        ([RequestReady()], MissingKeyError("found out late"), 1),
        ([RequestReady()], ModelError("lost"), 1),
        ([RequestReady(), ReplyStarted("m", "x", Usage(7))], CUT, 1),
    ],
)
async def test_every_attempt_that_is_said_to_start_is_said_to_finish(
    events: list[ModelEvent], error: Exception, attempts: int
) -> None:
    seen: list[Event] = []
    chain = Chain("c", Step("a", prompt="x"), model=Told(*events, error=error), policy=Policy(retry=None))
    with pytest.raises(type(error)) as caught:
        await chain.run("x", readers=[seen.append])
    told = [type(event) for event in seen if isinstance(event, AttemptStarted | AttemptFinished)]
    assert told == [AttemptStarted, AttemptFinished] * attempts
    assert len(caught.value.ledger or ()) == attempts  # type: ignore[attr-defined] # pyright: ignore


async def test_what_was_found_out_late_but_never_left_costs_nothing() -> None:
    run = Run.begin("x")
    with pytest.raises(MissingKeyError):
        async with aclosing(
            Metered(Told(RequestReady(), error=MissingKeyError("k")), run).stream(REQUEST)
        ) as s:
            assert await anext(s) == RequestReady(1)
            await anext(s)
    (attempt,) = run.ledger
    assert (attempt.usage, attempt.estimated) == (Usage(), False)


async def test_what_is_cancelled_before_the_request_is_ready_has_cost_nothing() -> None:
    class Preparing:
        name = "preparing"
        announces_requests = True

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            await asyncio.sleep(60)
            yield RequestReady()

    events: list[Event] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Chain("c", Step("a", prompt="x"), model=Preparing()).run("x", readers=[events.append])
    failed = events[-1]
    assert isinstance(failed, RunFailed)
    assert len(failed.ledger) == 0
    assert not [event for event in events if isinstance(event, AttemptStarted | AttemptFinished)]


async def test_the_clock_of_an_attempt_begins_when_its_request_leaves() -> None:
    class Preparing:
        name = "preparing"

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            await asyncio.sleep(0.3)
            yield RequestReady()
            yield ReplyStarted("m", "preparing", Usage(1))
            yield TextDelta("done")
            yield ReplyFinished("end_turn", Usage(1, 1))

    result = await Chain("c", Step("a", prompt="x"), model=Preparing()).run("x")
    assert result.seconds - result.ledger[0].seconds >= 0.3


async def test_a_limit_for_longer_than_a_minute_is_told_instead_of_waited_for(
    messages_api: MessagesAPI,
) -> None:
    messages_api.script(Fault.status(429, retry_after=3600), "an answer")
    seen: list[Event] = []
    chain = Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5")
    with pytest.raises(RateLimitError):
        await chain.run("x", readers=[seen.append])
    assert (await chain.run("x", readers=[seen.append])).output == "an answer"
    assert not [event for event in seen if isinstance(event, Waiting | RetryScheduled)]
