"""Promise 1 under everything at once: random chains, faults, cancellations, hedges, retries and fallbacks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field

from promptchain import AnthropicModel, Chain, Gate, Ledger, PromptChainError, Stage, Step, Usage, Verdict
from promptchain.resilience import Breaker, Fallback, Hedge, Policy, Retry, Timeout
from promptchain.testing import Answer, BillEntry, Fault, MessagesAPI, Pace, ScriptItem

SEEDS = range(40)
RUNS = 5


class Sentence(BaseModel):
    text: str
    score: float = Field(ge=0, le=1)


class World:
    """One seed: a chain, a policy, and an API that goes wrong."""

    def __init__(self, seed: int, api: MessagesAPI) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.api = api
        self.model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key=f"seed-{seed}")
        self.other = AnthropicModel("claude-haiku-5-5", base_url=api.url, api_key=f"seed-{seed}")

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def policy(self) -> Policy:
        return Policy(
            retry=Retry(attempts=self.random.randint(1, 3), multiplier=0.001) if self.chance(0.8) else None,
            breaker=Breaker(failures=self.random.randint(2, 6), reset=0.02) if self.chance(0.4) else None,
            timeout=Timeout(attempt=1, first_token=0.08, idle=0.08),
            fallback=Fallback([self.other]) if self.chance(0.3) else None,
            hedge=Hedge(after=self.random.uniform(0.005, 0.04), max_extra=self.random.randint(1, 2))
            if self.chance(0.5)
            else None,
        )

    def chain(self) -> Chain[Any, Any]:
        names = [f"s{number}" for number in range(self.random.randint(1, 3))]
        stages = [self.step(name) for name in names]
        chain: Stage[Any, Any] = stages[0]
        for stage in stages[1:]:
            chain = chain | stage
        if self.chance(0.3):
            chain = Chain("inner", chain) | self.step("last")
        return Chain("c", chain, model=self.model, max_tokens=64, policy=self.policy(), max_reasks=1)

    def step(self, name: str) -> Step[Any, Any]:
        gates = [Gate(self.judge, "as luck has it")] if self.chance(0.5) else []
        if self.chance(0.4):
            return Step(name, prompt="Say {previous}", output=Sentence, gates=gates)
        return Step(name, prompt="Say {previous}", gates=gates)

    def judge(self, value: object) -> Verdict:
        if self.chance(0.2):
            return Verdict.retry("another one, please")
        return Verdict.block("no") if self.chance(0.05) else Verdict.allow()

    def items(self) -> Iterator[ScriptItem]:
        while True:
            yield self.item()

    def item(self) -> ScriptItem:
        answer = self.answer()
        if self.chance(0.5):
            return answer
        after = self.random.choice([None, 0, 1, 3, 6])
        return self.random.choice(
            [
                Fault.status(self.random.choice([400, 500, 529])),
                Fault.status(429, retry_after_ms=self.random.randint(1, 9)),
                Fault.reset(after=after, answer=answer),
                Fault.stall(after=after, answer=answer),
                Fault.end(after=after, answer=answer),
                Fault.error(after=after, answer=answer),
                Fault.malformed(after=after, answer=answer),
                Fault.refusal(after=2, answer=answer),
                Fault.max_tokens(answer=answer),
            ]
        )

    def answer(self) -> Answer:
        pace = Pace(
            first=self.random.choice([0, 0, 0.01, 0.05]), between=self.random.choice([0, 0, 0.001, 0.004])
        )
        content: object = Sentence(text="a few words of it", score=0.5)
        if self.chance(0.2):
            content = "some plain words in a row, and more"
        return Answer(content, pace=pace)


async def one_run(world: World, number: int) -> tuple[str, Ledger]:
    """A run that ends as it likes; sometimes somebody has had enough of it."""
    request_id = f"run-{number}"
    chain = world.chain()
    seen = Ledger()
    stream = chain.stream("hello", request_id=request_id)
    patience = world.random.uniform(0, 0.15) if world.chance(0.4) else 20

    async def read() -> None:
        async with stream:
            async for _ in stream:
                pass

    try:
        async with asyncio.timeout(patience):
            await read()
    except (PromptChainError, TimeoutError):
        pass
    seen = stream.ledger
    return request_id, seen


def assert_covered(ledger: Ledger, entries: list[BillEntry]) -> None:
    by_id = {entry.request_id: entry for entry in entries}
    unmatched: list[Usage] = []
    for attempt in ledger:
        entry = by_id.pop(attempt.request_id or "", None)
        if entry is None:
            # It was cut before the API's id of it came, or before it arrived there.
            assert attempt.estimated or attempt.usage == Usage(), attempt
            unmatched.append(attempt.usage)
        elif attempt.estimated:
            assert attempt.usage.total_input_tokens >= entry.usage.total_input_tokens, (attempt, entry)
            assert attempt.usage.output_tokens >= entry.usage.output_tokens, (attempt, entry)
        else:
            assert attempt.usage == entry.usage, (attempt, entry)
    assert len(by_id) <= len(unmatched), (list(ledger), entries)
    ours, theirs = Usage.sum(unmatched), Usage.sum(entry.usage for entry in by_id.values())
    assert ours.total_input_tokens >= theirs.total_input_tokens
    assert ours.output_tokens >= theirs.output_tokens
    # One that was cancelled or cut while it left may never have arrived; any other has.
    lost = len(unmatched) - len(by_id)
    unsent = sum("cancelled" in str(a.error) or "Timeout" in str(a.error) for a in ledger if not a.request_id)
    assert lost <= unsent, (list(ledger), entries)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_there_are_as_many_attempts_as_requests_and_none_is_cheaper(seed: int) -> None:
    with MessagesAPI() as api:
        world = World(seed, api)
        items = world.items()
        api.script(*(next(items) for _ in range(400)))
        ledgers = dict(await asyncio.gather(*(one_run(world, number) for number in range(RUNS))))
        await asyncio.to_thread(api.bill.wait, lambda bill: all(entry.ended for entry in bill))
        for request_id, ledger in ledgers.items():
            entries = [entry for entry in api.bill if entry.headers["x-request-id"] == request_id]
            assert_covered(ledger, entries)
        assert len(asyncio.all_tasks()) == 1
