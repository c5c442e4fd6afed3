"""A hundred runs at once against an API that takes forty a second: they wait their turn, and none is sent away.

Run it: python examples/rate_limits.py
"""

import asyncio
import time

from promptchain import AnthropicModel, Chain, Step
from promptchain.errors import RateLimitError
from promptchain.policy import Limits, Policy
from promptchain.testing import MessagesAPI, TokenBuckets

RUNS = 100
LIMITS = TokenBuckets(requests=2_400, input_tokens=400_000, output_tokens=400_000, filled=0.01)

tide = Step("tide", prompt="Say in a sentence what makes the tide in {input}.", max_tokens=200)

POLICIES = {
    "as it comes": Policy(),
    "ten at a time": Policy(limits=Limits(concurrency=10)),
    "in haste": Policy(limits=Limits(pace=False), retry=None, breaker=None),
}


async def main() -> None:
    for name, policy in POLICIES.items():
        with MessagesAPI(limits=LIMITS) as api:
            claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="simulated")
            chain = Chain("tides", tide, model=claude, policy=policy)
            await claude.prepare()  # imports the SDK, which takes a while once
            began = time.perf_counter()
            runs = (chain.run(f"harbour {number}") for number in range(RUNS))
            results = await asyncio.gather(*runs, return_exceptions=True)
            seconds = time.perf_counter() - began
            refused = sum(isinstance(result, RateLimitError) for result in results)
            billed = sum(entry.status == 200 for entry in api.bill)
            print(f"{name:14} {billed:3} of {RUNS} answered, {refused:2} sent away, {seconds:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
