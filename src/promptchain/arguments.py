"""What a model call is made with: said by a step, or by the chains around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any, Final, cast, get_args

from typing_extensions import TypedDict

from promptchain.errors import DefinitionError
from promptchain.gates import Mode
from promptchain.messages import Effort, ServiceTier
from promptchain.models import Model, model_of
from promptchain.policy import Policy
from promptchain.pricing import Price, PriceBook
from promptchain.spelling import nearest

__all__ = ["ARGUMENT_NAMES", "NOTHING_SAID", "Arguments", "Options", "refuse_unknown"]

DEFAULT_MAX_TOKENS: Final = 4_096
DEFAULT_MAX_REASKS: Final = 2
MOST_REASKS: Final = 20
DEFAULT_GATES_MODE: Final[Mode] = "strict"


class Options(TypedDict, total=False):
    """What both a step and a chain can say; ``None`` is not said."""

    model: str | Model | None
    max_tokens: int | None
    effort: Effort | None
    thinking: Mapping[str, Any] | None
    temperature: float | None
    top_p: float | None
    service_tier: ServiceTier | None
    max_reasks: int | None
    gates_mode: Mode | None
    policy: Policy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a step or a chain says of its model calls, and of what is made of the replies; ``None`` is not said.

    Attributes:
        model: Who is asked.
        max_tokens: Most tokens of a reply, thinking included.
        effort: See ``Effort``.
        thinking: The SDK's ``thinking`` argument.
        temperature: 0 to 1, for models that still take it.
        top_p: 0 to 1, for models that still take it.
        service_tier: See ``ServiceTier``.
        max_reasks: How often a step asks again after a reply that was rejected.
        gates_mode: Mode of the gates that do not say.
        policy: How model calls are protected; of several, what each says of a part.
        stop_sequences: A reply ends before any of these.
        timeout: Seconds that a step may take, with everything in it.
        prices: Prices of the caller's own.
    """

    model: Model | None = None
    max_tokens: int | None = None
    effort: Effort | None = None
    thinking: Mapping[str, Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    service_tier: ServiceTier | None = None
    max_reasks: int | None = None
    gates_mode: Mode | None = None
    policy: Policy | None = None
    stop_sequences: Sequence[str] | None = None
    timeout: float | None = None
    prices: PriceBook | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Arguments:
        """The part of a step's or a chain's options that is about its model calls.

        Raises:
            DefinitionError: A value is not of its kind, or out of range.
        """
        said = {name: value for name in ARGUMENT_NAMES if (value := options.get(name)) is not None}
        for name, value in said.items():
            problem = _CHECKS[name](value)
            if problem:
                raise DefinitionError(f"{name} {problem}")
        if "model" in said:
            said["model"] = model_of(said["model"])
        if "stop_sequences" in said:
            said["stop_sequences"] = tuple(said["stop_sequences"])
        return cls(**said) if said else NOTHING_SAID

    def over(self, outer: Arguments) -> Arguments:
        """These, and where nothing is said those of the chain around; of prices and of the policy, both."""
        if outer is NOTHING_SAID:
            return self
        if self is NOTHING_SAID:
            return outer
        both = {
            name: getattr(outer, name) if (own := getattr(self, name)) is None else own
            for name in ARGUMENT_NAMES
        }
        if self.prices and outer.prices:
            both["prices"] = {**outer.prices, **self.prices}
        if self.policy and outer.policy:
            both["policy"] = self.policy.over(outer.policy)
        return Arguments(**both)


ARGUMENT_NAMES: Final = tuple(field.name for field in fields_of(Arguments))
NOTHING_SAID: Final = Arguments()


def _one_of(words: Any) -> Callable[[Any], str]:
    known: tuple[str, ...] = get_args(words)

    def check(value: Any) -> str:
        if value in known:
            return ""
        return f"is one of {', '.join(known)}, not {value!r}.{nearest(str(value), known)}"

    return check


def _whole(least: int, most: float, unit: str) -> Callable[[Any], str]:
    span = f"from {least} to {most:.0f}" if math.isfinite(most) else f"of at least {least}"

    def check(value: Any) -> str:
        if type(value) is int and least <= value <= most:
            return ""
        return f"is a whole number of {unit} {span}, not {value!r}."

    return check


def _share(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if is_number and 0 <= value <= 1 else f"is a number from 0 to 1, not {value!r}."


def _duration(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and value > 0 and math.isfinite(value):
        return ""
    return f"is a number of seconds above 0, not {value!r}."


def _mapping(value: Any) -> str:
    if isinstance(value, Mapping):
        return ""
    return f"is a mapping as the SDK takes it, such as {{'type': 'adaptive'}}, not {value!r}."


def _texts(value: Any) -> str:
    if isinstance(value, str):  # or each of its characters would be one
        return f"is a list of texts: [{value!r}]."
    if isinstance(value, Sequence) and all(
        isinstance(text, str) and text.strip() for text in cast("Sequence[object]", value)
    ):
        return ""
    return f"is a list of texts that are more than white space, not {value!r}."


def _price_book(value: Any) -> str:
    if isinstance(value, Mapping) and all(
        isinstance(price, Price) for price in cast("Mapping[object, object]", value).values()
    ):
        return ""
    return "maps names of models to Price(input=..., output=...)."


def _policy(value: Any) -> str:
    return "" if isinstance(value, Policy) else f"is a Policy(...), not {value!r}."


_CHECKS: Final[Mapping[str, Callable[[Any], str]]] = {
    "model": lambda _: "",  # model_of says more
    "max_tokens": _whole(1, math.inf, "tokens"),
    "effort": _one_of(Effort),
    "thinking": _mapping,
    "temperature": _share,
    "top_p": _share,
    "service_tier": _one_of(ServiceTier),
    "max_reasks": _whole(0, MOST_REASKS, "requests"),
    "gates_mode": _one_of(Mode),
    "stop_sequences": _texts,
    "timeout": _duration,
    "prices": _price_book,
    "policy": _policy,
}


def refuse_unknown(options: Iterable[str], known: Collection[str], taker: str) -> None:
    """Refuse what is misspelt.

    Raises:
        DefinitionError: One of ``options`` is not known; the message says the nearest that is.
    """
    for option in options:
        if option not in known:
            raise DefinitionError(
                f"{taker} takes no {option!r}.{nearest(option, known)} It takes: {', '.join(sorted(known))}."
            )
