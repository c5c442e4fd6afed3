"""Ready-made gates for what a text or a list holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from promptchain.errors import DefinitionError
from promptchain.gates.base import Gate, Mode, OnFail, Verdict
from promptchain.gates.part import Part, gate_of_part, text_only
from promptchain.spelling import nearest

if TYPE_CHECKING:
    from promptchain.run import Run

__all__ = ["Unit", "length", "not_empty", "one_of"]

Unit: TypeAlias = Literal["characters", "words", "lines", "items"]
"""What a length counts. Words are what stands between white space; items are those of a list or a mapping."""

_COUNTS: Final[Mapping[str, Callable[[str], int]]] = {
    "characters": len,
    "words": lambda text: len(text.split()),
    "lines": lambda text: len(text.splitlines()),
}

_SHOWN: Final = 60


def length(
    *,
    min: int | None = None,
    max: int | None = None,
    unit: Unit = "characters",
    field: str | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate for how long a text is, or how many items something has.

    Args:
        min: The least that passes.
        max: The most that passes.
        unit: What is counted.
        field: The part that is judged, as a dotted path; left out, the value itself.
        name: See ``Gate``; left out, ``"length"``, with the field in parentheses.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: Neither ``min`` nor ``max`` is given, one is no count, or ``min`` is above ``max``.
    """
    if unit not in get_args(Unit):
        raise DefinitionError(
            f"length takes no unit {unit!r}.{nearest(str(unit), get_args(Unit))} "
            f"Known: {', '.join(get_args(Unit))}."
        )
    if min is None and max is None:
        raise DefinitionError("length needs a min, a max or both, as in length(max=500, unit='words').")
    for option, bound in (("min", min), ("max", max)):
        if bound is not None and (type(bound) is not int or bound < 0):
            raise DefinitionError(f"{option} of a length is a whole number of {unit} from 0, not {bound!r}.")
    if min is not None and max is not None and min > max:
        raise DefinitionError(f"nothing has at least {min} and at most {max} {unit}: exchange min and max.")
    wanted = _wanted(min, max)

    def judge(value: object, _: Run) -> str | None:
        count = _count(value, unit)
        if (min is None or min <= count) and (max is None or count <= max):
            return None
        return f"has {count} {unit[:-1] if count == 1 else unit}, and {wanted}"

    return gate_of_part(
        judge,
        Part(field),
        kind="length",
        wanted=f"must have the right number of {unit}: {wanted}",
        name=name,
        mode=mode,
        on_fail=on_fail,
    )


def one_of(
    values: Iterable[str],
    *,
    case_sensitive: bool = True,
    strip: bool = True,
    field: str | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate for a text that is one of fixed ones.

    A text that differs in nothing but what is overlooked, white space at its ends or upper and lower case, is
    replaced by the one that is meant.

    Args:
        values: The texts.
        case_sensitive: Whether upper and lower case make a difference.
        strip: Whether white space at the ends is overlooked.
        field: The part that is judged, as a dotted path; left out, the value itself.
        name: See ``Gate``; left out, ``"one_of"``, with the field in parentheses.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: There are no values, one is no text or blank, or two cannot be told apart.
    """
    known = _known_texts(values)

    def plain(text: str) -> str:
        text = text.strip() if strip else text
        return text if case_sensitive else text.casefold()

    meant: dict[str, str] = {}
    for text in known:
        if meant.setdefault(plain(text), text) != text:
            raise DefinitionError(
                f"one_of cannot tell {meant[plain(text)]!r} from {text!r}: leave one out, or be stricter."
            )
    wanted = f"must be one of {', '.join(map(repr, known))}" if len(known) > 1 else f"must be {known[0]!r}"

    def judge(value: object, _: Run) -> str | Verdict | None:
        text = text_only(value, "one_of")
        found = text if text in known else meant.get(plain(text))
        if found is None:
            return f"is {_shown(text)}, and {wanted}"
        return None if found == text else Verdict.replace(found, f"is spelt {found!r}, not {_shown(text)}")

    return gate_of_part(
        judge, Part(field), kind="one_of", wanted=wanted, name=name, mode=mode, on_fail=on_fail
    )


def not_empty(
    *,
    field: str | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate for a text that is more than white space, or a list or mapping that has items.

    ``None`` is empty too. Numbers and everything else that has no length is a crash.

    Args:
        field: The part that is judged, as a dotted path; left out, the value itself.
        name: See ``Gate``; left out, ``"not_empty"``, with the field in parentheses.
        mode: See ``Gate``.
        on_fail: See ``Gate``.
    """

    def judge(value: object, _: Run) -> str | None:
        if isinstance(value, str):
            return None if value.strip() else "is empty, and must hold text"
        if value is None:
            return "is None, and must hold something"
        if isinstance(value, Collection):
            return None if value else "is empty, and must hold at least one item"
        raise TypeError(f"not_empty judges texts, lists and mappings, not {type(value).__name__}")

    return gate_of_part(
        judge,
        Part(field),
        kind="not_empty",
        wanted="must not be empty",
        name=name,
        mode=mode,
        on_fail=on_fail,
    )


def _wanted(least: int | None, most: int | None) -> str:
    if least == most:
        return f"exactly {least} {'is' if least == 1 else 'are'} wanted"
    if most is None:
        return f"at least {least} {'is' if least == 1 else 'are'} wanted"
    if least is None:
        return f"at most {most} {'is' if most == 1 else 'are'} allowed"
    return f"{least} to {most} are allowed"


def _count(value: object, unit: Unit) -> int:
    if unit != "items":
        return _COUNTS[unit](
            text_only(value, f"a length in {unit}", "; unit='items' counts what a list holds")
        )
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return len(cast("Collection[object]", value))
    raise TypeError(f"a length in items judges lists and mappings, not {type(value).__name__}")


def _known_texts(values: Any) -> Sequence[str]:
    try:
        known: list[Any] = [] if isinstance(values, str) else list(values)
    except TypeError:
        known = []
    if not known or not all(isinstance(value, str) and value.strip() for value in known):
        raise DefinitionError(f"one_of takes a list of texts that are not empty, not {values!r}.")
    # Plain texts also of an enumeration of texts, as one of these takes the place of a reply's.
    return [str.__str__(value) for value in known]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
