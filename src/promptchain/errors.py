"""Every error that promptchain raises.

::

    PromptChainError
    ├── DefinitionError              the chain is wrong as written
    │   ├── TemplateError            a placeholder or a brace in a prompt
    │   ├── PromptFileError          a prompt file is missing, unreadable or not UTF-8
    │   ├── OutputTypeError          no JSON schema can be made of an output type
    │   ├── LinkError                two stages whose declared types do not fit
    │   └── LoadError                a chain named as ``module:attribute`` cannot be loaded
    ├── ConfigurationError           the surroundings are wrong
    │   ├── MissingKeyError          there is no credential for the API
    │   ├── MissingExtraError        an optional dependency is not installed
    │   └── RealCallForbiddenError   a test reached for the real API
    ├── InputError                   what was handed to a run cannot be used; nothing was sent
    ├── ModelError                   a request did not bring a complete reply
    │   ├── ModelConnectionError     no connection, or it broke
    │   │   └── IncompleteReplyError the stream ended, or was cut, before the reply did
    │   ├── ModelTimeoutError        nothing came for too long
    │   ├── MalformedReplyError      what came is not the Messages API's language
    │   └── ModelStatusError         the API answered with an error
    │       ├── BadRequestError      400, 413, 422 …: the request itself is refused
    │       ├── AuthenticationError  401: the key is not accepted
    │       ├── PermissionDeniedError 403: the key may not do this
    │       ├── BillingError         402: the account cannot pay
    │       ├── ModelNotFoundError   404: no such model
    │       ├── ConflictError        409
    │       ├── RateLimitError       429; ``retry_after`` says how long to wait
    │       ├── OverloadedError      529, or an overload inside a stream
    │       └── ServerError          5xx
    ├── ReplyError                   a complete reply that cannot be the answer
    │   ├── RefusalError             the model refused
    │   ├── MaxTokensError           the reply stops at ``max_tokens``
    │   ├── ContextWindowError       the model's context window is full
    │   ├── UnexpectedStopError      another stop reason that a step cannot use
    │   └── OutputError              the reply does not validate against the output type
    ├── GateBlockedError             a gate rejected the value
    ├── GateCrashedError             a gate raised instead of judging
    └── StageError                   a function stage raised

Context (the step, the ledger, ids) is attached in one place, ``PromptChainError.locate``, on the way out of
the step and of the run.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from promptchain.ledger import Ledger


class PromptChainError(Exception):
    """Root of everything that promptchain raises on purpose.

    Attributes:
        step: Path of the step in which it happened (``"analyze"``, ``"draft/polish"``), or ``None``.
        run_id: Id of the run, or ``None`` outside of one.
        request_id: The API's id of the request that failed, or ``None`` where no reply named one.
        ledger: Every attempt of the run until then, or ``None`` when no run had begun.
    """

    step: str | None = None
    run_id: str | None = None
    request_id: str | None = None
    ledger: Ledger | None = None

    def locate(
        self, *, step: str | None = None, run_id: str | None = None, ledger: Ledger | None = None
    ) -> Self:
        """Add where it happened. What an inner place has already said stays."""
        self.step = step if self.step is None else self.step
        self.run_id = run_id if self.run_id is None else self.run_id
        self.ledger = ledger if self.ledger is None else self.ledger
        return self

    def anew(self) -> Self:
        """The same error, not told yet where it happened."""
        error = copy.copy(self)
        error.step = error.run_id = error.ledger = None
        return error.with_traceback(self.__traceback__)

    @property
    def message(self) -> str:
        """What went wrong and what to do, without the step's name."""
        return super().__str__()

    def __str__(self) -> str:
        return f"step {self.step!r}: {self.message}" if self.step else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take keyword arguments, which the default protocol would not pass on.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[PromptChainError], args: tuple[object, ...], state: Mapping[str, object]
) -> PromptChainError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class DefinitionError(PromptChainError):
    """A chain, step or gate is wrong as written. Raised when it is built, as far as it can be seen there."""


class TemplateError(DefinitionError):
    """A prompt names something that does not exist, or has a brace that belongs to no placeholder."""


class PromptFileError(DefinitionError):
    """A prompt file is missing, cannot be read, or is not UTF-8."""


class OutputTypeError(DefinitionError):
    """An output type has no JSON schema that the API could be asked for."""


class LinkError(DefinitionError):
    """Two neighbouring stages whose declared types do not fit."""


class LoadError(DefinitionError):
    """A chain named as ``module:attribute`` cannot be imported, or is not a chain."""


class ConfigurationError(PromptChainError):
    """Something around the chain is missing or wrong. This request was not sent."""


class MissingKeyError(ConfigurationError):
    """There is no credential for the API."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is not installed; the message says which ``pip install`` brings it."""


class RealCallForbiddenError(ConfigurationError):
    """A request to the real API was about to leave while real calls are forbidden."""


class InputError(PromptChainError):
    """What was handed to a run cannot be used: empty, too long, not encodable, or of the wrong type."""


class ModelError(PromptChainError):
    """A request did not bring a complete reply.

    Attributes:
        billable: Whether the API may have charged for the request. ``False`` when it surely did not: it
            answered with an error status, or the request never left.
    """

    billable: bool = True

    def __init__(self, message: str, *, request_id: str | None = None, billable: bool | None = None) -> None:
        super().__init__(message)
        if request_id is not None:
            self.request_id = request_id
        if billable is not None:
            self.billable = billable


class ModelConnectionError(ModelError):
    """No connection could be made, or it broke before the reply began."""


class IncompleteReplyError(ModelConnectionError):
    """The reply began and then stopped: the stream was cut, or ended without a stop reason."""


class ModelTimeoutError(ModelError):
    """Nothing came from the API for too long."""


class MalformedReplyError(ModelError):
    """What came back is not the Messages API's language; often a proxy that answers in its stead."""


class ModelStatusError(ModelError):
    """The API answered with an error, as a status or inside a stream.

    Attributes:
        status: HTTP status, or ``None`` for an error inside a stream that names none.
        type: The API's own error type, such as ``"overloaded_error"``.
        retry_after: Seconds the API asks to wait, or ``None``.
        should_retry: The API's own word (``x-should-retry``) on whether to ask again, or ``None``.
    """

    billable = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        request_id: str | None = None,
        billable: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, billable=billable)
        self.status = status
        self.type = type
        self.retry_after = retry_after
        self.should_retry = should_retry


class BadRequestError(ModelStatusError):
    """The API refuses the request itself (400, 412, 413, 422, 431)."""


class AuthenticationError(ModelStatusError):
    """The API does not accept the key (401)."""


class PermissionDeniedError(ModelStatusError):
    """The key may not use this model or feature (403)."""


class BillingError(ModelStatusError):
    """The account cannot pay (402)."""


class ModelNotFoundError(ModelStatusError):
    """The API knows no such model (404)."""


class ConflictError(ModelStatusError):
    """The request collides with another (409)."""


class RateLimitError(ModelStatusError):
    """Too many requests or tokens (429)."""


class OverloadedError(ModelStatusError):
    """The API is overloaded (529), also when it says so inside a stream."""


class ServerError(ModelStatusError):
    """The API failed (5xx)."""


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
        reason: Why, in the words of the gate.
        value: What was rejected.
    """

    def __init__(self, message: str, *, gate: str, reason: str, value: object) -> None:
        super().__init__(message)
        self.gate = gate
        self.reason = reason
        self.value = value


class GateCrashedError(PromptChainError):
    """A gate raised instead of judging; what it raised is ``__cause__``.

    Attributes:
        gate: The gate's name.
        value: What it was asked to judge.
    """

    def __init__(self, message: str, *, gate: str, value: object) -> None:
        super().__init__(message)
        self.gate = gate
        self.value = value


class StageError(PromptChainError):
    """A function stage raised; what it raised is ``__cause__``."""
