"""The bill: a ledger as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from promptchain.ledger import Attempt, Ledger
from promptchain.pricing import cost_of
from promptchain.result import Degraded

__all__ = ["bill", "degradation", "estimate"]

_MICRODOLLAR = Decimal("0.000001")


def bill(ledger: Ledger, seconds: float) -> Sequence[str]:
    """A line for each step that asked a model, and one for the whole.

    Args:
        ledger: Every attempt.
        seconds: How long the whole took.
    """
    steps = dict.fromkeys(attempt.step for attempt in ledger)
    rows = [_row(step, Ledger([a for a in ledger if a.step == step])) for step in steps]
    rows.append(("total", "", "", *_amounts(ledger), f"{seconds:.1f} s", _money(ledger)))
    if ledger.estimated:
        last = "estimated: a reply was cut off, and its tokens are an upper bound"
        rows[-1] = (*rows[-1][:-1], f"{rows[-1][-1]} ({last})")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_line(row, widths) for row in rows]


def estimate(ledger: Ledger, models: Mapping[str, str]) -> str:
    """What the tokens of ``ledger`` would have cost elsewhere, in words.

    Args:
        ledger: Attempts of a stand-in.
        models: Name of the model that each step would have asked, by the step's path.
    """
    asked = [attempt for attempt in ledger if attempt.step in models]
    costs = [cost_of(a.usage, models[a.step], prices=a.prices) for a in asked]
    known = [cost for cost in costs if cost is not None]
    names = ", ".join(dict.fromkeys(models[a.step] for a in asked))
    if len(known) < len(costs):
        return f"what these tokens would cost on {names} is unknown"
    return f"on {names} these tokens would cost about {_usd(sum(known, Decimal(0)))}"


def degradation(degraded: Degraded) -> str:
    """What stands in for an optional step, and why."""
    instead = "its default stands in" if degraded.by == "default" else f"{degraded.by} stands in"
    return f"{degraded.step}: degraded, {instead}: {degraded.reason}"


def _row(step: str, attempts: Ledger) -> tuple[str, ...]:
    models = "+".join(dict.fromkeys(attempt.model for attempt in attempts))
    tries = f"{len(attempts)} attempts" if len(attempts) > 1 else ""
    took = sum(attempt.seconds for attempt in attempts)
    return (step, models, tries, *_amounts(attempts), f"{took:.1f} s", _money(attempts))


def _amounts(attempts: Sequence[Attempt]) -> tuple[str, str]:
    usage = Ledger(attempts).usage
    read = usage.cache_read_input_tokens
    cached = f" ({read:,} from cache)" if read else ""
    return f"{usage.total_input_tokens:,} in{cached}", f"{usage.output_tokens:,} out"


def _money(ledger: Ledger) -> str:
    if ledger.cost is None:
        return "cost unknown"
    return f"at most {_usd(ledger.cost)}" if ledger.estimated else _usd(ledger.cost)


def _usd(cost: Decimal) -> str:
    if cost == 0:
        return "$0"
    return f"${cost:,.6f}" if cost >= _MICRODOLLAR else "under $0.000001"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    # Names to the left, numbers to the right; what follows a cost has nothing to line up with.
    cells = [
        cell.ljust(width) if index < 3 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row[:-1], widths[:-1], strict=True))
        if width
    ]
    return "  ".join([*cells, row[-1]])
