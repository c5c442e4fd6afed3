"""Budgets: what runs may cost at most, reserved before a request is sent and settled after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any, Final, Self

import pydantic_core

from promptchain.errors import DefinitionError, PromptChainError, UnknownPriceError
from promptchain.holding import Account, Reservation, Turn, exclusive, hold_at_once
from promptchain.messages import ModelRequest
from promptchain.models.base import Model, count_input
from promptchain.pricing import Price, PriceBook, TieredPrice, is_loaded, price_of
from promptchain.usage import Usage

__all__ = ["Budget", "Reservation", "budget_or_none", "current_budgets", "reserve"]

# The API calls its count an estimate.
_MARGIN_PERCENT: Final = 5
_MARGIN_TOKENS: Final = 16


class Budget:
    """What runs may cost at most, in USD, in tokens or both: a request that could cost more is not sent.

    ::

        async with Budget(usd="0.10", name="nightly") as budget:
            await asyncio.gather(*(chain.run(text) for text in texts))

    As a block it holds for every run within it, also in tasks that are started there. Handed to a run it holds for
    that run, and is itself drawn on; a chain makes a new one of it for each run. Where several hold, a request
    needs room in all of them. One budget may be used in several event loops and threads at once.

    Args:
        usd: Most USD; 0 allows what is free of charge.
        tokens: Most tokens, input of every kind and output together.
        name: What errors call it.
        allow_unpriced: Whether a model may be asked whose price is not known, although there is a limit in USD. It
            then counts for ``tokens`` alone, and ``spent_usd`` is a lower bound.

    Attributes:
        account: What is counted, for the use of the library.

    Raises:
        DefinitionError: An argument is not of its kind, or there is no limit.
    """

    def __init__(
        self,
        *,
        usd: Decimal | str | int | None = None,
        tokens: int | None = None,
        name: str | None = None,
        allow_unpriced: bool = False,
    ) -> None:
        if usd is None and tokens is None:
            raise DefinitionError("a budget has a limit: Budget(usd='0.10'), Budget(tokens=50_000) or both.")
        if tokens is not None and (type(tokens) is not int or tokens < 0):
            raise DefinitionError(f"Budget: tokens is a whole number, 0 or more, not {tokens!r}.")
        if not _is_name(name):
            raise DefinitionError(f"Budget: name is a text, not {name!r}.")
        if type(allow_unpriced) is not bool:
            raise DefinitionError(f"Budget: allow_unpriced is True or False, not {allow_unpriced!r}.")
        self._allow_unpriced = allow_unpriced
        exact = None if usd is None else _dollars(usd)
        self.account = Account(usd=exact, tokens=tokens, name=name, whose="of the run")

    @property
    def usd(self) -> Decimal | None:
        """The limit in USD, or ``None``."""
        return self.account.usd

    @property
    def tokens(self) -> int | None:
        """The limit in tokens, or ``None``."""
        return self.account.tokens

    @property
    def name(self) -> str | None:
        """Its name, or ``None``."""
        return self.account.name

    @property
    def allow_unpriced(self) -> bool:
        """Whether a model may be asked whose price is not known."""
        return self._allow_unpriced

    @property
    def spent_usd(self) -> Decimal | None:
        """What is spent, or ``None`` without a limit in USD, as it is then not counted.

        It is the sum of what the attempts in the ledgers cost; an estimated one counts as what was reserved for
        it, where that is less. After a model without a known price (``has_unpriced``) it is a lower bound.
        """
        with exclusive:
            return None if self.usd is None else self.account.spent_usd

    @property
    def reserved_usd(self) -> Decimal | None:
        """What running requests could cost at the most, or ``None`` without a limit in USD."""
        with exclusive:
            return None if self.usd is None else self.account.held_usd

    @property
    def left_usd(self) -> Decimal | None:
        """What is neither spent nor reserved, or ``None`` without a limit in USD."""
        with exclusive:
            return self.account.left_usd

    @property
    def has_unpriced(self) -> bool:
        """Whether a model without a known price was asked, so that ``spent_usd`` is a lower bound."""
        with exclusive:
            return self.account.has_unpriced

    @property
    def spent_tokens(self) -> int:
        """What is spent, counted as ``spent_usd`` is."""
        with exclusive:
            return self.account.spent_tokens

    @property
    def reserved_tokens(self) -> int:
        """What running requests could use at the most."""
        with exclusive:
            return self.account.held_tokens

    @property
    def left_tokens(self) -> int | None:
        """What is neither spent nor reserved, or ``None`` without a limit in tokens."""
        with exclusive:
            return self.account.left_tokens

    def anew(self, whose: str | None = None) -> Budget:
        """A new budget with the same limits, of which nothing is spent.

        Args:
            whose: What errors call it where it has no name, such as ``"of the chain 'answer'"``.
        """
        budget = Budget(usd=self.usd, tokens=self.tokens, name=self.name, allow_unpriced=self.allow_unpriced)
        budget.account.whose = whose or self.account.whose
        return budget

    def __enter__(self) -> Self:
        self.account.whose = "around the run"
        _scopes.set((*_scopes.get(), self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Not by a token: a fixture may leave the block in another context than it came in by.
        scopes = [*_scopes.get()]
        if self in scopes:
            del scopes[-1 - scopes[::-1].index(self)]
            _scopes.set(tuple(scopes))

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        with exclusive:
            named = f" {self.name!r}" if self.name else ""
            return f"<Budget{named}: {self.account.amounts()}>"


_scopes: ContextVar[tuple[Budget, ...]] = ContextVar("promptchain_budgets", default=())


def current_budgets() -> tuple[Budget, ...]:
    """The budgets of the blocks around the caller, the outermost first."""
    return _scopes.get()


def budget_or_none(budget: Any, error: type[PromptChainError]) -> Budget | None:
    """``budget``, seen to be one.

    Raises:
        error: It is something else.
    """
    if budget is None or isinstance(budget, Budget):
        return budget
    raise error(f"budget is a Budget(usd='0.10') or Budget(tokens=50_000), not {budget!r}.")


def _is_name(name: Any) -> bool:
    return name is None or (isinstance(name, str) and bool(name.strip()))


def _dollars(usd: Any) -> Decimal:
    if isinstance(usd, float):
        raise DefinitionError(
            f"Budget: usd={usd!r} is a float, which is no exact sum: write it as a text, usd='{usd}'."
        )
    exact: Decimal | None = None
    if isinstance(usd, Decimal | str | int) and not isinstance(usd, bool):
        try:
            exact = Decimal(usd)
        except InvalidOperation:
            exact = None
    if exact is None or not exact.is_finite() or exact < 0:
        raise DefinitionError(f"Budget: usd is a sum of USD, 0 or more, such as '0.10', not {usd!r}.")
    return exact


async def reserve(
    budgets: Sequence[Budget],
    request: ModelRequest,
    model: Model,
    prices: PriceBook | None,
    *,
    on_wait: Callable[[], None],
) -> Reservation | None:
    """Hold back what ``request`` could cost at the worst, in all of ``budgets`` or in none.

    The input is bounded by its bytes. Only where there is no room for that, ``model`` is asked to count it; and where
    there is room but for what other requests hold, this waits for them, in the order of arrival. Who waits holds
    nothing.

    Args:
        budgets: All that hold, in the order in which errors name them. One that stands there twice is drawn on once.
        request: What will be sent.
        model: Who will be asked.
        prices: Prices of the caller's own.
        on_wait: Called once, before it waits for what other requests hold.

    Returns:
        What is held, to be settled or released; ``None`` where there are no budgets.

    Raises:
        BudgetExceededError: One of them has no room, however little the running requests will have cost.
        UnknownPriceError: One has a limit in USD, and the price is not known.
    """
    if not budgets:
        return None
    accounts = [budget.account for budget in budgets]
    if len(accounts) > 1:
        accounts = list(dict.fromkeys(accounts))
    price = None
    if any(account.usd is not None for account in accounts):
        name = model.name
        if is_loaded(name, prices):
            price = price_of(name, prices=prices)
        else:
            price = await asyncio.to_thread(price_of, name, prices=prices)
        if price is None:
            _refuse_unpriced(budgets, name)
    bound = request.input_bound()
    reservation = _worst(accounts, request, bound, price)
    if hold_at_once(reservation):
        return reservation
    counted = await count_input(model, request)
    if counted is not None:
        read = -(-counted * (100 + _MARGIN_PERCENT) // 100) + _MARGIN_TOKENS
        reservation = _worst(accounts, request, min(bound, read), price)
    await Turn(reservation).wait(on_wait)
    return reservation


def _refuse_unpriced(budgets: Sequence[Budget], model: str) -> None:
    for budget in budgets:
        if budget.usd is not None and not budget.allow_unpriced:
            raise UnknownPriceError(
                f"the price of {model!r} is not known, and the budget {budget.account.called} is in USD, so the "
                f"request was not sent. Say its price, as in Chain(..., prices={{{model!r}: Price(input=1, output=5)}}), "
                "or set a limit in tokens: Budget(tokens=...), with allow_unpriced=True if the one in USD shall stay."
            )


def _worst(
    accounts: Sequence[Account], request: ModelRequest, read: int, price: Price | TieredPrice | None
) -> Reservation:
    written = request.max_tokens
    usd = Decimal(0)
    if price is not None:
        usd = price.cost(Usage(read, written))
        if _marks_cache(request):
            # What is read from the cache or written to it has prices of its own; no mixture costs more than these.
            kinds = Usage(0, written, read), Usage(0, written, 0, read), Usage(0, written, 0, read, read)
            usd = max(usd, *map(price.cost, kinds))
    return Reservation(accounts, read + written, usd, price)


def _marks_cache(request: ModelRequest) -> bool:
    for message in request.messages:
        content = message["content"]
        if not isinstance(content, str) and b'"cache_control":' in pydantic_core.to_json(content):
            return True
    return False
