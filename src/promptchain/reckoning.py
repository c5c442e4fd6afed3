"""The reckoning: what the API's limits have left for requests that have not been sent, sans-IO.

The API tells it with every answer. From there it is reckoned on: what is sent is taken off as it leaves, with an
estimate of its tokens that is put right when they are known.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, TypeAlias

from promptchain.buckets import Average, Bucket
from promptchain.messages import ModelRequest, RateLimits
from promptchain.usage import Usage

__all__ = ["Reckoning", "Sending"]

_UNKNOWN_AT_ONCE: Final = 4  # requests, as long as nobody knows whether there are limits
_PADDING: Final = 1_024  # what input_bound() adds for what it cannot see

_Amounts: TypeAlias = tuple[float, float, float]
_NOTHING: Final[_Amounts] = (0.0, 0.0, 0.0)


class Sending:
    """One request, from when it wants to be sent until it has ended.

    Attributes:
        request: What is sent.
        number: Its place in the order in which requests were sent; 0 before that.
        size: Bytes of its input, as ``input_bound`` has them; 0 until somebody asks.
        taken: Requests, input tokens and output tokens that it takes, as far as is known.
        reported: What the API has said with its answer, until that is used.
        is_seen: Whether the API has surely seen it.
        is_counted: Whether its input is known.
        is_exact: Whether its actual input is in what is left already, as the API told that.
        has_ended: Whether nothing of it is under way any more.
    """

    __slots__ = (
        "has_ended",
        "is_counted",
        "is_exact",
        "is_seen",
        "number",
        "reported",
        "request",
        "size",
        "taken",
    )

    def __init__(self, request: ModelRequest) -> None:
        self.request = request
        self.number = self.size = 0
        self.taken = _NOTHING
        self.reported: RateLimits | None = None
        self.is_seen = self.is_counted = self.is_exact = self.has_ended = False


class Reckoning:
    """What is left of the limits of one account for one model.

    Args:
        cautious: Whether only a few requests are sent at once until the first reply shows if there are limits.
    """

    def __init__(self, *, cautious: bool = True) -> None:
        self._buckets = _buckets()
        self._is_known = False  # some of the limits
        self._is_free = not cautious  # there are none, as far as is known
        self._blocked_until = 0.0
        self._in_flight = 0
        self._writing = 0.0  # output that replies which have begun will yet take
        self._last = self._settled = (
            0  # numbers: of the last one sent, and of the last one whose answer was used
        )
        self._unsettled: deque[Sending] = deque()
        # Input tokens a byte, without a schema and with one, which the bound counts several times over. Too much is
        # given back when the reply begins, and of the output when it ends: so here the margin is smaller.
        self._ratios = {False: Average(margin=4), True: Average(margin=4)}
        self._written = Average(margin=3)

    @property
    def in_flight(self) -> int:
        """Requests that were sent and have not ended."""
        return self._in_flight

    @property
    def _is_open(self) -> bool:
        """Whether there are no limits to reckon with."""
        return self._is_free and not self._is_known

    def seconds(self, sending: Sending, now: float, turns: int = 1) -> float:
        """How long until there is room for ``sending``, and as many like it as make ``turns``; ``inf`` is not known."""
        longest = self._blocked_until - now if self._blocked_until > now else 0.0
        if self._is_known:
            sending.taken = self._needs(sending)
            for bucket, need in zip(self._buckets, sending.taken, strict=True):
                # What has come in since the last time is only looked at where it matters.
                if need * turns > bucket.level and bucket.limit:
                    longest = max(longest, bucket.seconds(need, now, turns))
        elif not self._is_free and self._in_flight >= _UNKNOWN_AT_ONCE:
            return math.inf
        return longest

    def send(self, sending: Sending) -> None:
        """It leaves now, whether there is room or not."""
        self._last += 1
        self._in_flight += 1
        sending.number = self._last
        if self._is_open:
            return
        if not sending.taken[0]:
            sending.taken = self._needs(sending)
        self._unsettled.append(sending)
        for bucket, amount in zip(self._buckets, sending.taken, strict=True):
            bucket.level -= amount
            bucket.unseen += amount
            bucket.after += amount

    def report(self, sending: Sending, limits: RateLimits, now: float) -> None:
        """The API says what is left, with its answer."""
        sending.reported = limits
        self._see(sending)
        # In what it says is the actual input, which is known a moment later. But the first word does not wait.
        if not self._is_known:
            sending.is_exact = True
            self._settle(sending, now)

    def start(self, sending: Sending, usage: Usage, now: float) -> None:
        """The reply begins; ``usage`` has its actual input, or none where that is not known."""
        if self._is_open:
            return
        self._see(sending)
        if usage.total_input_tokens:
            self._count_input(sending, usage)
        if sending.reported is None and not self._is_known and not self._is_free:
            self._set_free()
        self._settle(sending, now)

    def refuse(self, sending: Sending, seconds: float, now: float) -> None:
        """The API does not take it, and nothing else for ``seconds``."""
        self._blocked_until = max(self._blocked_until, now + seconds)
        self._see(sending)
        self._correct(sending, _NOTHING)
        self._settle(sending, now)

    def end(self, sending: Sending, usage: Usage | None, now: float, *, estimated: bool = False) -> None:
        """It has ended, with ``usage``, which is ``estimated`` or actual; ``None`` where it did not leave."""
        self._in_flight -= 1
        if self._is_open and not sending.taken[0]:
            sending.has_ended = True
            return
        self._see(sending)
        if usage is None:
            self._correct(sending, _NOTHING)
        elif not estimated:
            if not sending.is_counted:
                self._count_input(sending, usage)
            if usage.output_tokens:
                self._written.learn(usage.output_tokens)
            requests, fresh, _ = sending.taken
            self._correct(sending, (requests, fresh, float(usage.output_tokens)))
        self._settle(sending, now)
        self._writing -= sending.taken[2]
        sending.has_ended = True
        while self._unsettled and self._unsettled[0].has_ended:
            self._drop_oldest()

    def _needs(self, sending: Sending) -> _Amounts:
        """What ``sending`` is expected to take."""
        size = sending.size
        if not size:
            size = sending.size = max(1, sending.request.input_bound() - _PADDING)
        bound, most = size + _PADDING, sending.request.max_tokens
        ratio, written = self._ratios[sending.request.output_schema is not None], self._written
        return (
            1.0,
            min(bound, max(size * ratio.guess, bound * ratio.doubt)),
            min(most, max(written.guess, most * written.doubt)),
        )

    def _see(self, sending: Sending) -> None:
        if not sending.is_seen:
            sending.is_seen = True
            self._writing += sending.taken[2]
            for bucket, amount in zip(self._buckets, sending.taken, strict=True):
                bucket.unseen -= amount

    def _count_input(self, sending: Sending, usage: Usage) -> None:
        """Put the input right, now that it is known. What is read from the cache takes nothing."""
        fresh = usage.input_tokens + usage.cache_creation_input_tokens
        sending.is_counted = True
        if sending.size and usage.total_input_tokens:
            self._ratios[sending.request.output_schema is not None].learn(fresh / sending.size)
        requests, _, output = sending.taken
        if sending.is_exact:
            sending.taken = (requests, float(fresh), output)
        else:
            self._correct(sending, (requests, float(fresh), output))

    def _correct(self, sending: Sending, amounts: _Amounts) -> None:
        """What was seen takes ``amounts``, other than was expected."""
        if not sending.taken[0]:  # it left while nothing was reckoned, or was refused
            return
        is_settled = sending.number <= self._settled
        for bucket, expected, amount in zip(self._buckets, sending.taken, amounts, strict=True):
            if expected != amount:
                bucket.level += expected - amount
                if not is_settled:
                    bucket.after -= expected - amount
        self._writing += amounts[2] - sending.taken[2]
        sending.taken = amounts

    def _settle(self, sending: Sending, now: float) -> None:
        """Use what the API has said, if it is newer than what is known."""
        limits, sending.reported = sending.reported, None
        if limits is None or sending.number <= self._settled:
            return
        while self._unsettled and self._unsettled[0].number <= sending.number:
            self._drop_oldest()
        self._settled = sending.number
        requests, fresh, output = self._buckets
        if limits.requests is not None:
            requests.told(limits.requests, now)
        if limits.input_tokens is not None:
            fresh.told(limits.input_tokens, now)
        if limits.output_tokens is not None:
            output.told(limits.output_tokens, now, writing=self._writing, own=sending.taken[2])
        self._is_known = True

    def _drop_oldest(self) -> None:
        oldest = self._unsettled.popleft()
        for bucket, amount in zip(self._buckets, oldest.taken, strict=True):
            bucket.after -= amount

    def _set_free(self) -> None:
        """There are no limits, so nothing is reckoned any more, unless some are told later."""
        self._is_free = True
        for sending in self._unsettled:
            sending.taken = _NOTHING
        self._unsettled.clear()
        self._buckets = _buckets()
        self._writing = 0.0


def _buckets() -> tuple[Bucket, Bucket, Bucket]:
    """Of requests, input tokens and output tokens."""
    return Bucket(has_tokens=False), Bucket(), Bucket()
