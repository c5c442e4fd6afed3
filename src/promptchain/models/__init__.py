"""Models: what answers a step's request."""

from __future__ import annotations

import inspect
from functools import lru_cache

from promptchain.errors import DefinitionError
from promptchain.fields import shown
from promptchain.models.anthropic import AnthropicModel
from promptchain.models.base import Model, complete, renamed
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
    "in_place_of",
    "model_named",
    "model_of",
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


def in_place_of(replaced: Model, named: Model) -> Model | None:
    """Who is asked when a name takes the place of a chain's own model.

    The name is asked for where that model is: with its client, its key and its address. The stand-in for
    ``"offline"`` stands for itself, and in its own place for any model.

    Args:
        replaced: The chain's own model.
        named: What the name stands for.

    Returns:
        ``None`` where the chain's own model cannot be asked by another name.
    """
    if isinstance(named, OfflineModel) or isinstance(replaced, OfflineModel):
        return named
    return renamed(replaced, named.name)
