"""Hedging: a second request when the first is slow; who begins first is heard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final

from promptchain.events import RequestHedged
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    RequestReady,
    TextDelta,
    ThinkingDelta,
)
from promptchain.models import Model
from promptchain.models.base import announces_requests
from promptchain.policy import Hedge
from promptchain.resilience.wrapper import Wrapper
from promptchain.run import Run

__all__ = ["Hedged"]

# Events that a request may be ahead of its reader.
_AHEAD: Final = 64


class _Lane:
    """One of the requests, read in a task of its own.

    Attributes:
        left: Done when the request has left, with the time of the event loop; or when it is decided. A model that does
            not say so is taken to have left at once.
        decided: Done as soon as the reply begins, or the request ends without one.
        failure: What it ended with.
        task: Reads it.
    """

    def __init__(self, model: Model, request: ModelRequest) -> None:
        self._loop = asyncio.get_running_loop()
        self.left: asyncio.Future[float] = self._loop.create_future()
        self.decided: asyncio.Future[None] = self._loop.create_future()
        self.failure: BaseException | None = None
        self._events: deque[ModelEvent] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        if not announces_requests(model):
            self._leave()
        self.task = asyncio.create_task(self._read(model, request))

    async def events(self) -> AsyncGenerator[ModelEvent, None]:
        """What has come, and what comes; in the end what it failed with is raised."""
        while True:
            while self._events:
                event = self._events.popleft()
                self._room.set()
                yield event
            if self.task.done() or self.failure is not None:
                break
            self._changed.clear()
            await self._changed.wait()
        if self.failure is not None:
            raise self.failure

    async def _read(self, model: Model, request: ModelRequest) -> None:
        try:
            async with aclosing(model.stream(request)) as events:
                async for event in events:
                    self._events.append(event)
                    self._changed.set()
                    if isinstance(event, TextDelta | ThinkingDelta | ReplyFinished):
                        self._decide()
                    elif isinstance(event, RequestReady):
                        self._leave()
                    while len(self._events) >= _AHEAD:
                        self._room.clear()
                        await self._room.wait()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever reads it
            self.failure = error
        finally:
            self._decide()
            self._changed.set()

    def _leave(self) -> None:
        if not self.left.done():
            self.left.set_result(self._loop.time())

    def _decide(self) -> None:
        self._leave()
        if not self.decided.done():
            self.decided.set_result(None)


class Hedged(Wrapper):
    """Asks what ``lane`` makes, and again after ``hedge.after`` seconds without a first token."""

    __slots__ = ("_hedge", "_lane", "_run")

    def __init__(self, lane: Callable[[], Model], hedge: Hedge, run: Run) -> None:
        super().__init__(lane())
        self._lane = lane
        self._hedge = hedge
        self._run = run

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the reply that begins first. The others are cancelled, and have ended when this ends.

        Raises:
            ModelError: All failed; it is what the first failed with.
        """
        lanes = [_Lane(self._model, request)]
        try:
            winner = await self._first(lanes, request)
            for lane in lanes:
                if lane is not winner:
                    lane.task.cancel()
            async with aclosing(winner.events()) as events:
                async for event in events:
                    yield event
        finally:
            for lane in lanes:
                lane.task.cancel()
            await _ended([lane.task for lane in lanes])

    async def _first(self, lanes: list[_Lane], request: ModelRequest) -> _Lane:
        hedge, run = self._hedge, self._run
        while True:
            running = [lane for lane in lanes if lane.failure is None]
            if not running:
                return lanes[0]
            newest = lanes[-1].left
            seconds = None
            if len(lanes) <= hedge.max_extra and newest.done():
                seconds = max(0.0, newest.result() + hedge.after - asyncio.get_running_loop().time())
            waits: list[asyncio.Future[Any]] = [lane.decided for lane in running]
            if not newest.done():
                # One that waits to be let through is not slow, and another would only wait behind it.
                waits.append(newest)
            done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for lane in running:
                if lane.decided in done and lane.failure is None:
                    return lane
            if not done:
                run.emit(
                    RequestHedged(
                        at=run.seconds, step=run.path, model=self.name, seconds=hedge.after * len(lanes)
                    )
                )
                lanes.append(_Lane(self._lane(), request))


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until all have ended, also where somebody cancels this meanwhile, which is then told."""
    cancelled: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
