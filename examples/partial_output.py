"""A structured output while it is written: a form that fills itself in.

``PartialOutput`` events hold plain data as far as it has come, not yet validated. The typed value is in the result.
Run it with ``python examples/partial_output.py``. It needs no key: a simulated Messages API writes a token every 20 ms.
"""

import asyncio
import json

from pydantic import BaseModel, Field

from promptchain import AnthropicModel, Chain, Step
from promptchain.events import PartialOutput, TextCommitted
from promptchain.testing import MessagesAPI, Pace


class Recipe(BaseModel):
    title: str
    minutes: int = Field(gt=0)
    ingredients: list[str]


cook = Step("cook", prompt="A recipe for what is in the fridge.\n<fridge>{input}</fridge>", output=Recipe)
recipes = Chain("recipes", cook, max_tokens=500)

REPLY = Recipe(title="Shakshuka", minutes=25, ingredients=["4 eggs", "5 tomatoes", "1 onion", "cumin"])


async def main() -> None:
    with MessagesAPI(pace=Pace(between=0.02)) as api:
        api.script(REPLY)
        claude = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        async with recipes.stream("eggs, tomatoes, an onion", model=claude) as stream:
            async for event in stream:
                match event:
                    case PartialOutput():
                        print(f"{event.at:5.2f} s  {json.dumps(event.value)}")
                    case TextCommitted():
                        print(f"{event.at:5.2f} s  complete, valid, committed")
                    case _:
                        pass
            result = await stream.result()
    print(f"\n{result.output!r}")


if __name__ == "__main__":
    asyncio.run(main())
