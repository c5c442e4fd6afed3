"""Prompt templates: what they take, what they refuse, and what they render."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from pathlib import Path
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, computed_field

from promptchain.errors import PromptFileError, TemplateError
from promptchain.templates import Template


class Inner(BaseModel):
    city: str


class Analysis(BaseModel):
    intent: str
    inner: Inner
    maybe: Inner | None = None
    _secret: str = "hidden"

    @property
    def loud(self) -> str:
        return self.intent.upper()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        return len(self.intent)


@dataclasses.dataclass
class Point:
    x: int
    label: str


class Row(TypedDict):
    name: str


class Colour(enum.Enum):
    RED = "red"


ANALYSIS = Analysis(intent="héllo", inner=Inner(city="Köln"))
NAMES: dict[str, Any] = {"input": str, "previous": Any, "analyze": Analysis, "point": Point, "row": Row}
VALUES: dict[str, object] = {
    "input": "text",
    "previous": ANALYSIS,
    "analyze": ANALYSIS,
    "point": Point(3, "p"),
    "row": {"name": "n"},
}


def filled(text: str, values: dict[str, object] | None = None) -> str:
    return Template(text).render((values or VALUES).__getitem__)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("plain", "plain"),
        ("{input}", "text"),
        ("a {input} b {input}", "a text b text"),
        ("{analyze.intent}", "héllo"),
        ("{analyze.inner.city}", "Köln"),
        ("{analyze.loud}/{analyze.length}", "HÉLLO/5"),
        ("{previous.intent}", "héllo"),
        ("{point.label}{point.x}", "p3"),
        ("{row.name}", "n"),
        ("{{input}}", "{input}"),
        ("{{{input}}}", "{text}"),
        ('{{"a": {{}}}}', '{"a": {}}'),
        ("line\n{input}\n", "line\ntext\n"),
        ("{point}", '{"x":3,"label":"p"}'),
    ],
)
def test_a_template_that_checks_renders(template: str, rendered: str) -> None:
    Template(template).check(NAMES)
    assert filled(template) == rendered


def test_what_is_filled_in_is_never_read_as_a_template_again() -> None:
    assert filled("{input}", {"input": "{analyze.intent} {{x}} {"}) == "{analyze.intent} {{x}} {"


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (Colour.RED, "red"),
        ([ANALYSIS.inner], '[{"city":"Köln"}]'),
        ({"a": Point(1, "ü")}, '{"a":{"x":1,"label":"ü"}}'),
        ("", ""),
    ],
)
def test_a_value_stands_as_text_or_as_json(value: object, rendered: str) -> None:
    assert filled("{input}", {"input": value}) == rendered


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{", "single '{'"),
        ("a } b", "single '}'"),
        ("{}", "names nothing"),
        ("{ input }", "not a placeholder"),
        ("{input!r}", "not a placeholder"),
        ("{input:>10}", "not a placeholder"),
        ("{input[0]}", "not a placeholder"),
        ("{input()}", "not a placeholder"),
        ("{input.}", "not a placeholder"),
        ("{0}", "not a placeholder"),
        ("{analyze.__class__}", "underscore"),
        ("{analyze._secret}", "underscore"),
        ("{__globals__}", "underscore"),
        ("{input\n}", "single '{'"),
        ("{a{input}}", "single '{'"),
        ("", "empty"),
        (" \n\t", "empty"),
        ("half \ud800", "surrogate"),
    ],
)
def test_what_is_no_template_is_refused_when_it_is_read(template: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        Template(template)


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(TemplateError, match="the system prompt, line 3"):
        Template("one\ntwo\n{oh no}", "system prompt")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{analize.intent}", r"\{analize.intent\}.*Did you mean 'analyze'\?"),
        ("{analyze.intend}", r"Did you mean 'intent'\?.*Known: .*inner, intent"),
        ("{analyze.inner.town}", r"analyze.inner is Inner, without 'town'"),
        ("{input.x}", "asks for a field of input, which is text"),
        ("{point.x.y}", "which is int"),
        ("{analyze.maybe.city}", "may be None"),
        ("{row.nam}", "Did you mean 'name'"),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_the_nearest_that_does(template: str, says: str) -> None:
    with pytest.raises(TemplateError, match=says):
        Template(template).check(NAMES)


def test_a_field_of_an_unknown_type_is_found_missing_only_when_it_is_filled() -> None:
    template = Template("{previous.nope}")
    template.check(NAMES)
    with pytest.raises(TemplateError, match="Analysis has no 'nope'"):
        template.render(VALUES.__getitem__)


@pytest.mark.parametrize("value", ["\ud800", Inner(city="x").model_copy(update={"city": "\udfff"}), object()])
def test_a_value_that_is_no_text_is_an_error_of_the_placeholder(value: object) -> None:
    with pytest.raises(TemplateError, match=r"line 1: \{input\} cannot be"):
        filled("{input}", {"input": value})


def test_a_prompt_file_is_read_as_utf8_and_its_digest_is_that_of_sha256sum(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_bytes("Grüße {input}\n".encode())
    template = Template(file)
    assert template.render(VALUES.__getitem__) == "Grüße text\n"
    assert template.digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_digest_is_of_the_template_and_not_of_what_it_was_filled_with() -> None:
    assert Template("{input}").digest == hashlib.sha256(b"{input}").hexdigest()
    assert Template("{input}").digest != Template("{input} ").digest


def test_the_digest_of_a_file_is_that_of_its_bytes_whatever_the_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_bytes(b"one\r\ntwo\r\n")
    assert Template(file).digest == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_missing_prompt_file_names_itself_and_the_nearest_that_exists(tmp_path: Path) -> None:
    (tmp_path / "analyze.md").write_text("x", "utf-8")
    with pytest.raises(PromptFileError, match=r"analise\.md' does not exist\. Did you mean 'analyze\.md'\?"):
        Template(tmp_path / "analise.md")
    with pytest.raises(PromptFileError, match="There is no folder"):
        Template(tmp_path / "no" / "x.md")


def test_a_prompt_file_that_is_not_utf8_or_not_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_bytes(b"ab\xff")
    with pytest.raises(PromptFileError, match=r"not UTF-8 \(byte 2\)"):
        Template(file)
    with pytest.raises(PromptFileError, match="cannot be read"):
        Template(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(TemplateError, match="empty"):
        Template(file)


def test_a_prompt_of_another_type_is_refused() -> None:
    with pytest.raises(TemplateError, match="not int"):
        Template(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
