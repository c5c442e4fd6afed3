"""The words by which the offline model recognises a language, a request and what kind of request it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ASKING", "PERSONS", "REVISING", "STOPWORDS", "TIMES", "language_of", "listed"]


def listed(words: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(words.split())


_LANGUAGES = {
    "en": "a an the and or but of to in on at for with from by as is are was were be been it its this that "
    "these those i you he she we they my your our their not no do does did can could should would will what "
    "which who how why when where than then so if into about over per has have had there all any each more "
    "most some such only also may must me us him her them up out s t",
    "de": "der die das den dem des ein eine einen einem einer und oder aber von zu zum zur im in am an auf "
    "für mit aus bei nach ist sind war waren wird werden es dies diese dieser dieses ich du er sie wir ihr "
    "mein dein unser nicht kein keine wie was wer warum wann wo als dann so wenn über hat haben mir mich "
    "dir sich auch nur noch um zwischen bitte",
    "fr": "le la les un une des du de et ou mais en dans sur pour avec par est sont était être ce cette ces "
    "je tu il elle nous vous ils mon ton son notre votre ne pas que qui comment pourquoi quand où plus aux "
    "au se sa ses leur leurs moi",
    "es": "el la los las un una unos unas y o pero de del en con por para es son era ser este esta estos yo "
    "tú él ella nosotros ellos mi tu su nuestro no que quién cómo por qué cuándo dónde más al se sus me lo",
    "it": "il lo la i gli le un uno una e o ma di del della in con su per è sono era essere questo questa io "
    "tu lui lei noi voi loro mio non che chi come perché quando dove più al si sua suo mi",
}
_BY_LANGUAGE = {code: listed(words) for code, words in _LANGUAGES.items()}
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
)

STOPWORDS = frozenset[str]().union(*_BY_LANGUAGE.values())
"""Words that carry no subject, of all languages that ``language_of`` tells apart by words."""

ASKING = listed(
    "add analyse analyze answer assess build calculate check classify compare compose convert correct create "
    "debug define describe design discuss draft evaluate explain extract find fix generate give help identify "
    "implement improve introduce list make name outline paraphrase please plan polish prepare produce propose "
    "read refactor review rewrite show simplify solve suggest summarise summarize teach tell translate turn "
    "use write bitte beschreibe erkläre erklär erstelle fasse finde formuliere gib liste nenne schreib "
    "schreibe übersetze vergleiche verfasse zeige compare décris donne écris explique résume traduis compara "
    "describe escribe explica resume traduce descrivi scrivi spiega riassumi traduci"
)
"""Verbs that begin a request."""

REVISING = re.compile(
    r"\b(?:copy-?edit|edit|finali[sz]e|final|improve|polish|proofread|refine|revise|rewrite)", re.IGNORECASE
)
"""A prompt with one of these wants its draft back."""

PERSONS = listed(
    "adult analyst audience beginner board boss child colleague customer designer developer engineer expert "
    "friend kid layperson lawyer manager novice parent patient programmer pupil reader researcher scientist "
    "student teacher team teenager user"
)
"""Whom something may be explained to."""

TIMES = listed(
    "yesterday today tomorrow now then later since until during before after meanwhile however still yet "
    "although because while gestern heute morgen hier aujourd'hui demain ayer hoy mañana"
)
"""Words that begin a sentence and are no part of the name that follows."""


def language_of(words: Iterable[str], text: str) -> str:
    """The ISO 639-1 code of the language that ``text`` is most likely in; English when nothing tells."""
    for code, letters in _SCRIPTS:
        if letters.search(text):
            return code
    lowered = [word.lower() for word in words]
    return max(_BY_LANGUAGE, key=lambda code: sum(word in _BY_LANGUAGE[code] for word in lowered))
