"""Models: what answers a step's request."""

from __future__ import annotations

from functools import lru_cache

from promptchain.errors import DefinitionError
from promptchain.models.anthropic import AnthropicModel
from promptchain.models.base import Model, complete
from promptchain.models.offline import OfflineModel
from promptchain.models.schema_in_prompt import SchemaInPrompt
from promptchain.models.scripted import Scripted, ScriptedModel

__all__ = [
    "AnthropicModel",
    "Model",
    "OfflineModel",
    "SchemaInPrompt",
    "Scripted",
    "ScriptedModel",
    "complete",
    "model_named",
]


@lru_cache(maxsize=256)
def model_named(name: str) -> Model:
    """The model that a name stands for: a Claude model, or the stand-in for ``"offline"``.

    Raises:
        DefinitionError: The name is blank, or has a space or a control character.
    """
    if not name or not name.isprintable() or " " in name:
        raise DefinitionError(
            f"{name!r} cannot be the name of a model; an example of one is 'claude-haiku-4-5'."
        )
    if name == OfflineModel.name:
        return OfflineModel()
    return AnthropicModel(name)
