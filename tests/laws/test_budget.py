"""Laws of budgets: never above a limit, nothing left behind, and the order does not matter."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptchain.budget import Budget, Reservation, reserve
from promptchain.errors import BudgetExceededError
from promptchain.messages import ModelRequest
from promptchain.models import ScriptedModel
from promptchain.pricing import Price
from promptchain.usage import Usage

NAME = "claude-haiku-4-5"


class Uncounting(ScriptedModel):
    count_tokens = None  # type: ignore[assignment] # pyright: ignore


def asking(max_tokens: int) -> ModelRequest:
    return ModelRequest(messages=({"role": "user", "content": "x"},), max_tokens=max_tokens)


BOUND = asking(0).input_bound()

limits = st.tuples(
    st.one_of(st.none(), st.integers(0, 60_000).map(lambda n: Decimal(n) / 1_000_000)),
    st.one_of(st.none(), st.integers(0, 30_000)),
).filter(lambda pair: pair != (None, None))
parts = st.integers(0, 100)
# Which of three budgets, how many tokens of output at most, how much of input and output is used in percent, how it
# ends, and after how many turns of the event loop it does.
jobs = st.lists(
    st.tuples(
        st.sets(st.integers(0, 2), min_size=1),
        st.integers(0, 4_000),
        parts,
        parts,
        st.sampled_from(["reported", "estimated", "unsent", "cancelled", "cancelled early"]),
        st.integers(0, 6),
    ),
    max_size=25,
)


def within_limits(budgets: list[Budget]) -> bool:
    return all(
        (b.usd is None or b.account.spent_usd + b.account.held_usd <= b.usd)
        and (b.tokens is None or b.account.spent_tokens + b.account.held_tokens <= b.tokens)
        and min(b.account.held_usd, b.account.held_tokens) >= 0
        for b in budgets
    )


@given(st.lists(limits, min_size=3, max_size=3), jobs)
def test_however_requests_overlap_and_end_no_limit_is_passed_and_nothing_is_left_behind(
    said: list[tuple[Decimal | None, int | None]],
    work: list[tuple[set[int], int, int, int, str, int]],
) -> None:
    budgets = [Budget(usd=usd, tokens=tokens) for usd, tokens in said]
    spent = [Usage() for _ in budgets]

    async def job(which: set[int], written: int, share_in: int, share_out: int, end: str, turns: int) -> None:
        request = asking(written)
        try:
            reservation = await reserve(
                [budgets[i] for i in sorted(which)],
                request,
                Uncounting(name=NAME),
                None,
                on_wait=lambda: None,
            )
        except BudgetExceededError:
            return
        finally:
            assert within_limits(budgets)
        assert reservation is not None
        usage = Usage(BOUND * share_in // 100, written * share_out // 100)
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            end = "estimated"
            raise
        finally:
            if end == "unsent":
                reservation.release()
                usage = Usage()
            else:
                reservation.settle(usage, end == "estimated")
            for i in which:
                spent[i] += usage
            assert within_limits(budgets)

    async def all_of_them() -> None:
        tasks = list[asyncio.Task[None]]()
        for which, written, share_in, share_out, end, turns in work:
            task = asyncio.create_task(job(which, written, share_in, share_out, end, turns))
            tasks.append(task)
            if end == "cancelled early":
                asyncio.get_running_loop().call_soon(task.cancel)
            elif end == "cancelled":
                await asyncio.sleep(0)
                asyncio.get_running_loop().call_soon(task.cancel)
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        assert all(error is None or isinstance(error, asyncio.CancelledError) for error in done)

    asyncio.run(all_of_them())
    for budget, usage in zip(budgets, spent, strict=True):
        assert (budget.reserved_tokens, budget.account.held_usd, budget.account.queue) == (0, 0, [])
        assert budget.spent_tokens == usage.total_tokens
        if budget.usd is not None:
            assert budget.spent_usd == Decimal(usage.input_tokens + 5 * usage.output_tokens) / 1_000_000


@given(
    st.lists(st.tuples(st.integers(0, 500), parts, parts, st.booleans()), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.decimals("0.0000001", "100", allow_nan=False, places=9),
)
def test_the_order_in_which_requests_are_settled_does_not_matter(
    work: list[tuple[int, int, int, bool]], random: object, price: Decimal
) -> None:
    prices = {NAME: Price(input=price, output=price * 3)}

    async def spend(order: list[int]) -> tuple[Decimal | None, int]:
        budget = Budget(usd=1_000_000, tokens=10**9)
        open_ = list[Reservation]()
        for written, *_ in work:
            held = await reserve(
                [budget], asking(written), ScriptedModel(name=NAME), prices, on_wait=lambda: None
            )
            assert held is not None
            open_.append(held)
        for i in order:
            written, share_in, share_out, estimated = work[i]
            usage = Usage(BOUND * share_in // 100, written * share_out // 100)
            open_[i].settle(usage, estimated)
        assert (budget.reserved_usd, budget.reserved_tokens) == (0, 0)
        return budget.spent_usd, budget.spent_tokens

    order = list(range(len(work)))
    first = asyncio.run(spend(order))
    random.shuffle(order)  # type: ignore[attr-defined] # pyright: ignore
    assert asyncio.run(spend(order)) == first


@given(limits, st.integers(0, 5_000))
def test_what_fits_is_held_and_what_does_not_is_refused(
    said: tuple[Decimal | None, int | None], written: int
) -> None:
    usd, tokens = said
    budget = Budget(usd=usd, tokens=tokens)
    costs = Decimal(BOUND + 5 * written) / 1_000_000
    fits = (usd is None or costs <= usd) and (tokens is None or BOUND + written <= tokens)

    async def ask() -> Reservation | None:
        return await reserve([budget], asking(written), Uncounting(name=NAME), None, on_wait=lambda: None)

    if fits:
        held = asyncio.run(ask())
        assert held is not None
        assert (held.tokens, budget.reserved_tokens) == (BOUND + written, BOUND + written)
    else:
        with pytest.raises(BudgetExceededError):
            asyncio.run(ask())
        assert budget.reserved_tokens == 0
