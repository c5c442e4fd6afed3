"""What the commands ask of a chain as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from promptchain.chain import Chain
from promptchain.models.anthropic import AnthropicModel
from promptchain.places import Held, ModelCall
from promptchain.settings import Overrides

__all__ = ["calls_of", "needs_credential", "outline"]


def outline(chain: Chain[Any, Any], overrides: Overrides) -> Sequence[Held]:
    """``chain``, then every stage of it in the order in which they run; a chain stands before its own stages."""
    return [place.held(overrides) for place in chain.outline]


def calls_of(places: Sequence[Held]) -> Iterator[ModelCall]:
    """The model calls that they lead to."""
    for place in places:
        yield from place.calls


def needs_credential(places: Sequence[Held]) -> Sequence[str]:
    """Names of the models that ask the real API with the environment's credential."""
    models = [call.model for call in calls_of(places)]
    names = [m.name for m in models if isinstance(m, AnthropicModel) and m.uses_environment]
    return tuple(dict.fromkeys(names))
