"""What a run gives back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

import pytest
from pydantic import BaseModel

from promptchain import Chain, PromptChainError, Step, Usage, step
from promptchain.models.scripted import Scripted, ScriptedModel
from promptchain.result import Result


class Analysis(BaseModel):
    intent: str


@dataclass
class Point:
    x: Decimal


ANALYZE = Step("analyze", prompt="{input}", output=Analysis)
LAST = Step("last", prompt="{analyze.intent}")


async def ran() -> Result[str]:
    model = ScriptedModel(
        Scripted(chunks=['{"intent":"ü"}'], usage=Usage(100, 10)),
        Scripted(chunks=["done"], usage=Usage(7, 3, 2, 1)),
        name="claude-haiku-4-5",
    )
    return await Chain(
        "outer", Chain("inner", ANALYZE) | Step("last", prompt="{inner.intent}"), model=model
    ).run("x")


async def test_the_whole_is_the_sum_of_its_parts() -> None:
    result = await ran()
    assert result.usage == Usage(107, 13, 2, 1) == Usage.sum(s.usage for s in result.steps.values())
    costs = [s.cost for s in result.steps.values()]
    assert result.cost == sum(c for c in costs if c is not None)
    assert None not in costs
    assert result.steps["inner"].usage == result.steps["inner"].steps["analyze"].usage == Usage(100, 10)


async def test_a_stage_is_found_by_itself_at_any_depth() -> None:
    result = await ran()
    assert result[ANALYZE].output == Analysis(intent="ü")
    assert result[ANALYZE].path == "inner/analyze"


async def test_a_stage_of_the_same_name_is_not_the_same_stage() -> None:
    result = await ran()
    with pytest.raises(PromptChainError, match="it has: inner, inner/analyze, last"):
        result[Step("last", prompt="x")]


async def test_a_result_is_json() -> None:
    told = json.loads(json.dumps((await ran()).as_dict()))
    assert told["output"] == "done"
    assert told["steps"]["inner"]["steps"]["analyze"]["output"] == {"intent": "ü"}
    assert told["usage"]["cache_read_input_tokens"] == 2
    assert Decimal(told["cost"]) == (await ran()).cost
    assert [attempt["step"] for attempt in told["ledger"]] == ["inner/analyze", "last"]
    assert told["estimated"] is False


async def test_an_output_that_has_no_json_is_shown_and_does_not_fail() -> None:
    @step
    def odd(text: str) -> object:
        return {"o": object, "p": Point(Decimal("1.10")), "f": float("inf")}

    told = (await Chain("c", odd).run("x")).as_dict()
    assert told["output"]["o"] == "<class 'object'>"
    assert told["output"]["p"] == {"x": "1.10"}


async def test_seconds_are_those_of_the_run_and_of_each_step() -> None:
    result = await ran()
    assert 0 < result.steps["inner"].seconds <= result.seconds
