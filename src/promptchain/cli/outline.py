"""A chain stage by stage, those of the chains within it too, each with what holds for it and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from promptchain.chain import Chain
from promptchain.functions import FunctionStage
from promptchain.gates import Gate
from promptchain.models import Model
from promptchain.models.anthropic import AnthropicModel
from promptchain.settings import Effective, Layer, Overrides
from promptchain.settings.layers import FIELDS
from promptchain.stage import Stage
from promptchain.step import Step

__all__ = ["Place", "needs_credential", "outline"]


@dataclass(frozen=True, slots=True)
class Place:
    """A stage where it stands.

    Attributes:
        path: As in the ledger: its name, behind the names of the chains around it; empty for the outermost.
        stage: The stage.
        effective: What holds for it, by its code, the chains around it and the settings.
    """

    path: str
    stage: Stage[Any, Any]
    effective: Effective

    @property
    def model(self) -> Model | None:
        """The model that it asks, if it asks one and one is named."""
        return self.effective.arguments.model if isinstance(self.stage, Step) else None

    @property
    def lacks_model(self) -> bool:
        """Whether it asks a model and none is named."""
        return isinstance(self.stage, Step) and self.model is None

    @property
    def fields(self) -> Sequence[str]:
        """What settings can say of it."""
        if isinstance(self.stage, Step):
            return FIELDS
        return ("timeout",) if isinstance(self.stage, FunctionStage) else ()

    @property
    def gates(self) -> Sequence[Gate[Any]]:
        """The gates of its output; of a chain, those of its input."""
        if isinstance(self.stage, Chain):
            return self.stage.input_gates
        return self.stage.gates if isinstance(self.stage, Step | FunctionStage) else ()


def outline(chain: Chain[Any, Any], overrides: Overrides) -> Sequence[Place]:
    """``chain``, then every stage of it in the order in which they run; a chain stands before its own stages."""
    return tuple(_walk(chain, overrides, (), ""))


def _walk(chain: Chain[Any, Any], overrides: Overrides, outer: Sequence[Layer], path: str) -> Iterator[Place]:
    said = (Layer(f"chain {chain.name!r}", chain.arguments), *outer)
    yield Place(path, chain, overrides.effective(path, said))
    for stage in chain.stages:
        inner = f"{path}/{stage.name}" if path else stage.name
        if isinstance(stage, Chain):
            yield from _walk(stage, overrides, said, inner)  # pyright: ignore[reportUnknownArgumentType]
            continue
        own = stage.arguments if isinstance(stage, Step | FunctionStage) else None
        layers = said if own is None else (Layer("step", own), *said)
        yield Place(inner, stage, overrides.effective(inner, layers))


def needs_credential(places: Sequence[Place]) -> Sequence[str]:
    """Names of the models that ask the real API with the environment's credential."""
    models = [place.model for place in places]
    names = [m.name for m in models if isinstance(m, AnthropicModel) and m.uses_environment]
    return tuple(dict.fromkeys(names))
