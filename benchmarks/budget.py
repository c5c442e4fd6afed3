"""Fifty workers under one budget, with faults and cancellations: is the bill ever above it, and is it used up?

``python benchmarks/budget.py`` does that 200 times against the simulated Messages API over HTTP, each time with
another seed, then measures what a reservation costs, prints both, and writes ``benchmarks/results/budget.json``.
``--seeds 20`` does less. A reply takes up to 100 tokens; 15 of 100 requests fail in one of six ways, and 15 of 100
runs are cancelled at any moment. Runs go on until the budget has no room for another one.
"""

import argparse
import asyncio
import json
import platform
import random
import statistics
import time
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from promptchain import AnthropicModel, Chain, ScriptedModel, Step
from promptchain.budget import Budget, reserve
from promptchain.errors import BudgetExceededError, PromptChainError
from promptchain.messages import ModelRequest
from promptchain.policy import Policy, Retry
from promptchain.testing import Answer, Fault, MessagesAPI, RecordedRequest
from promptchain.usage import Usage

HERE = Path(__file__).parent
LIMIT = Decimal("0.10")
WORKERS = 50
MODEL = "claude-opus-5"  # USD 5 and 25 per million tokens: some 80 requests use the limit up


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One seed: in USD what the API billed, what the budget says and what it still holds; and how many requests."""

    seed: int
    billed: Decimal
    spent: Decimal
    held: Decimal
    requests: int
    cancelled: int
    failed: int
    done: int


def trouble(dice: random.Random, *, faults: bool) -> Answer | Fault:
    answer = Answer("word " * dice.randint(10, 70))
    if not faults or dice.random() >= 0.15:
        return answer
    after = dice.randint(1, 12)
    return dice.choice(
        [
            Fault.status(529, retry_after_ms=1),
            Fault.status(500, retry_after_ms=1),
            Fault.reset(after=after, answer=answer),
            Fault.error(after=after, answer=answer),
            Fault.end(after=after, answer=answer),
            Fault.refusal(after=after, answer=answer),
        ]
    )


async def workers_under(api: MessagesAPI, seed: int, *, faults: bool = True) -> Figures:
    """Fifty workers that run a chain until the budget around them is used up."""
    dice = random.Random(seed)
    replies = random.Random(seed + 1_000_000)  # of its own, as the API draws in another thread
    api.bill.clear()

    def answer(_: RecordedRequest) -> Answer | Fault:
        return trouble(replies, faults=faults)

    api.answer_with(answer)
    model = AnthropicModel(MODEL, base_url=api.url, api_key="local")
    policy = Policy(retry=Retry(attempts=2, multiplier=0.001), breaker=None)
    chain = Chain("one", Step("tell", prompt="{input}", max_tokens=100), model=model, policy=policy)
    ends: dict[str, int] = {"cancelled": 0, "failed": 0, "done": 0}

    async def worker() -> None:
        while True:
            run = asyncio.create_task(chain.run("What makes the tide?"))
            if faults and dice.random() < 0.15:
                asyncio.get_running_loop().call_later(dice.uniform(0, 0.05), run.cancel)
            await asyncio.wait([run])
            if run.cancelled():
                ends["cancelled"] += 1
                continue
            match run.exception():
                case None:
                    ends["done"] += 1
                case BudgetExceededError():
                    return
                case PromptChainError():
                    ends["failed"] += 1
                case BaseException() as error:
                    raise error

    async with Budget(usd=LIMIT, name="all workers") as budget, asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())
    await asyncio.to_thread(api.wait_idle)
    assert api.bill.cost is not None
    assert budget.spent_usd is not None
    assert budget.reserved_usd is not None
    return Figures(
        seed=seed,
        billed=api.bill.cost,
        spent=budget.spent_usd,
        held=budget.reserved_usd,
        requests=len(api.bill),
        **ends,
    )


async def cost_of_a_reservation(rounds: int = 5, number: int = 10_000) -> float:
    """CPU microseconds to reserve for a request of 300 bytes in one budget, and to settle it."""
    budget = Budget(usd=1_000_000)
    request = ModelRequest(messages=({"role": "user", "content": "hello " * 50},), max_tokens=100)
    model, usage = ScriptedModel(name="claude-haiku-4-5"), Usage(100, 50)
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(number):
            reservation = await reserve([budget], request, model, None, on_wait=lambda: None)
            assert reservation is not None
            reservation.settle(usage, estimated=False)
        best = min(best, (time.process_time() - began) / number)
    return best * 1e6


async def all_seeds(seeds: int) -> list[Figures]:
    with MessagesAPI() as api:
        return [await workers_under(api, seed) for seed in range(seeds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    asked = parser.parse_args()
    began = time.perf_counter()
    rows = asyncio.run(all_seeds(asked.seeds))
    seconds = time.perf_counter() - began
    micro = asyncio.run(cost_of_a_reservation())
    found = {
        "python": platform.python_version(),
        "limit_usd": f"{LIMIT:f}",
        "workers": WORKERS,
        "seeds": len(rows),
        "requests": sum(row.requests for row in rows),
        "cancelled_runs": sum(row.cancelled for row in rows),
        "failed_runs": sum(row.failed for row in rows),
        "complete_runs": sum(row.done for row in rows),
        "highest_bill_usd": f"{max(row.billed for row in rows):f}",
        "highest_spent_usd": f"{max(row.spent for row in rows):f}",
        "lowest_spent_usd": f"{min(row.spent for row in rows):f}",
        "median_bill_of_spent": round(
            statistics.median(row.billed / row.spent for row in rows).__float__(), 3
        ),
        "bills_above_the_limit": sum(row.billed > LIMIT for row in rows),
        "bills_above_what_the_budget_says": sum(row.billed > row.spent for row in rows),
        "seeds_with_less_than_90_percent_used": sum(row.spent < LIMIT * 9 / 10 for row in rows),
        "seeds_with_anything_left_held": sum(row.held != 0 for row in rows),
        "reserve_and_settle_cpu_us": round(micro, 1),
        "seconds": round(seconds, 1),
    }
    for name, value in found.items():
        print(f"{name:38} {value}")
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "budget.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
