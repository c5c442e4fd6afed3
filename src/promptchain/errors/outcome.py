"""Errors of replies that cannot be the answer, of gates, and of stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptchain.errors.base import PromptChainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ReplyError(PromptChainError):
    """The reply is complete and cannot be the answer.

    Attributes:
        reply: The model's text as it came.
    """

    def __init__(self, message: str, *, reply: str = "", request_id: str | None = None) -> None:
        super().__init__(message)
        self.reply = reply
        if request_id is not None:
            self.request_id = request_id


class RefusalError(ReplyError):
    """The model refused to answer.

    Attributes:
        category: The API's category of the refusal, such as ``"cyber"``, or ``None``.
        explanation: The API's words on it, or ``None``.
    """

    def __init__(
        self,
        message: str,
        *,
        reply: str = "",
        request_id: str | None = None,
        category: str | None = None,
        explanation: str | None = None,
    ) -> None:
        super().__init__(message, reply=reply, request_id=request_id)
        self.category = category
        self.explanation = explanation


class MaxTokensError(ReplyError):
    """The reply stops in the middle because it reached ``max_tokens``."""


class ContextWindowError(ReplyError):
    """The reply stops in the middle because the model's context window is full."""


class UnexpectedStopError(ReplyError):
    """The model stopped for a reason that a step cannot use, such as ``pause_turn``."""


class OutputError(ReplyError):
    """The reply does not validate against the step's output type.

    Attributes:
        errors: What is wrong where, as pydantic lists it: mappings with ``loc``, ``msg`` and ``type``.
    """

    def __init__(
        self,
        message: str,
        *,
        reply: str = "",
        request_id: str | None = None,
        errors: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message, reply=reply, request_id=request_id)
        self.errors: tuple[Mapping[str, Any], ...] = tuple(errors)


class GateBlockedError(PromptChainError):
    """A gate judged a value and rejected it.

    Attributes:
        gate: The gate's name.
        reason: Why, in the words of the gate; its feedback where it asked for another reply in vain.
        value: What was rejected.
        reply: The model's last text as it came; empty where no model wrote the value.
    """

    def __init__(self, message: str, *, gate: str, reason: str, value: object, reply: str = "") -> None:
        super().__init__(message)
        self.gate = gate
        self.reason = reason
        self.value = value
        self.reply = reply


class GateCrashedError(PromptChainError):
    """A gate failed instead of judging, in whatever mode it is; why is ``__cause__``.

    Attributes:
        gate: The gate's name.
        value: What it was asked to judge.
    """

    def __init__(self, message: str, *, gate: str, value: object) -> None:
        super().__init__(message)
        self.gate = gate
        self.value = value


class StepTimeoutError(PromptChainError):
    """A step took longer than its ``timeout``. What it was doing was ended, its request closed."""


class DeadlineError(PromptChainError):
    """The time that a run was given has passed. What it was doing was ended, its request closed.

    Attributes:
        seconds: How long it was given.
        phase: What it was doing: see ``promptchain.deadline.Phase``.
    """

    def __init__(self, message: str, *, seconds: float, phase: str) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.phase = phase


class BudgetExceededError(PromptChainError):
    """A request could have cost more than what is left of a budget, so it was not sent.

    Attributes:
        budget: Name of the budget; of one without a name what it is of, such as ``"of the run"``.
    """

    def __init__(self, message: str, *, budget: str) -> None:
        super().__init__(message)
        self.budget = budget


class StageError(PromptChainError):
    """A function stage raised; what it raised is ``__cause__``."""
