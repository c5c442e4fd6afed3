"""Strings that match a regular expression, for ``pattern`` in a JSON schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["matches", "samples"]

_DIGITS: Final = "1234567890"
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_VISIBLE: Final = _LETTERS + _LETTERS.upper() + _DIGITS + "-_.,:;/@#+*!?=&%$~'\"()[]{}<>|\\^` "
_CLASSES: Final = {"d": _DIGITS, "w": _LETTERS + _LETTERS.upper() + _DIGITS + "_", "s": " ", "h": " "}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_ANCHORS: Final = "AbBzZG"
_PROPERTIES: Final = {"L": _LETTERS, "N": _DIGITS}


def matches(pattern: str, text: str) -> bool:
    """Whether ``text`` has a match; ``True`` also for a pattern that Python cannot read."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def samples(pattern: str, start: int, least: int) -> Iterator[str]:
    """Strings that should match ``pattern``, the short ones first, then some of ``least`` characters.

    Another ``start`` gives other strings. Look-around and back-references are read and not obeyed, so the
    caller checks with ``matches``.
    """
    for extra in sorted({0, 1, 2, 3, 5, 8, *range(max(least - 12, 0), least + 1)}):
        for choice in range(start, start + 4):
            yield _Sampler(pattern, choice, extra).sample()


class _Sampler:
    """A recursive descent through the pattern that writes one matching string as it goes."""

    def __init__(self, pattern: str, choice: int, extra: int) -> None:
        self._pattern = pattern
        self._at = 0
        self._choice = choice
        self._extra = extra

    def sample(self) -> str:
        text = ""
        while self._at < len(self._pattern):
            text += self._alternatives()()
            self._at += 1  # a closing parenthesis that nothing opened
        return text

    def _pick(self, options: Sequence[str]) -> str:
        # The choice is used up digit by digit, so that counting it up gives ever different strings.
        self._choice, digit = divmod(self._choice, len(options))
        return options[digit]

    def _alternatives(self) -> Callable[[], str]:
        """Read up to the end of the group; what is returned writes a string, a new one each time."""
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]

        def write() -> str:
            self._choice, digit = divmod(self._choice, len(branches))
            return branches[digit]()

        return write

    def _sequence(self) -> Callable[[], str]:
        parts: list[Callable[[], str]] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated(self._atom()))
        return lambda: "".join(part() for part in parts)

    def _repeated(self, atom: Callable[[], str]) -> Callable[[], str]:
        rest = self._pattern[self._at :]
        if found := re.match(r"\{(\d*)(,?)(\d*)\}", rest):
            least = int(found[1] or 0)
            most = int(found[3]) if found[3] else (None if found[2] else least)
        elif found := re.match(r"[*+?]", rest):
            least = 1 if found[0] == "+" else 0
            most = 1 if found[0] == "?" else None
        else:
            return atom
        self._at += found.end()
        if self._peek() in {"?", "+"}:  # lazy or possessive: the same strings
            self._at += 1

        def write() -> str:
            # One supply for the whole string: nested repetitions would multiply theirs.
            more = self._extra if most is None else min(self._extra, most - least)
            self._extra -= more
            return "".join(atom() for _ in range(least + more))

        return write

    def _atom(self) -> Callable[[], str]:
        char = self._next()
        match char:
            case "^" | "$":
                return lambda: ""
            case ".":
                return lambda: self._pick(_LETTERS)
            case "[":
                members = self._members()
                return lambda: self._pick(members)
            case "(":
                return self._group()
            case "\\":
                members = self._escaped()
                return (lambda: self._pick(members)) if members else (lambda: "")
            case _:
                return lambda: char

    def _group(self) -> Callable[[], str]:
        silent = False
        if self._peek() == "?":
            opening = re.match(r"\?(?:<?[=!]|P?<\w+>|:|>|[aiLmsux-]+:?|P=\w+)", self._pattern[self._at :])
            self._at += opening.end() if opening else 1
            silent = opening is not None and opening[0] in {"?=", "?!", "?<=", "?<!"}
        write = self._alternatives()
        self._at += 1  # the closing parenthesis
        return (lambda: "") if silent else write

    def _escaped(self) -> str:
        """The characters that the escape stands for; none for an anchor or a back-reference."""
        char = self._next()
        if char in {"p", "P"}:
            found = re.match(r"\{\^?(\w)\w*\}|(\w)", self._pattern[self._at :])
            self._at += found.end() if found else 0
            return _PROPERTIES.get((found[1] or found[2]) if found else "L", _LETTERS)
        if char in {"x", "u"}:
            found = re.match(
                r"[0-9a-fA-F]{4}" if char == "u" else r"[0-9a-fA-F]{2}", self._pattern[self._at :]
            )
            if found:
                self._at += found.end()
                return chr(int(found[0], 16))
        if char.lower() in _CLASSES:
            members = _CLASSES[char.lower()]
            return members if char.islower() else "".join(c for c in _VISIBLE if c not in members)
        if char in _CONTROLS:
            return _CONTROLS[char]
        return "" if char in _ANCHORS or char.isdigit() else char

    def _members(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        members: list[str] = []
        first = True
        while self._peek() and (self._peek() != "]" or first):
            first = False
            chars = self._escaped() if (char := self._next()) == "\\" else char
            if (
                len(chars) == 1
                and self._pattern[self._at : self._at + 1] == "-"
                and self._peek(1) not in {"]", ""}
            ):
                self._at += 1
                end = self._escaped() if (char := self._next()) == "\\" else char
                # A few of a wide range are enough, and surrogates are no text.
                chars = "".join(
                    chr(code) for code in range(ord(chars), min(ord(end[:1] or chars), ord(chars) + 99) + 1)
                )
            members.append(chars)
        self._at += 1
        named = "".join(members)
        allowed = "".join(c for c in _VISIBLE if c not in named) if negated else named
        return allowed or "a"

    def _peek(self, ahead: int = 0) -> str:
        return self._pattern[self._at + ahead : self._at + ahead + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char
