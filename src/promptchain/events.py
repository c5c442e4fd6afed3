"""What happens in a run, as typed events in the order in which it happens.

Logs, traces, reports and streams are all readers of these. The text of a reply is *tentative* until nothing
can reject it any more; then it is *committed*, or else *retracted*. Only committed text has been given away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from promptchain.gates import Judgement
from promptchain.ledger import Attempt, Ledger

__all__ = [
    "AttemptFinished",
    "AttemptStarted",
    "CircuitChanged",
    "CircuitState",
    "Event",
    "GateJudged",
    "Level",
    "ModelReplaced",
    "PartialOutput",
    "Reader",
    "RequestHedged",
    "RetryScheduled",
    "RunFailed",
    "RunFinished",
    "RunStarted",
    "StepDegraded",
    "StepFailed",
    "StepFinished",
    "StepStarted",
    "TextCommitted",
    "TextRetracted",
    "TextTentative",
    "Thinking",
    "Waiting",
]

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
"""How much an event matters to whoever runs the chain: a piece of text or thinking is ``"debug"``, what went wrong and
was mended ``"warning"``, what ended without an output ``"error"``, and all else ``"info"``."""

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]
"""Whether requests are let through to a model, are not, or only one at a time, to try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        at: Seconds since the run began.
        step: Path of the step it happened in; empty for the run itself.
        level: How much it matters.
    """

    level: ClassVar[Level] = "info"

    at: float
    step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run began.

    Attributes:
        run_id: Its id.
        request_id: The caller's id for it.
        chain: Name of the chain.
    """

    run_id: str
    request_id: str
    chain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A step began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    """A request is about to leave.

    Attributes:
        attempt: 1 for the step's first.
        model: Name of the model that is asked.
    """

    attempt: int
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking(Event):
    """A piece of the model's thinking; never part of the answer."""

    level = "debug"
    attempt: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTentative(Event):
    """A piece of text that may still be rejected, or that belongs to an inner step.

    Attributes:
        attempt: Which attempt of the step writes it.
        text: The piece.
        is_answer: Whether it is to be the answer of the run, or what an inner step makes on the way.
    """

    level = "debug"
    attempt: int
    text: str
    is_answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialOutput(Event):
    """A structured output as far as it has come. Tentative as the text it is read from.

    Attributes:
        attempt: Which attempt of the step writes it.
        value: Plain data, as JSON has it, and not validated: fields may be missing, the last text cut short.
    """

    level = "debug"
    attempt: int
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class TextCommitted(Event):
    """Text of the run's answer that will not be taken back."""

    level = "debug"
    attempt: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRetracted(Event):
    """All tentative text of this attempt is void.

    Attributes:
        attempt: Whose text.
        reason: Why.
        is_answer: Whether it was to be the answer of the run.
    """

    attempt: int
    reason: str
    is_answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFinished(Event):
    """A request has ended, well or badly.

    Attributes:
        record: Its entry in the ledger.
    """

    record: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """A request waits before it is sent.

    Attributes:
        reason: For what: ``"rate limit"`` of the API, ``"concurrency"`` as the policy allows it, ``"budget"`` that
            other requests hold.
        seconds: How long it will take as far as it is known, or ``None``.
    """

    reason: Literal["rate limit", "concurrency", "budget"]
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled(Event):
    """An attempt failed, and another follows.

    Attributes:
        attempt: Which one failed.
        error: What it failed with.
        seconds: How long the wait before the next one is.
    """

    level = "warning"
    attempt: int
    error: BaseException
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHedged(Event):
    """The model is slow, so it is asked a second time, and who is first is heard.

    Attributes:
        model: Name of the model.
        seconds: How long it has been silent.
    """

    model: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReplaced(Event):
    """Another model is asked in the place of one that does not answer.

    Attributes:
        model: Who was asked.
        instead: Who is asked now.
        error: What the first failed with.
    """

    level = "warning"
    model: str
    instead: str
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged(Event):
    """The circuit to a model has changed its state.

    Attributes:
        model: Name of the model.
        endpoint: Address of the API, or ``None`` where the model does not say.
        before: What it was.
        after: What it is now.
    """

    level = "warning"
    model: str
    endpoint: str | None
    before: CircuitState
    after: CircuitState


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDegraded(Event):
    """An optional step gave no output of its own, and the run goes on without.

    Attributes:
        error: What it failed with, or ``None`` where it was left out for want of time.
        by: What stands in its place: ``"default"``, or the path of the stage that does.
    """

    level = "warning"
    error: BaseException | None
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateJudged(Event):
    """A gate judged a step's output, or a chain's input.

    Attributes:
        record: Its verdict, and on what.
    """

    record: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A step gave its output.

    Attributes:
        output: The validated value.
        seconds: How long the step took.
    """

    output: object
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailed(Event):
    """A step ended without an output.

    Attributes:
        error: What ended it; ``asyncio.CancelledError`` when it was cancelled.
        seconds: How long the step took.
    """

    level = "error"
    error: BaseException
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run gave its output.

    Attributes:
        output: The last step's output.
        ledger: Every attempt.
        seconds: How long the run took.
    """

    output: object
    ledger: Ledger
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    """The run ended without an output.

    Attributes:
        error: What ended it; ``asyncio.CancelledError`` when it was cancelled.
        ledger: Every attempt until then.
        seconds: How long the run took.
    """

    level = "error"
    error: BaseException
    ledger: Ledger
    seconds: float


Reader: TypeAlias = Callable[[Event], None]
"""Whatever is called with each event: quick, as the run waits for it, and never raising."""
