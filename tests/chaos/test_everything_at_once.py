"""What only shows where the parts of a policy, budgets, deadlines and cancellation meet."""

from __future__ import annotations

import asyncio
import pickle
import runpy
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from promptchain import AnthropicModel, Chain, JudgeGate, Ledger, PromptChainError, ScriptedModel, Step
from promptchain.budget import Budget
from promptchain.errors import DeadlineError
from promptchain.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    RequestHedged,
    StepFailed,
    TextRetracted,
    TextTentative,
    Waiting,
)
from promptchain.limiter import limiter_of
from promptchain.messages import ModelEvent, ModelRequest, RequestReady
from promptchain.resilience import Fallback, Hedge, Limits, Policy, Retry, circuit_of, circuits
from promptchain.testing import Answer, Fault, MessagesAPI, Pace

HAIKU = "claude-haiku-4-5"
OTHER = "claude-haiku-5-5"


@pytest.fixture(autouse=True)
def closed_circuits() -> Iterator[None]:
    for circuit in circuits():
        circuit.reset()
    yield
    for circuit in circuits():
        circuit.reset()


def model_at(api: MessagesAPI, name: str = HAIKU) -> AnthropicModel:
    return AnthropicModel(name, base_url=api.url, api_key="chaos")


def asking(api: MessagesAPI, policy: Policy | None = None) -> Chain[str, str]:
    return Chain("c", Step("s", prompt="Say {input}"), model=model_at(api), max_tokens=100, policy=policy)


async def test_a_request_that_waits_for_its_turn_is_not_hedged(messages_api: MessagesAPI) -> None:
    chain = asking(messages_api, Policy(hedge=Hedge(after=0.1), limits=Limits(concurrency=1)))
    messages_api.script("warm", Answer("slow words", pace=Pace(between=0.3)), "quick")
    await chain.run("warm")
    seen: list[Event] = []
    first = asyncio.create_task(chain.run("first"))
    await asyncio.to_thread(messages_api.bill.wait, lambda bill: len(bill) == 2)
    await chain.run("second", readers=[seen.append])
    await first
    assert [type(event) for event in seen if isinstance(event, Waiting | RequestHedged | AttemptStarted)] == [
        Waiting,
        AttemptStarted,
    ]
    assert len(messages_api.bill) == 3


async def test_a_request_that_waits_for_its_budget_is_not_hedged(messages_api: MessagesAPI) -> None:
    chain = asking(messages_api, Policy(hedge=Hedge(after=0.1)))
    messages_api.script("warm", Answer("slow words", pace=Pace(between=0.3)), "quick")
    await chain.run("warm")
    budget = Budget(tokens=180)  # room for one request, which may write 100
    seen: list[Event] = []
    first = asyncio.create_task(chain.run("first", budget=budget))
    await asyncio.to_thread(messages_api.bill.wait, lambda bill: len(bill) == 2)
    await chain.run("second", budget=budget, readers=[seen.append])
    await first
    assert [type(event) for event in seen if isinstance(event, Waiting | RequestHedged | AttemptStarted)] == [
        Waiting,
        AttemptStarted,
    ]
    assert len(messages_api.bill) == 3


async def test_a_caller_in_a_hurry_does_not_open_the_circuit_for_those_who_have_time(
    messages_api: MessagesAPI,
) -> None:
    chain = asking(messages_api, Policy(retry=Retry(attempts=5, multiplier=0.001)))
    messages_api.script(*[Answer("all is well", pace=Pace(first=0.6))] * 20)
    for _ in range(2):
        with pytest.raises(DeadlineError):
            await chain.run("at once", deadline=0.4)
    assert circuit_of(model_at(messages_api)).failures == 0
    assert (await chain.run("when you can")).output


@pytest.mark.parametrize("retry", [None, Retry(attempts=2, multiplier=0.001)])
async def test_a_model_that_is_silent_leaves_the_next_one_its_share_of_the_deadline(
    messages_api: MessagesAPI, retry: Retry | None
) -> None:
    messages_api.script("warm", *[Fault.stall()] * (1 if retry is None else 2), "from the other")
    await asking(messages_api).run("warm")
    policy = Policy(retry=retry, fallback=Fallback([model_at(messages_api, OTHER)]))
    result = await asking(messages_api, policy).run("x", deadline=1.5)
    assert result.output == "from the other"
    assert result.steps["s"].model == OTHER


class Lingering:
    """A model whose requests take a while to close."""

    name = HAIKU
    announces_requests = True

    def __init__(self) -> None:
        self.open = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.open += 1
        try:
            yield RequestReady()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)
            self.open -= 1


async def test_who_is_cancelled_twice_in_a_race_leaves_nothing_behind() -> None:
    model = Lingering()
    chain = Chain("c", Step("s", prompt="{input}"), model=model, policy=Policy(hedge=Hedge(after=0.01)))
    stream = chain.stream("x")
    async with stream:
        async for event in stream:
            if isinstance(event, AttemptStarted) and event.attempt == 2:
                break
        task = stream._task
        assert task is not None
        task.cancel()
        await asyncio.sleep(0.05)  # now the requests are being closed, and somebody cancels once more
    assert model.open == 0
    assert len(stream.ledger) == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


laws = runpy.run_path(str(Path(__file__).parents[1] / "laws" / "test_ledger_is_the_bill.py"))


class Chaos(laws["World"]):
    """One seed: the chains, policies and faults of the law, with all that may stand around a request besides."""

    def policy(self) -> Policy:
        places = self.random.choice(
            [Limits(), Limits(concurrency=1), Limits(concurrency=2, pace=False), None]
        )
        return Policy(limits=places).over(super().policy())

    def step(self, name: str) -> Step[Any, Any]:
        gates = [JudgeGate("It is kind.", on_fail="retry")] if self.chance(0.2) else []
        instead: dict[str, Any] = {}
        if self.chance(0.4):
            other = Step("plan-b", prompt="Say {previous}")
            instead = {"optional": True, **({"default": "d"} if self.chance(0.5) else {"fallback": other})}
        return Step(name, prompt="Say {previous}", gates=gates, **instead)

    def chain(self) -> Chain[Any, Any]:
        inner = Chain("inner", super().chain(), deadline=0.5, budget=Budget(usd="0.01"))
        return Chain("c", inner | self.step("last"), model=self.model, max_tokens=64, policy=self.policy())


async def one_run(chaos: Chaos, request_id: str, budget: Budget, seen: list[Event]) -> tuple[str, Ledger]:
    deadline = chaos.random.choice([None, 0.1, 0.4])
    stream = chaos.chain().stream(
        "hello", request_id=request_id, deadline=deadline, budget=budget, readers=[seen.append]
    )
    most = chaos.random.choice([0, 5, 1_000, 1_000])
    with suppress(PromptChainError, TimeoutError):
        async with asyncio.timeout(chaos.random.choice([0.05, 20, 20])), stream:
            async for _ in stream:
                most -= 1
                if most < 0:
                    break
    return request_id, stream.ledger


async def some_runs(seed: int, api: MessagesAPI, budget: Budget, where: str) -> dict[str, Ledger]:
    chaos = Chaos(seed, api)
    seen: list[list[Event]] = [[] for _ in range(4)]
    runs = (one_run(chaos, f"{where}-{number}", budget, events) for number, events in enumerate(seen))
    ledgers = dict(await asyncio.gather(*runs))
    for events in seen:
        assert_in_order(events)
    for model in (chaos.model, chaos.other):
        assert limiter_of(model).is_idle
    return ledgers


def sync_runs(seed: int, api: MessagesAPI, budget: Budget) -> dict[str, Ledger]:
    chaos, ledgers = Chaos(seed, api), {}
    for number in range(2):
        request_id = f"sync-{seed}-{number}"
        try:
            ledgers[request_id] = chaos.chain().run_sync("hello", request_id=request_id, budget=budget).ledger
        except PromptChainError as error:
            ledgers[request_id] = pickle.loads(pickle.dumps(error)).ledger  # noqa: S301
    return ledgers


def assert_in_order(events: list[Event]) -> None:
    """Attempts begin once, in order, and end; tentative text is void before other text of its step comes."""
    begun: dict[str, list[int]] = defaultdict(list)
    ended: dict[str, list[int]] = defaultdict(list)
    tentative: dict[str, int] = {}
    for event in events:
        match event:
            case AttemptStarted():
                begun[event.step].append(event.attempt)
            case AttemptFinished():
                ended[event.step].append(event.record.number)
                assert event.record.number in begun[event.step]
            case TextTentative():
                assert tentative.setdefault(event.step, event.attempt) == event.attempt
            case TextRetracted():
                assert tentative.pop(event.step) == event.attempt
            case StepFailed():
                assert event.step not in tentative
            case _:
                pass
    assert {step: sorted(numbers) for step, numbers in ended.items()} == begun
    assert all(numbers == [*range(1, len(numbers) + 1)] for numbers in begun.values())


@pytest.mark.parametrize("seed", range(8))
async def test_in_threads_and_loops_at_once_the_ledger_is_the_bill_and_nothing_stays_held(seed: int) -> None:
    with MessagesAPI() as api:
        items = Chaos(seed, api).items()
        api.script(*(next(items) for _ in range(400)))
        budget = Budget(usd="0.05")
        ledgers: dict[str, Ledger] = {}
        for some in await asyncio.gather(
            some_runs(seed, api, budget, "here"),
            asyncio.to_thread(lambda: asyncio.run(some_runs(seed + 100, api, budget, "there"))),
            *(asyncio.to_thread(sync_runs, seed + more, api, budget) for more in (200, 300)),
        ):
            ledgers |= some
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(api.bill.wait, lambda bill: all(entry.ended for entry in bill))
        for request_id, ledger in ledgers.items():
            entries = [entry for entry in api.bill if entry.headers["x-request-id"] == request_id]
            laws["assert_covered"](ledger, entries)
        assert (budget.reserved_usd, budget.reserved_tokens, budget.account.queue) == (0, 0, [])
        spent, billed = budget.spent_usd, api.bill.cost
        assert spent is not None
        assert billed is not None
        assert billed <= spent <= Decimal("0.05")


@pytest.mark.filterwarnings("error")
async def test_a_reader_that_ends_the_run_when_a_request_leaves_leaves_no_money_held() -> None:
    def reader(event: Event) -> None:
        if isinstance(event, AttemptStarted):
            raise TypeError("a reader's own")  # a warning, which is an error here

    budget = Budget(usd=1)
    chain = Chain("c", Step("s", prompt="{input}"), model=ScriptedModel("a", name=HAIKU), max_tokens=9)
    with pytest.raises(PromptChainError, match="a reader of events failed") as caught:
        await chain.run("x", budget=budget, readers=[reader])
    assert caught.value.ledger is not None
    assert len(caught.value.ledger) == 1
    assert budget.reserved_usd == 0
