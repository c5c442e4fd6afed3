"""Errors of requests that did not bring a complete reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptchain.errors.base import PromptChainError

if TYPE_CHECKING:
    from promptchain.messages import RateLimits


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
    """Nothing came from the API for too long, or not all of it in time.

    Attributes:
        phase: Which limit of ``Timeout`` was passed (``"total"``, ``"attempt"``, ``"first_token"``, ``"idle"``), or
            ``None`` where it was the client's or the API's own.
        by_deadline: Whether it was no more than what the run's deadline left for this request. Then it says
            little of the model.
        retry_after: Seconds the API asks to wait (with 408), or ``None``.
        should_retry: The API's own word on whether to ask again (with 408), or ``None``.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: str | None = None,
        by_deadline: bool = False,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        request_id: str | None = None,
        billable: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, billable=billable)
        self.phase = phase
        self.by_deadline = by_deadline
        self.retry_after = retry_after
        self.should_retry = should_retry


class CircuitOpenError(ModelError):
    """The circuit to a model is open: it failed too often, and is left alone for a while. Nothing was sent.

    Attributes:
        model: Name of the model.
        retry_after: Seconds until it is tried again.
    """

    billable = False

    def __init__(self, message: str, *, model: str, retry_after: float) -> None:
        super().__init__(message)
        self.model = model
        self.retry_after = retry_after


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


class PromptTooLongError(BadRequestError):
    """The input is longer than the model's context window (400)."""


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
    """Too many requests or tokens (429).

    Attributes:
        limits: What the API says of its limits, or ``None``.
    """

    limits: RateLimits | None = None


class OverloadedError(ModelStatusError):
    """The API is overloaded (529), also when it says so inside a stream."""


class ServerError(ModelStatusError):
    """The API failed (5xx)."""
