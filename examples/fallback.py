"""Fallbacks: another model answers where the first does not, and the result says who did.

The requests go to a simulated Messages API on this machine, which fails as it is told to. Run it with
``python examples/fallback.py``. It needs no key.
"""

import asyncio

from promptchain import AnthropicModel, Chain, Fallback, Gate, Policy, PromptChainError, Retry, Step
from promptchain.events import Event, ModelReplaced
from promptchain.testing import Fault, MessagesAPI, ScriptItem

TEXT = "The moon pulls at the sea."
TROUBLES: dict[str, list[ScriptItem]] = {
    "all is well": [TEXT],
    "overloaded": [Fault.status(529), Fault.status(529), TEXT],
    "a refusal": [Fault.refusal(category="cyber"), TEXT],
    "too long a prompt": [
        Fault.status(400, message="prompt is too long: 210000 tokens > 200000 maximum"),
        TEXT,
    ],
    "two models fail": [*[Fault.status(529)] * 4, TEXT],
    "the key is wrong": [Fault.status(401)],
}


def tell(event: Event) -> None:
    if isinstance(event, ModelReplaced):
        print(f"  {event.model} -> {event.instead}: {type(event.error).__name__}")


def chain_at(url: str) -> Chain[str, str]:
    haiku = AnthropicModel("claude-haiku-4-5", base_url=url, api_key="local")
    # With a gate the text of a reply is tentative until it is all there, so a refusal in the middle can be mended.
    tide = Step("tide", prompt="Explain: {input}", gates=[Gate(lambda text: bool(text.strip()), "empty")])
    # Names are asked for where the first model is.
    others = Fallback(["claude-sonnet-5-5", "claude-opus-5-5"])
    policy = Policy(fallback=others, retry=Retry(attempts=2, multiplier=0.05))
    return Chain("explain", tide, model=haiku, policy=policy)


async def main() -> None:
    for trouble, script in TROUBLES.items():
        with MessagesAPI() as api:  # a new address, so that no circuit breaker knows of what came before
            api.script(*script)
            print(f"{trouble}:")
            try:
                result = await chain_at(api.url).run("the tide", readers=[tell])
            except PromptChainError as error:
                print(f"  {type(error).__name__}: {error.message}")
                continue
            print(f"  answered by {result.steps['tide'].model}")
            for attempt in result.ledger:
                print(f"    {attempt.number}. {attempt.model:18} {attempt.error or attempt.stop_reason}")


if __name__ == "__main__":
    asyncio.run(main())
