"""Server-sent events, sans-IO: bytes go in as they arrive, the data of whole events comes out."""

from __future__ import annotations

from promptchain.errors import MalformedReplyError

_MAX_EVENT_BYTES = 16 * 1024 * 1024
_MARK = b"\xef\xbb\xbf"  # a byte order mark, which may stand at the very beginning


class EventDecoder:
    """Splits a stream of bytes into the data of its events (WHATWG HTML, section 9.2).

    Event names, ids, retry times and comments are passed over: the Messages API repeats the name in the data.
    """

    __slots__ = ("_after_return", "_begun", "_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._begun = False
        self._after_return = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that ``chunk`` completes.

        Raises:
            MalformedReplyError: An event is larger than 16 MiB, so this is not the stream it should be.
        """
        buffer = self._buffer
        buffer += self._unified(chunk) if self._after_return or b"\r" in chunk else chunk
        if not self._begun:
            if _MARK.startswith(buffer):
                return []  # too little to tell
            self._begun = True
            if buffer.startswith(_MARK):
                del buffer[: len(_MARK)]
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

    def _unified(self, chunk: bytes) -> bytes:
        """``chunk`` with line feeds for all line ends."""
        if not chunk:
            return chunk
        if self._after_return:
            chunk = chunk.removeprefix(b"\n")  # the second half of a CRLF
        self._after_return = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data(event: bytes) -> bytes:
    # Nearly every event is a name and one line of data behind it.
    head, _, data = event.partition(b"\ndata: ")
    if data and b"\n" not in data and b"data:" not in head:
        return data
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
