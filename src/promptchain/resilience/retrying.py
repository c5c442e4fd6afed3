"""Retries: a model that is asked again after a failure that another request can mend, on tenacity."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from promptchain.errors import (
    CircuitOpenError,
    ConflictError,
    DeadlineError,
    ModelConnectionError,
    ModelError,
    ModelStatusError,
    ModelTimeoutError,
    OverloadedError,
    RateLimitError,
    ServerError,
)
from promptchain.events import RetryScheduled
from promptchain.messages import ModelEvent, ModelRequest, ReplyRestarted, RequestReady
from promptchain.models import Model
from promptchain.policy import Retry
from promptchain.resilience.wrapper import Wrapper
from promptchain.run import Run

if TYPE_CHECKING:
    from tenacity import AsyncRetrying, AttemptManager, RetryCallState

__all__ = ["Retried", "is_retryable"]

_RETRYABLE = (
    ModelConnectionError,
    ModelTimeoutError,
    ConflictError,
    RateLimitError,
    OverloadedError,
    ServerError,
)

# Nobody comes back at the very moment that the API named, when all the others do.
_SPREAD = 0.05


def is_retryable(error: BaseException) -> bool:
    """Whether another request may bring what this one did not. The API's own word on it goes first."""
    if isinstance(error, ModelStatusError | ModelTimeoutError) and error.should_retry is not None:
        return error.should_retry
    if isinstance(error, ModelTimeoutError):
        return error.phase != "total"
    return isinstance(error, _RETRYABLE)


class Retried(Wrapper):
    """Asks ``model`` again, as ``retry`` says.

    Attributes:
        left: How many requests may still follow, the running one included.
    """

    __slots__ = ("_retry", "_run", "_wait", "left")

    def __init__(self, model: Model, retry: Retry, run: Run) -> None:
        super().__init__(model)
        self._retry = retry
        self._run = run
        self._wait = 0.0
        self.left = retry.attempts

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the reply, from the beginning again after ``ReplyRestarted``.

        Raises:
            ModelError: The last failure.
            DeadlineError: There is no time left to ask again.
        """
        # Tenacity decides whether and when. Making it takes longer than all else here, so it is made when there is
        # something to decide, and told the first failure then.
        decisions: AsyncRetrying | None = None
        attempt: AttemptManager | None = None
        run = self._run
        failure: ModelError | None = None
        while True:
            number = 0
            try:
                async with aclosing(self._model.stream(request)) as events:
                    async for event in events:
                        if isinstance(event, RequestReady):
                            number = event.attempt
                        yield event
            except ModelError as error:
                if isinstance(error, CircuitOpenError) and failure is not None:
                    raise error from failure  # the failures of this call were among those that opened it
                failure = error
            else:
                return
            if not self._may_restart(failure):
                raise failure
            if decisions is None or attempt is None:
                decisions = self._tenacity()
                attempt = await anext(decisions)
            attempt.retry_state.set_exception((type(failure), failure, failure.__traceback__))
            attempt = await anext(decisions)  # raises the failure where this was the last one
            self.left -= 1
            number = number or run.sent
            run.emit(
                RetryScheduled(
                    at=run.seconds, step=run.path, attempt=number, error=failure, seconds=self._wait
                )
            )
            yield ReplyRestarted(failure)
            run.phase = "backoff"
            await asyncio.sleep(self._wait)

    def _may_restart(self, failure: ModelError) -> bool:
        return not self._run.execution.has_committed and is_retryable(failure)

    def _tenacity(self) -> AsyncRetrying:
        # Needed when something goes wrong.
        import random  # noqa: PLC0415

        import tenacity  # noqa: PLC0415

        retry = self._retry
        backoff = tenacity.wait_exponential_jitter(
            multiplier=retry.multiplier, jitter=retry.multiplier, max=retry.max_wait
        )

        def wait(state: RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            asked: float | None = getattr(failure, "retry_after", None)
            if asked is None:
                # What the API does not ask for is kept short where time is: half of it is for the requests.
                deadline = self._run.deadline
                most = math.inf if deadline is None else deadline.left / (2 * max(1, self.left - 1))
                return min(backoff(state), most)
            return asked * (1 + random.uniform(0, _SPREAD))  # noqa: S311

        def is_over(state: RetryCallState) -> bool:
            if state.attempt_number >= retry.attempts:
                return True
            failure = state.outcome.exception() if state.outcome else None
            asked: float = getattr(failure, "retry_after", None) or 0
            if asked > retry.max_wait:
                return True
            deadline = self._run.deadline
            if deadline is None or state.upcoming_sleep < deadline.left:
                return False
            raise DeadlineError(
                f"what is left of the deadline of {deadline.seconds:g} s is less than the wait of "
                f"{state.upcoming_sleep:.3g} s before the model can be asked again: {failure}",
                seconds=deadline.seconds,
                phase="backoff",
            ) from failure

        async def remember(seconds: float) -> None:
            self._wait = seconds  # the reader is told of the failure before the wait

        return tenacity.AsyncRetrying(
            sleep=remember,
            wait=wait,
            stop=is_over,
            retry=tenacity.retry_if_exception_type(ModelError),
            reraise=True,
        ).__aiter__()
