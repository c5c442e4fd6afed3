"""A run as its stages and its readers see it."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import pytest

from promptchain import Chain, Run, Step, step
from promptchain.arguments import Arguments
from promptchain.events import Event, RunFinished
from promptchain.models.scripted import ScriptedModel


@step
def echo(text: str) -> str:
    return text


async def test_a_reader_that_fails_is_warned_about_and_harms_neither_the_run_nor_the_other_readers() -> None:
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise KeyError("x")

    with pytest.warns(RuntimeWarning, match="a reader of events failed on .*: KeyError"):
        result = await Chain("c", echo).run("in", readers=[broken, seen.append])
    assert result.output == "in"
    assert isinstance(seen[-1], RunFinished)


async def test_a_stage_cannot_change_what_another_stage_sees_by_changing_its_view() -> None:
    @step
    def meddle(text: str, run: Run) -> str:
        vandal = run.outputs
        assert isinstance(vandal, dict)
        vandal["echo"] = "changed"
        run.previous = "changed"
        return text

    @step
    def look(text: str, run: Run) -> object:
        return [run.outputs["echo"], run.previous]

    assert (await Chain("c", echo | meddle | look).run("in")).output == ["in", "in"]


async def test_within_a_chain_the_input_is_what_that_chain_was_handed() -> None:
    @step
    def look(text: str, run: Run) -> list[object]:
        return [run.input, run.path, run.is_last, dict(run.outputs)]

    inner = Chain("inner", look)
    first: Any = step(name="first")(lambda text: "handed")
    last = Chain("outer", first | inner)
    assert (await last.run("in")).output == ["handed", "inner/look", True, {}]
    middle = Chain("outer", inner | step(name="after")(lambda value: value))
    assert (await middle.run("in")).output == ["in", "inner/look", False, {}]


def test_what_an_inner_chain_says_comes_before_what_the_outer_one_says() -> None:
    a, b = ScriptedModel(name="a"), ScriptedModel(name="b")
    merged = Arguments(model=a, effort="low").over(Arguments(model=b, max_tokens=5, effort="max"))
    assert merged == Arguments(model=a, max_tokens=5, effort="low")
    assert Arguments().over(Arguments()) == Arguments()


async def test_defaults_of_the_chain_around_reach_the_steps_of_an_inner_chain() -> None:
    model = ScriptedModel("one", "two")
    thinking = {"type": "adaptive"}
    inner = Chain("inner", Step("a", prompt="x"), max_tokens=11)
    outer = Chain(
        "outer", inner | Step("b", prompt="x"), model=model, max_tokens=22, effort="low", thinking=thinking
    )
    await outer.run("x")
    assert [(r.max_tokens, r.effort, r.thinking) for r in model.requests] == [
        (11, "low", thinking),
        (22, "low", thinking),
    ]
