"""Hedging: a second request when the first is slow, and what it does to the slowest answers.

The requests go to a simulated Messages API on this machine, where one request in ten is slow. Run it with
``python examples/hedge.py``. It needs no key.
"""

import asyncio
import time

from promptchain import AnthropicModel, Chain, Hedge, Policy, Step
from promptchain.events import Event, RequestHedged
from promptchain.testing import Answer, MessagesAPI, Pace

RUNS = 40
QUICK, SLOW = Pace(first=0.03), Pace(first=1.0)

tide = Step("tide", prompt="Explain: {input}", max_tokens=300)
hedged: list[float] = []


def note(event: Event) -> None:
    if isinstance(event, RequestHedged):
        hedged.append(event.seconds)


async def seconds(chain: Chain[str, str], model: AnthropicModel) -> float:
    began = time.perf_counter()
    await chain.run("the tide", model=model, readers=[note])
    return time.perf_counter() - began


async def main() -> None:
    for what, hedge in (("without", None), ("with", Hedge(after=0.25))):
        chain = Chain("explain", tide, policy=Policy(hedge=hedge))
        with MessagesAPI() as api:
            model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
            await chain.run("a warm-up, which imports the SDK", model=model)
            api.bill.clear()
            # A request and its double are two requests in a row here, so no two in a row are slow.
            api.script(*[Answer("The moon.", pace=SLOW if n % 10 == 5 else QUICK) for n in range(RUNS + 10)])
            taken = sorted([await seconds(chain, model) for _ in range(RUNS)])
            await asyncio.to_thread(api.wait_idle)
            print(f"{what} a hedge: half within {taken[RUNS // 2]:.2f} s, all within {taken[-1]:.2f} s")
            print(
                f"  {len(api.bill)} requests for {RUNS} runs, {sum(e.aborted for e in api.bill)} of them ended early"
            )
    print(f"asked a second time after {hedged[0]} s, {len(hedged)} times")

    with MessagesAPI() as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        chain = Chain("explain", tide, policy=Policy(hedge=Hedge(after=0.25)))
        api.script(Answer("late", pace=Pace(first=20)), "The moon pulls at the sea.")
        result = await chain.run("the tide", model=model)
    print("what one of them cost:")
    for attempt in sorted(result.ledger, key=lambda attempt: attempt.number):
        bound = "at most " if attempt.estimated else ""
        print(
            f"  attempt {attempt.number}: {attempt.error or attempt.stop_reason}, {bound}USD {attempt.cost:.6f}"
        )


if __name__ == "__main__":
    asyncio.run(main())
