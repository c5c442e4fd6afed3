"""A small HTTP/1.1 server for one purpose: responses whose every byte, and whose end, a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from promptchain.errors import MissingExtraError

try:
    import h11
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "the simulated Messages API reads HTTP with h11, which is not installed: "
        "pip install 'promptchain-ai[testing]'"
    ) from error

__all__ = ["Exchange", "Handler", "HttpRequest", "HttpServer"]

_BODY_LIMIT: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A whole request.

    Attributes:
        method: In upper case.
        path: Decoded, without the query.
        query: The last value of each name.
        headers: Names in lower case; values of a repeated header are joined with a comma.
        body: The body, or ``None`` where it is over 32 MB and was thrown away.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None


Headers: TypeAlias = Iterable[tuple[str, str]]


class Exchange:
    """The response to one request. When the client goes, the handler is cancelled at its next ``await``."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.started = False
        self.is_chunked = True

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole response."""
        self.start(status, [*headers, ("content-length", str(len(body)))])
        self.write(body)
        self.finish()

    def start(self, status: int, headers: Headers) -> None:
        """Send the head; without a ``content-length`` the body is chunked."""
        headers = list(headers)
        self.started = True
        self.is_chunked = all(name != "content-length" for name, _ in headers)
        self._connection.send(h11.Response(status_code=status, headers=headers))

    def write(self, data: bytes) -> None:
        """Send a piece of the body in one write, which goes out at once."""
        self._connection.send(h11.Data(data=data))

    async def drained(self) -> None:
        """Wait while the client is slow to read; yields to the others in any case."""
        await self._connection.writable.wait()
        await asyncio.sleep(0)

    def finish(self) -> None:
        """The body ends here, properly."""
        self._connection.send(h11.EndOfMessage())

    def cut(self) -> None:
        """Close the connection where the response stands."""
        self._connection.close()

    def reset(self) -> None:
        """Reset the connection (TCP RST)."""
        self._connection.reset()


Handler: TypeAlias = Callable[[HttpRequest, Exchange], Awaitable[None]]


class _Connection(asyncio.Protocol):
    """One client. It serves one request after the other, pipelined ones too."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=256 * 1024)
        self._transport: asyncio.Transport | None = None
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._gone = False
        self._task: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio gives a stream protocol
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._h11.receive_data(data)
            self._advance()
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def eof_received(self) -> bool:
        # No client of this API closes its half and still listens, so the end of its half is the end.
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._leave()
        self._server.left(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _leave(self) -> None:
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    def _advance(self) -> None:
        while True:
            event = self._h11.next_event()
            match event:
                case h11.Request():
                    self._request, self._body, self._size = event, [], 0
                    if self._h11.they_are_waiting_for_100_continue:
                        self.send(h11.InformationalResponse(status_code=100, headers=[]))
                case h11.Data():
                    self._size += len(event.data)
                    if self._size <= _BODY_LIMIT:
                        self._body.append(bytes(event.data))
                    else:
                        self._body.clear()
                case h11.EndOfMessage():
                    self._task = asyncio.get_running_loop().create_task(self._serve(self._whole()))
                case h11.ConnectionClosed():
                    self.close()
                    return
                case _:  # more data is needed, or the running request comes first
                    return

    def _whole(self) -> HttpRequest:
        assert self._request is not None  # noqa: S101 - an end comes after its beginning
        target = urlsplit(self._request.target.decode("latin-1"))
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._request.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return HttpRequest(
            method=self._request.method.decode("latin-1").upper(),
            path=unquote(target.path),
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers=headers,
            body=b"".join(self._body) if self._size <= _BODY_LIMIT else None,
        )

    async def _serve(self, request: HttpRequest) -> None:
        exchange = Exchange(self)
        try:
            await self._server.handler(request, exchange)
        except Exception as error:  # noqa: BLE001 - reported, and raised where the server is used
            self._server.report(error)
            self.close()
            return
        finally:
            self._task = None
            self._body = []
        if self._gone:
            return
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._go_on()
        else:
            self.close()

    def _go_on(self) -> None:
        """Go on with what was pipelined behind the request that has just been answered."""
        try:
            self._advance()
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = f"{error}\n".encode()
            headers = [("content-type", "text/plain"), ("content-length", str(len(body)))]
            self.send(h11.Response(status_code=error.error_status_hint, headers=headers))
            self.send(h11.Data(data=body))
            self.send(h11.EndOfMessage())
        self.close()

    def send(self, event: h11.Event) -> None:
        """Write one event of the response."""
        data = self._h11.send(event)
        if data and self._transport is not None and not self._gone:
            self._transport.write(data)

    def close(self) -> None:
        """Close after what was written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with a RST, and forget what was not sent."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._gone = True
            self._transport.abort()

    async def abort(self) -> None:
        """The server stops: end what runs, and wait until it has ended."""
        task = self._task
        if self._transport is not None:
            self._transport.abort()
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class HttpServer:
    """Listens on this machine's loopback and hands whole requests to ``handler``.

    Args:
        handler: Answers one request.
        report: Told of an exception that a handler raised.
    """

    def __init__(self, handler: Handler, report: Callable[[Exception], None]) -> None:
        self.handler = handler
        self.report = report
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self, port: int) -> int:
        """Listen; port 0 takes a free one.

        Returns:
            The port.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port, backlog=2_048)
        return int(self._server.sockets[0].getsockname()[1])

    def joined(self, connection: _Connection) -> None:
        """A client connected."""
        self.connections.add(connection)
        self._empty.clear()

    def left(self, connection: _Connection) -> None:
        """A connection is closed."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def stop(self) -> None:
        """Close every connection; returns when nothing of this server is left."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.connections):
            await connection.abort()
        await self._empty.wait()
        await self._server.wait_closed()
