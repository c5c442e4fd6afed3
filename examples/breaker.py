"""The circuit breaker: a model that fails again and again is left alone, then tried by one caller.

The requests go to a simulated Messages API on this machine, which fails as it is told to. Run it with
``python examples/breaker.py``. It needs no key.
"""

import asyncio
from collections import Counter

from promptchain import AnthropicModel, Breaker, Chain, Policy, PromptChainError, Step
from promptchain.events import CircuitChanged, Event
from promptchain.resilience import circuits
from promptchain.testing import Fault, MessagesAPI, Pace

breaker = Breaker(failures=3, reset=0.5)
explain = Chain(
    "explain",
    Step("tide", prompt="Explain: {input}"),
    policy=Policy(retry=None, breaker=breaker),
)


def tell(event: Event) -> None:
    if isinstance(event, CircuitChanged):
        print(f"  {event.level}: the circuit to {event.model}: {event.before} -> {event.after}")


async def ask(model: AnthropicModel, callers: int) -> None:
    runs = [explain.run("the tide", model=model, readers=[tell]) for _ in range(callers)]
    ended: Counter[str] = Counter()
    for outcome in await asyncio.gather(*runs, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, PromptChainError):
            raise outcome
        ended[type(outcome).__name__] += 1
    print(f"  {callers} callers: {', '.join(f'{count} {name}' for name, count in ended.items())}")


async def main() -> None:
    with MessagesAPI(pace=Pace(first=0.2)) as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        api.script(*[Fault.status(529)] * 3)

        print("three failures in a row open the circuit:")
        for _ in range(3):
            await ask(model, 1)
        print("now nothing is sent:")
        await ask(model, 20)
        print(f"  requests: {len(api.bill)}")

        (circuit,) = circuits()
        print(f"its state: {circuit.state}, tried again in {circuit.retry_after:.1f} s")
        await asyncio.sleep(circuit.retry_after)

        print("one of twenty may try, and its success closes it:")
        await ask(model, 20)
        print(f"  requests: {len(api.bill)}")
        print("all are let through again:")
        await ask(model, 20)
        print(f"  requests: {len(api.bill)}")


if __name__ == "__main__":
    asyncio.run(main())
