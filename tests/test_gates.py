"""Gates by themselves."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from promptchain import Gate, Run, Verdict
from promptchain.errors import DefinitionError, GateCrashedError


def is_long(text: str) -> bool:
    return len(text) > 3


async def is_short(text: str) -> bool:
    await asyncio.sleep(0)
    return len(text) < 3


class Judge:
    async def __call__(self, text: str) -> bool:
        return text == "right"


@pytest.mark.parametrize(
    ("predicate", "passes", "blocks"),
    [
        (is_long, "long", "x"),
        (is_short, "x", "long"),
        (Judge(), "right", "wrong"),
        (lambda text: is_short(text), "x", "long"),
        (functools.partial(lambda most, text: len(text) < most, 3), "x", "long"),
    ],
)
async def test_a_predicate_of_any_kind_judges(predicate: Any, passes: str, blocks: str) -> None:
    gate = Gate(predicate, "reason")
    assert await gate.judge(passes, Run.begin("in")) == Verdict.allow()
    assert await gate.judge(blocks, Run.begin("in")) == Verdict.block("reason")


def test_a_gate_is_called_as_its_predicate_or_as_its_reason() -> None:
    assert Gate(is_long, "must be long").name == "is_long"
    assert Gate(lambda text: bool(text), "must be there").name == "must be there"
    assert Gate(is_long, "must be long", name="length").name == "length"
    assert repr(Gate(is_long, "x")) == "Gate('is_long')"


@pytest.mark.parametrize("answer", [None, 1, 0, "", "yes", [], float("nan")])
async def test_an_answer_that_is_neither_true_nor_false_is_a_crash_and_lets_nothing_pass(answer: Any) -> None:
    with pytest.raises(GateCrashedError, match="instead of True, False or a Verdict") as caught:
        await Gate[str](lambda _: answer, "reason").judge("the value", Run.begin("in"))
    assert caught.value.value == "the value"


async def test_a_predicate_that_raises_is_a_crash_with_its_cause() -> None:
    def broken(_: str) -> bool:
        raise KeyError("x")

    async def broken_later(_: str) -> bool:
        raise KeyError("x")

    for predicate in (broken, broken_later):
        with pytest.raises(GateCrashedError, match="KeyError: 'x'") as caught:
            await Gate[str](predicate, "reason").judge("v", Run.begin("in"))
        assert isinstance(caught.value.__cause__, KeyError)
        assert caught.value.gate == predicate.__name__


async def test_being_cancelled_in_a_gate_is_being_cancelled() -> None:
    async def waits(_: str) -> bool:
        await asyncio.sleep(60)
        return True

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await Gate(waits, "reason").judge("v", Run.begin("in"))


@pytest.mark.parametrize("predicate", [None, "no", 3])
def test_a_gate_of_what_cannot_be_called_is_refused(predicate: Any) -> None:
    with pytest.raises(DefinitionError, match="function of the value"):
        Gate(predicate, "reason")


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_gate_without_a_reason_is_refused(reason: str) -> None:
    with pytest.raises(DefinitionError, match="needs a reason"):
        Gate(is_long, reason)


@pytest.mark.parametrize(
    "verdict",
    [Verdict.allow(), Verdict.block("why"), Verdict.retry("do better"), Verdict.replace("x", "tidied")],
)
async def test_a_predicate_may_return_a_verdict(verdict: Verdict) -> None:
    async def later(_: str) -> Verdict:
        return verdict

    for predicate in (lambda _: verdict, later):
        assert await Gate[str](predicate, "reason").judge("v", Run.begin("in")) is verdict


async def test_a_predicate_of_two_parameters_is_given_the_run() -> None:
    def names_the_input(text: str, run: Run) -> bool:
        return str(run.input) in text

    gate = Gate(names_the_input)
    assert (await gate.judge("of Raft", Run.begin("Raft"))).allowed
    assert not (await gate.judge("of Paxos", Run.begin("Raft"))).allowed


async def test_a_second_parameter_with_a_default_is_the_predicates_own() -> None:
    def within(text: str, most: int = 3) -> bool:
        return len(text) <= most

    assert (await Gate(within).judge("abc", Run.begin("in"))).allowed


async def test_false_can_mean_ask_again() -> None:
    gate = Gate(is_long, "must be long", on_fail="retry")
    assert await gate.judge("x", Run.begin("in")) == Verdict.retry("must be long")


async def test_a_gate_of_a_named_function_needs_no_reason() -> None:
    assert await Gate(is_long).judge("x", Run.begin("in")) == Verdict.block("it does not pass 'is_long'")


@pytest.mark.parametrize("text", ["", " \n", None, 3])
def test_a_rejection_without_a_reason_is_refused(text: Any) -> None:
    with pytest.raises(DefinitionError, match="takes a text that is not empty"):
        Verdict.block(text)
    with pytest.raises(DefinitionError, match="takes a text that is not empty"):
        Verdict.retry(text)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mode": "leniant"}, "'leniant' is no mode. Did you mean 'lenient'?"),
        ({"mode": True}, "True is no mode"),
        ({"on_fail": None}, "None is no on_fail"),
        ({"on_fail": "retyr"}, "'retyr' is no on_fail. Did you mean 'retry'?"),
    ],
)
def test_a_mode_that_is_none_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        Gate(is_long, "reason", **options)


@pytest.mark.parametrize("predicate", [lambda: True, lambda a, b, c: True])
def test_a_function_that_cannot_take_a_value_is_no_gate(predicate: Any) -> None:
    with pytest.raises(DefinitionError, match="of the value, or of the value and the run"):
        Gate(predicate, "reason")
