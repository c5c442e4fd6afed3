"""Retries: what is asked again, after which wait, and what a reader sees of it.

The requests go to a simulated Messages API on this machine, which fails as it is told to. Run it with
``python examples/retry.py``. It needs no key.
"""

import asyncio

from promptchain import AnthropicModel, Chain, Gate, Policy, PromptChainError, Retry, Step
from promptchain.events import Event, RetryScheduled, TextCommitted, TextRetracted
from promptchain.testing import Fault, MessagesAPI, ScriptItem

# A gate, so that text is tentative until the whole reply is there: without one it is given away as it comes, and
# nothing is asked again once that has begun.
tide = Step(
    "tide", prompt="Explain to a child: {input}", gates=[Gate(lambda text: len(text) < 500, "too long")]
)
explain = Chain("explain", tide, policy=Policy(retry=Retry(attempts=3, multiplier=0.1)))

TEXT = "The moon pulls at the sea."
TROUBLES: dict[str, list[ScriptItem]] = {
    "the API says when": [Fault.status(429, retry_after=0.3), TEXT],
    "it does not say when": [Fault.status(529), Fault.status(529), TEXT],
    "it breaks in the middle": [Fault.reset(after=6, answer="The moon is a cheese and"), TEXT],
    "it fails every time": [Fault.status(529)] * 3,
    "it would take too long": [Fault.status(429, retry_after=300)],
    "the key is wrong": [Fault.status(401)],
}


def tell(event: Event) -> None:
    match event:
        case RetryScheduled():
            print(f"  attempt {event.attempt}: {type(event.error).__name__}, again in {event.seconds:.2f} s")
        case TextRetracted():
            print(f"  attempt {event.attempt}: its text is void")
        case TextCommitted():
            print(f"  attempt {event.attempt}: {event.text}")
        case _:
            pass


async def main() -> None:
    for trouble, script in TROUBLES.items():
        with MessagesAPI() as api:  # a new address, so that no circuit breaker knows of what came before
            model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
            api.script(*script)
            print(f"{trouble}:")
            try:
                await explain.run("the tide", model=model, readers=[tell])
            except PromptChainError as error:
                print(f"  {type(error).__name__}: {error.message}")
            print(f"  {len(api.bill)} requests")


if __name__ == "__main__":
    asyncio.run(main())
