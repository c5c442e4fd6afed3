"""Whatever the SDK and its transports raise is one of our errors."""

from __future__ import annotations

import email.utils
import inspect
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import anthropic
import anthropic._exceptions as sdk_errors
import httpx2
import pytest
from aiohttp.client_reqrep import ConnectionKey

from promptchain import errors
from promptchain.errors import ModelStatusError, PromptChainError
from promptchain.models.failures import retry_after, translated

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/messages")


def subclasses(module: object, root: type[Exception]) -> list[type[Exception]]:
    return [cls for _, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, root)]


SDK = subclasses(sdk_errors, Exception)
TRANSPORT = subclasses(httpx2, Exception)

OURS: dict[type[Exception], type[PromptChainError]] = {
    sdk_errors.APIConnectionError: errors.ModelConnectionError,
    sdk_errors.APIError: errors.ModelError,
    sdk_errors.APIResponseValidationError: errors.MalformedReplyError,
    sdk_errors.APIStatusError: errors.ModelStatusError,
    sdk_errors.APITimeoutError: errors.ModelTimeoutError,
    sdk_errors.APIWebhookValidationError: errors.MalformedReplyError,
    sdk_errors.AnthropicError: errors.ModelError,
    sdk_errors.AuthenticationError: errors.AuthenticationError,
    sdk_errors.BadRequestError: errors.BadRequestError,
    sdk_errors.ClientClosedRequestError: errors.ModelConnectionError,
    sdk_errors.ConflictError: errors.ConflictError,
    sdk_errors.ContentTooLargeError: errors.BadRequestError,
    sdk_errors.CredentialsError: errors.MissingKeyError,
    sdk_errors.DeadlineExceededError: errors.ServerError,
    sdk_errors.GatewayTimeoutError: errors.ServerError,
    sdk_errors.HTTPNotImplementedError: errors.ServerError,
    sdk_errors.IdentityTokenFileError: errors.MissingKeyError,
    sdk_errors.InternalServerError: errors.ServerError,
    sdk_errors.NotFoundError: errors.ModelNotFoundError,
    sdk_errors.OverloadedError: errors.OverloadedError,
    sdk_errors.PaymentRequiredError: errors.BillingError,
    sdk_errors.PermissionDeniedError: errors.PermissionDeniedError,
    sdk_errors.PreconditionFailedError: errors.BadRequestError,
    sdk_errors.RateLimitError: errors.RateLimitError,
    sdk_errors.RequestHeaderFieldsTooLargeError: errors.BadRequestError,
    sdk_errors.RequestTimeoutError: errors.ModelTimeoutError,
    sdk_errors.RequestTooLargeError: errors.BadRequestError,
    sdk_errors.RetryableError: errors.ModelError,
    sdk_errors.ServiceUnavailableError: errors.ServerError,
    sdk_errors.UnprocessableEntityError: errors.BadRequestError,
    httpx2.DecodingError: errors.MalformedReplyError,
}
STATUSES = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.BillingError,
    403: errors.PermissionDeniedError,
    404: errors.ModelNotFoundError,
    409: errors.ConflictError,
    412: errors.BadRequestError,
    413: errors.BadRequestError,
    418: errors.ModelStatusError,
    422: errors.BadRequestError,
    429: errors.RateLimitError,
    431: errors.BadRequestError,
    500: errors.ServerError,
    501: errors.ServerError,
    502: errors.ServerError,
    503: errors.ServerError,
    504: errors.ServerError,
    529: errors.OverloadedError,
    599: errors.ServerError,
}


def status_error(
    status: int, cls: type[anthropic.APIStatusError] = anthropic.APIStatusError, /, **headers: str
) -> anthropic.APIStatusError:
    body = {"type": "error", "error": {"type": "some_error", "message": "the API's words"}}
    told = {"request-id": "req_1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return cls(
        "message", response=httpx2.Response(status, headers=told, request=REQUEST, json=body), body=body
    )


def made(cls: type[Exception]) -> Exception:
    """An instance, whatever the class asks for."""
    if issubclass(cls, anthropic.APIStatusError):
        status = getattr(cls, "status_code", None)
        return status_error(
            status if isinstance(status, int) else 500 if "Server" in cls.__name__ else 418, cls
        )
    offered: dict[str, Any] = {
        "message": "m",
        "request": REQUEST,
        "response": httpx2.Response(200, request=REQUEST),
        "body": None,
    }
    takes = inspect.signature(cls.__init__).parameters.values()
    named = {p.name: offered[p.name] for p in takes if p.default is p.empty and p.name in offered}
    try:
        return cls(**named)
    except TypeError:
        return cls("m")


@pytest.mark.parametrize("cls", [*SDK, *TRANSPORT], ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
@pytest.mark.parametrize("replying", [True, False])
def test_every_error_of_the_sdk_and_its_transport_is_one_of_ours(
    cls: type[Exception], replying: bool
) -> None:
    ours = translated(made(cls), model="m", replying=replying)
    assert isinstance(ours, errors.ModelError | errors.ConfigurationError)
    wanted = OURS.get(cls)
    if wanted is None and issubclass(cls, httpx2.TimeoutException):
        wanted = errors.ModelTimeoutError
    if wanted is None and issubclass(cls, httpx2.TransportError):
        wanted = errors.IncompleteReplyError if replying else errors.ModelConnectionError
    if cls is httpx2.InvalidURL and not replying:
        wanted = errors.ConfigurationError
    assert type(ours) is (wanted or errors.ModelError)
    assert ours.message


def test_every_error_of_the_sdk_is_in_the_table_above() -> None:
    assert {cls for cls in SDK if cls not in OURS} == set()


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_becomes_the_error_that_is_drawn_for_it(status: int) -> None:
    ours = translated(status_error(status), model="m", replying=False)
    assert isinstance(ours, ModelStatusError)
    assert type(ours) is STATUSES[status]
    assert (ours.status, ours.type, ours.request_id, ours.billable) == (status, "some_error", "req_1", False)
    assert "the API's words" in ours.message


def test_an_error_that_the_sdk_found_inside_a_stream_goes_by_its_type_and_may_be_billed() -> None:
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    response = httpx2.Response(200, request=REQUEST)
    ours = translated(anthropic.APIStatusError("m", response=response, body=body), model="m", replying=True)
    assert type(ours) is errors.OverloadedError
    assert ours.billable


def test_a_model_that_does_not_exist_is_told_with_the_nearest_that_does() -> None:
    ours = translated(status_error(404), model="claude-haiku-45", replying=False)
    assert "Did you mean 'claude-haiku-4-5'?" in ours.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after_ms": "1500", "retry_after": "60"}, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "60"}, 60.0),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        ({"retry_after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
    ],
)
def test_the_time_to_wait_is_read_in_milliseconds_or_seconds(
    headers: dict[str, str], seconds: float | None
) -> None:
    ours = translated(status_error(429, anthropic.APIStatusError, **headers), model="m", replying=False)
    assert isinstance(ours, errors.RateLimitError)
    assert ours.retry_after == seconds


def test_the_time_to_wait_is_read_as_a_date() -> None:
    later = email.utils.formatdate(time.time() + 100, usegmt=True)
    seconds = retry_after({"retry-after": later})
    assert seconds is not None
    assert 95 < seconds <= 100


@pytest.mark.parametrize(("header", "said"), [("true", True), ("false", False), (None, None)])
def test_the_word_of_the_api_on_asking_again_is_kept(header: str | None, said: bool | None) -> None:
    headers = {} if header is None else {"x_should_retry": header}
    ours = translated(status_error(529, anthropic.APIStatusError, **headers), model="m", replying=False)
    assert isinstance(ours, ModelStatusError)
    assert ours.should_retry is said


def connection_error(*causes: BaseException) -> anthropic.APIConnectionError:
    error = anthropic.APIConnectionError(request=REQUEST)
    last: BaseException = error
    for cause in causes:
        last.__cause__ = cause
        last = cause
    return error


KEY = ConnectionKey("127.0.0.1", 1, False, True, None, None, None, None)


def failures() -> Iterator[tuple[Exception, bool]]:
    """What may go wrong on the way, and whether the request may have reached the API."""
    yield connection_error(httpx2.ConnectError("refused")), False
    yield connection_error(httpx2.ConnectTimeout("late")), False
    yield connection_error(httpx2.PoolTimeout("busy")), False
    yield connection_error(httpx2.ReadError("reset")), True
    yield connection_error(httpx2.RemoteProtocolError("cut")), True
    yield connection_error(httpx2.WriteError("pipe")), True
    refused = aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused"))
    yield connection_error(httpx2.ConnectError("x"), refused), False
    yield connection_error(httpx2.ConnectError("x"), aiohttp.ServerDisconnectedError()), True
    yield connection_error(httpx2.ConnectError("x"), aiohttp.ClientOSError(104, "reset")), True
    yield connection_error(httpx2.ConnectTimeout("x"), aiohttp.ConnectionTimeoutError()), False
    yield connection_error(httpx2.ReadTimeout("x"), aiohttp.SocketTimeoutError()), True


@pytest.mark.parametrize(("error", "billable"), list(failures()), ids=lambda value: repr(value)[:60])
def test_only_a_request_that_surely_never_left_is_surely_not_billed(error: Exception, billable: bool) -> None:
    ours = translated(error, model="m", replying=False)
    assert isinstance(ours, errors.ModelConnectionError | errors.ModelTimeoutError)
    assert ours.billable is billable


def test_a_timeout_of_the_connection_is_not_billed_and_one_of_the_reply_may_be() -> None:
    late = anthropic.APITimeoutError(REQUEST)
    late.__cause__ = httpx2.ConnectTimeout("x")
    unmade, silent = (translated(e, model="m", replying=False) for e in (late, httpx2.ReadTimeout("x")))
    assert isinstance(unmade, errors.ModelTimeoutError)
    assert isinstance(silent, errors.ModelTimeoutError)
    assert (unmade.billable, silent.billable) == (False, True)
