"""AWS event streams, sans-IO: the frames in which Amazon Bedrock sends what others send as server-sent events.

A frame is its length, the length of its headers and a CRC of both, the headers, the payload and a CRC of it all
(docs.aws.amazon.com, "Amazon event stream encoding"). Only standard library is needed to read it.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Final

import msgspec

from promptchain.errors import MalformedReplyError

__all__ = ["MEDIA_TYPE", "FrameDecoder"]

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"
"""The ``content-type`` of such a stream."""

_MAX_FRAME_BYTES = 24 * 1024 * 1024
_PRELUDE = struct.Struct(">III")
_CRC_BYTES = 4
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _STRING = 6, 7


class _Chunk(msgspec.Struct):
    bytes: str = ""


class _Exception(msgspec.Struct):
    message: str | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode
_exception = msgspec.json.Decoder(_Exception).decode


class FrameDecoder:
    """Splits a stream of bytes into the data of its events, as ``sse.EventDecoder`` does with another framing.

    An exception or an error in the stream becomes the data of an ``error`` event of the Messages API, whose
    type is the name that AWS gives it (``"throttlingException"``).
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every frame that ``chunk`` completes.

        Raises:
            MalformedReplyError: This is no event stream, or it was damaged on its way.
        """
        buffer = self._buffer
        buffer += chunk
        found: list[bytes] = []
        begin = 0
        try:
            while len(buffer) - begin >= _PRELUDE.size:
                length, headers_length, crc = _PRELUDE.unpack_from(buffer, begin)
                smallest = _PRELUDE.size + headers_length + _CRC_BYTES
                if zlib.crc32(buffer[begin : begin + 8]) != crc or not smallest <= length <= _MAX_FRAME_BYTES:
                    raise _malformed("a frame begins with a wrong checksum or length")
                if len(buffer) - begin < length:
                    break
                data = _data(bytes(buffer[begin : begin + length]), headers_length)
                if data:
                    found.append(data)
                begin += length
        finally:
            del buffer[:begin]
        return found


def _data(frame: bytes, headers_length: int) -> bytes:
    (crc,) = struct.unpack_from(">I", frame, len(frame) - _CRC_BYTES)
    if zlib.crc32(frame[:-_CRC_BYTES]) != crc:
        raise _malformed("a frame has a wrong checksum")
    end_of_headers = _PRELUDE.size + headers_length
    payload = frame[end_of_headers:-_CRC_BYTES]
    try:
        headers = _headers(frame[_PRELUDE.size : end_of_headers])
        match headers.get(":message-type"):
            case "event" if headers.get(":event-type") == "chunk":
                return base64.b64decode(_chunk(payload).bytes, validate=True)
            case "exception":
                return _error(headers.get(":exception-type", ""), _exception(payload or b"{}").message)
            case "error":
                return _error(headers.get(":error-code", ""), headers.get(":error-message"))
            case _:
                return b""  # what comes tomorrow
    except (ValueError, struct.error, IndexError) as error:  # DecodeError and binascii.Error are ValueErrors
        raise _malformed(f"a frame cannot be read: {error}") from error


def _headers(block: bytes) -> dict[str, str]:
    """The headers that are text; those of another kind are passed over."""
    headers: dict[str, str] = {}
    at = 0
    while at < len(block):
        name_end = at + 1 + block[at]
        name, kind, at = block[at + 1 : name_end].decode(), block[name_end], name_end + 1
        if kind in (_BYTES, _STRING):
            (size,) = struct.unpack_from(">H", block, at)
            at += 2
            if kind == _STRING:
                headers[name] = block[at : at + size].decode()
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"header {name!r} is of the unknown kind {kind}")
        at += size
    return headers


def _error(kind: str, message: str | None) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message or ""}})


def _malformed(why: str) -> MalformedReplyError:
    return MalformedReplyError(f"the reply is no whole event stream of AWS ({why}); is a proxy in between?")
