"""The policy: how a model call is protected. Here is what can be said of it; ``resilience`` does it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final, TypeAlias

from promptchain.errors import DefinitionError
from promptchain.models import Model, in_place_of, model_named, model_of

__all__ = [
    "DEFAULT_POLICY",
    "LEFT_OUT",
    "Breaker",
    "Fallback",
    "Hedge",
    "LeftOut",
    "Limits",
    "Policy",
    "Retry",
    "Timeout",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Asks again after a failure that another request can mend.

    Such are a connection that failed or broke, a timeout, the statuses 408, 409, 429, 5xx and 529, and the same
    inside a stream. ``x-should-retry`` of the API goes before that. The wait before attempt ``n + 1`` is
    ``min(max_wait, multiplier * (2 ** (n - 1) + random(0, 1)))`` seconds; where the API says when
    (``retry-after-ms``, ``retry-after``), it is that and up to a twentieth more. Where it is longer than
    ``max_wait``, the failure is the answer at once; where it is longer than the deadline leaves, a
    ``DeadlineError`` is, of which it is the cause. After committed text nothing is asked again.

    Attributes:
        attempts: Most requests for one reply, the first one included.
        max_wait: Longest wait before one of them, in seconds.
        multiplier: Seconds that the waits begin with.
    """

    attempts: int = 3
    max_wait: float = 30.0
    multiplier: float = 1.0

    def __post_init__(self) -> None:
        _refuse(self, "attempts", is_right=_is_whole(self.attempts, 1), kind="a whole number from 1")
        for name in ("max_wait", "multiplier"):
            _refuse(self, name, is_right=_is_duration(getattr(self, name)), kind="a number above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Leaves a model alone for a while after it has failed several times in a row.

    There is one circuit a process for each endpoint, model and set of these numbers, shared by all chains. It is
    closed; after ``failures`` failures it opens, and calls fail at once with ``CircuitOpenError``; after
    ``reset`` seconds one request is let through to try, one at a time. ``successes`` of them close it, a failure
    opens it again. A call that was cancelled is no verdict, nor is one that began before the state changed, or that only a
    deadline found too slow.
    Failures are those that ``Retry`` counts as such, 409 and 429 left out.

    Attributes:
        failures: Failures in a row that open the circuit.
        reset: Seconds that it stays open.
        successes: Successes in a row that close it again.
        counts_rate_limits: Whether 429 counts as a failure.
    """

    failures: int = 3
    reset: float = 30.0
    successes: int = 1
    counts_rate_limits: bool = False

    def __post_init__(self) -> None:
        for name in ("failures", "successes"):
            _refuse(self, name, is_right=_is_whole(getattr(self, name), 1), kind="a whole number from 1")
        _refuse(self, "reset", is_right=_is_duration(self.reset), kind="a number of seconds above 0")
        _refuse_no_bool(self, "counts_rate_limits")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """Ends a request that takes too long, in seconds; ``None`` is without end.

    Time that a reader of the stream takes is not counted, nor is the wait before a request may be sent, except in
    ``total``.

    Attributes:
        total: For one reply, with all attempts, waits and other models.
        attempt: For one request, from when it leaves to the end of the reply.
        first_token: For the first piece of text or thinking of a request. A model may think long before it.
        idle: Between one piece and the next.
    """

    total: float | None = None
    attempt: float | None = 600.0
    first_token: float | None = 300.0
    idle: float | None = 120.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_right = value is None or _is_duration(value)
            _refuse(self, field.name, is_right=is_right, kind="a number of seconds above 0, or None")


@dataclass(frozen=True, slots=True, init=False)
class Fallback:
    """Asks other models, in order, when the first does not answer.

    That is: its circuit is open, it is overloaded or failed in another way that ``Retry`` asks again after (and
    did, in vain), it refuses, or its context window is too small. After committed text nothing is asked again.
    ``StepResult.model`` says who answered.

    Args:
        models: Names, or models. A name is asked for where the first model is: with its client, key and address.
    """

    models: tuple[str | Model, ...]

    def __init__(self, models: Sequence[str | Model]) -> None:
        given: Any = models
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise DefinitionError(
                f"Fallback takes a list of models, as in Fallback(['claude-sonnet-5-5']), not {models!r}."
            )
        if any(model_of(model) is None for model in models):
            raise DefinitionError("Fallback takes names and models, and None is neither.")
        object.__setattr__(self, "models", tuple(models))

    def behind(self, first: Model) -> Sequence[Model]:
        """The models that are asked where ``first`` does not answer."""
        return [_in_company(model, first) for model in self.models]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Asks a second time when the model is slow, and goes on with the reply that begins first.

    The others are cancelled, and charged: what they cost is in the ledger, mostly as an estimate. With ``after``
    at the 95th percentile of the time to the first token about one request in twenty is sent twice.

    Attributes:
        after: Seconds without a first token, since the request has left, after which the model is asked again.
        max_extra: How often at most, each time after as many seconds more.
    """

    after: float
    max_extra: int = 1

    def __post_init__(self) -> None:
        _refuse(self, "after", is_right=_is_duration(self.after), kind="a number of seconds above 0")
        _refuse(self, "max_extra", is_right=_is_whole(self.max_extra, 1), kind="a whole number from 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Keeps within what the API takes, instead of being sent away.

    Attributes:
        concurrency: Most requests to one model at a time, of those in this event loop that say the same number;
            ``None`` is any number.
        pace: Whether requests wait until the API's own limits have room for them, as far as its
            ``anthropic-ratelimit-*`` headers tell.
    """

    concurrency: int | None = None
    pace: bool = True

    def __post_init__(self) -> None:
        is_right = self.concurrency is None or _is_whole(self.concurrency, 1)
        _refuse(self, "concurrency", is_right=is_right, kind="a whole number from 1, or None")
        _refuse_no_bool(self, "pace")


class LeftOut(Enum):
    """What is said of a part of a policy that is left out."""

    LEFT_OUT = "left out"

    def __repr__(self) -> str:
        return "left out"


LEFT_OUT: Final = LeftOut.LEFT_OUT

_PARTS: Final[dict[str, type[Any]]] = {
    "fallback": Fallback,
    "retry": Retry,
    "hedge": Hedge,
    "breaker": Breaker,
    "timeout": Timeout,
    "limits": Limits,
}
_Said: TypeAlias = LeftOut | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the model calls of a step, or of all steps of a chain, are protected.

    The parts are nested as ``fallback(retry(hedge(breaker(limits(timeout(model))))))``, ``Timeout.total`` around all.
    A part that is left out is what the chain around says, then the settings, then the default: ``Retry()``,
    ``Breaker()``, ``Timeout()`` and ``Limits()``, without ``Fallback`` and ``Hedge``. ``None`` turns a part off.

    Attributes:
        retry: See ``Retry``.
        breaker: See ``Breaker``.
        timeout: See ``Timeout``.
        fallback: See ``Fallback``.
        hedge: See ``Hedge``.
        limits: See ``Limits``.

    Raises:
        DefinitionError: A part is not of its kind.
    """

    retry: Retry | _Said = LEFT_OUT
    breaker: Breaker | _Said = LEFT_OUT
    timeout: Timeout | _Said = LEFT_OUT
    fallback: Fallback | _Said = LEFT_OUT
    hedge: Hedge | _Said = LEFT_OUT
    limits: Limits | _Said = LEFT_OUT

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            if part is not None and part is not LEFT_OUT and not isinstance(part, kind):
                raise DefinitionError(f"policy: {name} is {kind.__name__}(...) or None, not {part!r}.")

    def over(self, outer: Policy) -> Policy:
        """This policy, and of the parts that it leaves out those of ``outer``."""
        lent = {name: getattr(outer, name) for name in _PARTS if getattr(self, name) is LEFT_OUT}
        return replace(self, **lent) if lent else self


def _in_company(model: str | Model, first: Model) -> Model:
    if not isinstance(model, str):
        return model
    named = model_named(model)
    return in_place_of(first, named) or named


def _refuse(part: object, name: str, *, is_right: bool, kind: str) -> None:
    if not is_right:
        raise DefinitionError(f"{type(part).__name__}: {name} is {kind}, not {getattr(part, name)!r}.")


def _refuse_no_bool(part: object, name: str) -> None:
    _refuse(part, name, is_right=isinstance(getattr(part, name), bool), kind="True or False")


def _is_whole(value: object, least: int) -> bool:
    return type(value) is int and value >= least


def _is_duration(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= sys.float_info.max


DEFAULT_POLICY: Final = Policy(
    retry=Retry(), breaker=Breaker(), timeout=Timeout(), fallback=None, hedge=None, limits=Limits()
)
"""What holds where nothing is said."""
