"""The Messages API's stream, sans-IO: the data of its events becomes model events.

The SDK builds a typed object for every delta, which is most of what streaming costs it. Here one small struct
is decoded an event, and the text of one network read becomes one ``TextDelta`` (docs/decisions/0002).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

import msgspec

from promptchain.errors import (
    AuthenticationError,
    BadRequestError,
    BillingError,
    IncompleteReplyError,
    MalformedReplyError,
    ModelNotFoundError,
    ModelStatusError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from promptchain.messages import (
    ModelEvent,
    ReplyFinished,
    ReplyStarted,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from promptchain.models.event_stream import MEDIA_TYPE, FrameDecoder
from promptchain.models.sse import EventDecoder
from promptchain.usage import Usage

ERROR_TYPES: dict[str, type[ModelStatusError]] = {
    "invalid_request_error": BadRequestError,
    "request_too_large": BadRequestError,
    "authentication_error": AuthenticationError,
    "billing_error": BillingError,
    "permission_error": PermissionDeniedError,
    "not_found_error": ModelNotFoundError,
    "rate_limit_error": RateLimitError,
    "timeout_error": ServerError,
    "api_error": ServerError,
    "overloaded_error": OverloadedError,
    # As Bedrock says it in a stream.
    "throttlingException": RateLimitError,
    "validationException": BadRequestError,
}
"""The API's error types and ours; an unknown one is a ``ServerError``."""


_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class _CacheCreation(msgspec.Struct):
    ephemeral_1h_input_tokens: _Count = 0


class _Usage(msgspec.Struct):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_creation: _CacheCreation | None = None


# Other servers than Anthropic's write null where it leaves a field out.
class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: _Usage | None = None


class _Block(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Delta(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None
    stop_details: dict[str, Any] | None = None


class _Error(msgspec.Struct):
    type: str | None = None
    message: str | None = None


class _Event(msgspec.Struct):
    type: str
    delta: _Delta | None = None
    message: _Message | None = None
    content_block: _Block | None = None
    usage: _Usage | None = None
    error: _Error | None = None


_STREAMS = {"text/event-stream", MEDIA_TYPE}
_PARTS = {"", "text", "text_delta", "thinking", "thinking_delta"}
_KNOWN = {
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "error",
}
# How other APIs end a stream. Servers that translate theirs into ours may leave it in.
_DONE = b"[DONE]"

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)
_decode = msgspec.json.Decoder(_Event).decode


class ReplyDecoder:
    """Turns the bytes of one streamed reply into model events.

    Unknown events, blocks and deltas (citations, signatures, what comes tomorrow) are passed over.

    Args:
        request_id: The API's id of the request, for errors.
        content_type: What the reply says it is; empty where it does not say.
    """

    def __init__(self, request_id: str | None = None, content_type: str = "text/event-stream") -> None:
        self.request_id = request_id
        self._media_type = content_type.partition(";")[0].strip().lower()
        self._events = FrameDecoder() if self._media_type == MEDIA_TYPE else EventDecoder()
        self._has_events = False
        self._usage = Usage()
        self._output_reported = False
        self._started = False
        self._stop_reason: str | None = None
        self._stop_details: dict[str, Any] = {}
        self.complete = False

    def feed(self, chunk: bytes) -> Iterator[ModelEvent]:
        """Yield what ``chunk`` completes; text is joined as far as nothing else stands in between.

        Raises:
            ModelStatusError: The API reports an error inside the stream.
            MalformedReplyError: What came is not the Messages API's language.
        """
        text = ""
        try:
            for data in self._events.feed(chunk):
                self._has_events = True
                event = self._parse(data)
                if event is None:
                    continue
                delta = event.delta
                if delta is not None and delta.type == "text_delta" and event.type == "content_block_delta":
                    text += delta.text or ""
                    continue
                other = self._handle(event)
                if other is None:
                    continue
                if text:
                    yield TextDelta(text)
                    text = ""
                yield other
        except Exception:
            # What arrived before the failure was received and is passed on before it.
            if text:
                yield TextDelta(text)
            raise
        if text:
            yield TextDelta(text)

    def finish(self) -> None:
        """Say that the stream has ended.

        Raises:
            IncompleteReplyError: The reply had not.
            MalformedReplyError: There was no stream of events.
        """
        if not self._has_events and self._media_type not in _STREAMS:
            raise MalformedReplyError(
                f"the API answered with {self._media_type or 'something'} where a stream of events was asked for; "
                "is a proxy in between, or base_url the address of something else?",
                request_id=self.request_id,
            )
        if not self.complete:
            where = "after it began" if self._started else "before it began"
            raise IncompleteReplyError(
                f"the API's stream ended {where}, without a stop reason; ask again",
                request_id=self.request_id,
            )

    @property
    def _is_reported(self) -> bool:
        # No request is without input, so 0 is what a server says that does not count it.
        return self._output_reported and self._usage.total_input_tokens > 0

    def _parse(self, data: bytes) -> _Event | None:
        if self.complete or data == _DONE:
            return None
        try:
            return _decode(data)
        except _UNREADABLE as error:
            if _is_unknown(data):
                return None
            raise MalformedReplyError(
                f"the API sent an event that cannot be read ({error}); is a proxy in between?",
                request_id=self.request_id,
            ) from error

    def _handle(self, event: _Event) -> ModelEvent | None:
        match event.type:
            case "content_block_delta" if event.delta and event.delta.type == "thinking_delta":
                return ThinkingDelta(event.delta.thinking) if event.delta.thinking else None
            case "content_block_start" if event.content_block:
                return _beginning(event.content_block)
            case "message_start" if event.message:
                self._started = True
                self._usage = _merged(self._usage, event.message.usage)
                return ReplyStarted(
                    event.message.id or "", event.message.model or "", self._usage, self.request_id
                )
            case "message_delta":
                self._usage = _merged(self._usage, event.usage)
                if event.delta:
                    self._stop_reason = event.delta.stop_reason or self._stop_reason
                    self._stop_details = event.delta.stop_details or self._stop_details
                if event.usage and event.usage.output_tokens is not None:
                    self._output_reported = True
                    # Before there is a stop reason, a count is that of a reply that goes on.
                    if self._stop_reason and self._is_reported:
                        return UsageReported(self._usage)
            case "message_stop" if self._started and self._stop_reason:
                self.complete = True
                return ReplyFinished(self._stop_reason, self._usage, self._stop_details, self._is_reported)
            case "error":
                error = event.error or _Error()
                kind = error.type or "api_error"
                raise ERROR_TYPES.get(kind, ServerError)(
                    f"the API broke off its reply: {error.message or kind} ({kind})",
                    type=kind,
                    request_id=self.request_id,
                    billable=True,
                )
            case _:
                pass
        return None


def _beginning(block: _Block) -> ModelEvent | None:
    if block.type == "text" and block.text:
        return TextDelta(block.text)
    if block.type == "thinking" and block.thinking:
        return ThinkingDelta(block.thinking)
    return None


def _is_unknown(data: bytes) -> bool:
    """Whether ``data`` is an event, block or delta of another kind, which may use our names for what it likes."""
    try:
        event = msgspec.json.decode(data, type=dict[str, Any])
    except _UNREADABLE:
        return False
    kind = _kind(event)
    parts = {_kind(event.get("delta")), _kind(event.get("content_block"))}
    return kind != "" and (kind not in _KNOWN or not parts <= _PARTS)


def _kind(thing: Any) -> str:
    match thing:
        case {"type": str(kind)}:
            return kind
        case _:
            return ""


def _merged(known: Usage, reported: _Usage | None) -> Usage:
    """``known`` with what is ``reported`` put over it: the API's counts are cumulative."""
    if reported is None:
        return known
    created = known.cache_creation_input_tokens
    if reported.cache_creation_input_tokens is not None:
        created = reported.cache_creation_input_tokens
    one_hour = known.cache_creation_1h_input_tokens
    if reported.cache_creation is not None:
        one_hour = reported.cache_creation.ephemeral_1h_input_tokens
    return Usage(
        known.input_tokens if reported.input_tokens is None else reported.input_tokens,
        known.output_tokens if reported.output_tokens is None else reported.output_tokens,
        known.cache_read_input_tokens
        if reported.cache_read_input_tokens is None
        else reported.cache_read_input_tokens,
        created,
        min(one_hour, created),  # it is a part, whatever a server says
    )
