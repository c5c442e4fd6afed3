"""What a chain's models do not take is said before anything is sent."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

import pytest

from promptchain import Chain, JudgeGate, ScriptedModel, Step, step
from promptchain.errors import DefinitionError
from promptchain.settings import Settings
from promptchain.testing import MessagesAPI

WARM = Step("warm", prompt="{input}", temperature=0.2)


async def test_a_temperature_reaches_a_model_that_takes_it_under_the_older_version(
    messages_api: MessagesAPI,
) -> None:
    await Chain("c", WARM | Step("cool", prompt="{warm}"), model="claude-haiku-4-5").run("x")
    warm, cool = messages_api.bill
    assert warm.received["temperature"] == 0.2
    assert warm.headers["anthropic-version"] == "2023-06-01"
    assert "temperature" not in cool.received
    assert cool.headers["anthropic-version"] != "2023-06-01"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Chain("c", WARM, model="claude-opus-5-5"),
        lambda: Chain("c", Step("warm", prompt="x", temperature=0.2, model="claude-opus-5-5")),
        lambda: Chain("c", Step("warm", prompt="x", model="claude-opus-5-5"), temperature=0.2),
        lambda: Chain("c", Step("first", prompt="x") | WARM, model="claude-opus-5-5"),
    ],
)
def test_a_chain_whose_model_takes_no_temperature_is_not_built(build: Any) -> None:
    with pytest.raises(DefinitionError, match="claude-opus-5-5 takes no temperature.*effort") as caught:
        build()
    assert caught.value.step == "warm"


def test_a_chain_in_a_chain_is_seen_with_what_the_one_around_says() -> None:
    inner = Chain("inner", WARM)
    with pytest.raises(DefinitionError, match="takes no temperature") as caught:
        Chain("outer", inner, model="claude-opus-5-5")
    assert caught.value.step == "inner/warm"
    Chain("outer", inner, model="claude-haiku-4-5")


async def test_a_model_that_is_handed_to_the_run_is_seen_before_the_first_request(
    messages_api: MessagesAPI,
) -> None:
    chain = Chain("c", Step("first", prompt="{input}") | WARM, model="claude-haiku-4-5")
    with pytest.raises(DefinitionError, match="takes no temperature") as caught:
        await chain.run("x", model="claude-opus-5-5")
    assert caught.value.step == "warm"
    assert len(messages_api.bill) == 0


async def test_so_is_a_model_of_the_settings(messages_api: MessagesAPI) -> None:
    chain = Chain("c", Step("first", prompt="{input}") | WARM, model="claude-haiku-4-5")
    settings = Settings.read({"PROMPTCHAIN_WARM_MODEL": "claude-opus-5-5"})
    with pytest.raises(DefinitionError, match="takes no temperature"):
        await chain.run("x", settings=settings)
    assert len(messages_api.bill) == 0
    await chain.run("x", settings=Settings.read({"PROMPTCHAIN_WARM_MODEL": "claude-sonnet-4-6"}))
    assert [entry.model for entry in messages_api.bill] == ["claude-haiku-4-5", "claude-sonnet-4-6"]


async def test_of_a_model_that_is_not_known_nothing_is_refused() -> None:
    model = ScriptedModel("one")
    assert (await Chain("c", WARM, model=model).run("x")).output == "one"
    assert model.requests[0].temperature == 0.2


def test_a_function_stage_has_no_model_to_be_seen() -> None:
    Chain("c", step(name="f")(len), model="claude-opus-5-5", temperature=0.2)


def test_the_outline_tells_where_every_stage_stands() -> None:
    inner = Chain("inner", WARM)
    chain = Chain("outer", step(name="f")(str.upper) | inner | Step("last", prompt="{inner}"))
    assert [place.path for place in chain.outline] == ["", "f", "inner", "inner/warm", "last"]
    assert [layer.origin for layer in chain.outline[3].said] == ["step", "chain 'inner'", "chain 'outer'"]


async def test_a_judge_of_an_input_asks_the_model_that_the_settings_say(messages_api: MessagesAPI) -> None:
    messages_api.script({"reason": "It is one.", "verdict": "pass"}, "answer")
    door = JudgeGate("It is a question.", name="door")
    chain = Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5", input_gates=[door])
    await chain.run("What?", settings=Settings.read({"PROMPTCHAIN_PROFILE": "cost"}))
    assert [entry.model for entry in messages_api.bill] == ["claude-haiku-5-5"] * 2
