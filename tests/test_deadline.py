"""Deadlines: a run that takes too long is ended in whatever it does, and says in what."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from promptchain import Chain, Gate, JudgeGate, Run, ScriptedModel, Stage, Step, step
from promptchain.errors import DeadlineError, DefinitionError, InputError, StageError, StepTimeoutError
from promptchain.events import Event, RunFailed, StepFailed, StepStarted, TextRetracted
from promptchain.models.scripted import Scripted
from promptchain.policy import Limits, Policy
from promptchain.testing import Fault, MessagesAPI

HAIKU = "claude-haiku-4-5"
ONCE = Policy(retry=None)
LONG = " ".join(str(number) for number in range(100))


@pytest.fixture
async def api(messages_api: MessagesAPI) -> AsyncGenerator[MessagesAPI]:
    """The API, when the SDK is imported and a connection is there."""
    messages_api.script("warm")
    await Chain("warm", Step("warm", prompt="{input}"), model=HAIKU).run("x")
    messages_api.bill.clear()
    yield messages_api
    await asyncio.to_thread(messages_api.wait_idle)


async def stuck(value: object) -> bool:
    await asyncio.sleep(60)
    return True


@step
async def waits(text: str) -> str:
    await asyncio.sleep(60)
    return text


@step
def blocks(text: str) -> str:
    time.sleep(2)  # a thread cannot be ended, so it ends by itself
    return text


first = Step("first", prompt="{input}")
last = Step("last", prompt="{previous}")
judged = Step("judged", prompt="{input}", gates=[JudgeGate("r")])
STALLS: dict[str, tuple[Stage[Any, Any], list[Any], str, str | None, int]] = {
    "before any byte": (first | last, ["one", Fault.stall()], "first_token", "last", 2),
    "before the first token": (first | last, ["one", Fault.stall(after=2)], "first_token", "last", 2),
    "in the middle": (first | last, ["one", Fault.stall(after=9, answer=LONG)], "next_token", "last", 2),
    "in the middle of an inner step": (
        first | last,
        [Fault.stall(after=9, answer=LONG)],
        "next_token",
        "first",
        1,
    ),
    "in a gate": (Step("a", prompt="{input}", gates=[Gate(stuck)]), ["one"], "gate", "a", 1),
    "in a judge": (judged, ["one", Fault.stall(after=2)], "gate", "judged", 2),
    "in an async function": (first | waits, ["one"], "stage", "waits", 1),
    "in a thread": (first | blocks, ["one"], "stage", "blocks", 1),
    "in the gate of an inner chain": (
        first | Chain("inner", last, input_gates=[Gate(stuck)]),
        ["one"],
        "gate",
        "inner",
        1,
    ),
    "in an inner chain": (
        first | Chain("inner", last),
        ["one", Fault.stall()],
        "first_token",
        "inner/last",
        2,
    ),
}


@pytest.mark.parametrize("way", ["run", "stream"])
@pytest.mark.parametrize("where", STALLS)
async def test_a_run_that_stalls_ends_at_its_deadline_with_everything_in_it(
    api: MessagesAPI, where: str, way: str
) -> None:
    stages, script, phase, place, requests = STALLS[where]
    api.script(*script)
    chain = Chain("c", stages, model=HAIKU, policy=ONCE)
    before = asyncio.all_tasks()

    with pytest.raises(DeadlineError) as caught:
        if way == "run":
            await chain.run("x", deadline=0.3)
        else:
            async with chain.stream("x", deadline=0.3) as stream:
                async for _ in stream:
                    pass

    error = caught.value
    assert (error.phase, error.step, error.seconds) == (phase, place, 0.3)
    assert "the deadline of 0.3 s has passed" in str(error)
    assert error.ledger is not None
    assert len(error.ledger) == requests
    assert asyncio.all_tasks() == before
    await asyncio.to_thread(api.wait_idle)  # no connection is left open
    assert len(api.bill) == requests
    assert all(entry.ended for entry in api.bill)
    billed = api.bill.usage
    assert error.ledger.usage.output_tokens >= billed.output_tokens
    assert error.ledger.usage.input_tokens >= billed.input_tokens


async def test_a_wait_that_would_pass_the_deadline_is_not_begun(api: MessagesAPI) -> None:
    api.script("one", Fault.status(529, retry_after=20))
    with pytest.raises(DeadlineError) as caught:
        await Chain("c", first | last, model=HAIKU).run("x", deadline=10)
    assert (caught.value.phase, caught.value.step, caught.value.seconds) == ("backoff", "last", 10)
    assert len(api.bill) == 2


async def test_an_optional_step_that_cannot_wait_so_long_is_left_out(api: MessagesAPI) -> None:
    api.script(Fault.status(529, retry_after=20), "two")
    hurried = Step("first", prompt="{input}", optional=True, default="default")
    result = await Chain("c", hurried | last, model=HAIKU).run("x", deadline=10)
    assert result.output == "two"
    assert result[hurried].output == "default"


async def test_a_run_that_waits_for_another_ends_at_its_deadline(api: MessagesAPI) -> None:
    api.script(Fault.stall())
    chain = Chain("c", first, model=HAIKU, policy=Policy(retry=None, limits=Limits(concurrency=1)))
    other = asyncio.create_task(chain.run("x"))
    await asyncio.to_thread(api.bill.wait, lambda bill: len(bill) == 1)
    with pytest.raises(DeadlineError) as caught:
        await chain.run("y", deadline=0.3)
    assert (caught.value.phase, caught.value.step) == ("queue", "first")
    assert len(api.bill) == 1
    assert caught.value.ledger is not None
    assert len(caught.value.ledger) == 0
    other.cancel()
    await asyncio.wait({other})


async def test_a_run_whose_input_gate_stalls_ends_before_anything_is_sent(api: MessagesAPI) -> None:
    chain = Chain("c", first, model=HAIKU, input_gates=[Gate(stuck)], deadline=0.05)
    with pytest.raises(DeadlineError) as caught:
        await chain.run("x")
    assert (caught.value.phase, caught.value.step) == ("gate", None)
    assert str(caught.value) == (
        "the deadline of 0.05 s has passed in a gate: allow the run more time, or give it less to do."
    )
    assert caught.value.run_id is not None
    assert len(api.bill) == 0


async def test_the_events_say_where_the_deadline_passed(api: MessagesAPI) -> None:
    api.script(Fault.stall(after=9, answer=LONG))
    seen: list[Event] = []
    chain = Chain("c", Chain("inner", first | last), model=HAIKU, policy=ONCE)
    with pytest.raises(DeadlineError):
        await chain.run("x", deadline=0.3, readers=[seen.append])
    failed = [(event.step, type(event.error)) for event in seen if isinstance(event, StepFailed)]
    assert failed == [("inner/first", DeadlineError), ("inner", DeadlineError)]
    assert [event.reason for event in seen if isinstance(event, TextRetracted)] == ["cancelled"]
    assert isinstance(seen[-1], RunFailed)
    assert isinstance(seen[-1].error, DeadlineError)


@pytest.mark.parametrize(
    ("of_chain", "of_run", "holds"),
    [(0.05, None, 0.05), (0.05, 60, 0.05), (60, 0.05, 0.05), (None, 0.05, 0.05)],
)
async def test_of_a_chains_deadline_and_a_runs_the_tighter_one_holds(
    of_chain: float | None, of_run: float | None, holds: float
) -> None:
    with pytest.raises(DeadlineError) as caught:
        await Chain("c", waits, deadline=of_chain).run("x", deadline=of_run)
    assert caught.value.seconds == holds


@pytest.mark.parametrize(("outer", "inner"), [(0.05, 60), (60, 0.05), (0.05, None)])
async def test_of_nested_chains_the_tighter_deadline_holds(outer: float, inner: float | None) -> None:
    chain = Chain("outer", Chain("inner", waits, deadline=inner), deadline=outer)
    with pytest.raises(DeadlineError) as caught:
        await chain.run("x")
    assert (caught.value.seconds, caught.value.step) == (0.05, "inner/waits")


async def test_the_deadline_of_an_inner_chain_ends_with_it() -> None:
    @step
    async def takes_a_while(text: str, run: Run) -> str:
        assert run.deadline is None
        await asyncio.sleep(0.15)
        return text

    inner = Chain("inner", step(name="quick")(str.strip), deadline=0.1)
    assert (await Chain("c", inner | takes_a_while).run("x")).output == "x"


async def test_a_function_can_ask_how_much_time_is_left() -> None:
    @step
    def in_a_thread(text: str, run: Run) -> float:
        assert run.deadline is not None
        return run.deadline.left

    left = (await Chain("c", in_a_thread).run("x", deadline=60)).output
    assert 0 < left <= 60


async def test_a_run_that_is_in_time_is_as_one_without_a_deadline() -> None:
    result = await Chain("c", first | last, model=ScriptedModel("one", "two")).run("x", deadline=60)
    assert result.output == "two"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_a_deadline_holds_in_run_sync() -> None:
    with pytest.raises(DeadlineError):
        Chain("c", waits).run_sync("x", deadline=0.05)


@pytest.mark.parametrize("deadline", [0, -1, True, "5", float("inf"), float("nan"), 10**400])
def test_a_deadline_that_is_none_is_refused(deadline: Any) -> None:
    told = "deadline is a number of seconds above 0"
    with pytest.raises(DefinitionError, match=f"the chain 'c': {told}"):
        Chain("c", waits, deadline=deadline)
    with pytest.raises(InputError, match=told):
        Chain("c", waits).run_sync("x", deadline=deadline)
    with pytest.raises(InputError, match=told):
        Chain("c", waits).stream("x", deadline=deadline)


async def test_no_stage_begins_when_the_deadline_has_passed() -> None:
    def blocks_the_loop(text: str) -> bool:
        time.sleep(0.1)
        return True

    seen: list[Event] = []
    model = ScriptedModel("one", "never asked for")
    slow = Step("slow", prompt="x", gates=[Gate(blocks_the_loop)])
    with pytest.raises(DeadlineError) as caught:
        await Chain("c", slow | last, model=model).run("x", deadline=0.05, readers=[seen.append])
    assert (caught.value.phase, caught.value.step) == ("stage", "last")
    assert "before this stage could begin" in str(caught.value)
    assert [event.step for event in seen if isinstance(event, StepStarted)] == ["slow"]
    assert model.pending == 1


@step
async def stubborn(text: str) -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return "late"


@step
async def touchy(text: str) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise ValueError("not now") from None
    return text


async def stubborn_gate(text: str) -> bool:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return True


@pytest.mark.parametrize(
    ("stages", "phase"),
    [
        (stubborn, "stage"),
        (touchy, "stage"),
        (step(name="s", gates=[Gate(stubborn_gate)])(str.strip), "gate"),
    ],
)
@pytest.mark.parametrize("place", ["last", "before another", "in another chain"])
async def test_what_does_not_let_itself_be_ended_does_not_go_on(
    stages: Stage[str, str], phase: str, place: str
) -> None:
    model = ScriptedModel("never asked for")
    chains = {
        "last": Chain("c", stages),
        "before another": Chain("c", stages | Step("b", prompt="x"), model=model),
        "in another chain": Chain("c", Chain("inner", stages) | Step("b", prompt="x"), model=model),
    }
    with pytest.raises(DeadlineError) as caught:
        await chains[place].run("x", deadline=0.05)
    assert caught.value.phase == phase
    assert (caught.value.step or "").endswith(stages.name)
    assert model.pending == 1
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_input_gate_that_does_not_let_itself_be_ended_ends_the_run_all_the_same() -> None:
    chain = Chain("c", first, model=ScriptedModel("never"), input_gates=[Gate(stubborn_gate)])
    with pytest.raises(DeadlineError) as caught:
        await chain.run("x", deadline=0.05)
    assert caught.value.phase == "gate"


async def test_a_run_that_its_caller_cancels_is_cancelled() -> None:
    task = asyncio.create_task(Chain("c", waits).run("x", deadline=60))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("first_is", ["caller", "deadline"])
async def test_a_run_that_is_cancelled_at_its_deadline_is_cancelled(first_is: str) -> None:
    has_begun = asyncio.Event()

    @step
    async def slow_to_go(text: str) -> str:
        try:
            has_begun.set()
            await asyncio.sleep(60)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.3)
        return text

    task = asyncio.create_task(Chain("c", slow_to_go).run("x", deadline=0.1))
    await has_begun.wait()
    await asyncio.sleep(0 if first_is == "caller" else 0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_a_run_is_no_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await Chain("c", waits).run("x", deadline=60)


async def test_the_deadline_of_a_run_in_a_run_is_an_error_of_the_function_that_began_it() -> None:
    inner = Chain("inner", waits)

    @step
    async def asks(text: str) -> str:
        return (await inner.run(text, deadline=0.05)).output

    with pytest.raises(StageError, match="raised DeadlineError"):
        await Chain("outer", asks).run("x", deadline=60)


@pytest.mark.parametrize(
    ("timeout", "deadline", "error"), [(0.05, 60, StepTimeoutError), (60, 0.05, DeadlineError)]
)
async def test_a_steps_timeout_and_a_deadline_are_told_apart(
    timeout: float, deadline: float, error: type[Exception]
) -> None:
    slow = ScriptedModel(Scripted(chunks=["a", "b"], delay=60))
    with pytest.raises(error):
        await Chain("c", Step("a", prompt="x", timeout=timeout), model=slow, policy=ONCE).run(
            "x", deadline=deadline
        )


async def test_a_thread_is_left_behind_at_the_deadline() -> None:
    let_go, ended = threading.Event(), threading.Event()

    @step
    def holds_on(text: str) -> str:
        let_go.wait(60)
        ended.set()
        return text

    with pytest.raises(DeadlineError):
        await Chain("c", holds_on).run("x", deadline=0.05)
    assert not ended.is_set()
    let_go.set()
    assert await asyncio.to_thread(ended.wait, 5)
