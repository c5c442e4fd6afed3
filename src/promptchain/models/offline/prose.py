"""The sentences of the offline model. They are about the request, and claim no knowledge beyond it."""

# ruff: noqa: RUF001 - the quotation marks and full stops of other languages are meant

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptchain.models.offline.reading import NOTICE
from promptchain.models.offline.words import PERSONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptchain.models.offline.reading import Reading

__all__ = ["describe", "final_text", "prose", "shorten", "title"]

_NUMERALS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip

_AUDIENCE = re.compile(
    r"\b(?:to|for) ((?:an?|my|our|the) (?:[\w-]+ ){0,3}?([\w-]+?)s?)\b[.!?]?$", re.IGNORECASE
)

# What an answer to such a request would do. {it} is the first subject, {them} are the first two names.
_KINDS: Sequence[tuple[re.Pattern[str], str]] = (
    (
        re.compile(r"\b(?:fix|debug|bugs?|refactor|review|fehler)\b", re.IGNORECASE),
        "go through it line by line, say what is wrong and why, and show the corrected lines",
    ),
    (
        re.compile(
            r"\b(?:compare|comparison|differences?|versus|vs|unterschiede?|vergleiche?)\b", re.IGNORECASE
        ),
        "set {them} next to each other, say where they agree and where they part, and when to take which",
    ),
    (
        re.compile(r"\b(?:summari[sz]e|summary|sum up|zusammen|zusammenfassung|résume)\b", re.IGNORECASE),
        "keep to that, in a few plain sentences",
    ),
    (
        re.compile(r"\b(?:translate|übersetze|traduis|traduce)\b", re.IGNORECASE),
        "say the same in the other language",
    ),
    (
        re.compile(
            r"^(?:please )?(?:explain|describe|teach|introduce|erklär|explique|explica)|\bhow (?:do|does)\b",
            re.IGNORECASE,
        ),
        "say in plain words what {it} is, take it apart step by step and end with a small example",
    ),
    (
        re.compile(r"\b(?:write|draft|compose|create|schreibe?|verfasse|écris|escribe)\b", re.IGNORECASE),
        "be the finished text, from its first line to its last",
    ),
    (
        re.compile(r"\b(?:list|name|give|suggest|nenne|liste)\b", re.IGNORECASE),
        "list what is wanted, with one line on each entry",
    ),
    (re.compile(r"[?？]"), "begin with a direct reply about {it}, and then give the reasons"),
)
_OTHER_KIND = "say what is certain about {it} and what is open"


def final_text(reading: Reading) -> str:
    """The reply to a request for text: the draft that is to be polished, or prose; it ends with the notice."""
    return f"{reading.draft or prose(reading)}\n\n{NOTICE}"


def prose(reading: Reading) -> str:
    """A short text about the request, without the notice."""
    if not reading.ask and not reading.sentences and not reading.code:
        return "The request is empty, so there is nothing to answer. Write what you would like to know."
    if not reading.ask:
        return " ".join(
            filter(None, ["You gave a text and did not say what to do with it.", _contents(reading)])
        )
    asked = f"You asked: {quote(reading.ask)}"
    alone = not reading.sentences and not reading.code
    if alone and reading.ask.isalnum() and reading.ask.isascii():
        return f"{asked} That is a single word, so an answer would first have to ask what you want to know about it."
    return " ".join(filter(None, [asked, "" if alone else _contents(reading), _outlook(reading)]))


def describe(reading: Reading) -> str:
    """One or two sentences on the shape of the request: its length, its names, whom it is for."""
    size = f"The request has {count(reading.words, 'word')}"
    if reading.sentences:
        size += f" in {count(len(reading.sentences) + bool(reading.ask), 'sentence')}"
    if reading.code:
        size += f" and {count(len(reading.code), 'line')} of code"
    audience = _audience(reading)
    return " ".join(
        filter(None, [f"{size}.", _named(reading), f"It is meant for {audience}." if audience else ""])
    )


def title(reading: Reading) -> str:
    """A phrase of a few words."""
    return shorten(reading.ask or reading.central, 60).rstrip(".:!。") or "An empty request"


def quote(sentence: str) -> str:
    """The sentence in quotation marks, closed as a sentence."""
    said = shorten(sentence, 280).rstrip(": ")
    return f"“{said}”" if said.endswith((".", "?", "!", "…", "。", "？", "！")) else f"“{said}”."


def shorten(text: str, most: int) -> str:
    """``text`` on one line with at most ``most`` characters, cut between words where it can be."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    head = line[: max(most - 1, 0)]
    between = head.rfind(" ")
    return (head[:between].rstrip(",;:–-") if between > most // 2 else head)[: max(most - 1, 0)] + "…"[:most]


def count(number: int, noun: str) -> str:
    """``"one word"``, ``"14 words"``."""
    numeral = _NUMERALS[number] if number < len(_NUMERALS) else f"{number:,}"
    return f"{numeral} {noun}" if number == 1 else f"{numeral} {noun}s"


def _contents(reading: Reading) -> str:
    said: list[str] = []
    if reading.sentences:
        extent = "The text with it has" if reading.ask else "It has"
        said.append(f"{extent} {count(len(reading.sentences), 'sentence')}.")
        if len(reading.sentences) > 1:
            said[-1] = f"{said[-1][:-1]}, and at the centre stands: {quote(reading.central)}"
    if reading.code:
        extent = "It comes with" if reading.ask else "It has"
        said.append(f"{extent} {count(len(reading.code), 'line')} of code.")
    said.append(_named(reading))
    return " ".join(filter(None, said))


def _named(reading: Reading) -> str:
    numbers = [number.text for number in reading.numbers]
    figures = f"the figures in it are {_listed(numbers)}" if len(numbers) > 1 else ""
    if len(numbers) == 1:
        figures = f"the figure in it is {numbers[0]}"
    if reading.names:
        speaks = f"It speaks of {_listed(reading.names)}"
        return f"{speaks}; {figures}." if figures else f"{speaks}."
    return f"{figures[0].upper()}{figures[1:]}." if figures else ""


def _listed(items: Sequence[str]) -> str:
    most = 5
    shown = list(dict.fromkeys(items))
    if len(shown) > most:
        return f"{', '.join(shown[: most - 1])} and {len(shown) - most + 1} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _outlook(reading: Reading) -> str:
    it = reading.subjects[0] if reading.subjects else "it"
    them = _listed(reading.names[:2]) if len(reading.names) > 1 else "the sides"
    plan = next((plan for kind, plan in _KINDS if kind.search(reading.ask)), _OTHER_KIND)
    audience = _audience(reading)
    suited = f", all in terms that suit {audience}" if audience else ""
    return f"An answer would {plan.format(it=it, them=them)}{suited}."


def _audience(reading: Reading) -> str:
    found = _AUDIENCE.search(reading.ask)
    return found[1] if found and found[2].lower() in PERSONS else ""
