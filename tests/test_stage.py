"""Stages and how one follows another."""

# pyright: reportUnusedExpression=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from promptchain import Chain, Stage, Step, step
from promptchain.errors import DefinitionError, LinkError, PromptChainError, StageError
from promptchain.events import Event, StepFailed, StepFinished, StepStarted
from promptchain.models.scripted import ScriptedModel


class A(BaseModel):
    x: int


class B(BaseModel):
    y: int


@step
def shout(text: str) -> str:
    return text.upper()


@step
def count(text: str) -> int:
    return len(text)


@step
def double(number: int) -> int:
    return 2 * number


@pytest.mark.parametrize(
    "name",
    ["", "1a", "-a", "_a", "a b", "a.b", "a/b", "ä", "a" * 65, "a\n", None, True, 3, "input", "previous"],
)
def test_a_name_that_a_prompt_could_not_name_is_refused(name: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be a name"):
        Step(name, prompt="x")


@pytest.mark.parametrize("name", ["a", "A-1_b", "a" * 64])
def test_a_name_of_letters_digits_and_hyphens_is_taken(name: str) -> None:
    assert Step(name, prompt="x").name == name


def test_a_link_that_does_not_fit_names_both_sides_and_types() -> None:
    b: Any = Step("b", prompt="x", input=B)
    with pytest.raises(LinkError, match=r"'a' gives A, but 'b', which follows it, takes B"):
        Step("a", prompt="x", output=A) | b


def test_a_link_is_checked_across_parentheses() -> None:
    tail: Any = shout | step(name="last")(count.execute)
    with pytest.raises(LinkError, match="'double' gives int, but 'shout'"):
        (count | double) | tail


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match="two stages are named 'shout'"):
        shout | count | double | step(name="shout")(lambda number: number)


@pytest.mark.parametrize("other", [None, "shout", len, Chain])
def test_what_is_no_stage_cannot_be_joined(other: Any) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        shout | other


def test_pipelines_of_pipelines_are_flat() -> None:
    tail = step(name="tail")(lambda number: number)
    assert [s.name for s in ((shout | count) | (double | tail)).parts()] == [
        "shout",
        "count",
        "double",
        "tail",
    ]


def test_a_stage_that_does_nothing_cannot_be_made() -> None:
    bare: Any = Stage
    with pytest.raises(TypeError, match="abstract method"):
        bare("bare")


class Doubled(Stage[str, str]):
    """A stage as a user may write one."""

    input_type = str
    output_type = str

    async def execute(self, value: str, run: object) -> str:
        return value * 2


async def test_a_stage_of_the_users_own_is_a_stage() -> None:
    result = await Chain("c", Doubled("twice") | shout).run("ab")
    assert result.output == "ABAB"


async def test_an_error_is_told_with_the_path_the_run_and_the_ledger() -> None:
    model = ScriptedModel("fine", "never asked")

    @step
    def fails(text: str) -> str:
        raise ZeroDivisionError("by zero")

    inner = Chain("inner", fails)
    chain = Chain("outer", Step("ask", prompt="{input}") | inner, model=model)
    seen: list[Event] = []
    with pytest.raises(StageError, match="step 'inner/fails': raised ZeroDivisionError: by zero") as caught:
        await chain.run("x", readers=[seen.append])
    error = caught.value
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert error.step == "inner/fails"
    assert error.run_id is not None
    assert error.run_id.startswith("run_")
    assert error.ledger is not None
    assert [attempt.step for attempt in error.ledger] == ["ask"]
    kinds = [(type(e), e.step) for e in seen if isinstance(e, StepStarted | StepFinished | StepFailed)]
    assert kinds == [
        (StepStarted, "ask"),
        (StepFinished, "ask"),
        (StepStarted, "inner"),
        (StepStarted, "inner/fails"),
        (StepFailed, "inner/fails"),
        (StepFailed, "inner"),
    ]


async def test_a_run_inside_a_function_keeps_its_own_error_and_the_outer_run_its_own_ledger() -> None:
    inside = Chain("inside", Step("ask", prompt="{input}"), model=ScriptedModel("a", ValueError("broken")))

    @step
    async def asks(text: str) -> str:
        await inside.run(text)
        return (await inside.run(text)).output

    outer = Chain("outer", Step("first", prompt="{input}", model=ScriptedModel("x")) | asks)
    with pytest.raises(StageError) as caught:
        await outer.run("x")
    error, cause = caught.value, caught.value.__cause__
    assert error.step == "asks"
    assert error.ledger is not None
    assert [attempt.step for attempt in error.ledger] == ["first"]
    assert isinstance(cause, PromptChainError)
    assert cause.step == "ask"
    assert cause.run_id != error.run_id
