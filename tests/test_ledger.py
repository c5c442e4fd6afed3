"""The ledger by itself: no socket, no run."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from promptchain import Attempt, Ledger, Price, Usage


def attempt(step: str = "a", *, model: str = "claude-haiku-4-5", **changes: Any) -> Attempt:
    told: dict[str, Any] = {
        "number": 1,
        "usage": Usage(10, 2),
        "estimated": False,
        "started": 1_780_000_000.0,
        "seconds": 0.5,
    }
    return Attempt(step=step, model=model, **told | changes)


def test_a_ledger_is_a_sequence_in_the_order_of_recording() -> None:
    ledger = Ledger()
    first, second = attempt("a"), attempt("b")
    ledger.record(first)
    ledger.record(second)
    assert isinstance(ledger, Sequence)
    assert list(ledger) == [first, second]
    assert (len(ledger), ledger[0], ledger[-1]) == (2, first, second)
    assert ledger[1:] == Ledger([second])
    assert isinstance(ledger[1:], Ledger)


def test_the_total_is_the_sum_over_all_attempts_the_failed_ones_too() -> None:
    ledger = Ledger([attempt(), attempt(error="OverloadedError: busy", usage=Usage(7, 1))])
    assert ledger.usage == Usage(17, 3)
    assert ledger.cost == Decimal(17) / 1_000_000 + Decimal(3) * 5 / 1_000_000


def test_one_unknown_price_makes_the_total_unknown_instead_of_a_sum_of_a_part() -> None:
    assert Ledger([attempt(), attempt(model="nobody-knows")]).cost is None


def test_an_attempt_that_used_nothing_costs_nothing_whatever_the_price() -> None:
    assert attempt(model="nobody-knows", usage=Usage()).cost == 0
    assert Ledger([attempt(model="nobody-knows", usage=Usage())]).cost == 0


def test_an_empty_ledger_costs_nothing() -> None:
    assert Ledger().cost == 0
    assert Ledger().usage == Usage()
    assert not Ledger().estimated


def test_one_estimate_marks_the_whole_ledger() -> None:
    assert Ledger([attempt(), attempt(estimated=True)]).estimated
    assert not Ledger([attempt()]).estimated


def test_the_attempts_of_a_step_are_its_own_and_those_within_it_and_no_namesakes() -> None:
    ledger = Ledger([attempt("draft"), attempt("draft/polish"), attempt("drafts"), attempt("x/draft")])
    assert [a.step for a in ledger.of("draft")] == ["draft", "draft/polish"]


def test_the_price_of_an_attempt_is_that_of_its_own_prices() -> None:
    told = attempt(prices={"claude-haiku-4-5": Price(input=100, output=0)})
    assert told.cost == Decimal(1000) / 1_000_000


def test_an_attempt_is_json_and_its_cost_keeps_every_digit() -> None:
    found = json.loads(json.dumps(attempt().as_dict()))
    assert Decimal(found["cost"]) == Decimal("0.00002")
    assert isinstance(found["cost"], str)
    assert found["usage"]["input_tokens"] == 10
    assert found["error"] is None
    assert json.loads(json.dumps(attempt(model="nobody-knows").as_dict()))["cost"] is None


def test_a_ledger_survives_pickling() -> None:
    ledger = Ledger([attempt(prices={"x": Price(input="1.5", output=2)}), attempt(error="x")])
    again = pickle.loads(pickle.dumps(ledger))  # noqa: S301
    assert again == ledger
    assert again[0].prices == ledger[0].prices


def test_a_ledger_changes_so_it_is_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Ledger())
