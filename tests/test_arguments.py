"""What a model call is made with."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic

from promptchain import AnthropicModel, Chain, OfflineModel, Price, ScriptedModel, Step
from promptchain.arguments import Arguments
from promptchain.errors import DefinitionError


class Nameless:
    async def stream(self, request: Any) -> Any:
        yield request


class WithoutYield:
    name = "none"

    async def stream(self, request: Any) -> Any:
        return request


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"model": AsyncAnthropic(api_key="x")},
            r"AsyncAnthropic is a client, not a model.*AnthropicModel\(",
        ),
        ({"model": Nameless()}, "has a name and a method stream"),
        ({"model": 42}, "has a name and a method stream"),
        ({"model": WithoutYield()}, "WithoutYield.stream has no yield"),
        ({"effort": "hihg"}, "effort is one of low, .*, not 'hihg'. Did you mean 'high'"),
        ({"thinking": "adaptive"}, "thinking is a mapping"),
        ({"max_tokens": True}, "whole number of tokens of at least 1, not True"),
        ({"max_tokens": 0.5}, "whole number of tokens of at least 1, not 0.5"),
        ({"outptu": str}, "Did you mean 'output'"),
    ],
)
def test_a_step_refuses_what_is_none_and_names_itself(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        Step("a", prompt="x", **options)
    assert caught.value.step == "a"


def test_a_chain_refuses_prices_that_are_none() -> None:
    prices: Any = {"m": 5}
    with pytest.raises(DefinitionError, match=r"Price\(input"):
        Chain("c", Step("a", prompt="x"), prices=prices)


def test_none_is_not_said() -> None:
    step = Step("a", prompt="x", system=None, model=None, effort=None, thinking=None, max_tokens=None)
    assert step.arguments == Arguments()


def test_a_model_of_another_run_is_checked_before_it_begins() -> None:
    model: Any = AsyncAnthropic(api_key="x")
    with pytest.raises(DefinitionError, match="is a client"):
        Chain("c", Step("a", prompt="x")).run_sync("x", model=model)


async def test_prices_of_an_inner_chain_are_put_over_those_around_it() -> None:
    inner = Chain("inner", Step("a", prompt="x"), prices={"m": Price(input=1_000_000, output=0)})
    outer = Chain("outer", Step("b", prompt="x") | inner, prices={"m": Price(input=0, output=1_000_000)})
    result = await outer.run("x", model=ScriptedModel("one two", "one two", name="m"))
    first, second = result.ledger
    assert first.cost == first.usage.output_tokens
    assert second.cost == second.usage.input_tokens


def test_the_stand_in_has_a_name() -> None:
    assert isinstance(Step("a", prompt="x", model="offline").arguments.model, OfflineModel)
    assert isinstance(Step("a", prompt="x", model="claude-opus-5").arguments.model, AnthropicModel)
