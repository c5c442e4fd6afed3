"""What goes to a model and what comes back: requests, the pieces of a reply, and the whole reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import pydantic_core
from typing_extensions import TypedDict

from promptchain.usage import Usage

Effort: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"]
"""How much work the model puts into a reply, as the SDK spells it (``output_config.effort``)."""

ServiceTier: TypeAlias = Literal["auto", "standard_only"]
"""Whether a request may use capacity that was bought beforehand, as the SDK spells it."""

REPLY_AGAIN: Final = "Reply again, in full, with this put right."
"""How a turn ends that tells the model what was wrong with its reply."""

# A structured output adds instructions of the API's own to the input. Their size is not documented; this is
# more than was ever seen, so that a bound stays a bound.
_OVERHEAD_TOKENS = 1_024

# What the SDK writes of its own into each object of a schema: "properties":{},"additionalProperties":false and
# "description":"\n\n{}" are 74 bytes with their commas.
_OVERHEAD_BYTES = 80


class Message(TypedDict):
    """One turn of a conversation, as the Messages API takes it."""

    role: Literal["user", "assistant"]
    content: str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One question to a model. Which model is asked is the model's own affair.

    Attributes:
        messages: The conversation; the last turn is the user's.
        max_tokens: Most tokens the reply may have, thinking included.
        system: System prompt, or ``None``.
        output_schema: JSON Schema that the reply must conform to, or ``None`` for text.
        effort: See ``Effort``; ``None`` leaves it to the model.
        thinking: The SDK's ``thinking`` argument, passed on as it is.
        temperature: How evenly the next token is drawn, 0 to 1; for models of the older API version only.
        top_p: Part of the likeliest tokens that are drawn from, 0 to 1; as ``temperature``.
        service_tier: See ``ServiceTier``; ``None`` leaves it to the API.
        stop_sequences: The reply ends before any of these.
        request_id: Id of the caller, sent to the API as ``x-request-id``.
    """

    messages: Sequence[Message]
    max_tokens: int
    system: str | None = None
    output_schema: Mapping[str, Any] | None = None
    effort: Effort | None = None
    thinking: Mapping[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    service_tier: ServiceTier | None = None
    stop_sequences: Sequence[str] = ()
    request_id: str | None = None

    def input_bound(self) -> int:
        """A number of input tokens that this request cannot exceed: a token is at least one byte."""
        size = len(pydantic_core.to_json((self.messages, self.system)))
        if self.output_schema is not None:
            size += _schema_bound(self.output_schema)
        return size + _OVERHEAD_TOKENS


def _schema_bound(schema: Mapping[str, Any]) -> int:
    """Bytes that ``schema`` cannot exceed when the SDK has made it a structured output.

    The SDK leaves a part of it where it is or drops it, or writes it into a description as its ``repr``. So it
    is never more than all of it in the one form, and all of it in the other, and the SDK's own words.
    """
    kept = pydantic_core.to_json(schema)
    told = pydantic_core.to_json(repr(schema))
    return len(kept) + len(told) + _OVERHEAD_BYTES * kept.count(b"{")


@dataclass(frozen=True, slots=True)
class RequestReady:
    """The request leaves next: nothing that can be known before stands in its way.

    A model that always yields it first says so with ``announces_requests = True``.

    Attributes:
        attempt: Which attempt of its step it is; 0 from a model, which does not know.
    """

    attempt: int = 0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the API says of one of its limits, which is a bucket that fills up again little by little.

    Attributes:
        limit: What it holds when it is full, which is what it takes in within a minute.
        remaining: What is left in it.
        reset: When it will be full again, in seconds since the epoch, or ``None`` where that is not said.
    """

    limit: int
    remaining: int
    reset: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What the API says of its limits, in the headers ``anthropic-ratelimit-*``; ``None`` is not said."""

    requests: RateLimit | None = None
    input_tokens: RateLimit | None = None
    output_tokens: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class LimitsReported:
    """The API has answered, and said how much of its limits is left."""

    limits: RateLimits


@dataclass(frozen=True, slots=True)
class ReplyRestarted:
    """What has come of the reply is void, and another one follows. Wrappers yield it, models never do.

    Attributes:
        reason: What the reply failed with.
    """

    reason: Exception


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The model has read the request.

    Attributes:
        message_id: The API's id of the reply.
        model: The model that answers, as the API names it.
        usage: The input tokens are final, unless they are 0: then they are not known yet. The output tokens are
            not final.
        request_id: The API's id of the request, for its support.
    """

    message_id: str
    model: str
    usage: Usage
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the reply's text, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of the model's thinking, which is not part of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The final count is known, although the reply may still be cut before its end.

    Attributes:
        usage: As in ``ReplyFinished``.
    """

    usage: Usage


@dataclass(frozen=True, slots=True)
class ReplyFinished:
    """The reply is complete, for the better or the worse.

    Attributes:
        stop_reason: Why the model stopped, in the API's words (``"end_turn"``, ``"refusal"`` …).
        usage: The final count, as the API reports it.
        stop_details: What the API adds about a refusal (``category``, ``explanation``).
        reported: Whether ``usage`` is all that the API would report. ``False`` where it left a count out.
    """

    stop_reason: str
    usage: Usage
    stop_details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reported: bool = True


ReplyEvent: TypeAlias = ReplyStarted | TextDelta | ThinkingDelta | ReplyFinished
"""A reply: ``ReplyStarted``, then deltas in any number, then ``ReplyFinished``."""

ModelEvent: TypeAlias = RequestReady | LimitsReported | UsageReported | ReplyRestarted | ReplyEvent
"""What a model yields: a reply, and what makes the record of it better.

A model need not say the latter: ``RequestReady`` in front of all, ``LimitsReported`` before the reply,
``UsageReported`` once the final count is known.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole reply, collected.

    Attributes:
        text: The text, without thinking.
        thinking: The thinking, as far as the API shows it.
        stop_reason: Why the model stopped, in the API's words.
        stop_details: What the API adds about a refusal.
        usage: The tokens that the API reports.
        model: The model that answered, as the API names it.
        message_id: The API's id of the reply.
        request_id: The API's id of the request, or ``None``.
    """

    text: str
    thinking: str
    stop_reason: str
    stop_details: Mapping[str, Any]
    usage: Usage
    model: str
    message_id: str
    request_id: str | None
