"""What the offline model finds in a prompt: what is asked, the text it is asked about, names and numbers."""

# ruff: noqa: RUF001 - the quotation marks and full stops of other languages are meant

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from promptchain.messages import REPLY_AGAIN
from promptchain.models.offline.words import ASKING, REVISING, STOPWORDS, TIMES, language_of, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from promptchain.messages import ModelRequest

__all__ = ["NOTICE", "Number", "Reading", "read"]

NOTICE = "(No model was asked: the offline stand-in of promptchain wrote this from the words of the request alone.)"
"""What every prose reply says once. It has no character that JSON escapes, so it is found again wherever an
answer was inserted into a later prompt."""

# Names and sentences are taken from the beginning of a longer text.
_READ_CHARACTERS = 200_000

_REQUEST_TAGS = listed("request question query task topic user_input user_request")
_DRAFT_TAGS = listed("draft content answer reply response")
_ASIDE_TAGS = listed(
    "analysis context criteria example examples feedback format guidelines instruction instructions intent "
    "output_format role rules schema style thinking"
)

_TAG = re.compile(r"<(/?)([A-Za-z][\w.-]*)(?:\s[^<>]*)?>")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"'”’»)])\s+|(?<=[。！？])")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|No|vs|ca|bzw|etc|[^\W\d_])\.$")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_NUMBER = re.compile(
    r"(?<![\w.,-])[€$£¥]?(\d+(?:[.,]\d+)*)(?: (thousand|million|billion)\b)?(?:\s?[%€$£¥])?(?![\w-])"
)
_MAGNITUDES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
# Chinese and Japanese put no space between words: a run of these is the best guess.
_IDEOGRAPHS = re.compile("[\u4e00-\u9fff\u30a0-\u30ff]{2,}")
_KANA = re.compile("[\u3040-\u309f]")
_GERMAN_ARTICLES = listed(
    "der die das den dem des ein eine einen einem einer eines im am zum zur vom beim ins"
)
_DEFINED = re.compile(r"\b(?:def|class|function|fn|func|struct|interface) (\w+)")
_CODE_LINE = re.compile(
    r"(?:async )?def \w+\(|class \w+.*[:{]$|from \S+ import |import \w|return\b|#include|@\w+"
    r"|(?:if|elif|else|for|while|try|except|with)\b.*:$|(?:const|let|var) \w+ *=|(?:public|private|static) "
    r"|(?:fn|func|function) \w+|SELECT .* FROM |.*[{};]$|[\w.\[\]]+(?:\([^)]*\)$| ?[-+*/]?= ?\S)"
)


class Number(NamedTuple):
    """A number as it is written in the text, and its value."""

    text: str
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A prompt, read.

    Attributes:
        ask: The sentence that says what is wanted.
        draft: Text that is to be handed back in a better form, or ``""``.
        sentences: The sentences of the text that came with the ask, or of all of it after the ask.
        names: Capitalised words and phrases, in order.
        keywords: Words that carry meaning, the most frequent first.
        numbers: Numbers, in order.
        words: How many words ask and text have.
        code: The lines that are program code.
        language: ISO 639-1 code.
    """

    ask: str
    draft: str
    sentences: Sequence[str]
    names: Sequence[str]
    keywords: Sequence[str]
    numbers: Sequence[Number]
    words: int
    code: Sequence[str]
    language: str

    @property
    def subjects(self) -> Sequence[str]:
        """Names, or keywords where the text has no name."""
        return self.names or self.keywords

    @property
    def central(self) -> str:
        """The sentence that shares most words with the others, or the ask where there is no other."""
        frequent = Counter(word for s in self.sentences for word in _meaningful(s))

        def weight(sentence: str) -> float:
            words = set(_meaningful(sentence))
            return sum(frequent[word] - 1 for word in words) / (len(words) + 4)

        return max(self.sentences, key=weight, default=self.ask)


def read(request: ModelRequest) -> Reading:
    """Read the last user turn that has something between tags, or else the last that asks for something new."""
    turns = [_text_of(m["content"]).replace(NOTICE, "") for m in request.messages if m["role"] == "user"]
    while len(turns) > 1 and turns[-1].endswith(REPLY_AGAIN):
        turns.pop()
    for turn in reversed(turns):
        sections, outside = _sections(turn)
        if sections:
            return _read_tagged(sections, outside)
    return _read_untagged(turns[-1] if turns else "")


def _text_of(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(str(block["text"]) for block in content if block.get("type") == "text")


def _read_tagged(sections: Sequence[tuple[str, str]], outside: str) -> Reading:
    asked = "\n\n".join(text for name, text in sections if name in _REQUEST_TAGS)
    draft = "\n\n".join(text for name, text in sections if name in _DRAFT_TAGS)
    set_aside = _REQUEST_TAGS | _DRAFT_TAGS | _ASIDE_TAGS
    material = "\n\n".join(text for name, text in sections if name not in set_aside)
    if any(name in _REQUEST_TAGS for name, _ in sections):
        return _reading(asked, material, draft=draft if REVISING.search(outside) else "")
    if draft and not material:
        return _reading(outside, draft, draft=draft if REVISING.search(outside) else "")
    return _reading(outside, material or "\n\n".join(text for _, text in sections))


def _read_untagged(text: str) -> Reading:
    head, colon, rest = text.partition(":\n")
    # "Polish this into the final answer:" and then the text, as a short prompt says it.
    if colon and rest.strip() and len(head) < 400:
        return _reading(head, rest, draft=rest.strip() if REVISING.search(head) else "")
    return _reading(text, "")


def _sections(text: str) -> tuple[Sequence[tuple[str, str]], str]:
    """The outermost pairs of tags as name and text, and what stands outside of them."""
    spans: list[tuple[str, re.Match[str], re.Match[str]]] = []
    opened: list[tuple[str, re.Match[str]]] = []
    waiting: Counter[str] = Counter()
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            opened.append((name, tag))
            waiting[name] += 1
        elif waiting[name]:
            other, start = opened.pop()
            while other != name:  # tags that were never closed, as in code
                waiting[other] -= 1
                other, start = opened.pop()
            waiting[name] -= 1
            while spans and spans[-1][1].start() > start.start():  # pairs within this one
                spans.pop()
            spans.append((name, start, tag))
    outside: list[str] = []
    end = 0
    for _, first, last in spans:
        outside.append(text[end : first.start()])
        end = last.end()
    outside.append(text[end:])
    return [(n, text[a.end() : b.start()].strip()) for n, a, b in spans], "\n".join(outside).strip()


def _reading(asked: str, material: str, *, draft: str = "") -> Reading:
    asked, material = asked[:_READ_CHARACTERS], material[:_READ_CHARACTERS]
    asked_prose, asked_code = _without_code(asked)
    material_prose, material_code = _without_code(material)
    said = _split(asked_prose)
    ask = next((s for s in said if _is_request(s)), said[0] if said else "")
    # With a text of its own, the ask's other sentences are instructions and not what it is about.
    sentences = _split(material_prose) if material.strip() else [s for s in said if s is not ask]
    read = [ask, *sentences]
    code = [*asked_code, *material_code]
    prose = "\n".join(read)
    words = _WORD.findall(prose)
    counted = Counter(_meaningful(prose) or _meaningful("\n".join(code)))
    spelled = {word.lower(): word for word in reversed(words)}
    language = language_of(words, prose)
    defined = [name for line in code for name in _DEFINED.findall(line)]
    return Reading(
        ask=ask,
        draft=draft,
        sentences=sentences,
        names=[*_names(read, language), *defined],
        keywords=[spelled.get(word, word) for word, _ in counted.most_common(20)],
        numbers=[
            Number(m[0].strip(), value * _MAGNITUDES.get(m[2], 1))
            for m in _NUMBER.finditer(prose)
            if (value := _value(m[1])) is not None
        ],
        words=len(words),
        code=code,
        language=language,
    )


def _is_request(sentence: str) -> bool:
    first = _WORD.match(sentence)
    return sentence.endswith(("?", "？")) or (first is not None and first[0].lower() in ASKING)


def _without_code(text: str) -> tuple[str, Sequence[str]]:
    prose: list[str] = []
    code: list[str] = []
    fenced = False
    for line in text.splitlines():
        bare = line.strip()
        if _FENCE.match(line):
            fenced = not fenced
        elif bare and (fenced or (len(bare) < 300 and _CODE_LINE.match(bare))):
            code.append(bare)
        else:
            prose.append(line)
    # A single line that looks like code is more often a sentence.
    if len(code) == 1 and "```" not in text:
        return text, []
    return "\n".join(prose), code


def _split(prose: str) -> list[str]:
    sentences: list[str] = []
    for line in prose.splitlines():
        joined = ""
        for part in _SENTENCE_END.split(line.strip().lstrip("-*•#> \t")):
            if joined and not _ABBREVIATION.search(joined) and not part[:1].islower():
                sentences.append(joined)
                joined = part
            else:
                joined = f"{joined} {part}".strip()
        if joined:
            sentences.append(joined)
    return sentences


def _meaningful(text: str) -> list[str]:
    words = (word.lower().removesuffix("'s").removesuffix("’s") for word in _WORD.findall(text))
    told = (part for word in words for part in (_IDEOGRAPHS.findall(word) if _KANA.search(word) else [word]))
    return [word for word in told if len(word) > 1 and word not in STOPWORDS and word not in ASKING]


def _names(sentences: Iterable[str], language: str) -> Sequence[str]:
    found: dict[str, None] = {}
    for sentence in sentences:
        for words, before in _capitalised(sentence):
            name = words
            if not before and words[0].lower() in ASKING | TIMES | STOPWORDS:
                name = words[1:]
            elif (
                len(words) == 1
                and words[0][1:].islower()
                and (
                    # Any word is capitalised there, and in German any noun: one with an article is hardly
                    # a name. A name is found again where it stands elsewhere.
                    not before or (language == "de" and before in _GERMAN_ARTICLES)
                )
            ):
                continue
            if name:
                found[" ".join(name)] = None
    # "Meier" after "Anna Meier" is the same name.
    parts = {word for name in found if " " in name for word in name.split()}
    return [name for name in found if name not in parts]


def _capitalised(sentence: str) -> list[tuple[list[str], str]]:
    """Runs of capitalised words, each with the word before it; ``""`` where the run opens the sentence."""
    runs: list[tuple[list[str], str]] = []
    before = ""
    end = -2
    for match in _WORD.finditer(sentence):
        word = match[0].removesuffix("'s").removesuffix("’s").rstrip("'’-")
        named = len(word) > 1 and any(letter.isupper() for letter in word)
        if named and not (before and word.lower() in STOPWORDS):
            if match.start() == end + 1 and sentence[end] == " ":
                runs[-1][0].append(word)
            else:
                runs.append(([word], before))
            end = match.end()
        before = word
    return runs


def _value(digits: str) -> Decimal | None:
    if "," in digits and "." in digits:
        decimal = max(",", ".", key=digits.rfind)
        digits = digits.replace("." if decimal == "," else ",", "").replace(decimal, ".")
    elif digits.count(",") > 1 or re.fullmatch(r"\d{1,3},\d{3}", digits):
        digits = digits.replace(",", "")
    else:
        digits = digits.replace(",", ".")
    # "1.2.3" is a version or a section, not a number.
    return Decimal(digits) if digits.count(".") <= 1 and len(digits) <= 15 and digits.isascii() else None
