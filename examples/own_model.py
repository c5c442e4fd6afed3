"""A model of one's own, and one that wraps another.

``Glossary`` answers from a table; ``Remembering`` asks another model and keeps its replies. Both are plain
classes: a name, and an asynchronous generator of events. Run it with ``python examples/own_model.py``.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from promptchain import Chain, Model, Price, Step, Usage
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, ReplyStarted, TextDelta

TERMS = {
    "ebb": "the water going out",
    "flood": "the water coming in",
    "spring tide": "a tide with the sun and the moon in one line",
}


class Glossary:
    """Explains the terms that it finds in the prompt."""

    name = "glossary"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        prompt = str(request.messages[-1]["content"])
        read = Usage(input_tokens=len(prompt.split()))
        yield ReplyStarted(message_id="msg_glossary", model=self.name, usage=read)
        written = 0
        for term, meaning in TERMS.items():
            if term in prompt:
                line = f"{term}: {meaning}\n"
                written += len(line.split())
                yield TextDelta(line)
        yield ReplyFinished(stop_reason="end_turn", usage=read + Usage(output_tokens=written))


class Remembering:
    """Asks ``model`` once for each question and repeats its reply, free of charge, from then on."""

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self._model = model
        self._replies: dict[str, list[ModelEvent]] = {}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        question = repr((request.system, request.messages, request.output_schema))
        if question in self._replies:
            for event in self._replies[question]:
                yield free(event)
            return
        reply: list[ModelEvent] = []
        # Closed with us: when the caller leaves, the request of the model within ends too.
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                reply.append(event)
                if isinstance(event, ReplyFinished):
                    self._replies[question] = reply
                yield event


def free(event: ModelEvent) -> ModelEvent:
    match event:
        case ReplyStarted():
            return ReplyStarted(event.message_id, event.model, Usage(), event.request_id)
        case ReplyFinished():
            return ReplyFinished(event.stop_reason, Usage(), event.stop_details)
        case _:
            return event


explain = Chain(
    "explain",
    Step("explain", prompt="Explain the terms in this text.\n<text>{input}</text>"),
    model=Remembering(Glossary()),
    prices={"glossary": Price(input="0.01", output="0.01")},
)


async def main() -> None:
    text = "At spring tide the flood is high and the ebb is low."
    for question in ("first", "again"):
        async with explain.stream(text) as stream:
            async for piece in stream.text:
                print(piece, end="")
            result = await stream.result()
        print(f"-> {question}: {result.usage.total_tokens} tokens, USD {result.cost:f}\n")


if __name__ == "__main__":
    asyncio.run(main())
