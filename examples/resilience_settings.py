"""One chain whose retries, breaker, deadline and budget are said outside of its code. Offline.

In an application these are variables of the environment, such as ``PROMPTCHAIN_RETRY_ATTEMPTS=5``; here, to have
several of them in one run, they are handed over with ``settings=``. Run it with
``python examples/resilience_settings.py``.
"""

import asyncio
from collections.abc import Callable

from promptchain import AnthropicModel, Chain, Step
from promptchain.errors import ConfigurationError, PromptChainError
from promptchain.resilience import Policy, Retry
from promptchain.settings import Settings
from promptchain.testing import Fault, MessagesAPI

SETTINGS = {
    "as by default": {},
    "five attempts": {"PROMPTCHAIN_RETRY_ATTEMPTS": "5"},
    "no retries": {"PROMPTCHAIN_RETRY": "off"},
    "a budget": {"PROMPTCHAIN_BUDGET_USD": "0.0001"},
}


def memo(claude: AnthropicModel, policy: Policy) -> Chain[str, str]:
    return Chain(
        "memo", Step("draft", prompt="Write a short memo about this:\n{input}", policy=policy), model=claude
    )


def overloaded(times: int) -> Callable[[object], Fault | str]:
    faults = iter([Fault.status(529, retry_after_ms=10)] * times)
    return lambda _: next(faults, "The office moves to Kiel.")


async def main() -> None:
    with MessagesAPI() as api:
        claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="simulated")
        chains = {
            # Without a breaker, as the failures of one run would open it for the next.
            "says nothing of retries": memo(claude, Policy(breaker=None)),
            "says two attempts": memo(claude, Policy(breaker=None, retry=Retry(attempts=2))),
        }
        for said, chain in chains.items():
            print(f"The code {said}; the API is overloaded three times:")
            for title, variables in SETTINGS.items():
                api.answer_with(overloaded(times=3))
                before = len(api.bill)
                try:
                    result = await chain.run("The move to Kiel", settings=Settings.read(variables))
                    ended = result.output
                except PromptChainError as error:
                    ended = type(error).__name__
                print(f"  {title:14} requests: {len(api.bill) - before}  {ended}")

    try:
        Settings.read({"PROMPTCHAIN_RETRY_ATTEMPTS": "50"})
    except ConfigurationError as error:
        print(error)


if __name__ == "__main__":
    asyncio.run(main())
