"""The Messages API's stream, without a socket."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptchain.errors import (
    AuthenticationError,
    IncompleteReplyError,
    MalformedReplyError,
    ModelStatusError,
    OverloadedError,
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
from promptchain.models.wire import ReplyDecoder
from promptchain.usage import Usage

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 1,
            "cache_read_input_tokens": 20,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 25, "ephemeral_1h_input_tokens": 5},
            "service_tier": "standard",
        },
    },
}
END: dict[str, Any] = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 15},
}
STOP: dict[str, Any] = {"type": "message_stop"}


def block(index: int, **content: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": content}


def delta(**content: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": content}


def text(piece: str) -> dict[str, Any]:
    return delta(type="text_delta", text=piece)


def wired(*events: dict[str, Any] | bytes) -> bytes:
    raw = b""
    for event in events:
        if isinstance(event, bytes):
            raw += b"event: x\ndata: " + event + b"\n\n"
        else:
            raw += f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
    return raw


def read(*chunks: bytes) -> list[ModelEvent]:
    """What comes of a whole reply, with neighbouring texts joined."""
    decoder = ReplyDecoder("req_1")
    seen: list[ModelEvent] = []
    for chunk in chunks:
        for event in decoder.feed(chunk):
            match seen, event:
                case [*_, TextDelta(before)], TextDelta(after):
                    seen[-1] = TextDelta(before + after)
                case _:
                    seen.append(event)
    decoder.finish()
    return seen


STARTED = ReplyStarted("msg_1", "claude-haiku-4-5", Usage(10, 1, 20, 30, 5), "req_1")
FINISHED = ReplyFinished("end_turn", Usage(10, 15, 20, 30, 5))
WHOLE = wired(
    START,
    block(0, type="thinking", thinking="", signature=""),
    {"type": "ping"},
    delta(type="thinking_delta", thinking="hm 🤔"),
    delta(type="signature_delta", signature="EqQB"),
    {"type": "content_block_stop", "index": 0},
    block(1, type="text", text=""),
    text("Grüße, "),
    text("мир 😀"),
    delta(type="citations_delta", citation={"type": "page_location", "cited_text": "not the answer"}),
    text("!"),
    {"type": "content_block_stop", "index": 1},
    END,
    STOP,
)
COUNTED = UsageReported(FINISHED.usage)
EVENTS = [STARTED, ThinkingDelta("hm 🤔"), TextDelta("Grüße, мир 😀!"), COUNTED, FINISHED]


def test_a_whole_reply_becomes_events_with_the_exact_usage() -> None:
    assert read(WHOLE) == EVENTS


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    assert read(*(WHOLE[a:b] for a, b in itertools.pairwise(edges))) == EVENTS


def test_the_text_of_one_read_is_one_delta_and_thinking_parts_it() -> None:
    raw = wired(START, text("a"), text("b"), delta(type="thinking_delta", thinking="t"), text("c"), END, STOP)
    assert list(ReplyDecoder().feed(raw))[1:-2] == [TextDelta("ab"), ThinkingDelta("t"), TextDelta("c")]


def test_text_that_stands_in_the_start_of_a_block_is_text() -> None:
    raw = wired(
        START, block(0, type="text", text="a"), text("b"), block(1, type="thinking", thinking="t"), END, STOP
    )
    assert read(raw)[1:-2] == [TextDelta("ab"), ThinkingDelta("t")]


@pytest.mark.parametrize(
    "unknown",
    [
        {"type": "ping"},
        {"type": "tomorrow", "delta": "not an object", "usage": "nor this", "message": [1]},
        {"type": "tomorrow", "delta": {"type": "text_delta", "text": "not the answer"}},
        {"type": "content_block_stop", "index": 0},
        delta(type="input_json_delta", partial_json='{"text":"no"}'),
        delta(type="signature_delta", signature="x"),
        delta(type="citations_delta", citation={"text": "no"}),
        delta(type="compaction_delta", content="no"),
        delta(type="tomorrow_delta", text="not the answer"),
        delta(type="tomorrow_delta", thinking="not the thinking"),
        delta(type="tomorrow_delta", text=["not even text"], thinking=None),
        delta(type="text_delta", text=""),
        delta(type="thinking_delta", thinking=""),
        block(0, type="tool_use", id="t", name="n", input={"text": "no"}),
        block(0, type="server_tool_use", id="t", name="web_search", input={}),
        block(0, type="web_search_tool_result", tool_use_id="t", content=[{"type": "x", "text": "no"}]),
        block(0, type="redacted_thinking", data="x"),
        block(0, type="tomorrow", text="not the answer"),
        block(0, type="tomorrow", text={"not": "text"}),
    ],
    ids=lambda event: json.dumps(event)[:60],
)
def test_what_is_not_known_is_passed_over_and_is_no_part_of_the_answer(unknown: dict[str, Any]) -> None:
    assert read(wired(START, text("a"), unknown, text("b"), END, STOP)) == [
        STARTED,
        TextDelta("ab"),
        COUNTED,
        FINISHED,
    ]


def test_the_last_report_of_a_count_is_the_one_that_holds() -> None:
    more = {
        "type": "message_delta",
        "delta": {},
        "usage": {"input_tokens": 100, "output_tokens": 7, "cache_read_input_tokens": None},
    }
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
    end = read(wired(START, text("a"), more, last, STOP))[-1]
    assert end == ReplyFinished("end_turn", Usage(100, 9, 20, 30, 5))


def test_a_reply_without_any_usage_is_read_too() -> None:
    start = {"type": "message_start", "message": {"id": "m", "model": "x"}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": None}
    assert read(wired(start, text("a"), end, STOP))[-1] == ReplyFinished("end_turn", Usage(), reported=False)


def test_the_details_of_a_refusal_are_kept() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": None}
    end = {
        "type": "message_delta",
        "delta": {"stop_reason": "refusal", "stop_details": details},
        "usage": {"output_tokens": 1},
    }
    assert read(wired(START, end, STOP))[-1] == ReplyFinished("refusal", STARTED.usage, details)


def message_start(usage: dict[str, Any] | None) -> dict[str, Any]:
    message = {"id": "m", "model": "x"}
    return {"type": "message_start", "message": message if usage is None else {**message, "usage": usage}}


def message_delta(usage: dict[str, Any] | None, stop_reason: str | None = "end_turn") -> dict[str, Any]:
    event = {"type": "message_delta", "delta": {"stop_reason": stop_reason}}
    return event if usage is None else {**event, "usage": usage}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (message_start({"input_tokens": 10, "output_tokens": 1}), message_delta(None)),
        (message_start({"input_tokens": 10, "output_tokens": 1}), message_delta({})),
        (message_start({"input_tokens": 10, "output_tokens": 1}), message_delta({"output_tokens": None})),
        (message_start(None), message_delta({"output_tokens": 7})),
        (message_start({"input_tokens": 0}), message_delta({"output_tokens": 7})),
    ],
)
def test_a_count_that_the_api_left_out_is_not_called_reported(
    start: dict[str, Any], end: dict[str, Any]
) -> None:
    *others, last = read(wired(start, text("a"), end, STOP))
    assert isinstance(last, ReplyFinished)
    assert not last.reported
    assert not any(isinstance(event, UsageReported) for event in others)


def test_the_count_is_known_as_soon_as_it_is_final_and_not_before() -> None:
    decoder = ReplyDecoder()
    running = message_delta({"output_tokens": 7}, stop_reason=None)
    assert len(list(decoder.feed(wired(message_start({"input_tokens": 10}), running)))) == 1
    assert list(decoder.feed(wired(message_delta({"output_tokens": 9})))) == [UsageReported(Usage(10, 9))]


def test_the_hour_long_part_of_what_was_cached_is_no_more_than_the_whole() -> None:
    usage = {"cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_1h_input_tokens": 50}}
    (start,) = ReplyDecoder().feed(wired(message_start(usage)))
    assert start == ReplyStarted("m", "x", Usage(0, 0, 0, 30, 30))


def test_a_count_below_zero_is_malformed() -> None:
    with pytest.raises(MalformedReplyError):
        read(wired(message_start({"input_tokens": -1})))


PAGE = b"<!DOCTYPE html>\n\n<html>\n\n<p>data: none</p></html>\n\n"


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json", "TEXT/HTML", ""])
def test_what_is_no_stream_of_events_is_malformed(content_type: str) -> None:
    decoder = ReplyDecoder("req_1", content_type)
    assert list(decoder.feed(PAGE)) == []
    with pytest.raises(
        MalformedReplyError, match=content_type.partition(";")[0].lower() or "something"
    ) as caught:
        decoder.finish()
    assert caught.value.request_id == "req_1"


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream", ""])
def test_a_stream_of_events_is_read_whatever_it_is_called(content_type: str) -> None:
    decoder = ReplyDecoder("req_1", content_type)
    assert list(decoder.feed(WHOLE))[-1] == FINISHED
    decoder.finish()


@given(st.integers(0, len(WHOLE) - 1))
def test_an_end_anywhere_before_the_stop_is_an_incomplete_reply(end: int) -> None:
    if end == len(WHOLE) - 1:
        end -= 1  # the very last byte is the second half of the empty line
    with pytest.raises(IncompleteReplyError) as caught:
        read(WHOLE[:end])
    assert caught.value.request_id == "req_1"
    assert caught.value.billable


@pytest.mark.parametrize(
    "events",
    [
        [START, text("a"), STOP],
        [START, text("a"), {"type": "message_delta", "delta": {"stop_reason": None}}, STOP],
        [START, text("a"), END],
        [text("a"), END, STOP],
        [STOP],
        [],
    ],
)
def test_a_reply_without_a_start_a_stop_reason_or_a_stop_is_incomplete(events: list[dict[str, Any]]) -> None:
    with pytest.raises(IncompleteReplyError):
        read(wired(*events))


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("overloaded_error", OverloadedError),
        ("rate_limit_error", RateLimitError),
        ("authentication_error", AuthenticationError),
        ("api_error", ServerError),
        ("tomorrow_error", ServerError),
    ],
)
def test_an_error_in_the_stream_is_raised_behind_the_text_before_it(
    type_: str, kind: type[ModelStatusError]
) -> None:
    error = {"type": "error", "error": {"type": type_, "message": "Busy"}, "request_id": "req_other"}
    decoder = ReplyDecoder("req_1")
    seen: list[ModelEvent] = []
    with pytest.raises(kind, match=f"Busy .{type_}.") as caught:
        for event in decoder.feed(wired(START, text("a"), text("b"), error, text("c"), END, STOP)):
            seen.append(event)  # noqa: PERF402 - what came before the error is kept
    assert seen == [STARTED, TextDelta("ab")]
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.type, caught.value.request_id) == (None, type_, "req_1")
    assert caught.value.billable
    assert not decoder.complete


@pytest.mark.parametrize(
    "error", [{"type": "error"}, {"type": "error", "error": None}, {"type": "error", "error": {}}]
)
def test_an_error_that_says_nothing_is_an_error_all_the_same(error: dict[str, Any]) -> None:
    with pytest.raises(ServerError):
        read(wired(START, text("a"), error))


@pytest.mark.parametrize(
    "garbage",
    [
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"text"',
        b"{}",
        b'{"delta":{}}',
        b'{"type":3}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":3}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"\xff"}}',
        b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"\\ud800"}}',
        b'{"type":"message_delta","usage":{"output_tokens":"many"}}',
        b'{"type":"message_start","message":3}',
        b"<html>",
    ],
)
def test_what_cannot_be_read_is_malformed_behind_the_text_before_it(garbage: bytes) -> None:
    decoder = ReplyDecoder("req_1")
    seen: list[ModelEvent] = []
    with pytest.raises(MalformedReplyError, match="cannot be read") as caught:
        for event in decoder.feed(wired(START, text("a"), garbage, END, STOP)):
            seen.append(event)  # noqa: PERF402 - what came before the error is kept
    assert seen == [STARTED, TextDelta("a")]
    assert caught.value.request_id == "req_1"
    assert caught.value.__cause__ is not None


def test_what_comes_behind_the_stop_changes_nothing() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "late"}}
    assert read(WHOLE + wired(error, text("late"))) == EVENTS
    assert read(WHOLE, wired(error)) == EVENTS


@given(st.lists(st.text(), max_size=10))
def test_text_comes_out_as_it_was_sent(pieces: list[str]) -> None:
    pieces = [piece.encode("utf-8", "replace").decode() for piece in pieces]
    events = read(wired(START, *map(text, pieces), END, STOP))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "".join(pieces)
    assert TextDelta("") not in events
