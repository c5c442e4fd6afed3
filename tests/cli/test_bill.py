"""The bill as lines for people."""

from __future__ import annotations

from decimal import Decimal

from promptchain.cli.bill import bill, estimate
from promptchain.ledger import Attempt, Ledger
from promptchain.pricing import Price
from promptchain.usage import Usage

PRICES = {"cheap": Price(input=1, output=5), "dust": Price(input="0.0001", output=0)}


def attempt(
    step: str, usage: Usage, *, model: str = "cheap", number: int = 1, estimated: bool = False
) -> Attempt:
    return Attempt(
        step=step,
        number=number,
        model=model,
        usage=usage,
        estimated=estimated,
        started=0.0,
        seconds=1.26,
        prices=PRICES,
    )


def test_attempts_of_one_step_are_one_line() -> None:
    ledger = Ledger(
        [
            attempt("analyze", Usage(1000, 200)),
            attempt("process", Usage()),
            attempt("process", Usage(2000, 300), number=2),
        ]
    )
    assert bill(ledger, 4.0) == [
        "analyze  cheap              1,000 in  200 out  1.3 s  $0.002000",
        "process  cheap  2 attempts  2,000 in  300 out  2.5 s  $0.003500",
        "total                       3,000 in  500 out  4.0 s  $0.005500",
    ]


def test_cached_tokens_are_input_and_are_told_apart() -> None:
    ledger = Ledger([attempt("ask", Usage(100, 10, cache_read_input_tokens=900))])
    assert bill(ledger, 1.0)[0] == "ask    cheap  1,000 in (900 from cache)  10 out  1.3 s  $0.000240"


def test_an_estimate_is_an_upper_bound_and_says_so() -> None:
    lines = bill(Ledger([attempt("ask", Usage(1000, 200), estimated=True)]), 1.0)
    assert lines[0].endswith("  at most $0.002000")
    assert lines[1].endswith(
        "  at most $0.002000 (estimated: a reply was cut off, and its tokens are an upper bound)"
    )


def test_one_unknown_price_makes_the_total_unknown() -> None:
    lines = bill(Ledger([attempt("a", Usage(1, 1)), attempt("b", Usage(1, 1), model="mystery-1")]), 1.0)
    assert [line.rpartition("  ")[2] for line in lines] == ["$0.000006", "cost unknown", "cost unknown"]


def test_a_cost_below_a_microdollar_is_not_nothing() -> None:
    assert bill(Ledger([attempt("a", Usage(1), model="dust")]), 1.0)[0].endswith("  under $0.000001")


def test_an_estimate_elsewhere_takes_each_step_at_its_own_price() -> None:
    ledger = Ledger(
        [attempt("a", Usage(1000, 0), model="offline"), attempt("b", Usage(0, 1000), model="offline")]
    )
    assert (
        estimate(ledger, {"a": "cheap", "b": "cheap"}) == "on cheap these tokens would cost about $0.006000"
    )
    assert (
        estimate(ledger, {"a": "cheap", "b": "mystery-1"})
        == "what these tokens would cost on cheap, mystery-1 is unknown"
    )
    assert Ledger(ledger).cost == Decimal(0)
