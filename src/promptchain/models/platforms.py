"""The clouds where the SDK's other clients reach Claude, and what is different there.

Clients are told apart by the names of their classes, as importing these would import the SDK.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from promptchain.errors import MissingExtraError

if TYPE_CHECKING:
    from anthropic import APIStatusError

__all__ = [
    "Platform",
    "Refusal",
    "fitted",
    "platform_of",
    "refusal_of",
    "refuse_missing_package",
    "request_id_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A place where Claude is served by somebody else.

    Attributes:
        name: As its owner writes it.
        credentials: What to look at when it refuses the credentials.
        models: What a model is called there, by example.
        extra: The extra of ``anthropic`` that signs requests, or empty where none is needed.
        package: What that extra brings, as it is imported.
        body_version: Where the version of the API goes into the body, the one that takes sampling parameters.
    """

    name: str
    credentials: str
    models: str
    extra: str = ""
    package: str = ""
    body_version: str = ""


_AWS = "check the AWS credentials and region, or AWS_BEARER_TOKEN_BEDROCK"
_GOOGLE = "check the Google credentials, as with 'gcloud auth application-default login', and the project"

_PLATFORMS: Final = {
    "AsyncAnthropicBedrock": Platform(
        name="Amazon Bedrock",
        credentials=_AWS,
        models="'us.anthropic.claude-haiku-4-5-20251001-v1:0', or an inference profile's ARN",
        extra="bedrock",
        package="boto3",
        body_version="bedrock-2023-05-31",
    ),
    "AsyncAnthropicBedrockMantle": Platform(
        name="Amazon Bedrock",
        credentials=_AWS,
        models="'anthropic.claude-haiku-4-5'",
        extra="bedrock",
        package="boto3",
    ),
    "AsyncAnthropicAWS": Platform(
        name="Claude Platform on AWS",
        credentials="check the AWS credentials, the region and the workspace, or ANTHROPIC_AWS_API_KEY",
        models="'claude-haiku-4-5'",
        extra="aws",
        package="boto3",
    ),
    "AsyncAnthropicVertex": Platform(
        name="Vertex AI",
        credentials=_GOOGLE,
        models="'claude-haiku-4-5@20251001'",
        extra="vertex",
        package="google.auth",
        body_version="vertex-2023-10-16",
    ),
    "AsyncAnthropicGoogleCloud": Platform(
        name="Google Cloud",
        credentials=_GOOGLE,
        models="'claude-haiku-4-5'",
        extra="google-cloud",
        package="google.auth",
    ),
    "AsyncAnthropicFoundry": Platform(
        name="Microsoft Foundry",
        credentials="check ANTHROPIC_FOUNDRY_API_KEY, or the token provider",
        models="that of your deployment",
    ),
}

# Any of them, where it is set, stands for a credential that needs no package.
_CREDENTIALS = ("api_key", "access_token", "credentials", "skip_auth", "_skip_auth", "_token_provider")

_REQUEST_IDS = ("request-id", "x-amzn-requestid", "apim-request-id")


def platform_of(client: object) -> Platform | None:
    """The platform that ``client`` reaches, or ``None`` for the Messages API itself."""
    for cls in type(client).__mro__:
        if cls.__name__ in _PLATFORMS and cls.__module__.startswith("anthropic."):
            return _PLATFORMS[cls.__name__]
    return None


def refuse_missing_package(client: object) -> None:
    """See before a request leaves that what ``client`` signs with is installed.

    Raises:
        MissingExtraError: It is not.
    """
    platform = platform_of(client)
    if platform is None or not platform.package:
        return
    if any(getattr(client, name, None) for name in _CREDENTIALS) or _is_installed(platform.package):
        return
    raise MissingExtraError(
        f"requests to {platform.name} are signed with {platform.package.partition('.')[0]}, which is not "
        f"installed: pip install 'anthropic[{platform.extra}]'"
    )


def fitted(arguments: dict[str, Any], platform: Platform | None) -> dict[str, Any]:
    """``arguments`` of a request as ``platform`` takes them."""
    headers: dict[str, str] = arguments.get("extra_headers", {})
    if platform is None or not platform.body_version or "anthropic-version" not in headers:
        return arguments
    # There the version is a field of the body, and a header is not looked at.
    body = {**arguments.get("extra_body", {}), "anthropic_version": platform.body_version}
    rest = {name: value for name, value in headers.items() if name != "anthropic-version"}
    return {**arguments, "extra_body": body, "extra_headers": rest}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an answer with an error status says, in whosever words."""

    message: str
    type: str | None
    request_id: str | None


def refusal_of(error: APIStatusError) -> Refusal:
    """What ``error`` says. Each platform has its own place for it, and the SDK looks at the API's."""
    headers = error.response.headers
    message, kind = _told(error.body)
    # AWS: "ThrottlingException:http://internal.amazon.com/coral/..."
    named = headers.get("x-amzn-errortype", "").partition(":")[0]
    return Refusal(message or error.message, kind or named or None, request_id_of(headers))


def _told(body: Any) -> tuple[str, str]:
    """Message and type in a body: the API's own, then those of Google, AWS and servers of one's own."""
    match body:
        case [first, *_]:
            return _told(first)
        case {"error": {"message": str(message), "type": str(kind)}}:
            return message, kind
        case {"error": {"message": str(message), "status": str(kind)}}:
            return message, kind
        case {"error": {"message": str(message)}}:
            return message, ""
        case {"message": str(message)} | {"Message": str(message)} | {"error": str(message)}:
            return message, ""
        case _:
            return "", ""


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The id that a platform gave to a request, for its support."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it is a part of
        return False
