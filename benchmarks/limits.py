"""Throughput under the limits of an API that enforces them, and what the limiter costs where there is room.

Run it: python benchmarks/limits.py

Each time 1,000 runs are started at once against the simulated API, in a process of its own, whose buckets are nearly
empty. The ideal time is what the bucket that runs dry takes to fill with the rest: (needed - what was in it) / rate.
429s are counted on the API's bill. Without limits the same runs show what the machine itself takes. All of it takes
about 25 seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from subprocess import PIPE
from typing import Any

import httpx2

from promptchain import AnthropicModel, Chain, Step
from promptchain.limiter import Limiter
from promptchain.messages import ModelRequest, RateLimit, RateLimits
from promptchain.policy import Limits, Policy
from promptchain.testing import MessagesAPI, TokenBuckets
from promptchain.usage import Usage

RUNS = 1_000
CALLS, ROUNDS = 2_000, 10
ANSWER = "The moon pulls at the sea, and the sea follows it around the earth. " * 3

tide = Chain(
    "tide",
    Step("tell", prompt="Answer in three sentences.\n{input}", max_tokens=1_000),
    policy=Policy(retry=None, breaker=None),
)


@dataclass(frozen=True)
class Case:
    """Limits, and which of them runs dry, as the bill has it."""

    limits: TokenBuckets | None
    dry: str = ""

    def ideal(self, bill: dict[str, Any]) -> float:
        """Seconds that the requests on ``bill`` need at least."""
        if self.limits is None:
            return 0.0
        limit: int = getattr(self.limits, self.dry)
        needed: int = len(bill["requests"]) if self.dry == "requests" else bill["usage"][self.dry]
        return (needed - limit * self.limits.filled) * 60 / limit


CASES = {
    "no limits": Case(None),
    "requests": Case(
        TokenBuckets(requests=9_000, input_tokens=2_000_000, output_tokens=2_000_000, filled=0.01),
        "requests",
    ),
    "input tokens": Case(
        TokenBuckets(requests=60_000, input_tokens=700_000, output_tokens=5_000_000, filled=0.01),
        "input_tokens",
    ),
    "output tokens": Case(
        TokenBuckets(requests=60_000, input_tokens=5_000_000, output_tokens=450_000, filled=0.01),
        "output_tokens",
    ),
}


def serve(name: str) -> None:
    """Be the API of a case until standard input is closed."""
    with MessagesAPI(limits=CASES[name].limits) as api:
        api.answer_with(lambda _: ANSWER)
        print(api.url, flush=True)
        sys.stdin.read()


async def ask(url: str) -> tuple[int, float]:
    """Start all runs at once; how many succeeded, and how many seconds they took."""
    claude = AnthropicModel("claude-haiku-4-5", base_url=url, api_key="any")

    async def one(number: int) -> bool:
        question = f"What makes the tide in harbour {number}?" + " Be brief." * (number % 40)
        try:
            await tide.run(question, model=claude)
        except Exception:  # noqa: BLE001 - counted
            return False
        return True

    await claude.prepare()
    began = time.perf_counter()
    succeeded = sum(await asyncio.gather(*(one(number) for number in range(RUNS))))
    return succeeded, time.perf_counter() - began


async def measure(name: str) -> None:
    api = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "serve", name, stdin=PIPE, stdout=PIPE
    )
    assert api.stdout is not None
    url = (await api.stdout.readline()).decode().strip()
    succeeded, seconds = await ask(url)
    async with httpx2.AsyncClient(base_url=url) as http:
        bill: dict[str, Any] = (await http.get("/bill")).json()
    assert api.stdin is not None
    api.stdin.close()
    await api.wait()
    refused = sum(entry["status"] == 429 for entry in bill["requests"])
    told = f"{name:14} {succeeded:5,} of {RUNS:,} runs, {refused:3} times 429, {seconds:5.2f} s"
    if ideal := CASES[name].ideal(bill):
        told += f", ideal {ideal:5.2f} s: {ideal / seconds:4.0%} of what is allowed"
    print(told, flush=True)


async def cost() -> None:
    """CPU of what a request that needs not wait pays for it."""
    request = ModelRequest(
        messages=[{"role": "user", "content": "What makes the tide? " * 20}], max_tokens=1_000
    )
    said = RateLimit(1_000_000_000, 999_999_000)
    known = RateLimits(requests=said, input_tokens=said, output_tokens=said)
    for name, limits in (("no limits", None), ("limits with room", known)):
        limiter, policy = Limiter(), Limits()
        begun, ended = Usage(100, 1), Usage(100, 50)
        first = await limiter.enter(request, policy, on_wait=print)
        if limits is not None:
            first.report(limits)
        first.started(begun)
        first.leave(ended)
        enter, whole = [0.0] * ROUNDS, [0.0] * ROUNDS
        for number in range(ROUNDS):
            began = time.process_time()
            tickets = [await limiter.enter(request, policy, on_wait=print) for _ in range(CALLS)]
            entered = time.process_time()
            for ticket in tickets:
                if limits is not None:
                    ticket.report(limits)
                ticket.started(begun)
                ticket.leave(ended)
            whole[number] = (time.process_time() - began) / CALLS * 1e6
            enter[number] = (entered - began) / CALLS * 1e6
        print(f"{name:18} {min(enter):4.1f} µs of CPU to enter, {min(whole):4.1f} µs in all")


async def main() -> None:
    for name in CASES:
        await measure(name)
    await cost()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    else:
        asyncio.run(main())
