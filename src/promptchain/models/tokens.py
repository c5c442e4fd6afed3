"""How everything that stands in for the API counts tokens, cuts text into deltas and names replies.

A word is one token for every four characters it has begun; white space belongs to the word that follows. So a
token is about four characters, is never longer than a word, and is never less than a byte.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pydantic_core

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from promptchain.messages import ModelRequest

__all__ = ["count_input_tokens", "count_tokens", "digest", "pieces", "running_counts", "split_tokens"]

_TOKEN = re.compile(r"\s*\S{1,4}")

# Long runs without a space (Chinese, base64) are cut too, so that they also arrive little by little.
_PIECE = re.compile(r"\S{1,32}\s*|\s+")


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


def count_input_tokens(request: ModelRequest) -> int:
    """Tokens of everything that ``request`` makes the model read, the output schema included.

    At least one, and never more than ``request.input_bound()``.
    """
    read = [request.system or ""]
    for message in request.messages:
        content = message["content"]
        if isinstance(content, str):
            read.append(content)
        else:
            read += [str(block.get("text") or pydantic_core.to_json(block).decode()) for block in content]
    if request.output_schema is not None:
        read.append(pydantic_core.to_json(request.output_schema).decode())
    return max(1, count_tokens("".join(read)))


def pieces(text: str) -> Iterator[str]:
    """The words of ``text``, each with the space after it; joined they are ``text`` again."""
    return (match.group() for match in _PIECE.finditer(text))


def digest(request: ModelRequest) -> str:
    """24 hexadecimal digits that stand for the question; the same question has the same digits."""
    question = (
        request.messages,
        request.system,
        request.output_schema,
        request.max_tokens,
        request.thinking,
        request.stop_sequences,
    )
    return hashlib.sha256(pydantic_core.to_json(question)).hexdigest()[:24]


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
