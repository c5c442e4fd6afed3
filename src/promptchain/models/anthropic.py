"""Claude through the official SDK. The SDK is imported on first use: it takes two seconds."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from promptchain.errors import ConfigurationError, MissingKeyError, OutputTypeError, PromptChainError
from promptchain.messages import ModelEvent, ModelRequest
from promptchain.models.base import refuse_real_call

if TYPE_CHECKING:
    import httpx2
    from anthropic import AsyncAnthropic

    from promptchain.models.wire import ReplyDecoder

__all__ = ["AnthropicModel", "credentials_found"]

_MISSING_KEY = (
    "there is no credential for the Anthropic API: set ANTHROPIC_API_KEY, or hand over a client of your own "
    "with AnthropicModel(name, client=AsyncAnthropic(...)). To try a chain without one, use model='offline'."
)


class AnthropicModel:
    """A Claude model behind the Messages API.

    Every request is streamed, and the SDK's own retries are off: one call is one request.

    Args:
        name: The model, such as ``"claude-haiku-4-5"``.
        client: An ``AsyncAnthropic`` of the caller's own, which the caller also closes. Without one, a client
            is made from the SDK's environment variables (``ANTHROPIC_API_KEY``, ``ANTHROPIC_BASE_URL`` …),
            shared by all models of an event loop and closed with it; it uses the aiohttp transport where
            aiohttp is installed.
        api_key: Key to use instead of the environment's. Not together with ``client``.
        base_url: Address of the API, without ``/v1``. Not together with ``client``.
        timeout: Seconds without a byte from the API after which the attempt fails. Left out, the client's.
    """

    def __init__(
        self,
        name: str,
        *,
        client: AsyncAnthropic | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
    ) -> None:
        if client is not None and (api_key is not None or base_url is not None):
            raise ConfigurationError(
                "api_key and base_url belong to the client: give either a client or these."
            )
        if timeout is not None and timeout <= 0:
            raise ConfigurationError(f"a timeout is a number of seconds above 0, not {timeout!r}.")
        self._name = name
        self._client = client.with_options(max_retries=0) if client is not None else None
        self._api_key = api_key
        self._base_url = base_url
        self._timeout = timeout

    @property
    def name(self) -> str:
        """The model's name, as the API takes it."""
        return self._name

    @property
    def uses_environment(self) -> bool:
        """Whether its credential is the environment's: it was given neither a client nor a key."""
        return self._client is None and self._api_key is None

    def __repr__(self) -> str:
        return f"AnthropicModel({self._name!r})"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask the API. One call is one request.

        Raises:
            MissingKeyError: There is no credential.
            OutputTypeError: The SDK cannot make a structured output of the schema.
            ModelError: The API failed, or did not give a complete reply.
        """
        if "anthropic" not in sys.modules:
            # Two seconds of import would stop everything else on this event loop.
            await asyncio.to_thread(importlib.import_module, "anthropic")
        # Both need the SDK.
        from promptchain.models.failures import translated  # noqa: PLC0415
        from promptchain.models.wire import ReplyDecoder  # noqa: PLC0415

        client = self._client or await _default_client(self._api_key, self._base_url)
        _refuse_without_credential(client)
        refuse_real_call(client.base_url.host)
        arguments = self._arguments(request)
        decoder: ReplyDecoder | None = None
        # Through Any: the overloads of the SDK cannot be called with a dictionary of arguments.
        ask: Any = client.messages.with_streaming_response.create
        try:
            async with ask(**arguments) as response:
                decoder = ReplyDecoder(response.headers.get("request-id"))
                chunks = _body(response.http_response)
                async for chunk in chunks:
                    for event in decoder.feed(chunk):
                        if decoder.complete:
                            # Before the last event, as whoever has it need not come back for more.
                            await _drain(chunks)
                        yield event
                decoder.finish()
        except PromptChainError:
            raise
        except Exception as error:
            failure = translated(error, model=self._name, replying=decoder is not None)
            if decoder is not None and failure.request_id is None:
                failure.request_id = decoder.request_id
            raise failure from error

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
        if request.request_id is not None:
            arguments["extra_headers"] = {"x-request-id": request.request_id}
        if self._timeout is not None:
            arguments["timeout"] = self._timeout
        return arguments


def _body(response: httpx2.Response) -> AsyncIterator[bytes]:
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    # Straight from the transport: the layers in between only decompress, and cost as much as all we do.
    return aiter(cast("httpx2.AsyncByteStream", response.stream))


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of the body, without which the connection would not be used again."""
    try:
        async with asyncio.timeout(1):
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


# One client a process, event loop and set of credentials: making one takes 50 to 90 ms, and a pool of
# connections belongs to the loop in which it was made.
_Key = tuple[str | None, ...]
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, AsyncAnthropic]] = WeakKeyDictionary()
_VARIABLES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS")


async def _default_client(api_key: str | None, base_url: str | None) -> AsyncAnthropic:
    import anthropic  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    clients = _clients.get(loop)
    if clients is None:
        clients = _clients[loop] = {}
        # A loop closes its asynchronous generators when it shuts down, so this one closes the clients.
        await anext(_until_shutdown(loop, clients))
    key = (api_key, base_url, *(os.environ.get(name) for name in _VARIABLES))
    if key not in clients:
        fast = importlib.util.find_spec("aiohttp") is not None
        clients[key] = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            http_client=anthropic.DefaultAioHttpClient() if fast else None,
        )
    return clients[key]


_guards: set[AsyncGenerator[None, None]] = set()


def _until_shutdown(
    loop: asyncio.AbstractEventLoop, clients: dict[_Key, AsyncAnthropic]
) -> AsyncGenerator[None, None]:
    async def close_at_shutdown() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _guards.discard(guard)
            _clients.pop(loop, None)
            for client in clients.values():
                await client.close()

    guard = close_at_shutdown()
    _guards.add(guard)  # the loop itself holds it only weakly
    return guard


def _refuse_without_credential(client: AsyncAnthropic) -> None:
    # Bedrock, Vertex and Foundry sign in their own ways, and a caller may send a header of their own.
    import anthropic  # noqa: PLC0415

    if type(client) is not anthropic.AsyncAnthropic:
        return
    if client.api_key or client.auth_token or client.credentials is not None:
        return
    if not {"authorization", "x-api-key"} & {name.lower() for name in client.default_headers}:
        raise MissingKeyError(_MISSING_KEY)


def credentials_found() -> bool:
    """Whether the SDK would find a credential in the environment or in its own configuration files."""
    if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return True
    hints = any(name.startswith("ANTHROPIC_") for name in os.environ)
    if not hints and not (Path.home() / ".config" / "anthropic").exists():
        return False  # so that the answer does not cost the import of the SDK

    import anthropic  # noqa: PLC0415

    return anthropic.AsyncAnthropic().credentials is not None
