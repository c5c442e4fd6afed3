"""A chain stage by stage, those of the chains within it too, each with what it is told from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from promptchain.arguments import Arguments
from promptchain.chain import Chain
from promptchain.models import Model
from promptchain.models.anthropic import AnthropicModel
from promptchain.stage import Stage
from promptchain.step import Step

__all__ = ["Place", "needs_credential", "outline"]


@dataclass(frozen=True, slots=True)
class Place:
    """A stage where it stands.

    Attributes:
        path: As in the ledger: its name, behind the names of the chains around it.
        stage: The stage.
        outer: What the chains around it say of its model calls.
    """

    path: str
    stage: Stage[Any, Any]
    outer: Arguments

    @property
    def model(self) -> Model | None:
        """The model that it asks, if it asks one and one is named."""
        return self.arguments.model if isinstance(self.stage, Step) else None

    @property
    def arguments(self) -> Arguments:
        """What its model calls are made with."""
        return self.stage.arguments.over(self.outer) if isinstance(self.stage, Step) else self.outer


def outline(chain: Chain[Any, Any]) -> Sequence[Place]:
    """Every stage of ``chain`` in the order in which they run; a chain stands before its own stages."""
    return tuple(_walk(chain, Arguments(), ""))


def _walk(chain: Chain[Any, Any], outer: Arguments, prefix: str) -> Iterator[Place]:
    inner = chain.arguments.over(outer)
    for stage in chain.stages:
        path = prefix + stage.name
        yield Place(path, stage, inner)
        if isinstance(stage, Chain):
            yield from _walk(stage, inner, f"{path}/")  # pyright: ignore[reportUnknownArgumentType]


def needs_credential(places: Sequence[Place]) -> Sequence[str]:
    """Names of the models that ask the real API with the environment's credential."""
    models = [place.model for place in places]
    names = [m.name for m in models if isinstance(m, AnthropicModel) and m.uses_environment]
    return tuple(dict.fromkeys(names))
