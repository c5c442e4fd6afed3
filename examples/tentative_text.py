"""Streaming through a gate: what is shown while it is written, taken back, and given in the end.

The last step has a gate, so its text is tentative until the gate has judged it. The first attempt is rejected, the
second is allowed. ``stream.text`` never gives a character of the first. Run it with
``python examples/tentative_text.py``. It needs no key: the requests go to a simulated Messages API on this machine.
"""

import asyncio
import sys

from promptchain import AnthropicModel, Chain, Gate, Step
from promptchain.events import AttemptStarted, TextCommitted, TextRetracted, TextTentative
from promptchain.testing import MessagesAPI, Pace

QUESTION = "When is high water in Bremen today?"
GUESS = "High water is at 14:20, I would guess, as it mostly is in October."
ANSWER = "I cannot see today's tide table. The waterways office publishes it for Bremen."

answer = Chain(
    "answer",
    Step(
        "tell",
        prompt="Answer.\n<question>{input}</question>",
        gates=[
            Gate(
                lambda text: "guess" not in text,
                "Do not guess: say what you do not know.",
                name="no guessing",
                on_fail="retry",
            )
        ],
        max_tokens=400,
    ),
)

GREY, PLAIN = ("\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "")


async def show(model: AnthropicModel) -> None:
    """All of it, as a person may watch it: tentative text in grey, what becomes of it behind."""
    async with answer.stream(QUESTION, model=model) as stream:
        async for event in stream:
            match event:
                case AttemptStarted():
                    print(f"attempt {event.attempt}")
                case TextTentative():
                    print(f"{GREY}{event.text}{PLAIN}", end="", flush=True)
                case TextRetracted():
                    print(f"\n-- retracted: {event.reason}\n")
                case TextCommitted():
                    print(f"\n-- committed: {event.text}\n")
                case _:
                    pass


async def read(model: AnthropicModel) -> None:
    """The answer alone, as a program or a user should get it."""
    async with answer.stream(QUESTION, model=model) as stream:
        given = [text async for text in stream.text]
        result = await stream.result()

    assert "".join(given) == result.output == ANSWER
    print(f"stream.text gave: {''.join(given)}")
    rejected = result.steps["tell"].rejected
    print(f"and kept back:    {rejected[0].reply}")
    print(f"{len(result.ledger)} requests were billed: USD {result.cost}")


async def main() -> None:
    with MessagesAPI(pace=Pace(between=0.02)) as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        api.script(GUESS, ANSWER, GUESS, ANSWER)
        await show(model)
        await read(model)


if __name__ == "__main__":
    asyncio.run(main())
