"""How the simulated API counts tokens: the same function for input and output, and the same result for all.

A word is one token for every four characters it has begun; white space belongs to the word that follows. So a
token is about four characters, is never longer than a word, and is never less than a byte.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["count_tokens", "running_counts", "split_tokens"]

_TOKEN = re.compile(r"\s*\S{1,4}")


def count_tokens(text: str) -> int:
    """Tokens of ``text``: 0 when it is empty, and never more than its UTF-8 bytes."""
    words = sum((len(word) + 3) // 4 for word in text.split())
    return words or int(bool(text))


def split_tokens(text: str) -> list[str]:
    """``text`` in its tokens: ``count_tokens(text)`` pieces that join to ``text``."""
    pieces = _TOKEN.findall(text)
    covered = sum(map(len, pieces))
    if covered < len(text):
        if not pieces:
            return [text]
        pieces[-1] += text[covered:]
    return pieces


def running_counts(pieces: Iterable[str]) -> Iterator[int]:
    """After each piece, the tokens of everything so far, in time linear in the text."""
    total = unfinished = 0  # unfinished: length of a last word that the next piece may go on with
    begun = False
    for piece in pieces:
        begun = begun or bool(piece)
        words = piece.split()
        if words:
            carried = 0 if piece[0].isspace() else unfinished
            first = carried + len(words[0])
            total += (first + 3) // 4 - (carried + 3) // 4
            total += sum((len(word) + 3) // 4 for word in words[1:])
            last = first if len(words) == 1 else len(words[-1])
            unfinished = 0 if piece[-1].isspace() else last
        elif piece:
            unfinished = 0
        yield total or int(begun)
