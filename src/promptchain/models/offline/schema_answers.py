"""JSON that conforms to a schema, with values from the prompt where a field's name suggests one."""

from __future__ import annotations

import itertools
import json
import re
import zlib
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

from promptchain.models.offline.fields import BAD_NEWS, GOOD_NEWS, SCORES, SIZES, kind_of, words_of
from promptchain.models.offline.formats import FIELD_FORMATS, formatted
from promptchain.models.offline.numbers import bounds, counted_on, number_within
from promptchain.models.offline.patterns import matches, samples
from promptchain.models.offline.prose import describe, prose, shorten, title
from promptchain.models.offline.reading import NOTICE
from promptchain.models.offline.schemas import Document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from promptchain.models.offline.reading import Reading
    from promptchain.models.offline.schemas import Schema

__all__ = ["json_answer"]

# From here on only what the schema demands is written, so that wide and recursive types stay small.
_DEPTH = 6
# No value that ends lies this deep; a type without one is cut off here.
_ENDLESS = 60


def json_answer(schema: Mapping[str, Any], reading: Reading) -> str:
    """JSON text that conforms to ``schema``, as pydantic writes it or as ``anthropic.transform_schema`` does.

    Knows the keywords that pydantic uses; ``not``, ``if`` and ``contains`` are not looked at. A pattern with
    look-around or back-references is matched where one of a few tries matches it. What a schema leaves out
    cannot be kept: a validator function, a ``Decimal``'s number of digits, a URL's scheme; and in the SDK's
    form, where objects have no further keys, a dictionary is empty.
    """
    return json.dumps(_Writer(Document(schema), reading).whole(), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the answer a value stands.

    Attributes:
        field: Name of the property, or of the one that holds the list.
        index: Position in the list, to give each item a value of its own.
        depth: Containers around it.
        within: References on the way to it.
        ending: Whether only what is demanded is written.
    """

    field: str = ""
    index: int = 0
    depth: int = 0
    within: frozenset[str] = frozenset()
    ending: bool = False


class _Writer:
    def __init__(self, document: Document, reading: Reading) -> None:
        self._document = document
        self._reading = reading
        self._numbers = 0
        self._noticed = False

    def whole(self) -> Any:
        return self._value(self._document.root, _Place())

    def _value(self, schema: object, place: _Place) -> Any:
        here, followed = self._document.resolve(schema)
        if place.depth > _ENDLESS:
            return None
        if followed & place.within or place.depth >= _DEPTH:
            place = replace(place, ending=True)
        place = replace(place, within=place.within | followed)
        if "const" in here:
            return here["const"]
        if here.get("enum"):
            return self._choice(here["enum"], place)
        for keyword in ("anyOf", "oneOf"):
            if here.get(keyword):
                return self._value(self._variant(here, keyword, place), place)
        match _type_of(here):
            case "object":
                return self._object(here, place)
            case "array":
                return self._array(here, place)
            case "integer":
                return self._number(here, place, whole=True)
            case "number":
                return self._number(here, place, whole=False)
            case "boolean":
                good = not BAD_NEWS & set(words_of(place.field))
                return good if place.index % 2 == 0 else not good
            case "null":
                return None
            case _:
                return self._string(here, place)

    def _variant(self, schema: Schema, keyword: str, place: _Place) -> Schema:
        variants: list[Schema] = [self._document.resolve(variant)[0] for variant in schema[keyword]]
        shared = {
            key: value for key, value in schema.items() if key not in {keyword, "discriminator", "default"}
        }
        originals: Sequence[object] = schema[keyword]
        kinds = [_type_of(variant) for variant in variants]
        # A number or a string is a Decimal; the string may have a pattern that says how many digits fit.
        digits = [
            v["pattern"]
            for v, kind in zip(variants, kinds, strict=True)
            if kind == "string" and "pattern" in v
        ]
        if place.ending:
            number = min(range(len(variants)), key=lambda n: self._document.height(originals[n]))
        elif "number" in kinds and "string" in kinds:
            number = kinds.index("number")
        else:
            full = [n for n, kind in enumerate(kinds) if kind != "null"] or [0]
            number = full[place.index % len(full)]
        # The union's own title and description say what the field means; its variants', what they are.
        chosen: Schema = {"allOf": [shared, originals[number]]}
        if digits and kinds[number] == "number":
            chosen["x-written-as"] = digits[0]
        return chosen

    def _object(self, schema: Schema, place: _Place) -> dict[str, Any]:
        inner = replace(place, depth=place.depth + 1)
        required = schema.get("required", ())
        answer: dict[str, Any] = {}
        for name, part in schema.get("properties", {}).items():
            if name in required or not place.ending or self._is_fixed(part):
                answer[name] = self._value(part, replace(inner, field=name))
        extra = schema.get("additionalProperties", False)
        patterns = schema.get("patternProperties", {})
        if extra is False and not patterns:
            return answer
        least = schema.get("minProperties", 0)
        most = schema.get("maxProperties", max(least, 2))
        wanted = least if place.ending or "properties" in schema else min(max(least, 2), most)
        # Where nothing is said about the keys, a figure also is one where the type wants numbers.
        keys: Schema = schema.get("propertyNames") or {"enum": [str(n) for n in range(1, wanted + 1)]}
        if patterns:
            pattern, extra = next(iter(patterns.items()))
            keys = {"pattern": pattern, **schema.get("propertyNames", {})}
        for index in range(wanted * 4 + 20):
            if len(answer) >= wanted:
                break
            name = str(self._value({"type": "string", **keys}, replace(inner, field="name", index=index)))
            if name not in answer:
                answer[name] = self._value(extra, replace(inner, index=index))
        return answer

    def _is_fixed(self, schema: object) -> bool:
        # The tag of a union has a default and is not required, but without it the union can't be told apart.
        here, _ = self._document.resolve(schema)
        return "const" in here

    def _array(self, schema: Schema, place: _Place) -> list[Any]:
        inner = replace(place, depth=place.depth + 1)
        answer = [
            self._value(item, replace(inner, index=place.index + index))
            for index, item in enumerate(schema.get("prefixItems", ()))
        ]
        items = schema.get("items", not answer)
        if items is False:
            return answer
        least = schema.get("minItems", 0)
        wanted = least if place.ending else max(least, self._many(items, place))
        wanted = min(wanted, schema.get("maxItems", wanted))
        seen: set[str] = set()
        for index in range(place.index, place.index + wanted * 4 + 20):
            if len(answer) >= wanted:
                break
            item = self._value(items, replace(inner, index=index))
            written = json.dumps(item, sort_keys=True)
            if not schema.get("uniqueItems") or written not in seen:
                seen.add(written)
                answer.append(item)
        return answer

    def _many(self, items: object, place: _Place) -> int:
        """How many items a list has when it may choose."""
        if place.depth > 2:
            return 1
        if _type_of(self._document.resolve(items)[0]) == "string" and kind_of(place.field, "") == "name":
            return min(len(self._reading.subjects), 6)
        return 2

    def _choice(self, values: Sequence[Any], place: _Place) -> Any:
        if place.index:
            return values[(self._preferred(values, place) + place.index) % len(values)]
        return values[self._preferred(values, place)]

    def _preferred(self, values: Sequence[Any], place: _Place) -> int:
        if SIZES & set(words_of(place.field)):
            return min(sum(self._reading.words > most for most in (30, 150, 600)), len(values) - 1)
        for number, value in enumerate(values):
            if isinstance(value, str) and value.lower() in GOOD_NEWS:
                return number
        said = {word.lower() for word in self._reading.keywords}
        for number, value in enumerate(values):
            if isinstance(value, str) and said & set(words_of(value)):
                return number
        return zlib.crc32(f"{place.field}\n{self._reading.ask}".encode(errors="replace")) % len(values)

    def _number(self, schema: Schema, place: _Place, *, whole: bool) -> int | float:
        words = words_of(place.field) or words_of(str(schema.get("title", "")))
        low, high = bounds(schema)
        wanted: list[Fraction] = []
        if SCORES & set(words):
            floor = Fraction(0) if low is None else low
            wanted = [floor + ((Fraction(10 if whole else 1) if high is None else high) - floor) * 4 / 5]
        elif "word" in words and "count" in words:
            wanted = [Fraction(self._reading.words)]
        elif words[-1:] == ["year"]:
            wanted = [Fraction(n.value) for n in self._reading.numbers if 1900 <= n.value <= 2100]
            wanted.append(Fraction(2026))
        elif found := self._reading.numbers:
            start = self._numbers % len(found)
            wanted = [Fraction(number.value) for number in (*found[start:], *found[:start])]
            if whole:
                wanted = [number for number in wanted if number.denominator == 1]
            self._numbers += 1
        if place.index:
            # Each item of a list its own number: there may be fewer in the text.
            base = wanted[0] if wanted else Fraction(1)
            wanted = [counted_on(schema, base, place.index, whole=whole), *wanted]
        return number_within(schema, wanted, whole=whole, written_as=schema.get("x-written-as"))

    def _string(self, schema: Schema, place: _Place) -> str:
        if "contentSchema" in schema:
            return json.dumps(self._value(schema["contentSchema"], place), ensure_ascii=False)
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        pattern = schema.get("pattern")
        if "format" in schema and (value := formatted(schema["format"], place.index, self._reading.ask)):
            return value
        natural = ""
        for text in self._texts(schema, place):
            natural = self._fitted(text, least, most, place.index)
            if pattern is None or matches(pattern, natural):
                return natural
        if pattern is not None:
            for text in samples(pattern, place.index, least):
                if len(text) >= least and (most is None or len(text) <= most) and matches(pattern, text):
                    return text
        return natural

    def _texts(self, schema: Schema, place: _Place) -> Iterator[str]:
        """What the field could say, best first."""
        reading = self._reading
        words = words_of(place.field)
        if words and words[-1] in FIELD_FORMATS:
            value = formatted(FIELD_FORMATS[words[-1]], place.index, reading.ask)
            if value and (schema.get("maxLength") is None or len(value) <= schema["maxLength"]):
                yield value
        phrases = [*reading.sentences, *reading.subjects, reading.ask, "text"]
        first = place.index == 0
        match kind_of(place.field, f"{schema.get('title', '')} {schema.get('description', '')}"):
            case "prose" if first:
                yield self._prose(schema)
            case "ask" if first:
                yield shorten(reading.ask, 200).rstrip(":") or "The request does not say what it wants."
            case "central" if first:
                yield reading.central or "There is nothing to sum up."
            case "title" if first:
                yield title(reading)
            case "name" | "title":
                phrases = [*reading.subjects, *phrases]
            case "description" if first:
                yield describe(reading)
            case "language":
                yield reading.language
            case _:
                phrases = [*reading.sentences, reading.ask, *reading.subjects, "text"]
        yield from map(str, schema.get("examples", ()))
        phrases = list(dict.fromkeys(filter(None, phrases)))
        again, number = divmod(place.index, len(phrases))
        yield f"{phrases[number]} {again + 1}" if again else phrases[number]
        if "pattern" in schema:  # a name, an identifier or a number may be what it wants
            yield from (form for word in reading.subjects for form in (word, word.lower(), word.upper()))
            yield from (number.text for number in reading.numbers)

    def _prose(self, schema: Schema) -> str:
        text = prose(self._reading)
        noticed = f"{text}\n\n{NOTICE}"
        if self._noticed or len(noticed) > schema.get("maxLength", len(noticed)) or "pattern" in schema:
            return text
        self._noticed = True
        return noticed

    def _fitted(self, text: str, least: int, most: int | None, index: int) -> str:
        if most is not None and len(text) > most:
            # Cut texts look alike, so the number of the item goes to the end.
            mark = str(index) if index else ""
            text = text[:most] if most < 12 else shorten(text, most)
            text = (text[: max(most - len(mark), 0)] + mark)[-most:] if most else ""
        if len(text) < least:
            more = itertools.cycle([*self._reading.keywords, "and"])
            while len(text) < least:
                text = f"{text} {next(more)}"
            text = text[: most if most is not None else None]
        return text if text == text.strip() else re.sub(r"^\s|\s$", ".", text)


def _type_of(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = cast("list[str]", kind)
        return next((each for each in kinds if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "additionalProperties" in schema or "patternProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(
        key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    ):
        return "number"
    return "string"
