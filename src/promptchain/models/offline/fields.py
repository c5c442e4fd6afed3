"""What the name of a field says about the value that belongs there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptchain.models.offline.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BAD_NEWS", "GOOD_NEWS", "SCORES", "SIZES", "kind_of", "words_of"]

_WORDS_OF: Mapping[str, frozenset[str]] = {
    kind: listed(words)
    for kind, words in {
        "prose": "content answer text draft body essay article story reply response output message letter prose "
        "markdown paragraph post email_body polished",
        "ask": "intent goal request question task query objective purpose",
        "central": "summary abstract gist tldr conclusion takeaway highlight",
        "title": "title headline heading subject caption topic",
        "name": "entity name person company organisation organization place product keyword tag topic term label "
        "author city country customer",
        "description": "reason rationale explanation feedback context note description analysis reasoning why "
        "comment justification critique detail background",
        "language": "language lang locale",
    }.items()
}
SCORES = listed(
    "confidence score probability likelihood certainty relevance similarity quality rating accuracy"
)
"""Numbers that say how good something is, mostly from 0 to 1."""

SIZES = listed("complexity difficulty effort size length scope")
"""Choices that go from small to large."""

BAD_NEWS = listed("error failed failure blocked unsafe harmful toxic spam missing invalid")
"""Flags that are down when all is well."""

GOOD_NEWS = listed("pass accept accepted allow allowed approve approved")
"""Choices that are made when all is well."""


def kind_of(field: str, description: str) -> str:
    """Which kind of text the field holds (``"prose"``, ``"name"`` …), or ``""``.

    The last word of the name that tells decides. After the name the description does, but only for the kinds
    that no description mentions in passing ("the tone of the text").
    """
    for word in reversed(words_of(field)):
        for kind, words in _WORDS_OF.items():
            if word in words:
                return kind
    for word in words_of(description):
        for kind in ("central", "name", "language"):
            if word in _WORDS_OF[kind]:
                return kind
    return ""


def words_of(name: str) -> list[str]:
    """The words of a name in any spelling, each in the singular."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return [_singular(word) for word in words]


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return (
        word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3 else word
    )
