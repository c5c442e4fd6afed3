"""Fifty workers at once, with faults and cancellations, never spend more than their budget."""

from __future__ import annotations

import runpy
from decimal import Decimal
from pathlib import Path

import pytest

from promptchain.testing import MessagesAPI

# The same as is done for 200 seeds there.
workers_under = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "budget.py"))["workers_under"]
LIMIT = Decimal("0.10")


@pytest.mark.parametrize("seed", range(4))
async def test_the_bill_of_fifty_workers_stays_within_their_budget_which_is_used_up(
    messages_api: MessagesAPI, seed: int
) -> None:
    figures = await workers_under(messages_api, seed)
    assert figures.billed <= figures.spent <= LIMIT
    assert figures.spent >= LIMIT * 9 / 10
    assert figures.held == 0
    assert min(figures.cancelled, figures.failed, figures.done) > 0


async def test_without_trouble_the_budget_says_what_the_bill_says_and_ninety_percent_are_used(
    messages_api: MessagesAPI,
) -> None:
    figures = await workers_under(messages_api, 1, faults=False)
    assert figures.billed == figures.spent
    assert LIMIT * 9 / 10 <= figures.billed <= LIMIT
