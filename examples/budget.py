"""Budgets: many workers under one sum, a ceiling for each run, and what happens when a sum is used up.

The requests go to a simulated Messages API on this machine, which keeps a bill. Run it with
``python examples/budget.py``. It needs no key.
"""

import asyncio

from promptchain import AnthropicModel, Budget, Chain, Step
from promptchain.errors import BudgetExceededError
from promptchain.testing import MessagesAPI

tell = Step("tell", prompt="Answer in a paragraph.\n<question>{input}</question>", max_tokens=300)


async def worker(chain: Chain[str, str], number: int) -> int:
    """Answer questions for as long as there is money for them, and say how many that were."""
    answered = 0
    while True:
        try:
            await chain.run(f"Question {number}.{answered}: what makes the tide?")
        except BudgetExceededError:
            return answered
        answered += 1


async def main() -> None:
    with MessagesAPI() as api:
        claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        # Of each run: no single one may cost more than that, whatever it is asked.
        chain = Chain("tides", tell, model=claude, budget=Budget(usd="0.003"))

        async with Budget(usd="0.02", name="nightly") as nightly:
            answered = await asyncio.gather(*(worker(chain, number) for number in range(10)))
            print(f"10 workers, {sum(answered)} answers")
            print(f"limit USD {nightly.usd}, spent {nightly.spent_usd}, left {nightly.left_usd}")
            print(f"the API's bill: USD {api.bill.cost}")

            try:
                await chain.run("What makes the tide?")
            except BudgetExceededError as error:
                print(f"budget {error.budget!r}, {len(error.ledger or ())} requests sent: {error.message}")

        # Outside of the block only the chain's own budget holds, and each run has a new one.
        result = await chain.run("What makes the tide?")
        print(f"afterwards one answer for USD {result.cost}")


if __name__ == "__main__":
    asyncio.run(main())
