"""Streaming: print the answer as it is written and the steps as they happen, then leave a run half-way.

Run it with ``python examples/streaming.py``. It needs no key: the requests go over HTTP, through the official SDK, to a
simulated Messages API on this machine, which writes a token every 15 ms. The first step also waits for the SDK to load.
"""

import asyncio

from promptchain import AnthropicModel, Chain, Step
from promptchain.events import AttemptFinished, RunFinished, StepFinished, StepStarted, TextCommitted
from promptchain.testing import MessagesAPI, Pace

QUESTION = "Why does the tide come twice a day, although the moon passes only once?"

answer = Chain(
    "answer",
    Step("notes", prompt="What matters for the answer?\n<question>{input}</question>", max_tokens=400)
    | Step("tell", prompt="Answer.\n<question>{input}</question>\n<notes>{notes}</notes>", max_tokens=400),
    model="claude-haiku-4-5",
)


async def watch(model: AnthropicModel) -> None:
    """Every event of a run, the answer's text among them."""
    async with answer.stream(QUESTION, model=model) as stream:
        async for event in stream:
            match event:
                case TextCommitted():
                    print(event.text, end="", flush=True)
                case StepStarted():
                    print(f"\n[{event.at:5.2f} s] {event.step} begins")
                case AttemptFinished():
                    print(f"\n[{event.at:5.2f} s] {event.step} used {event.record.usage.total_tokens} tokens")
                case StepFinished():
                    print(f"[{event.at:5.2f} s] {event.step} took {event.seconds:.2f} s")
                case RunFinished():
                    print(f"[{event.at:5.2f} s] done: USD {event.ledger.cost}")
                case _:
                    pass


async def leave(model: AnthropicModel, api: MessagesAPI) -> None:
    """Leaving the block ends the run and closes the connection to the API."""
    print("\nThe same again, left after five pieces of text:")
    async with answer.stream(QUESTION, model=model) as stream:
        pieces = 0
        async for text in stream.text:
            print(text, end="", flush=True)
            pieces += 1
            if pieces == 5:
                break
    print(" ...")

    await asyncio.to_thread(api.wait_idle)
    last, billed = stream.ledger[-1], api.bill[-1]
    print(f"ledger: {last.step} was {last.error}, at most {last.usage.output_tokens} tokens of output")
    print(f"bill:   aborted {billed.aborted}, {billed.usage.output_tokens} tokens of output")


async def main() -> None:
    with MessagesAPI(pace=Pace(between=0.015)) as api:
        model = AnthropicModel("claude-haiku-4-5", base_url=api.url, api_key="local")
        await watch(model)
        await leave(model, api)


if __name__ == "__main__":
    asyncio.run(main())
