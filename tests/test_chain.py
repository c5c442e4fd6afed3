"""Chains: built, checked, nested, run."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from promptchain import Chain, Price, PromptChainError, Run, Step, step
from promptchain.errors import DefinitionError, LinkError, OverloadedError, TemplateError
from promptchain.models.anthropic import AnthropicModel
from promptchain.models.scripted import ScriptedModel
from promptchain.resilience import Policy


class Analysis(BaseModel):
    intent: str


ANALYZE = Step("analyze", prompt="{input}", output=Analysis)


@step
def shout(text: str) -> str:
    return text.upper()


def test_a_misspelt_placeholder_names_the_step_and_the_nearest_name_and_sends_nothing() -> None:
    model = ScriptedModel("never")
    with pytest.raises(
        TemplateError, match=r"step 'last': .*\{analize.intent\}.*Did you mean 'analyze'\?"
    ) as caught:
        Chain("c", ANALYZE | Step("last", prompt="{analize.intent}"), model=model)
    assert caught.value.step == "last"
    with pytest.raises(
        TemplateError, match=r"step 'last': the system prompt, line 2.*Did you mean 'intent'\?"
    ):
        Chain("c", ANALYZE | Step("last", prompt="x", system="a\n{analyze.intend}"), model=model)
    assert model.requests == []


def test_a_step_cannot_name_one_that_comes_after_it_or_itself() -> None:
    for prompt in ("{last}", "{first}"):
        with pytest.raises(TemplateError, match="step 'first'"):
            Chain("c", Step("first", prompt=prompt) | Step("last", prompt="x"))


def test_previous_has_the_type_of_the_stage_before() -> None:
    Chain("c", ANALYZE | Step("last", prompt="{previous.intent}"))
    with pytest.raises(TemplateError, match="previous is Analysis, without 'nope'"):
        Chain("c", ANALYZE | Step("last", prompt="{previous.nope}"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": "two words"}, "cannot be the name of a model"),
        ({"timeout": 1}, "a chain takes no 'timeout'"),
        ({"modle": "x"}, "a chain takes no 'modle'.*Did you mean 'model'"),
    ],
)
def test_what_is_wrong_with_a_chain_is_said_when_it_is_built(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        Chain("c", shout, **options)


@pytest.mark.parametrize("stages", [None, [shout], "shout", lambda text: text])
def test_what_is_no_stage_is_no_chain(stages: Any) -> None:
    with pytest.raises(DefinitionError, match="stages joined with '|'"):
        Chain("c", stages)


async def test_a_step_without_a_model_is_told_before_anything_is_sent() -> None:
    model = ScriptedModel("never")
    chain = Chain(
        "c",
        Step("a", prompt="x", model=model) | Chain("inner", Step("b", prompt="x")) | Step("d", prompt="x"),
    )
    with pytest.raises(DefinitionError, match="no model is named for inner/b, d: give the chain one"):
        await chain.run("x")
    assert model.requests == []


async def test_a_model_is_that_of_the_run_then_the_step_then_the_chain_then_the_chain_around() -> None:
    def named(name: str) -> ScriptedModel:
        return ScriptedModel("1", "2", "3", "4", name=name)

    inner = Chain("inner", Step("b", prompt="x"), model=named("inner"))
    bare = Chain("bare", Step("e", prompt="x"))
    outer = Chain(
        "outer",
        Step("a", prompt="x", model=named("step")) | inner | bare | Step("d", prompt="x"),
        model=named("outer"),
    )
    assert [a.model for a in (await outer.run("x")).ledger] == ["step", "inner", "outer", "outer"]
    assert [a.model for a in (await outer.run("x", model=named("run"))).ledger] == ["run"] * 4


async def test_a_chain_in_a_chain_has_names_of_its_own_and_paths_of_both() -> None:
    model = ScriptedModel("A", "B", "C")
    inner = Chain("inner", Step("a", prompt="{input}+") | Step("b", prompt="{input}{a}{previous}"))
    outer = Chain("outer", Step("a", prompt="{input}") | inner | Step("c", prompt="{inner}|{a}"), model=model)
    model = ScriptedModel("one", "two", "three", "four")
    result = await outer.run("in", model=model)
    assert [r.messages[0]["content"] for r in model.requests] == ["in", "one+", "onetwotwo", "three|one"]
    assert [a.step for a in result.ledger] == ["a", "inner/a", "inner/b", "c"]
    assert list(result.steps) == ["a", "inner", "c"]
    assert result.steps["inner"].steps["b"].path == "inner/b"


def test_a_chain_that_is_handed_what_it_does_not_take_is_refused() -> None:
    inner: Any = Chain("inner", Step("b", prompt="{input}"))
    with pytest.raises(LinkError, match="'analyze' gives Analysis, but 'inner'.*takes str"):
        Chain("outer", ANALYZE | inner)
    Chain("outer", ANALYZE | Chain("inner", Step("b", prompt="{input.intent}", input=Analysis)))


async def test_the_ids_of_a_run_are_its_own_unless_the_caller_gives_one() -> None:
    first, second = await Chain("c", shout).run("x"), await Chain("c", shout).run("x", request_id="mine")
    assert first.run_id != second.run_id
    assert first.request_id == first.run_id
    assert second.request_id == "mine"


async def test_prices_of_the_chain_are_those_of_its_attempts() -> None:
    model = ScriptedModel("four", name="m")
    known = Chain("c", Step("a", prompt="x"), model=model, prices={"m": Price(input=0, output=1_000_000)})
    assert (await known.run("x")).cost == 1
    unknown = Chain("c", Step("a", prompt="x"), model=ScriptedModel("four", name="m"))
    assert (await unknown.run("x")).cost is None


async def test_a_failed_run_carries_every_attempt_until_then() -> None:
    model = ScriptedModel("one", OverloadedError("busy"), "never")
    steps = Step("a", prompt="x") | Step("b", prompt="x") | Step("d", prompt="x")
    chain = Chain("c", steps, model=model, policy=Policy(retry=None))
    with pytest.raises(OverloadedError) as caught:
        await chain.run("x")
    assert caught.value.step == "b"
    assert [(a.step, a.error) for a in caught.value.ledger or ()] == [
        ("a", None),
        ("b", "OverloadedError: busy"),
    ]
    assert model.pending == 1


async def test_a_chain_can_be_run_many_times_at_once_and_keeps_nothing() -> None:
    @step
    async def slow(text: str, run: Run) -> str:
        await asyncio.sleep(0)
        return f"{text}:{run.input}:{run.id}"

    chain = Chain("c", shout | slow)
    results = await asyncio.gather(*(chain.run(f"n{i}") for i in range(100)))
    assert [r.output for r in results] == [f"N{i}:n{i}:{r.run_id}" for i, r in enumerate(results)]


def test_a_name_stands_for_one_model_object_so_that_its_schemas_and_client_are_shared() -> None:
    first, second = (
        Step("a", prompt="x", model="claude-haiku-4-5"),
        Step("b", prompt="x", model="claude-haiku-4-5"),
    )
    assert isinstance(first.arguments.model, AnthropicModel)
    assert first.arguments.model is second.arguments.model


def test_building_a_chain_imports_no_sdk_and_needs_no_key() -> None:
    code = (
        "import sys; from promptchain import Chain, Step\n"
        "chain = Chain('c', Step('a', prompt='{input}'), model='claude-haiku-4-5')\n"
        "late = {'anthropic', 'aiohttp', 'httpx2', 'genai_prices'} & set(sys.modules)\n"
        "sys.exit(f'loaded {late}' if late else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_run_that_is_cancelled_before_it_begins_sends_nothing() -> None:
    model = ScriptedModel("never")
    task = asyncio.create_task(Chain("c", Step("a", prompt="x"), model=model).run("x"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.requests == []


def test_a_stage_that_is_asked_for_and_was_not_in_the_chain_is_a_clear_error() -> None:
    result = Chain("c", shout).run_sync("x")
    with pytest.raises(PromptChainError, match="'analyze' has no part in this result .*it has: shout"):
        result[ANALYZE]
