"""Timeouts: a model whose silence has an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from promptchain.errors import ModelTimeoutError
from promptchain.messages import ModelEvent, ModelRequest, TextDelta, ThinkingDelta
from promptchain.models import Model
from promptchain.policy import Timeout
from promptchain.resilience.wrapper import Wrapper

__all__ = ["Timed"]


class Timed(Wrapper):
    """Ends a reply that takes longer than ``timeout`` allows.

    Each wait for an event is bounded on its own, so that what a reader of the stream takes is not counted, and
    nothing is cancelled but the wait itself.

    Args:
        model: The model.
        timeout: What is allowed.
        share: Gives the seconds of silence that a deadline leaves to this request, or ``None`` for no bound.
    """

    __slots__ = ("_share", "_timeout")

    def __init__(
        self, model: Model, timeout: Timeout, share: Callable[[], float | None] | None = None
    ) -> None:
        super().__init__(model)
        self._timeout = timeout
        self._share = share

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Pass on the reply.

        Raises:
            ModelTimeoutError: It took too long; ``phase`` says in which way.
        """
        clock = asyncio.get_running_loop().time
        waited = 0.0
        has_begun = False
        async with aclosing(self._model.stream(request)) as events:
            while True:
                phase, seconds = self._most(waited, has_begun=has_begun)
                before = clock()
                limit = asyncio.timeout(seconds)
                try:
                    async with limit:
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    if limit.expired():
                        raise _timed_out(phase, self._timeout) from error
                    raise
                waited += clock() - before
                if isinstance(event, TextDelta | ThinkingDelta):
                    has_begun = True
                yield event

    def _most(self, waited: float, *, has_begun: bool) -> tuple[str, float | None]:
        """Which limit the next wait meets first, and after how many seconds."""
        timeout = self._timeout
        silence = timeout.idle if has_begun else timeout.first_token
        phase = "idle" if has_begun else "first_token"
        if not has_begun and silence is not None:
            silence -= waited
        share = self._share() if self._share is not None else None
        if share is not None and (silence is None or share < silence):
            silence, phase = share, f"share:{phase}"
        for name in ("attempt", "total"):
            whole: float | None = getattr(timeout, name)
            if whole is not None and (silence is None or whole - waited < silence):
                silence, phase = whole - waited, name
        return phase, silence


def _timed_out(phase: str, timeout: Timeout) -> ModelTimeoutError:
    shared, _, phase = phase.rpartition(":")
    what = {
        "total": "the reply took longer than {} in total, with all attempts",
        "attempt": "the reply took longer than {}",
        "first_token": "no first token came within {}",
        "idle": "the reply stopped for longer than {}",
    }[phase]
    if shared:
        return ModelTimeoutError(
            what.format("its share of the deadline"),
            phase=phase,
        )
    return ModelTimeoutError(
        f"{what.format(f'{getattr(timeout, phase):g} s')} (Timeout({phase}=...)).", phase=phase
    )
