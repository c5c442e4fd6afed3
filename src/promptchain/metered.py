"""The meter: a model whose every request is on the ledger of a run, and fits into its budgets and the API's limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal

from promptchain.budget import Reservation, reserve
from promptchain.errors import (
    ConfigurationError,
    DefinitionError,
    IncompleteReplyError,
    ModelError,
    PromptChainError,
    RateLimitError,
)
from promptchain.events import AttemptFinished, AttemptStarted, Waiting
from promptchain.ledger import Attempt
from promptchain.limiter import Ticket, limiter_of
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
from promptchain.models import Model
from promptchain.models.base import announces_requests
from promptchain.policy import Limits
from promptchain.run import Run
from promptchain.usage import Usage

__all__ = ["Metered"]

# Within it every limit of the API is full again. What is to last longer is not a matter of pace: whoever asks
# meanwhile is told so by the API, instead of waiting here.
_MINUTE: Final = 60.0


class Metered:
    """Wraps a model; each call of ``stream`` is one attempt of the run's current step.

    Nothing that sends a request stands between it and the model, so that whatever is wrapped around it (retries,
    fallbacks) cannot send one that is not recorded, or that is not covered by the budgets.

    Args:
        model: Who is asked, with what bounds its time.
        run: The run, seen from the step that asks.
        bare: The model itself, whose limits are kept and who counts tokens; left out, ``model``.
        limits: How the limits are kept, or ``None`` for not at all.
    """

    __slots__ = ("_bare", "_limits", "_model", "_run")

    def __init__(
        self, model: Model, run: Run, *, bare: Model | None = None, limits: Limits | None = None
    ) -> None:
        self._model = model
        self._run = run
        self._bare = bare or model
        self._limits = limits

    @property
    def name(self) -> str:
        """The model's own name."""
        return self._model.name

    @property
    def announces_requests(self) -> bool:
        """Whether the model says when a request leaves."""
        return announces_requests(self._model)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the model's reply, and record the attempt when it ends, in whichever way.

        A request that never gets ready to leave, for want of a key or the like, is no attempt.

        Raises:
            BudgetExceededError: It could cost more than what is left of a budget.
            UnknownPriceError: There is a budget in USD, and the model's price is not known.
        """
        run = self._run
        admission = await self._admitted(request)
        ticket = admission.ticket
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
                        number = self._counted()
                        self._tell_begin(number)
                        if isinstance(event, RequestReady):
                            started, began = time.time(), time.perf_counter()
                        yield RequestReady(number)
                    if isinstance(event, TextDelta):
                        if first_text is None:
                            first_text = time.perf_counter() - began
                        run.phase = "next_token"
                    elif isinstance(event, ThinkingDelta):
                        run.phase = "next_token"
                    elif isinstance(event, RequestReady):
                        continue  # it and the next two are for the record alone
                    elif isinstance(event, LimitsReported):
                        if ticket is not None:
                            ticket.report(event.limits)
                        continue
                    elif isinstance(event, UsageReported):
                        count = event
                        continue
                    elif isinstance(event, ReplyStarted):
                        opening = event
                        if ticket is not None:
                            ticket.started(event.usage)
                    elif isinstance(event, ReplyFinished):
                        closing = event
                        run.phase = "stage"
                        run.model = self.name
                    yield event
            if closing is None:
                raise IncompleteReplyError(f"the model {self.name!r} ended its stream without a stop reason.")
        except PromptChainError as error:
            # A model may raise one instance again and again; where it happened is told on a copy.
            failure = error.anew()
            raise failure from error.__cause__
        except BaseException as error:
            failure = error
            raise
        finally:
            is_told = number > 0
            if not number and not self._is_unsent(failure):
                number = self._counted()
            if number:
                usage, estimated = _settled(request, opening, count, closing, failure)
                admission.settle(usage, failure, estimated=estimated)
                attempt = Attempt(
                    step=run.path,
                    number=number,
                    model=self.name,
                    usage=usage,
                    estimated=estimated,
                    started=started,
                    seconds=time.perf_counter() - began,
                    first_text=first_text,
                    stop_reason=None if closing is None else closing.stop_reason,
                    error=_told(failure) if closing is None else None,
                    request_id=(opening and opening.request_id) or getattr(failure, "request_id", None),
                    prices=run.arguments.prices,
                )
                # A reader may end all this: what is held is given back, and recorded, before anybody is told.
                run.ledger.record(attempt)
                if not is_told:
                    self._tell_begin(number)
                run.emit(AttemptFinished(at=run.seconds, step=run.path, record=attempt))
            else:
                admission.release()

    async def _admitted(self, request: ModelRequest) -> _Admission:
        """Wait until the limits and the budgets have room for the request, and hold that."""
        run = self._run
        run.phase = "queue"
        ticket: Ticket | None = None
        if self._limits is not None:
            ticket = await limiter_of(self._bare).enter(request, self._limits, on_wait=self._tell_wait)
        if not run.budgets:
            return _Admission(ticket, None)
        try:
            reservation = await reserve(
                run.budgets, request, self._bare, run.arguments.prices, on_wait=self._tell_wait_for_budget
            )
        except BaseException:
            if ticket is not None:
                ticket.leave(None)
            raise
        return _Admission(ticket, reservation)

    def _tell_wait(
        self, reason: Literal["rate limit", "concurrency", "budget"], seconds: float | None
    ) -> None:
        run = self._run
        run.emit(Waiting(at=run.seconds, step=run.path, reason=reason, seconds=seconds))

    def _tell_wait_for_budget(self) -> None:
        self._tell_wait("budget", None)

    def _counted(self) -> int:
        run = self._run
        run.sent += 1
        run.phase = "first_token"
        return run.sent

    def _tell_begin(self, number: int) -> None:
        run = self._run
        run.emit(AttemptStarted(at=run.seconds, step=run.path, attempt=number, model=self.name))

    def _is_unsent(self, failure: BaseException | None) -> bool:
        """Whether a call that ended before its first event surely sent nothing."""
        return self.announces_requests or isinstance(failure, ConfigurationError | DefinitionError)


@dataclass(frozen=True, slots=True)
class _Admission:
    """What a request holds while it runs: a place within the limits, and a part of the budgets."""

    ticket: Ticket | None
    reservation: Reservation | None

    def settle(self, usage: Usage, failure: BaseException | None, *, estimated: bool) -> None:
        """Give it back, less what was used."""
        if self.reservation is not None:
            self.reservation.settle(usage, estimated)
        if self.ticket is not None:
            if isinstance(failure, RateLimitError):
                if failure.limits is not None:
                    self.ticket.report(failure.limits)
                if failure.retry_after is not None and failure.retry_after <= _MINUTE:
                    self.ticket.blocked(failure.retry_after)
            self.ticket.leave(usage, estimated=estimated)

    def release(self) -> None:
        """Give it all back: nothing was sent."""
        if self.reservation is not None:
            self.reservation.release()
        if self.ticket is not None:
            self.ticket.leave(None)


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
        case GeneratorExit() | asyncio.CancelledError():
            return "cancelled"
        case _:
            return f"{type(failure).__name__}: {failure}"
