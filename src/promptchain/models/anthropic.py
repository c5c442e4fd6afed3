"""Claude through the official SDK. The SDK is imported on first use: it takes two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from promptchain.errors import ConfigurationError, OutputTypeError, PromptChainError
from promptchain.messages import LimitsReported, ModelEvent, ModelRequest, ReplyFinished, RequestReady
from promptchain.models.base import refuse_real_call
from promptchain.models.clients import (
    Account,
    Client,
    Pass,
    account_of,
    address_of,
    default_client,
    one_pass,
    own_client,
    refuse_other_loop,
    refuse_unusable,
)
from promptchain.models.platforms import fitted, platform_of, request_id_of

if TYPE_CHECKING:
    import httpx2

    from promptchain.models.wire import ReplyDecoder

__all__ = ["AnthropicModel"]

_DRAIN_SECONDS = 0.05

# They say that they keep a connection open, and close it behind a reply, under the next request.
_CLOSING_SERVERS = frozenset({"llama.cpp"})

# What of a request is counted; the sampling parameters and the rest are not read by the model.
_COUNTED = ("model", "messages", "system", "thinking", "output_config", "extra_headers", "timeout")

# Later versions of the API refuse sampling parameters, and the SDK's methods do not have them.
_SAMPLING_VERSION = "2023-06-01"


class AnthropicModel:
    """A Claude model behind the Messages API.

    Every request is streamed, and the SDK's own retries are off: one call is one request.

    Args:
        name: The model, such as ``"claude-haiku-4-5"``.
        client: An ``AsyncAnthropic`` of the caller's own, or the SDK's client for Bedrock, Vertex or Foundry. The
            caller closes it; it is used in one event loop, and its own middleware may pass a request on once.
            Without one, a client is made from the SDK's environment variables (``ANTHROPIC_API_KEY``,
            ``ANTHROPIC_BASE_URL`` …), shared by all models of an event loop and closed with it; it uses the
            aiohttp transport where aiohttp is installed.
        api_key: Key to use instead of the environment's. Not together with ``client``.
        base_url: Address of the API, without ``/v1``. Not together with ``client``.
        timeout: Seconds without a byte from the API after which the attempt fails. Left out, the client's.

    Raises:
        ConfigurationError: An argument is not of its kind, or ``client`` stands next to what belongs to it.
    """

    announces_requests = True
    """Nothing leaves before ``RequestReady``, so what is cancelled before it has cost nothing."""

    def __init__(
        self,
        name: str,
        *,
        client: Client | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
    ) -> None:
        if client is not None and (api_key is not None or base_url is not None):
            raise ConfigurationError(
                "api_key and base_url belong to the client: give either a client or these."
            )
        if timeout is not None and not _is_duration(timeout):
            raise ConfigurationError(f"a timeout is a number of seconds above 0, not {timeout!r}.")
        self._name = name
        self._given = client
        self._client = own_client(client) if client is not None else None
        self._api_key = api_key
        self._base_url = base_url
        self._timeout = timeout
        # Whether a server closes its connections, by its address.
        self._closing: dict[str, bool] = {}

    @property
    def name(self) -> str:
        """The model's name, as the API takes it."""
        return self._name

    @property
    def uses_environment(self) -> bool:
        """Whether its credential is the environment's: it was given neither a client nor a key."""
        return self._client is None and self._api_key is None

    @property
    def endpoint(self) -> str:
        """The address of the API, without a slash at its end."""
        return address_of(self._given, self._base_url)

    @property
    def account(self) -> Account:
        """What the limits of the API belong to: equal where one key, or one client, is in force."""
        return account_of(self._given, self._api_key)

    def renamed(self, name: str) -> AnthropicModel:
        """The model ``name`` where this one is: with its client, its key, its address and its timeout."""
        other = copy.copy(self)
        other._name = name
        return other

    def __repr__(self) -> str:
        return f"AnthropicModel({self._name!r})"

    async def prepare(self) -> None:
        """Import the SDK, which takes two seconds, once a process."""
        await _import_sdk()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask the API. One call is one request.

        Raises:
            ConfigurationError: The client cannot send it, or there is no credential (``MissingKeyError``).
            OutputTypeError: The SDK cannot make a structured output of the schema.
            ModelError: The API failed, or did not give a complete reply.
        """
        await _import_sdk()
        # All need what is slow to import: the SDK, or how dates are read.
        from promptchain.models.failures import translated  # noqa: PLC0415
        from promptchain.models.rate_headers import rate_limits  # noqa: PLC0415
        from promptchain.models.wire import ReplyDecoder  # noqa: PLC0415

        decoder: ReplyDecoder | None = None
        this = Pass()
        platform = platform_of(self._given)
        try:
            async with contextlib.AsyncExitStack() as stack:
                client = await self._usable_client(stack)
                refuse_real_call(client.base_url.host)
                refuse_unusable(client, request.request_id)
                arguments = fitted(self._arguments(request), platform)
                address = str(client.base_url)
                # Who answers is known by its first reply, and over plain HTTP it may be a server of one's own.
                if self._closing.get(address, self._given is None and address.startswith("http:")):
                    arguments["extra_headers"] = {**arguments.get("extra_headers", {}), "connection": "close"}
                yield RequestReady()
                # Through Any: the overloads of the SDK cannot be called with a dictionary of arguments.
                ask: Any = client.messages.with_streaming_response.create
                async with one_pass(this):
                    response = await stack.enter_async_context(ask(**arguments))
                headers = response.headers
                self._closing[address] = headers.get("server") in _CLOSING_SERVERS
                decoder = ReplyDecoder(request_id_of(headers), headers.get("content-type", ""))
                if (limits := rate_limits(headers.raw)) is not None:
                    yield LimitsReported(limits)
                chunks = _body(response.http_response)
                async for chunk in chunks:
                    for event in decoder.feed(chunk):
                        if isinstance(event, ReplyFinished):
                            # Before the last event, as whoever has it need not come back for more.
                            await _drain(chunks)
                        yield event
                decoder.finish()
        except PromptChainError:
            raise
        except Exception as error:
            failure = translated(
                error,
                model=self._name,
                replying=decoder is not None or this.response is not None,
                platform=platform,
            )
            if decoder is not None and failure.request_id is None:
                failure.request_id = decoder.request_id
            raise failure from error

    async def count_tokens(self, request: ModelRequest) -> int:
        """Input tokens as the API counts them: an estimate of its own, free of charge, with limits of its own.

        Raises:
            Exception: What the SDK raises, or as ``stream`` does before the request leaves.
        """
        await _import_sdk()
        async with contextlib.AsyncExitStack() as stack:
            client = await self._usable_client(stack)
            refuse_real_call(client.base_url.host)
            refuse_unusable(client, request.request_id)
            arguments = fitted(self._arguments(request), platform_of(self._given))
            counted = {name: arguments[name] for name in _COUNTED if name in arguments}
            address = str(client.base_url)
            if self._closing.get(address, address.startswith("http:")):
                counted["extra_headers"] = {**counted.get("extra_headers", {}), "connection": "close"}
            # Through Any, as in stream().
            count: Any = client.messages.count_tokens
            await stack.enter_async_context(one_pass(Pass()))
            return int((await count(**counted)).input_tokens)

    async def _usable_client(self, stack: contextlib.AsyncExitStack) -> Client:
        if self._client is None or self._given is None:
            return await stack.enter_async_context(default_client(self._api_key, self._base_url))
        refuse_other_loop(self._given)
        return self._client

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._name,
            "max_tokens": request.max_tokens,
            "messages": list(request.messages),
            "stream": True,
        }
        output: dict[str, Any] = {}
        if request.effort is not None:
            output["effort"] = request.effort
        if request.output_schema is not None:
            output["format"] = {"type": "json_schema", "schema": _supported(_Identity(request.output_schema))}
        if output:
            arguments["output_config"] = output
        if request.system is not None:
            arguments["system"] = request.system
        if request.thinking is not None:
            arguments["thinking"] = request.thinking
        if request.stop_sequences:
            arguments["stop_sequences"] = list(request.stop_sequences)
        if request.service_tier is not None:
            arguments["service_tier"] = request.service_tier
        headers: dict[str, str] = {}
        if request.request_id is not None:
            headers["x-request-id"] = request.request_id
        sampling = {"temperature": request.temperature, "top_p": request.top_p}
        if said := {name: value for name, value in sampling.items() if value is not None}:
            arguments["extra_body"] = said
            headers["anthropic-version"] = _SAMPLING_VERSION
        if headers:
            arguments["extra_headers"] = headers
        if self._timeout is not None:
            arguments["timeout"] = self._timeout
        return arguments


_is_imported = False


async def _import_sdk() -> None:
    # Two seconds of import would stop everything else on this event loop. Whoever comes while it is imported
    # waits for the same import in a thread: its name is known to sys.modules long before it is done.
    global _is_imported  # noqa: PLW0603
    if not _is_imported:
        await asyncio.to_thread(importlib.import_module, "promptchain.models.failures")
        _is_imported = True


def _is_duration(timeout: object) -> bool:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        return False
    return math.isfinite(timeout) and timeout > 0


def _body(response: httpx2.Response) -> AsyncIterator[bytes]:
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    # Straight from the transport: the layers in between only decompress, and cost as much as all we do.
    return aiter(cast("httpx2.AsyncByteStream", response.stream))


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of the body, without which the connection would not be used again.

    It comes with the last event or right behind it; waiting longer would cost more than a new connection.
    """
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass
    except Exception:  # noqa: BLE001, S110 - the reply is complete: what fails now costs one connection
        pass


class _Identity:
    """A schema as a key: the schema of a step is one object for all its requests."""

    __slots__ = ("schema",)

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and other.schema is self.schema


@lru_cache(maxsize=512)
def _supported(key: _Identity) -> dict[str, Any]:
    """The schema as structured outputs take it: constraints they do not know go into descriptions."""
    import anthropic  # noqa: PLC0415

    try:
        return anthropic.transform_schema(dict(key.schema))
    except (ValueError, TypeError, AssertionError) as error:
        raise OutputTypeError(f"structured outputs cannot express the output type: {error}") from error
