"""What tokens cost, in USD. The prices are those of ``genai-prices``; the caller's own come first."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeAlias

from promptchain.errors import DefinitionError
from promptchain.usage import Usage

__all__ = ["Price", "PriceBook", "TieredPrice", "cost_of", "in_digits", "is_loaded", "price_of", "total"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Price of a model, each in USD per million tokens.

    Attributes:
        input: Fresh input.
        output: Output, thinking included.
        cache_read: Input read from the cache; left out, a tenth of ``input``.
        cache_write: Input written to the cache for five minutes; left out, 1.25 times ``input``.
        cache_write_1h: Input written to the cache for an hour; left out, twice ``input``.

    Raises:
        DefinitionError: One is no finite number, or below 0.
    """

    input: Decimal | str | int
    output: Decimal | str | int
    cache_read: Decimal | str | int | None = None
    cache_write: Decimal | str | int | None = None
    cache_write_1h: Decimal | str | int | None = None

    def __post_init__(self) -> None:
        for part in fields(self):
            price = getattr(self, part.name)
            if price is not None and not _is_price(price):
                raise DefinitionError(
                    f"{part.name}={price!r} is no price: USD per million tokens, 0 or more."
                )

    def cost(self, usage: Usage) -> Decimal:
        """USD for ``usage``, exact."""
        base = _exact(self.input)
        cost = base * usage.input_tokens + _exact(self.output) * usage.output_tokens
        if not (usage.cache_read_input_tokens or usage.cache_creation_input_tokens):
            return cost / 1_000_000
        read = base / 10 if self.cache_read is None else _exact(self.cache_read)
        write = base * 5 / 4 if self.cache_write is None else _exact(self.cache_write)
        write_1h = base * 2 if self.cache_write_1h is None else _exact(self.cache_write_1h)
        written_5m = usage.cache_creation_input_tokens - usage.cache_creation_1h_input_tokens
        return (
            cost
            + read * usage.cache_read_input_tokens
            + write * written_5m
            + write_1h * usage.cache_creation_1h_input_tokens
        ) / 1_000_000


def _is_price(price: Decimal | str | int) -> bool:
    try:
        exact = _exact(price)
    except InvalidOperation:
        return False
    return exact.is_finite() and exact >= 0


def _exact(price: Decimal | str | int) -> Decimal:
    # Through str, as a float that slipped in would bring its binary tail along.
    return price if isinstance(price, Decimal) else Decimal(str(price))


PriceBook: TypeAlias = Mapping[str, Price]
"""Prices by model name, as a chain takes them in ``prices=``."""

_FREE: PriceBook = {"offline": Price(input=0, output=0)}


def cost_of(
    usage: Usage, model: str, *, prices: PriceBook | None = None, at: datetime | None = None
) -> Decimal | None:
    """USD for ``usage`` on ``model``, or ``None`` where its price is not known.

    Args:
        usage: The tokens.
        model: Name of the model, as in a request.
        prices: Prices of the caller's own, which come first.
        at: When the request was made, as prices change; left out, now.
    """
    price = price_of(model, prices=prices, at=at)
    return None if price is None else price.cost(usage)


def price_of(
    model: str, *, prices: PriceBook | None = None, at: datetime | None = None
) -> Price | TieredPrice | None:
    """The price that ``cost_of`` calculates with, or ``None`` where it is not known."""
    told = _told(model, prices)
    if told is not None:
        return told
    # Prices change on a day, so they are looked up once an hour.
    hour = int(time.time() if at is None else at.timestamp()) // 3600
    return _published(model, hour)


def is_loaded(model: str, prices: PriceBook | None = None) -> bool:
    """Whether ``price_of`` answers at once: the first look at the published prices takes 0.3 s."""
    return _has_published or _told(model, prices) is not None


def _told(model: str, prices: PriceBook | None) -> Price | None:
    return (prices or _FREE).get(model) or _FREE.get(model)


class TieredPrice:
    """A price that depends on how much is used. The arithmetic of ``genai-prices`` knows how."""

    def __init__(self, model: str, at: datetime) -> None:
        self._model = model
        self._at = at

    def cost(self, usage: Usage) -> Decimal:
        """USD for ``usage``, exact."""
        import genai_prices  # noqa: PLC0415

        priced = genai_prices.Usage(
            input_tokens=usage.total_input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_input_tokens,
            cache_write_tokens=usage.cache_creation_input_tokens,
            cache_write_1h_tokens=usage.cache_creation_1h_input_tokens,
        )
        return genai_prices.calc_price(
            priced, self._model, provider_id="anthropic", genai_request_timestamp=self._at
        ).total_price


_has_published = False


@lru_cache(maxsize=1024)
def _published(model: str, hour: int) -> Price | TieredPrice | None:
    # 0.3 s of import: paid when somebody asks what it cost, not before.
    import genai_prices  # noqa: PLC0415

    global _has_published  # noqa: PLW0603
    at = datetime.fromtimestamp(hour * 3600, UTC)
    nothing = genai_prices.Usage(input_tokens=0, output_tokens=0)
    try:
        found = genai_prices.calc_price(
            nothing, model, provider_id="anthropic", genai_request_timestamp=at
        ).model_price
    except LookupError:
        return None
    finally:
        _has_published = True
    named = {
        "input": "input_mtok",
        "output": "output_mtok",
        "cache_read": "cache_read_mtok",
        "cache_write": "cache_write_mtok",
        "cache_write_1h": "cache_write_1h_mtok",
    }
    rates: dict[str, Any] = {ours: getattr(found, theirs, None) for ours, theirs in named.items()}
    # A price of five plain rates is a sum, which takes 5 µs instead of 200.
    return Price(**rates) if all(isinstance(r, Decimal) for r in rates.values()) else TieredPrice(model, at)


def in_digits(cost: Decimal | None) -> str | None:
    """USD as JSON takes it without losing a digit: ``"0.00000041"``, never ``"4.1E-7"``."""
    return None if cost is None else f"{cost:f}"


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    """The sum, or ``None`` when any is not known: never the sum of a part."""
    known = list(costs)
    return None if None in known else sum((cost for cost in known if cost is not None), Decimal(0))
