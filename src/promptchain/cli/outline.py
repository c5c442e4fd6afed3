"""A chain stage by stage, those of the chains within it too, each with what holds for it and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptchain.chain import Chain
from promptchain.functions import FunctionStage
from promptchain.gates import Gate
from promptchain.judge import JudgeGate
from promptchain.models import Model
from promptchain.models.anthropic import AnthropicModel
from promptchain.settings import Effective, Overrides
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
    def asked(self) -> Mapping[str, Model]:
        """Who is asked here, by the path that is in the ledger: its own model, and those of judges."""
        asked = {self.path: self.model} if self.model is not None else {}
        for gate in self.gates:
            model = self.judge_of(gate)
            if model is not None:
                asked[f"{self.path}/{gate.name}".removeprefix("/")] = model
        return asked

    def judge_of(self, gate: Gate[Any]) -> Model | None:
        """The model that ``gate`` asks, if it asks one and one is named."""
        return gate.arguments.model or self.effective.arguments.model if isinstance(gate, JudgeGate) else None

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
    (around, *_) = chain.places()
    places = [("", chain, around.said), *((place.path, place.stage, place.said) for place in chain.outline)]
    return [Place(path, stage, overrides.effective(path, said)) for path, stage, said in places]


def needs_credential(places: Sequence[Place]) -> Sequence[str]:
    """Names of the models that ask the real API with the environment's credential."""
    models = [model for place in places for model in place.asked.values()]
    names = [m.name for m in models if isinstance(m, AnthropicModel) and m.uses_environment]
    return tuple(dict.fromkeys(names))
