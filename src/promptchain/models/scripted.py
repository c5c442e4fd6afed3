"""A model that replies by script, for tests that need no network."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pydantic_core
from pydantic import BaseModel

from promptchain.errors import ConfigurationError
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    TextDelta,
    ThinkingDelta,
)
from promptchain.models.tokens import count_input_tokens, count_tokens, digest, pieces
from promptchain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from _typeshed import DataclassInstance

__all__ = ["Scripted", "ScriptedItem", "ScriptedModel", "ScriptedReply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """A reply whose every part is told.

    Attributes:
        chunks: The text, a delta each.
        thinking: Sent before the text.
        stop_reason: In the API's words.
        stop_details: What the API would add about a refusal.
        usage: Left out, the text is counted as the simulated API counts it.
        delay: Seconds before each chunk. At 0 the event loop still takes a turn at each.
        error: Raised after the chunks, in place of the end.
    """

    chunks: Sequence[str] = ()
    thinking: str = ""
    stop_reason: str = "end_turn"
    stop_details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    usage: Usage | None = None
    delay: float = 0.0
    error: Exception | None = None


ScriptedItem: TypeAlias = (
    "str | Scripted | Exception | BaseModel | DataclassInstance | Mapping[str, Any] | Sequence[Any]"
)
"""A text; a value that is sent as JSON; an exception, raised before the reply begins; or ``Scripted``."""

ScriptedReply: TypeAlias = "ScriptedItem | Callable[[ModelRequest], ScriptedItem]"
"""One reply of a script: an item, or a function that makes one of the request."""


class ScriptedModel:
    """Gives the replies of a script, one for each request, in order.

    ::

        model = ScriptedModel("first", {"content": "second"}, OverloadedError("busy"), "after a retry")

    Requests take their reply in the order in which they begin, also when several run at once.

    Args:
        replies: See ``ScriptedReply``. A list, mapping, dataclass or pydantic model is sent as JSON.
        name: The model's name, in the ledger and for prices.

    Attributes:
        requests: Every request so far, those that failed or came too late among them.

    Raises:
        ConfigurationError: A reply is none of the kinds above, or cannot be written as JSON.
    """

    def __init__(self, *replies: ScriptedReply, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[ModelRequest] = []
        self._scripted = len(replies)
        self._left = deque(_checked(reply, number) for number, reply in enumerate(replies, start=1))

    @property
    def pending(self) -> int:
        """How many replies have not been asked for."""
        return len(self._left)

    async def count_tokens(self, request: ModelRequest) -> int:
        """Input tokens that a reply without a ``usage`` of its own will report."""
        return count_input_tokens(request)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Yield the next reply as events. See ``Model.stream``.

        Raises:
            ConfigurationError: The script is used up.
        """
        self.requests.append(request)
        reply = self._next(request)
        if isinstance(reply, Exception):
            raise reply
        read_tokens = reply.usage.input_tokens if reply.usage else count_input_tokens(request)
        started = dataclasses.replace(reply.usage or Usage(), input_tokens=read_tokens, output_tokens=0)
        message_id = f"msg_{self.name}_{len(self.requests)}_{digest(request)}"
        yield ReplyStarted(message_id=message_id, model=self.name, usage=started)
        if reply.thinking:
            await asyncio.sleep(reply.delay)
            yield ThinkingDelta(reply.thinking)
        for chunk in reply.chunks:
            await asyncio.sleep(reply.delay)
            if chunk:
                yield TextDelta(chunk)
        if reply.error is not None:
            raise reply.error
        written = max(1, count_tokens(reply.thinking) + count_tokens("".join(reply.chunks)))
        usage = reply.usage or Usage(input_tokens=read_tokens, output_tokens=written)
        yield ReplyFinished(stop_reason=reply.stop_reason, usage=usage, stop_details=reply.stop_details)

    def _next(self, request: ModelRequest) -> Scripted | Exception:
        if not self._left:
            last = request.messages[-1]["content"] if request.messages else ""
            asked = last if isinstance(last, str) else repr(last)
            raise ConfigurationError(
                f"the script of model {self.name!r} is used up: {self._scripted} scripted, and request number "
                f"{len(self.requests)} asks: {asked[:200]!r}. Add a reply, or look why there is one more request."
            )
        reply = self._left.popleft()
        if isinstance(reply, Scripted | Exception):
            return reply
        made = _checked(reply(request), len(self.requests))
        if isinstance(made, Scripted | Exception):
            return made
        raise ConfigurationError(
            f"reply {len(self.requests)} of the script is a function that gave a function"
        )

    def __repr__(self) -> str:
        return f"<ScriptedModel {self.name!r}: {self.pending} of {self._scripted} replies left>"


def _checked(reply: object, number: int) -> Scripted | Exception | Callable[[ModelRequest], ScriptedItem]:
    if isinstance(reply, Scripted | Exception):
        return reply
    if isinstance(reply, str):
        return Scripted(chunks=list(pieces(reply)))
    if isinstance(reply, type):
        raise ConfigurationError(
            f"reply {number} of the script is the class {reply!r}: give an instance of it"
        )
    if _is_written_as_json(reply):
        return _as_json(reply, number)
    if callable(reply):
        return cast("Callable[[ModelRequest], ScriptedItem]", reply)
    raise ConfigurationError(
        f"reply {number} of the script is {reply!r}: give a text, a value to send as JSON, an exception, "
        "a Scripted or a function of the request"
    )


def _is_written_as_json(reply: object) -> bool:
    return isinstance(reply, BaseModel | Mapping | Sequence) or dataclasses.is_dataclass(reply)


def _as_json(value: object, number: int) -> Scripted:
    try:
        text = pydantic_core.to_json(value).decode()
    except (pydantic_core.PydanticSerializationError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"reply {number} of the script cannot be written as JSON: {error}"
        ) from error
    return Scripted(chunks=list(pieces(text)))
