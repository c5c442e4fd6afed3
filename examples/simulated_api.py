"""What a chain does when the API misbehaves: the same request against seven kinds of trouble, offline.

Run it: python examples/simulated_api.py
"""

import asyncio

from promptchain import AnthropicModel, Chain, Policy, PromptChainError, Retry, Step
from promptchain.testing import Fault, MessagesAPI, ScriptItem

ANSWER = "The moon pulls at the sea, and so does the sun."
TROUBLES: dict[str, ScriptItem] = {
    "all is well": ANSWER,
    "overloaded": Fault.status(529, retry_after_ms=50),
    "no such luck": Fault.reset(),
    "cut in the middle": Fault.reset(after=8, answer=ANSWER),
    "error in the stream": Fault.error("overloaded_error", after=6),
    "ends without an end": Fault.end(after=9),
    "refused": Fault.refusal(category="cyber", explanation="It sounds like an attack."),
    "too long": Fault.max_tokens(answer=ANSWER),
}

# Short waits, and no breaker: each trouble is to be seen by itself.
policy = Policy(retry=Retry(multiplier=0.02), breaker=None)
tide = Chain("tide", Step("explain", prompt="Explain to a child:\n{input}", max_tokens=500), policy=policy)


async def main() -> None:
    with MessagesAPI() as api:
        claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="simulated")
        api.answer_with(lambda _: ANSWER)  # whatever is asked behind the trouble
        for name, trouble in TROUBLES.items():
            before = len(api.bill)
            api.script(trouble)
            try:
                result = await tide.run("What makes the tide?", model=claude)
                outcome = result.output
            except PromptChainError as error:
                outcome = f"{type(error).__name__}: {error.message}"
            billed = api.bill[before:]
            cost = sum(entry.cost or 0 for entry in billed)
            print(f"{name:20} {len(billed)} asked, USD {cost:.6f}  {outcome}")
        await asyncio.to_thread(api.wait_idle)
        print(f"\n{len(api.bill)} requests, USD {api.bill.cost:.6f}: the bill of the simulated API.")


if __name__ == "__main__":
    asyncio.run(main())
