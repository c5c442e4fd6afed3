"""Structured outputs in words: what goes into the prompt, and what is taken off the reply."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from promptchain import AnthropicModel, Chain, Model, ScriptedModel, Step
from promptchain.errors import OutputError
from promptchain.events import PartialOutput
from promptchain.messages import ModelRequest
from promptchain.models import SchemaInPrompt, Scripted, complete
from promptchain.models.schema_in_prompt import JsonReader
from promptchain.testing import MessagesAPI

OBJECT = {"type": "object"}
SPACED = "```" + "\n" * 20_000 + "x" + "\n" * 20_000


class City(BaseModel):
    name: str
    people: int


def asked(**changes: Any) -> ModelRequest:
    told: dict[str, Any] = {"max_tokens": 100, **changes}
    return ModelRequest(messages=({"role": "user", "content": "Which city?"},), **told)


def read(text: str, schema: dict[str, Any] = OBJECT, *, size: int = 1) -> str:
    reader = JsonReader(schema)
    pieces = [reader.feed(text[begin : begin + size]) for begin in range(0, len(text), size)]
    return "".join([*pieces, reader.finish()])


async def test_the_schema_goes_into_the_system_prompt_and_nowhere_else() -> None:
    inner = ScriptedModel("{}", "{}", "plain")
    model: Model = SchemaInPrompt(inner)
    schema = City.model_json_schema()
    await complete(model, asked(system="Be brief.", output_schema=schema))
    await complete(model, asked(output_schema=schema))
    await complete(model, asked(system="Be brief."))
    first, second, third = inner.requests
    assert first.output_schema is second.output_schema is None
    assert first.system is not None
    assert second.system is not None
    assert first.system.startswith("Be brief.\n\nAnswer with one JSON value")
    assert first.system.endswith(second.system)
    assert json.loads(second.system.partition("\n")[2]) == schema
    assert third == asked(system="Be brief.")


async def test_the_bound_of_a_request_holds_for_what_is_asked_in_words() -> None:
    inner = ScriptedModel("{}")
    request = asked(output_schema={"type": "object", "description": '"\\\n' * 500})
    await complete(SchemaInPrompt(inner), request)
    (sent,) = inner.requests
    read_bytes = len((sent.system or "").encode()) + len(str(sent.messages))
    assert read_bytes <= request.input_bound()


def test_it_is_called_as_the_model_that_it_asks() -> None:
    claude = AnthropicModel("qwen3", base_url="http://127.0.0.1:1", api_key="local")
    assert SchemaInPrompt(claude).name == "qwen3"
    assert SchemaInPrompt(claude).announces_requests
    assert not SchemaInPrompt(ScriptedModel()).announces_requests
    assert repr(SchemaInPrompt(claude)) == "SchemaInPrompt(AnthropicModel('qwen3'))"


async def test_a_chain_gets_its_outputs_from_a_server_that_ignores_schemas(messages_api: MessagesAPI) -> None:
    messages_api.script(
        'Sure!\n```json\n{"name": "Köln",\n "people": 1087000}\n```\nIs that well?', "A city."
    )
    steps = Step("name", prompt="{input}", output=City) | Step("tell", prompt="Tell of {name.name}.")
    result = await Chain("c", steps, model=SchemaInPrompt(AnthropicModel("claude-haiku-4-5"))).run("x")
    assert result.steps["name"].output == City(name="Köln", people=1_087_000)
    assert result.output == "A city."
    assert [attempt.usage for attempt in result.ledger] == [entry.usage for entry in messages_api.bill]
    first, second = (entry.received for entry in messages_api.bill)
    assert "output_config" not in first
    assert '"people"' in first["system"]
    assert "system" not in second


async def test_the_value_grows_while_the_reply_streams() -> None:
    chunks = ["Here ", 'it is: {"na', 'me": "Kö', 'ln", "peo', 'ple": 7}', " Done."]
    model = SchemaInPrompt(ScriptedModel(Scripted(chunks=chunks)))
    chain = Chain("c", Step("name", prompt="{input}", output=City), model=model)
    async with chain.stream("x") as stream:
        grown = [event.value async for event in stream if isinstance(event, PartialOutput)]
        assert (await stream.result()).output == City(name="Köln", people=7)
    assert {"name": "Kö"} in grown


async def test_a_reply_without_the_value_is_asked_for_again_with_what_was_said() -> None:
    inner = ScriptedModel("I cannot.", '{"name": "a", "people": 1}')
    chain = Chain("c", Step("name", prompt="{input}", output=City), model=SchemaInPrompt(inner))
    result = await chain.run("x")
    assert result.output == City(name="a", people=1)
    assert inner.requests[1].messages[1] == {"role": "assistant", "content": "I cannot."}
    nothing = Step("name", prompt="{input}", output=City, max_reasks=0)
    with pytest.raises(OutputError, match=r"it begins 'I cannot\.'"):
        await Chain("c", nothing, model=SchemaInPrompt(ScriptedModel("I cannot."))).run("x")


@pytest.mark.parametrize("size", [1, 3, 1_000])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```\n{"a": {"b": ["}", "\\"{"]}}\n```\n', '{"a": {"b": ["}", "\\"{"]}}'),
        ('Use {braces}, {like this}: {"a": 1}. Well?', '{"a": 1}'),
        ('<think>Is it {"a": 2}?</think>\n{"a": 1}', '{"a": 1}'),
        ("{ }", "{ }"),
        ("{\n}", "{\n}"),
        # What is not clear stays, to be refused by validation.
        ('{"a": 1} or {"a": 2}', '{"a": 1} or {"a": 2}'),
        ('{"a": 1', '{"a": 1'),
        ("No {value} here.", "No {value} here."),
        ("<think>I wonder", "<think>I wonder"),
        ("", ""),
    ],
)
def test_what_stands_around_an_object_is_taken_off(text: str, value: str, size: int) -> None:
    assert read(text, size=size) == value


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "array"}, "[Note] the list: [1, [2]] [end]", "[1, [2]]"),
        ({"type": "array"}, "see [1]: no list", "[1]"),
        ({"enum": ["a", "b"], "type": "string"}, '```json\n"a"\n```', '"a"'),
        ({"enum": ["a", "b"], "type": "string"}, '<think>b?</think>"a"', '"a"'),
        ({"type": "integer"}, "It is 7", "It is 7"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}, 'so: {"a": 1}', '{"a": 1}'),
        ({"anyOf": [{"type": "object"}, {"type": "object"}]}, 'so: {"a": 1}', '{"a": 1}'),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, '```\n{"a": 1}\n```', '{"a": 1}'),
        ({"type": "array"}, "[x] [ nul, [fal [\n\n false] [no]", "[\n\n false]"),
        ({"type": "string"}, '```json\n\n  "a" \n\n```', '  "a"'),
        ({"type": "string"}, "```\n```", ""),
        ({"type": "string"}, '```json "a"```', '```json "a"```'),
        # With this much white space, a pattern that tries each way to share it out does not end.
        pytest.param({"type": "string"}, SPACED, SPACED, id="much white space behind a fence"),
    ],
)
def test_other_kinds_of_values_are_found_as_their_schema_says(
    schema: dict[str, Any], text: str, value: str
) -> None:
    assert read(text, schema) == value


async def test_a_literal_is_asked_for_too() -> None:
    model = SchemaInPrompt(ScriptedModel('```json\n"b"\n```'))
    step = Step("pick", prompt="{input}", output=Literal["a", "b"])
    assert (await Chain("c", step, model=model).run("x")).output == "b"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
PROSE = st.text(st.characters(exclude_characters='{}[]<"`'))


@given(st.dictionaries(st.text(), JSON), PROSE, PROSE, st.integers(1, 9), st.booleans())
def test_every_object_comes_out_as_it_went_in(
    value: dict[str, Any], before: str, after: str, size: int, fenced: bool
) -> None:
    text = json.dumps(value, ensure_ascii=False)
    around = f"```json\n{text}\n```" if fenced else text
    assert read(f"{before}{around}{after}", size=size) == text


class CountingReader(JsonReader):
    """Counts the characters that are searched."""

    searched = 0

    def _search(self, text: str, beginning: re.Pattern[str]) -> str | None:
        self.searched += len(text)
        return super()._search(text, beginning)


CODE = "for (i = 0; i < n; i++) {\n    if (seen[i]) { continue; }\n    [total] += [ weigh(items[i]) ];\n}\n"


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("schema", [OBJECT, {"type": "array"}])
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CODE * 300, id="code"),
        pytest.param(("{" + " " * 15_000) * 2, id="white space behind a brace"),
        pytest.param("[" + " " * 30_000 + "nulx", id="white space behind a bracket"),
        pytest.param("{\n" * 15_000, id="lines of braces"),
        pytest.param("{ x " * 7_500, id="braces and words"),
        pytest.param("One has to think. " * 1_500, id="prose"),
        pytest.param("<think>" + CODE * 300, id="thoughts"),
        pytest.param(" " * 30_000 + "<think></think" * 3, id="white space before thoughts"),
    ],
)
def test_each_character_is_searched_a_few_times_at_most(text: str, schema: dict[str, Any], size: int) -> None:
    reader = CountingReader(schema)
    assert not any(reader.feed(text[begin : begin + size]) for begin in range(0, len(text), size))
    assert reader.finish() == text
    assert reader.searched <= 8 * len(text)
