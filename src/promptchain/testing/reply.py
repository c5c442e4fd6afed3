"""From an answer to the reply that the API gives: thinking, limits, stop sequences, and the bytes on the wire."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from promptchain.models.tokens import count_tokens, running_counts, split_tokens
from promptchain.testing.script import Answer, Fault, RecordedRequest
from promptchain.usage import Usage

__all__ = ["Event", "Reply", "compose", "message", "stream_events", "usage_dict"]

_encode = msgspec.json.encode


class Event(NamedTuple):
    """One event of a stream, as bytes.

    Attributes:
        data: The event with its framing.
        output_tokens: Tokens that were written when this event was.
        is_delta: Whether it carries text or thinking.
    """

    data: bytes
    output_tokens: int
    is_delta: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model says, cut to what the request allows.

    Attributes:
        model: The API's own name of the model.
        usage: Tokens; output included.
        thinking: Deltas of thinking, or ``None`` where none was asked for.
        shows_thinking: Whether the thinking itself is sent, or its signature only.
        thinking_tokens: Tokens of the thinking.
        text: Deltas of text.
    """

    model: str
    usage: Usage
    thinking: Sequence[str] | None
    shows_thinking: bool
    thinking_tokens: int
    text: Sequence[str]
    stop_reason: str
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None
    id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")


def _cut(deltas: Sequence[str], length: int) -> list[str]:
    """The deltas up to ``length`` characters of their text."""
    kept: list[str] = []
    for delta in deltas:
        if length <= 0:
            break
        kept.append(delta[:length])
        length -= len(delta)
    return kept


def _grouped(text: str, tokens_per_delta: int) -> list[str]:
    tokens = split_tokens(text)
    if tokens_per_delta == 1:
        return tokens
    size = tokens_per_delta
    return ["".join(tokens[start : start + size]) for start in range(0, len(tokens), size)]


def _prefix(text: str, tokens: int) -> str:
    """The first ``tokens`` tokens of ``text``."""
    return "".join(split_tokens(text)[:tokens])


def compose(
    request: RecordedRequest,
    answer: Answer,
    *,
    input_usage: Usage,
    tokens_per_delta: int,
    fault: Fault | None = None,
) -> Reply:
    """The reply that ``answer`` becomes for ``request``; refusals and a scripted ``max_tokens`` included."""
    facts = request.facts
    room = min(request.body["max_tokens"], facts.context - input_usage.total_input_tokens)
    full = "max_tokens" if room == request.body["max_tokens"] else "model_context_window_exceeded"
    asked: Mapping[str, Any] = request.body.get("thinking") or {}
    stop_reason, stop_sequence, stop_details = "end_turn", None, None

    thought: str | None = None
    if asked.get("type") in {"enabled", "adaptive"}:
        thought = answer.thinking
        if thought is None:
            thought = f"The request says: {request.prompt[:80].strip()} I answer that."
        limit = min(room, asked.get("budget_tokens", room))
        if count_tokens(thought) > limit:
            thought = _prefix(thought, limit)
    thinking_tokens = count_tokens(thought or "")

    text = answer.text
    deltas = [delta for delta in answer.deltas if delta] or _grouped(text, tokens_per_delta)
    stops: list[str] = request.body.get("stop_sequences") or []
    found = [(text.index(stop), stop) for stop in stops if stop in text]
    if found:
        position, stop_sequence = min(found)
        stop_reason, text, deltas = "stop_sequence", text[:position], _cut(deltas, position)
    tokens = count_tokens(text)
    if tokens > room - thinking_tokens:
        text = _prefix(text, room - thinking_tokens)
        tokens = count_tokens(text)
        stop_reason, stop_sequence, deltas = full, None, _cut(deltas, len(text))
    if fault is not None:
        after = len(deltas) // 2 if fault.after is None else fault.after
        deltas, stop_reason, stop_sequence = deltas[:after], fault.kind, None
        tokens = count_tokens("".join(deltas))
        if fault.kind == "refusal":
            stop_details = {
                "type": "refusal",
                "category": fault.category,
                "explanation": fault.explanation,
            }
    if not room:
        stop_reason = full
    output = max(min(1, room), thinking_tokens + tokens)
    return Reply(
        model=facts.id,
        usage=input_usage + Usage(output_tokens=output),
        thinking=None if thought is None else _grouped(thought, tokens_per_delta),
        shows_thinking=asked.get("display") == "summarized"
        or (asked.get("display") is None and facts.shows_thinking),
        thinking_tokens=thinking_tokens,
        text=deltas,
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        stop_details=stop_details,
    )


def usage_dict(usage: Usage, *, thinking_tokens: int | None = None) -> dict[str, Any]:
    """``usage`` as a message shows it."""
    within_an_hour = usage.cache_creation_1h_input_tokens
    shown: dict[str, Any] = {
        **usage.as_dict(),
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_creation_input_tokens - within_an_hour,
            "ephemeral_1h_input_tokens": within_an_hour,
        },
        "service_tier": "standard",
    }
    if thinking_tokens is not None:
        shown["output_tokens_details"] = {"thinking_tokens": thinking_tokens}
    return shown


def _signature(reply: Reply) -> str:
    digest = hashlib.sha256("".join(reply.thinking or ()).encode("utf-8", "surrogatepass")).digest()
    return base64.b64encode(digest).decode()


def _head(reply: Reply) -> dict[str, Any]:
    return {"id": reply.id, "type": "message", "role": "assistant", "model": reply.model}


def message(reply: Reply) -> dict[str, Any]:
    """The reply as it is answered without a stream."""
    content: list[dict[str, Any]] = []
    if reply.thinking is not None:
        shown = "".join(reply.thinking) if reply.shows_thinking else ""
        content.append({"type": "thinking", "thinking": shown, "signature": _signature(reply)})
    if reply.text:
        content.append({"type": "text", "text": "".join(reply.text)})
    details = None if reply.thinking is None else reply.thinking_tokens
    return {
        **_head(reply),
        "content": content,
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": reply.stop_details,
        "usage": usage_dict(reply.usage, thinking_tokens=details),
    }


def sse(name: str, data: object) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))


@lru_cache(maxsize=64)
def _deltas(index: int, kind: str, deltas: tuple[str, ...], before: int) -> tuple[Event, ...]:
    # Nearly all of the wire, and the same for a scripted answer that is given again and again: only the texts
    # are encoded, and once, as a benchmark's client must not wait for us.
    head = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
        b'"delta":{"type":"%b_delta","%b":' % (index, kind.encode(), kind.encode())
    )
    return tuple(
        Event(b"%b%b}}\n\n" % (head, _encode(delta)), before + count, is_delta=True)
        for delta, count in zip(deltas, running_counts(deltas), strict=True)
    )


def stream_events(reply: Reply) -> list[Event]:
    """The reply as the events of a stream, from ``message_start`` to ``message_stop``."""
    first = reply.usage.output_tokens and 1
    before = Usage(
        reply.usage.input_tokens,
        first,
        reply.usage.cache_read_input_tokens,
        reply.usage.cache_creation_input_tokens,
        reply.usage.cache_creation_1h_input_tokens,
    )
    started: dict[str, Any] = {
        **_head(reply),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage_dict(before),
    }
    events = [
        Event(sse("message_start", {"type": "message_start", "message": started}), 0),
        Event(sse("ping", {"type": "ping"}), 0),
    ]
    index = tokens = 0
    if reply.thinking is not None:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        events.append(_block_start(index, block, 0))
        if reply.shows_thinking:
            events += _deltas(index, "thinking", tuple(reply.thinking), 0)
        tokens = reply.thinking_tokens
        signature = {"type": "signature_delta", "signature": _signature(reply)}
        data = {"type": "content_block_delta", "index": index, "delta": signature}
        events.append(Event(sse("content_block_delta", data), tokens))
        events.append(_block_stop(index, tokens))
        index += 1
    if reply.text:
        events.append(_block_start(index, {"type": "text", "text": ""}, tokens))
        events += _deltas(index, "text", tuple(reply.text), tokens)
        events.append(_block_stop(index, events[-1].output_tokens))
    return events + _closing(reply)


def _block_start(index: int, block: Mapping[str, Any], tokens: int) -> Event:
    data = {"type": "content_block_start", "index": index, "content_block": block}
    return Event(sse("content_block_start", data), tokens)


def _block_stop(index: int, tokens: int) -> Event:
    return Event(sse("content_block_stop", {"type": "content_block_stop", "index": index}), tokens)


def _closing(reply: Reply) -> list[Event]:
    usage: dict[str, Any] = {**reply.usage.as_dict()}
    if reply.thinking is not None:
        usage["output_tokens_details"] = {"thinking_tokens": reply.thinking_tokens}
    delta = {
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
        "stop_details": reply.stop_details,
    }
    total = reply.usage.output_tokens
    return [
        Event(sse("message_delta", {"type": "message_delta", "delta": delta, "usage": usage}), total),
        Event(sse("message_stop", {"type": "message_stop"}), total),
    ]
