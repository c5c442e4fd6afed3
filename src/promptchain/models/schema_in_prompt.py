"""Structured outputs for models whose servers have none: the schema goes into the prompt."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

import pydantic_core

from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, TextDelta
from promptchain.models.base import Model, renamed

__all__ = ["JsonReader", "SchemaInPrompt"]

_INSTRUCTIONS: Final = (
    "Answer with one JSON value and nothing else: no explanation, no code fence. "
    "It must conform to this JSON Schema:\n{schema}"
)

_BEGINNINGS: Final = {
    "object": re.compile(r'\{\s*["}]'),
    "array": re.compile(r'\[\s*(?:[\[\]{"\-\d]|true|false|null)'),
}
"""Where a value begins. Prose has braces and brackets too, but not these before what follows them in JSON."""

_THOUGHTS: Final = ("<think>", "</think>")
_FENCED: Final = re.compile(r"\A\s*```\w*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


class SchemaInPrompt:
    """Asks ``model`` for structured outputs in words, for servers that ignore an output schema.

    ::

        local = AnthropicModel("qwen3", base_url="http://127.0.0.1:11434", api_key="ollama")
        chain = Chain("answer", analyze | write, model=SchemaInPrompt(local))

    The schema becomes a part of the system prompt, and what the model writes around the JSON (a code fence, a
    sentence before it or behind it, thoughts between ``<think>`` tags) is taken off the text as it streams. A
    reply without a JSON value of the schema's kind is passed on whole, and a second value is left where it is, so
    that validation says what is wrong and the step asks again. Requests without an output schema are passed on
    as they are.

    Args:
        model: The model that is asked. Its name stays, in the ledger and for prices.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The name of the model that is asked."""
        return self._model.name

    @property
    def announces_requests(self) -> bool:
        """Whether the model that is asked says when a request leaves."""
        return bool(getattr(self._model, "announces_requests", False))

    def renamed(self, name: str) -> SchemaInPrompt | None:
        """The same around the model ``name`` where the one that is asked is; ``None`` if that cannot be renamed."""
        other = renamed(self._model, name)
        return None if other is None else SchemaInPrompt(other)

    def __repr__(self) -> str:
        return f"SchemaInPrompt({self._model!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask the model. See ``Model.stream``."""
        schema = request.output_schema
        reader = None
        if schema is not None:
            reader = JsonReader(schema)
            request = dataclasses.replace(request, output_schema=None, system=_told(request.system, schema))
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                match event:
                    case TextDelta() if reader is not None:
                        if text := reader.feed(event.text):
                            yield TextDelta(text)
                    case ReplyFinished() if reader is not None:
                        if text := reader.finish():
                            yield TextDelta(text)
                        yield event
                    case _:
                        yield event


def _told(system: str | None, schema: Mapping[str, Any]) -> str:
    # As compact as it was when the request was bounded, so the bound holds for this prompt too.
    instructions = _INSTRUCTIONS.format(schema=pydantic_core.to_json(schema).decode())
    return f"{system}\n\n{instructions}" if system else instructions


class JsonReader:
    """Takes one JSON value out of a text as it arrives, sans-IO.

    An object or an array is passed on piece by piece; any other value, which is short, at the end. What
    stands around it is held back until it is clear that it can go.

    Args:
        schema: JSON Schema of the value that is looked for.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._beginning = _BEGINNINGS.get(_kind(schema))
        self._before = ""
        self._begun = False
        self._after: str | None = None
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> str:
        """The part of the value that ``text`` brings."""
        if self._after is not None:
            self._after += text
            return ""
        if self._begun:
            return self._through(text)
        self._before += text
        at = self._begins_at()
        if at is None:
            return ""
        self._begun = True
        text, self._before = self._before[at:], self._before[:at]
        return self._through(text)

    def finish(self) -> str:
        """What is left when the text has ended: nothing, where one value was found and passed on."""
        if not self._begun:
            rest = _thoughtless(self._before)
            if self._beginning is not None or rest is None:
                return self._before
            fenced = _FENCED.match(rest)
            return fenced[1] if fenced else rest
        after = self._after or ""
        # A second value: nobody can say which one is meant.
        is_clear = self._beginning is None or self._beginning.search(after) is None
        return "" if is_clear else after

    def _begins_at(self) -> int | None:
        rest = _thoughtless(self._before)
        if self._beginning is None or rest is None:
            return None
        found = self._beginning.search(rest)
        return None if found is None else len(self._before) - len(rest) + found.start()

    def _through(self, text: str) -> str:
        """``text`` up to the end of the value; the rest is kept."""
        for at, character in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif character == "\\":
                    self._escaped = True
                elif character == '"':
                    self._in_string = False
            elif character == '"':
                self._in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._after = text[at + 1 :]
                    return text[: at + 1]
        return text


def _kind(schema: Mapping[str, Any]) -> str:
    """The JSON type of the value, or an empty string where it may be several."""
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        schema = schema["$defs"][reference.removeprefix("#/$defs/")]
    kinds = {_kind(variant) for variant in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))}
    if kinds:
        return kinds.pop() if len(kinds) == 1 else ""
    return str(schema.get("type", ""))


def _thoughtless(text: str) -> str | None:
    """``text`` behind the thoughts that some servers leave in front of it; ``None`` while these last."""
    opening, closing = _THOUGHTS
    begun = text.lstrip()
    if begun.startswith(opening):
        _, ended, rest = begun.partition(closing)
        return rest if ended else None
    # The tag itself may still be arriving.
    return None if begun and opening.startswith(begun) else text
