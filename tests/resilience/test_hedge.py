"""Hedging: who is slow is asked again, who begins first is heard, and the others are ended and charged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from promptchain import Chain, Gate, ScriptedModel, Step
from promptchain.errors import CircuitOpenError, OverloadedError, ServerError, StageError
from promptchain.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RequestHedged,
    RetryScheduled,
    TextCommitted,
    TextTentative,
)
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, ReplyStarted, TextDelta
from promptchain.models import Scripted
from promptchain.resilience import Breaker, Hedge, Policy, Retry, Timeout, circuit_of
from promptchain.testing import Answer, Fault, MessagesAPI, Pace
from promptchain.usage import Usage

HAIKU = "claude-haiku-4-5"
SLOW = Answer("slow " * 200, pace=Pace(first=30))


def asking(hedge: Hedge | None = None, model: Any = HAIKU, **parts: Any) -> Chain[str, str]:
    parts.setdefault("retry", None)
    policy = Policy(hedge=hedge or Hedge(after=0.15), **parts)
    ask = Step("ask", prompt="{input}", max_tokens=1_000, gates=[Gate(lambda _: True, "no")])
    return Chain("c", ask, model=model, policy=policy)


def of(kind: type[Any], seen: list[Event]) -> list[Any]:
    return [event for event in seen if isinstance(event, kind)]


@pytest.fixture(autouse=True)
async def warm(api: MessagesAPI) -> None:
    """Two connections and the SDK are there, so that nothing is slow but what is told to be."""
    api.pace = Pace(first=0.1)
    await asyncio.gather(*[asking(Hedge(after=60)).run("warm") for _ in range(3)])
    api.pace = Pace()
    api.bill.clear()


async def test_the_second_is_heard_where_the_first_is_slow(api: MessagesAPI) -> None:
    api.script(SLOW, "quick")
    seen: list[Event] = []

    result = await asking().run("x", readers=[seen.append])

    assert result.output == "quick"
    await asyncio.to_thread(api.wait_idle)
    assert [entry.aborted for entry in api.bill] == [True, False]
    (hedged,) = of(RequestHedged, seen)
    assert (hedged.model, hedged.seconds, hedged.step, hedged.level) == (HAIKU, 0.15, "ask", "info")
    by_number = {attempt.number: attempt for attempt in result.ledger}
    assert len(result.ledger) == 2
    assert (by_number[1].error, by_number[1].estimated) == ("cancelled", True)
    assert by_number[1].usage.total_input_tokens >= api.bill[0].usage.total_input_tokens
    assert by_number[1].usage.output_tokens == 1_000
    assert (by_number[2].error, by_number[2].estimated) == (None, False)
    assert by_number[2].usage == api.bill[1].usage
    assert {event.attempt for event in of(TextTentative, seen)} == {2}
    assert [event.attempt for event in of(TextCommitted, seen)] == [2]
    assert result.judgements[0].attempt == 2
    assert result.steps["ask"].model == HAIKU


async def test_the_first_is_heard_where_it_begins_first_after_all(api: MessagesAPI) -> None:
    api.script(Answer("first", pace=Pace(first=0.4)), SLOW)
    seen: list[Event] = []
    result = await asking().run("x", readers=[seen.append])
    assert result.output == "first"
    assert {event.attempt for event in of(TextTentative, seen)} == {1}
    assert [event.attempt for event in of(TextCommitted, seen)] == [1]
    assert result.judgements[0].attempt == 1
    await asyncio.to_thread(api.wait_idle)
    assert [entry.aborted for entry in api.bill] == [False, True]
    assert {(attempt.number, attempt.error) for attempt in result.ledger} == {(1, None), (2, "cancelled")}


async def test_who_is_quick_is_asked_once(api: MessagesAPI) -> None:
    result = await asking(Hedge(after=5)).run("x")
    assert len(result.ledger) == len(api.bill) == 1


async def test_as_many_more_as_allowed(api: MessagesAPI) -> None:
    api.script(*[SLOW] * 6)
    seen: list[Event] = []
    chain = asking(Hedge(after=0.1, max_extra=3), timeout=Timeout(first_token=0.9))
    with pytest.raises(Exception, match="no first token"):
        await chain.run("x", readers=[seen.append])
    assert len(api.bill) == 4
    assert [event.seconds for event in of(RequestHedged, seen)] == pytest.approx([0.1, 0.2, 0.3])
    assert [event.attempt for event in of(AttemptStarted, seen)] == [1, 2, 3, 4]
    assert len(of(AttemptFinished, seen)) == 4


async def test_where_both_fail_it_is_the_failure_of_the_first() -> None:
    model = ScriptedModel(
        Scripted(chunks=[""] * 30, delay=0.02, error=OverloadedError("the first")),
        Scripted(error=ServerError("the second")),
    )
    with pytest.raises(OverloadedError, match="the first") as caught:
        await asking(model=model).run("x")
    assert caught.value.ledger is not None
    assert {attempt.number for attempt in caught.value.ledger} == {1, 2}


async def test_where_the_extra_one_fails_the_first_is_waited_for(api: MessagesAPI) -> None:
    api.script(Answer("first", pace=Pace(first=0.6)), Fault.status(529))
    result = await asking().run("x")
    assert result.output == "first"
    assert {(a.number, a.error is None) for a in result.ledger} == {(1, True), (2, False)}
    await asyncio.to_thread(api.wait_idle)
    assert [entry.aborted for entry in api.bill] == [False, False]


async def test_where_the_first_fails_while_both_run_the_extra_one_is_waited_for() -> None:
    model = ScriptedModel(
        Scripted(chunks=[""] * 15, delay=0.02, error=OverloadedError("the first")),
        Scripted(chunks=["second"], delay=0.4),
    )
    assert (await asking(model=model).run("x")).output == "second"


async def test_a_failure_before_it_is_time_is_the_retrys_affair(api: MessagesAPI) -> None:
    api.script(Fault.status(529), "well")
    seen: list[Event] = []
    await asking(Hedge(after=5), retry=Retry(multiplier=0.01)).run("x", readers=[seen.append])
    assert len(api.bill) == 2
    assert of(RequestHedged, seen) == []


async def test_each_attempt_is_hedged(api: MessagesAPI) -> None:
    api.script(SLOW, Fault.reset(after=2, answer="x"), "well")
    seen: list[Event] = []
    chain = asking(retry=Retry(multiplier=0.01), timeout=Timeout(first_token=0.6))
    result = await chain.run("x", readers=[seen.append])
    assert result.output == "well"
    assert len(api.bill) == 3
    (retried,) = of(RetryScheduled, seen)
    assert retried.attempt == 1
    assert sorted(attempt.number for attempt in result.ledger) == [1, 2, 3]


async def test_once_a_reply_has_begun_it_is_not_hedged(api: MessagesAPI) -> None:
    api.script(Answer(deltas=["a ", "b ", "c "], pace=Pace(between=0.3)))
    assert (await asking(Hedge(after=0.25)).run("x")).output == "a b c "
    assert len(api.bill) == 1


@pytest.mark.parametrize("sent", [1, 2])
async def test_being_cancelled_ends_all_of_them(sent: int, api: MessagesAPI) -> None:
    api.script(SLOW, SLOW)
    seen: list[Event] = []
    chain = asking(Hedge(after=0.15 if sent == 2 else 60))
    running = asyncio.create_task(chain.run("x", readers=[seen.append]))
    await asyncio.to_thread(api.bill.wait, lambda bill: len(bill) == sent)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(of(AttemptFinished, seen)) == sent
    assert {event.record.error for event in of(AttemptFinished, seen)} == {"cancelled"}
    await asyncio.to_thread(api.wait_idle)
    assert [entry.aborted for entry in api.bill] == [True] * sent


async def test_leaving_a_stream_ends_all_of_them(api: MessagesAPI) -> None:
    api.script(SLOW, SLOW)
    async with asking().stream("x") as stream:
        await asyncio.to_thread(api.bill.wait, lambda bill: len(bill) == 2)
    assert [attempt.error for attempt in stream.ledger] == ["cancelled"] * 2


async def test_leaving_a_stream_in_the_middle_of_the_text_ends_it(api: MessagesAPI) -> None:
    api.script(SLOW, Answer(deltas=["word "] * 500, pace=Pace(between=0.02)))
    plain = Chain("c", Step("ask", prompt="x"), model=HAIKU, policy=Policy(hedge=Hedge(after=0.15)))
    async with plain.stream("x") as stream:
        assert await anext(stream.text) == "word "
    await asyncio.to_thread(api.wait_idle)
    assert [entry.aborted for entry in api.bill] == [True, True]
    assert {(attempt.number, attempt.error) for attempt in stream.ledger} == {
        (1, "cancelled"),
        (2, "cancelled"),
    }


class Counting:
    """Counts how far it is ahead of its reader."""

    name = "counting"

    def __init__(self) -> None:
        self.given = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield ReplyStarted("m", self.name, Usage(1))
        for _ in range(2_000):
            self.given += 1
            yield TextDelta("x")
            await asyncio.sleep(0)
        yield ReplyFinished("end_turn", Usage(1, 1))


async def test_a_slow_reader_slows_the_model() -> None:
    model = Counting()
    plain = Chain("c", Step("ask", prompt="x"), model=model, policy=Policy(hedge=Hedge(after=60)))
    async with plain.stream("x") as stream:
        text = stream.text
        await anext(text)
        await asyncio.sleep(0.3)
        assert model.given < 500
        assert len([piece async for piece in text]) == 1_999


async def test_one_of_them_may_try_a_circuit_that_is_half_open(api: MessagesAPI) -> None:
    breaker = Breaker(failures=1, reset=0.1)
    api.script(Fault.status(529))
    with pytest.raises(OverloadedError):
        await asking(breaker=breaker).run("x")
    while circuit_of(HAIKU, breaker).state == "open":
        await asyncio.sleep(0.02)
    api.script(Answer("the one", pace=Pace(first=0.6)))
    result = await asking(Hedge(after=0.1, max_extra=3), breaker=breaker).run("x")
    assert result.output == "the one"
    assert len(api.bill) == 2
    assert len(result.ledger) == 1
    assert circuit_of(HAIKU, breaker).state == "closed"


async def test_where_the_circuit_is_open_nothing_is_hedged(api: MessagesAPI) -> None:
    breaker = Breaker(failures=1, reset=60)
    api.script(Fault.status(529))
    with pytest.raises(OverloadedError):
        await asking(breaker=breaker).run("x")
    with pytest.raises(CircuitOpenError):
        await asking(breaker=breaker).run("x")
    assert len(api.bill) == 1


async def test_one_that_is_ended_is_no_verdict_on_the_model(api: MessagesAPI) -> None:
    breaker = Breaker(failures=1)
    api.script(SLOW, "quick")
    await asking(breaker=breaker).run("x")
    assert circuit_of(HAIKU, breaker).state == "closed"


# --- a user's own models --------------------------------------------------------------------------------------------


class Own:
    name = "own"

    def __init__(self, *ways: str) -> None:
        self.ways = list(ways)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        match self.ways.pop(0):
            case "waits":
                await asyncio.sleep(60)
            case "waits a little":
                await asyncio.sleep(0.3)
            case "stubborn":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    await asyncio.sleep(0.05)
            case "cancels itself":
                raise asyncio.CancelledError
            case "crashes":
                raise ZeroDivisionError
            case "is empty":
                return
            case _:
                pass
        yield ReplyStarted("m", self.name, Usage(1))
        yield TextDelta("text")
        yield ReplyFinished("end_turn", Usage(1, 1))
        yield TextDelta("too late")


@pytest.mark.parametrize("second", ["answers", "waits a little"])
@pytest.mark.parametrize("first", ["waits", "stubborn"])
async def test_the_numbers_are_right_also_of_a_model_that_does_not_announce_its_requests(
    first: str, second: str
) -> None:
    seen: list[Event] = []
    result = await asking(Hedge(after=0.05), model=Own(first, second)).run("x", readers=[seen.append])
    assert result.output == "text"
    numbers = [attempt.number for attempt in result.ledger]
    assert sorted(numbers) == [1, 2]
    (heard,) = {event.attempt for event in of(TextTentative, seen)}
    assert [event.attempt for event in of(TextCommitted, seen)] == [heard]
    assert result.judgements[0].attempt == heard
    assert result.ledger[numbers.index(heard)].error is None


@pytest.mark.parametrize("way", ["cancels itself", "crashes"])
async def test_a_model_that_breaks_in_its_own_way_ends_the_step(way: str) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(StageError):
            await asking(model=Own(way)).run("x")
        # Where it is the extra one that breaks, the first is waited for.
        assert (await asking(Hedge(after=0.02), model=Own("waits a little", way)).run("x")).output == "text"


async def test_a_reply_without_an_end_is_no_reply() -> None:
    with pytest.raises(Exception, match="without a stop reason"):
        await asking(model=Own("is empty")).run("x")
