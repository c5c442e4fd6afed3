"""Fallbacks: other models are asked when the first does not answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from promptchain.errors import (
    CircuitOpenError,
    ContextWindowError,
    DeadlineError,
    ModelError,
    PromptChainError,
    PromptTooLongError,
    RefusalError,
)
from promptchain.events import ModelReplaced
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, ReplyRestarted
from promptchain.models import Model
from promptchain.resilience.retrying import is_retryable
from promptchain.resilience.wrapper import Wrapper
from promptchain.run import Run

__all__ = ["FallingBack"]

_UNANSWERED: dict[str, type[PromptChainError]] = {
    "refusal": RefusalError,
    "model_context_window_exceeded": ContextWindowError,
}
"""Stop reasons of replies that another model may do better."""


class FallingBack(Wrapper):
    """Asks ``model``, and where it does not answer the others in order."""

    __slots__ = ("_others", "_run")

    def __init__(self, model: Model, others: Sequence[Model], run: Run) -> None:
        super().__init__(model)
        self._others = others
        self._run = run

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the reply of the first that answers, after ``ReplyRestarted`` where that is not the first.

        Raises:
            ModelError: What the last one failed with, or another one in a way that no other model can mend.
            DeadlineError: There is no time left to ask again.
        """
        run = self._run
        asked = self._model
        for other in self._others:
            failure: PromptChainError | None = None
            try:
                async with aclosing(asked.stream(request)) as events:
                    async for event in events:
                        if isinstance(event, ReplyFinished) and not run.execution.has_committed:
                            failure = _unanswered(event, asked)
                            if failure is not None:
                                break
                        yield event
            except (ModelError, DeadlineError) as error:
                failure = _mendable(error)
                if failure is None or run.execution.has_committed:
                    raise
            if failure is None:
                return
            run.emit(
                ModelReplaced(
                    at=run.seconds, step=run.path, model=asked.name, instead=other.name, error=failure
                )
            )
            yield ReplyRestarted(failure)
            asked = other
        async with aclosing(asked.stream(request)) as events:
            async for event in events:
                yield event


def _unanswered(end: ReplyFinished, model: Model) -> PromptChainError | None:
    kind = _UNANSWERED.get(end.stop_reason)
    return None if kind is None else kind(f"{model.name} stopped with {end.stop_reason!r}.")


def _mendable(error: ModelError | DeadlineError) -> PromptChainError | None:
    """What another model may mend in ``error``, or ``None``."""
    if isinstance(error, DeadlineError):
        # There was no time to wait for this model; the next one need not be waited for.
        cause = error.__cause__
        return cause if isinstance(cause, ModelError) else None
    if isinstance(error, CircuitOpenError | PromptTooLongError) or is_retryable(error):
        return error
    return None
