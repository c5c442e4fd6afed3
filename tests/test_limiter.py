"""Requests wait until the API has room for them: in their order, for no longer than they must, and leave no trace."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Literal

import pytest

from promptchain import AnthropicModel, Chain, Step
from promptchain.errors import RateLimitError
from promptchain.events import Waiting
from promptchain.limiter import Limiter, Ticket, limiter_of
from promptchain.messages import ModelRequest, RateLimit, RateLimits
from promptchain.models import OfflineModel, ScriptedModel
from promptchain.models.schema_in_prompt import SchemaInPrompt
from promptchain.policy import Limits, Policy
from promptchain.testing import MessagesAPI, TokenBuckets
from promptchain.usage import Usage

REQUEST = ModelRequest(messages=[{"role": "user", "content": "What makes the tide?"}], max_tokens=100)
ROOM = RateLimits(requests=RateLimit(60_000, 59_000))
NO_ROOM = RateLimits(requests=RateLimit(60, 0))

tell = Step("tell", prompt="Answer.\n{input}", max_tokens=500)
tide = Chain("tide", tell, model="claude-haiku-4-5")


def told(policy: Policy) -> Chain[str, str]:
    return Chain("tide", tell, model="claude-haiku-4-5", policy=policy)


class Waits(list[tuple[str, float | None]]):
    """What callers were told when they began to wait."""

    def __call__(self, reason: Literal["rate limit", "concurrency"], seconds: float | None) -> None:
        self.append((reason, seconds))


async def enter(limiter: Limiter, limits: Limits | None = None, waits: Waits | None = None) -> Ticket:
    return await limiter.enter(REQUEST, limits or Limits(), on_wait=Waits() if waits is None else waits)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def knowing(limits: RateLimits, **options: Any) -> Limiter:
    """A limiter that has been told of limits."""
    limiter = Limiter(**options)
    ticket = await enter(limiter)
    ticket.report(limits)
    ticket.started(Usage(5))
    ticket.leave(Usage(5, 2))
    return limiter


def at_once(limiter: Limiter, limits: Limits) -> Ticket:
    """Enter without an event loop; it fails where it would wait."""
    entering = limiter.enter(REQUEST, limits, on_wait=Waits())
    with pytest.raises(StopIteration) as returned:
        entering.send(None)
    ticket: Ticket = returned.value.value
    return ticket


@pytest.mark.parametrize(
    "limits",
    [
        TokenBuckets(requests=18_000, input_tokens=3_000_000, output_tokens=3_000_000, filled=0.01),
        TokenBuckets(requests=60_000, input_tokens=700_000, output_tokens=5_000_000, filled=0.01),
        TokenBuckets(requests=60_000, input_tokens=5_000_000, output_tokens=400_000, filled=0.01),
    ],
    ids=["requests", "input", "output"],
)
async def test_a_thousand_runs_at_once_are_never_sent_away(
    messages_api: MessagesAPI, limits: TokenBuckets
) -> None:
    messages_api.limits = limits
    messages_api.answer_with(lambda _: "The moon pulls at the sea. " * 3)
    results = await asyncio.gather(
        *(tide.run(f"Of harbour {number}." + " Be brief." * (number % 20)) for number in range(1_000))
    )
    assert len(results) == 1_000
    assert [entry.status for entry in messages_api.bill] == [200] * 1_000


async def test_runs_of_one_chain_are_paced_where_nothing_is_retried_either(messages_api: MessagesAPI) -> None:
    messages_api.limits = TokenBuckets(requests=600, filled=0.02)
    unprotected = told(Policy(retry=None, breaker=None, timeout=None))
    await asyncio.gather(*(unprotected.run("x") for _ in range(20)))
    assert [entry.status for entry in messages_api.bill] == [200] * 20


async def test_without_pacing_the_api_sends_away_what_is_too_much(messages_api: MessagesAPI) -> None:
    messages_api.limits = TokenBuckets(requests=5)
    unpaced = told(Policy(retry=None, breaker=None, limits=Limits(pace=False)))
    results = await asyncio.gather(*(unpaced.run("x") for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(result, RateLimitError) for result in results) == 3


async def test_a_wait_is_an_event_that_says_how_long(messages_api: MessagesAPI) -> None:
    messages_api.limits = TokenBuckets(requests=30, filled=0.05)
    await tide.run("x")
    async with tide.stream("x") as stream:
        waits = [event async for event in stream if isinstance(event, Waiting)]
    assert [wait.reason for wait in waits] == ["rate limit"]
    assert 0 < (waits[0].seconds or 0) <= 2


async def test_where_there_is_room_the_event_loop_is_not_touched() -> None:
    limiter = await knowing(ROOM)
    tickets = [
        at_once(limiter, Limits()),
        at_once(Limiter(), Limits()),
        at_once(limiter, Limits(concurrency=2)),
    ]
    for ticket in tickets:
        ticket.leave(None)
    assert limiter.is_idle


async def test_until_the_first_reply_four_are_sent_and_then_all() -> None:
    limiter, waits = Limiter(), Waits()
    tasks = [asyncio.create_task(enter(limiter, waits=waits)) for _ in range(10)]
    await settle()
    assert [task.done() for task in tasks] == [True] * 4 + [False] * 6
    assert waits == [("rate limit", None)] * 6
    tasks[0].result().started(Usage())  # a server that does not even count
    await settle()
    assert all(task.done() for task in tasks)
    for task in tasks:
        task.result().leave(Usage())
    assert limiter.is_idle


async def test_requests_are_sent_in_the_order_in_which_they_came() -> None:
    limiter = await knowing(RateLimits(requests=RateLimit(6_000, 0)))
    order: list[int] = []

    async def one(number: int) -> None:
        ticket = await enter(limiter)
        order.append(number)
        ticket.leave(Usage())

    await asyncio.gather(*(one(number) for number in range(20)))
    assert order == list(range(20))


async def test_who_is_told_to_wait_is_told_for_how_long_with_those_in_front() -> None:
    limiter, waits = await knowing(NO_ROOM), Waits()
    tasks = [asyncio.create_task(enter(limiter, waits=waits)) for _ in range(3)]
    await settle()
    seconds = [seconds for _, seconds in waits]
    assert seconds == pytest.approx([1, 2, 3], abs=0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.is_idle


async def test_who_is_cancelled_while_it_waits_makes_room_for_the_next() -> None:
    limiter = await knowing(RateLimits(requests=RateLimit(1_200, 0)))
    first, second, third = (asyncio.create_task(enter(limiter)) for _ in range(3))
    await settle()
    first.cancel()
    third.cancel()
    ticket = await second
    assert first.cancelled()
    ticket.leave(None)
    await asyncio.gather(first, third, return_exceptions=True)
    assert limiter.is_idle


async def test_who_is_cancelled_in_the_moment_it_is_let_through_gives_back_what_it_took() -> None:
    limiter = Limiter()
    tickets = [await enter(limiter, Limits(concurrency=5)) for _ in range(4)]
    waiting = asyncio.create_task(enter(limiter, Limits(concurrency=5)))
    await settle()
    tickets[0].leave(None)  # lets it through
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    for ticket in tickets:
        ticket.leave(None)
    assert limiter.is_idle
    assert limiter.reckoning.in_flight == 0


async def test_so_many_requests_are_under_way_as_the_policy_allows() -> None:
    limiter, waits = Limiter(cautious=False), Waits()
    two = Limits(concurrency=2, pace=False)
    tasks = [asyncio.create_task(enter(limiter, two, waits)) for _ in range(4)]
    await settle()
    assert [task.done() for task in tasks] == [True, True, False, False]
    assert waits == [("concurrency", None)] * 2
    other = await enter(limiter, Limits(concurrency=3))
    tasks[2].cancel()
    await settle()
    tasks[0].result().leave(Usage())
    tasks[0].result().leave(Usage())  # a second time does nothing
    last = await tasks[3]
    for ticket in (last, other, tasks[1].result()):
        ticket.leave(Usage())
    assert limiter.is_idle
    again = [await enter(limiter, two) for _ in range(2)]
    assert len(again) == 2


async def test_nobody_passes_before_the_time_that_a_429_names() -> None:
    limiter, waits = Limiter(), Waits()
    refused = await enter(limiter)
    refused.blocked(0.2)
    refused.leave(Usage())
    began = asyncio.get_running_loop().time()
    waiting = asyncio.create_task(enter(limiter, waits=waits))
    unpaced = await enter(limiter, Limits(pace=False))
    assert not waiting.done(), "who is not paced does not wait"
    ticket = await waiting
    assert asyncio.get_running_loop().time() - began >= 0.15
    assert waits[0][1] == pytest.approx(0.2, abs=0.05)
    for each in (ticket, unpaced):
        each.leave(Usage())


async def test_what_is_told_to_a_ticket_that_has_been_left_changes_nothing() -> None:
    limiter = Limiter()
    ticket = await enter(limiter)
    ticket.leave(Usage())
    ticket.report(NO_ROOM)
    ticket.started(Usage(5))
    ticket.blocked(60)
    for _ in range(4):
        at_once(limiter, Limits())


async def test_one_limiter_serves_an_endpoint_an_account_and_a_model() -> None:
    def claude(
        name: str = "claude-haiku-4-5", key: str = "k", url: str = "http://127.0.0.1:1"
    ) -> AnthropicModel:
        return AnthropicModel(name, api_key=key, base_url=url)

    shared = limiter_of(claude())
    assert limiter_of(claude(url="http://127.0.0.1:1/")) is shared
    assert limiter_of(SchemaInPrompt(claude())) is shared
    others = [claude("claude-sonnet-4-5"), claude(key="other"), claude(url="http://127.0.0.1:2")]
    assert len({id(limiter_of(model)) for model in [claude(), *others]}) == 4


def test_every_event_loop_has_its_own() -> None:
    model = AnthropicModel("claude-haiku-4-5", api_key="k")

    async def of() -> Limiter:
        return limiter_of(model)

    assert asyncio.run(of()) is not asyncio.run(of())


async def test_a_model_without_an_endpoint_has_its_own_without_caution() -> None:
    one, other = OfflineModel(), ScriptedModel("a")
    limiter = limiter_of(other)
    assert limiter_of(other) is limiter is not limiter_of(one)
    for _ in range(50):
        at_once(limiter, Limits())
    del other
    gc.collect()
    assert limiter_of(ScriptedModel("a")) is not limiter


async def test_limiters_that_nobody_uses_are_forgotten_when_there_are_many() -> None:
    def of(number: int) -> Limiter:
        return limiter_of(AnthropicModel("claude-haiku-4-5", api_key=f"key {number}"))

    held = of(0)
    ticket = await enter(held)
    idle = of(1)
    for number in range(2, 1_000):
        of(number)
    assert of(0) is held
    assert of(1) is not idle
    ticket.leave(None)
