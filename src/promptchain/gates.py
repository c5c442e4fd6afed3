"""Gates: checks that a value must pass before the chain goes on with it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Generic, cast

from typing_extensions import TypeVar

from promptchain.errors import DefinitionError, GateCrashedError

__all__ = ["Gate"]

# Without a default, which mypy would put in place of what a lambda is handed.
T_contra = TypeVar("T_contra", contravariant=True)


class Gate(Generic[T_contra]):
    """A check of a value: it passes, or it blocks the run.

    Args:
        predicate: Takes the value and returns ``True`` to let it pass, ``False`` to block it. It may be
            ``async``. A synchronous one runs on the event loop, so it should be quick.
        reason: What a blocked value did not meet, as the error says it: ``"the intent must be stated"``.
        name: Name in events and errors; left out, the predicate's, or the reason for a lambda.

    Raises:
        DefinitionError: The predicate cannot be called, or the reason is empty.
    """

    def __init__(
        self,
        predicate: Callable[[T_contra], bool | Awaitable[bool]],
        reason: str,
        *,
        name: str | None = None,
    ) -> None:
        if not callable(predicate):
            raise DefinitionError(f"a gate takes a function of the value, not {predicate!r}.")
        if not str(reason or "").strip():
            raise DefinitionError("a gate needs a reason: what a blocked value did not meet.")
        own_name = getattr(predicate, "__name__", "<lambda>")
        self._predicate = predicate
        self.reason = reason
        self.name = name or (reason if own_name == "<lambda>" else own_name)

    async def allows(self, value: T_contra) -> bool:
        """Judge ``value``.

        Raises:
            GateCrashedError: The predicate raised, or returned neither ``True`` nor ``False``.
        """
        try:
            answer = self._predicate(value)
            verdict = cast("object", await answer if inspect.isawaitable(answer) else answer)
        except (Exception, SystemExit) as error:
            raise GateCrashedError(
                f"the gate {self.name!r} crashed instead of judging: {type(error).__name__}: {error}",
                gate=self.name,
                value=value,
            ) from error
        if not isinstance(verdict, bool):
            raise GateCrashedError(
                f"the gate {self.name!r} returned {verdict!r} instead of True or False.",
                gate=self.name,
                value=value,
            )
        return verdict

    def __repr__(self) -> str:
        return f"Gate({self.name!r})"
