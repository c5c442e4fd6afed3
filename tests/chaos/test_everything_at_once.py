"""What only shows where the parts of a policy, budgets, deadlines and cancellation meet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator

import pytest

from promptchain import AnthropicModel, Chain, Step
from promptchain.budget import Budget
from promptchain.errors import DeadlineError
from promptchain.events import AttemptStarted, Event, RequestHedged, Waiting
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
