"""The whole policy: in which order its parts stand, what they leave behind, and what hostile models do to them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from promptchain import Chain, Gate, JudgeGate, Run, ScriptedModel, Step
from promptchain.arguments import Arguments
from promptchain.errors import (
    CircuitOpenError,
    ModelTimeoutError,
    OverloadedError,
    PromptChainError,
    StageError,
)
from promptchain.events import (
    AttemptFinished,
    AttemptStarted,
    CircuitChanged,
    Event,
    ModelReplaced,
    RequestHedged,
    RetryScheduled,
    RunFailed,
    TextRetracted,
)
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, ReplyStarted, TextDelta
from promptchain.models import Model, Scripted
from promptchain.resilience import Breaker, Fallback, Hedge, Limits, Policy, Retry, Timeout, protected
from promptchain.testing import Answer, Fault, MessagesAPI, Pace
from promptchain.usage import Usage

HAIKU, SONNET = "claude-haiku-4-5", "claude-sonnet-5-5"
WHOLE = Policy(
    retry=Retry(multiplier=0.01),
    breaker=Breaker(failures=5),
    hedge=Hedge(after=0.2),
    timeout=Timeout(total=30, attempt=10, first_token=5, idle=5),
    fallback=Fallback([ScriptedModel(name="other")]),
    limits=Limits(concurrency=8),
)
OFF = Policy(retry=None, breaker=None, hedge=None, timeout=None, fallback=None, limits=None)


def wrapped(policy: Policy | None) -> list[str]:
    """The wrappers around a model, the outermost first."""
    run = Run.begin("x")
    run.arguments = Arguments(policy=policy)
    model: Any = protected(ScriptedModel(), run)
    kinds: list[str] = []
    while not isinstance(model, ScriptedModel):
        kinds.append(type(model).__name__)
        model = model._model
    return kinds


async def test_the_order_is_the_one_that_is_written_down() -> None:
    assert wrapped(WHOLE) == ["Timed", "FallingBack", "Retried", "Hedged", "Guarded", "Metered", "Timed"]


async def test_retries_a_breaker_and_timeouts_are_on_by_default() -> None:
    assert wrapped(None) == wrapped(Policy()) == ["Retried", "Guarded", "Metered", "Timed"]


async def test_the_ledger_is_on_in_any_case() -> None:
    assert wrapped(OFF) == ["Metered"]
    assert wrapped(Policy(retry=None)) == ["Guarded", "Metered", "Timed"]
    assert wrapped(Policy(breaker=None)) == ["Retried", "Metered", "Timed"]
    assert wrapped(Policy(timeout=None)) == ["Retried", "Guarded", "Metered"]


async def test_a_wrapper_is_a_model_by_the_name_of_the_one_it_asks() -> None:
    run = Run.begin("x")
    run.arguments = Arguments(policy=WHOLE)

    model = protected(ScriptedModel(name="asked"), run)
    assert isinstance(model, Model)
    assert model.name == "asked"


async def test_all_of_it_at_once_answers(api: MessagesAPI) -> None:
    api.script(
        Fault.status(529),  # retried
        Answer("slow", pace=Pace(first=20)),  # hedged
        Fault.reset(
            after=3, answer="x y z"
        ),  # retried: the slow one is still silent, so this one failed alone
        Fault.refusal(),
    )
    seen: list[Event] = []
    policy = Policy(
        retry=Retry(multiplier=0.01),
        hedge=Hedge(after=0.3),
        timeout=Timeout(first_token=1.0),
        fallback=Fallback([SONNET]),
        breaker=Breaker(failures=10),
    )
    ask = Step("ask", prompt="{input}", gates=[Gate(lambda _: True, "no")])
    result = await Chain("c", ask, model=HAIKU, policy=policy).run("x", readers=[seen.append])
    assert result.steps["ask"].model == SONNET
    assert len(api.bill) == len(result.ledger) == 5
    assert sorted(attempt.number for attempt in result.ledger) == [1, 2, 3, 4, 5]
    started = [event.attempt for event in seen if isinstance(event, AttemptStarted)]
    assert started == [1, 2, 3, 4, 5]
    assert len([event for event in seen if isinstance(event, RetryScheduled)]) == 2
    assert len([event for event in seen if isinstance(event, RequestHedged)]) == 1
    assert len([event for event in seen if isinstance(event, ModelReplaced)]) == 1
    assert [event for event in seen if isinstance(event, CircuitChanged)] == []


async def test_parts_that_are_off_do_nothing(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 6, "well")
    chain = Chain("c", Step("ask", prompt="x"), model=HAIKU, policy=OFF)
    for _ in range(6):
        with pytest.raises(OverloadedError):
            await chain.run("x")
    assert (await chain.run("x")).output == "well"
    assert len(api.bill) == 7


async def test_a_step_says_a_part_and_the_chain_the_rest(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 2, "well", *[Fault.status(529)] * 2)
    patient = Step("patient", prompt="x", policy=Policy(breaker=None))
    hasty = Step("hasty", prompt="x", policy=Policy(retry=None))
    policy = Policy(retry=Retry(multiplier=0.01), breaker=Breaker(failures=1, reset=60))
    assert (await Chain("c", patient, model=HAIKU, policy=policy).run("x")).output == "well"
    for kind in (OverloadedError, CircuitOpenError):
        with pytest.raises(kind):
            await Chain("c", hasty, model=HAIKU, policy=policy).run("x")
    assert len(api.bill) == 4


# --- leaving in every phase -----------------------------------------------------------------------------------------


LONG = Answer(deltas=["word "] * 500, pace=Pace(between=0.02))
SLOW = Answer("slow", pace=Pace(first=30))


def has(kind: type[Event], count: int = 1) -> Callable[[list[Event]], bool]:
    return lambda seen: sum(isinstance(event, kind) for event in seen) >= count


PHASES: dict[str, tuple[list[Any], Callable[[list[Event]], bool]]] = {
    "first_token": ([Fault.stall()], has(AttemptStarted)),
    "behind the head": ([Fault.stall(after=2)], has(AttemptStarted)),
    "backoff": ([Fault.status(529, retry_after=20)], has(RetryScheduled)),
    "second attempt": ([Fault.status(529, retry_after=0), Fault.stall()], has(AttemptStarted, 2)),
    "the other model": ([Fault.refusal(), Fault.stall()], has(AttemptStarted, 2)),
    "hedged": ([SLOW, SLOW], has(AttemptStarted, 2)),
}


def protected_chain(*gates: Gate[str], hedge: float = 60) -> Chain[str, str]:
    policy = Policy(fallback=Fallback([SONNET]), hedge=Hedge(after=hedge), breaker=Breaker(failures=10))
    return Chain("c", Step("ask", prompt="{input}", gates=gates), model=HAIKU, policy=policy)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("way", ["leave", "cancel", "timeout"])
async def test_nothing_goes_on_behind_who_leaves(phase: str, way: str, api: MessagesAPI) -> None:
    items, reached = PHASES[phase]
    api.script(*items)
    seen: list[Event] = []
    chain = protected_chain(hedge=0.2 if phase == "hedged" else 60)

    async def until_reached() -> None:
        while not reached(seen):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    if way == "leave":
        async with chain.stream("x", readers=[seen.append]):
            await until_reached()
    elif way == "cancel":
        running = asyncio.create_task(chain.run("x", readers=[seen.append]))
        await until_reached()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                waiting = asyncio.create_task(until_reached())
                waiting.add_done_callback(lambda _: limit.reschedule(0))
                await chain.run("x", readers=[seen.append])

    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.to_thread(api.wait_idle)
    (failed,) = [event for event in seen if isinstance(event, RunFailed)]
    assert isinstance(failed.error, asyncio.CancelledError)
    assert len(failed.ledger) == len(api.bill) == len(items)
    assert (
        all(event.record.error for event in seen if isinstance(event, AttemptFinished))
        or phase == "the other model"
    )


async def test_leaving_in_the_middle_of_tentative_text_takes_it_back(api: MessagesAPI) -> None:
    api.script(LONG)
    seen: list[Event] = []
    async with protected_chain(Gate(lambda _: True, "no")).stream("x", readers=[seen.append]):
        await asyncio.to_thread(api.bill.wait, lambda bill: bill and bill[0].deltas_sent > 5)
    await asyncio.to_thread(api.wait_idle)
    assert api.bill[0].aborted
    assert [event.reason for event in seen if isinstance(event, TextRetracted)] == ["cancelled"]


async def test_a_stream_that_is_never_read_is_ended_as_well(api: MessagesAPI) -> None:
    api.script(LONG)
    stream = protected_chain().stream("x")
    await stream.__aenter__()
    await asyncio.to_thread(api.bill.wait, lambda bill: bill and bill[0].deltas_sent > 5)
    await stream.__aexit__(None, None, None)
    await asyncio.to_thread(api.wait_idle)
    assert api.bill[0].aborted


async def test_a_generator_around_a_stream_that_is_closed_ends_it(api: MessagesAPI) -> None:
    api.script(LONG)

    async def texts() -> AsyncGenerator[str, None]:
        async with protected_chain().stream("x") as stream:
            async for text in stream.text:
                yield text

    pieces = texts()
    assert await anext(pieces)
    await pieces.aclose()
    await asyncio.to_thread(api.wait_idle)
    assert api.bill[0].aborted


async def test_the_wrappers_of_a_stream_that_is_closed_close_what_they_ask(api: MessagesAPI) -> None:
    api.script(LONG)
    run = Run.begin("x")
    run.arguments = Arguments(policy=WHOLE)
    from promptchain import AnthropicModel

    model = protected(AnthropicModel(HAIKU), run)
    events = model.stream(ModelRequest(messages=({"role": "user", "content": "x"},), max_tokens=900))
    async for event in events:
        if isinstance(event, TextDelta):
            break
    await events.aclose()
    await asyncio.to_thread(api.wait_idle)
    assert api.bill[0].aborted
    assert [attempt.error for attempt in run.ledger] == ["cancelled"]


# --- hostile models -------------------------------------------------------------------------------------------------


class Own:
    """A model that behaves as it is told."""

    name = "own"

    def __init__(self, way: str) -> None:
        self.way = way
        self.closed = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        try:
            if self.way == "nothing":
                return
            if self.way == "raises":
                raise ZeroDivisionError("of its own")
            if self.way == "ends twice":
                yield ReplyStarted("m", self.name, Usage(1))
                yield TextDelta("text")
                yield ReplyFinished("end_turn", Usage(1, 1))
                yield ReplyFinished("refusal", Usage(100, 100))
            if self.way == "stops itself":
                raise StopAsyncIteration
            if self.way == "exits":
                raise GeneratorExit
            if self.way == "cancels itself":
                raise asyncio.CancelledError
            yield TextDelta("text")
            yield ReplyFinished("end_turn", Usage(1, 1))
            if self.way == "goes on behind the end":
                yield TextDelta("too late")
                await asyncio.sleep(60)
            raise OverloadedError("behind the end")
        finally:
            self.closed += 1
            if self.way == "raises when it is closed":
                raise ZeroDivisionError("of its own")


POLICIES = {"default": Policy(retry=Retry(multiplier=0.001)), "whole": WHOLE, "off": OFF}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("way", "ends"),
    [
        ("nothing", "without a stop reason"),
        ("raises", "raised ZeroDivisionError: of its own"),
        ("goes on behind the end", None),
        ("raises behind the end", None),
        ("ends twice", None),
        ("stops itself", "raised RuntimeError"),
        ("exits", None),
        ("cancels itself", "waited for something that was cancelled"),
        ("raises when it is closed", "raised ZeroDivisionError: of its own"),
    ],
)
async def test_a_model_that_misbehaves_ends_the_step_and_hangs_nothing(
    way: str, ends: str | None, policy: str
) -> None:
    model = Own(way)
    gate: Gate[str] = Gate(lambda _: True, "no")
    own = POLICIES[policy].over(OFF)
    if own.fallback is not None:
        own = Policy(fallback=None).over(own)
    chain = Chain("c", Step("ask", prompt="x", gates=[gate]), model=model, policy=own)
    before = asyncio.all_tasks()
    async with asyncio.timeout(10):
        if way == "exits":
            with pytest.raises((GeneratorExit, PromptChainError, RuntimeError)):
                await chain.run("x")
        elif ends is None or (way == "raises when it is closed" and own.hedge is not None):
            result = await chain.run("x")
            assert result.output == "text"
            assert [(a.error, a.usage) for a in result.ledger] == [(None, Usage(1, 1))]
        else:
            with pytest.raises(PromptChainError, match=ends):
                await chain.run("x")
    assert model.closed >= 1
    assert asyncio.all_tasks() == before
    gc.collect()


async def test_a_model_whose_closing_takes_time_is_waited_for() -> None:
    closed: list[bool] = []

    class Slow(Own):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            try:
                yield TextDelta("text")
                await asyncio.sleep(60)
                yield ReplyFinished("end_turn", Usage(1, 1))
            finally:
                await asyncio.sleep(0.05)
                closed.append(True)

    for policy in POLICIES.values():
        closed.clear()
        chain = Chain("c", Step("ask", prompt="x"), model=Slow(""), policy=policy)
        async with chain.stream("x") as stream:
            await anext(stream.text)
        assert closed == [True]
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_model_that_swallows_one_cancellation_is_cancelled_all_the_same() -> None:
    class Stubborn(Own):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            self.waits = True
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            yield TextDelta("text")
            yield ReplyFinished("end_turn", Usage(1, 1))

    for policy in POLICIES.values():
        seen: list[Event] = []
        two = Step("ask", prompt="x") | Step("next", prompt="y", model=ScriptedModel("never"))
        chain = Chain("c", two, model=Stubborn(""), policy=policy)
        running = asyncio.create_task(chain.run("x", readers=[seen.append]))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not [event for event in seen if isinstance(event, AttemptStarted) and event.step == "next"]


async def test_errors_that_are_no_errors_of_models_are_neither_retried_nor_counted(api: MessagesAPI) -> None:
    def fails(request: ModelRequest) -> str:
        raise LookupError("of its own")

    model = ScriptedModel(fails, fails, fails, fails, "well")
    chain = Chain("c", Step("ask", prompt="x"), model=model, policy=Policy(breaker=Breaker(failures=1)))
    for _ in range(4):
        with pytest.raises(StageError) as caught:
            await chain.run("x")
        assert isinstance(caught.value.__cause__, LookupError)
    assert (await chain.run("x")).output == "well"


async def test_a_reader_of_events_that_raises_does_not_disturb_the_policy(api: MessagesAPI) -> None:
    api.script(Fault.status(529, retry_after=0), "well")

    def broken(event: Event) -> None:
        if isinstance(event, RetryScheduled):
            raise ZeroDivisionError

    chain = Chain("c", Step("ask", prompt="x"), model=HAIKU)
    with pytest.warns(RuntimeWarning, match="RetryScheduled"):
        assert (await chain.run("x", readers=[broken])).output == "well"


async def test_many_runs_of_one_chain_at_once_do_not_mix(api: MessagesAPI) -> None:
    def answer(request: Any) -> Any:
        tried[request.prompt] = tried.get(request.prompt, 0) + 1
        return Fault.status(529, retry_after=0) if tried[request.prompt] < 3 else f"to {request.prompt}"

    tried: dict[str, int] = {}
    api.answer_with(answer)
    chain = Chain("c", Step("ask", prompt="{input}"), model=HAIKU, policy=Policy(breaker=None))
    results = await asyncio.gather(*[chain.run(str(number)) for number in range(30)])
    assert [result.output for result in results] == [f"to {number}" for number in range(30)]
    assert {len(result.ledger) for result in results} == {3}
    assert len(api.bill) == 90


async def test_a_judge_is_behind_the_same_policy(api: MessagesAPI) -> None:
    api.script("a draft", Fault.stall())
    draft = Step("draft", prompt="{input}", gates=[JudgeGate("It is good.")])
    policy = Policy(retry=None, timeout=Timeout(first_token=0.4))
    with pytest.raises(PromptChainError) as caught:
        await Chain("c", draft, model=HAIKU, policy=policy).run("x")
    assert isinstance(caught.value.__cause__, ModelTimeoutError)


async def test_scripted_silence_between_pieces_is_idle() -> None:
    model = ScriptedModel(Scripted(chunks=["a", "b"], delay=0.3), name="slow")
    policy = Policy(retry=None, timeout=Timeout(first_token=5, idle=0.05))
    with pytest.raises(ModelTimeoutError) as caught:
        await Chain("c", Step("ask", prompt="x"), model=model, policy=policy).run("x")
    assert caught.value.phase == "idle"
