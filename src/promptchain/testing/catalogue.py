"""The models that the simulated API knows, with the facts on which its answers depend."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MODELS", "ModelFacts", "find_model", "list_models"]

_ALL_EFFORT: Final = ("low", "medium", "high", "xhigh", "max")
_THINKING_TYPES: Final = ("enabled", "disabled", "adaptive", "between_tools")
_UNKNOWN_DATE: Final = "1970-01-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a model accepts.

    Attributes:
        id: The API's own name, with a date where the model has one.
        context: Tokens that input and output may have together.
        max_tokens: Most tokens of one reply.
        cache_minimum: Tokens that a prefix needs to be cached.
        effort: Levels of ``output_config.effort`` that are accepted; none where effort is not supported.
        thinking: Values of ``thinking.type`` that are accepted.
        sampling: Whether temperature, top_p and top_k are accepted by API version 2023-06-01.
        prefill: Whether the last turn may be the assistant's.
        shows_thinking: Whether thinking is shown when ``thinking.display`` is left out.
        released: Day of release, or the epoch where it is not known.
        deprecated: Whether the API announces the model's end.
        retires: Day on which it ends, or ``None``.
    """

    id: str
    context: int = 1_000_000
    max_tokens: int = 128_000
    cache_minimum: int = 512
    effort: tuple[str, ...] = _ALL_EFFORT
    thinking: tuple[str, ...] = ("adaptive",)
    sampling: bool = False
    prefill: bool = False
    shows_thinking: bool = False
    released: str = _UNKNOWN_DATE
    deprecated: bool = False
    retires: str | None = None

    @property
    def line(self) -> str:
        """The model line, such as ``"haiku"``."""
        return self.id.split("-")[1]

    @property
    def display_name(self) -> str:
        """The name for people, such as ``"Claude Haiku 4.5"``."""
        _, line, *version = self.id.split("-")
        return f"Claude {line.title()} {'.'.join(part for part in version if len(part) < 8)}"

    def as_dict(self) -> Mapping[str, Any]:
        """The model as ``GET /v1/models`` shows it."""
        yes, no = {"supported": True}, {"supported": False}
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.display_name,
            "created_at": f"{self.released}T00:00:00Z",
            "lifecycle": "deprecated" if self.deprecated else "active",
            "deprecated_at": None,
            "retires_at": f"{self.retires}T00:00:00Z" if self.retires else None,
            "line": self.line,
            "max_input_tokens": self.context,
            "max_tokens": self.max_tokens,
            "capabilities": {
                "batch": yes,
                "citations": yes,
                "code_execution": no,
                "context_management": no,
                "effort": {"supported": bool(self.effort)}
                | {level: {"supported": level in self.effort} for level in _ALL_EFFORT},
                "image_input": yes,
                "pdf_input": yes,
                "server_tools": {"supported": False, "code_execution": no, "web_search": no},
                "structured_outputs": yes,
                "thinking": {
                    "supported": True,
                    "types": {kind: {"supported": kind in self.thinking} for kind in _THINKING_TYPES},
                },
            },
        }


def _model_4_5(name: str, released: str, *, cache_minimum: int, effort: tuple[str, ...] = ()) -> ModelFacts:
    return ModelFacts(
        id=name,
        context=200_000,
        max_tokens=64_000,
        cache_minimum=cache_minimum,
        effort=effort,
        thinking=("enabled", "disabled"),
        sampling=True,
        prefill=True,
        shows_thinking=True,
        released=released,
    )


def _model_4_6(name: str, released: str, *, cache_minimum: int) -> ModelFacts:
    return ModelFacts(
        id=name,
        cache_minimum=cache_minimum,
        effort=("low", "medium", "high", "max"),
        thinking=("enabled", "disabled", "adaptive"),
        sampling=True,
        shows_thinking=True,
        released=released,
    )


_OPTIONAL: Final = ("disabled", "adaptive")
_BETWEEN: Final = ("adaptive", "between_tools")

MODELS: Final[tuple[ModelFacts, ...]] = (
    ModelFacts(id="claude-fable-5-2"),
    ModelFacts(id="claude-mythos-5-2"),
    ModelFacts(id="claude-haiku-5-5", thinking=_BETWEEN, released="2026-10-07"),
    ModelFacts(id="claude-sonnet-5-5", thinking=_BETWEEN, released="2026-09-28"),
    ModelFacts(id="claude-fable-5-1"),
    ModelFacts(id="claude-opus-5-5", released="2026-09-22"),
    ModelFacts(id="claude-mythos-5-1"),
    ModelFacts(id="claude-sonnet-5", cache_minimum=1_024, thinking=_OPTIONAL, released="2026-06-30"),
    ModelFacts(id="claude-fable-5"),
    ModelFacts(id="claude-mythos-5"),
    ModelFacts(id="claude-opus-5", thinking=_OPTIONAL, released="2026-07-24"),
    ModelFacts(id="claude-opus-4-8", cache_minimum=1_024, thinking=_OPTIONAL),
    ModelFacts(id="claude-opus-4-7", cache_minimum=2_048, thinking=_OPTIONAL),
    _model_4_6("claude-opus-4-6", "2026-02-05", cache_minimum=4_096),
    _model_4_6("claude-sonnet-4-6", "2026-02-17", cache_minimum=1_024),
    _model_4_5("claude-haiku-4-5-20251001", "2025-10-15", cache_minimum=4_096),
    _model_4_5(
        "claude-opus-4-5-20251101", "2025-11-24", cache_minimum=4_096, effort=("low", "medium", "high")
    ),
    replace(
        _model_4_5("claude-sonnet-4-5-20250929", "2025-09-29", cache_minimum=1_024),
        deprecated=True,
        retires="2026-11-30",
    ),
)
"""Newest first, as the API lists them."""


def _names(model: ModelFacts) -> tuple[str, ...]:
    stem, _, last = model.id.rpartition("-")
    return (model.id, stem) if len(last) == 8 else (model.id,)


_BY_NAME: Final = {name: model for model in MODELS for name in _names(model)}


def find_model(name: str) -> ModelFacts | None:
    """The model called ``name``, by its id or by its name without a date, or ``None``."""
    return _BY_NAME.get(name)


def list_models(query: Mapping[str, str]) -> Mapping[str, Any]:
    """One page of ``GET /v1/models``.

    Args:
        query: ``limit`` (1 to 1,000; 20 when left out), ``after_id`` and ``before_id``.

    Raises:
        ValueError: ``limit`` is not such a number, or an id is not known; the message is for the client.
    """
    limit = query.get("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= 1_000:
        raise ValueError("limit: Input should be an integer from 1 to 1000")
    ids = [model.id for model in MODELS]
    first, last = 0, len(ids)
    for key in ("after_id", "before_id"):
        cursor = query.get(key)
        if cursor is None:
            continue
        if cursor not in ids:
            raise ValueError(f"{key}: no model is called {cursor!r}")
        if key == "after_id":
            first = ids.index(cursor) + 1
        else:
            last = ids.index(cursor)
    size = int(limit)
    backwards = "before_id" in query and "after_id" not in query
    page = MODELS[first:last][-size:] if backwards else MODELS[first:last][:size]
    return {
        "data": [model.as_dict() for model in page],
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
        "has_more": len(page) < last - first,
    }
