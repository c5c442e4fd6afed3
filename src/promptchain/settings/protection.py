"""Variables that protect whole runs: those of the policy, of the deadline and of the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from promptchain.arguments import Arguments
from promptchain.policy import Breaker, Limits, Policy, Retry, Timeout
from promptchain.settings.layers import Layer
from promptchain.settings.variables import PREFIX, Span, Variable, number_of, switched

__all__ = ["POLICY_NAMES", "deadline_of", "policy_of", "tokens_of", "usd_of"]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a part of the policy, and the numbers that it takes; a switch where there are none."""

    part: str
    name: str
    span: Span | None = None


def _whole(most: float) -> Span:
    return Span(least=1, most=most, is_whole=True)


def _seconds(least: float, most: float) -> Span:
    return Span(least=least, most=most, is_open=not least, unit="seconds")


_ANY_COUNT: Final = Span(least=1, is_whole=True)
_UP_TO_AN_HOUR: Final = _seconds(0, 3_600)
_DEADLINE: Final = _seconds(1, 3_600)
_USD: Final = Span(least=0, most=1_000_000, unit="USD")
_TOKENS: Final = Span(least=0, is_whole=True)

_KINDS: Final[Mapping[str, type[Any]]] = {
    "retry": Retry,
    "breaker": Breaker,
    "timeout": Timeout,
    "limits": Limits,
}
_SWITCHES: Final = {f"{PREFIX}BREAKER": "breaker", f"{PREFIX}RETRY": "retry"}
_FIELDS: Final = {
    f"{PREFIX}BREAKER_FAILURES": _Field("breaker", "failures", _whole(10)),
    f"{PREFIX}BREAKER_RESET": _Field("breaker", "reset", _seconds(10, 300)),
    f"{PREFIX}BREAKER_SUCCESSES": _Field("breaker", "successes", _whole(5)),
    f"{PREFIX}RETRY_ATTEMPTS": _Field("retry", "attempts", _whole(10)),
    f"{PREFIX}RETRY_MULTIPLIER": _Field("retry", "multiplier", Span(least=0.5, most=5)),
    f"{PREFIX}RETRY_MAX_WAIT": _Field("retry", "max_wait", _seconds(5, 300)),
    f"{PREFIX}TIMEOUT_TOTAL": _Field("timeout", "total", _UP_TO_AN_HOUR),
    f"{PREFIX}TIMEOUT_ATTEMPT": _Field("timeout", "attempt", _UP_TO_AN_HOUR),
    f"{PREFIX}TIMEOUT_FIRST_TOKEN": _Field("timeout", "first_token", _UP_TO_AN_HOUR),
    f"{PREFIX}TIMEOUT_IDLE": _Field("timeout", "idle", _UP_TO_AN_HOUR),
    f"{PREFIX}CONCURRENCY": _Field("limits", "concurrency", _ANY_COUNT),
    f"{PREFIX}PACE": _Field("limits", "pace"),
}
# None ends in _<FIELD>, so none can be meant for a step, whatever its name is.
POLICY_NAMES: Final = (*_SWITCHES, *_FIELDS)
"""Names of the variables of the policy."""


def policy_of(variables: Sequence[Variable]) -> tuple[Layer, ...]:
    """What ``variables`` say of the policy: a layer for each part of which they say something.

    A part that is switched off is off, whatever is said of its fields.

    Raises:
        ConfigurationError: A value is not of its kind or out of range; of a part that is off, too.
    """
    found = {variable.name: variable for variable in variables}
    said: dict[str, dict[str, Any]] = {}
    origins: dict[str, list[str]] = {}
    off: dict[str, str] = {}
    for name, part in _SWITCHES.items():
        if name in found:
            origins.setdefault(part, []).append(found[name].origin)
            if not switched(found[name]):
                off[part] = found[name].origin
    for name, field in _FIELDS.items():
        if name in found:
            variable = found[name]
            value = switched(variable) if field.span is None else number_of(variable, field.span)
            said.setdefault(field.part, {})[field.name] = value
            origins.setdefault(field.part, []).append(variable.origin)
    return tuple(
        _layer(part, None, off[part])
        if part in off
        else _layer(part, _KINDS[part](**said.get(part, {})), ", ".join(origins[part]))
        for part in _KINDS
        if part in origins
    )


def _layer(part: str, value: Any, origin: str) -> Layer:
    return Layer(origin, Arguments(policy=Policy(**{part: value})))


def deadline_of(variable: Variable) -> float:
    """The seconds that a run may take.

    Raises:
        ConfigurationError: They are not from 1 to 3,600.
    """
    return number_of(variable, _DEADLINE)


def usd_of(variable: Variable) -> Decimal:
    """The USD that a run may cost, as exactly as they are written.

    Raises:
        ConfigurationError: They are not from 0 to 1,000,000.
    """
    number_of(variable, _USD)
    return Decimal(variable.text)


def tokens_of(variable: Variable) -> int:
    """The tokens that a run may take.

    Raises:
        ConfigurationError: It is no whole number from 0.
    """
    return int(number_of(variable, _TOKENS))
