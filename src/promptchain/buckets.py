"""What is known of the API's limits: buckets that are reckoned on from what it says, and moving averages."""

from __future__ import annotations

import math
import time
from typing import Final

from promptchain.messages import RateLimit

__all__ = ["Average", "Bucket"]

_MINUTE: Final = 60.0
_ROUNDED: Final = 1_000  # what the API rounds remaining tokens to
_LEAST_DOUBT: Final = 1 / 4**6
_HAIR: Final = 1e-6  # of a token: what sums of floats may be off by


class Bucket:
    """One limit of the API, as far as it is known from here.

    Args:
        has_tokens: Whether it holds tokens: what is left of them is told in thousands, and may be a debt.

    Attributes:
        limit: What it holds when it is full, which is what it takes in within a minute; 0 is not known.
        level: What is left for requests that have not left.
        unseen: What was taken by requests that the API has not answered, and may not have seen.
        after: What was taken by requests that left after the last one whose answer told the level.
    """

    __slots__ = ("_at", "_has_tokens", "after", "level", "limit", "unseen")

    def __init__(self, *, has_tokens: bool = True) -> None:
        self._has_tokens = has_tokens
        self.limit = 0
        self.level = 0.0
        self.unseen = 0.0
        self.after = 0.0
        self._at = 0.0

    def seconds(self, need: float, now: float, turns: int = 1) -> float:
        """How long until there is room for ``need``, so many times over.

        What is larger than the bucket waits until it is full.
        """
        limit = self.limit
        self._refill(now)
        lacking = (min(limit, need)) * turns - self.level
        return lacking * _MINUTE / limit if lacking > _HAIR else 0.0

    def _refill(self, now: float) -> None:
        # A bucket that is full there takes in nothing, until what is on its way arrives.
        level = self.level + (now - self._at) * self.limit / _MINUTE
        most = self.limit - self.unseen
        self.level = min(most, level)
        self._at = now

    def told(self, said: RateLimit, now: float, *, writing: float = 0.0, own: float = 0.0) -> None:
        """Set the level right by what the API says.

        Args:
            said: What it says.
            now: When.
            writing: What will yet be taken by requests that were answered.
            own: The part of it that belongs to the one that this is the answer to.
        """
        low = high = float(said.remaining)
        if self._has_tokens:
            low, high = _bounds(said)
        low -= self.unseen + writing
        high -= self.after + own
        if not self.limit:
            self.level, self._at = low, now
        self.limit = said.limit
        self._refill(now)
        self.level = max(self.level, low)
        self.level = min(self.level, high)


def _bounds(said: RateLimit) -> tuple[float, float]:
    """How many tokens there are at least and at most, where the API says ``said``."""
    low = high = float(said.remaining)
    if said.remaining % _ROUNDED == 0:
        low, high = max(0.0, low - _ROUNDED / 2), high + _ROUNDED / 2
    if said.remaining == 0 and said.reset is not None:
        # It may be in debt, which only the time tells, in whole seconds, that it takes to fill up.
        rate = said.limit / _MINUTE
        depth = max(-float(said.limit), said.limit - (said.reset - time.time()) * rate)
        low, high = min(low, depth), min(high, depth + rate)
    return low, high


class Average:
    """A moving average that is guessed to the safe side, by some mean deviations, as TCP does its timeouts.

    Args:
        margin: How many.

    Attributes:
        guess: What the next value will hardly exceed; ``inf`` as long as there was none.
        doubt: How much of a bound is to be believed nevertheless, from 1 down to 0 with the first values.
    """

    __slots__ = ("_deviation", "_margin", "_mean", "doubt", "guess")

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._mean: float | None = None
        self._deviation = 0.0
        self.guess = math.inf
        self.doubt = 1.0

    def learn(self, value: float) -> None:
        """Take in a value."""
        if self._mean is None:
            self._mean, self._deviation = value, value / 2
        else:
            self._deviation += (abs(value - self._mean) - self._deviation) / 4
            self._mean += (value - self._mean) / 8
        self.guess = self._mean + self._margin * self._deviation
        self.doubt = self.doubt / 4 if self.doubt > _LEAST_DOUBT else 0.0
