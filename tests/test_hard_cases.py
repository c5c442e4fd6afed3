"""Cases that a review found: what a stage, a model or a caller may do to a run, and what the run makes of it."""

import asyncio
import pickle
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from promptchain import (
    AnthropicModel,
    Chain,
    Gate,
    Price,
    PromptChainError,
    Run,
    ScriptedModel,
    Stage,
    Step,
    step,
)
from promptchain.errors import (
    DefinitionError,
    GateBlockedError,
    GateCrashedError,
    InputError,
    OutputError,
    OutputTypeError,
    OverloadedError,
    StageError,
    TemplateError,
)
from promptchain.events import TextCommitted
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyStarted,
    TextDelta,
    ThinkingDelta,
)
from promptchain.resilience import Policy
from promptchain.usage import Usage


@step
def leaves(text: str) -> str:
    sys.exit(3)


@step
async def leaves_async(text: str) -> str:
    sys.exit(3)


@pytest.mark.parametrize("stage", [leaves, leaves_async])
def test_a_stage_that_exits_is_an_error_of_its_run_and_not_the_end_of_the_loop(stage: Any) -> None:
    with pytest.raises(StageError, match="raised SystemExit: 3"):
        Chain("c", stage).run_sync("x")
    assert (
        Chain("c", Step("a", prompt="x")).run_sync("x", model=ScriptedModel("still here")).output
        == "still here"
    )


def test_a_gate_that_exits_has_crashed() -> None:
    def judge(text: str) -> bool:
        sys.exit(1)

    with pytest.raises(GateCrashedError, match="SystemExit"):
        Chain("c", Step("a", prompt="x", gates=[Gate(judge, "no")])).run_sync("x", model=ScriptedModel("t"))


def test_one_error_that_is_raised_twice_is_told_in_each_run_by_itself() -> None:
    class Busy:
        name = "busy"
        error = OverloadedError("busy")

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            if request.max_tokens:
                raise self.error
            yield TextDelta("never")

    model, chain = Busy(), Chain("c", Step("a", prompt="x"), policy=Policy(retry=None))
    runs: list[str | None] = []
    for _ in range(2):
        with pytest.raises(OverloadedError) as caught:
            chain.run_sync("x", model=model)
        assert caught.value.ledger is not None
        assert len(caught.value.ledger) == 1
        runs.append(caught.value.run_id)
    assert runs[0] != runs[1]
    assert model.error.run_id is None


async def test_a_stage_that_swallows_the_cancellation_lets_nothing_more_be_spent() -> None:
    entered = asyncio.Event()

    @step
    async def stubborn(text: str) -> str:
        entered.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "never mind"
        return text

    model = ScriptedModel("never asked")
    chain = Chain("c", stubborn | Step("a", prompt="{previous}"))
    task = asyncio.create_task(chain.run("x", model=model))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.requests == []


async def test_a_stage_may_time_out_inside_and_the_run_goes_on() -> None:
    @step
    async def patient(text: str) -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            return "late"
        return text

    chain = Chain("c", patient | Step("a", prompt="{previous}"))
    assert (await chain.run("x", model=ScriptedModel("asked"))).output == "asked"


async def test_a_chain_runs_in_a_task_that_was_cancelled_before_and_cleans_up() -> None:
    async def work() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return (
                await Chain("c", Step("a", prompt="x")).run("x", model=ScriptedModel("a last word"))
            ).output
        return ""

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "a last word"


async def test_a_stage_that_waits_for_something_cancelled_fails_as_a_stage() -> None:
    @step
    async def waits(text: str) -> str:
        other = asyncio.create_task(asyncio.sleep(60))
        other.cancel()
        await other
        return text

    with pytest.raises(StageError, match="waited for something that was cancelled"):
        await Chain("c", waits).run("x")


class Shout(Stage[str, str]):
    input_type = output_type = str

    async def execute(self, value: str, run: Run) -> str:
        return value.upper()


@pytest.mark.parametrize("last", [Shout("shout"), Chain("inner", Shout("shout"))])
async def test_the_text_of_any_last_stage_is_committed_once(last: Stage[str, str]) -> None:
    async with Chain("c", last).stream("hello") as stream:
        events = [event async for event in stream]
    assert [e.text for e in events if isinstance(e, TextCommitted)] == ["HELLO"]


async def test_a_slow_reader_holds_a_model_that_only_thinks() -> None:
    sent = 0

    class Thinker:
        name = "thinker"

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            nonlocal sent
            yield ReplyStarted("m", "thinker", Usage(1))
            for _ in range(20_000):
                sent += 1
                yield ThinkingDelta("hm")
            yield TextDelta("done")
            yield ReplyFinished("end_turn", Usage(1, 1))

    async with Chain("c", Step("a", prompt="x"), model=Thinker()).stream("x") as stream:
        await anext(stream)
        for _ in range(20):
            await asyncio.sleep(0)
        assert sent < 300


class Strict(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        return {"a": "A"}[name]


def test_a_validator_that_raises_anything_keeps_the_reply() -> None:
    with pytest.raises(OutputError, match="cannot be made a Strict: KeyError") as caught:
        Chain("c", Step("a", prompt="x", output=Strict), max_reasks=0).run_sync(
            "x", model=ScriptedModel({"name": "b"})
        )
    assert caught.value.reply == '{"name":"b"}'


class Node(BaseModel):
    children: list["Node"]


def test_an_output_type_that_holds_itself_is_refused_when_the_step_is_written() -> None:
    with pytest.raises(OutputTypeError, match="Node holds itself"):
        Step("a", prompt="x", output=Node)


def test_an_error_behind_a_reply_names_the_request() -> None:
    class Named:
        name = "named"

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            yield ReplyStarted("m", "named", Usage(1), "req_7")
            yield TextDelta("no json")
            yield ReplyFinished("end_turn", Usage(1, 1))

    with pytest.raises(OutputError) as output:
        Chain("c", Step("a", prompt="x", output=Strict)).run_sync("x", model=Named())
    with pytest.raises(GateBlockedError) as gate:
        Chain("c", Step("a", prompt="x", gates=[Gate(lambda t: False, "no")])).run_sync("x", model=Named())
    assert output.value.request_id == gate.value.request_id == "req_7"


def test_a_result_is_pickled_without_its_stages_and_their_keys() -> None:
    gated = Step(
        "a",
        prompt="x",
        gates=[Gate(lambda t: True, "fine")],
        model=AnthropicModel("claude-haiku-4-5", api_key="sk-canary"),
    )
    result = Chain("c", gated).run_sync("x", model=ScriptedModel("t"))
    saved = pickle.dumps(result)
    assert b"sk-canary" not in saved
    again: Any = pickle.loads(saved)  # noqa: S301 - our own
    assert again.as_dict() == result.as_dict()
    assert again.steps["a"].output == "t"


# What no checker would let pass, as untyped callers write it.
STEP: Any = Step
GATE: Any = Gate
CHAIN: Any = Chain


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: STEP("a", prompt="x", stop_sequences=5), "stop_sequences is a list of texts"),
        (lambda: STEP("a", prompt="x", stop_sequences=["end", ""]), "more than white space"),
        (lambda: STEP("a", prompt="x", stop_sequences=["\n"]), "more than white space"),
        (lambda: GATE(lambda value: True), "a gate needs a reason"),
        (lambda: CHAIN("c", leaves, prices=["x"]), "prices maps names"),
        (lambda: STEP("a", prompt="x", model=ScriptedModel), "ScriptedModel is a class"),
    ],
)
def test_what_is_built_wrong_is_refused_with_what_to_do(build: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        build()


def test_a_function_that_yields_is_no_stage() -> None:
    async def pieces(text: str) -> Any:
        yield text

    with pytest.raises(DefinitionError, match="it yields; return one value"):
        step(pieces)


def test_a_prompt_that_is_the_name_of_a_file_is_taken_for_a_slip() -> None:
    with pytest.raises(TemplateError, match=r"give pathlib.Path\('prompts/x.md'\)"):
        Step("a", prompt="prompts/x.md")


@pytest.mark.parametrize(
    "options", [{"request_id": 5}, {"readers": None}, {"readers": print}, {"readers": [5]}]
)
def test_what_a_run_is_handed_wrong_is_refused(options: Any) -> None:
    with pytest.raises(InputError):
        Chain("c", Step("a", prompt="x")).run_sync("x", model=ScriptedModel("t"), **options)


def test_a_result_asked_by_name_says_how_names_are_asked() -> None:
    result: Any = Chain("c", Step("a", prompt="x")).run_sync("x", model=ScriptedModel("t"))
    with pytest.raises(PromptChainError, match=r"result.steps\['a'\]"):
        result["a"]


def test_a_function_stage_gives_its_function_back() -> None:
    assert leaves.function.__name__ == "leaves"


def test_a_lambda_is_told_how_it_gets_a_name() -> None:
    nameless: Any = type(leaves)
    with pytest.raises(DefinitionError, match=r"name a lambda with step\(name=..."):
        nameless(lambda text: text)  # pyright: ignore[reportUnknownLambdaType]


@pytest.mark.parametrize("bad", ["abc", -5, "NaN"])
def test_a_price_that_is_none_is_refused_before_anything_is_spent(bad: Any) -> None:
    with pytest.raises(DefinitionError, match="is no price"):
        Price(input=bad, output=1)


@pytest.mark.parametrize("limit", [0, -1, "10", True, 1.5])
def test_a_limit_that_is_no_number_of_bytes_is_refused(limit: Any) -> None:
    with pytest.raises(DefinitionError, match="max_input_bytes is a whole number"):
        Chain("c", Step("a", prompt="x"), max_input_bytes=limit)


def test_an_input_type_that_nobody_defines_is_refused_when_the_chain_is_built() -> None:
    undefined: Any = list["Undefined"]  # type: ignore[name-defined]  # noqa: F821
    with pytest.raises(DefinitionError, match="cannot be the type of an input"):
        Chain("c", Step("a", prompt="{input}", input=undefined))
