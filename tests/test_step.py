"""Steps: what is asked, what becomes of the reply, and what happens to its text."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from promptchain import Chain, Gate, PromptChainError, Step, Verdict, step
from promptchain.errors import (
    ContextWindowError,
    DefinitionError,
    GateBlockedError,
    GateCrashedError,
    IncompleteReplyError,
    MaxTokensError,
    ModelError,
    OutputError,
    OverloadedError,
    RefusalError,
    TemplateError,
    UnexpectedStopError,
)
from promptchain.events import (
    Event,
    GateJudged,
    TextCommitted,
    TextRetracted,
    TextTentative,
    Thinking,
)
from promptchain.messages import ModelEvent, ModelRequest, ReplyStarted, TextDelta
from promptchain.models.scripted import Scripted, ScriptedModel
from promptchain.resilience import Policy
from promptchain.usage import Usage

ONCE = Policy(retry=None)


class Draft(BaseModel):
    content: str
    confidence: float


GOOD = '{"content":"text","confidence":0.9}'


async def events_of(chain: Chain[str, Any]) -> tuple[list[Event], BaseException | None]:
    seen: list[Event] = []
    try:
        await chain.run("in", readers=[seen.append])
    except PromptChainError as error:
        return seen, error
    return seen, None


async def test_a_step_asks_exactly_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "system.md"
    file.write_text("You are {input}.", "utf-8")
    model = ScriptedModel(GOOD, "the end")
    draft = Step(
        "draft",
        prompt="Write on {input}.",
        system=file,
        output=Draft,
        max_tokens=77,
        effort="high",
        thinking={"type": "adaptive"},
        stop_sequences=["END"],
    )
    last = Step("last", prompt="{draft.content}|{previous}|{{}}")
    result = await Chain("c", draft | last, model=model, max_tokens=55, effort="low").run(
        "cats", request_id="r1"
    )
    first, second = model.requests
    assert first == ModelRequest(
        messages=({"role": "user", "content": "Write on cats."},),
        system="You are cats.",
        max_tokens=77,
        output_schema=Draft.model_json_schema(),
        effort="high",
        thinking={"type": "adaptive"},
        stop_sequences=("END",),
        request_id="r1",
    )
    assert second == ModelRequest(
        messages=({"role": "user", "content": 'text|{"content":"text","confidence":0.9}|{}'},),
        max_tokens=55,
        effort="low",
        request_id="r1",
    )
    assert result.steps["draft"].prompt_hash == hashlib.sha256(b"Write on {input}.").hexdigest()
    assert result.steps["draft"].system_hash == hashlib.sha256(file.read_bytes()).hexdigest()
    assert result.steps["last"].system_hash is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prompt": "{"}, "step 'a': the prompt, line 1"),
        ({"prompt": "x", "system": "{x!r}"}, "step 'a': the system prompt, line 1"),
        ({"prompt": Path("nowhere.md")}, "nowhere.md' does not exist"),
        ({"prompt": "x", "output": dict[str, int]}, "free keys"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "max_tokens": -1}, "max_tokens"),
        ({"prompt": "x", "model": "a b"}, "cannot be the name of a model"),
        ({"prompt": "x", "model": ""}, "cannot be the name of a model"),
        ({"prompt": "x", "temperatur": 0.5}, "a step takes no 'temperatur'. Did you mean 'temperature'"),
        ({"prompt": "x", "stop_sequences": "END"}, r"\['END'\]"),
        ({"prompt": "x", "gates": Gate(bool, "x")}, "gates is a list of gates"),
        ({"prompt": "x", "gates": [lambda value: True]}, "gates is a list of gates"),
        ({"prompt": "x", "gates": lambda value: True}, "gates is a list of gates"),
    ],
)
def test_what_is_wrong_with_a_step_is_said_when_it_is_written(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        Step("a", **options)
    assert caught.value.step == "a"


@pytest.mark.parametrize(
    ("stop_reason", "kind"),
    [
        ("refusal", RefusalError),
        ("max_tokens", MaxTokensError),
        ("model_context_window_exceeded", ContextWindowError),
        ("pause_turn", UnexpectedStopError),
        ("tool_use", UnexpectedStopError),
        ("compaction", UnexpectedStopError),
        ("", UnexpectedStopError),
    ],
)
@pytest.mark.parametrize("text", ["", "half of an", GOOD])
@pytest.mark.parametrize("output", [str, Draft])
async def test_a_reply_that_stopped_for_another_reason_than_its_end_is_never_the_answer(
    stop_reason: str, kind: type[PromptChainError], text: str, output: Any
) -> None:
    model = ScriptedModel(Scripted(chunks=[text], stop_reason=stop_reason, usage=Usage(10, 5)))
    with pytest.raises(kind) as caught:
        await Chain("c", Step("a", prompt="{input}", output=output), model=model).run("x")
    assert type(caught.value) is kind
    assert vars(caught.value)["reply"] == text
    assert caught.value.step == "a"
    ledger = caught.value.ledger
    assert ledger is not None
    assert ledger.usage == Usage(10, 5)
    assert not ledger.estimated
    assert ledger[0].stop_reason == stop_reason


@pytest.mark.parametrize("stop_reason", ["end_turn", "stop_sequence"])
async def test_a_reply_that_came_to_its_end_is_the_answer(stop_reason: str) -> None:
    model = ScriptedModel(Scripted(chunks=["a", "b"], stop_reason=stop_reason))
    assert (await Chain("c", Step("a", prompt="x"), model=model).run("x")).output == "ab"


async def test_a_refusal_tells_what_the_api_says_of_it() -> None:
    details = {"category": "cyber", "explanation": "Not this."}
    model = ScriptedModel(Scripted(stop_reason="refusal", stop_details=details))
    with pytest.raises(RefusalError, match=r"refused to answer \(cyber\): Not this\.") as caught:
        await Chain("c", Step("a", prompt="x"), model=model).run("x")
    assert (caught.value.category, caught.value.explanation) == ("cyber", "Not this.")


class Endless:
    """A model whose stream stops without an end."""

    name = "endless"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield ReplyStarted("m", "endless", Usage(3, 1))
        yield TextDelta("prose that looks like an answer")


async def test_a_stream_without_an_end_is_an_error_also_of_a_model_of_the_users_own() -> None:
    with pytest.raises(IncompleteReplyError, match="without a stop reason") as caught:
        await Chain("c", Step("a", prompt="x", max_tokens=100), model=Endless()).run("x")
    assert caught.value.ledger is not None
    (attempt,) = caught.value.ledger
    assert (attempt.usage, attempt.estimated) == (Usage(3, 100), True)
    assert (
        attempt.error == "IncompleteReplyError: the model 'endless' ended its stream without a stop reason."
    )


async def test_gates_are_asked_in_order_until_one_blocks() -> None:
    asked: list[str] = []

    def passes(value: str) -> bool:
        asked.append("passes")
        return True

    def blocks(value: str) -> bool:
        asked.append("blocks")
        return False

    asks = Step(
        "a", prompt="x", gates=[Gate(passes, "p"), Gate(blocks, "too bad"), Gate(passes, "q", name="late")]
    )
    seen, error = await events_of(Chain("c", asks, model=ScriptedModel("text")))
    assert asked == ["passes", "blocks"]
    assert isinstance(error, GateBlockedError)
    assert (error.gate, error.reason, error.value, error.step) == ("blocks", "too bad", "text", "a")
    assert [(e.record.gate, e.record.verdict) for e in seen if isinstance(e, GateJudged)] == [
        ("passes", Verdict.allow()),
        ("blocks", Verdict.block("too bad")),
    ]


async def test_a_gate_that_crashes_lets_nothing_pass() -> None:
    def crash(draft: Draft) -> bool:
        raise AttributeError("nope")

    step = Step("a", prompt="x", output=Draft, gates=[Gate(crash, "r")])
    _, error = await events_of(Chain("c", step, model=ScriptedModel(GOOD)))
    assert isinstance(error, GateCrashedError)
    assert error.step == "a"
    assert error.ledger is not None
    assert len(error.ledger) == 1


def kinds(seen: list[Event]) -> list[tuple[type[Event], str]]:
    told: list[tuple[type[Event], str]] = []
    for event in seen:
        if isinstance(event, TextTentative | TextCommitted | Thinking):
            told.append((type(event), event.text))
        elif isinstance(event, TextRetracted):
            told.append((type(event), event.reason))
    return told


async def test_the_text_of_a_last_step_without_a_gate_is_committed_as_it_comes() -> None:
    seen, _ = await events_of(Chain("c", Step("a", prompt="x"), model=ScriptedModel("one two")))
    assert kinds(seen) == [(TextCommitted, "one "), (TextCommitted, "two")]


async def test_the_text_of_a_gated_last_step_is_committed_when_the_gate_lets_it_pass() -> None:
    step = Step("a", prompt="x", gates=[Gate(lambda text: True, "r")])
    seen, _ = await events_of(Chain("c", step, model=ScriptedModel("one two")))
    assert kinds(seen) == [(TextTentative, "one "), (TextTentative, "two"), (TextCommitted, "one two")]
    judged = next(i for i, e in enumerate(seen) if isinstance(e, GateJudged))
    assert isinstance(seen[judged + 1], TextCommitted)


async def test_the_text_of_a_typed_last_step_is_committed_when_it_has_validated() -> None:
    seen, _ = await events_of(Chain("c", Step("a", prompt="x", output=Draft), model=ScriptedModel(GOOD)))
    assert kinds(seen)[-1] == (TextCommitted, GOOD)
    assert all(kind is TextTentative for kind, _ in kinds(seen)[:-1])


@pytest.mark.parametrize(
    ("step", "reply", "error"),
    [
        (Step("a", prompt="x", gates=[Gate(lambda text: False, "bad")]), "one two", GateBlockedError),
        (Step("a", prompt="x", output=Draft, max_reasks=0), "no JSON", OutputError),
        (
            Step("a", prompt="x", gates=[Gate(lambda text: True, "r")]),
            Scripted(chunks=["one ", "two"], error=OverloadedError("busy")),
            OverloadedError,
        ),
        (
            Step("a", prompt="x", output=Draft),
            Scripted(chunks=["{"], stop_reason="max_tokens"),
            MaxTokensError,
        ),
    ],
)
async def test_what_is_rejected_is_retracted_and_never_committed(
    step: Step[object, Any], reply: Any, error: type[PromptChainError]
) -> None:
    seen, raised = await events_of(Chain("c", step, model=ScriptedModel(reply), policy=ONCE))
    assert raised is not None
    assert type(raised) is error
    told = kinds(seen)
    assert told[0][0] is TextTentative
    assert told[-1] == (TextRetracted, raised.message)
    assert TextCommitted not in {kind for kind, _ in told}


async def test_the_text_of_an_inner_step_is_never_committed() -> None:
    chain = Chain("c", Step("a", prompt="x") | Step("b", prompt="x"), model=ScriptedModel("inner", "outer"))
    seen, _ = await events_of(chain)
    assert kinds(seen) == [(TextTentative, "inner"), (TextCommitted, "outer")]


async def test_thinking_is_no_part_of_the_answer() -> None:
    model = ScriptedModel(Scripted(thinking="hm", chunks=["text"]))
    seen, _ = await events_of(Chain("c", Step("a", prompt="x"), model=model))
    assert kinds(seen) == [(Thinking, "hm"), (TextCommitted, "text")]


async def test_a_placeholder_that_finds_no_value_costs_nothing() -> None:
    model = ScriptedModel("never asked")
    untyped: Any = step(name="zero")(lambda text: {"field": text})
    first = Step("first", prompt="{previous.nope}")
    with pytest.raises(TemplateError, match="has no 'nope' here") as caught:
        await Chain("c", untyped | first, model=model).run("x")
    assert caught.value.step == "first"
    assert model.requests == []


async def test_an_error_of_a_model_that_is_none_of_ours_keeps_its_cause() -> None:
    with pytest.raises(PromptChainError, match="OSError: disk") as caught:
        await Chain("c", Step("a", prompt="x"), model=ScriptedModel(OSError("disk"))).run("x")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.ledger is not None
    assert caught.value.ledger[0].error == "OSError: disk"


@pytest.mark.parametrize("make", [lambda: ModelError("x"), lambda: OverloadedError("x")])
async def test_only_a_failure_that_may_be_billed_is_estimated(make: Callable[[], ModelError]) -> None:
    error = make()
    with pytest.raises(ModelError) as caught:
        chain = Chain("c", Step("a", prompt="x", max_tokens=50), model=ScriptedModel(error), policy=ONCE)
        await chain.run("x")
    assert caught.value.ledger is not None
    (attempt,) = caught.value.ledger
    assert attempt.estimated is error.billable
    assert (attempt.usage.output_tokens == 50) is error.billable
    assert (attempt.usage == Usage()) is not error.billable


async def test_steps_can_be_used_by_many_runs_at_once() -> None:
    model = ScriptedModel(*[lambda request: str(request.messages[0]["content"]) for _ in range(50)])
    chain = Chain("c", Step("a", prompt="{input}"), model=model)
    results = await asyncio.gather(*(chain.run(f"n{i}") for i in range(50)))
    assert [result.output for result in results] == [f"n{i}" for i in range(50)]
    assert all(len(result.ledger) == 1 for result in results)
