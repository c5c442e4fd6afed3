"""What requests hold of budgets, and in which order those are served that wait for room.

All accounts change under one lock, so that a request holds what it needs of all of them, or nothing of any.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Final

from promptchain.errors import BudgetExceededError
from promptchain.pricing import Price, TieredPrice
from promptchain.usage import Usage

__all__ = ["Account", "Reservation", "Turn", "exclusive", "hold_at_once"]

# Sums of money are exact, whatever the context of the thread says.
_EXACT: Final = Context(prec=100)
_add: Final = _EXACT.add
_subtract: Final = _EXACT.subtract
_ZERO: Final = Decimal(0)


@dataclass(slots=True, eq=False, kw_only=True)
class Account:
    """What is counted for one budget. It is read and changed under ``exclusive``.

    Attributes:
        usd: Most USD, or ``None`` for no such limit; then USD are not counted.
        tokens: Most tokens, or ``None``.
        name: The budget's name, or ``None``.
        whose: What errors say where it has none.
        has_unpriced: Whether something was spent in USD that nobody knows.
        queue: The turns that wait for it, the earliest first.
    """

    usd: Decimal | None
    tokens: int | None
    name: str | None
    whose: str
    spent_usd: Decimal = _ZERO
    held_usd: Decimal = _ZERO
    spent_tokens: int = 0
    held_tokens: int = 0
    has_unpriced: bool = False
    queue: list[Turn] = field(default_factory=list["Turn"])

    @property
    def called(self) -> str:
        """How a sentence calls it: ``'nightly'`` in quotes, or ``of the run``."""
        return repr(self.name) if self.name else self.whose

    @property
    def left_usd(self) -> Decimal | None:
        """What is neither spent nor held."""
        if self.usd is None:
            return None
        return max(_ZERO, _subtract(self.usd, _add(self.spent_usd, self.held_usd)))

    @property
    def left_tokens(self) -> int | None:
        """What is neither spent nor held."""
        return None if self.tokens is None else max(0, self.tokens - self.spent_tokens - self.held_tokens)

    def has_room(self, tokens: int, usd: Decimal, *, beside_held: bool = True) -> bool:
        """Whether this much fits beside what is spent, and beside what other requests hold."""
        if self.tokens is not None:
            used = self.spent_tokens + tokens
            if used + (self.held_tokens if beside_held else 0) > self.tokens:
                return False
        if self.usd is not None:
            used_usd = _add(self.spent_usd, usd)
            return (_add(used_usd, self.held_usd) if beside_held else used_usd) <= self.usd
        return True

    def hold(self, tokens: int, usd: Decimal) -> None:
        """Hold this much."""
        self.held_tokens += tokens
        if self.usd is not None:
            self.held_usd = _add(self.held_usd, usd)

    def spend(self, tokens: int, usd: Decimal, *, held_tokens: int, held_usd: Decimal) -> None:
        """Spend this much in the place of what was held for it."""
        self.held_tokens -= held_tokens
        self.spent_tokens += tokens
        if self.usd is not None:
            self.held_usd = _subtract(self.held_usd, held_usd)
            self.spent_usd = _add(self.spent_usd, usd)

    def amounts(self) -> str:
        """Limits, and what is used of them, in plain digits."""
        said: list[str] = []
        if self.usd is not None:
            # A sum of nothing has as many digits as what it was the sum of.
            spent, held = (f"{usd:f}" if usd else "0" for usd in (self.spent_usd, self.held_usd))
            said.append(f"limit USD {self.usd:f}, spent {spent}, held by running requests {held}")
        if self.tokens is not None:
            used = f"spent {self.spent_tokens:,}, held by running requests {self.held_tokens:,}"
            said.append(f"limit {self.tokens:,} tokens, {used}")
        return "; ".join(said)


class Reservation:
    """What one request holds of all its budgets, until it is settled or released.

    Whichever of the two is called first counts; a later call does nothing.

    Attributes:
        accounts: Of the budgets.
        tokens: The most that it could use.
        usd: The most that it could cost; 0 where the price is not known.
    """

    __slots__ = ("_is_open", "_price", "accounts", "tokens", "usd")

    def __init__(
        self, accounts: Sequence[Account], tokens: int, usd: Decimal, price: Price | TieredPrice | None
    ) -> None:
        self.accounts = accounts
        self.tokens = tokens
        self.usd = usd
        self._price = price
        self._is_open = False

    def settle(self, usage: Usage, estimated: bool) -> None:
        """Spend what the request used in the place of what it could have.

        Args:
            usage: As the API reported it, or an upper bound.
            estimated: Whether it is a bound. Then it counts as what was reserved at most.
        """
        tokens = usage.total_tokens
        usd = _ZERO if self._price is None else self._price.cost(usage)
        if estimated:
            tokens, usd = min(tokens, self.tokens), min(usd, self.usd)
        _do(lambda: self.close(tokens, usd))

    def release(self) -> None:
        """Give everything back: nothing was sent."""
        _do(lambda: self.close(0, _ZERO))

    def open(self) -> None:
        """Hold it, under the lock."""
        self._is_open = True
        for account in self.accounts:
            account.hold(self.tokens, self.usd)

    def close(self, tokens: int, usd: Decimal) -> Sequence[Account]:
        """Hold it no longer and spend this much, under the lock; which accounts have changed."""
        if not self._is_open:
            return ()
        self._is_open = False
        for account in self.accounts:
            account.spend(tokens, usd, held_tokens=self.tokens, held_usd=self.usd)
            if tokens and self._price is None and account.usd is not None:
                account.has_unpriced = True
        return self.accounts

    def shortage(self) -> BudgetExceededError | None:
        """What to raise where it would not fit even if no other request held anything."""
        for account in self.accounts:
            if not account.has_room(self.tokens, self.usd, beside_held=False):
                could = f"{self.tokens:,} tokens"
                could = could if account.usd is None else f"USD {self.usd:f} ({could})"
                return BudgetExceededError(
                    f"the budget {account.called} has no room for this request, which was not sent: it could take "
                    f"{could}; {account.amounts()}. Lower max_tokens, or raise the limit.",
                    budget=account.name or account.whose,
                )
        return None


def hold_at_once(reservation: Reservation) -> bool:
    """Hold it if there is room and nobody waits in front."""
    with exclusive:
        for account in reservation.accounts:
            if account.queue or not account.has_room(reservation.tokens, reservation.usd):
                return False
        reservation.open()
        return True


class Turn:
    """A request that waits for room.

    It stands in the queue of each account that once had none for it, until it is decided, and nobody behind it is
    served there before. So what waits for the budget of its run is in nobody's way at one that is around all runs.
    """

    __slots__ = ("_decision", "_loop", "_number", "_queues", "_reservation", "_shortage")

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation
        self._shortage: BudgetExceededError | None = None
        self._number = next(_numbers)
        self._queues: list[Account] = []
        self._loop = asyncio.get_running_loop()
        self._decision: asyncio.Future[None] = self._loop.create_future()

    def __lt__(self, other: Turn) -> bool:
        return self._number < other._number

    async def wait(self, on_wait: Callable[[], None]) -> None:
        """Hold the reservation as soon as it is its turn.

        Args:
            on_wait: Called once, if it cannot be held at once.

        Raises:
            BudgetExceededError: It would not fit even if no other request held anything.
        """
        with exclusive:
            is_decided = self.decide()
        if not is_decided:
            try:
                on_wait()
                await self._decision
            except BaseException:
                _do(self.leave)
                raise
        if self._shortage is not None:
            raise self._shortage

    def decide(self) -> bool:
        """Decide it if that is possible now, with all that it needs or an error; otherwise it stands in line."""
        needed = self._reservation
        self._shortage = needed.shortage()
        if self._shortage is not None:
            return True
        is_blocked = False
        for account in needed.accounts:
            is_behind = bool(account.queue) and account.queue[0] < self
            if is_behind or not account.has_room(needed.tokens, needed.usd):
                is_blocked = True
                if account not in self._queues:
                    insort(account.queue, self)
                    self._queues.append(account)
        if not is_blocked:
            needed.open()
        return not is_blocked

    def step_out(self) -> list[Account]:
        """Out of all queues; whose they were."""
        left, self._queues = self._queues, []
        for account in left:
            account.queue.remove(self)
        return left

    def leave(self) -> list[Account]:
        """Out of all queues, and without what it may hold; which accounts that concerns."""
        return [*self.step_out(), *self._reservation.close(0, _ZERO)]

    def tell(self) -> bool:
        """Wake who waits for the decision; ``False`` where its event loop is gone."""
        try:
            self._loop.call_soon_threadsafe(_wake, self._decision)
        except RuntimeError:
            return False
        return True


def _wake(decision: asyncio.Future[None]) -> None:
    if not decision.done():
        decision.set_result(None)


def _serve(changed: Iterable[Account]) -> None:
    """Decide the turns that wait for ``changed``, in their order, as far as there is room."""
    todo = [account for account in changed if account.queue]
    while todo:
        account = todo.pop()
        while account.queue and (turn := account.queue[0]).decide():
            todo += turn.step_out()
            if not turn.tell():
                todo += turn.leave()


class _Exclusive:
    """The lock. What others wanted to do while it was held is done before and after."""

    def __enter__(self) -> None:
        _lock.acquire()
        if _todo:
            _do_all()

    def __exit__(self, *_: object) -> None:
        _lock.release()
        if _todo:
            _do_when_free()


exclusive: Final = _Exclusive()
_lock = threading.Lock()
_numbers: Final = itertools.count()
_todo: Final[deque[Callable[[], Iterable[Account]]]] = deque()


def _do(change: Callable[[], Iterable[Account]]) -> None:
    """Make a change under the lock, then serve those that wait for the accounts that it names.

    This never waits for the lock: the garbage collector may end a request in the thread that holds it.
    """
    _todo.append(change)
    _do_when_free()


def _do_when_free() -> None:
    while _todo and _lock.acquire(False):  # not blocking; half as dear as by its name
        try:
            _do_all()
        finally:
            _lock.release()


def _do_all() -> None:
    while _todo:
        _serve(_todo.popleft()())


if sys.platform != "win32":
    # A thread that holds the lock does not survive a fork.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
