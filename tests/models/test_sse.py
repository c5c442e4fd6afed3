"""Server-sent events: bytes in any pieces, the data of whole events out."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptchain.errors import MalformedReplyError
from promptchain.models.sse import EventDecoder

data_lines = st.lists(
    st.binary(max_size=12).filter(lambda line: not set(b"\r\n") & set(line)), min_size=1, max_size=3
)
fields = st.sampled_from(
    [b"event: x", b": a comment", b"id: 7", b"retry: 10", b"dat: no", b"data2: no", b":"]
)
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream and the data of its events."""
    stream = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    found: list[bytes] = []
    # An LF behind a lone CR would be read as one line end, so a stream keeps to one of them.
    end = draw(line_ends)
    for lines in draw(st.lists(data_lines, max_size=4)):
        event = [draw(st.sampled_from([b"data: ", b"data:"])) + line for line in lines]
        told = [line[5:].removeprefix(b" ") for line in event]
        for field in draw(st.lists(fields, max_size=2)):
            event.insert(draw(st.integers(0, len(event))), field)
        stream += end.join(event) + end + end + end * draw(st.integers(0, 2))
        if data := b"\n".join(told):
            found.append(data)
    return stream, found


def fed(chunks: list[bytes]) -> list[bytes]:
    decoder = EventDecoder()
    return [data for chunk in chunks for data in decoder.feed(chunk)]


@given(streams(), st.data())
def test_any_split_of_the_bytes_gives_the_same_events(
    stream: tuple[bytes, list[bytes]], data: st.DataObject
) -> None:
    raw, events = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    edges = [0, *cuts, len(raw)]
    assert fed([raw[a:b] for a, b in itertools.pairwise(edges)]) == events


@given(streams())
def test_one_byte_at_a_time_gives_the_same_events(stream: tuple[bytes, list[bytes]]) -> None:
    raw, events = stream
    assert fed([raw[i : i + 1] for i in range(len(raw))]) == fed([raw]) == events


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"event: x\ndata: a\n\n", [b"a"]),
        (b"event: x\ndata:a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\nevent: x\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\nid: 1\n\n", [b"a"]),
        (b": only a comment\n\n", []),
        (b"event: ping\n\n", []),
        (b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        (b"data: \xf0\x9f\x98\x80\n\n", ["😀".encode()]),
        (b"metadata: a\n\n", []),
        (b"event: data: a\ndata: b\n\n", [b"b"]),
    ],
)
def test_each_form_of_an_event_is_read_as_the_standard_says(raw: bytes, events: list[bytes]) -> None:
    assert fed([raw]) == events


def test_an_event_is_given_as_soon_as_its_empty_line_has_come() -> None:
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):
        decoder = EventDecoder()
        assert decoder.feed(b"data: a" + end[:-1]) in ([], [b"a"])
        assert fed([b"data: a" + end]) == [b"a"]


def test_an_event_of_more_than_16_mib_is_refused_before_the_memory_is_full() -> None:
    decoder = EventDecoder()
    mebibyte = b"x" * 1024 * 1024
    for _ in range(16):
        assert decoder.feed(mebibyte) == []
    with pytest.raises(MalformedReplyError, match="16 MiB"):
        decoder.feed(b"x")


def test_a_large_event_in_small_pieces_does_not_cost_the_square_of_its_size() -> None:
    decoder = EventDecoder()
    began = time.process_time()
    decoder.feed(b"data: ")
    for _ in range(100_000):
        decoder.feed(b"x" * 100)
    assert decoder.feed(b"\n\n") == [b"x" * 10_000_000]
    assert time.process_time() - began < 10
