"""What the SDK and its transports raise, as our errors. Imported only where the SDK is."""

from __future__ import annotations

import email.utils
import sys
import time
from collections.abc import Iterator, Mapping

import anthropic
import httpx2

from promptchain.errors import (
    AuthenticationError,
    BadRequestError,
    BillingError,
    ConfigurationError,
    ConflictError,
    IncompleteReplyError,
    MalformedReplyError,
    MissingExtraError,
    MissingKeyError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelStatusError,
    ModelTimeoutError,
    OverloadedError,
    PermissionDeniedError,
    PromptChainError,
    PromptTooLongError,
    RateLimitError,
    ServerError,
)
from promptchain.models.catalog import KNOWN_MODELS
from promptchain.models.platforms import Platform, refusal_of
from promptchain.models.rate_headers import rate_limits
from promptchain.models.wire import ERROR_TYPES
from promptchain.spelling import nearest

_STATUSES: dict[int, type[ModelStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: BillingError,
    403: PermissionDeniedError,
    404: ModelNotFoundError,
    409: ConflictError,
    412: BadRequestError,
    413: BadRequestError,
    422: BadRequestError,
    424: ServerError,  # Bedrock: the model failed
    429: RateLimitError,
    431: BadRequestError,
    529: OverloadedError,
}

_ADVICE: dict[type[ModelStatusError], str] = {
    AuthenticationError: "check ANTHROPIC_API_KEY",
    BillingError: "check the account's balance",
    PermissionDeniedError: "the key may not use this model or feature",
}

# How the API begins to say it; the error's type is that of every bad request.
_TOO_LONG = "prompt is too long"

_SIGNERS = {"boto3", "botocore", "google"}

# What these raise where they did not reach who hands out credentials, which passes.
_UNREACHED = {"ConnectTimeoutError", "EndpointConnectionError", "ReadTimeoutError", "TransportError"}


def translated(
    error: Exception, *, model: str, replying: bool, platform: Platform | None = None
) -> PromptChainError:
    """Our error for one of the SDK's or the transport's.

    Args:
        error: What was raised. The caller chains it as ``__cause__``.
        model: The model that was asked, for the message.
        replying: Whether the reply had begun.
        platform: Where the model was asked, if not at Anthropic.
    """
    match error:
        case anthropic.APIStatusError():
            return _status(error, model, platform)
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return ModelTimeoutError(
                "the API sent nothing for too long" if _was_sent(error) else "no connection in time",
                billable=_was_sent(error),
            )
        case (
            anthropic.APIResponseValidationError()
            | anthropic.APIWebhookValidationError()
            | httpx2.DecodingError()
        ):
            return MalformedReplyError(f"the API's reply cannot be read: {error}")
        case httpx2.InvalidURL() if not replying:
            return ConfigurationError(f"base_url is no address: {error}")
        case TypeError() | ValueError() if not replying:
            # What fails on the way the SDK puts into an error of its own: this failed before.
            return ConfigurationError(
                f"the request cannot be made of its arguments, such as thinking, or by its client: {error}"
            )
        case anthropic.APIConnectionError() if not replying and (unsendable := _unsendable(error)):
            return unsendable
        case anthropic.APIConnectionError() if _is_of_another_loop(error):
            return ModelConnectionError(
                "the client belongs to another event loop: make one in the loop that uses it, or name the model "
                f"without a client and let promptchain make one for each loop ({_cause(error)})"
            )
        case httpx2.TransportError() if replying:
            return IncompleteReplyError(f"the connection broke in the middle of the reply: {_cause(error)}")
        case anthropic.APIConnectionError() | httpx2.TransportError():
            return ModelConnectionError(
                f"the connection to the API failed: {_cause(error)}", billable=_was_sent(error)
            )
        case anthropic.CredentialsError():
            return MissingKeyError(f"the credentials for the API cannot be loaded: {error}")
        case _ if platform is not None and not replying and (unsigned := _unsigned(error, platform)):
            return unsigned
        case _:
            return ModelError(f"the request failed: {type(error).__name__}: {error}")


def _unsigned(error: Exception, platform: Platform) -> PromptChainError | None:
    """What to say where a platform's client could not sign the request, so that it never left."""
    origin = type(error).__module__.partition(".")[0]
    match error:
        case ImportError() if platform.extra:
            return MissingExtraError(f"{error}: pip install 'anthropic[{platform.extra}]'")
        case Exception() if origin in _SIGNERS and type(error).__name__ in _UNREACHED:
            return ModelConnectionError(
                f"the credentials for {platform.name} cannot be fetched: {error}", billable=False
            )
        case Exception() if origin in _SIGNERS:
            return MissingKeyError(
                f"the credentials for {platform.name} cannot be loaded: {error} ({platform.credentials})"
            )
        case RuntimeError() | anthropic.AnthropicError() if not isinstance(error, anthropic.APIError):
            kind = MissingKeyError if "credentials" in str(error) else ConfigurationError
            return kind(f"the request to {platform.name} cannot be made: {error} ({platform.credentials})")
        case _:
            return None


def _status(error: anthropic.APIStatusError, model: str, platform: Platform | None) -> PromptChainError:
    status = error.status_code
    refusal = refusal_of(error)
    message = refusal.message
    headers = error.response.headers
    said = headers.get("x-should-retry")
    should_retry = None if said is None else said == "true"
    if status == 408:  # the API waited too long for the request
        return ModelTimeoutError(
            f"the API timed out: {message}",
            retry_after=retry_after(headers),
            should_retry=should_retry,
            request_id=refusal.request_id,
            billable=False,
        )
    if status == 499:  # the API saw us leave
        return ModelConnectionError(
            f"the API saw the connection close: {message}", request_id=refusal.request_id
        )
    if 300 <= status < 400:
        to = error.response.headers.get("location")
        return ModelStatusError(
            f"the API's address answered {status}, which points {f'to {to}' if to else 'elsewhere'}: give the "
            "address that it has now, as base_url or in ANTHROPIC_BASE_URL",
            status=status,
            request_id=refusal.request_id,
        )
    kind = _STATUSES.get(status)
    if kind is None:
        by_type = ERROR_TYPES.get(str(refusal.type)) if status < 400 else None
        kind = by_type or (ServerError if status >= 500 else ModelStatusError)
    if kind is BadRequestError and message.startswith(_TOO_LONG):
        kind = PromptTooLongError
    hint = _hint(kind, error.response.url.path, model, platform)
    failure = kind(
        f"the API answered {status}: {message}" + (f" ({hint})" if hint else ""),
        status=status,
        type=refusal.type,
        retry_after=retry_after(headers),
        should_retry=should_retry,
        request_id=refusal.request_id,
        billable=status < 400,
    )
    if isinstance(failure, RateLimitError):
        failure.limits = rate_limits(headers.raw)
    return failure


def _hint(kind: type[ModelStatusError], path: str, model: str, platform: Platform | None) -> str:
    if kind is ModelNotFoundError:
        if "/v1/v1/" in path:
            return "base_url is the address without /v1"
        if platform is not None:
            return f"is {model!r} served there, in this region? On {platform.name} names are like {platform.models}"
        if model not in KNOWN_MODELS:
            return f"is {model!r} the name of a model?{nearest(model, KNOWN_MODELS)}"
    if platform is not None and kind in {AuthenticationError, PermissionDeniedError}:
        return platform.credentials
    return _ADVICE.get(kind, "")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from ``retry-after-ms`` or ``retry-after`` (seconds or a date), or ``None``."""
    for name, unit in (("retry-after-ms", 1_000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, date.timestamp() - time.time())


def _was_sent(error: BaseException) -> bool:
    """Whether the request may have reached the API: ``False`` only when no connection was made."""
    causes = tuple(_chain(error))
    unmade: tuple[type[BaseException], ...] = (
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.PoolTimeout,
        httpx2.UnsupportedProtocol,
    )
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is not None and any(isinstance(cause, aiohttp.ClientError) for cause in causes):
        # Its transport calls every broken connection a failure to connect; what it was stands behind it.
        unmade = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
    return not any(isinstance(cause, unmade) for cause in causes)


def _unsendable(error: BaseException) -> ConfigurationError | None:
    """What to say where the transport refused the request before it sent any of it."""
    last = tuple(_chain(error))[-1]
    match error.__cause__:
        case httpx2.UnsupportedProtocol():
            return ConfigurationError(f"base_url is no address: {_cause(error)}")
        case httpx2.LocalProtocolError():
            return ConfigurationError(f"the request cannot be sent: {_cause(error)}")
        case RuntimeError() if "the client has been closed" in str(last):
            return ConfigurationError("the client is closed: keep it open for as long as chains use it.")
        case _:
            return None


def _is_of_another_loop(error: BaseException) -> bool:
    """Whether two event loops were mixed. The transports find out late: the request may have left."""
    last = tuple(_chain(error))[-1]
    signs = ("Event loop is closed", "attached to a different loop", "bound to a different event loop")
    return isinstance(last, RuntimeError) and any(sign in str(last) for sign in signs)


def _cause(error: BaseException) -> str:
    last = tuple(_chain(error))[-1]
    # aiohttp puts a status of its own in front of what happened, on a line of its own.
    lines = str(last).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(last).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
