"""The protocol of a model, and the switch that keeps tests away from the real API."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from contextlib import aclosing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from promptchain.errors import (
    ConfigurationError,
    IncompleteReplyError,
    PromptChainError,
    RealCallForbiddenError,
)
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    Reply,
    ReplyFinished,
    ReplyRestarted,
    ReplyStarted,
    TextDelta,
    ThinkingDelta,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

__all__ = [
    "Model",
    "announces_requests",
    "complete",
    "count_input",
    "endpoint_of",
    "forbid_real_calls",
    "prepare",
    "refuse_real_call",
    "renamed",
]

# What counts is asked on the way to a request that waits for it.
_COUNT_SECONDS: Final = 5.0


@runtime_checkable
class Model(Protocol):
    """Answers a request with a stream of events.

    Behaviour is added by wrapping: a wrapper is a model that asks another one.
    """

    @property
    def name(self) -> str:
        """The model's name, under which its attempts are recorded and priced."""
        ...

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Yield ``ReplyStarted``, then deltas, then ``ReplyFinished`` as the last event.

        See ``ModelEvent`` for what else it may yield.

        An implementation is an ``async def`` with ``yield``. Closing the generator, or cancelling the task
        that waits in it, ends the request at once. Whoever iterates it closes it (``contextlib.aclosing``).

        Raises:
            ModelError: When no complete reply came.
        """
        ...


async def complete(model: Model, request: ModelRequest) -> Reply:
    """Ask ``model`` and wait for the whole reply.

    Raises:
        ModelError: When no complete reply came.
    """
    started: ReplyStarted | None = None
    text: list[str] = []
    thinking: list[str] = []
    async with aclosing(model.stream(request)) as events:
        async for event in events:
            match event:
                case TextDelta():
                    text.append(event.text)
                case ThinkingDelta():
                    thinking.append(event.text)
                case ReplyStarted():
                    started = event
                case ReplyRestarted():
                    started = None
                    text.clear()
                    thinking.clear()
                case ReplyFinished() if started:
                    return Reply(
                        text="".join(text),
                        thinking="".join(thinking),
                        stop_reason=event.stop_reason,
                        stop_details=event.stop_details,
                        usage=event.usage,
                        model=started.model,
                        message_id=started.message_id,
                        request_id=started.request_id,
                    )
                case ReplyFinished():
                    break
                case _:
                    pass
    raise IncompleteReplyError(f"the model {model.name!r} ended its stream without a complete reply")


async def prepare(model: Model) -> None:
    """Let ``model`` do what it does once and for all, so that it counts for no step's timeout.

    A model that has such work to do has a method ``async prepare()``.
    """
    work: Callable[[], Awaitable[None]] | None = getattr(model, "prepare", None)
    if work is not None:
        await work()


async def count_input(model: Model, request: ModelRequest) -> int | None:
    """Input tokens of ``request`` as ``model`` counts them, or ``None`` where it cannot, or does not within 5 s.

    A model that can count has a method ``async count_tokens(request)``, which costs nothing and sends no request
    that a ledger would have to hold. What it raises is as good as no count: the request itself will fail with it.
    """
    count: Callable[[ModelRequest], Awaitable[int | None]] | None = getattr(model, "count_tokens", None)
    if count is None:
        return None
    try:
        async with asyncio.timeout(_COUNT_SECONDS):
            return await count(request)
    except Exception:  # noqa: BLE001 - whatever it is, a bound is known without it
        return None


def endpoint_of(model: Model) -> str | None:
    """The address of the API that ``model`` asks, or ``None`` where it does not say.

    A model that can say has an attribute ``endpoint``. Those that have the same one, and the same name, share what
    is known of that API: whether it answers, and what its limits have left.
    """
    endpoint: str | None = getattr(model, "endpoint", None)
    return endpoint


def announces_requests(model: Model) -> bool:
    """Whether ``model`` says when a request leaves, so that one which ends before that has surely sent nothing.

    A model that always yields ``RequestReady`` first has an attribute ``announces_requests = True``.
    """
    return bool(getattr(model, "announces_requests", False))


def renamed(model: Model, name: str) -> Model | None:
    """The model ``name`` where ``model`` is, with its client, its key and its address.

    A model that can be asked so has a method ``renamed(name)``; of any other this is ``None``.

    Raises:
        ConfigurationError: That method failed; what it raised is the cause.
    """
    rename: Callable[[str], Model | None] | None = getattr(model, "renamed", None)
    try:
        return rename(name) if rename is not None else None
    except PromptChainError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the model {model.name!r} cannot be asked as {name!r}: its renamed() raised "
            f"{type(error).__name__}: {error}"
        ) from error


_forbidden: ContextVar[bool] = ContextVar("promptchain_real_calls_forbidden", default=False)


@contextlib.contextmanager
def forbid_real_calls() -> Generator[None]:
    """Inside this block no request leaves this machine; addresses on the loopback are still reached.

    Setting ``PROMPTCHAIN_FORBID_REAL_CALLS=1`` in the environment does the same for a whole process.
    """
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, and 127.0.0.1.example.com is somebody else's
        return False


def refuse_real_call(host: str) -> None:
    """Raise when real calls are forbidden and ``host`` is not this machine.

    Raises:
        RealCallForbiddenError: A request to ``host`` was about to leave.
    """
    if not (_forbidden.get() or os.environ.get("PROMPTCHAIN_FORBID_REAL_CALLS", "0") not in {"", "0"}):
        return
    if host == "localhost" or _is_loopback(host):
        return
    raise RealCallForbiddenError(
        f"a request to {host} was about to leave while real calls are forbidden. "
        "Use the messages_api fixture, or a ScriptedModel or OfflineModel."
    )
