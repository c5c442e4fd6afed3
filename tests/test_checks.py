"""The ready-made gates, by themselves and in a step."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, computed_field

from promptchain import Chain, Gate, Run, ScriptedModel, Step, Verdict
from promptchain.errors import DefinitionError, GateBlockedError, GateCrashedError
from promptchain.gates import (
    does_not_match,
    in_range,
    json_schema,
    length,
    matches,
    min_confidence,
    not_empty,
    one_of,
)
from promptchain.testing import MessagesAPI


class Author(BaseModel):
    name: str
    born: date | None = None


class Article(BaseModel):
    model_config = ConfigDict(frozen=True)

    title: str
    points: list[str] = []
    author: Author = Author(name="Ada")
    confidence: float = 0.8

    @computed_field
    @property
    def shout(self) -> str:
        return self.title.upper()


@dataclass(frozen=True)
class Label:
    name: str
    weight: int = 1


class Bare:
    def __init__(self) -> None:
        self.mood = "Calm"
        self._secret = "x"

    def method(self) -> str:
        return "x"


async def verdict(gate: Gate[object], value: object) -> Verdict:
    return await gate.judge(value, Run.begin("x"))


async def passes(gate: Gate[object], value: object) -> bool:
    return (await verdict(gate, value)) == Verdict.allow()


async def reason(gate: Gate[object], value: object) -> str:
    given = await verdict(gate, value)
    assert given.decision == "block"
    return given.reason


async def crash(gate: Gate[object], value: object) -> str:
    with pytest.raises(GateCrashedError) as caught:
        await verdict(gate, value)
    assert caught.value.value is value
    return str(caught.value)


# Every gate with a value that passes and one that does not.
EVERY: list[tuple[str, Callable[..., Gate[object]], object, object]] = [
    ("length", lambda **o: length(max=3, **o), "abc", "abcd"),
    ("matches", lambda **o: matches("^a", **o), "abc", "cba"),
    ("does_not_match", lambda **o: does_not_match("x", **o), "abc", "axc"),
    ("one_of", lambda **o: one_of(["yes", "no"], **o), "yes", "maybe"),
    ("not_empty", lambda **o: not_empty(**o), "x", "  "),
    ("in_range", lambda field=None, **o: in_range(field, ge=1, **o), 1, 0),
    ("min_confidence", lambda field=None, **o: min_confidence(field=field, **o), 0.5, 0.4),
    ("json_schema", lambda **o: json_schema({"type": "array"}, **o), "[]", "{}"),
]
every = pytest.mark.parametrize(("kind", "make", "good", "bad"), EVERY, ids=[kind for kind, *_ in EVERY])


@every
async def test_a_gate_judges_the_value_or_a_part_of_it(kind: str, make: Any, good: Any, bad: Any) -> None:
    assert await passes(make(), good)
    assert (await reason(make(), bad)).startswith("it ")
    assert await passes(make(field="a.b"), {"a": {"b": good}})
    assert (await reason(make(field="a.b"), {"a": {"b": bad}})).startswith("'a.b' ")


@every
async def test_a_gate_has_a_name_a_mode_and_asks_again_if_it_shall(
    kind: str, make: Any, good: Any, bad: Any
) -> None:
    assert make().name == kind
    assert make().mode is None
    assert make(field="a.b").name == f"{kind}(a.b)"
    gate = make(name="mine", mode="lenient", on_fail="retry")
    assert (gate.name, gate.mode) == ("mine", "lenient")
    again = await verdict(gate, bad)
    assert again.decision == "retry"
    assert again.reason.startswith("the reply ")
    assert (await verdict(gate, good)).allowed
    assert (await verdict(make(field="a", on_fail="retry"), {"a": bad})).reason.startswith("'a' ")


@every
async def test_a_part_that_does_not_exist_is_a_crash(kind: str, make: Any, good: Any, bad: Any) -> None:
    assert "it is a dict and has no 'titel'. Did you mean 'title'?" in await crash(
        make(field="titel"), {"title": good}
    )


@every
@pytest.mark.parametrize("field", ["", ".", "a.", "a..b", " a", 3, ["a"]])
def test_a_field_that_is_no_path_is_refused(kind: str, make: Any, good: Any, bad: Any, field: Any) -> None:
    with pytest.raises(DefinitionError, match="field is a name"):
        make(field=field)


@every
@pytest.mark.parametrize("option", [{"mode": "strikt"}, {"on_fail": "ask"}])
def test_an_unknown_mode_or_failure_is_refused(
    kind: str, make: Any, good: Any, bad: Any, option: Mapping[str, str]
) -> None:
    with pytest.raises(DefinitionError, match="Known"):
        make(**option)


# The part that is judged.


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Article(title="x"), "title"),
        (Article(title="x"), "author.name"),
        (Article(title="x"), "shout"),
        ({"a": Label("x")}, "a.name"),
        (MappingProxyType({"a b": "x"}), "a b"),
        ({"_id": "x"}, "_id"),
        (Bare(), "mood"),
    ],
)
async def test_a_part_is_a_field_an_attribute_or_a_key(value: Any, field: str) -> None:
    assert await passes(not_empty(field=field), value)


@pytest.mark.parametrize(
    ("value", "field", "told"),
    [
        (Article(title="x"), "titel", "it is a Article and has no 'titel'. Did you mean 'title'?"),
        (Article(title="x"), "author.nam", "'author' is a Author and has no 'nam'. Did you mean 'name'?"),
        (Article(title="x"), "author.born.year", "'author.born' is a NoneType and has no 'year'."),
        (Label("x"), "nme", "it is a Label and has no 'nme'. Did you mean 'name'?"),
        (Bare(), "method", "it is a Bare and has no 'method'."),
        (Bare(), "_secret", "it is a Bare and has no '_secret'."),
        (Bare(), "__class__", "has no '__class__'"),
        ("text", "upper", "it is a str and has no 'upper'."),
        (["x"], "append", "it is a list and has no 'append'."),
    ],
)
async def test_what_has_no_such_field_is_told_with_the_nearest(value: Any, field: str, told: str) -> None:
    assert told in await crash(not_empty(field=field), value)


# length


@pytest.mark.parametrize(
    ("gate", "value", "told"),
    [
        (length(max=3), "four", "it has 4 characters, and at most 3 are allowed"),
        (length(min=3), "x", "it has 1 character, and at least 3 are wanted"),
        (length(min=2, max=3, unit="words"), "one", "it has 1 word, and 2 to 3 are allowed"),
        (length(max=2, unit="words"), " a\tb\nc ", "it has 3 words, and at most 2 are allowed"),
        (length(max=1, unit="lines"), "a\n\nb\n", "it has 3 lines, and at most 1 is allowed"),
        (length(min=1, unit="items"), [], "it has 0 items, and at least 1 is wanted"),
        (length(min=2, max=2, unit="items"), {"a": 1}, "it has 1 item, and exactly 2 are wanted"),
        (length(min=1, max=1, unit="items"), (1, 2), "it has 2 items, and exactly 1 is wanted"),
    ],
)
async def test_a_length_tells_the_actual_size(gate: Gate[object], value: object, told: str) -> None:
    assert await reason(gate, value) == told


@given(st.text(), st.integers(0, 20), st.integers(0, 20))
async def test_a_length_passes_from_min_to_max_and_nowhere_else(text: str, one: int, other: int) -> None:
    least, most = sorted((one, other))
    assert await passes(length(min=least, max=most), text) is (least <= len(text) <= most)
    assert await passes(length(min=least, max=most, unit="words"), text) is (
        least <= len(text.split()) <= most
    )


@pytest.mark.parametrize("unit", ["characters", "words", "lines"])
@pytest.mark.parametrize("value", [["a"], 5, None, b"abc", Article(title="x")])
async def test_a_length_of_what_is_no_text_is_a_crash(unit: Any, value: object) -> None:
    assert f"a length in {unit} judges text, not {type(value).__name__}" in await crash(
        length(min=0, max=99, unit=unit), value
    )


@pytest.mark.parametrize("value", ["text", 5, None, b"abc", Article(title="x")])
async def test_items_of_what_holds_none_are_a_crash(value: object) -> None:
    assert "judges lists and mappings" in await crash(length(min=0, max=99, unit="items"), value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "needs a min, a max or both"),
        ({"min": 3, "max": 2}, "at least 3 and at most 2"),
        ({"max": -1}, "whole number"),
        ({"max": True}, "whole number"),
        ({"min": 2.0}, "whole number"),
        ({"min": "2"}, "whole number"),
        ({"max": 2, "unit": "word"}, "Did you mean 'words'"),
        ({"max": 2, "unit": ["words"]}, "no unit"),
    ],
)
def test_a_length_that_says_nothing_or_nonsense_is_refused(options: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        length(**options)


# matches and does_not_match


async def test_a_pattern_matches_anywhere_or_as_a_whole() -> None:
    assert await passes(matches(r"\d{4}"), "in 1886 and later")
    assert await passes(matches(r"\d{4}", full=True), "1886")
    assert await reason(matches(r"\d{4}", full=True), "1886\n") == (
        r"it must match the regular expression `\d{4}` as a whole"
    )
    assert await reason(matches(r"\d{4}"), "long ago") == r"it must match the regular expression `\d{4}`"


async def test_a_pattern_may_be_compiled_and_have_flags() -> None:
    assert await passes(matches(re.compile("^b", re.MULTILINE)), "a\nb")
    assert await passes(matches("^b", flags=re.MULTILINE | re.IGNORECASE), "a\nB")
    assert not await passes(matches("^b"), "a\nB")


async def test_a_match_that_is_not_wanted_is_told_by_its_line_and_not_repeated() -> None:
    told = await reason(does_not_match(r"sk-\w+"), "one\ntwo sk-topsecret\n")
    assert told == r"it must not match the regular expression `sk-\w+`, and does in line 2"


@pytest.mark.parametrize("make", [matches, does_not_match])
async def test_a_reason_of_ones_own_is_told_as_it_is(make: Any) -> None:
    pattern = "x" if make is matches else "a"
    for field, value in ((None, "a"), ("f", {"f": "a"})):
        gate = make(pattern, reason="write the number as AB-1234", field=field)
        assert await reason(gate, value) == gate.reason == "write the number as AB-1234"


@pytest.mark.parametrize("make", [matches, does_not_match])
@pytest.mark.parametrize("pattern", ["(", "", b"x", None, 3, ["x"], re.compile(b"x")])
def test_a_pattern_that_is_none_is_refused(make: Any, pattern: Any) -> None:
    with pytest.raises(DefinitionError, match="takes a regular expression"):
        make(pattern)


@pytest.mark.parametrize("make", [matches, does_not_match])
def test_flags_that_do_not_fit_and_blank_reasons_are_refused(make: Any) -> None:
    with pytest.raises(DefinitionError, match="flags"):
        make(re.compile("x"), flags=re.IGNORECASE)
    with pytest.raises(DefinitionError, match="ASCII and UNICODE"):
        make("x", flags=re.ASCII | re.UNICODE)
    with pytest.raises(DefinitionError, match="a reason is a text"):
        make("x", reason=" ")


@pytest.mark.parametrize("gate", [matches("x"), does_not_match("x"), one_of(["x"])])
@pytest.mark.parametrize("value", [None, 3, ["x"], b"x", Article(title="x")])
async def test_what_judges_text_crashes_on_everything_else(gate: Gate[object], value: object) -> None:
    assert f"judges text, not {type(value).__name__}" in await crash(gate, value)


@given(st.text())
async def test_one_pattern_either_matches_or_does_not(text: str) -> None:
    assert await passes(matches(r"[a-f]\s"), text) is not await passes(does_not_match(r"[a-f]\s"), text)


# one_of


async def test_a_text_that_is_not_among_the_allowed_is_told_with_them() -> None:
    assert await reason(one_of(["yes", "no"]), "maybe") == "it is 'maybe', and must be one of 'yes', 'no'"
    assert await reason(one_of(["yes"]), "x" * 99) == f"it is '{'x' * 60}…', and must be 'yes'"
    assert not await passes(one_of(["yes", "no"]), "Yes")
    assert not await passes(one_of(["yes", "no"], strip=False), "yes ")
    assert not await passes(one_of(["yes", "no"], case_sensitive=False), "yesno")


async def test_a_text_that_differs_in_spaces_or_case_is_replaced_by_the_one_that_is_meant() -> None:
    assert await verdict(one_of(["yes", "no"]), " yes\n") == Verdict.replace(
        "yes", "it is spelt 'yes', not ' yes\\n'"
    )
    loose = one_of(["Straße", "Weg"], case_sensitive=False)
    assert (await verdict(loose, " STRASSE ")).value == "Straße"
    assert await passes(loose, "Straße")
    assert await passes(one_of([" padded "]), " padded ")


@given(
    st.lists(st.text(min_size=1).filter(str.strip), min_size=1, unique_by=lambda t: t.strip().casefold()),
    st.data(),
)
async def test_whatever_the_spelling_the_result_is_one_of_the_values(
    values: list[str], data: st.DataObject
) -> None:
    meant = data.draw(st.sampled_from(values))
    spelt = data.draw(st.sampled_from([meant, f" {meant}\n", meant.casefold()]))
    given = await verdict(one_of(values, case_sensitive=False), spelt)
    assert given.allowed
    assert (spelt if given.decision == "allow" else given.value) == meant


async def test_a_part_is_replaced_in_a_copy_of_what_holds_it() -> None:
    gate = one_of(["Ada", "Bob"], case_sensitive=False, field="author.name")
    article = Article(title="x", author=Author(name="ADA"))
    given = await verdict(gate, article)
    assert given.value == Article(title="x", author=Author(name="Ada"))
    assert article.author.name == "ADA"
    nested = {"author": {"name": "bob"}, "other": 1}
    assert (await verdict(gate, nested)).value == {"author": {"name": "Bob"}, "other": 1}
    assert nested["author"] == {"name": "bob"}
    assert (await verdict(one_of(["x"], field="name"), Label(" x", 3))).value == Label("x", 3)


@pytest.mark.parametrize(("value", "field"), [(Article(title=" x"), "shout"), (Bare(), "mood")])
async def test_what_cannot_be_replaced_is_a_crash_and_not_a_pass(value: Any, field: str) -> None:
    gate = one_of(["x", "calm"], case_sensitive=False, field=field)
    assert f"{field!r} of a {type(value).__name__} cannot be replaced" in await crash(gate, value)


async def test_an_enumeration_of_texts_gives_plain_texts() -> None:
    class Mood(StrEnum):
        CALM = "calm"

    given = await verdict(one_of(Mood), "calm ")
    assert type(given.value) is str
    assert await passes(one_of(Mood), Mood.CALM)
    assert await reason(one_of(Mood), "x") == "it is 'x', and must be 'calm'"


@pytest.mark.parametrize("values", [[], (), "yes", [""], [" "], ["yes", 3], None, 3, [None]])
def test_values_that_are_no_texts_are_refused(values: Any) -> None:
    with pytest.raises(DefinitionError, match="one_of takes a list of texts"):
        one_of(values)


def test_values_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(DefinitionError, match="cannot tell 'yes' from 'YES'"):
        one_of(["yes", "YES"], case_sensitive=False)
    with pytest.raises(DefinitionError, match="cannot tell"):
        one_of(["yes", " yes"])
    assert one_of(["yes", "YES", "yes"])
    assert one_of(["yes", " yes"], strip=False)


# not_empty


@pytest.mark.parametrize("value", ["x", " x ", [0], {"a": 1}, ("",), {1}])
async def test_what_holds_something_is_not_empty(value: object) -> None:
    assert await passes(not_empty(), value)


@pytest.mark.parametrize("value", ["", " \n\t", "\u00a0\u2003", [], {}, (), set[str](), None])
async def test_what_holds_nothing_is_empty(value: object) -> None:
    assert "must hold" in await reason(not_empty(), value)


@pytest.mark.parametrize("value", [0, 1, True, 1.5, Article(title="x"), object()])
async def test_emptiness_of_what_has_no_length_is_a_crash(value: object) -> None:
    assert "not_empty judges texts, lists and mappings" in await crash(not_empty(), value)


# in_range

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({"ge": 1, "le": 3}, [1, 2.5, 3, Decimal(1), Fraction(5, 2)], [0, 3.01, -math.inf, math.inf]),
        ({"gt": 1, "lt": 3}, [1.01, 2, Decimal("2.99")], [1, 3, Decimal(3)]),
        ({"ge": 0.1}, [0.1, Decimal("0.1"), math.inf], [Decimal("0.09"), math.nan, Decimal("nan")]),
        ({"le": Decimal("0.1")}, [0.1, Decimal("0.1"), 0], [0.11, math.nan, Decimal("snan")]),
        ({"lt": math.inf}, [1, 1e300], [math.inf, math.nan]),
        ({"ge": Fraction(1, 3)}, [Fraction(1, 3), 1], [0.3]),
        ({"ge": date(2026, 1, 1)}, [date(2026, 1, 1)], [date(2025, 12, 31)]),
        ({"lt": NOON}, [NOON - timedelta(seconds=1)], [NOON]),
        ({"ge": time(9), "le": time(17)}, [time(12)], [time(8, 59)]),
        ({"gt": timedelta(0)}, [timedelta(1)], [timedelta(0), timedelta(-1)]),
    ],
)
async def test_a_range_of_anything_that_has_an_order(bounds: Any, inside: Any, outside: Any) -> None:
    gate = in_range("x", **bounds)
    for value in inside:
        assert await passes(gate, {"x": value}), value
    for value in outside:
        assert not await passes(gate, {"x": value}), value


async def test_what_is_out_of_range_is_told_with_the_range() -> None:
    assert await reason(in_range("age", ge=18, lt=100), {"age": 7}) == (
        "'age' is 7, and must be at least 18 and below 100"
    )
    assert await reason(in_range(None, gt=date(2026, 1, 1)), date(2025, 2, 3)) == (
        "it is 2025-02-03, and must be above 2026-01-01"
    )
    assert await reason(in_range("x", le=1), {"x": math.nan}) == "'x' is nan, and must be at most 1"


@pytest.mark.parametrize(
    ("bounds", "value"),
    [
        ({"ge": 1}, None),
        ({"ge": 1}, True),
        ({"ge": 1}, "2"),
        ({"ge": 1}, [2]),
        ({"ge": 1}, date(2026, 1, 1)),
        ({"ge": Decimal(1)}, "2"),
        ({"ge": date(2026, 1, 1)}, NOON),
        ({"ge": NOON}, datetime(2026, 11, 24)),  # noqa: DTZ001 - without a zone on purpose
        ({"ge": NOON}, date(2026, 11, 24)),
    ],
)
async def test_what_cannot_be_compared_is_a_crash(bounds: Any, value: object) -> None:
    told = await crash(in_range("x", **bounds), {"x": value})
    assert "cannot be compared" in told or "is not a number" in told


@given(
    st.decimals(allow_nan=True),
    st.integers() | st.floats(allow_nan=False),
    st.sampled_from(["ge", "gt", "le", "lt"]),
)
async def test_a_decimal_is_compared_with_a_bound_as_that_is_written(
    value: Decimal, bound: float, option: str
) -> None:
    said = await passes(in_range(None, **{option: bound}), value)
    if value.is_nan():
        assert said is False
        return
    limit = Decimal(str(bound))
    assert (
        said is {"ge": value >= limit, "gt": value > limit, "le": value <= limit, "lt": value < limit}[option]
    )


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({}, "needs a bound"),
        ({"ge": 1, "gt": 1}, "either ge or gt"),
        ({"le": 1, "lt": 1}, "either le or lt"),
        ({"ge": 3, "le": 1}, "nothing lies"),
        ({"gt": 1, "le": 1}, "nothing lies"),
        ({"ge": 1, "lt": 1}, "nothing lies"),
        ({"ge": True}, "ge of a range is a number"),
        ({"le": math.nan}, "le of a range is a number"),
        ({"le": Decimal("nan")}, "le of a range is a number"),
        ({"ge": "1"}, "ge of a range is a number"),
        ({"ge": [1]}, "ge of a range is a number"),
        ({"ge": 1j}, "ge of a range is a number"),
        ({"ge": 1, "le": date(2026, 1, 1)}, "are no range"),
        ({"ge": date(2026, 1, 1), "le": NOON}, "are no range"),
    ],
)
def test_bounds_that_make_no_range_are_refused(bounds: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        in_range("x", **bounds)
    assert in_range("x", ge=1, le=1)


# min_confidence


async def test_a_confidence_passes_from_the_threshold_on() -> None:
    assert await passes(min_confidence(), Article(title="x", confidence=0.5))
    assert await reason(min_confidence(0.7), Article(title="x", confidence=0.5)) == (
        "'confidence' is 0.5, and must be at least 0.7"
    )
    assert await passes(min_confidence(0.8, field="sure"), {"sure": Decimal("0.8")})
    assert await passes(min_confidence(0, field=None), 0)
    assert await passes(min_confidence(1), {"confidence": 1})
    assert min_confidence().name == "min_confidence"


async def test_the_settings_say_the_least_confidence_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def chain(confidence: float, threshold: float) -> Chain[str, Article]:
        model = ScriptedModel(Article(title="x", confidence=confidence))
        write = Step("write", prompt="{input}", output=Article, gates=[min_confidence(threshold)])
        return Chain("c", write, model=model)

    monkeypatch.setenv("PROMPTCHAIN_MIN_CONFIDENCE", "0.9")
    with pytest.raises(GateBlockedError) as caught:
        await chain(0.8, threshold=0.5).run("x")
    assert caught.value.reason == "'confidence' is 0.8, and must be at least 0.9"
    assert (await chain(0.95, threshold=1).run("x")).output.confidence == 0.95


@pytest.mark.parametrize("value", [85, 1.01, -0.1, math.inf, -math.inf, Decimal("1.5")])
async def test_a_confidence_that_is_no_share_does_not_pass(value: object) -> None:
    assert await reason(min_confidence(0), {"confidence": value}) == (
        f"'confidence' is {value}, and must be from 0 to 1"
    )


@pytest.mark.parametrize("value", [None, "0.9", True, math.nan, Decimal("nan"), Decimal("snan"), [0.9], 1j])
async def test_a_confidence_that_is_no_number_is_a_crash(value: object) -> None:
    assert "a confidence is a number from 0 to 1" in await crash(min_confidence(0), {"confidence": value})


@pytest.mark.parametrize("threshold", [-0.1, 1.1, 50, True, math.nan, "0.5", None])
def test_a_threshold_that_is_no_share_is_refused(threshold: Any) -> None:
    with pytest.raises(DefinitionError, match="number from 0 to 1"):
        min_confidence(threshold)


# json_schema

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "lines"],
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]{2}-"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "$defs": {"line": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}}},
}


async def test_a_text_is_read_as_json_and_everything_else_made_json() -> None:
    gate = json_schema(ORDER)
    assert await passes(gate, '{"id": "AB-1", "lines": [{"count": 2}]}')
    assert await passes(gate, {"id": "AB-1", "lines": []})
    assert await passes(json_schema({"required": ["title", "shout"]}), Article(title="x"))
    assert await passes(json_schema({"const": "2026-01-01"}), date(2026, 1, 1))


async def test_three_violations_are_told_with_their_paths_and_the_rest_counted() -> None:
    lines = [{"count": 0}, {"count": "x"}, 3, 4]
    told = await reason(json_schema(ORDER), json.dumps({"lines": lines}))
    assert told == (
        "it does not fit the JSON schema: $: 'id' is a required property; "
        "$.lines[0].count: 0 is less than the minimum of 1; $.lines[1].count: 'x' is not of type 'integer'; "
        "and 2 more"
    )


async def test_of_several_variants_the_likeliest_is_told() -> None:
    schema = {"properties": {"n": {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}}}
    assert await reason(json_schema(schema), {"n": -1}) == (
        "it does not fit the JSON schema: $.n: -1 is less than the minimum of 0"
    )


async def test_a_long_violation_is_cut_short() -> None:
    told = await reason(json_schema({"type": "integer"}), json.dumps("x" * 5_000))
    assert len(told) < 300


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I think so.",
        "```json\n{}\n```",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        "9" * 5_000,
        "[" * 200_000,
    ],
)
async def test_a_text_that_is_no_json_does_not_pass(text: str) -> None:
    told = await reason(json_schema({}), text)
    assert told.startswith("it is not JSON that can be used: ")
    assert len(told) < 400


async def test_a_number_that_json_does_not_have_does_not_pass() -> None:
    assert "it has no NaN" in await reason(json_schema({"type": "number"}), math.nan)


async def test_what_cannot_be_made_json_is_a_crash() -> None:
    assert "PydanticSerializationError" in await crash(json_schema({}), object())


async def test_the_draft_is_the_one_that_the_schema_names() -> None:
    pair = {"items": [{"type": "integer"}]}  # a tuple until Draft 2019-09
    old = json_schema({"$schema": "http://json-schema.org/draft-07/schema#", **pair})
    assert await passes(old, "[1]")
    assert not await passes(old, '["x"]')
    with pytest.raises(DefinitionError, match=r"wrong at \$\.items"):
        json_schema(pair)


async def test_the_schema_is_copied() -> None:
    schema: dict[str, Any] = {"type": "object", "required": ["a"]}
    gate = json_schema(schema)
    schema["required"].append("b")
    assert await passes(gate, '{"a": 1}')
    assert "$schema" not in schema


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "strin"}, r"wrong at \$\.type"),
        ({"properties": {"a": {"pattern": "("}}}, r"wrong at \$\.properties\.a\.pattern"),
        ({"$schema": "https://example.com/mine"}, "not known"),
        ({"$schema": 3}, "not known"),
        ({"default": math.nan}, "not JSON"),
        ({"enum": {1, 2}}, "not JSON"),
        ([], "as a mapping"),
        (True, "as a mapping"),
        (Article, "as a mapping"),
        ({"$ref": "#/$defs/x"}, r"refers to '#/\$defs/x'"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "refers to 'other.json'"),
        ({"items": {"$ref": "https://example.com/x.json"}}, "nothing is fetched"),
    ],
)
def test_a_schema_that_is_wrong_or_not_whole_is_refused(schema: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        json_schema(schema)


async def test_a_reference_to_the_standard_itself_needs_no_network() -> None:
    gate = json_schema({"$ref": "https://json-schema.org/draft/2020-12/schema"})
    assert await passes(gate, '{"type": "string"}')
    assert not await passes(gate, '{"type": "strin"}')


async def test_a_schema_that_goes_round_in_circles_is_a_crash() -> None:
    assert "RecursionError" in await crash(json_schema({"$ref": "#"}), "[]")


def test_without_jsonschema_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['jsonschema'] = None\n"
        "from promptchain.errors import MissingExtraError\n"
        "from promptchain.gates import json_schema, length\n"
        "length(max=3)\n"
        "try:\n    json_schema({})\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'promptchain-ai[gates]'" in done.stdout


def test_the_gates_load_jsonschema_only_when_it_is_needed() -> None:
    program = (
        "import sys\nfrom promptchain.gates import json_schema\nprint('jsonschema' in sys.modules)\n"
        "json_schema({})\nprint('jsonschema' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


# In a step.


async def test_a_model_is_told_what_to_do_better_and_its_next_reply_passes(messages_api: MessagesAPI) -> None:
    messages_api.script(
        {"title": "", "points": ["one"], "author": {"name": "ADA"}},
        {"title": "Tides", "points": ["one"], "author": {"name": "ADA"}},
        {"title": "Tides", "points": ["one", "two"], "author": {"name": "ADA"}},
    )
    write = Step(
        "write",
        prompt="Write about {input}.",
        output=Article,
        gates=[
            not_empty(field="title", on_fail="retry"),
            length(min=2, max=3, unit="items", field="points", on_fail="retry"),
            one_of(["Ada"], case_sensitive=False, field="author.name"),
            min_confidence(0.6),
        ],
    )
    result = await Chain("article", write, model="claude-haiku-4-5").run("tides")
    assert result[write].output == Article(title="Tides", points=["one", "two"], author=Author(name="Ada"))
    assert [rejected.reason for rejected in result[write].rejected] == [
        "'title' is empty, and must hold text",
        "'points' has 1 item, and 2 to 3 are allowed",
    ]
    asked = [str(entry.received["messages"][-1]["content"]) for entry in messages_api.bill]
    assert "'title' is empty, and must hold text" in asked[1]
    assert "'points' has 1 item, and 2 to 3 are allowed" in asked[2]
    assert len(result.ledger) == len(messages_api.bill) == 3


async def test_a_strict_gate_stops_and_a_lenient_one_is_on_the_record() -> None:
    short = Step("tell", prompt="{input}", gates=[length(max=2, unit="words")])
    with pytest.raises(GateBlockedError) as caught:
        await Chain("c", short, model=ScriptedModel("one two three")).run("x")
    assert str(caught.value) == (
        "step 'tell': the gate 'length' blocked the output: it has 3 words, and at most 2 are allowed."
    )
    lenient = Step("tell", prompt="{input}", gates=[length(max=2, unit="words", mode="lenient")])
    result = await Chain("c", lenient, model=ScriptedModel("one two three")).run("x")
    assert result.output == "one two three"
    (judgement,) = result[lenient].judgements
    assert (judgement.gate, judgement.verdict.decision) == ("length", "block")


async def test_a_label_in_another_spelling_reaches_the_next_step_as_it_is_meant() -> None:
    label = Step("label", prompt="{input}", gates=[one_of(["bug", "wish"], case_sensitive=False)])
    result = await Chain("c", label, model=ScriptedModel("Bug\n")).run("x")
    assert result.output == "bug"


class _Inner(BaseModel):
    name: str


class _Outer(BaseModel):
    inner: _Inner
    maybe: _Inner | None = None


@pytest.mark.parametrize("path", ["ordr", "inner.nam", "inner.name.x"])
def test_a_part_that_the_output_surely_does_not_have_is_refused_when_the_step_is_built(path: str) -> None:
    with pytest.raises(DefinitionError, match=r"step 'a': the gate .* is no part of _Outer"):
        Step("a", prompt="x", output=_Outer, gates=[not_empty(field=path)])


@pytest.mark.parametrize("path", ["inner", "inner.name", "maybe.name"])
def test_a_part_that_the_output_may_have_is_not_refused(path: str) -> None:
    Step("a", prompt="x", output=_Outer, gates=[not_empty(field=path)])


def test_a_part_of_a_text_is_refused() -> None:
    with pytest.raises(DefinitionError, match="is no part of str"):
        Step("a", prompt="x", gates=[not_empty(field="name")])
