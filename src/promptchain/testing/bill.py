"""The bill: every request that reached the simulated Messages API, and what it would have cost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, overload

from promptchain.pricing import cost_of, in_digits, total
from promptchain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Bill", "BillEntry"]


@dataclass(slots=True, kw_only=True, eq=False)
class BillEntry:
    """One request to ``POST /v1/messages``. It is live: its fields follow the request until it has ended.

    Attributes:
        request_id: The ``request-id`` of the response.
        model: The model's name as it was asked for, or an empty string where none was.
        streamed: Whether a stream was asked for.
        status: The HTTP status, or ``None`` as long as none was sent.
        input: The tokens of the input; its ``output_tokens`` are 0.
        output_tokens: Tokens written so far.
        aborted: Whether it ended before the reply was complete: the client went, or a fault cut it.
        fault: Kind of the scripted fault, or ``None``.
        deltas_sent: Deltas written so far.
        ended: Whether nothing will change any more.
        received: The parsed body, or ``None`` where it was not JSON.
        headers: The headers of the request, names in lower case.
        started: When it arrived, in seconds since the epoch.
    """

    request_id: str
    headers: Mapping[str, str] = field(repr=False)
    received: Any = field(default=None, repr=False)
    model: str = ""
    streamed: bool = False
    status: int | None = None
    input: Usage = field(default_factory=Usage)
    output_tokens: int = 0
    aborted: bool = False
    fault: str | None = None
    deltas_sent: int = 0
    ended: bool = False
    started: float = field(default_factory=time.time)
    _begun: float = field(default_factory=time.perf_counter, repr=False)
    _seconds: float = field(default=0.0, repr=False)

    @property
    def usage(self) -> Usage:
        """The tokens that are billed: none for a request that was answered with an error."""
        return self.input + Usage(output_tokens=self.output_tokens)

    @property
    def cost(self) -> Decimal | None:
        """USD, or ``None`` where the model's price is not known."""
        usage = self.usage
        if usage == Usage():
            return Decimal(0)
        return cost_of(usage, self.model, at=datetime.fromtimestamp(self.started, UTC))

    @property
    def seconds(self) -> float:
        """How long it took, or takes until now."""
        return self._seconds if self.ended else time.perf_counter() - self._begun

    def end(self) -> None:
        """Nothing changes any more."""
        if not self.ended:
            self._seconds = time.perf_counter() - self._begun
            self.ended = True

    def as_dict(self) -> Mapping[str, Any]:
        """The entry as JSON-ready values, without the headers as they hold a credential."""
        return {
            "request_id": self.request_id,
            "model": self.model,
            "streamed": self.streamed,
            "status": self.status,
            "usage": self.usage.as_dict(),
            "cost": in_digits(self.cost),
            "aborted": self.aborted,
            "fault": self.fault,
            "deltas_sent": self.deltas_sent,
            "seconds": round(self.seconds, 6),
            "ended": self.ended,
            "received": self.received,
        }


def _hint() -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ""
    return "\nThis blocked the event loop, which the client may need to go on: wait in asyncio.to_thread."


class Bill(Sequence[BillEntry]):
    """Every request, in the order of arrival. A live view: it may be read while requests run."""

    def __init__(self) -> None:
        self._entries: list[BillEntry] = []
        self._changed = threading.Condition()
        self._waiting = 0

    @property
    def usage(self) -> Usage:
        """Tokens of all requests."""
        return Usage.sum(entry.usage for entry in list(self._entries))

    @property
    def cost(self) -> Decimal | None:
        """USD of all requests, or ``None`` when the price of any is not known."""
        return total(entry.cost for entry in list(self._entries))

    def wait(self, until: Callable[[Bill], object], timeout: float = 5.0) -> None:
        """Block until ``until(bill)`` is true. In a coroutine: ``await asyncio.to_thread(bill.wait, …)``.

        Args:
            until: Judges the bill; it is asked again after every change, so it must be quick.
            timeout: Seconds.

        Raises:
            TimeoutError: It did not come true in time.
        """
        with self._changed, self._watching():
            if not self._changed.wait_for(lambda: until(self), timeout):
                raise TimeoutError(f"not true after {timeout} s of this bill: {self!r}{_hint()}")

    @contextmanager
    def _watching(self) -> Generator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def add(self, entry: BillEntry) -> None:
        """A request arrived."""
        self._entries.append(entry)
        self.touch()

    def touch(self) -> None:
        """An entry changed: look again, whoever waits."""
        # A waiter registers before it looks at the bill, so a change it did not see comes after that; and
        # nobody pays for a lock with every write while nobody waits.
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything so far."""
        self._entries = []
        self.touch()

    def as_dict(self) -> Mapping[str, Any]:
        """The bill as JSON-ready values; costs are strings, so that no digit is lost."""
        return {
            "requests": [entry.as_dict() for entry in list(self._entries)],
            "usage": self.usage.as_dict(),
            "cost": in_digits(self.cost),
        }

    @overload
    def __getitem__(self, index: int) -> BillEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[BillEntry]: ...
    def __getitem__(self, index: int | slice) -> BillEntry | Sequence[BillEntry]:
        return self._entries[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        usage = self.usage
        running = sum(not entry.ended for entry in self)
        return (
            f"<Bill of {len(self)} requests, {running} running: {usage.total_input_tokens:,} tokens in, "
            f"{usage.output_tokens:,} out>"
        )
