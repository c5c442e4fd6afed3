"""Server-sent events, sans-IO: bytes go in as they arrive, the data of whole events comes out."""

from __future__ import annotations

from promptchain.errors import MalformedReplyError

_MAX_EVENT_BYTES = 16 * 1024 * 1024


class EventDecoder:
    """Splits a stream of bytes into the data of its events (WHATWG HTML, section 9.2).

    Event names, ids, retry times and comments are passed over: the Messages API repeats the name in the data.
    """

    __slots__ = ("_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that ``chunk`` completes.

        Raises:
            MalformedReplyError: An event is larger than 16 MiB, so this is not the stream it should be.
        """
        buffer = self._buffer
        buffer += chunk
        if b"\r" in buffer:
            buffer = self._unify_line_ends(buffer)
        # An event ends at an empty line. What was searched before is not searched again, or one large event
        # in small chunks would cost the square of its size.
        end = buffer.rfind(b"\n\n", max(0, self._searched - 1))
        if end < 0:
            self._searched = len(buffer)
            if len(buffer) > _MAX_EVENT_BYTES:
                raise MalformedReplyError("the API sent an event of more than 16 MiB; is a proxy in between?")
            return []
        complete = bytes(buffer[:end])
        del buffer[: end + 2]
        self._searched = 0
        return [data for event in complete.split(b"\n\n") if (data := _data(event))]

    def _unify_line_ends(self, buffer: bytearray) -> bytearray:
        # A carriage return at the very end may be the first half of a CRLF: it waits for the next chunk.
        held = buffer.endswith(b"\r")
        body = buffer[:-1] if held else buffer
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._buffer = body + b"\r" if held else body
        self._searched = 0
        return self._buffer


def _data(event: bytes) -> bytes:
    # Nearly every event is a name and one line of data behind it.
    _, _, data = event.partition(b"\ndata: ")
    if data and b"\n" not in data and not event.startswith(b"data:"):
        return data
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
