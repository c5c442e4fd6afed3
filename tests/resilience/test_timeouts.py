"""Timeouts: which silence ends a request, which does not, and what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from promptchain import Chain, Gate, Run, ScriptedModel, Step
from promptchain.errors import ModelTimeoutError, OverloadedError, PromptChainError
from promptchain.events import Event, RetryScheduled, TextCommitted, TextRetracted
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    RequestReady,
    TextDelta,
    ThinkingDelta,
)
from promptchain.models import Scripted
from promptchain.resilience import Fallback, Policy, Retry, Timeout
from promptchain.resilience.timing import Timed
from promptchain.testing import Answer, Fault, MessagesAPI, Pace
from promptchain.usage import Usage

HAIKU = "claude-haiku-4-5"
NONE: dict[str, Any] = {"attempt": None, "first_token": None, "idle": None}
REQUEST = ModelRequest(messages=({"role": "user", "content": "x"},), max_tokens=9)
TWENTY = " ".join(str(number) for number in range(20))


def asking(model: Any = HAIKU, **limits: float | None) -> Chain[str, str]:
    policy = Policy(retry=None, breaker=None, timeout=Timeout(**{**NONE, **limits}))
    return Chain("c", Step("ask", prompt="{input}", max_tokens=100), model=model, policy=policy)


@pytest.fixture(autouse=True)
async def warm(api: MessagesAPI) -> None:
    """A connection and the SDK are there, so that a limit is about the reply."""
    await asking().run("warm")
    api.bill.clear()


@pytest.mark.parametrize(
    ("phase", "fault", "words"),
    [
        ("first_token", Fault.stall(), "no first token came within 0.3 s"),
        ("first_token", Fault.stall(after=2), "no first token came within 0.3 s"),
        ("idle", Fault.stall(after=8, answer=TWENTY), "the reply stopped for longer than 0.3 s"),
        ("attempt", Fault.stall(), "the reply took longer than 0.3 s"),
        ("attempt", Fault.stall(after=8, answer=TWENTY), "the reply took longer than 0.3 s"),
        ("total", Fault.stall(), "the reply took longer than 0.3 s in total, with all attempts"),
    ],
)
async def test_each_limit_says_that_it_was_the_one(
    phase: str, fault: Fault, words: str, api: MessagesAPI
) -> None:
    api.script(fault)
    with pytest.raises(ModelTimeoutError) as caught:
        await asking(**{phase: 0.3}).run("x")
    assert caught.value.phase == phase
    assert str(caught.value) == f"step 'ask': {words} (Timeout({phase}=...))."
    assert caught.value.ledger is not None
    (attempt,) = caught.value.ledger
    await asyncio.to_thread(api.wait_idle)
    (billed,) = api.bill
    assert billed.aborted
    assert attempt.estimated
    assert attempt.usage.output_tokens >= billed.usage.output_tokens
    assert attempt.usage.total_input_tokens >= billed.usage.total_input_tokens
    if phase == "total":  # the request did not take too long by itself: it was ended with the rest
        assert attempt.error == "cancelled"
    else:
        assert (attempt.error or "").startswith("ModelTimeoutError: ")


@pytest.mark.parametrize(
    ("limits", "phase"),
    [
        ({"first_token": 0.2, "attempt": 0.4, "total": 0.6}, "first_token"),
        ({"first_token": 0.6, "attempt": 0.2, "total": 0.4}, "attempt"),
        ({"first_token": 0.6, "attempt": 0.4, "total": 0.2}, "total"),
        ({"idle": 0.1, "first_token": 0.2}, "first_token"),
    ],
)
async def test_the_first_limit_that_is_met_counts(
    limits: dict[str, float], phase: str, api: MessagesAPI
) -> None:
    api.script(Fault.stall())
    with pytest.raises(ModelTimeoutError) as caught:
        await asking(**limits).run("x")
    assert caught.value.phase == phase


async def test_a_reply_that_keeps_coming_is_not_idle(api: MessagesAPI) -> None:
    api.script(Answer(TWENTY, pace=Pace(between=0.05)))
    assert (await asking(idle=0.4, first_token=0.4).run("x")).output == TWENTY


async def test_a_reply_that_keeps_coming_for_too_long_is_ended(api: MessagesAPI) -> None:
    api.script(Answer(TWENTY, pace=Pace(between=0.1)))
    seen: list[Event] = []
    with pytest.raises(ModelTimeoutError) as caught:
        await asking(attempt=0.5, idle=10).run("x", readers=[seen.append])
    assert caught.value.phase == "attempt"
    assert [event for event in seen if isinstance(event, TextCommitted)]


async def test_thinking_is_a_sign_of_life(api: MessagesAPI) -> None:
    model = ScriptedModel(Scripted(thinking="hm", chunks=["a", "b"], delay=0.15))
    assert (await asking(model, first_token=0.25, idle=0.25).run("x")).output == "ab"


async def test_a_reader_may_take_its_time(api: MessagesAPI) -> None:
    api.script(Answer(deltas=[f"{number} " for number in range(600)]))
    limits = Timeout(idle=0.3, first_token=0.5, attempt=0.8)
    policy = Policy(retry=None, breaker=None, timeout=limits)
    chain = Chain("c", Step("ask", prompt="{input}"), model=HAIKU, policy=policy)
    text: list[str] = []
    async with chain.stream("x") as stream:
        async for piece in stream.text:
            text.append(piece)
            if len(text) in {1, 300}:
                await asyncio.sleep(0.6)  # longer than anything may take
    assert "".join(text) == "".join(f"{number} " for number in range(600))


async def test_what_a_gate_takes_is_no_silence_of_the_model(api: MessagesAPI) -> None:
    async def slow(text: str) -> bool:
        await asyncio.sleep(0.5)
        return True

    policy = Policy(retry=None, timeout=Timeout(total=0.4, first_token=0.3, idle=0.3))
    ask = Step("ask", prompt="{input}", gates=[Gate(slow, "no")])
    assert (await Chain("c", ask, model=HAIKU, policy=policy).run("x")).output


async def test_without_limits_there_are_none(api: MessagesAPI) -> None:
    api.script(Answer(TWENTY, pace=Pace(first=0.5)))
    off = Policy(timeout=None)
    assert (await Chain("c", Step("a", prompt="{input}"), model=HAIKU, policy=off).run("x")).output == TWENTY


# --- together with the rest -----------------------------------------------------------------------------------------


async def test_a_request_that_took_too_long_is_followed_by_another(api: MessagesAPI) -> None:
    api.script(Fault.stall(after=8, answer="void text that stops"), "whole")
    seen: list[Event] = []
    policy = Policy(retry=Retry(multiplier=0.01), timeout=Timeout(idle=0.3))
    ask = Step("ask", prompt="{input}", gates=[Gate(lambda _: True, "no")])
    result = await Chain("c", ask, model=HAIKU, policy=policy).run("x", readers=[seen.append])
    assert result.output == "whole"
    (retried,) = [event for event in seen if isinstance(event, RetryScheduled)]
    assert isinstance(retried.error, ModelTimeoutError)
    assert retried.error.phase == "idle"
    assert len([event for event in seen if isinstance(event, TextRetracted)]) == 1
    assert [attempt.estimated for attempt in result.ledger] == [True, False]


async def test_the_total_holds_all_attempts_and_waits(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529, retry_after=0.3)] * 9)
    policy = Policy(retry=Retry(attempts=9), breaker=None, timeout=Timeout(total=0.7))
    with pytest.raises(ModelTimeoutError) as caught:
        await Chain("c", Step("ask", prompt="x"), model=HAIKU, policy=policy).run("x")
    assert caught.value.phase == "total"
    assert 2 <= len(api.bill) <= 3
    assert caught.value.ledger is not None
    assert len(caught.value.ledger) == len(api.bill)


async def test_the_total_holds_the_other_models_too(api: MessagesAPI) -> None:
    api.script(Fault.status(529), Fault.stall())
    others = Fallback(["claude-sonnet-5-5"])
    policy = Policy(retry=None, fallback=others, timeout=Timeout(total=0.5))
    with pytest.raises(ModelTimeoutError) as caught:
        await Chain("c", Step("ask", prompt="x"), model=HAIKU, policy=policy).run("x")
    assert caught.value.phase == "total"
    assert [entry.model for entry in api.bill] == [HAIKU, "claude-sonnet-5-5"]


# --- cancellation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [None, 2, 8])
async def test_being_cancelled_is_no_timeout(after: int | None, api: MessagesAPI) -> None:
    api.script(Fault.stall(after=after, answer=TWENTY))
    seen: list[Event] = []
    chain = asking(first_token=60, idle=60, attempt=60, total=60)
    running = asyncio.create_task(chain.run("x", readers=[seen.append]))
    await asyncio.to_thread(api.bill.wait, lambda bill: bill and bill[0].aborted)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert running.cancelled()


class Silent:
    """Never says anything, and tells when it is told to go."""

    name = "silent"

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.cancelled: list[bool] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield ReplyStarted("m", self.name, Usage(1))
        self.waiting.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.append(True)
            raise


@pytest.mark.parametrize("phase", ["first_token", "attempt", "total"])
async def test_being_cancelled_when_the_time_is_over_is_being_cancelled(phase: str) -> None:
    model = Silent()
    running = asyncio.create_task(asking(model, **{phase: 0.05}).run("x"))
    await model.waiting.wait()
    while not running.cancelling():
        await asyncio.sleep(0)
    running.cancel()  # the timer has rung, and the task has not heard of it
    await asyncio.wait([running])
    assert running.cancelled()
    assert model.cancelled == [True]


async def test_a_timeout_around_a_run_is_the_callers(api: MessagesAPI) -> None:
    api.script(Fault.stall())
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await asking(first_token=60).run("x")
    assert not isinstance(caught.value, PromptChainError)
    await asyncio.to_thread(api.wait_idle)
    assert api.bill[0].aborted


async def test_a_timeout_leaves_no_cancellation_behind(api: MessagesAPI) -> None:
    api.script(Fault.stall(), "well")
    chain = asking(first_token=0.2)
    with pytest.raises(ModelTimeoutError):
        await chain.run("x")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(5):
        assert (await chain.run("x")).output == "well"
    assert not Run.begin("x").is_cancelled


# --- a user's own models --------------------------------------------------------------------------------------------


class Stubborn(Silent):
    """Does not let itself be cancelled, and goes on, or ends, as if nothing were."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.end = end

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield ReplyStarted("m", self.name, Usage(1))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        if self.end == "raises":
            raise OverloadedError("busy")
        if self.end == "stops":
            return
        yield TextDelta("late")
        yield ReplyFinished("end_turn", Usage(1, 1))


@pytest.mark.parametrize("end", ["goes on", "stops", "raises"])
@pytest.mark.parametrize("phase", ["first_token", "attempt", "total"])
async def test_a_model_that_swallows_the_cancellation_has_still_taken_too_long(phase: str, end: str) -> None:
    with pytest.raises(ModelTimeoutError) as caught:
        await asking(Stubborn(end), **{phase: 0.05}).run("x")
    assert caught.value.phase == phase
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_timeout_error_of_the_models_own_is_not_ours() -> None:
    class Own(Silent):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            async with asyncio.timeout(0.01):
                await asyncio.get_running_loop().create_future()
            yield ReplyStarted("m", self.name, Usage(1))

    with pytest.raises(PromptChainError, match="raised TimeoutError") as caught:
        await asking(Own(), first_token=60, total=60).run("x")
    assert not isinstance(caught.value, ModelTimeoutError)


async def collected(model: Timed) -> list[str]:
    kinds: list[str] = []
    async with contextlib.aclosing(model.stream(REQUEST)) as events:
        async for event in events:
            kinds.append(type(event).__name__)
    return kinds


async def test_what_comes_before_a_request_leaves_is_no_part_of_it() -> None:
    class Slow(Silent):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            await asyncio.sleep(0.15)
            yield RequestReady()
            await asyncio.sleep(0.15)
            yield ReplyStarted("m", self.name, Usage(1))
            yield ThinkingDelta("hm")
            yield TextDelta("a")
            yield ReplyFinished("end_turn", Usage(1, 1))

    timed = Timed(Slow(), Timeout(first_token=0.25, attempt=0.25, idle=None))
    assert (await collected(timed))[-1] == "ReplyFinished"
    with pytest.raises(ModelTimeoutError) as caught:
        await collected(Timed(Slow(), Timeout(total=0.25, first_token=None, attempt=None)))
    assert caught.value.phase == "total"


async def test_an_events_own_time_is_counted_once() -> None:
    """The time between two events belongs to whoever is asked for the next one."""

    class Even(Silent):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            for _ in range(10):
                await asyncio.sleep(0.01)
                yield TextDelta("a")
            yield ReplyFinished("end_turn", Usage(1, 1))

    kinds: list[str] = []
    timed = Timed(Even(), Timeout(attempt=0.5, idle=0.3))
    async with contextlib.aclosing(timed.stream(REQUEST)) as events:
        async for event in events:
            kinds.append(type(event).__name__)
            await asyncio.sleep(0.1)  # 1.1 s in all
    assert len(kinds) == 11
