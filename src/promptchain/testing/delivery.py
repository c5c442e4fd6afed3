"""How a reply leaves: paced or in a burst, billed as it is written, and broken off where the script says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from promptchain.testing.reply import Event, Reply, message, sse, stream_events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from promptchain.testing.bill import Bill, BillEntry
    from promptchain.testing.limits import AccountLimits
    from promptchain.testing.script import Fault, Pace
    from promptchain.testing.server import Exchange

__all__ = ["Delivery"]

_MALFORMED: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'
_CUTS: Final = frozenset({"reset", "stall", "malformed", "error", "end"})
# A RST may make the receiver drop what it has not read yet, so what was sent before gets this time, in seconds.
_BEFORE_RESET: Final = 0.05


def _writes(events: Sequence[Event], pace: Pace) -> Iterator[Sequence[Event]]:
    """The events of each TCP write."""
    if not pace.between:
        # What comes before the first delta is not kept waiting with it.
        start = next((index for index, event in enumerate(events) if event.is_delta), 0) if pace.first else 0
        if start:
            yield events[:start]
        for position in range(start, len(events), pace.events_per_write):
            yield events[position : position + pace.events_per_write]
        return
    others: list[Event] = []
    for event in events:
        if not event.is_delta:
            others.append(event)
            continue
        if others:
            yield others
            others = []
        yield (event,)
    if others:
        yield others


class Delivery:
    """Sends one reply.

    Args:
        exchange: Where it goes.
        entry: Its line on the bill.
        bill: The bill, which is told of every change.
        pace: How fast it goes.
        headers: Headers of the response.
        limits: What its output is taken from, as it is written.
    """

    def __init__(
        self,
        exchange: Exchange,
        entry: BillEntry,
        bill: Bill,
        *,
        pace: Pace,
        headers: Sequence[tuple[str, str]],
        limits: AccountLimits,
    ) -> None:
        self._exchange = exchange
        self._entry = entry
        self._bill = bill
        self._pace = pace
        self._headers = list(headers)
        self._limits = limits

    async def stream(self, reply: Reply, fault: Fault | None) -> None:
        """Stream ``reply``, or as much of it as ``fault`` lets through."""
        events = stream_events(reply)
        if fault is None or fault.kind not in _CUTS:
            self._start_stream()
            await self._write(events, ends=True)
            self._exchange.finish()
            return
        after = fault.after or 0
        if after >= len(events):
            after = len(events) - 2  # before the message_delta
        if after or fault.kind not in {"reset", "stall"}:
            self._start_stream()
            await self._write(events[:after], ends=False)
        if fault.kind == "malformed":
            await self._exchange.drained()
            await self._write([Event(_MALFORMED, self._entry.output_tokens), *events[after + 1 :]], ends=True)
            self._exchange.finish()
        else:
            await self._break(fault)

    async def whole(self, reply: Reply, fault: Fault | None) -> None:
        """Answer with all of ``reply`` when a stream of it would have ended, or with a part of it."""
        if fault is not None and fault.kind in {"reset", "stall"} and not fault.after:
            await self._break(fault)
            return
        await self._generate(stream_events(reply))
        body = msgspec.json.encode(message(reply))
        half = body[: len(body) // 2]
        self._entry.status = 200
        self._wrote(reply.usage.output_tokens)
        headers = [*self._headers, *self._limits.headers(), ("content-type", "application/json")]
        if fault is None or fault.kind not in _CUTS:
            self._end()
            self._exchange.respond(200, headers, body)
        elif fault.kind == "malformed":
            self._end()
            self._exchange.respond(200, headers, half)
        else:
            self._exchange.start(200, [*headers, ("content-length", str(len(body)))])
            self._exchange.write(half)
            await self._break(fault)

    def _start_stream(self) -> None:
        self._entry.status = 200
        kind = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
        self._exchange.start(200, [*self._headers, *self._limits.headers(), *kind])

    def _wrote(self, tokens: int) -> None:
        """So many tokens are written by now."""
        self._limits.write(tokens - self._entry.output_tokens)
        self._entry.output_tokens = tokens

    async def _write(self, events: Sequence[Event], *, ends: bool) -> None:
        """Write ``events``; where ``ends``, the reply is complete with them."""
        loop = asyncio.get_running_loop()
        due: float | None = None
        written = 0
        for batch in _writes(events, self._pace):
            deltas = sum(event.is_delta for event in batch)
            if deltas:
                # From due time to due time, so that late wake-ups do not add up.
                due = loop.time() + self._pace.first if due is None else due + self._pace.between
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
            written += len(batch)
            # Billed before it is written: whoever has read the reply finds it on the bill.
            self._wrote(batch[-1].output_tokens)
            self._entry.deltas_sent += deltas
            if ends and written == len(events):
                self._end()
            self._bill.touch()
            self._exchange.write(b"".join(event.data for event in batch))
            if written < len(events):
                await self._exchange.drained()

    async def _generate(self, events: Sequence[Event]) -> None:
        """Spend the time that a stream would take, and bill what would have been written until then."""
        wait = self._pace.first
        for event in events:
            if not event.is_delta:
                continue
            if wait:
                await asyncio.sleep(wait)
            wait = self._pace.between
            self._wrote(event.output_tokens)
            if wait:
                self._bill.touch()

    async def _break(self, fault: Fault) -> None:
        """The reply gets no further."""
        self._entry.aborted = True
        self._bill.touch()
        if fault.kind == "stall":
            await asyncio.get_running_loop().create_future()  # until the client goes, which cancels
        if fault.kind == "reset":
            if self._exchange.started:
                await asyncio.sleep(_BEFORE_RESET)
            self._end()
            self._exchange.reset()
            return
        self._end()
        if fault.kind == "error":
            problem = {"type": fault.type, "message": fault.words}
            data = {"type": "error", "error": problem, "request_id": self._entry.request_id}
            self._exchange.write(sse("error", data))
        if self._exchange.is_chunked:
            self._exchange.finish()
        else:
            self._exchange.cut()

    def _end(self) -> None:
        self._entry.end()
        self._bill.touch()
