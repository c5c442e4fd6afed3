"""The end of a text that is being written, in a few rows of a terminal."""

from __future__ import annotations

import unicodedata

__all__ = ["Preview", "cells", "fitted"]

# Characters kept between two drawings; more than a few rows of a wide terminal can show.
_MOST_KEPT = 4_000

_EMOJI_BEGIN = 0x1F000


def cells(character: str) -> int:
    """How many columns a terminal gives to ``character``; where terminals disagree, the larger number."""
    if character < "\x7f":
        return 1
    if unicodedata.category(character) in {"Mn", "Me"} or character in "\u200b\u200c\u200d\u2060\ufeff":
        return 0
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 2
    # An emoji that this python's Unicode does not know yet.
    is_new = ord(character) >= _EMOJI_BEGIN and unicodedata.category(character) == "Cn"
    return 2 if is_new else 1


def fitted(text: str, columns: int) -> str:
    """``text``, which is one line, in at most ``columns`` columns: shortened, with dots at its end, if it must be."""
    if _width(text) <= columns:
        return text
    dots = "..." if columns > 3 else ""
    left = columns - len(dots)
    for index, character in enumerate(text):
        left -= cells(character)
        if left < 0:
            return text[:index] + dots
    raise AssertionError


class Preview:
    """What one attempt has written until now, as far as its end can be shown.

    Args:
        step: Path of the step that writes.
        attempt: Which of its attempts.
    """

    __slots__ = ("_text", "attempt", "step")

    def __init__(self, step: str, attempt: int) -> None:
        self.step = step
        self.attempt = attempt
        self._text = ""

    def add(self, text: str) -> None:
        """Take in a piece, without controls other than tabs and line feeds."""
        self._text = (self._text + text.replace("\t", "    "))[-_MOST_KEPT:]

    def rows(self, columns: int, most: int) -> list[str]:
        """The last rows of the text, wrapped between words to ``columns``; at most ``most`` of them."""
        spans = _wrapped(self._text, columns)
        while spans and not self._text[slice(*spans[-1])].strip():
            spans.pop()  # the paragraph that has not begun
        rows = [self._text[slice(*span)].rstrip() for span in spans[-most:]]
        if len(spans) > 2 * most:
            # From the beginning of a row the text wraps as before. As much again is for a wider terminal.
            self._text = self._text[spans[-2 * most][0] :]
        return rows


def _wrapped(text: str, columns: int) -> list[tuple[int, int]]:
    """Where each row of ``text`` begins and ends."""
    rows: list[tuple[int, int]] = []
    start = word = used = 0
    for index, character in enumerate(text):
        if character == "\n":
            rows.append((start, index))
            start = word = index + 1
            used = 0
            continue
        width = cells(character)
        if character == " ":  # spaces at the end of a row need no room
            word = index + 1
        elif used + width > columns and index > start:
            end = word if word > start else index
            rows.append((start, end))
            start = end
            used = _width(text[start:index])
        used += width
    rows.append((start, len(text)))
    return rows


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(cells, text))
