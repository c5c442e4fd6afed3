"""Structured outputs for models whose servers have none: the schema goes into the prompt."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

import pydantic_core

from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, TextDelta
from promptchain.models.base import Model, announces_requests, count_input, endpoint_of, prepare, renamed

__all__ = ["JsonReader", "SchemaInPrompt", "schema_told"]

_INSTRUCTIONS: Final = (
    "Answer with one JSON value and nothing else: no explanation, no code fence. "
    "It must conform to this JSON Schema:\n"
)

_BEGINNINGS: Final = {
    "object": re.compile(r'\{\s*["}]'),
    "array": re.compile(r'\[\s*(?:[\[\]{"\-\d]|true|false|null)'),
}
"""Where a value begins. Prose has braces and brackets too, but not these before what follows them in JSON."""

_OPENING: Final = "<think>"
_CLOSING: Final = re.compile("</think>")
_THOUGHTS: Final = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_UNDECIDED: Final = re.compile(r"(?:[{\[]\s*|</?)[a-z]{0,5}\Z")
"""The end of a text that may still become a beginning or a closing tag: at the longest ``[ fals`` or ``</think``."""

_FENCE: Final = re.compile(r"\s*```\w*\s*\n")


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
        return announces_requests(self._model)

    @property
    def endpoint(self) -> str | None:
        """The address of the model that is asked, or ``None`` where it does not say."""
        return endpoint_of(self._model)

    @property
    def account(self) -> object:
        """What the limits of the model that is asked belong to."""
        return getattr(self._model, "account", None)

    async def prepare(self) -> None:
        """Let the model prepare itself."""
        await prepare(self._model)

    async def count_tokens(self, request: ModelRequest) -> int | None:
        """Input tokens as the model counts them, those of a schema in words among them; ``None`` if it cannot."""
        return await count_input(self._model, _in_words(request))

    def renamed(self, name: str) -> SchemaInPrompt | None:
        """The same around the model ``name`` where the one that is asked is; ``None`` if that cannot be renamed."""
        other = renamed(self._model, name)
        return None if other is None else SchemaInPrompt(other)

    def __repr__(self) -> str:
        return f"SchemaInPrompt({self._model!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask the model. See ``Model.stream``."""
        schema = request.output_schema
        reader = None if schema is None else JsonReader(schema)
        async with aclosing(self._model.stream(_in_words(request))) as events:
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


def _in_words(request: ModelRequest) -> ModelRequest:
    if request.output_schema is None:
        return request
    system = _told(request.system, request.output_schema)
    return dataclasses.replace(request, output_schema=None, system=system)


def _told(system: str | None, schema: Mapping[str, Any]) -> str:
    # As compact as it was when the request was bounded, so the bound holds for this prompt too.
    instructions = _INSTRUCTIONS + pydantic_core.to_json(schema).decode()
    return f"{system}\n\n{instructions}" if system else instructions


def schema_told(system: str | None) -> Mapping[str, Any] | None:
    """The schema that ``SchemaInPrompt`` wrote at the end of a system prompt, or ``None`` where there is none."""
    _, instructions, written = (system or "").rpartition(_INSTRUCTIONS)
    if not instructions:
        return None
    try:
        schema = pydantic_core.from_json(written)
    except ValueError:
        return None
    return cast("Mapping[str, Any]", schema) if isinstance(schema, dict) else None


class JsonReader:
    """Takes one JSON value out of a text as it arrives, sans-IO.

    An object or an array is passed on piece by piece; any other value, which is short, at the end. What
    stands around it is held back until it is clear that it can go. The work grows with the length of the text,
    however small its pieces are.

    Args:
        schema: JSON Schema of the value that is looked for.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._beginning = _BEGINNINGS.get(_kind(schema, schema.get("$defs", {})))
        self._sought: re.Pattern[str] | None = None
        self._before: list[str] = []
        self._undecided: list[str] = []
        self._begun = False
        self._after: list[str] | None = None
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> str:
        """The part of the value that ``text`` brings."""
        if self._after is not None:
            self._after.append(text)
            return ""
        if self._begun:
            return self._through(text)
        self._undecided.append(text)
        # White space decides nothing, and much of it may stand behind a brace: it is searched with what follows it.
        if self._beginning is None or not text.strip():
            return ""
        value = self._search("".join(self._undecided), self._beginning)
        if value is None:
            return ""
        self._begun = True
        return self._through(value)

    def finish(self) -> str:
        """What is left when the text has ended: nothing, where one value was found and passed on."""
        if not self._begun:
            text = "".join([*self._before, *self._undecided])
            return _bare(text) if self._beginning is None else text
        after = "".join(self._after or ())
        # A second value: nobody can say which one is meant.
        is_clear = self._beginning is None or self._beginning.search(after) is None
        return "" if is_clear else after

    def _search(self, text: str, beginning: re.Pattern[str]) -> str | None:
        """``text`` from where the value begins, or ``None``: then only its undecided end is searched again."""
        if self._sought is None:
            begun = text.lstrip()
            if _OPENING.startswith(begun):
                self._undecided = [text]
                return None
            self._sought = _CLOSING if begun.startswith(_OPENING) else beginning
        found = self._sought.search(text)
        if found and self._sought is _CLOSING:
            self._sought = beginning
            found = beginning.search(text, found.end())
        if found:
            return text[found.start() :]
        undecided = _UNDECIDED.search(text)
        at = undecided.start() if undecided else len(text)
        self._before.append(text[:at])
        self._undecided = [text[at:]]
        return None

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
                    self._after = [text[at + 1 :]]
                    return text[: at + 1]
        return text


def _kind(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The JSON type of the value, or an empty string where it may be several."""
    reference = schema.get("$ref", "")
    if reference.startswith("#/$defs/"):
        schema = definitions[reference.removeprefix("#/$defs/")]
    variants = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    kinds = {_kind(variant, definitions) for variant in variants}
    if kinds:
        return kinds.pop() if len(kinds) == 1 else ""
    return str(schema.get("type", ""))


def _bare(text: str) -> str:
    """``text`` without thoughts in front of it and without a code fence around it."""
    thoughts = _THOUGHTS.match(text)
    rest = text[thoughts.end() :] if thoughts else text
    fence, fenced = _FENCE.match(rest), rest.rstrip()
    if fence and fenced.endswith("```", fence.end()):
        return fenced[fence.end() : -len("```")].rstrip()
    return rest
