"""The SDK's clients: those made when a model is only named, and what a request asks of any client.

Imports the SDK where it is needed, never with this file.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import os
import re
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import ReferenceType, WeakKeyDictionary, ref

from promptchain.errors import ConfigurationError, MissingKeyError, ModelError
from promptchain.models.platforms import refuse_missing_package

if TYPE_CHECKING:
    from anthropic import (
        APIRequest,
        AsyncAnthropic,
        AsyncAPIResponse,
        AsyncCallNext,
    )
    from anthropic.lib.bedrock import AsyncAnthropicBedrock, AsyncAnthropicBedrockMantle
    from anthropic.lib.vertex import AsyncAnthropicVertex

__all__ = [
    "Account",
    "Client",
    "Pass",
    "account_of",
    "address_of",
    "credentials_found",
    "default_client",
    "one_pass",
    "own_client",
    "refuse_other_loop",
    "refuse_unusable",
]

Client: TypeAlias = (
    "AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicBedrockMantle | AsyncAnthropicVertex"
)
"""An asynchronous client of the SDK. Those of Foundry, AWS and Google Cloud are kinds of ``AsyncAnthropic``."""

MAX_CLIENTS: Final = 32
"""Clients of an event loop that are kept open while none of their requests is running."""

_MISSING_KEY = (
    "there is no credential for the Anthropic API: set ANTHROPIC_API_KEY, or hand over a key or "
    "a client of your own with AnthropicModel(name, api_key=...) or AnthropicModel(name, client=...). To try a chain without one, use model='offline'."
)
_ENDPOINT: Final = "https://api.anthropic.com"
_CREDENTIAL_HEADERS: Final = frozenset({"authorization", "x-api-key"})
_VARIABLES: Final = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_CONFIG_DIR",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_PROFILE",
)
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(slots=True)
class Pass:
    """One call of a model, which may send one request.

    Attributes:
        begun: Whether the request was handed on, as far as a client of the caller's own shows it.
        response: The API's answer to it, as far as such a client shows it.
    """

    begun: bool = False
    response: AsyncAPIResponse[Any] | None = None


_current: ContextVar[Pass | None] = ContextVar("promptchain_pass", default=None)


@contextlib.asynccontextmanager
async def one_pass(this: Pass) -> AsyncGenerator[None]:
    """Inside this block one request may leave through a client of ``own_client``."""
    token = _current.set(this)
    try:
        yield
    except BaseException:
        if this.response is not None:
            await this.response.close()  # a reply that nobody reads goes on to be written and billed
        raise
    finally:
        _current.reset(token)


async def _once(request: APIRequest, call_next: AsyncCallNext) -> AsyncAPIResponse[Any]:
    """Innermost middleware: one call is one request, whatever the caller's own middleware does."""
    this = _current.get()
    if this is None or this.begun:
        raise ModelError(
            "a middleware of the client sends a request more than once, which the ledger could not see: "
            "let it call call_next once, and leave asking again to the chain."
        )
    this.begun = True
    request.options.follow_redirects = False  # a second request too, to wherever the answer says
    this.response = await call_next(request)
    return this.response


# The loop in which a client of a caller's own was used first, to which its connections belong.
_homes: WeakKeyDictionary[Client, ReferenceType[asyncio.AbstractEventLoop]] = WeakKeyDictionary()


def own_client(client: Client) -> Client:
    """A client that shares the connections of ``client``, and sends one request a call.

    Raises:
        ConfigurationError: It is no asynchronous client of the SDK.
    """
    closes = getattr(client, "close", None)
    if isinstance(client, type) or not callable(getattr(client, "with_options", None)) or closes is None:
        raise ConfigurationError(f"a client is an AsyncAnthropic(...), not {client!r}.")
    if not inspect.iscoroutinefunction(closes) or not hasattr(client, "messages"):
        raise ConfigurationError(
            f"{type(client).__name__} is no asynchronous client of the Anthropic SDK: give an AsyncAnthropic(...)."
        )
    return client.with_options(max_retries=0, middleware=[*client.middleware, _once])


def refuse_other_loop(client: Client) -> None:
    """Keep a client of the caller's own to the loop of its first request.

    In another one the SDK fails, and only after the request has left.

    Raises:
        ConfigurationError: It was used in another loop.
    """
    loop = asyncio.get_running_loop()
    home = _homes.setdefault(client, ref(loop))()
    if home is not loop:
        raise ConfigurationError(
            "the client was used in another event loop, to which its connections belong: make one in the loop "
            "that uses it, or name the model without a client and let promptchain make one for each loop."
        )


def refuse_unusable(client: Client, request_id: str | None) -> None:
    """See before a request leaves that ``client`` could send it.

    Raises:
        MissingKeyError: It has no credential.
        MissingExtraError: What it signs requests with is not installed.
        ConfigurationError: It is closed, or one of its headers cannot be sent.
    """
    import anthropic  # noqa: PLC0415

    if client.is_closed():
        raise ConfigurationError("the client is closed: keep it open for as long as chains use it.")
    headers = {name.lower(): value for name, value in client.default_headers.items()}
    for name, value in (*headers.items(), ("x-request-id", request_id)):
        if isinstance(value, str) and _CONTROLS.search(value):
            told = "the API key" if name in _CREDENTIAL_HEADERS else f"the header {name!r}"
            raise ConfigurationError(f"{told} holds a line feed or another control character: strip it.")
    # Bedrock, Vertex and Foundry sign in their own ways, and a caller may send a header of their own.
    refuse_missing_package(client)
    signs_itself = type(client) is not anthropic.AsyncAnthropic or client.credentials is not None
    if not signs_itself and not any(headers.get(name) for name in _CREDENTIAL_HEADERS):
        raise MissingKeyError(_MISSING_KEY)


@dataclass(frozen=True, slots=True)
class Account:
    """What the limits of an API belong to. Two are equal where one key, or one client, is in force."""

    held: tuple[str | int | None, ...] = field(repr=False)


def account_of(client: Client | None, api_key: str | None) -> Account:
    """The account that requests are made for, through ``client`` or with ``api_key`` or the environment's key."""
    if client is not None:
        key = getattr(client, "api_key", None) or getattr(client, "auth_token", None)
        return Account((key if isinstance(key, str) else id(client),))
    read = os.environ.get
    if key := api_key or read("ANTHROPIC_API_KEY") or read("ANTHROPIC_AUTH_TOKEN"):
        return Account((key,))
    return Account(tuple(map(read, _VARIABLES)))


def address_of(client: Client | None, base_url: str | None) -> str:
    """The address of the API, without a slash at its end."""
    address = base_url if client is None else str(client.base_url)
    return (address or os.environ.get("ANTHROPIC_BASE_URL") or _ENDPOINT).rstrip("/")


def credentials_found() -> bool:
    """Whether a credential is configured, in the environment or in the SDK's own files, be it right or wrong."""
    if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return True
    custom = os.environ.get("ANTHROPIC_CUSTOM_HEADERS", "").split("\n")
    if _CREDENTIAL_HEADERS & {line.partition(":")[0].strip().lower() for line in custom}:
        return True
    hints = any(name.startswith("ANTHROPIC_") for name in os.environ)
    if not hints and not (Path.home() / ".config" / "anthropic").exists():
        return False  # so that the answer does not cost the import of the SDK

    import anthropic  # noqa: PLC0415

    try:
        return anthropic.AsyncAnthropic().credentials is not None
    except anthropic.AnthropicError:
        return True  # what is wrong with it is said by the request, instead of a stand-in's answer


@dataclass(slots=True)
class _Held:
    """A client that is kept for its next request."""

    client: AsyncAnthropic
    requests: int = 0


# One client a process, event loop and set of credentials: making one takes 50 to 90 ms, and a pool of
# connections belongs to the loop in which it was made.
_Key: TypeAlias = tuple[str | None, ...]
_Clients: TypeAlias = dict[_Key, _Held]
_loops: dict[asyncio.AbstractEventLoop, tuple[_Clients, AsyncGenerator[None, None]]] = {}


@contextlib.asynccontextmanager
async def default_client(api_key: str | None, base_url: str | None) -> AsyncGenerator[AsyncAnthropic]:
    """The client of this event loop for these credentials, which stays open for the length of the block."""
    key = (api_key, base_url, *map(os.environ.get, _VARIABLES))
    clients = await _clients_of(asyncio.get_running_loop())
    held = clients.pop(key, None) or _Held(_made(api_key, base_url))
    clients[key] = held  # the one used last is the last
    held.requests += 1
    try:
        await _close_oldest(clients)
        yield held.client
    finally:
        held.requests -= 1


def _made(api_key: str | None, base_url: str | None) -> AsyncAnthropic:
    import anthropic  # noqa: PLC0415

    fast = importlib.util.find_spec("aiohttp") is not None
    transport = anthropic.DefaultAioHttpClient if fast else anthropic.DefaultAsyncHttpxClient
    # A redirect would be a second request that no ledger has, to an address that nobody gave.
    http_client = transport(follow_redirects=False)
    return anthropic.AsyncAnthropic(
        api_key=api_key, base_url=base_url, max_retries=0, http_client=http_client
    )


async def _close_oldest(clients: _Clients) -> None:
    idle = [key for key, held in clients.items() if not held.requests]
    for key in idle[: max(0, len(clients) - MAX_CLIENTS)]:
        await clients.pop(key).client.close()


async def _clients_of(loop: asyncio.AbstractEventLoop) -> _Clients:
    if loop not in _loops:
        for closed in [other for other in _loops if other.is_closed()]:
            await _forget(closed)
        clients: _Clients = {}
        guard = _closing_at_shutdown(clients)
        _loops[loop] = clients, guard
        await anext(guard)
    return _loops[loop][0]


async def _forget(loop: asyncio.AbstractEventLoop) -> None:
    """Let go of the clients of a loop that was closed without being shut down: their connections are dead."""
    clients, _ = _loops.pop(loop)
    for held in clients.values():
        with contextlib.suppress(Exception):
            await held.client.close()


async def _closing_at_shutdown(clients: _Clients) -> AsyncGenerator[None, None]:
    """Close the clients when the loop closes its asynchronous generators, which it does when it shuts down."""
    loop = asyncio.get_running_loop()
    try:
        yield
    finally:
        _loops.pop(loop, None)
        for held in clients.values():
            await held.client.close()
