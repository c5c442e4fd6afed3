"""What is reckoned of the API's limits, against buckets that enforce them, in a time of its own."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from promptchain.messages import ModelRequest, RateLimit, RateLimits
from promptchain.models.rate_headers import rate_limits
from promptchain.reckoning import Reckoning, Sending
from promptchain.testing import TokenBuckets
from promptchain.testing.limits import AccountLimits
from promptchain.testing.validation import Refused
from promptchain.usage import Usage

PLENTY = 1_000_000_000


@dataclass
class World:
    """Clients that send as soon as the reckoning lets them, and an API that enforces its limits.

    Everything takes a random time: the ways there and back, the first token, the writing. Seconds pass as events do.
    """

    limits: TokenBuckets
    seed: int
    ways: tuple[float, float] = (0.01, 0.1)
    thinking: tuple[float, float] = (0.1, 1.0)
    writing: tuple[float, float] = (1.0, 5.0)
    sizes: tuple[int, int] = (50, 4_000)
    outputs: tuple[int, int] = (40, 600)
    cancelled: float = 0.0
    others: float = 0.0
    now: float = 0.0
    asked: int = 0
    refused: int = 0
    ended: int = 0
    last: float = 0.0
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - the same for everybody
        self.api = AccountLimits(self.limits, lambda: self.now)
        self.reckoning = Reckoning()
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queue: deque[tuple[Sending, Usage]] = deque()
        self._timer = math.inf

    def run(self, requests: int) -> None:
        self.asked = requests
        for _ in range(requests):
            size = self._spread(self.sizes)
            request = ModelRequest(messages=[{"role": "user", "content": "x" * size}], max_tokens=4_000)
            usage = Usage(int(size * self.random.uniform(0.2, 0.35)) + 10, self._spread(self.outputs))
            self._queue.append((Sending(request), usage))
        if self.others:
            self._later(0.0, self._other)
        self._advance()
        while self._coming:
            self.now, _, happen = heapq.heappop(self._coming)
            happen()

    @property
    def seconds_needed(self) -> float:
        """What the bucket that runs dry takes to fill with what is missing."""
        needed = {
            "requests": self.asked,
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
        }
        sizes = {name: getattr(self.limits, name) for name in needed}
        return max((needed[name] / size - self.limits.filled) * 60 for name, size in sizes.items() if size)

    def _spread(self, between: tuple[int, int]) -> int:
        return int(math.exp(self.random.uniform(*map(math.log, between))))

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._coming, (self.now + seconds, next(self._order), happen))

    def _on_its_way(self, happen: Callable[[], None]) -> None:
        self._later(self.random.uniform(*self.ways), happen)

    def _advance(self) -> None:
        while self._queue:
            seconds = self.reckoning.seconds(self._queue[0][0], self.now)
            if seconds > 0:
                if self.now + seconds < self._timer:
                    self._timer = self.now + max(seconds, 0.001)
                    self._later(max(seconds, 0.001), self._ring)
                return
            sending, usage = self._queue.popleft()
            self.reckoning.send(sending)
            self._on_its_way(lambda sending=sending, usage=usage: self._arrive(sending, usage))

    def _ring(self) -> None:
        self._timer = math.inf
        self._advance()

    def _other(self) -> None:
        """Somebody else uses the account."""
        with suppress(Refused):
            self.api.admit(100)
        if self.ended < self.asked:
            self._later(self.others, self._other)

    def _arrive(self, sending: Sending, usage: Usage) -> None:
        try:
            self.api.admit(usage.input_tokens)
        except Refused as refused:
            self.refused += 1
            said = _read(refused.headers)
            wait = float(dict(refused.headers)["retry-after"])
            self._on_its_way(lambda: self._sent_away(sending, usage, said, wait))
            return
        self._later(self.random.uniform(*self.thinking), lambda: self._begin(sending, usage))

    def _sent_away(self, sending: Sending, usage: Usage, said: RateLimits | None, wait: float) -> None:
        if said is not None:
            self.reckoning.report(sending, said, self.now)
        self.reckoning.refuse(sending, wait, self.now)
        self.reckoning.end(sending, Usage(), self.now)
        self._queue.appendleft((Sending(sending.request), usage))
        self._advance()

    def _begin(self, sending: Sending, usage: Usage) -> None:
        said = _read(self.api.headers())
        self._on_its_way(lambda: self._started(sending, usage, said))
        seconds = self.random.uniform(*self.writing)
        pieces = 5
        is_cancelled = self.random.random() < self.cancelled
        written = pieces // 2 if is_cancelled else pieces
        for piece in range(1, written + 1):
            share = usage.output_tokens * piece // pieces - usage.output_tokens * (piece - 1) // pieces
            self._later(seconds * piece / pieces, lambda share=share: self.api.write(share))
        tokens = usage.output_tokens * written // pieces
        ended = Usage(usage.input_tokens, tokens)
        self._later(
            seconds * written / pieces + self.ways[1],
            lambda: self._end(sending, ended, estimated=is_cancelled),
        )

    def _started(self, sending: Sending, usage: Usage, said: RateLimits | None) -> None:
        if said is not None:
            self.reckoning.report(sending, said, self.now)
        self.reckoning.start(sending, Usage(usage.input_tokens, 1), self.now)
        self._advance()

    def _end(self, sending: Sending, usage: Usage, *, estimated: bool) -> None:
        self.usage += usage
        self.ended += 1
        self.last = self.now
        told = Usage(usage.input_tokens, 4_000) if estimated else usage
        self.reckoning.end(sending, told, self.now, estimated=estimated)
        self._advance()


def _read(headers: object) -> RateLimits | None:
    assert isinstance(headers, list)
    return rate_limits([(name.encode(), value.encode()) for name, value in headers])


def limits(
    requests: int = 60_000, input_tokens: int = PLENTY, output_tokens: int = PLENTY, filled: float = 0.05
) -> TokenBuckets:
    return TokenBuckets(
        requests=requests, input_tokens=input_tokens, output_tokens=output_tokens, filled=filled
    )


CASES = {
    "requests": limits(requests=600),
    "requests from a full bucket": limits(requests=60, filled=1.0),
    "input": limits(input_tokens=100_000),
    "input of a small account": limits(input_tokens=10_000, filled=0.5),
    "output": limits(output_tokens=60_000),
    "output of a small account": limits(output_tokens=8_000, filled=1.0),
    "all at once": limits(requests=600, input_tokens=150_000, output_tokens=80_000, filled=0.1),
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("case", CASES)
def test_nothing_is_sent_away_and_nine_tenths_of_what_is_allowed_are_used(case: str, seed: int) -> None:
    world = World(CASES[case], seed)
    world.run(700)
    assert world.ended == 700
    assert world.refused == 0
    # Nobody knows how long replies are before the first one has ended, and the last one ends when nothing waits.
    assert world.last - 2 * (world.writing[1] + world.thinking[1]) <= world.seconds_needed / 0.9


@pytest.mark.parametrize("seed", range(2))
def test_replies_that_take_minutes_do_not_hold_up_what_the_bucket_takes_in(seed: int) -> None:
    world = World(limits(output_tokens=60_000, filled=1.0), seed, writing=(60.0, 150.0), outputs=(500, 1_500))
    world.run(800)
    assert world.refused == 0
    assert world.last - world.writing[1] <= world.seconds_needed / 0.75


@pytest.mark.parametrize("seed", range(2))
def test_replies_of_very_different_lengths_are_hardly_ever_sent_away(seed: int) -> None:
    world = World(limits(output_tokens=60_000), seed, outputs=(5, 2_000))
    world.run(700)
    assert world.ended == 700
    assert world.refused <= 7


@pytest.mark.parametrize("seed", range(2))
def test_replies_that_are_cut_teach_nothing_and_lose_nothing_for_long(seed: int) -> None:
    world = World(limits(requests=600, output_tokens=60_000), seed, cancelled=0.3)
    world.run(600)
    assert world.refused == 0
    assert world.last - world.writing[1] - world.thinking[1] <= world.seconds_needed / 0.75


@pytest.mark.parametrize("seed", range(2))
def test_somebody_else_on_the_account_leaves_less_room(seed: int) -> None:
    world = World(limits(requests=600), seed, others=0.5)
    world.run(400)
    assert world.refused <= 4, "nobody can know what others send next"
    assert world.last - 12 <= (400 / 8 - 3) / 0.9, "8 of 10 a second are ours"


@pytest.mark.parametrize("seed", range(2))
def test_a_bucket_in_debt_is_waited_for(seed: int) -> None:
    world = World(limits(output_tokens=1_000, filled=0.1), seed, outputs=(400, 500))
    world.run(12)
    assert world.ended == 12
    assert world.refused <= 8, "the first four were sent in the dark"


def sending(text: str = "x" * 400, max_tokens: int = 100) -> Sending:
    return Sending(ModelRequest(messages=[{"role": "user", "content": text}], max_tokens=max_tokens))


def told(requests: RateLimit | None = None, output: RateLimit | None = None) -> RateLimits:
    return RateLimits(requests=requests, output_tokens=output)


def test_four_are_sent_until_the_first_reply_shows_whether_there_are_limits() -> None:
    reckoning = Reckoning()
    out = [sending() for _ in range(4)]
    for each in out:
        assert reckoning.seconds(each, 0.0) == 0
        reckoning.send(each)
    assert reckoning.seconds(sending(), 0.0) == math.inf
    reckoning.end(out[0], Usage(), 1.0)  # an error says nothing of limits
    reckoning.send(sending())
    assert reckoning.seconds(sending(), 1.0) == math.inf
    reckoning.start(out[1], Usage(7), 2.0)
    assert reckoning.seconds(sending(), 2.0) == 0


def test_limits_that_are_told_late_hold_from_then_on() -> None:
    reckoning = Reckoning(cautious=False)
    first, second = sending(), sending()
    for each in (first, second):
        reckoning.send(each)
    reckoning.start(first, Usage(7), 0.0)
    reckoning.report(second, told(RateLimit(60, 1)), 1.0)
    third = sending()
    assert reckoning.seconds(third, 1.0) == 0
    reckoning.send(third)
    assert reckoning.seconds(sending(), 1.0) == pytest.approx(1.0)
    reckoning.end(third, None, 1.0)
    assert reckoning.seconds(sending(), 1.0) == 0, "it was not sent after all"


def test_what_is_larger_than_the_bucket_goes_when_it_is_full() -> None:
    reckoning = Reckoning()
    first = sending()
    reckoning.send(first)
    reckoning.report(first, told(output=RateLimit(600, 540)), 0.0)
    reckoning.start(first, Usage(7), 0.0)
    large = sending(max_tokens=5_000)
    wait = reckoning.seconds(large, 0.0)
    assert 0 < wait <= 60
    reckoning.end(first, Usage(7, 0), 0.0)
    assert reckoning.seconds(large, 60.0) == 0


def test_a_refusal_keeps_everybody_waiting_and_takes_nothing() -> None:
    reckoning = Reckoning()
    first = sending()
    reckoning.send(first)
    reckoning.report(first, told(RateLimit(60, 0)), 10.0)
    reckoning.refuse(first, 5.0, 10.0)
    reckoning.end(first, Usage(), 10.0)
    assert reckoning.seconds(sending(), 10.0) == pytest.approx(5.0)
    assert reckoning.seconds(sending(), 15.0) == 0
    assert reckoning.in_flight == 0


def test_an_answer_that_is_older_than_what_is_known_changes_nothing() -> None:
    reckoning = Reckoning()
    first, second = sending(), sending()
    for each in (first, second):
        reckoning.send(each)
    for each, remaining in ((second, 1), (first, 50)):
        reckoning.report(each, told(RateLimit(60, remaining)), 0.0)
        reckoning.start(each, Usage(7), 0.0)
    third = sending()
    reckoning.seconds(third, 0.0)
    reckoning.send(third)
    assert reckoning.seconds(sending(), 0.0) > 0
