"""How the stand-in models count tokens, cut text into deltas and name their replies."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pydantic_core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptchain.messages import ModelRequest

__all__ = ["CHARACTERS_PER_TOKEN", "count_input_tokens", "count_tokens", "digest", "pieces"]

CHARACTERS_PER_TOKEN = 4

# Long runs without a space (Chinese, base64) are cut too, so that they also arrive little by little.
_PIECE = re.compile(r"\S{1,32}\s*|\s+")


def count_tokens(text: str) -> int:
    """Tokens of ``text``: four characters each, at least one, none for an empty text.

    Never more than its UTF-8 bytes, so a bound in bytes holds.
    """
    return -(-len(text) // CHARACTERS_PER_TOKEN)


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
