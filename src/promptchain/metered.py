"""The meter: a model whose every request ends up in the ledger of a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from promptchain.errors import ConfigurationError, DefinitionError, ModelError, PromptChainError
from promptchain.events import AttemptFinished, AttemptStarted
from promptchain.ledger import Attempt
from promptchain.messages import (
    LimitsReported,
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    RequestReady,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from promptchain.models.base import Model
from promptchain.run import Run
from promptchain.usage import Usage

__all__ = ["Metered"]


class Metered:
    """Wraps a model; each call of ``stream`` is one attempt of the run's current step.

    It stands innermost, next to the model itself, so that whatever is wrapped around it (retries, fallbacks)
    cannot send a request that is not recorded.
    """

    def __init__(self, model: Model, run: Run) -> None:
        self._model = model
        self._run = run

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the model's reply, and record the attempt when it ends, in whichever way.

        A request that never gets ready to leave, for want of a key or the like, is no attempt.
        """
        run = self._run
        started, began = time.time(), time.perf_counter()
        number = 0
        opening: ReplyStarted | None = None
        count: UsageReported | None = None
        closing: ReplyFinished | None = None
        first_text: float | None = None
        failure: BaseException | None = None
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    if not number:
                        number = self._begin()
                        if isinstance(event, RequestReady):
                            started, began = time.time(), time.perf_counter()
                        yield RequestReady(number)
                    if isinstance(event, TextDelta):
                        if first_text is None:
                            first_text = time.perf_counter() - began
                        run.phase = "next token"
                    elif isinstance(event, ThinkingDelta):
                        run.phase = "next token"
                    elif isinstance(event, RequestReady | LimitsReported):
                        continue  # it and the next are for the record alone
                    elif isinstance(event, UsageReported):
                        count = event
                        continue
                    elif isinstance(event, ReplyStarted):
                        opening = event
                    elif isinstance(event, ReplyFinished):
                        closing = event
                        run.phase = "stage"
                        run.model = self.name
                    yield event
        except PromptChainError as error:
            # A model may raise one instance again and again; where it happened is told on a copy.
            failure = error.anew()
            raise failure from error.__cause__
        except BaseException as error:
            failure = error
            raise
        finally:
            if not number and not self._is_unsent(failure):
                number = self._begin()
            if number:
                usage, estimated = _settled(request, opening, count, closing, failure)
                attempt = Attempt(
                    step=run.path,
                    number=number,
                    model=self.name,
                    usage=usage,
                    estimated=estimated,
                    started=started,
                    seconds=time.perf_counter() - began,
                    first_text=first_text,
                    stop_reason=closing.stop_reason if closing else None,
                    error=None if closing else _told(failure),
                    request_id=(opening and opening.request_id) or getattr(failure, "request_id", None),
                    prices=run.arguments.prices,
                )
                run.ledger.record(attempt)
                run.emit(AttemptFinished(at=run.seconds, step=run.path, record=attempt))

    def _begin(self) -> int:
        run = self._run
        run.sent += 1
        run.attempt = run.sent
        run.phase = "first token"
        run.emit(AttemptStarted(at=run.seconds, step=run.path, attempt=run.attempt, model=self.name))
        return run.sent

    def _is_unsent(self, failure: BaseException | None) -> bool:
        """Whether a call that ended before its first event surely sent nothing."""
        announces = getattr(self._model, "announces_requests", False)
        return announces or isinstance(failure, ConfigurationError | DefinitionError)


def _settled(
    request: ModelRequest,
    opening: ReplyStarted | None,
    count: UsageReported | None,
    closing: ReplyFinished | None,
    failure: BaseException | None,
) -> tuple[Usage, bool]:
    """Tokens of an attempt, and whether they are only an upper bound."""
    if closing is not None and closing.reported:
        return closing.usage, False
    if count is not None:
        return count.usage, False
    begun = closing or opening
    if begun is None:
        unsent = isinstance(failure, ConfigurationError | DefinitionError)
        if unsent or (isinstance(failure, ModelError) and not failure.billable):
            return Usage(), False
    known = begun.usage if begun is not None else Usage()
    # Of the output only the API knows how much it wrote before it noticed; the input it may have told.
    unknown_input = 0 if known.total_input_tokens else request.input_bound()
    unknown_output = max(0, request.max_tokens - known.output_tokens)
    return known + Usage(input_tokens=unknown_input, output_tokens=unknown_output), True


def _told(failure: BaseException | None) -> str:
    match failure:
        case None:
            return "ended without a stop reason"
        case GeneratorExit() | asyncio.CancelledError():
            return "cancelled"
        case _:
            return f"{type(failure).__name__}: {failure}"
