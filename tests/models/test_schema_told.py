"""The stand-in answers a schema that was told in words as one that was asked for."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from promptchain import Chain, OfflineModel, Step
from promptchain.messages import ModelRequest
from promptchain.models import SchemaInPrompt, ScriptedModel, complete
from promptchain.models.offline import answer
from promptchain.models.schema_in_prompt import schema_told


class Place(BaseModel):
    name: str
    kind: Literal["city", "river"]
    languages: list[str] = Field(min_length=1, max_length=2)


OUTPUTS: list[Any] = [Place, list[Place], Place | None, Literal["yes", "no"], int, dict[str, int], list[str]]


def asked(**changes: Any) -> ModelRequest:
    told: dict[str, Any] = {"max_tokens": 1_000, **changes}
    return ModelRequest(messages=({"role": "user", "content": "Where is Cologne?"},), **told)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("system", [None, "Be brief.", "An {example}: {}"])
async def test_what_was_told_is_read_again(output: Any, system: str | None) -> None:
    inner = ScriptedModel("{}", "{}")
    schema = TypeAdapter(output).json_schema()
    request = asked(system=system, output_schema=schema)
    await complete(SchemaInPrompt(inner), request)
    (sent,) = inner.requests
    assert schema_told(sent.system) == schema
    assert answer(sent) == answer(request)
    TypeAdapter(output).validate_json(answer(sent))


async def test_of_two_the_last_counts() -> None:
    inner = ScriptedModel("{}", "{}")
    await complete(SchemaInPrompt(inner), asked(output_schema={"type": "integer"}))
    quoted = inner.requests[0].system
    await complete(SchemaInPrompt(inner), asked(system=quoted, output_schema={"type": "string"}))
    assert schema_told(inner.requests[1].system) == {"type": "string"}


async def test_words_that_only_look_like_it_are_no_schema() -> None:
    inner = ScriptedModel("{}", "{}")
    await complete(SchemaInPrompt(inner), asked(output_schema={}))
    told = inner.requests[0].system
    assert told is not None
    assert schema_told(told) == {}
    for system in (None, "", "Be brief.", told[1:], told[:-1], told + "\nBe brief.", told[:-2] + "[1]"):
        assert schema_told(system) is None


def test_a_chain_around_the_stand_in_itself_gets_its_outputs() -> None:
    chain = Chain("where", Step("find", prompt="{input}", output=Place), model=SchemaInPrompt(OfflineModel()))
    found = chain.run_sync("Where is Cologne?").output
    assert json.loads(found.model_dump_json())["name"] == "Cologne"
