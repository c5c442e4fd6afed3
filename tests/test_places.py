"""Where stages stand, and which model calls a chain leads to."""

from __future__ import annotations

import pytest

from promptchain import Chain, Gate, JudgeGate, Step, step
from promptchain.errors import DefinitionError
from promptchain.settings import Profile, Settings


@step
def shorten(text: str) -> str:
    return text


def test_the_calls_of_a_chain_are_those_of_its_steps_and_of_their_judges() -> None:
    inner = Chain("inner", Step("b", prompt="x", gates=[JudgeGate("r", model="claude-sonnet-5")]))
    gates = [Gate[str](bool, "there"), JudgeGate("r", name="door")]
    chain = Chain("c", Step("a", prompt="x") | shorten | inner, model="claude-haiku-4-5", input_gates=gates)
    calls = [call for place in chain.outline for call in place.held().calls]
    assert [(call.path, call.model.name if call.model else None) for call in calls] == [
        ("door", "claude-haiku-4-5"),
        ("a", "claude-haiku-4-5"),
        ("inner/b", "claude-haiku-4-5"),
        ("inner/b/judge", "claude-sonnet-5"),
    ]


def test_gates_that_are_off_ask_nobody() -> None:
    chain = Chain("c", Step("a", prompt="x", gates=[JudgeGate("r")]), model="claude-haiku-4-5")
    off = Settings.read({"PROMPTCHAIN_GATES": "off"}).overrides({})
    assert [call.path for place in chain.outline for call in place.held(off).calls] == ["a"]


@pytest.mark.parametrize("named", ["inner", "shorten"])
def test_a_profile_that_says_what_a_stage_cannot_take_is_refused(named: str) -> None:
    inner = Chain("inner", Step("b", prompt="x"))
    with pytest.raises(DefinitionError, match=f"'{named}'"):
        Chain(
            "c",
            shorten | inner,
            model="claude-haiku-4-5",
            profiles={"p": Profile(steps={named: {"model": "claude-sonnet-5"}})},
        )


def test_what_is_wrong_with_a_chain_says_which() -> None:
    with pytest.raises(DefinitionError, match=r"the chain 'c': max_tokens is a whole number"):
        Chain("c", shorten, max_tokens=0)
    with pytest.raises(DefinitionError, match=r"the chain 'c': input_gates is a list"):
        Chain("c", shorten, input_gates=["x"])  # type: ignore[list-item]


def test_none_is_not_said() -> None:
    Chain("c", Step("a", prompt="x", stop_sequences=None), input_gates=None, profiles=None, gates_mode=None)
