"""Own prices: what a run costs at published prices, at yours, and where no price is known.

The requests go to a simulated Messages API on this machine, which counts tokens. Run it with
``python examples/own_prices.py``. It needs no key.
"""

import asyncio

from promptchain import AnthropicModel, Chain, Price, Result, ScriptedModel, Step
from promptchain.testing import MessagesAPI

QUESTION = "Why does the tide come twice a day?"

tell = Step("tell", prompt="Answer.\n<question>{input}</question>")

published = Chain("published", tell)
agreed = Chain(
    "agreed",
    tell,
    prices={
        # USD per million tokens; as text, so that no digit is lost. Cache prices follow from the input's.
        "claude-haiku-4-5": Price(input="0.90", output="4.50"),
        "home-made": Price(input="0.02", output="0.02"),
    },
)


def told(chain: Chain[str, str], result: Result[str]) -> str:
    usage = result.usage
    cost = "price not known" if result.cost is None else f"USD {result.cost:f}"
    model = result.ledger[0].model
    return f"{chain.name:9}  {model:16}  {usage.input_tokens} in, {usage.output_tokens} out: {cost}"


async def main() -> None:
    with MessagesAPI() as api:
        claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        for chain in (published, agreed):
            print(told(chain, await chain.run(QUESTION, model=claude)))
    for chain in (published, agreed):
        home_made = ScriptedModel("Because of the moon.", name="home-made")
        print(told(chain, await chain.run(QUESTION, model=home_made)))


if __name__ == "__main__":
    asyncio.run(main())
