"""Prices."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptchain import Price, Usage
from promptchain.errors import DefinitionError
from promptchain.models.catalog import KNOWN_MODELS
from promptchain.pricing import cost_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(input_tokens=MILLION), "1"),
        (Usage(output_tokens=MILLION), "5"),
        (Usage(cache_read_input_tokens=MILLION), "0.10"),
        (Usage(cache_creation_input_tokens=MILLION), "1.25"),
        (Usage(cache_creation_input_tokens=MILLION, cache_creation_1h_input_tokens=MILLION), "2"),
        (Usage(input_tokens=1), "0.000001"),
        (Usage(input_tokens=123, output_tokens=45), "0.000348"),
    ],
)
def test_the_published_price_of_haiku_is_exact_in_every_kind_of_token(usage: Usage, dollars: str) -> None:
    assert cost_of(usage, "claude-haiku-4-5", at=NOW) == Decimal(dollars)


def test_published_prices_and_told_ones_agree_on_the_multipliers_of_the_cache() -> None:
    told = {"claude-haiku-4-5": Price(input=1, output=5)}
    usage = Usage(1_001, 503, 707, 909, 303)
    assert cost_of(usage, "claude-haiku-4-5", prices=told) == cost_of(usage, "claude-haiku-4-5", at=NOW)


def test_a_long_prompt_of_haiku_5_5_costs_five_times_as_much_on_every_token() -> None:
    short = cost_of(Usage(100_000, 10), "claude-haiku-5-5", at=NOW)
    long = cost_of(Usage(100_001, 10), "claude-haiku-5-5", at=NOW)
    assert short == Decimal("0.010005")
    assert long == (Decimal(100_001) / 10 + Decimal(10) / 2) * 5 / MILLION


def test_an_unknown_price_is_none_and_never_zero() -> None:
    assert cost_of(Usage(input_tokens=1), "claude-of-tomorrow-9") is None
    assert cost_of(Usage(), "claude-of-tomorrow-9") is None


def test_the_callers_prices_come_before_the_published_ones() -> None:
    prices = {"claude-haiku-4-5": Price(input="0.3", output=7)}
    assert cost_of(Usage(MILLION, MILLION), "claude-haiku-4-5", prices=prices) == Decimal("7.3")
    assert cost_of(Usage(MILLION), "claude-sonnet-4-6", prices=prices, at=NOW) == Decimal(3)


def test_the_offline_model_is_free_unless_the_caller_says_otherwise() -> None:
    usage = Usage(MILLION, MILLION)
    assert cost_of(usage, "offline") == 0
    assert cost_of(usage, "offline", prices={"other": Price(input=1, output=1)}) == 0
    assert cost_of(usage, "offline", prices={"offline": Price(input=1, output=2)}) == 3


def test_a_float_that_slips_in_brings_no_binary_tail() -> None:
    price = Price(input=0.1, output=0.7)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert price.cost(Usage(MILLION, MILLION)) == Decimal("0.8")


def test_each_price_of_the_cache_can_be_told() -> None:
    price = Price(input=100, output=0, cache_read=1, cache_write=2, cache_write_1h=4)
    usage = Usage(
        cache_read_input_tokens=MILLION,
        cache_creation_input_tokens=3 * MILLION,
        cache_creation_1h_input_tokens=MILLION,
    )
    assert price.cost(usage) == 1 + 2 * 2 + 4


def test_a_cost_is_not_rounded() -> None:
    assert Price(input="0.0001", output=0).cost(Usage(input_tokens=1)) == Decimal("0.0000000001")


def test_asking_for_the_price_of_the_offline_model_does_not_load_the_price_list() -> None:
    code = (
        "import sys; from promptchain import Usage; from promptchain.pricing import cost_of\n"
        "cost_of(Usage(1, 1), 'offline'); sys.exit('genai_prices' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("price", ["Infinity", "-Infinity", "NaN", "sNaN"])
def test_a_price_is_finite(price: str) -> None:
    with pytest.raises(DefinitionError, match="no price"):
        Price(input=price, output=1)


@given(
    model=st.sampled_from(KNOWN_MODELS),
    counts=st.lists(st.integers(0, 300_000), min_size=4, max_size=4),
    part=st.floats(0, 1),
)
def test_every_known_model_costs_what_genai_prices_calculates(
    model: str, counts: list[int], part: float
) -> None:
    at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    usage = Usage(*counts, int(counts[3] * part))
    priced = genai_prices.Usage(
        input_tokens=usage.total_input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_input_tokens,
        cache_write_tokens=usage.cache_creation_input_tokens,
        cache_write_1h_tokens=usage.cache_creation_1h_input_tokens,
    )
    try:
        theirs = genai_prices.calc_price(
            priced, model, provider_id="anthropic", genai_request_timestamp=at
        ).total_price
    except LookupError:
        theirs = None
    assert cost_of(usage, model, at=at) == theirs
