"""HTTP as bytes: framing, connections, headers, and what is no request at all."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h11
import pytest

from promptchain.testing import Answer, MessagesAPI, Pace

if TYPE_CHECKING:
    from conftest import Wire


def test_a_stream_is_framed_as_the_api_frames_it(api: MessagesAPI, wire: Wire, hello: dict[str, Any]) -> None:
    api.script(Answer(deltas=["Hel", 'lo "you"\n', "…"]))
    response = wire.ask(body={**hello, "stream": True})
    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.body.endswith(b"\n\n")
    blocks = [block.split(b"\n") for block in response.body.removesuffix(b"\n\n").split(b"\n\n")]
    assert all(len(block) == 2 for block in blocks)
    names = [block[0].decode().removeprefix("event: ") for block in blocks]
    events = [json.loads(block[1].removeprefix(b"data: ")) for block in blocks]
    assert names == [event["type"] for event in events]
    assert names == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_delta",
        "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    assert [event["delta"]["text"] for event in events[3:6]] == ["Hel", 'lo "you"\n', "…"]
    assert events[0]["message"]["content"] == []
    assert events[0]["message"]["stop_reason"] is None
    assert events[7]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None, "stop_details": None}


def test_one_connection_serves_many_requests(wire: Wire, hello: dict[str, Any], api: MessagesAPI) -> None:
    ids = [
        wire.ask(body={**hello, "stream": streamed}).headers["request-id"] for streamed in (True, False, True)
    ]
    assert len(set(ids)) == 3
    assert [entry.request_id for entry in api.bill] == ids


def test_pipelined_requests_are_answered_in_order(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any]
) -> None:
    api.script("first", "second")
    body = json.dumps(hello).encode()
    head = b"POST /v1/messages HTTP/1.1\r\nhost: s\r\nx-api-key: k\r\nanthropic-version: 2026-10-21\r\n"
    request = head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    wire.socket.sendall(request + request)
    data = b""
    while data.count(b'"stop_reason"') < 2:
        data += wire.socket.recv(65_536)
    assert data.index(b'"first"') < data.index(b'"second"')


def test_a_chunked_request_body_and_expect_continue_are_understood(wire: Wire, hello: dict[str, Any]) -> None:
    body = json.dumps(hello).encode()
    wire.socket.sendall(
        b"POST /v1/messages HTTP/1.1\r\nhost: s\r\nx-api-key: k\r\nanthropic-version: 2026-10-21\r\n"
        b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n"
    )
    assert wire.socket.recv(100).startswith(b"HTTP/1.1 100")
    wire.socket.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert wire.socket.recv(100).startswith(b"HTTP/1.1 200")


def test_what_is_not_http_is_refused_and_the_connection_closed(wire: Wire) -> None:
    wire.socket.sendall(b"good morning\r\n\r\n")
    data = b""
    while chunk := wire.socket.recv(65_536):
        data += chunk
    assert data.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("streamed", [True, False])
def test_a_response_carries_the_headers_of_the_api(wire: Wire, hello: dict[str, Any], streamed: bool) -> None:
    headers = wire.ask(body={**hello, "stream": streamed}).headers
    assert headers["request-id"].startswith("req_")
    assert headers["anthropic-organization-id"]
    for name in ("requests", "input-tokens", "output-tokens", "tokens"):
        left = int(headers[f"anthropic-ratelimit-{name}-remaining"])
        assert 0 < left <= int(headers[f"anthropic-ratelimit-{name}-limit"])
        assert headers[f"anthropic-ratelimit-{name}-reset"].endswith("Z")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("PUT", "/v1/messages/count_tokens", 405),
        ("POST", "/v1/models", 405),
        ("DELETE", "/v1/models/claude-haiku-4-5", 405),
        ("POST", "/bill", 405),
        ("POST", "/v1/complete", 404),
        ("GET", "/", 404),
        ("GET", "/v2/messages", 404),
        ("GET", "/v1/models/claude-nonsense", 404),
    ],
)
def test_a_wrong_path_is_404_and_a_wrong_method_405(wire: Wire, method: str, path: str, status: int) -> None:
    response = wire.ask(method, path)
    assert response.status == status
    assert response.json["type"] == "error"
    assert response.json["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"model": "\\ud8"}', b"[1]", b'"text"', b"null"])
def test_a_body_that_is_no_json_object_is_400(api: MessagesAPI, wire: Wire, body: bytes) -> None:
    response = wire.ask(body=body)
    assert (response.status, response.json["error"]["type"]) == (400, "invalid_request_error")
    assert (api.bill[0].status, api.bill[0].received) == (400, None)


def test_a_body_over_32_mb_is_413_and_the_connection_still_serves(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any]
) -> None:
    response = wire.ask(body=b" " * (32 * 1024 * 1024 + 1))
    assert (response.status, response.json["error"]["type"]) == (413, "request_too_large")
    assert wire.ask(body=hello).status == 200


def test_paced_deltas_are_writes_of_their_own(api: MessagesAPI, wire: Wire, hello: dict[str, Any]) -> None:
    api.script(Answer(deltas=["a", "b", "c"], pace=Pace(between=0.03)))
    wire.send(body={**hello, "stream": True})
    reads: list[bytes] = []
    while not reads or not reads[-1].endswith(b"0\r\n\r\n"):
        reads.append(wire.socket.recv(65_536))
    assert max(read.count(b"text_delta") for read in reads) == 1


def test_a_burst_is_written_in_as_few_pieces_as_asked(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any]
) -> None:
    api.script(Answer(deltas=["x"] * 122, pace=Pace(events_per_write=64)))
    wire.send(body={**hello, "stream": True})
    pieces = []
    while not isinstance(event := wire.event(), h11.EndOfMessage):
        if isinstance(event, h11.Data) and event.chunk_start:
            pieces.append(event)
    assert len(pieces) == 2  # 128 events


def test_the_port_is_free_again_when_the_api_stops(hello: dict[str, Any]) -> None:
    with MessagesAPI(pace=Pace(first=60)) as api:
        port = api.port
        hanging = socket.create_connection(("127.0.0.1", port))
        idle = socket.create_connection(("127.0.0.1", port))
        body = json.dumps({**hello, "stream": True}).encode()
        hanging.sendall(
            b"POST /v1/messages HTTP/1.1\r\nhost: s\r\nx-api-key: k\r\nanthropic-version: 2026-10-21\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        api.bill.wait(lambda bill: bill and bill[0].status == 200)
    assert api.bill[0].aborted
    assert api.bill[0].ended
    with hanging, idle, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with MessagesAPI(port=port) as again:
        assert again.port == port


def test_a_port_in_use_is_said_when_the_api_starts(api: MessagesAPI) -> None:
    with pytest.raises(OSError, match="in use"), MessagesAPI(port=api.port):
        pytest.fail("it started")


def test_outside_of_its_block_the_api_has_no_address() -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        _ = MessagesAPI().url


def test_without_h11_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['h11'] = None\n"
        "from promptchain.errors import MissingExtraError\n"
        "from promptchain.testing import forbid_real_calls, Pace\n"
        "try:\n    from promptchain.testing import MessagesAPI\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'promptchain-ai[testing]'" in done.stdout


def test_many_connections_are_served_at_once(
    api: MessagesAPI, connect: Callable[..., Wire], hello: dict[str, Any]
) -> None:
    wires = [connect() for _ in range(50)]
    for wire in wires:
        wire.send(body={**hello, "stream": True})
    assert all(wire.receive().body.endswith(b'{"type":"message_stop"}\n\n') for wire in wires)
    assert len(api.bill) == 50
