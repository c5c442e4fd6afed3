"""The ledger: every request of a run, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, overload

from promptchain.pricing import PriceBook, cost_of, in_digits, total
from promptchain.usage import Usage

__all__ = ["Attempt", "Ledger"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request that left for a model.

    Attributes:
        step: Path of the step that asked.
        number: 1 for the step's first request, 2 for the next.
        model: Name of the model that was asked.
        usage: Tokens. Where ``estimated``, an upper bound.
        estimated: Whether the API did not report the final usage, because the reply was cut or cancelled.
        started: When the request left, as seconds since the epoch.
        seconds: How long it took until the reply was complete or the attempt failed.
        first_text: Seconds until the first text, or ``None`` when none came.
        stop_reason: Why the model stopped, or ``None`` when it did not get so far.
        error: Why the attempt failed (``"OverloadedError: …"``), or ``None``.
        request_id: The API's id of the request, or ``None`` where it named none.
        prices: The caller's own prices, which ``cost`` looks at first.
    """

    step: str
    number: int
    model: str
    usage: Usage
    estimated: bool
    started: float
    seconds: float
    first_text: float | None = None
    stop_reason: str | None = None
    error: str | None = None
    request_id: str | None = None
    prices: PriceBook | None = field(default=None, repr=False, compare=False)

    @property
    def cost(self) -> Decimal | None:
        """USD, or ``None`` where the model's price is not known. An upper bound where ``estimated``."""
        if self.usage == Usage():
            return Decimal(0)  # nothing was used, whatever the price
        at = datetime.fromtimestamp(self.started, UTC)
        return cost_of(self.usage, self.model, prices=self.prices, at=at)

    def as_dict(self) -> Mapping[str, Any]:
        """The attempt as JSON-ready values; the cost is a string, so that no digit is lost."""
        return {
            "step": self.step,
            "number": self.number,
            "model": self.model,
            "usage": self.usage.as_dict(),
            "cost": in_digits(self.cost),
            "estimated": self.estimated,
            "started": round(self.started, 6),
            "seconds": round(self.seconds, 6),
            "first_text": None if self.first_text is None else round(self.first_text, 6),
            "stop_reason": self.stop_reason,
            "error": self.error,
            "request_id": self.request_id,
        }


class Ledger(Sequence[Attempt]):
    """Every attempt of a run in the order in which they ended, the failed ones too."""

    __slots__ = ("_attempts",)

    def __init__(self, attempts: Sequence[Attempt] = ()) -> None:
        self._attempts = list(attempts)

    def record(self, attempt: Attempt) -> None:
        """Add an attempt that has ended."""
        self._attempts.append(attempt)

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts."""
        return Usage.sum(attempt.usage for attempt in self._attempts)

    @property
    def cost(self) -> Decimal | None:
        """USD of all attempts, or ``None`` when the price of any is not known: never a sum of a part."""
        return total(attempt.cost for attempt in self._attempts)

    @property
    def estimated(self) -> bool:
        """Whether any attempt is an upper bound instead of the API's own count."""
        return any(attempt.estimated for attempt in self._attempts)

    def of(self, step: str) -> Ledger:
        """The attempts of one step, and of the steps within it."""
        return Ledger([a for a in self._attempts if a.step == step or a.step.startswith(f"{step}/")])

    @overload
    def __getitem__(self, index: int) -> Attempt: ...
    @overload
    def __getitem__(self, index: slice) -> Ledger: ...
    def __getitem__(self, index: int | slice) -> Attempt | Ledger:
        return Ledger(self._attempts[index]) if isinstance(index, slice) else self._attempts[index]

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._attempts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ledger) and self._attempts == other._attempts

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        usage = self.usage
        bound = ", estimated" if self.estimated else ""
        return (
            f"<Ledger of {len(self)} attempts: {usage.total_input_tokens:,} tokens in, "
            f"{usage.output_tokens:,} out{bound}>"
        )
