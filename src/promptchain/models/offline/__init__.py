"""The offline model: it stands in where there is no key, and says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from promptchain.errors import ConfigurationError
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    TextDelta,
    ThinkingDelta,
)
from promptchain.models.tokens import count_input_tokens, count_tokens, digest, pieces, split_tokens
from promptchain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["OfflineModel", "answer"]


def answer(request: ModelRequest) -> str:
    """The offline model's whole reply, before ``max_tokens`` and ``stop_sequences`` cut it.

    The same request always has the same answer. It is about the text of the request and says once, in
    ``reading.NOTICE``, that no model was asked. With an ``output_schema`` it is JSON that conforms to it; then the
    notice stands in the first field that is made for prose (``content``, ``answer``, ``text`` …) and has room.
    A schema that ``SchemaInPrompt`` wrote into the system prompt is an ``output_schema`` like any other.
    """
    # What reads and writes is imported on first use: most programs that import this library never need it.
    from promptchain.models.offline.prose import final_text  # noqa: PLC0415
    from promptchain.models.offline.reading import read  # noqa: PLC0415
    from promptchain.models.offline.schema_answers import json_answer  # noqa: PLC0415
    from promptchain.models.schema_in_prompt import schema_told  # noqa: PLC0415

    reading = read(request)
    schema = schema_told(request.system) if request.output_schema is None else request.output_schema
    return final_text(reading) if schema is None else json_answer(schema, reading)


class OfflineModel:
    """Answers without a network: deterministic, free of charge, and plainly a stand-in.

    It reads the prompt (its sentences, names and numbers, and what stands between tags such as
    ``<request>``), answers any JSON schema, and streams word by word.

    Args:
        delay: Seconds between two pieces of text. At 0 the event loop still takes a turn at each.

    Raises:
        ConfigurationError: ``delay`` is negative.
    """

    name = "offline"

    def __init__(self, *, delay: float = 0.0) -> None:
        if not delay >= 0:
            raise ConfigurationError(f"OfflineModel(delay={delay!r}): the delay is in seconds, 0 or more")
        self._delay = delay

    async def count_tokens(self, request: ModelRequest) -> int:
        """Input tokens that the reply will report."""
        return count_input_tokens(request)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Yield the reply as events. See ``Model.stream``."""
        read_tokens = count_input_tokens(request)
        yield ReplyStarted(
            message_id=f"msg_offline_{digest(request)}",
            model=self.name,
            usage=Usage(input_tokens=read_tokens),
        )
        thinking, text, stop_reason = _cut(request, _thinking(request), answer(request))
        if thinking:
            await asyncio.sleep(self._delay)
            yield ThinkingDelta(thinking)
        for piece in pieces(text):
            await asyncio.sleep(self._delay)
            yield TextDelta(piece)
        written = max(1, count_tokens(thinking) + count_tokens(text))
        yield ReplyFinished(
            stop_reason=stop_reason, usage=Usage(input_tokens=read_tokens, output_tokens=written)
        )

    def __repr__(self) -> str:
        return f"OfflineModel(delay={self._delay!r})"


def _thinking(request: ModelRequest) -> str:
    if request.thinking is None or request.thinking.get("type") == "disabled":
        return ""
    return "I am a stand-in and do not think. I read the request and arrange its own words."


def _cut(request: ModelRequest, thinking: str, text: str) -> tuple[str, str, str]:
    """What of the reply is sent, and why it stops there."""
    stop_reason = "end_turn"
    ends = [end for stop in request.stop_sequences if stop and (end := text.find(stop)) >= 0]
    if ends:
        text, stop_reason = text[: min(ends)], "stop_sequence"
    thinking_tokens = min(count_tokens(thinking), request.max_tokens)
    thinking = "".join(split_tokens(thinking)[:thinking_tokens])
    left = request.max_tokens - thinking_tokens
    if count_tokens(text) > left:
        text, stop_reason = "".join(split_tokens(text)[:left]), "max_tokens"
    return thinking, text, stop_reason
