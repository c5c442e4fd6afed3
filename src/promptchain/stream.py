"""A run that is read while it happens."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Self

from typing_extensions import TypeVar

from promptchain.errors import PromptChainError
from promptchain.events import Event, Reader, TextCommitted
from promptchain.ledger import Ledger
from promptchain.result import Result

__all__ = ["RunStream"]

Out = TypeVar("Out", covariant=True, default=Any)  # noqa: PLC0105

# So many events may wait for a slow reader before the run, and with it the API's connection, is held up.
_MOST_WAITING = 256


class RunStream(Generic[Out]):
    """A run, as ``Chain.stream`` gives it: an asynchronous context manager and an iterator of events.

    The run begins when the block is entered. Leaving the block ends whatever is still running and closes the
    connection to the API. The events are read once: ``text`` and the iteration share one cursor. When the run
    fails, the iteration raises its error behind the last event.

    Attributes:
        ledger: Every attempt until now; after the block, every attempt.
    """

    def __init__(
        self,
        start: Callable[[Reader, Callable[[], Awaitable[None]], Ledger], Coroutine[Any, Any, Result[Out]]],
    ) -> None:
        self._start = start
        self._events: deque[Event] = deque()
        self._task: asyncio.Task[Result[Out]] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._space = asyncio.Event()
        self._discards = False
        self.ledger = Ledger()

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise PromptChainError("a stream is one run: call chain.stream(...) again for another.")
        self._task = asyncio.create_task(self._start(self._put, self._room, self.ledger))
        self._task.add_done_callback(lambda _: self._wake())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task = self._entered()
        self._discards = True
        self._space.set()
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen: whoever wanted it has read the stream to its end

    def __repr__(self) -> str:
        state = "not entered" if self._task is None else "ended" if self._task.done() else "running"
        return f"<RunStream: {state}, {len(self.ledger)} attempts>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._entered().done():
                self._outcome()
                raise StopAsyncIteration
            if self._waiter is not None:
                raise PromptChainError("a stream has one reader at a time.")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        event = self._events.popleft()
        if len(self._events) < _MOST_WAITING:
            self._space.set()
        return event

    @property
    def text(self) -> CommittedText:
        """The text of the answer, piece by piece, as far as nothing can take it back any more.

        A last step without gates gives its text as it arrives; one with gates when they have let it pass.
        Other events are passed over.
        """
        return CommittedText(self)

    async def result(self) -> Result[Out]:
        """Wait for the end of the run. Events that were not read are dropped.

        Raises:
            PromptChainError: What the run failed with.
        """
        task = self._entered()
        self._discards = True
        self._events.clear()
        self._space.set()
        await asyncio.wait({task})  # unlike 'await task', being cancelled here does not cancel the run
        return self._outcome()

    def _outcome(self) -> Result[Out]:
        task = self._entered()
        if task.cancelled():
            # Not as CancelledError: the task that reads was not cancelled. Nor as an end: the text is not whole.
            raise PromptChainError(
                "the run was cancelled before its end: the stream was left, or something in a stage cancelled it."
            ).locate(ledger=self.ledger)
        return task.result()

    def _entered(self) -> asyncio.Task[Result[Out]]:
        if self._task is None:
            raise PromptChainError("a stream is entered first: 'async with chain.stream(...) as stream:'.")
        return self._task

    def _put(self, event: Event) -> None:
        if not self._discards:
            self._events.append(event)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _room(self) -> None:
        while len(self._events) >= _MOST_WAITING and not self._discards:
            self._space.clear()
            await self._space.wait()


class CommittedText:
    """The committed text of a stream, piece by piece."""

    def __init__(self, stream: RunStream[Any]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while True:
            event = await anext(self._stream)
            if isinstance(event, TextCommitted):
                return event.text
