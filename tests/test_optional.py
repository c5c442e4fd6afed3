"""Optional steps: what a run goes on with when one of them fails, and what fails all the same."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import pickle
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from promptchain import Chain, Gate, JudgeGate, OfflineModel, Run, ScriptedModel, Step, step
from promptchain.errors import (
    BudgetExceededError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineError,
    DefinitionError,
    GateBlockedError,
    MissingKeyError,
    ModelNotFoundError,
    PromptChainError,
    RefusalError,
    StageError,
    StepTimeoutError,
    TemplateError,
)
from promptchain.events import (
    Event,
    StepDegraded,
    StepFailed,
    StepFinished,
    StepStarted,
    TextCommitted,
    TextRetracted,
)
from promptchain.models.scripted import Scripted
from promptchain.settings import Settings

GONE = ModelNotFoundError("no such model", status=404)


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


@step
async def waits(text: str) -> str:
    await asyncio.sleep(60)
    return text


first = Step("first", prompt="{input}")
last = Step("last", prompt="It was {tips}.")
tips = Step("tips", prompt="{input}", optional=True, default="none")


async def test_a_run_goes_on_with_the_default_of_a_step_that_fails() -> None:
    seen: list[Event] = []
    model = ScriptedModel("one", GONE, "three")
    result = await Chain("c", first | tips | last, model=model).run("x", readers=[seen.append])
    assert result.output == "three"
    assert model.requests[-1].messages[0]["content"] == "It was none."
    (degraded,) = result.degraded
    assert (degraded.step, degraded.by, degraded.reason) == ("tips", "default", "no such model")
    assert isinstance(degraded.error, ModelNotFoundError)
    assert (degraded.error.step, degraded.error.run_id) == ("tips", result.run_id)
    assert result[tips].degraded is degraded
    assert result[tips].output == "none"
    assert result[first].degraded is None
    assert len(result[tips].ledger) == 1
    told = [
        event for event in seen if event.step == "tips" and isinstance(event, StepDegraded | StepFinished)
    ]
    assert [type(event) for event in told] == [StepDegraded, StepFinished]
    assert not [event for event in seen if isinstance(event, StepFailed)]
    assert pickle.loads(pickle.dumps(result)).degraded[0].reason == "no such model"  # noqa: S301


async def test_a_result_tells_what_was_degraded_as_json() -> None:
    result = await Chain("c", tips, model=ScriptedModel(GONE)).run("x")
    told = {"step": "tips", "reason": "no such model", "error": "ModelNotFoundError", "by": "default"}
    assert result.as_dict()["degraded"] == [told]
    assert result.as_dict()["steps"]["tips"]["degraded"] == told
    whole = await Chain("c", tips, model=ScriptedModel("fine")).run("x")
    assert whole.as_dict()["degraded"] == []
    assert whole.as_dict()["steps"]["tips"]["degraded"] is None


@pytest.mark.parametrize(
    "failure",
    [
        GONE,
        CircuitOpenError("open", model="m", retry_after=1.0),
        BudgetExceededError("too much", budget="nightly"),
        Scripted(chunks=["no"], stop_reason="refusal"),
        Scripted(chunks=["no"], stop_reason="max_tokens"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_whatever_fails_in_a_step_leaves_it_out(failure: Any) -> None:
    typed = Step("tips", prompt="x", output=list[str], optional=True, default=["none"])
    result = await Chain("c", typed, model=ScriptedModel(failure)).run("x")
    assert result.output == ["none"]
    assert len(result.degraded) == 1


async def test_a_step_that_does_not_validate_in_the_end_is_left_out() -> None:
    typed = Step(
        "t", prompt="x", output=Draft, max_reasks=1, optional=True, default=Draft(content="", confidence=0)
    )
    model = ScriptedModel("no", "no")
    result = await Chain("c", typed, model=model).run("x")
    assert result.output == Draft(content="", confidence=0)
    assert len(result[typed].rejected) == 1
    assert model.pending == 0


async def test_gates_and_timeouts_of_an_optional_step_leave_it_out() -> None:
    gated = Step("a", prompt="x", gates=[Gate(lambda _: False, "never")], optional=True, default="default")
    slow = Step("b", prompt="x", timeout=0.05, optional=True, default="")
    model = ScriptedModel("one", Scripted(chunks=["two"], delay=60))
    result = await Chain("c", gated | slow, model=model).run("x")
    assert [type(degraded.error) for degraded in result.degraded] == [GateBlockedError, StepTimeoutError]
    assert result.output == ""
    assert [judgement.verdict.decision for judgement in result[gated].judgements] == ["block"]


async def test_a_function_can_be_optional() -> None:
    @step(optional=True, default=0)
    def number(text: str) -> int:
        return int(text)

    @step(optional=True, default=None)
    async def nothing(number: int) -> str | None:
        raise SystemExit

    result = await Chain("c", number | nothing).run("seven")
    assert (result[number].output, result.output) == (0, None)
    assert [type(degraded.error) for degraded in result.degraded] == [StageError, StageError]
    assert isinstance(result.degraded[0].error, StageError)
    assert isinstance(result.degraded[0].error.__cause__, ValueError)


async def test_a_default_is_each_runs_own() -> None:
    @step(optional=True, default=[])
    def listed(text: str) -> list[str]:
        raise ValueError

    @step
    def more(texts: list[str]) -> list[str]:
        texts.append("more")
        return texts

    chain = Chain("c", listed | more)
    assert (await chain.run("x")).output == ["more"]
    assert (await chain.run("x")).output == ["more"]


async def test_a_run_goes_on_with_what_the_fallback_gives() -> None:
    plan_b = Step("plan-b", prompt="{previous}, after {first}")
    tips = Step("tips", prompt="{input}", fallback=plan_b, optional=True, max_tokens=7)
    seen: list[Event] = []
    model = ScriptedModel("one", GONE, "two", "three")
    result = await Chain("c", first | tips | last, model=model, max_tokens=50).run("x", readers=[seen.append])
    assert result.output == "three"
    assert model.requests[2].messages[0]["content"] == "one, after one"
    assert model.requests[2].max_tokens == 50  # what the chain says, not what the step said
    assert model.requests[3].messages[0]["content"] == "It was two."
    assert result.degraded[0].by == "tips/plan-b"
    assert result[tips].output == "two"
    assert result[tips].steps["plan-b"].output == "two"
    assert result[plan_b].path == "tips/plan-b"
    assert list(result.steps) == ["first", "tips", "last"]
    assert [attempt.step for attempt in result.ledger] == ["first", "tips", "tips/plan-b", "last"]
    assert len(result[tips].ledger) == 2
    ended = [event.step for event in seen if isinstance(event, StepFinished)]
    assert ended == ["first", "tips/plan-b", "tips", "last"]


async def test_a_fallback_may_be_a_chain_a_function_or_optional_itself() -> None:
    inner = Chain("inner", Step("deep", prompt="deep {input}"))
    shrugs = step(name="shrugs")(lambda text: "shrug")
    at_last = Step("at-last", prompt="x", optional=True, default="at last")
    for fallback, script, given in (
        (inner, ["from the chain"], "from the chain"),
        (shrugs, [], "shrug"),
        (at_last, [GONE], "at last"),
    ):
        tips = Step("tips", prompt="x", optional=True, fallback=fallback)
        result = await Chain("c", tips, model=ScriptedModel(GONE, *script)).run("x")
        assert result.output == given
        assert result.degraded[-1].by == f"tips/{fallback.name}" or fallback is at_last
    assert {degraded.step for degraded in result.degraded} == {"tips", "tips/at-last"}


async def test_a_fallback_that_fails_too_is_the_error() -> None:
    plan_b = Step("plan-b", prompt="x")
    tips = Step("tips", prompt="x", optional=True, fallback=plan_b)
    seen: list[Event] = []
    chain = Chain("c", tips, model=ScriptedModel(GONE, Scripted(chunks=["n"], stop_reason="refusal")))
    with pytest.raises(RefusalError) as caught:
        await chain.run("x", readers=[seen.append])
    assert caught.value.step == "tips/plan-b"
    chained: list[BaseException] = []
    error: BaseException | None = caught.value
    while error is not None:
        chained.append(error)
        error = error.__cause__ or error.__context__
    assert any(isinstance(error, ModelNotFoundError) for error in chained)
    assert [event.step for event in seen if isinstance(event, StepFailed)] == ["tips/plan-b", "tips"]


# What stays an error.


@pytest.mark.parametrize("error", [ConfigurationError("no"), MissingKeyError("no"), DefinitionError("no")])
async def test_what_is_wrong_around_a_chain_or_with_it_leaves_no_step_out(error: PromptChainError) -> None:
    with pytest.raises(type(error)):
        await Chain("c", tips, model=ScriptedModel(error)).run("x")


async def test_a_judge_without_a_key_leaves_no_step_out() -> None:
    judged = Step(
        "a",
        prompt="x",
        gates=[JudgeGate("r", model=ScriptedModel(MissingKeyError("no key")))],
        optional=True,
        default="",
    )
    with pytest.raises(PromptChainError, match="no key"):
        await Chain("c", judged, model=ScriptedModel("one")).run("x")


async def test_a_cancelled_run_is_cancelled() -> None:
    has_begun = asyncio.Event()

    @step(optional=True, default="")
    async def waits(text: str) -> str:
        has_begun.set()
        await asyncio.sleep(60)
        return text

    task = asyncio.create_task(Chain("c", waits).run("x"))
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_was_cancelled_in_a_step_while_the_run_was_not_leaves_it_out() -> None:
    @step(optional=True, default="default")
    async def waits(text: str) -> str:
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        await other
        return text

    assert (await Chain("c", waits).run("x")).output == "default"


async def test_after_committed_text_a_failure_is_an_error() -> None:
    model = ScriptedModel(Scripted(chunks=["one ", "two "], error=GONE))
    seen: list[Event] = []
    with pytest.raises(ModelNotFoundError):
        await Chain("c", tips, model=model).run("x", readers=[seen.append])
    assert [event.text for event in seen if isinstance(event, TextCommitted)] == ["one ", "two "]
    assert not [event for event in seen if isinstance(event, StepDegraded)]


async def test_text_that_was_only_tentative_is_taken_back_and_the_default_given_away() -> None:
    gated = Step("a", prompt="x", gates=[Gate(bool, "r")], optional=True, default="sorry")
    seen: list[Event] = []
    model = ScriptedModel(Scripted(chunks=["one ", "two "], error=GONE))
    result = await Chain("c", gated, model=model).run("x", readers=[seen.append])
    assert result.output == "sorry"
    texts = [event for event in seen if isinstance(event, TextRetracted | TextCommitted)]
    assert [type(event) for event in texts] == [TextRetracted, TextCommitted]
    assert [event.text for event in texts if isinstance(event, TextCommitted)] == ["sorry"]


async def test_the_text_of_a_stream_is_what_stands_in() -> None:
    draft = Draft(content="none", confidence=0)
    typed = Step("t", prompt="x", output=Draft, optional=True, default=draft)
    async with Chain("c", typed, model=ScriptedModel(GONE)).stream("x") as stream:
        text = "".join([piece async for piece in stream.text])
    assert Draft.model_validate_json(text) == draft
    other = Step("t", prompt="x", optional=True, fallback=Step("b", prompt="x"))
    async with Chain("c", other, model=ScriptedModel(GONE, "from b")).stream("x") as stream:
        assert "".join([piece async for piece in stream.text]) == "from b"


# What is refused when it is built.


@step
def to_number(text: str) -> int:
    return int(text)


@step
def of_number(number: int) -> str:
    return str(number)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"optional": True}, "an optional step says what stands in when it fails"),
        ({"default": "x"}, "default is for a step that is optional: add optional=True."),
        ({"default": None}, "default is for a step that is optional"),
        ({"fallback": first}, "fallback is for a step that is optional"),
        ({"optional": True, "default": "x", "fallback": first}, "and not both"),
        ({"optional": "yes", "default": "x"}, "optional is True or False"),
        ({"optional": True, "default": None}, "the default None is no str: it is not text."),
        ({"optional": True, "default": "\ud800"}, "is no str"),
        ({"optional": True, "fallback": "first"}, "fallback is a step or another stage, not 'first'."),
        ({"optional": True, "fallback": first | waits}, r"Chain\('plan-b', first | waits\)"),
        (
            {"optional": True, "fallback": to_number},
            "the fallback 'to_number' gives int, and the step gives str",
        ),
        (
            {"optional": True, "fallback": of_number, "input": str},
            "the fallback 'of_number' takes int, and the step takes str",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(options: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=f"step 'a': .*{told}"):
        Step("a", prompt="x", **options)


@pytest.mark.parametrize(
    ("output", "default", "told"),
    [
        (Draft, {"content": "x"}, "is no Draft: Field required"),
        (Draft, None, "the default None is no Draft"),
        (Draft, Draft.model_construct(content="x", confidence=3), "is no Draft"),
        (Literal["a", "b"], "c", "the default 'c' is no Literal"),
        (list[str], "abc", "is no list"),
    ],
)
def test_a_default_that_is_not_of_the_output_type_is_refused(output: Any, default: Any, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        Step("a", prompt="x", output=output, optional=True, default=default)


async def test_a_default_may_be_none_or_a_mapping_of_fields() -> None:
    maybe = Step("a", prompt="x", output=Draft | None, optional=True, default=None)
    assert (await Chain("c", maybe, model=ScriptedModel(GONE)).run("x")).output is None
    fields = Step("a", prompt="x", output=Draft, optional=True, default={"content": "c", "confidence": 1})
    result = await Chain("c", fields, model=ScriptedModel(GONE)).run("x")
    assert result.output == Draft(content="c", confidence=1)


class Thing:
    pass


@step
def makes(text: str) -> Thing:
    raise ValueError


def test_the_default_of_a_function_is_of_the_type_that_it_returns() -> None:
    with pytest.raises(DefinitionError, match="step 'to_number': the default 'x' is no int"):
        step(optional=True, default="x")(to_number.function)
    with pytest.raises(DefinitionError, match="the default 3 is no Thing"):
        step(optional=True, default=3)(makes.function)
    step(optional=True, default=Thing())(makes.function)
    with pytest.raises(DefinitionError, match="cannot be copied for each run"):
        step(name="g", optional=True, default=(n for n in "abc"))(lambda text: text)


def test_a_fallback_is_checked_where_its_step_stands() -> None:
    lost = Step("tips", prompt="x", optional=True, fallback=Step("plan-b", prompt="{frist}"))
    with pytest.raises(TemplateError, match=r"step 'tips/plan-b': .*Did you mean 'first'"):
        Chain("c", first | lost)
    unfit = Step("tips", prompt="x", optional=True, fallback=of_number)
    with pytest.raises(DefinitionError, match=r"step 'tips/of_number': it takes int, .* is handed str"):
        Chain("c", first | unfit)


async def test_a_fallback_needs_a_model_and_takes_settings() -> None:
    plan_b = Step("plan-b", prompt="x", model="claude-haiku-4-5")
    tips = Step("tips", prompt="x", optional=True, fallback=plan_b, model=OfflineModel())
    chain = Chain("c", tips)
    assert [place.path for place in chain.outline] == ["", "tips", "tips/plan-b"]
    settings = Settings.read({"PROMPTCHAIN_PLAN_B_MAX_TOKENS": "9"})
    model = ScriptedModel(GONE, "two")
    await chain.run("x", model=model, settings=settings)
    assert [request.max_tokens for request in model.requests] == [4096, 9]
    bare = Step("tips", prompt="x", optional=True, fallback=Step("plan-b", prompt="x"), model=OfflineModel())
    with pytest.raises(DefinitionError, match="no model is named for tips/plan-b"):
        await Chain("c", bare).run("x")


# When time is short.


@step
def at_once(text: str) -> str:
    return text


async def test_an_optional_step_may_take_what_the_others_do_not_need() -> None:
    slow = step(name="slow", optional=True, default="default")(waits.function)
    seen: list[Event] = []
    result = await Chain("c", slow | at_once).run("x", deadline=0.6, readers=[seen.append])
    assert result.output == "default"
    (degraded,) = result.degraded
    assert isinstance(degraded.error, StepTimeoutError)
    assert "the deadline of 0.6 s leaves an optional step here" in degraded.reason


async def test_an_optional_step_is_skipped_when_the_others_need_the_time() -> None:
    @step
    async def slow(text: str) -> str:
        await asyncio.sleep(1)
        return text

    model = ScriptedModel("never asked for")
    seen: list[Event] = []
    asks = Step("asks", prompt="x", optional=True, default="default", model=model)
    result = await Chain("c", slow | asks | at_once).run("x", deadline=1.5, readers=[seen.append])
    assert result.output == "default"
    (degraded,) = result.degraded
    assert (degraded.error, degraded.reason) == (None, "left out for want of time")
    assert model.pending == 1
    assert [type(event) for event in seen if event.step == "asks"] == [
        StepStarted,
        StepDegraded,
        StepFinished,
    ]


async def test_required_steps_that_follow_are_counted_through_nested_chains() -> None:
    @step
    async def slow(text: str) -> str:
        await asyncio.sleep(0.75)
        return text

    def chain(*names: str) -> Chain[str, str]:
        asks = step(name="asks", optional=True, default="default")(at_once.function)
        behind = Chain("behind", step(name="a")(at_once.function) | step(name="b")(at_once.function))
        if names:
            return Chain("c", slow | Chain("inner", asks) | behind)
        return Chain("c", slow | Chain("inner", asks | step(name="last")(at_once.function)))

    assert (await chain().run("x", deadline=30)).degraded == ()
    # Of four shares of 0.375 s two are put aside for the stages to come, and 0.75 s are left at most.
    result = await chain("behind").run("x", deadline=1.5)
    assert [degraded.error for degraded in result.degraded] == [None]


async def test_an_optional_last_step_leaves_time_for_its_default() -> None:
    slow = step(name="slow", optional=True, default="default")(waits.function)
    assert (await Chain("c", slow).run("x", deadline=0.5)).output == "default"


async def test_an_optional_step_leaves_time_for_its_fallback() -> None:
    @step
    async def plan_b(text: str) -> str:
        await asyncio.sleep(0.1)
        return "plan b"

    slow = step(name="slow", optional=True, fallback=plan_b)(waits.function)
    result = await Chain("c", slow | at_once).run("x", deadline=0.9)
    assert result.output == "plan b"
    assert isinstance(result.degraded[0].error, StepTimeoutError)


async def test_a_required_step_may_use_all_that_is_left() -> None:
    @step
    async def slow(text: str) -> str:
        await asyncio.sleep(0.5)
        return text

    assert (
        await Chain("c", slow | at_once | step(name="b")(at_once.function)).run("x", deadline=1)
    ).output == "x"


async def test_a_fallback_that_takes_too_long_meets_the_deadline() -> None:
    tips = Step("tips", prompt="x", optional=True, fallback=waits)
    with pytest.raises(DeadlineError) as caught:
        await Chain("c", tips, model=ScriptedModel(GONE)).run("x", deadline=0.2)
    assert caught.value.step == "tips/waits"


async def test_a_tighter_deadline_of_an_inner_chain_does_not_take_from_the_outer_ones_stages() -> None:
    @step
    async def slow(text: str) -> str:
        await asyncio.sleep(0.4)
        return text

    asks = step(name="asks", optional=True, default="default")(at_once.function)
    inner = Chain("inner", slow | asks, deadline=1)
    behind = [step(name=name)(at_once.function) for name in "abcd"]
    whole = inner | behind[0] | behind[1] | behind[2] | behind[3]
    assert (await Chain("c", inner).run("x", deadline=1.2)).degraded == ()
    result = await Chain("c", whole).run("x", deadline=1.2)
    assert [degraded.step for degraded in result.degraded] == ["inner/asks"]


async def test_a_function_sees_the_default_as_an_output_of_the_run() -> None:
    @step
    def looks(text: str, run: Run) -> str:
        return run.outputs["tips"]

    assert (await Chain("c", tips | looks, model=ScriptedModel(GONE)).run("x")).output == "none"
