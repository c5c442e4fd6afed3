"""The models that the simulated API knows, with the facts on which its answers depend."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, get_args

from promptchain.messages import Effort
from promptchain.models import catalog

__all__ = ["MODELS", "Catalogue", "ModelFacts", "ServedModel", "find_model"]

_UNKNOWN_DATE: Final = "1970-01-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts(catalog.KnownModel):
    """What a model takes, and what of its answers is its own.

    Attributes:
        prefill: Whether the last turn may be the assistant's.
        shows_thinking: Whether thinking is shown when ``thinking.display`` is left out.
        released: Day of release, or the epoch where it is not known.
        deprecated: Whether the API announces the model's end.
        retires: Day on which it ends, or ``None``.
    """

    prefill: bool = False
    shows_thinking: bool = False
    released: str = _UNKNOWN_DATE
    deprecated: bool = False
    retires: str | None = None

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
            "line": self.line or None,
            "max_input_tokens": self.context,
            "max_tokens": self.max_tokens,
            "capabilities": {
                "batch": yes,
                "citations": yes,
                "code_execution": no,
                "context_management": no,
                "effort": {"supported": bool(self.effort)}
                | {level: {"supported": level in self.effort} for level in get_args(Effort)},
                "image_input": yes,
                "pdf_input": yes,
                "server_tools": {"supported": False, "code_execution": no, "web_search": no},
                "structured_outputs": yes,
                "thinking": {
                    "supported": True,
                    "types": {
                        kind: {"supported": kind in self.thinking} for kind in get_args(catalog.ThinkingKind)
                    },
                },
            },
        }


_CONTEXT: Final = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel(ModelFacts):
    """A model that only its name is known of, with what Ollama, llama.cpp and vLLM take for about any model.

    They read the newer fields where they know them and otherwise look past them, bound no budget of thinking, take
    sampling parameters in every version, and cache nothing that ``cache_control`` marks.
    """

    context: int = _CONTEXT
    max_tokens: int = _CONTEXT
    cache_minimum: int = _CONTEXT + 1
    effort: tuple[Effort, ...] = ()
    thinking: tuple[catalog.ThinkingKind, ...] = ("enabled", "disabled")
    sampling: bool = True
    prefill: bool = True
    shows_thinking: bool = True

    @property
    def line(self) -> str:
        """No line is known."""
        return ""

    @property
    def display_name(self) -> str:
        """The name itself."""
        return self.id


_OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "claude-haiku-5-5": {"released": "2026-10-07"},
    "claude-sonnet-5-5": {"released": "2026-09-28"},
    "claude-opus-5-5": {"released": "2026-09-22"},
    "claude-sonnet-5": {"released": "2026-06-30"},
    "claude-opus-5": {"released": "2026-07-24"},
    "claude-opus-4-6": {"shows_thinking": True, "released": "2026-02-05"},
    "claude-sonnet-4-6": {"shows_thinking": True, "released": "2026-02-17"},
    "claude-haiku-4-5-20251001": {"prefill": True, "shows_thinking": True, "released": "2025-10-15"},
    "claude-opus-4-5-20251101": {"prefill": True, "shows_thinking": True, "released": "2025-11-24"},
    "claude-sonnet-4-5-20250929": {
        "prefill": True,
        "shows_thinking": True,
        "released": "2025-09-29",
        "deprecated": True,
        "retires": "2026-11-30",
    },
}

MODELS: Final = tuple(ModelFacts(**asdict(model), **_OWN.get(model.id, {})) for model in catalog.MODELS)
"""Newest first, as the API lists them."""

_BY_NAME: Final = {name: model for model in MODELS for name in model.names}


def find_model(name: str) -> ModelFacts | None:
    """The model called ``name``, by its id or by its name without a date, or ``None``."""
    return _BY_NAME.get(name)


class Catalogue:
    """The models that one API knows: those of ``MODELS``, and others by name. All methods are thread-safe."""

    def __init__(self) -> None:
        self._served: tuple[ServedModel, ...] = ()
        self._serving = threading.Lock()

    def serve(self, names: Iterable[str]) -> None:
        """Know these names too. One that is known stays what it is.

        Raises:
            ValueError: A name is blank, or has a space or a control character. Then none is known.
        """
        wanted = list(dict.fromkeys(names))
        for name in wanted:
            if not name or not name.isprintable() or " " in name:
                raise ValueError(f"{name!r} cannot be the name of a model; an example of one is 'qwen3:8b'")
        with self._serving:
            new = [ServedModel(id=name) for name in wanted if self.find(name) is None]
            self._served = (*self._served, *new)

    def find(self, name: str) -> ModelFacts | None:
        """The model called ``name``, by its id or by its name without a date, or ``None``."""
        return find_model(name) or next((model for model in self._served if model.id == name), None)

    def page(self, query: Mapping[str, str]) -> Mapping[str, Any]:
        """One page of ``GET /v1/models``; what was named comes first.

        Args:
            query: ``limit`` (1 to 1,000; 20 when left out), ``after_id`` and ``before_id``.

        Raises:
            ValueError: ``limit`` is not such a number, or an id is not known; the message is for the client.
        """
        limit = query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 1_000:
            raise ValueError("limit: Input should be an integer from 1 to 1000")
        models: tuple[ModelFacts, ...] = (*self._served, *MODELS)
        ids = [model.id for model in models]
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
        page = models[first:last][-size:] if backwards else models[first:last][:size]
        return {
            "data": [model.as_dict() for model in page],
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
            "has_more": len(page) < last - first,
        }
