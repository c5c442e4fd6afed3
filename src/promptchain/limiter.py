"""The limiter: a request waits until the API has room for it, instead of being sent away."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

from promptchain.messages import ModelRequest, RateLimits
from promptchain.models import Model
from promptchain.models.base import endpoint_of
from promptchain.models.per_model import PerModel
from promptchain.policy import Limits
from promptchain.reckoning import Reckoning, Sending
from promptchain.usage import Usage

__all__ = ["Limiter", "OnWait", "Ticket", "limiter_of"]

OnWait: TypeAlias = Callable[[Literal["rate limit", "concurrency"], float | None], None]
"""Told when a request begins to wait: for what, and for how many seconds as far as that is known."""

_LEAST_WAIT: Final = 0.001
_MAX_LIMITERS: Final = 512


class Ticket(Sending):
    """Leave to send one request. It must be left, in whichever way the request ends."""

    __slots__ = ("_limiter", "slots")

    def __init__(self, limiter: Limiter, request: ModelRequest) -> None:
        super().__init__(request)
        self._limiter = limiter
        self.slots: asyncio.Semaphore | None = None

    @property
    def _is_out(self) -> bool:
        return self.number > 0 and not self.has_ended

    def report(self, limits: RateLimits) -> None:
        """The API has said what is left of its limits, with the head of a reply or of a 429."""
        if self._is_out:
            self._limiter.reckoning.report(self, limits, time.monotonic())
            self._limiter.advance()

    def started(self, usage: Usage) -> None:
        """The reply has begun; ``usage`` has its actual input, or none where that is not known."""
        if self._is_out:
            self._limiter.reckoning.start(self, usage, time.monotonic())
            self._limiter.advance()

    def blocked(self, seconds: float) -> None:
        """The API has sent the request away (429), and nobody shall ask for so many seconds."""
        if self._is_out:
            self._limiter.reckoning.refuse(self, seconds, time.monotonic())
            self._limiter.advance()

    def leave(self, usage: Usage | None, *, estimated: bool = False) -> None:
        """The request has ended. Leaving a second time does nothing.

        Args:
            usage: Its tokens; ``None`` where nothing was sent.
            estimated: Whether they are only an upper bound, as of a reply that was cut. Nothing is learned from it.
        """
        if self.slots is not None:
            self.slots.release()
            self.slots = None
        if self._is_out:
            self._limiter.reckoning.end(self, usage, time.monotonic(), estimated=estimated)
            self._limiter.advance()


class Limiter:
    """Lets requests to one model through, in the order in which they came.

    It belongs to one event loop; ``limiter_of`` has the one that all requests to a model share.

    Args:
        cautious: Whether only a few requests are sent at once until the first reply shows if there are limits.

    Attributes:
        reckoning: What the API's limits have left.
    """

    def __init__(self, *, cautious: bool = True) -> None:
        self.reckoning = Reckoning(cautious=cautious)
        self._queue: deque[tuple[Ticket, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._slots: dict[int, asyncio.Semaphore] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and nothing is under way."""
        is_held = any(slots.locked() for slots in self._slots.values())
        return not (self.reckoning.in_flight or self._queue or is_held)

    async def enter(self, request: ModelRequest, limits: Limits, *, on_wait: OnWait) -> Ticket:
        """Wait until ``request`` may be sent. Requests with the same ``limits.concurrency`` share so many places.

        Args:
            request: What will be sent.
            limits: What it keeps to.
            on_wait: See ``OnWait``; called once for each of the two that the request waits for.

        Returns:
            What must be left when the request has ended.
        """
        ticket = Ticket(self, request)
        try:
            if limits.concurrency is not None:
                await self._take_slot(ticket, limits.concurrency, on_wait)
            if limits.pace and (self._queue or self.reckoning.seconds(ticket, time.monotonic()) > 0):
                await self._wait(ticket, on_wait)
            else:
                self.reckoning.send(ticket)
        except BaseException:
            ticket.leave(None)
            raise
        return ticket

    async def _take_slot(self, ticket: Ticket, concurrency: int, on_wait: OnWait) -> None:
        slots = self._slots.get(concurrency)
        if slots is None:
            slots = self._slots[concurrency] = asyncio.Semaphore(concurrency)
        if slots.locked():
            on_wait("concurrency", None)
        await slots.acquire()
        ticket.slots = slots

    async def _wait(self, ticket: Ticket, on_wait: OnWait) -> None:
        seconds = self.reckoning.seconds(ticket, time.monotonic(), len(self._queue) + 1)
        on_wait("rate limit", None if seconds == math.inf else seconds)
        sent = asyncio.get_running_loop().create_future()
        place = (ticket, sent)
        self._queue.append(place)
        self.advance()
        try:
            await sent
        except BaseException:
            if place in self._queue:
                self._queue.remove(place)
                self.advance()
            raise

    def advance(self) -> None:
        """Send those for whom there is room, in their order."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._queue:
            return
        now = time.monotonic()
        while self._queue:
            ticket, sent = self._queue[0]
            if not sent.done():
                loop = sent.get_loop()
                if loop.is_closed():  # nobody is left who could wait
                    self._queue.clear()
                    return
                seconds = self.reckoning.seconds(ticket, now)
                if seconds > 0:
                    if seconds < math.inf:
                        self._timer = loop.call_later(max(seconds, _LEAST_WAIT), self.advance)
                    return
                self.reckoning.send(ticket)
                sent.set_result(None)
            self._queue.popleft()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, PerModel[Limiter]] = WeakKeyDictionary()


def limiter_of(model: Model) -> Limiter:
    """The limiter of this event loop for ``model``: by its endpoint, account and name.

    A model without an ``endpoint`` has one of its own, which begins without caution: nothing is known of an API.
    """
    loop = asyncio.get_running_loop()
    limiters = _loops.get(loop)
    if limiters is None:
        # What once waited holds its loop, which would not go away by itself.
        for closed in [other for other in list(_loops) if other.is_closed()]:
            _loops.pop(closed, None)
        limiters = _loops[loop] = PerModel()
    kept = limiters.of(model)
    key = (*limiters.key(model), getattr(model, "account", None))
    limiter = kept.get(key)
    if limiter is None:
        if len(kept) >= _MAX_LIMITERS:
            for idle in [known for known, other in kept.items() if other.is_idle]:
                del kept[idle]
        limiter = kept[key] = Limiter(cautious=endpoint_of(model) is not None)
    return limiter
