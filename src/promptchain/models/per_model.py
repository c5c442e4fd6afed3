"""What is kept for each model, as its circuit and its limiter are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeAlias
from weakref import ReferenceType, ref

from typing_extensions import TypeVar

from promptchain.models.base import Model, endpoint_of

__all__ = ["PerModel"]

T = TypeVar("T")
_Kept: TypeAlias = dict[tuple[object, ...], T]


class PerModel(Generic[T]):
    """What is kept for models: in common for those that have an endpoint, for any other as long as it lives.

    It has no lock: whoever uses it from several threads brings one, which may be taken again by the thread that
    holds it, as a model may be collected meanwhile.
    """

    def __init__(self) -> None:
        self._common: _Kept[T] = {}
        # By identity: a model may be equal to another one, or have no hash.
        self._own: dict[int, tuple[ReferenceType[Model], _Kept[T]]] = {}

    def __iter__(self) -> Iterator[T]:
        kept = (self._common, *(own for _, own in tuple(self._own.values())))
        return iter([each for one in kept for each in one.values()])

    def of(self, model: Model) -> _Kept[T]:
        """Where what is kept for ``model`` is, or is to be put, under a key that begins with ``key(model)``."""
        if endpoint_of(model) is not None:
            return self._common
        number = id(model)
        if number not in self._own:
            forget = self._own.pop
            try:
                self._own[number] = (ref(model, lambda _: forget(number, None)), {})
            except TypeError:  # its class has slots, and none for this: it cannot be seen when it is gone
                return self._common
        return self._own[number][1]

    @staticmethod
    def key(model: Model) -> tuple[object, str]:
        """What tells apart those that have something in common: the endpoint, or else the class, and the name."""
        return (endpoint_of(model) or type(model), model.name)
