"""Ready-made gates for numbers and dates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from operator import ge as at_least
from operator import gt as above
from operator import le as at_most
from operator import lt as below
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from promptchain.errors import DefinitionError
from promptchain.gates.base import Gate, Mode, OnFail
from promptchain.gates.part import Part, gate_of_part

if TYPE_CHECKING:
    from promptchain.run import Run

__all__ = ["Bound", "in_range", "min_confidence"]

Bound: TypeAlias = float | Decimal | Fraction | date | time | timedelta
"""Where a range can begin or end."""

_CONFIDENCE: Final = "confidence"

_TESTS: Final[Mapping[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "ge": ("at least", at_least),
    "gt": ("above", above),
    "le": ("at most", at_most),
    "lt": ("below", below),
}


def in_range(
    field: str | None,
    *,
    ge: Bound | None = None,
    gt: Bound | None = None,
    le: Bound | None = None,
    lt: Bound | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate for a number, a date, a time or a duration between two bounds, or on one side of a bound.

    NaN is in no range. A value that cannot be compared with the bounds, ``None`` and ``bool`` among them, is a
    crash. A ``Decimal`` and a ``float`` are compared as they are written: ``Decimal("0.1")`` is 0.1.

    Args:
        field: The part that is judged, as a dotted path; ``None`` is the value itself.
        ge: The least that passes.
        gt: What it must be above.
        le: The most that passes.
        lt: What it must be below.
        name: See ``Gate``; left out, ``"in_range"``, with the field in parentheses.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: There is no bound or two on one side, one is none, or nothing lies between them.
    """
    said = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    bounds: dict[str, Any] = {option: bound for option, bound in said.items() if bound is not None}
    if not bounds:
        raise DefinitionError("in_range needs a bound: ge, gt, le or lt, as in in_range('age', ge=18).")
    for option, bound in bounds.items():
        if not _is_bound(bound):
            raise DefinitionError(
                f"{option} of a range is a number, a date, a time or a duration, not {bound!r}."
            )
    _refuse_nothing_between(bounds)
    wanted = "must be " + " and ".join(f"{_TESTS[option][0]} {bound}" for option, bound in bounds.items())

    def judge(value: object, _: Run) -> str | None:
        if isinstance(value, bool):
            raise TypeError(f"{value!r} is not a number")
        if not _is_nan(value) and all(_holds(option, value, bound) for option, bound in bounds.items()):
            return None
        return f"is {value}, and {wanted}"

    return gate_of_part(
        judge, Part(field), kind="in_range", wanted=wanted, name=name, mode=mode, on_fail=on_fail
    )


def min_confidence(
    threshold: float = 0.5,
    *,
    field: str | None = _CONFIDENCE,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate for how sure the model says it is, from 0 to 1.

    What the settings say of the least confidence is used instead of ``threshold``. A number outside of 0 to 1,
    such as 85 for a percentage, does not pass. What is no number, or NaN, is a crash.

    Args:
        threshold: The least that passes, from 0 to 1.
        field: The part that is judged, as a dotted path; ``None`` is the value itself.
        name: See ``Gate``; left out, ``"min_confidence"``, with the field in parentheses unless that is
            ``"confidence"``.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: The threshold is not a number from 0 to 1.
    """
    if not _is_number(threshold) or not 0 <= threshold <= 1:
        raise DefinitionError(f"the threshold of min_confidence is a number from 0 to 1, not {threshold!r}.")

    def judge(value: Any, run: Run) -> str | None:
        least = threshold if run.min_confidence is None else run.min_confidence
        if not _is_number(value) or _is_nan(value):
            raise TypeError(f"a confidence is a number from 0 to 1, not {value!r}")
        if not 0 <= value <= 1:
            return f"is {value}, and must be from 0 to 1"
        return None if _holds("ge", value, least) else f"is {value}, and must be at least {least}"

    return gate_of_part(
        judge,
        Part(field),
        kind="min_confidence",
        wanted=f"must be at least {threshold}",
        name=name or ("min_confidence" if field == _CONFIDENCE else None),
        mode=mode,
        on_fail=on_fail,
    )


def _refuse_nothing_between(bounds: Mapping[str, Any]) -> None:
    low, high = ([option for option in side if option in bounds] for side in (("ge", "gt"), ("le", "lt")))
    for options in (low, high):
        if len(options) > 1:
            raise DefinitionError(f"a range takes either {options[0]} or {options[1]}, not both.")
    if not (low and high):
        return
    begin, end = f"{low[0]}={bounds[low[0]]!r}", f"{high[0]}={bounds[high[0]]!r}"
    # What lies between: the bounds themselves only where both are part of the range.
    test = "le" if (low[0], high[0]) == ("ge", "le") else "lt"
    try:
        holds = _holds(test, bounds[low[0]], bounds[high[0]])
    except TypeError as error:
        raise DefinitionError(f"{begin} and {end} are no range: {error}.") from error
    if not holds:
        raise DefinitionError(f"nothing lies in the range {begin}, {end}.")


def _holds(option: str, value: Any, bound: Any) -> bool:
    if isinstance(value, Decimal) != isinstance(bound, Decimal):
        value, bound = _as_written(value), _as_written(bound)
    try:
        return bool(_TESTS[option][1](value, bound))
    except TypeError:
        raise TypeError(f"{value!r} cannot be compared with {bound!r}") from None


def _as_written(value: Any) -> Any:
    """A float as the decimal that it is printed as, where it would be compared with a decimal."""
    return Decimal(repr(float(value))) if isinstance(value, float) else value


def _is_bound(bound: object) -> bool:
    return (_is_number(bound) and not _is_nan(bound)) or isinstance(bound, date | time | timedelta)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real | Decimal)


def _is_nan(value: Any) -> bool:
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)
