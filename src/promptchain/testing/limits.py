"""Rate limits of the simulated API: token buckets that fill up little by little, for each key and model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Final

from promptchain.testing.validation import Refused

__all__ = ["PLENTY", "AccountLimits", "RateLimiter", "TokenBuckets"]

_MINUTE: Final = 60.0
_ROUNDED: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBuckets:
    """Limits a minute, as Anthropic has them: each is a bucket that holds a minute's worth.

    It fills up with a sixtieth of that a second. A request that finds a bucket empty is answered with 429. Of the
    input, what is read from the prompt cache does not count; of the output, what is written counts, as it is
    written, whatever ``max_tokens`` is.

    Attributes:
        requests: Requests a minute; ``None`` limits none, and leaves out its headers.
        input_tokens: Input tokens a minute; ``None`` as above.
        output_tokens: Output tokens a minute; ``None`` as above.
        filled: How full the buckets are for the first request, 0 to 1, so that a test need not drain them.
    """

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    filled: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if field.name != "filled" and limit is not None and (type(limit) is not int or limit < 1):
                raise ValueError(f"{field.name} is a whole number a minute from 1, or None, not {limit!r}")
        if not 0 <= self.filled <= 1:
            raise ValueError(f"filled is a part of 1, from 0 to 1, not {self.filled!r}")


PLENTY: Final = TokenBuckets(requests=600_000, input_tokens=1_000_000_000, output_tokens=1_000_000_000)
"""More than anybody asks of a simulation: its headers are there, and nobody is turned away."""


class _Bucket:
    def __init__(self, name: str, limit: int, level: float, now: float) -> None:
        self.name = name
        self.limit = limit
        self.level = level
        self._at = now

    @property
    def is_of_tokens(self) -> bool:
        return self.name != "requests"

    @property
    def remaining(self) -> int:
        """As the headers say it: of tokens only the thousands."""
        left = math.floor(max(0.0, self.level))
        return min(self.limit, round(left / _ROUNDED) * _ROUNDED) if self.is_of_tokens else left

    def refill(self, now: float) -> None:
        self.level = min(self.limit, self.level + (now - self._at) * self.limit / _MINUTE)
        self._at = now

    def seconds_until(self, level: float) -> float:
        return max(0.0, level - self.level) * _MINUTE / self.limit


class AccountLimits:
    """What one key may ask of one model.

    Args:
        limits: The sizes of the buckets.
        clock: Seconds that never go back.
    """

    def __init__(self, limits: TokenBuckets, clock: Callable[[], float]) -> None:
        self._clock = clock
        sizes = {
            "requests": limits.requests,
            "input-tokens": limits.input_tokens,
            "output-tokens": limits.output_tokens,
        }
        now = clock()
        self._buckets = {
            name: _Bucket(name, size, size * limits.filled, now) for name, size in sizes.items() if size
        }

    def admit(self, input_tokens: int) -> None:
        """Take a request and its input out of the buckets.

        Args:
            input_tokens: Those that are not read from the cache.

        Raises:
            Refused: 429, as there is no room for it now. Nothing was taken.
        """
        self._refill()
        # Of the output nobody knows how much it will be, so there only has to be some.
        needs = {"requests": 1.0, "input-tokens": float(input_tokens), "output-tokens": 1.0}
        for name, bucket in self._buckets.items():
            has_room = bucket.level > 0 if name == "output-tokens" else bucket.level >= needs[name]
            if not has_room:
                raise self._refusal(bucket, bucket.seconds_until(needs[name]))
        self._take("requests", 1)
        self._take("input-tokens", input_tokens)

    def write(self, tokens: int) -> None:
        """Take output out of its bucket, which may leave it in debt."""
        self._refill()
        self._take("output-tokens", tokens)

    def headers(self) -> list[tuple[str, str]]:
        """The ``anthropic-ratelimit-*`` headers, as of now."""
        self._refill()
        return [header for bucket in self._shown() for header in self._headers_of(*bucket)]

    def _refill(self) -> None:
        now = self._clock()
        for bucket in self._buckets.values():
            bucket.refill(now)

    def _take(self, name: str, amount: int) -> None:
        if name in self._buckets:
            self._buckets[name].level -= amount

    def _shown(self) -> Iterator[tuple[str, _Bucket]]:
        yield from self._buckets.items()
        tokens = [bucket for bucket in self._buckets.values() if bucket.is_of_tokens]
        if tokens:
            yield "tokens", min(tokens, key=lambda bucket: bucket.level)

    def _headers_of(self, name: str, bucket: _Bucket) -> list[tuple[str, str]]:
        full = math.ceil(time.time() + bucket.seconds_until(bucket.limit))
        return [
            (f"anthropic-ratelimit-{name}-limit", str(bucket.limit)),
            (f"anthropic-ratelimit-{name}-remaining", str(bucket.remaining)),
            (f"anthropic-ratelimit-{name}-reset", f"{datetime.fromtimestamp(full, UTC):%Y-%m-%dT%H:%M:%SZ}"),
        ]

    def _refusal(self, bucket: _Bucket, seconds: float) -> Refused:
        kind = bucket.name.replace("-", " ")
        # Upwards, so that who waits for as long finds room.
        wait = ("retry-after", f"{math.ceil(seconds * 1_000) / 1_000}")
        return Refused(
            429,
            "rate_limit_error",
            f"This request would exceed your organization's rate limit of {bucket.limit:,} {kind} per minute.",
            [wait, *self.headers()],
        )


class RateLimiter:
    """The limits of every key and model.

    Args:
        limits: What each of them may ask.
        clock: Seconds that never go back.
    """

    def __init__(self, limits: TokenBuckets, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._accounts: dict[tuple[str, str], AccountLimits] = {}

    def of(self, key: str, model: str) -> AccountLimits:
        """The limits of ``key`` for ``model``; they begin with the first request."""
        account = self._accounts.get((key, model))
        if account is None:
            account = self._accounts[key, model] = AccountLimits(self.limits, self._clock)
        return account
