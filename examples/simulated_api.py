"""What a chain does when the API misbehaves: the same request against seven kinds of trouble, offline.

Run it: python examples/simulated_api.py
"""

import asyncio

from promptchain import AnthropicModel, Chain, PromptChainError, Step
from promptchain.testing import Fault, MessagesAPI, ScriptItem

TROUBLES: dict[str, ScriptItem] = {
    "all is well": "The moon pulls at the sea, and so does the sun.",
    "overloaded": Fault.status(529, retry_after=2),
    "no such luck": Fault.reset(),
    "cut in the middle": Fault.reset(after=8, answer="The moon pulls at the sea, and so does the sun."),
    "error in the stream": Fault.error("overloaded_error", after=6),
    "ends without an end": Fault.end(after=9),
    "refused": Fault.refusal(category="cyber", explanation="It sounds like an attack."),
    "too long": Fault.max_tokens(answer="The moon pulls at the sea, and so does the sun."),
}

tide = Chain("tide", Step("explain", prompt="Explain to a child:\n{input}", max_tokens=500))


async def main() -> None:
    with MessagesAPI() as api:
        claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="simulated")
        for name, trouble in TROUBLES.items():
            api.script(trouble)
            try:
                result = await tide.run("What makes the tide?", model=claude)
                outcome = result.output
            except PromptChainError as error:
                outcome = f"{type(error).__name__}: {error.message}"
            billed = api.bill[-1]
            print(f"{name:20} USD {billed.cost:.6f}, {billed.usage.output_tokens:2} tokens out  {outcome}")
        await asyncio.to_thread(api.wait_idle)
        print(f"\n{len(api.bill)} requests, USD {api.bill.cost:.6f}: the bill of the simulated API.")


if __name__ == "__main__":
    asyncio.run(main())
