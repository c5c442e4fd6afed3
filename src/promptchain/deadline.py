"""Deadlines: until when a run may take, and what it was doing when that passed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Deadline", "Phase"]

Phase: TypeAlias = Literal["queue", "backoff", "first token", "next token", "gate", "stage"]
"""What a run is doing: waiting to be let through (by a limit of the API or a budget), waiting before it asks again,
waiting for the first token or the next one, in a gate, or in anything else of a stage, such as its function."""


@dataclass(slots=True, kw_only=True)
class Deadline:
    """Until when a run may take.

    Attributes:
        seconds: How long it was given.
        at: When that has passed, in the time of the event loop.
    """

    seconds: float
    at: float

    @property
    def left(self) -> float:
        """Seconds until then; below 0 after it."""
        return self.at - asyncio.get_running_loop().time()
