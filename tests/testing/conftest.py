"""A running API, the real SDK on both of its transports, and a bare socket."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import h11
import pytest
from anthropic import AsyncAnthropic, DefaultAioHttpClient

from promptchain.testing import MessagesAPI

HELLO: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 1_000,
    "messages": [{"role": "user", "content": "Say hello to the new engineer."}],
}


@pytest.fixture
def hello() -> dict[str, Any]:
    """A request that the API accepts."""
    return json.loads(json.dumps(HELLO))


@pytest.fixture
def api() -> Iterator[MessagesAPI]:
    with MessagesAPI() as running:
        yield running


@pytest.fixture(params=["httpx2", "aiohttp"])
async def client(request: pytest.FixtureRequest, api: MessagesAPI) -> AsyncIterator[AsyncAnthropic]:
    """The SDK as users have it, on each transport, without its own retries."""
    transport = DefaultAioHttpClient() if request.param == "aiohttp" else None
    async with AsyncAnthropic(base_url=api.url, api_key="test", max_retries=0, http_client=transport) as sdk:
        yield sdk


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection, as bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._parser = h11.Connection(h11.CLIENT)

    def send(
        self,
        method: str = "POST",
        path: str = "/v1/messages",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = {
            "host": "simulated",
            "content-length": str(len(data)),
            "x-api-key": "test",
            "anthropic-version": "2026-10-21",
            **(headers or {}),
        }
        kept = [(name, value) for name, value in named.items() if value]
        self.socket.sendall(self._parser.send(h11.Request(method=method, target=path, headers=kept)))
        self.socket.sendall(self._parser.send(h11.Data(data=data)))
        self._parser.send(h11.EndOfMessage())

    def event(self) -> Any:
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            self._parser.receive_data(self.socket.recv(65_536))
        return event

    def receive(self) -> Response:
        head = self.event()
        assert isinstance(head, h11.Response), head
        body = b""
        while isinstance(event := self.event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        self._parser.start_next_cycle()
        names = {name.decode(): value.decode() for name, value in head.headers}
        return Response(head.status_code, names, body)

    def ask(self, *args: Any, **kwargs: Any) -> Response:
        self.send(*args, **kwargs)
        return self.receive()


@pytest.fixture
def wire(api: MessagesAPI) -> Iterator[Wire]:
    """A connection to ``api``."""
    connection = Wire(api.port)
    with connection.socket:
        yield connection


@pytest.fixture
def connect(api: MessagesAPI) -> Iterator[Callable[..., Wire]]:
    """Opens any number of connections, to ``api`` or to another one."""
    opened: list[Wire] = []

    def open_(to: MessagesAPI = api) -> Wire:
        opened.append(Wire(to.port))
        return opened[-1]

    yield open_
    for connection in opened:
        connection.socket.close()
