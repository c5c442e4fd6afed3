"""Gates that misbehave: nothing leaks, nothing is spent in vain, and every failure is a clear error."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator

from promptchain import Chain, Gate, JudgeGate, Run, ScriptedModel, Step, Verdict, step
from promptchain.errors import (
    DefinitionError,
    GateBlockedError,
    GateCrashedError,
    InputError,
    OutputError,
    StepTimeoutError,
)
from promptchain.events import Event, PartialOutput, RunFailed, TextRetracted
from promptchain.models.scripted import Scripted
from promptchain.testing import MessagesAPI


class Draft(BaseModel):
    content: str
    confidence: float = Field(0.5, ge=0, le=1, alias="c")


@dataclass
class Note:
    content: str


SECRET = {"content": "SECRET", "c": 0.3}


def redacts_in_place(draft: Any) -> Verdict:
    draft.content = "[redacted]"
    return Verdict.replace(draft, "redacted")


def redacts_on_the_sly(draft: Any) -> bool:
    draft.content = "[redacted]"
    return True


@pytest.mark.parametrize("gate", [redacts_in_place, redacts_on_the_sly])
@pytest.mark.parametrize("output", [Draft, Note])
async def test_what_a_gate_has_taken_out_is_not_given_away(gate: Any, output: Any) -> None:
    reply = SECRET if output is Draft else {"content": "SECRET"}
    gated = Step("a", prompt="x", output=output, gates=[Gate(gate)])
    async with Chain("c", gated, model=ScriptedModel(reply)).stream("x") as stream:
        text = "".join([piece async for piece in stream.text])
        result = await stream.result()
    assert json.loads(text)["content"] == "[redacted]" == result.output.content


async def test_a_replacement_is_written_by_the_names_that_the_model_was_asked_for() -> None:
    gated = Step("a", prompt="x", output=Draft, gates=[Gate(redacts_in_place)])
    async with Chain("c", gated, model=ScriptedModel(SECRET)).stream("x") as stream:
        assert json.loads("".join([piece async for piece in stream.text])) == {
            "content": "[redacted]",
            "c": 0.3,
        }


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    topic: Literal["a", "b"]
    n: int = Field(ge=0, le=5)

    @computed_field
    def double(self) -> int:
        return 2 * self.n


@pytest.mark.parametrize(
    "change",
    [{"n": 99}, {"topic": "A"}, {"n": object()}, {"n": float("nan")}],
)
async def test_an_instance_that_holds_what_its_type_does_not_take_is_no_replacement(change: Any) -> None:
    gates = [Gate[Strict](lambda s: Verdict.replace(s.model_copy(update=change)), "tidies")]
    seen: list[Event] = []
    chain = Chain(
        "c", Step("a", prompt="x", output=Strict, gates=gates), model=ScriptedModel({"topic": "a", "n": 1})
    )
    with pytest.raises(GateCrashedError, match="does not fit"):
        await chain.run("x", readers=[seen.append])
    assert [type(e) for e in seen if isinstance(e, TextRetracted)] == [TextRetracted]


@pytest.mark.parametrize(
    ("output", "reply"), [(list[Strict], [{"topic": "a", "n": 1}]), (Strict | None, {"topic": "a", "n": 1})]
)
@pytest.mark.parametrize("n", [99, object()])
async def test_nor_is_one_that_stands_in_a_list_or_a_union(output: Any, reply: Any, n: Any) -> None:
    def spoils(value: Any) -> Verdict:
        if isinstance(value, list):
            return Verdict.replace([value[0].model_copy(update={"n": n})])
        return Verdict.replace(value.model_copy(update={"n": n}))

    chain = Chain("c", Step("a", prompt="x", output=output, gates=[Gate(spoils)]), model=ScriptedModel(reply))
    with pytest.raises(GateCrashedError, match="does not fit"):
        await chain.run("x")


async def test_an_instance_that_fits_is_a_replacement_also_of_a_closed_type_with_computed_fields() -> None:
    gates = [Gate[Strict](lambda s: Verdict.replace(s.model_copy(update={"n": 3})), "tidies")]
    step = Step("a", prompt="x", output=Strict, gates=gates)
    result = await Chain("c", step, model=ScriptedModel({"topic": "a", "n": 1})).run("x")
    assert result.output == Strict(topic="a", n=3)


async def swallows(_: str) -> bool:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    return False


async def test_a_gate_that_swallows_that_the_reader_left_does_not_make_the_step_ask_again(
    messages_api: MessagesAPI,
) -> None:
    in_gate = asyncio.Event()

    async def waits(text: str) -> bool:
        in_gate.set()
        return await swallows(text)

    gates = [Gate(waits, "no", on_fail="retry"), JudgeGate("It is good.")]
    chain = Chain("c", Step("a", prompt="{input}", gates=gates), model="claude-haiku-4-5")
    async with chain.stream("x"):
        await in_gate.wait()
    assert len(messages_api.bill) == 1


async def test_a_gate_that_swallows_the_timeout_has_still_taken_too_long() -> None:
    asks = Step("a", prompt="x", gates=[Gate(swallows, "no", on_fail="retry")], timeout=0.1)
    model = ScriptedModel("one", "two")
    with pytest.raises(StepTimeoutError):
        await Chain("c", asks, model=model).run("x")
    assert model.pending == 1


async def test_a_gate_that_makes_an_error_of_its_own_of_the_timeout_has_still_taken_too_long() -> None:
    async def hides(_: str) -> bool:
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            raise ValueError("hidden") from error
        return True

    with pytest.raises(StepTimeoutError):
        await Chain(
            "c", Step("a", prompt="x", gates=[Gate(hides)], timeout=0.1), model=ScriptedModel("one")
        ).run("x")


@pytest.mark.parametrize("where", ["input", "step"])
async def test_a_gate_that_waits_for_something_that_was_cancelled_has_crashed(where: str) -> None:
    async def waits_in_vain(_: str) -> bool:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task
        return True

    gates = [Gate(waits_in_vain, mode="lenient")]
    chain = Chain(
        "c",
        Step("a", prompt="x", gates=gates if where == "step" else ()),
        model=ScriptedModel("one"),
        input_gates=gates if where == "input" else (),
    )
    with pytest.raises(GateCrashedError, match="crashed instead of judging: CancelledError"):
        await chain.run("x")


@pytest.mark.parametrize("where", ["input", "step", "function"])
def test_an_interrupt_in_a_chain_ends_that_call_and_no_other(where: str) -> None:
    def interrupts(_: str) -> bool:
        raise KeyboardInterrupt

    @step
    def function(text: str) -> str:
        raise KeyboardInterrupt

    gates = [Gate(interrupts)]
    stages: dict[str, Chain[str, Any]] = {
        "input": Chain("c", Step("a", prompt="x"), input_gates=gates),
        "step": Chain("c", Step("a", prompt="x", gates=gates)),
        "function": Chain("c", function),
    }
    seen: list[Event] = []
    with pytest.raises(KeyboardInterrupt):
        stages[where].run_sync("x", model=ScriptedModel("one"), readers=[seen.append])
    assert isinstance(seen[-1], RunFailed)
    assert (
        Chain("c", Step("a", prompt="x")).run_sync("x", model=ScriptedModel("still there")).output
        == "still there"
    )


class Picky(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def is_small(cls, n: int) -> int:
        if n > 2:
            raise TypeError("boo")
        return n


async def test_a_validator_that_raises_anything_is_told_of_a_replacement_and_of_an_input() -> None:
    gates = [Gate[Picky](lambda p: Verdict.replace({"n": 3}), "tidies")]
    chain = Chain(
        "c", Step("a", prompt="{previous.n}", input=Picky), model=ScriptedModel("one"), input_gates=gates
    )
    with pytest.raises(GateCrashedError, match="TypeError|boo"):
        await chain.run(Picky(n=1))
    plain = Chain("c", Step("a", prompt="{previous.n}", input=Picky), model=ScriptedModel("one"))
    with pytest.raises(InputError, match="TypeError: boo"):
        await plain.run({"n": 3})  # type: ignore[arg-type]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("where", ["input", "step"])
async def test_what_cannot_be_told_or_is_long_makes_no_message_fail(where: str) -> None:
    def raises(_: str) -> bool:
        raise Wordless

    for gate, told in (
        (Gate[Any](lambda _: Hostile(), "r"), "<Hostile without a repr>"),
        (Gate[Any](lambda _: "x" * 100_000, "r"), r"xxx\.\.\."),
        (Gate[Any](raises), "it has no message"),
        (Gate[Any](lambda _: Verdict.replace(b"x" * 100_000), "r"), "does not fit"),
    ):
        gates = [gate]
        chain = Chain(
            "c",
            Step("a", prompt="x", gates=gates if where == "step" else ()),
            model=ScriptedModel("one"),
            input_gates=gates if where == "input" else (),
        )
        with pytest.raises(GateCrashedError, match=told) as caught:
            await chain.run("x")
        assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize(
    "make",
    [
        lambda: Verdict("blok"),  # type: ignore[arg-type]
        lambda: Verdict("retry", 5),  # type: ignore[arg-type]
        lambda: Verdict("block", None),  # type: ignore[arg-type]
        lambda: Verdict("block"),
        lambda: Verdict.retry("\ud800"),
        lambda: Verdict.replace("x", object()),  # type: ignore[arg-type]
    ],
)
def test_a_verdict_that_is_none_is_refused(make: Any) -> None:
    with pytest.raises(DefinitionError):
        make()


async def test_text_that_cannot_be_sent_is_no_replacement() -> None:
    gates = [Gate[str](lambda _: Verdict.replace("\ud800"), "r")]
    with pytest.raises(GateCrashedError, match="does not fit"):
        await Chain("c", Step("a", prompt="x", gates=gates), model=ScriptedModel("one")).run("x")


async def test_half_of_a_surrogate_pair_in_a_growing_output_is_the_same_error_whoever_watches() -> None:
    reply = Scripted(chunks=['{"content": "\ud800"', "}"], usage=None)
    for readers in ([], [lambda event: None]):
        chain = Chain("c", Step("a", prompt="x", output=Note, max_reasks=0), model=ScriptedModel(reply))
        with pytest.raises(OutputError):
            await chain.run("x", readers=readers)


async def test_a_judge_of_an_input_is_not_shown_what_a_gate_before_has_taken_out() -> None:
    clean = Gate[str](lambda t: Verdict.replace(t.replace("ann@example.com", "[address]")), "cleans")
    model = ScriptedModel({"reason": "It is one.", "verdict": "pass"}, "answer")
    chain = Chain(
        "c", Step("a", prompt="{input}"), model=model, input_gates=[clean, JudgeGate("r", name="door")]
    )
    await chain.run("write to ann@example.com")
    assert "ann@example.com" not in str(model.requests)


async def test_a_gate_of_an_inner_chain_sees_what_that_chain_is_handed_as_the_input() -> None:
    seen: list[object] = []

    def sees(value: str, run: Run) -> bool:
        seen.append(run.input)
        return True

    inner = Chain("inner", Step("b", prompt="x"), input_gates=[Gate(sees)])
    await Chain("c", Step("a", prompt="x") | inner, model=ScriptedModel("handed on", "end")).run("asked")
    assert seen == ["handed on"]


async def test_an_inner_chain_without_a_declared_input_takes_a_replacement_of_any_kind() -> None:
    untyped: Any = step(name="zero")(lambda text: {"n": 1})
    more = Gate[Any](lambda d: Verdict.replace({**d, "m": 2}), "adds")
    inner = Chain("inner", Step("b", prompt="{input}"), input_gates=[more])
    model = ScriptedModel(lambda r: str(r.messages[0]["content"]))
    assert (await Chain("c", untyped | inner, model=model).run("x")).output == '{"n":1,"m":2}'


async def test_what_json_has_no_number_for_is_a_text_in_a_result_for_json() -> None:
    @step
    def numbers(text: str) -> list[float]:
        return [float("nan"), float("inf"), 1.5]

    result = await Chain("c", numbers).run("x")
    assert json.dumps(result.as_dict()["output"], allow_nan=False)

    @step
    def hostile(text: str) -> Hostile:
        return Hostile()

    assert (await Chain("c", hostile).run("x")).as_dict()["output"] == "<Hostile without a repr>"


async def test_a_growing_output_of_many_small_pieces_is_whole_at_its_end() -> None:
    long = json.dumps({"content": "日本" * 20_000})
    seen: list[Event] = []
    chain = Chain("c", Step("a", prompt="x", output=Note), model=ScriptedModel(Scripted(chunks=list(long))))
    await chain.run("x", readers=[seen.append])
    grown = [e.value for e in seen if isinstance(e, PartialOutput)]
    assert grown[-1] == {"content": "日本" * 20_000}
    assert len(grown) < 500


async def test_a_blocked_value_is_told_with_the_reply_it_came_in() -> None:
    chain = Chain("c", Step("a", prompt="x", output=Note, gates=[Gate(lambda n: False, "no")]))
    with pytest.raises(GateBlockedError) as caught:
        await chain.run("x", model=ScriptedModel({"content": "x"}))
    assert caught.value.reply == '{"content":"x"}'
