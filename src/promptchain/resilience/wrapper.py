"""What all wrappers of a policy have in common."""

from __future__ import annotations

from promptchain.models.base import Model, announces_requests

__all__ = ["Wrapper"]


class Wrapper:
    """A model that asks another one, under its name. It is made for one reply and then thrown away."""

    __slots__ = ("_model",)

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The name of the model that is asked."""
        return self._model.name

    @property
    def announces_requests(self) -> bool:
        """Whether the model that is asked says when a request leaves."""
        return announces_requests(self._model)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r})"
