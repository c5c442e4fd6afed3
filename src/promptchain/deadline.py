"""Deadlines: until when a run may take, and what it was doing when that passed."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from promptchain.errors import DeadlineError, PromptChainError

__all__ = ["Deadline", "Phase", "Shares", "refuse_bad_deadline"]

Phase: TypeAlias = Literal["queue", "backoff", "first_token", "next_token", "gate", "stage"]
"""What a run is doing: waiting to be let through (by a limit of the API or a budget), waiting before it asks again,
waiting for the first token or the next one, in a gate, or in anything else of a stage, such as its function."""

_DOING: Final[dict[Phase, str]] = {
    "queue": "while a request waited to be let through",
    "backoff": "while it waited to ask again",
    "first_token": "while it waited for the first token",
    "next_token": "while it waited for the next token",
    "gate": "in a gate",
    "stage": "in the middle of a stage",
}

_LEAST: Final = 0.1
"""The part of a share that an optional stage is worth beginning for, and that is left to a default behind one."""

_MOST: Final = sys.float_info.max


class Shares:
    """Into how many shares a deadline is split for a stage, and how many of them are surely needed.

    Attributes:
        all: How many stages run one after another at most, stages that stand in for others among them.
        required: How many of them run also when every optional one is left out.
    """

    __slots__ = ("all", "required")

    def __init__(self, every: int, required: int) -> None:
        self.all = every
        self.required = required


class Deadline:
    """Until when a run, or a chain within one, may take. Made where that begins, in the task that runs it.

    Attributes:
        seconds: How long it was given.
        at: When that has passed, in the time of the event loop.
        stages: How many stages it is split over.
    """

    __slots__ = ("_before", "_behind", "_limit", "_loop", "_outer", "_task", "at", "seconds", "stages")

    def __init__(
        self, seconds: float, *, stages: int = 1, behind: int = 0, outer: Deadline | None = None
    ) -> None:
        """Begin.

        Args:
            seconds: How long is given, from now.
            stages: How many stages it is split over.
            behind: How many required stages follow that do not count on it, but on ``outer``.
            outer: The deadline around, which is later.
        """
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._before = self._cancellations
        self._outer = outer
        self._behind = behind
        self.seconds = seconds
        self.stages = stages
        self.at = self._loop.time() + seconds
        self._limit = asyncio.timeout_at(self.at)

    @property
    def left(self) -> float:
        """Seconds until then; below 0 after it. May be read in a thread."""
        return self.at - self._loop.time()

    @property
    def limit(self) -> asyncio.Timeout:
        """What cancels the task when it has passed."""
        return self._limit

    @property
    def cause(self) -> Deadline | None:
        """The deadline that has cancelled the task, this or one around; ``None`` where somebody else has, too."""
        if self._outer is None and not self._limit.expired():
            return None  # as mostly
        around = list(self._around())
        for deadline in around:
            if deadline._limit.expired():
                ours = sum(d._limit.expired() and d._task is deadline._task for d in around)
                if deadline._cancellations - deadline._before <= ours:
                    return deadline
        return None

    def error(self, phase: Phase, doing: str = "") -> DeadlineError:
        """That it has passed.

        Args:
            phase: What the run was doing.
            doing: The same in words, where the phase does not say it well.
        """
        return DeadlineError(
            f"the deadline of {self.seconds:g} s has passed {doing or _DOING[phase]}: "
            "allow the run more time, or give it less to do.",
            seconds=self.seconds,
            phase=phase,
        )

    def spare(self, required_after: int, shares: Shares) -> float | None:
        """Seconds that an optional stage may take, or ``None`` where it is not worth to begin.

        Every required stage that is still to come has one share put aside, and so has what stands in for this one:
        a default needs a part of one, to be there in time.

        Args:
            required_after: How many required stages follow in the run.
            shares: Of the optional stage.
        """
        spare = math.inf
        for deadline in self._around():
            share = deadline.seconds / deadline.stages
            aside = required_after - deadline._behind + max(shares.required, _LEAST)
            free = deadline.left - aside * share
            if free < _LEAST * share:
                return None
            spare = min(spare, free)
        return spare

    @property
    def _cancellations(self) -> int:
        return self._task.cancelling() if self._task is not None else 0

    def _around(self) -> Iterator[Deadline]:
        deadline: Deadline | None = self
        while deadline is not None:
            yield deadline
            deadline = deadline._outer

    def __repr__(self) -> str:
        return f"<Deadline of {self.seconds:g} s: {self.left:.3f} s left>"


def refuse_bad_deadline(seconds: object, error: type[PromptChainError]) -> None:
    """Refuse what is no number of seconds above 0; ``None`` is no deadline.

    Raises:
        PromptChainError: It is something else; of the given class.
    """
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _MOST:
        raise error(f"deadline is a number of seconds above 0, not {seconds!r}.")
