"""Function stages: Python before, between and after the prompts.

Look up an order in code, where a prompt would guess; let the model write; add what must be exact in code again.
Run it with ``python examples/function_stage.py``. It needs no key: the offline model stands in.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from decimal import Decimal

from promptchain import Chain, PromptChainError, Run, Step, step


@dataclass(frozen=True)
class Order:
    number: int
    item: str
    paid: Decimal


ORDERS = {4711: Order(4711, "coffee machine BeanPro 3", Decimal("249.00"))}


@step
def find_order(letter: str) -> Order:
    """Runs in a thread, so it may ask a database."""
    match = re.search(r"\b\d{4}\b", letter)
    if match is None or int(match.group()) not in ORDERS:
        raise LookupError("the letter names no order that we know")
    return ORDERS[int(match.group())]


write = Step(
    "write",
    input=Order,
    prompt="Write a short, friendly reply to this letter about the {previous.item}.\n<letter>{input}</letter>",
)


@step(name="with-facts")
async def with_facts(text: str, run: Run) -> str:
    """Runs on the event loop, and sees what the earlier stages gave."""
    order: Order = run.outputs["find_order"]
    return f"{text}\n\nYour order {order.number}: {order.item}, EUR {order.paid}"


letters = Chain("letters", find_order | write | with_facts, model="offline")


async def main() -> None:
    result = await letters.run("Order 4711 arrived with a scratch. What can you do for me? Anna Weber")
    print(result.output)
    print("\nstages:", ", ".join(f"{stage.name} {stage.seconds:.3f} s" for stage in result.steps.values()))
    print("requests:", ", ".join(attempt.step for attempt in result.ledger))

    try:
        await letters.run("Nothing ever arrived here.")
    except PromptChainError as error:
        print(f"\n{type(error).__name__}: {error}")
        print(f"because of {error.__cause__!r}")


if __name__ == "__main__":
    asyncio.run(main())
