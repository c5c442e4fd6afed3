"""Layers: who says what of a step, and what holds when several do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import fields as fields_of
from typing import Any, Final

from promptchain.arguments import (
    ARGUMENT_NAMES,
    DEFAULT_GATES_MODE,
    DEFAULT_MAX_REASKS,
    DEFAULT_MAX_TOKENS,
    Arguments,
)
from promptchain.errors import ConfigurationError
from promptchain.models import Model, in_place_of
from promptchain.policy import LEFT_OUT, Policy
from promptchain.spelling import brief

__all__ = ["BUILT_IN", "FIELDS", "PARTS", "Effective", "Layer", "resolved"]

FIELDS: Final = (
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "effort",
    "service_tier",
    "max_reasks",
    "timeout",
)
"""What settings and profiles can say of a step."""

PARTS: Final = tuple(field.name for field in fields_of(Policy))
"""The parts of a policy."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place says.

    Attributes:
        origin: The place, for people: ``"step"``, ``"chain 'answer'"``, ``"PROMPTCHAIN_MODEL"``.
        said: What it says.
        names_model: Whether it says its model as a name, for which a model below it can be asked.
    """

    origin: str
    said: Arguments
    names_model: bool = False


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for a step.

    Attributes:
        arguments: The values.
        origins: Where each value that is said comes from, by field; of a policy by part (``"policy.retry"``).
    """

    arguments: Arguments
    origins: Mapping[str, str]


BUILT_IN: Final = Layer(
    "default",
    Arguments(max_tokens=DEFAULT_MAX_TOKENS, max_reasks=DEFAULT_MAX_REASKS, gates_mode=DEFAULT_GATES_MODE),
)


def resolved(layers: Sequence[Layer]) -> Effective:
    """What holds when the first of ``layers`` that says a field wins. Prices, and parts of a policy, are those of all."""
    values: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for field in ARGUMENT_NAMES:
            value = getattr(layer.said, field)
            if value is None:
                continue
            if field == "policy":
                for part in PARTS:
                    if part not in parts and (said := getattr(value, part)) is not LEFT_OUT:
                        parts[part], origins[f"policy.{part}"] = said, layer.origin
            elif field not in values:
                values[field], origins[field] = value, layer.origin
            elif field == "prices":
                values[field] = {**value, **values[field]}
                origins[field] += f", {layer.origin}"
    if parts:
        values["policy"] = Policy(**parts)
    if "model" in values:
        values["model"] = _asked(layer for layer in layers if layer.said.model is not None)
    return Effective(Arguments(**values), origins)


def _asked(layers: Iterable[Layer]) -> Model | None:
    """The model of the first layer; a mere name is asked for where the code's own model is asked."""
    first, *others = layers
    named = first.said.model
    if named is None or not first.names_model:
        return named
    for layer in others:
        replaced = layer.said.model
        if not layer.names_model and replaced is not None:
            asked = in_place_of(replaced, named)
            if asked is None:
                raise ConfigurationError(
                    f"{first.origin}: {named.name!r} cannot take the place of {brief(replaced)}, which has no method "
                    "renamed(name): hand the model over itself, with run(model=...), or name it in the code."
                )
            return asked
    return named
