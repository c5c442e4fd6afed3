"""The models that are known by name, and what they take. A name that is not here may still exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from promptchain.messages import Effort

__all__ = ["KNOWN_MODELS", "KNOWN_ON", "MODELS", "KnownModel", "ThinkingKind", "known_model"]

KNOWN_ON: Final = "2026-11-23"
"""When this was last compared with the SDK's list (anthropic 2.12)."""

ThinkingKind: TypeAlias = Literal["adaptive", "between_tools", "disabled", "enabled"]
"""A value of ``thinking["type"]``."""

_ALL_EFFORT: Final[tuple[Effort, ...]] = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """What a model takes.

    Attributes:
        id: The API's own name, with a date where the model has one.
        context: Tokens that input and output may have together.
        max_tokens: Most tokens of one reply, thinking included.
        cache_minimum: Tokens that a prefix needs to be cached.
        effort: Levels of ``effort``; none where it takes no effort.
        thinking: Kinds of thinking that it can be asked for.
        sampling: Whether API version 2023-06-01 takes ``temperature`` and ``top_p`` for it. Later versions take
            them for no model.
    """

    id: str
    context: int = 1_000_000
    max_tokens: int = 128_000
    cache_minimum: int = 512
    effort: tuple[Effort, ...] = _ALL_EFFORT
    thinking: tuple[ThinkingKind, ...] = ("adaptive",)
    sampling: bool = False

    @property
    def line(self) -> str:
        """The model line, such as ``"haiku"``."""
        return self.id.split("-")[1]

    @property
    def alias(self) -> str:
        """Its name without a date: the shortest that the API knows."""
        stem, _, last = self.id.rpartition("-")
        return stem if len(last) == 8 and last.isdecimal() else self.id

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is called."""
        return (self.id,) if self.alias == self.id else (self.id, self.alias)


def _model_4_5(name: str, *, cache_minimum: int, effort: tuple[Effort, ...] = ()) -> KnownModel:
    return KnownModel(
        id=name,
        context=200_000,
        max_tokens=64_000,
        cache_minimum=cache_minimum,
        effort=effort,
        thinking=("enabled", "disabled"),
        sampling=True,
    )


def _model_4_6(name: str, *, cache_minimum: int) -> KnownModel:
    return KnownModel(
        id=name,
        cache_minimum=cache_minimum,
        effort=("low", "medium", "high", "max"),
        thinking=("enabled", "disabled", "adaptive"),
        sampling=True,
    )


_OPTIONAL: Final[tuple[ThinkingKind, ...]] = ("disabled", "adaptive")
_BETWEEN: Final[tuple[ThinkingKind, ...]] = ("adaptive", "between_tools")

MODELS: Final[tuple[KnownModel, ...]] = (
    KnownModel(id="claude-fable-5-2"),
    KnownModel(id="claude-mythos-5-2"),
    KnownModel(id="claude-haiku-5-5", thinking=_BETWEEN),
    KnownModel(id="claude-sonnet-5-5", thinking=_BETWEEN),
    KnownModel(id="claude-fable-5-1"),
    KnownModel(id="claude-opus-5-5"),
    KnownModel(id="claude-mythos-5-1"),
    KnownModel(id="claude-sonnet-5", cache_minimum=1_024, thinking=_OPTIONAL),
    KnownModel(id="claude-fable-5"),
    KnownModel(id="claude-mythos-5"),
    KnownModel(id="claude-opus-5", thinking=_OPTIONAL),
    KnownModel(id="claude-opus-4-8", cache_minimum=1_024, thinking=_OPTIONAL),
    KnownModel(id="claude-opus-4-7", cache_minimum=2_048, thinking=_OPTIONAL),
    _model_4_6("claude-opus-4-6", cache_minimum=4_096),
    _model_4_6("claude-sonnet-4-6", cache_minimum=1_024),
    _model_4_5("claude-haiku-4-5-20251001", cache_minimum=4_096),
    _model_4_5("claude-opus-4-5-20251101", cache_minimum=4_096, effort=("low", "medium", "high")),
    _model_4_5("claude-sonnet-4-5-20250929", cache_minimum=1_024),
)
"""Newest first, as the API lists them."""

_BY_NAME: Final = {name: model for model in MODELS for name in model.names}

# Known by its name only: the SDK lists it, but it ended on 2026-06-30.
_WITHOUT_FACTS: Final = ("claude-mythos-preview",)

KNOWN_MODELS: Final = tuple(sorted([*_BY_NAME, *_WITHOUT_FACTS]))
"""Every name, in alphabetical order, to help with a typo."""


def known_model(name: str) -> KnownModel | None:
    """What is known of the model called ``name``, with or without its date, or ``None``: nothing is guessed."""
    return _BY_NAME.get(name)
