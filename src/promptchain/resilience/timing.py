"""Timeouts: a model whose silence has an end."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, NamedTuple, Self

from promptchain.errors import ModelTimeoutError
from promptchain.messages import ModelEvent, ModelRequest, RequestReady, TextDelta, ThinkingDelta
from promptchain.models import Model
from promptchain.policy import Timeout
from promptchain.resilience.wrapper import Wrapper

__all__ = ["Timed"]


class _Limit(NamedTuple):
    """What a wait can meet: a field of ``Timeout``, or what a deadline leaves of it."""

    phase: str
    told: str
    by_deadline: bool = False


_TOTAL: Final = _Limit("total", "the reply took longer than {} in total, with all attempts")
_ATTEMPT: Final = _Limit("attempt", "the reply took longer than {}")
_FIRST_TOKEN: Final = _Limit("first_token", "no first token came within {}")
_IDLE: Final = _Limit("idle", "the reply stopped for longer than {}")
_SHARED: Final = {limit: limit._replace(by_deadline=True) for limit in (_FIRST_TOKEN, _IDLE)}


class Timed(Wrapper):
    """Ends a reply that takes longer than ``timeout`` allows.

    Each wait for an event is bounded on its own, so that what a reader of the stream takes is not counted, and
    nothing is cancelled but the wait itself.

    Args:
        model: The model.
        timeout: What is allowed.
        share: Gives the seconds of silence that a deadline leaves to this request, or ``None`` for no bound.
    """

    __slots__ = ("_share", "_timeout")

    def __init__(
        self, model: Model, timeout: Timeout, share: Callable[[], float | None] | None = None
    ) -> None:
        super().__init__(model)
        self._timeout = timeout
        self._share = share

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the reply.

        Raises:
            ModelTimeoutError: It took too long; ``phase`` says in which way.
        """
        has_begun = False
        async with aclosing(self._model.stream(request)) as events:
            with _Alarm(self._timeout.idle or math.inf) as alarm:
                while True:
                    limit, seconds = self._most(alarm.waited, has_begun=has_begun)
                    alarm.set(seconds)
                    try:
                        event = await anext(events)
                    except BaseException as error:
                        if alarm.has_rung and alarm.is_why():
                            raise _timed_out(limit, self._timeout) from error
                        if isinstance(error, StopAsyncIteration):
                            return
                        raise
                    alarm.stop()
                    if alarm.has_rung and alarm.is_why():  # the model did not let itself be ended
                        raise _timed_out(limit, self._timeout)
                    if isinstance(event, TextDelta | ThinkingDelta):
                        has_begun = True
                    elif isinstance(event, RequestReady) and self._timeout.total is None:
                        alarm.waited = 0.0  # only now it leaves
                    yield event

    def _most(self, waited: float, *, has_begun: bool) -> tuple[_Limit, float | None]:
        """Which limit the next wait meets first, and after how many seconds."""
        timeout = self._timeout
        silence = timeout.idle if has_begun else timeout.first_token
        limit = _IDLE if has_begun else _FIRST_TOKEN
        if not has_begun and silence is not None:
            silence -= waited
        share = self._share() if self._share is not None else None
        if share is not None and (silence is None or share < silence):
            silence, limit = share, _SHARED[limit]
        for whole, its_limit in ((timeout.attempt, _ATTEMPT), (timeout.total, _TOTAL)):
            if whole is not None and (silence is None or whole - waited < silence):
                silence, limit = whole - waited, its_limit
        return limit, silence


class _Alarm:
    """Cancels a wait of this task that takes too long.

    ``asyncio.timeout`` does that too, but takes a new timer and 10 µs for each wait, which is for each event of a
    stream. Here one timer a request is enough: it looks when it is due, and mostly finds that more time was given.

    Args:
        soonest: A number of seconds after which it looks for the first time, even if more is given at first: a later
            wait may be given no more than that, and would need a new timer.

    Attributes:
        has_rung: Whether it has cancelled a wait.
        waited: Seconds of all waits until now.
    """

    __slots__ = (
        "_cancellations",
        "_due",
        "_loop",
        "_since",
        "_soonest",
        "_task",
        "_timer",
        "has_rung",
        "waited",
    )

    def __init__(self, soonest: float) -> None:
        self._soonest = soonest
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self.has_rung = False
        self.waited = 0.0

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a model is asked in a task")
        self._task = task
        self._cancellations = task.cancelling()
        return self

    def __exit__(self, *_: object) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()

    def set(self, seconds: float | None) -> None:
        """The wait that begins now may take ``seconds``."""
        self._since = self._loop.time()
        if seconds is None:
            return
        self._due = due = self._since + seconds
        if self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(min(due, self._since + self._soonest), self._look)

    def stop(self) -> None:
        """The wait is over."""
        self._due = None
        self.waited += self._loop.time() - self._since

    def is_why(self) -> bool:
        """Whether nobody but this wants the task to end. Asked once, after it has rung."""
        return self._task.uncancel() <= self._cancellations

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() >= self._due:
            self.has_rung = True
            self._task.cancel()
        else:
            self._timer = self._loop.call_at(self._due, self._look)


def _timed_out(limit: _Limit, timeout: Timeout) -> ModelTimeoutError:
    if limit.by_deadline:
        told = f"{limit.told.format('its share of the deadline')}: allow the run more time."
    else:
        seconds: float = getattr(timeout, limit.phase)
        told = f"{limit.told.format(f'{seconds:g} s')} (Timeout({limit.phase}=...))."
    return ModelTimeoutError(told, phase=limit.phase, by_deadline=limit.by_deadline)
