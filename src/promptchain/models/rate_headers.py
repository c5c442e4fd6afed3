"""The headers ``anthropic-ratelimit-*``: what the API says of its limits with every answer."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from promptchain.messages import RateLimit, RateLimits

__all__ = ["rate_limits"]

_PREFIX: Final = b"anthropic-ratelimit-"
_CLOCK_SECONDS: Final = 2.0  # the API's times are whole seconds, and an answer takes a while


def rate_limits(headers: Sequence[tuple[bytes, bytes]]) -> RateLimits | None:
    """What ``headers`` say of the limits of the API, or ``None`` where they say nothing that can be read.

    Args:
        headers: Names, in whatever case, and values.
    """
    said: dict[bytes, bytes] = {}
    date = b""
    for name, value in headers:
        lowered = name.lower()
        if lowered.startswith(_PREFIX):
            said[lowered[len(_PREFIX) :]] = value
        elif lowered == b"date":
            date = value
    if not said:
        return None
    ahead = _clock_ahead(date)
    limits = RateLimits(
        requests=_limit(said, b"requests", ahead),
        input_tokens=_limit(said, b"input-tokens", ahead),
        output_tokens=_limit(said, b"output-tokens", ahead),
    )
    return None if limits == _NOTHING else limits


_NOTHING: Final = RateLimits()


def _limit(said: dict[bytes, bytes], name: bytes, ahead: float) -> RateLimit | None:
    try:
        limit, remaining = int(said[name + b"-limit"]), int(said[name + b"-remaining"])
    except (KeyError, ValueError):
        return None
    if limit < 1:
        return None
    try:
        reset = datetime.fromisoformat(said[name + b"-reset"].decode()).timestamp() - ahead
    except (KeyError, ValueError, OverflowError):
        return RateLimit(limit, remaining)
    return RateLimit(limit, remaining, reset)


def _clock_ahead(date: bytes) -> float:
    """Seconds that the clock of the API is ahead of ours, as far as it matters."""
    then = _seconds(date)
    ahead = 0.0 if then is None else then - time.time()
    return ahead if abs(ahead) > _CLOCK_SECONDS else 0.0


@lru_cache(maxsize=8)
def _seconds(date: bytes) -> float | None:
    # All answers of one second have one date, and to read it takes longer than all the rest.
    try:
        return email.utils.parsedate_to_datetime(date.decode()).timestamp()
    except (ValueError, OverflowError):
        return None
