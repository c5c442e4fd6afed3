"""What a model call is made with: said by a step, or by the chains around it."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from typing_extensions import TypedDict

from promptchain.errors import DefinitionError
from promptchain.fields import shown
from promptchain.messages import Effort
from promptchain.models import Model, model_named
from promptchain.pricing import Price, PriceBook
from promptchain.spelling import nearest

__all__ = ["Arguments", "Options", "model_of", "refuse_unknown"]

DEFAULT_MAX_TOKENS = 4_096


class Options(TypedDict, total=False):
    """What both a step and a chain can say; ``None`` is not said."""

    model: str | Model | None
    max_tokens: int | None
    effort: Effort | None
    thinking: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What a step or a chain says of its model calls; ``None`` is not said."""

    model: Model | None = None
    max_tokens: int | None = None
    effort: Effort | None = None
    thinking: Mapping[str, Any] | None = None
    prices: PriceBook | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Arguments:
        """The part of a step's or a chain's options that is about its model calls.

        Raises:
            DefinitionError: A value is out of range.
        """
        max_tokens, effort, thinking = (options.get(name) for name in ("max_tokens", "effort", "thinking"))
        prices: Any = options.get("prices")
        if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
            raise DefinitionError(f"max_tokens is a whole number of tokens above 0, not {max_tokens!r}.")
        if effort is not None and effort not in get_args(Effort):
            raise DefinitionError(
                f"{effort!r} is no effort.{nearest(str(effort), get_args(Effort))} "
                f"Known: {', '.join(get_args(Effort))}."
            )
        if not isinstance(thinking, Mapping | None):
            raise DefinitionError(
                f"thinking is a mapping as the SDK takes it, such as {{'type': 'adaptive'}}, not {thinking!r}."
            )
        if prices is not None and not _are_prices(prices):
            raise DefinitionError("prices maps names of models to Price(input=..., output=...).")
        return cls(
            model=model_of(options.get("model")),
            max_tokens=max_tokens,
            effort=effort,
            thinking=cast("Mapping[str, Any] | None", thinking),
            prices=prices,
        )

    def over(self, outer: Arguments) -> Arguments:
        """These, and where nothing is said those of the chain around; of prices, both."""
        return Arguments(
            model=self.model or outer.model,
            max_tokens=self.max_tokens or outer.max_tokens,
            effort=self.effort or outer.effort,
            thinking=self.thinking or outer.thinking,
            prices={**(outer.prices or {}), **self.prices} if self.prices else outer.prices,
        )


def model_of(model: str | Model | None) -> Model | None:
    """The model that is meant.

    Raises:
        DefinitionError: It is neither a name nor a model.
    """
    if model is None:
        return None
    if isinstance(model, str):
        return model_named(model)
    if type(model).__name__.startswith("Async") and hasattr(model, "messages"):
        raise DefinitionError(
            f"{type(model).__name__} is a client, not a model: "
            "say which model it is asked for, as in AnthropicModel('claude-haiku-4-5', client=client)."
        )
    if isinstance(model, type):
        raise DefinitionError(f"{shown(model)} is a class: make a model of it, as in {shown(model)}(...).")
    if not isinstance(getattr(model, "name", None), str) or not callable(getattr(model, "stream", None)):
        raise DefinitionError(f"a model is a name, or has a name and a method stream, unlike {model!r}.")
    if inspect.iscoroutinefunction(model.stream):
        raise DefinitionError(f"{type(model).__name__}.stream has no yield: it is an asynchronous generator.")
    return model


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


def _are_prices(prices: Any) -> bool:
    return isinstance(prices, Mapping) and all(
        isinstance(price, Price) for price in cast("Mapping[object, object]", prices).values()
    )
