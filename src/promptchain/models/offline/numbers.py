"""Numbers that keep the bounds of a JSON schema."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from promptchain.models.offline.patterns import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["bounds", "counted_on", "number_within"]


def bounds(schema: Mapping[str, Any]) -> tuple[Fraction | None, Fraction | None]:
    """The lower and the upper bound, whether they belong to the range or not."""
    lower = [_exact(schema[key]) for key in ("minimum", "exclusiveMinimum") if key in schema]
    upper = [_exact(schema[key]) for key in ("maximum", "exclusiveMaximum") if key in schema]
    return max(lower, default=None), min(upper, default=None)


def counted_on(schema: Mapping[str, Any], base: Fraction, index: int, *, whole: bool) -> Fraction:
    """A number of its own for every ``index``, from ``base`` upwards where the bounds leave room for that."""
    low, high = bounds(schema)
    step = _exact(schema.get("multipleOf", 1))
    if low is not None and high is not None:
        if whole:
            return low + (base - low + index * step) % (high - low + step)
        return low + (high - low) * Fraction(index % 97, 97)
    if high is not None:
        return high - index * step
    return max(base, low or base) + index * step


def number_within(
    schema: Mapping[str, Any], wanted: Iterable[Fraction], *, whole: bool, written_as: str | None
) -> int | float:
    """The first of ``wanted`` that the schema allows, or else a number near its bounds.

    Args:
        schema: With any of ``minimum``, ``maximum``, their exclusive kin and ``multipleOf``.
        wanted: In order of preference.
        whole: Whether it must be an integer.
        written_as: A pattern that the number as text must match, or ``None``.
    """
    first = None
    for number in _candidates(schema, wanted, whole=whole):
        plain = int(number) if number.denominator == 1 and (whole or abs(number) < 2**53) else float(number)
        if first is None:
            first = plain
        if _allowed(schema, _exact(plain), whole=whole) and (
            written_as is None or matches(written_as, str(plain))
        ):
            return plain
    return 0 if first is None else first


def _candidates(schema: Mapping[str, Any], wanted: Iterable[Fraction], *, whole: bool) -> Iterator[Fraction]:
    low, high = bounds(schema)
    step = _exact(schema["multipleOf"]) if "multipleOf" in schema else Fraction(1) if whole else None
    if step and whole and step.denominator != 1:
        step = Fraction(step.numerator)  # the least whole number that is a multiple of it
    near: list[Fraction] = []
    for bound, side in ((low, 1), (high, -1)):
        if bound is not None:
            beside = _exact(math.nextafter(float(bound), side * math.inf))
            near += [bound, bound + side, bound + side * Fraction(1, 10), beside]
    if low is not None and high is not None:
        near = [low + (high - low) * 4 / 5, (low + high) / 2, *near]
    for number in (*wanted, *near, Fraction(1), Fraction(0)):
        if step:
            for turn in (math.floor(number / step), math.ceil(number / step), math.ceil(number / step) + 1):
                yield turn * step
        else:
            yield number


def _allowed(schema: Mapping[str, Any], number: Fraction, *, whole: bool) -> bool:
    if whole and number.denominator != 1:
        return False
    return (
        ("minimum" not in schema or number >= _exact(schema["minimum"]))
        and ("maximum" not in schema or number <= _exact(schema["maximum"]))
        and ("exclusiveMinimum" not in schema or number > _exact(schema["exclusiveMinimum"]))
        and ("exclusiveMaximum" not in schema or number < _exact(schema["exclusiveMaximum"]))
    )


def _exact(number: float | str) -> Fraction:
    # Through str, as 0.1 means a tenth and not the double next to it.
    return Fraction(str(number))
