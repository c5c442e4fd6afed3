"""Ready-made gates for regular expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from promptchain.errors import DefinitionError
from promptchain.gates.base import Gate, Mode, OnFail
from promptchain.gates.part import Part, gate_of_part, text_only

if TYPE_CHECKING:
    from promptchain.run import Run

__all__ = ["does_not_match", "matches"]


def matches(
    pattern: str | re.Pattern[str],
    *,
    full: bool = False,
    flags: int = 0,
    reason: str | None = None,
    field: str | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate that a text passes when a regular expression matches somewhere in it.

    The expression runs on the event loop: one that backtracks without end holds up the whole process.

    Args:
        pattern: As the module ``re`` takes it, or compiled.
        full: Whether the whole text must match, white space at its ends included.
        flags: Of the module ``re``, such as ``re.IGNORECASE``.
        reason: What the text did not meet; left out, the pattern is told.
        field: The part that is judged, as a dotted path; left out, the value itself.
        name: See ``Gate``; left out, ``"matches"``, with the field in parentheses.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: The pattern cannot be compiled.
    """
    compiled = _compiled(pattern, flags, "matches")
    search = compiled.fullmatch if full else compiled.search
    wanted = f"must match the regular expression `{compiled.pattern}`{' as a whole' if full else ''}"

    def judge(value: object, _: Run) -> str | None:
        return None if search(text_only(value, "a regular expression")) else wanted

    return gate_of_part(
        judge,
        Part(field),
        kind="matches",
        wanted=wanted,
        reason=_reason(reason),
        name=name,
        mode=mode,
        on_fail=on_fail,
    )


def does_not_match(
    pattern: str | re.Pattern[str],
    *,
    flags: int = 0,
    reason: str | None = None,
    field: str | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate that a text passes when a regular expression matches nowhere in it.

    The expression runs on the event loop: one that backtracks without end holds up the whole process. The
    reason tells the line of the match, never the match itself, which may be a secret.

    Args:
        pattern: As the module ``re`` takes it, or compiled.
        flags: Of the module ``re``, such as ``re.IGNORECASE``.
        reason: What the text did not meet; left out, the pattern and the line of the first match are told.
        field: The part that is judged, as a dotted path; left out, the value itself.
        name: See ``Gate``; left out, ``"does_not_match"``, with the field in parentheses.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: The pattern cannot be compiled.
    """
    compiled = _compiled(pattern, flags, "does_not_match")
    wanted = f"must not match the regular expression `{compiled.pattern}`"

    def judge(value: object, _: Run) -> str | None:
        text = text_only(value, "a regular expression")
        match = compiled.search(text)
        if match is None:
            return None
        return f"{wanted}, and does in line {text.count(chr(10), 0, match.start()) + 1}"

    return gate_of_part(
        judge,
        Part(field),
        kind="does_not_match",
        wanted=wanted,
        reason=_reason(reason),
        name=name,
        mode=mode,
        on_fail=on_fail,
    )


def _compiled(pattern: Any, flags: int, taker: str) -> re.Pattern[str]:
    try:
        compiled: re.Pattern[Any] = re.compile(pattern, flags)
    except (re.error, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DefinitionError(f"{taker} takes a regular expression, not {pattern!r}: {error}.") from error
    if not isinstance(compiled.pattern, str) or not compiled.pattern:
        raise DefinitionError(f"{taker} takes a regular expression of text, not {pattern!r}.")
    return compiled


def _reason(reason: Any) -> str | None:
    if reason is None or (isinstance(reason, str) and reason.strip()):
        return reason
    raise DefinitionError(f"a reason is a text that is not empty, not {reason!r}.")
