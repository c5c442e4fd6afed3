"""The circuit breaker: when nothing is sent any more, who may try, and whose word counts."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pybreaker
import pytest

from promptchain import AnthropicModel, Chain, JudgeGate, ScriptedModel, Step
from promptchain.errors import (
    CircuitOpenError,
    GateCrashedError,
    OverloadedError,
    PromptChainError,
    RateLimitError,
    StageError,
)
from promptchain.events import CircuitChanged, Event
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, ReplyStarted, TextDelta
from promptchain.models import Scripted
from promptchain.resilience import Breaker, Policy, Retry, Timeout, circuit_of, circuits
from promptchain.testing import Answer, Fault, MessagesAPI, Pace
from promptchain.usage import Usage

HAIKU = "claude-haiku-4-5"
SOON = Breaker(reset=0.2)


def asking(
    breaker: Breaker | None = SOON, name: str = "c", model: Any = HAIKU, **parts: Any
) -> Chain[str, str]:
    policy = Policy(retry=parts.pop("retry", None), breaker=breaker, **parts)
    return Chain(name, Step("ask", prompt="{input}"), model=model, policy=policy)


async def opened(api: MessagesAPI, breaker: Breaker = SOON) -> None:
    """Let the circuit of ``breaker`` open."""
    api.script(*[Fault.status(529)] * breaker.failures)
    for _ in range(breaker.failures):
        with pytest.raises(OverloadedError):
            await asking(breaker).run("x")
    assert circuit_of(HAIKU, breaker).state == "open"
    api.bill.clear()


async def reset_is_over(breaker: Breaker = SOON) -> None:
    while circuit_of(HAIKU, breaker).state == "open":
        await asyncio.sleep(0.02)


def changes(seen: list[Event]) -> list[str]:
    return [f"{event.before} > {event.after}" for event in seen if isinstance(event, CircuitChanged)]


async def outcomes(chain: Chain[str, str], count: int) -> Counter[str]:
    results = await asyncio.gather(*[chain.run("x") for _ in range(count)], return_exceptions=True)
    return Counter(type(result).__name__ for result in results)


async def test_three_failures_open_it_and_the_fourth_call_sends_nothing(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 3)
    chain, seen = asking(), list[Event]()
    for failures in (1, 2, 3):
        with pytest.raises(OverloadedError):
            await chain.run("x", readers=[seen.append])
        assert circuit_of(HAIKU, SOON).failures == failures

    with pytest.raises(CircuitOpenError, match="is left alone; it is tried again in 0.") as caught:
        await chain.run("x", readers=[seen.append])

    assert len(api.bill) == 3
    assert 0 < caught.value.retry_after <= 0.2
    assert (caught.value.model, caught.value.billable, caught.value.step) == (HAIKU, False, "ask")
    assert caught.value.ledger is not None
    assert len(caught.value.ledger) == 0
    (change,) = [event for event in seen if isinstance(event, CircuitChanged)]
    assert (change.before, change.after, change.level) == ("closed", "open", "warning")
    assert (change.model, change.endpoint, change.step) == (HAIKU, api.url, "ask")


async def test_the_three_attempts_of_one_reply_open_it_too(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 3)
    chain = asking(retry=Retry(multiplier=0.01))
    with pytest.raises(OverloadedError):
        await chain.run("x")
    with pytest.raises(CircuitOpenError):
        await chain.run("x")
    assert len(api.bill) == 3


async def test_of_fifty_callers_after_the_reset_one_sends_a_request_and_its_success_closes(
    api: MessagesAPI,
) -> None:
    await opened(api)
    api.pace = Pace(first=0.2)
    seen: list[Event] = []
    await reset_is_over()
    assert circuit_of(HAIKU, SOON).state == "half_open"

    results = await asyncio.gather(
        *[asking().run("x", readers=[seen.append]) for _ in range(50)], return_exceptions=True
    )

    assert len(api.bill) == 1
    failed = [result for result in results if isinstance(result, CircuitOpenError)]
    assert len(failed) == 49
    assert all(error.retry_after > 0 for error in failed)
    assert circuit_of(HAIKU, SOON).state == "closed"
    assert circuit_of(HAIKU, SOON).failures == 0
    assert changes(seen) == ["open > half_open", "half_open > closed"]
    assert {event.level for event in seen if isinstance(event, CircuitChanged)} == {"warning"}
    api.pace = Pace()
    assert await outcomes(asking(), 20) == {"Result": 20}


async def test_the_failure_of_the_one_that_tries_opens_it_anew(api: MessagesAPI) -> None:
    await opened(api)
    await reset_is_over()
    api.script(Fault.status(529))
    seen: list[Event] = []
    with pytest.raises(OverloadedError):
        await asking().run("x", readers=[seen.append])
    assert changes(seen) == ["open > half_open", "half_open > open"]
    assert await outcomes(asking(), 50) == {"CircuitOpenError": 50}
    assert len(api.bill) == 1
    await reset_is_over()
    assert await outcomes(asking(), 1) == {"Result": 1}


async def test_one_that_tries_and_is_cancelled_leaves_it_to_the_next(api: MessagesAPI) -> None:
    await opened(api)
    await reset_is_over()
    api.script(Fault.stall(), "all is well")
    seen: list[Event] = []
    trying = asyncio.create_task(asking().run("x", readers=[seen.append]))
    await asyncio.to_thread(api.bill.wait, lambda bill: bill and bill[0].aborted)
    assert await outcomes(asking(), 10) == {"CircuitOpenError": 10}

    trying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trying

    assert circuit_of(HAIKU, SOON).state == "half_open"
    assert changes(seen) == ["open > half_open"]
    assert (await asking().run("x", readers=[seen.append])).output == "all is well"
    assert changes(seen) == ["open > half_open", "half_open > closed"]
    assert len(api.bill) == 2


@pytest.mark.parametrize(
    "fault", [Fault.status(401), Fault.status(400), Fault.status(409), Fault.status(429)]
)
async def test_one_that_tries_and_learns_nothing_leaves_it_to_the_next(
    fault: Fault, api: MessagesAPI
) -> None:
    await opened(api)
    await reset_is_over()
    api.script(fault, "all is well")
    assert await outcomes(asking(), 1) in [{name: 1} for name in ERRORS]
    assert circuit_of(HAIKU, SOON).state == "half_open"
    assert await outcomes(asking(), 1) == {"Result": 1}
    assert circuit_of(HAIKU, SOON).state == "closed"


ERRORS = ("AuthenticationError", "BadRequestError", "ConflictError", "RateLimitError")


async def test_as_many_successes_as_asked_for_close_it_one_at_a_time(api: MessagesAPI) -> None:
    careful = Breaker(reset=0.2, successes=2)
    await opened(api, careful)
    await reset_is_over(careful)
    api.pace = Pace(first=0.1)
    for sent in (1, 2):
        assert await outcomes(asking(careful), 20) == {"Result": 1, "CircuitOpenError": 19}
        assert len(api.bill) == sent
    assert circuit_of(HAIKU, careful).state == "closed"
    assert await outcomes(asking(careful), 5) == {"Result": 5}


async def test_a_failure_between_the_successes_opens_it_and_they_count_anew(api: MessagesAPI) -> None:
    careful = Breaker(reset=0.2, successes=2)
    await opened(api, careful)
    await reset_is_over(careful)
    api.script("one", Fault.status(529), "one", "two")
    assert [await outcomes(asking(careful), 1) for _ in range(2)] == [{"Result": 1}, {"OverloadedError": 1}]
    await reset_is_over(careful)
    assert await outcomes(asking(careful), 1) == {"Result": 1}
    assert circuit_of(HAIKU, careful).state == "half_open"
    assert await outcomes(asking(careful), 1) == {"Result": 1}
    assert circuit_of(HAIKU, careful).state == "closed"


# --- what counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status(529),
        Fault.status(500),
        Fault.status(408),
        Fault.reset(),
        Fault.reset(after=3),
        Fault.end(after=3),
        Fault.error("overloaded_error"),
        Fault.stall(),
        Fault.stall(after=3),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status_code}-{fault.after}",
)
async def test_failures_of_the_api_count(fault: Fault, api: MessagesAPI) -> None:
    once = Breaker(failures=1, reset=60)
    api.script(fault)
    chain = asking(once, timeout=Timeout(first_token=0.3))
    with pytest.raises(PromptChainError):
        await chain.run("x")
    assert await outcomes(chain, 3) == {"CircuitOpenError": 3}
    assert len(api.bill) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 429])
async def test_what_is_wrong_with_the_request_does_not_count(status: int, api: MessagesAPI) -> None:
    once = Breaker(failures=1, reset=60)
    api.script(*[Fault.status(status)] * 5)
    for _ in range(5):
        with pytest.raises(PromptChainError):
            await asking(once).run("x")
    assert circuit_of(HAIKU, once).state == "closed"
    assert len(api.bill) == 5


async def test_rate_limits_count_where_that_is_asked_for(api: MessagesAPI) -> None:
    counting = Breaker(failures=2, counts_rate_limits=True)
    api.script(*[Fault.status(429)] * 2)
    for _ in range(2):
        with pytest.raises(RateLimitError):
            await asking(counting).run("x")
    assert await outcomes(asking(counting), 1) == {"CircuitOpenError": 1}
    # Other numbers are another circuit.
    assert await outcomes(asking(Breaker(failures=2)), 1) == {"Result": 1}


async def test_a_success_between_them_makes_failures_none_in_a_row(api: MessagesAPI) -> None:
    api.script(Fault.status(529), Fault.status(529), "well", Fault.status(529), Fault.status(529), "well")
    names = [await outcomes(asking(), 1) for _ in range(6)]
    assert names == [{"OverloadedError": 1}] * 2 + [{"Result": 1}] + [{"OverloadedError": 1}] * 2 + [
        {"Result": 1}
    ]


async def test_a_call_that_is_cancelled_is_no_verdict(api: MessagesAPI) -> None:
    once = Breaker(failures=1)
    api.script(Fault.stall(), Fault.stall(after=3))
    for sent in (1, 2):
        running = asyncio.create_task(asking(once).run("x"))
        await asyncio.to_thread(api.bill.wait, lambda bill, sent=sent: len(bill) == sent and bill[-1].aborted)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert circuit_of(HAIKU, once).state == "closed"


async def test_a_judge_meets_the_circuit_of_its_model(api: MessagesAPI) -> None:
    long = Breaker(reset=60)
    await opened(api, long)
    gate = JudgeGate("It is good.", model=HAIKU)
    draft = Step("draft", prompt="{input}", gates=[gate], model=ScriptedModel("a draft"))
    with pytest.raises(GateCrashedError) as caught:
        await Chain("c", draft, policy=Policy(breaker=long)).run("x")
    assert isinstance(caught.value.__cause__, CircuitOpenError)
    assert len(api.bill) == 0


# --- stale verdicts -------------------------------------------------------------------------------------------------


async def test_a_success_that_began_before_it_opened_does_not_close_it(api: MessagesAPI) -> None:
    slow = Answer("late, and well", pace=Pace(first=0.3))
    long = Breaker(reset=60)
    api.script_for("slow", slow)
    running = asyncio.create_task(asking(long).run("slow"))
    await asyncio.to_thread(api.bill.wait, lambda bill: len(bill) == 1)
    await opened(api, long)
    assert (await running).output == "late, and well"
    assert circuit_of(HAIKU, long).state == "open"


async def test_a_failure_that_began_before_it_opened_does_not_open_it_again(api: MessagesAPI) -> None:
    long = Breaker(failures=1, reset=60)
    api.script_for("slow", Fault.end(after=100, answer=Answer("late", pace=Pace(first=0.3))))
    running = asyncio.create_task(asking(long).run("slow"))
    await asyncio.to_thread(api.bill.wait, lambda bill: len(bill) == 1)
    await opened(api, long)
    circuit_of(HAIKU, long).reset()
    with pytest.raises(PromptChainError):
        await running
    assert circuit_of(HAIKU, long).state == "closed"
    assert circuit_of(HAIKU, long).failures == 0


async def test_the_verdict_of_an_earlier_try_does_not_count_for_a_later_one() -> None:
    circuit = circuit_of(ScriptedModel(name="tried"), Breaker(failures=1, reset=0.05))
    first, _ = circuit.admit()
    circuit.judge(first, succeeded=False)
    await asyncio.sleep(0.06)
    trying, before = circuit.admit()
    assert (before, circuit.state) == ("open", "half_open")
    circuit.judge(trying, succeeded=False)
    assert circuit.state == "open"
    await asyncio.sleep(0.06)
    again, _ = circuit.admit()
    assert circuit.judge(trying, succeeded=True) == ("half_open", "half_open")
    with pytest.raises(CircuitOpenError):
        circuit.admit()  # the later one is still trying
    assert circuit.judge(again, succeeded=True) == ("half_open", "closed")


# --- who shares -----------------------------------------------------------------------------------------------------


async def test_all_chains_share_the_circuit_of_a_model(api: MessagesAPI) -> None:
    await opened(api)
    other = Chain(
        "other", Step("deep", prompt="{input}", policy=Policy(breaker=SOON)), model=AnthropicModel(HAIKU)
    )
    with pytest.raises(CircuitOpenError):
        await other.run("x")
    with pytest.raises(CircuitOpenError):
        await asking(model="claude-sonnet-5-5").run("x", model=HAIKU)
    # Another model, another address, and no breaker are not concerned.
    assert (await asking(model="claude-sonnet-5-5").run("x")).output
    assert (await asking(None).run("x")).output
    with MessagesAPI() as elsewhere:
        there = AnthropicModel(HAIKU, base_url=elsewhere.url, api_key="k")
        assert (await asking(model=there).run("x")).output
        assert len(elsewhere.bill) == 1
    assert len(api.bill) == 2


async def test_circuits_can_be_read_and_reset(api: MessagesAPI) -> None:
    await opened(api, Breaker())
    circuit = circuit_of(HAIKU)
    assert circuit in circuits()
    assert (circuit.state, circuit.failures, circuit.model, circuit.endpoint) == ("open", 3, HAIKU, api.url)
    assert 29 < circuit.retry_after <= 30
    assert repr(circuit) == f"<Circuit to {HAIKU} at {api.url}: open, 3 failures>"
    assert circuit is circuit_of(AnthropicModel(HAIKU)) is circuit_of(HAIKU, Breaker())
    circuit.reset()
    assert (circuit.state, circuit.failures, circuit.retry_after) == ("closed", 0, 0.0)
    assert (await asking(Breaker()).run("x")).output
    assert len(api.bill) == 1


def test_sync_and_async_share_it(messages_api: MessagesAPI) -> None:
    messages_api.script(*[Fault.status(529)] * 3)
    with pytest.raises(OverloadedError):
        asking().run_sync("x")
    for _ in range(2):
        with pytest.raises(OverloadedError):
            asyncio.run(asking().run("x"))
    with pytest.raises(CircuitOpenError):
        asking().run_sync("x")
    with pytest.raises(CircuitOpenError):
        asyncio.run(asking().run("x"))
    assert len(messages_api.bill) == 3
    while circuit_of(HAIKU, SOON).state == "open":
        time.sleep(0.02)
    assert asking().run_sync("x").output
    assert asyncio.run(asking().run("x")).output


def test_of_several_threads_one_may_try(messages_api: MessagesAPI) -> None:
    asyncio.run(opened(messages_api))
    messages_api.pace = Pace(first=0.3)
    while circuit_of(HAIKU, SOON).state == "open":
        time.sleep(0.02)
    names: list[str] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        try:
            names.append(type(asyncio.run(asking().run("x"))).__name__)
        except CircuitOpenError as error:
            names.append(type(error).__name__)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(names) == {"Result": 1, "CircuitOpenError": 7}
    assert len(messages_api.bill) == 1


def test_threads_that_hammer_one_circuit_keep_its_count() -> None:
    circuit = circuit_of(ScriptedModel(name="hammered"), Breaker(failures=1, reset=0.001))
    tried: list[int] = []
    most = [0]
    lock = threading.Lock()

    def hammer(seed: int) -> None:
        for turn in range(300):
            try:
                passed, before = circuit.admit()
            except CircuitOpenError:
                continue
            if before != "closed":
                with lock:
                    tried.append(seed)
                    most[0] = max(most[0], len(tried))
            verdict = (True, False, None)[(seed + turn) % 3]
            if before != "closed":
                with lock:
                    tried.remove(seed)
            circuit.judge(passed, succeeded=verdict)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


# --- models of a user's own -----------------------------------------------------------------------------------------


class Answering:
    name = "own"

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        raise OverloadedError("busy")
        yield


class Slotted:
    __slots__ = ()
    name = "slotted"
    stream = Answering.stream


@dataclass
class Unhashable:
    name: str = "unhashable"
    stream = Answering.stream


@dataclass(slots=True)
class Both:
    name: str = "both"
    stream = Answering.stream


@dataclass(frozen=True)
class Equal:
    name: str = "equal"
    stream = Answering.stream


@pytest.mark.parametrize("kind", [Answering, Slotted, Unhashable, Both, Equal])
async def test_every_kind_of_model_has_a_circuit(kind: type[Any]) -> None:
    model = kind()
    chain = asking(Breaker(failures=2), model=model)
    for _ in range(2):
        with pytest.raises(OverloadedError):
            await chain.run("x")
    with pytest.raises(CircuitOpenError):
        await chain.run("x")
    circuit = circuit_of(model, Breaker(failures=2))
    assert (circuit.state, circuit.endpoint) == ("open", None)
    assert circuit in circuits()
    circuit.reset()


async def test_two_models_of_a_users_own_are_not_each_others_affair() -> None:
    first, second = Answering(), Answering()
    assert circuit_of(first) is not circuit_of(second)
    assert circuit_of(first) is circuit_of(first)


def test_the_circuit_of_a_model_goes_with_it() -> None:
    model = Unhashable("that goes")
    circuit_of(model)
    assert "that goes" in [circuit.model for circuit in circuits()]
    del model
    gc.collect()
    assert "that goes" not in [circuit.model for circuit in circuits()]


async def test_what_a_model_raises_that_is_no_error_of_models_is_no_verdict() -> None:
    class Crashing(Answering):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            raise ZeroDivisionError
            yield

    once = Breaker(failures=1)
    chain = asking(once, model=Crashing())
    for _ in range(3):
        with pytest.raises(StageError, match="ZeroDivisionError"):
            await chain.run("x")


async def test_one_that_tries_and_crashes_leaves_it_to_the_next() -> None:
    def crash(request: ModelRequest) -> str:
        raise ZeroDivisionError

    model = ScriptedModel(OverloadedError("busy"), crash, "well")
    chain = asking(Breaker(failures=1, reset=0.01), model=model)
    for kind in (OverloadedError, StageError):
        with pytest.raises(kind):
            await chain.run("x")
        await asyncio.sleep(0.02)
    assert (await chain.run("x")).output == "well"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_that_tries_and_is_never_heard_of_again_leaves_it_to_the_next() -> None:
    """Its event loop was closed under it, as a thread that ends does."""

    class Silent(Answering):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            self.asked += 1
            if self.asked == 1:
                raise OverloadedError("busy")
            if self.asked == 2:
                await asyncio.get_running_loop().create_future()
            yield ReplyStarted("m", self.name, Usage(1))
            yield TextDelta("well")
            yield ReplyFinished("end_turn", Usage(1, 1))

    model = Silent()
    chain = asking(Breaker(failures=1, reset=0.01), model=model, timeout=None)
    with pytest.raises(OverloadedError):
        asyncio.run(chain.run("x"))
    time.sleep(0.02)
    lost(chain)
    gc.collect()
    assert model.asked == 2
    assert asyncio.run(chain.run("x")).output == "well"


def lost(chain: Chain[str, str]) -> None:
    loop = asyncio.new_event_loop()
    running = loop.create_task(chain.run("x"))
    loop.run_until_complete(asyncio.sleep(0.05))
    running._log_destroy_pending = False  # type: ignore[attr-defined] # pyright: ignore
    loop.close()


async def test_a_stream_that_is_left_is_no_verdict() -> None:
    model = ScriptedModel(OverloadedError("busy"), Scripted(chunks=["a", "b"], delay=0.01), "well")
    breaker = Breaker(failures=1, reset=0.01)
    chain = asking(breaker, model=model)
    with pytest.raises(OverloadedError):
        await chain.run("x")
    await asyncio.sleep(0.02)
    async with chain.stream("x") as stream, aclosing(texts(stream)) as pieces:
        await anext(pieces)
    assert circuit_of(model, breaker).state == "half_open"
    assert (await chain.run("x")).output == "well"


async def texts(stream: Any) -> AsyncGenerator[str, None]:
    async for text in stream.text:
        yield text


async def test_a_clock_that_is_set_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = circuit_of(ScriptedModel(name="clock"), Breaker(failures=1, reset=30))

    class LongAgo(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(pybreaker, "datetime", LongAgo)
    passed, _ = circuit.admit()
    circuit.judge(passed, succeeded=False)
    assert circuit.state == "open"
    assert 29 < circuit.retry_after <= 30


async def test_a_call_that_opens_the_circuit_itself_says_what_it_failed_with(
    messages_api: MessagesAPI,
) -> None:
    messages_api.script(*[Fault.status(529)] * 5)
    policy = Policy(retry=Retry(attempts=5, multiplier=0.01), breaker=Breaker(failures=3))
    with pytest.raises(CircuitOpenError) as caught:
        await Chain("c", Step("ask", prompt="x"), model="claude-haiku-4-5", policy=policy).run("x")
    assert isinstance(caught.value.__cause__, OverloadedError)
    assert len(messages_api.bill) == 3
