"""Asking again: what the model is told of a rejected reply, how often, and what became of its text."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pydantic import BaseModel, Field, model_validator

from promptchain import Chain, Gate, Run, ScriptedModel, Step, Verdict, step
from promptchain.errors import (
    DefinitionError,
    GateBlockedError,
    GateCrashedError,
    MaxTokensError,
    OutputError,
    OverloadedError,
    RefusalError,
)
from promptchain.events import (
    Event,
    GateJudged,
    PartialOutput,
    TextCommitted,
    TextRetracted,
    TextTentative,
)
from promptchain.models.scripted import Scripted
from promptchain.resilience import Policy
from promptchain.testing import Fault, MessagesAPI

HAIKU = "claude-haiku-4-5"
ONCE = Policy(retry=None)


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


SURE = Draft(content="Raft elects a leader.", confidence=0.9)


def is_short(text: str) -> Verdict:
    words = len(text.split())
    return Verdict.allow() if words <= 3 else Verdict.retry(f"{words} words are too many; 3 are enough")


SHORT = Step("short", prompt="Say what {input} is.", gates=[Gate(is_short)])


def turns(body: Any) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in body["messages"]]


async def test_what_was_rejected_while_it_streamed_is_taken_back_and_never_given(
    messages_api: MessagesAPI,
) -> None:
    messages_api.script("Raft is a consensus algorithm for replicated logs", "A consensus algorithm")
    chain = Chain("c", SHORT, model=HAIKU)
    seen: list[Event] = []
    async with chain.stream("Raft", readers=[seen.append]) as stream:
        given = [text async for text in stream.text]
        result = await stream.result()

    assert given == ["A consensus algorithm"]
    assert result.output == "A consensus algorithm"
    life = [
        (type(e), e.attempt) for e in seen if isinstance(e, TextTentative | TextRetracted | TextCommitted)
    ]
    assert list(dict.fromkeys(life)) == [
        (TextTentative, 1),
        (TextRetracted, 1),
        (TextTentative, 2),
        (TextCommitted, 2),
    ]
    assert all(e.is_answer for e in seen if isinstance(e, TextTentative))
    (retracted,) = [e for e in seen if isinstance(e, TextRetracted)]
    assert (
        retracted.reason == "8 words are too many; 3 are enough" or "words are too many" in retracted.reason
    )

    first, second = messages_api.bill
    assert turns(first.received) == [("user", "Say what Raft is.")]
    question, reply, feedback = turns(second.received)
    assert question == ("user", "Say what Raft is.")
    assert reply == ("assistant", "Raft is a consensus algorithm for replicated logs")
    assert feedback[0] == "user"
    assert retracted.reason in feedback[1]
    assert [attempt.number for attempt in result.ledger] == [1, 2]
    assert result.usage == messages_api.bill.usage
    assert result.cost == messages_api.bill.cost


async def test_json_that_is_wrong_twice_and_then_right_is_three_requests(messages_api: MessagesAPI) -> None:
    messages_api.script('{"content": "Raft', {"content": "Raft", "confidence": 7}, SURE)
    chain = Chain("c", Step("draft", prompt="{input}", output=Draft), model=HAIKU)
    result = await chain.run("Raft")

    assert result.output == SURE
    assert len(messages_api.bill) == 3
    last = turns(messages_api.bill[2].received)
    assert [role for role, _ in last] == ["user", "assistant", "user", "assistant", "user"]
    assert last[1][1] == '{"content": "Raft'
    assert "it is not JSON" in last[2][1]
    assert "confidence: Input should be less than or equal to 1" in last[4][1]
    assert turns(messages_api.bill[1].received) == last[:3]
    assert len(result.ledger) == 3
    assert result.usage == messages_api.bill.usage
    assert result.cost == messages_api.bill.cost
    rejected = result.steps["draft"].rejected
    assert [(reply.attempt, reply.reply) for reply in rejected] == [
        (1, '{"content": "Raft'),
        (2, '{"content":"Raft","confidence":7}'),
    ]


@pytest.mark.parametrize("bound", [0, 1, 2])
async def test_no_more_is_sent_than_the_bound_allows(messages_api: MessagesAPI, bound: int) -> None:
    messages_api.answer_with(lambda request: f"no JSON {len(request.body['messages'])}")
    draft = Step("draft", prompt="{input}", output=Draft, max_reasks=bound)
    with pytest.raises(OutputError) as caught:
        await Chain("c", draft, model=HAIKU).run("Raft")
    assert len(messages_api.bill) == bound + 1
    assert caught.value.reply == f"no JSON {2 * bound + 1}"
    assert ("was asked" in caught.value.message) is (bound > 0)
    assert caught.value.ledger is not None
    assert caught.value.ledger.usage == messages_api.bill.usage


async def test_the_bound_is_two_where_nobody_says() -> None:
    model = ScriptedModel(*["no JSON"] * 9)
    with pytest.raises(OutputError, match="The model was asked 3 times"):
        await Chain("c", Step("draft", prompt="x", output=Draft), model=model).run("x")
    assert len(model.requests) == 3


@pytest.mark.parametrize(("of_step", "of_chain", "requests"), [(None, 1, 2), (0, 5, 1), (3, 0, 4)])
async def test_the_step_says_the_bound_or_else_the_chain(
    of_step: int | None, of_chain: int, requests: int
) -> None:
    model = ScriptedModel(*["no JSON"] * 9)
    draft = Step("draft", prompt="x", output=Draft, max_reasks=of_step)
    with pytest.raises(OutputError):
        await Chain("c", draft, model=model, max_reasks=of_chain).run("x")
    assert len(model.requests) == requests


@pytest.mark.parametrize("bound", [-1, 21, 1.0, True, "2"])
def test_a_bound_that_is_none_is_refused(bound: Any) -> None:
    with pytest.raises(DefinitionError, match="max_reasks is a whole number of requests from 0 to 20"):
        Step("draft", prompt="x", max_reasks=bound)


async def test_a_gate_that_never_is_content_ends_the_run_with_the_last_reply() -> None:
    model = ScriptedModel("one two three four", "one two three four five", "one two three four five six")
    with pytest.raises(GateBlockedError) as caught:
        await Chain("c", SHORT, model=model).run("Raft")
    error = caught.value
    assert str(error) == (
        "step 'short': the gate 'is_short' blocked the output: 6 words are too many; 3 are enough. "
        "The model was asked 3 times."
    )
    assert error.reply == error.value == "one two three four five six"
    assert error.reason == "6 words are too many; 3 are enough"
    assert len(model.requests) == 3


async def test_an_empty_reply_is_told_in_the_question_as_no_turn_may_be_empty(
    messages_api: MessagesAPI,
) -> None:
    messages_api.script(" ", SURE)
    chain = Chain("c", Step("draft", prompt="{input}", output=Draft), model=HAIKU)
    assert (await chain.run("Raft")).output == SURE
    ((role, content),) = turns(messages_api.bill[1].received)
    assert role == "user"
    assert content.startswith("Raft\n\n")
    assert "is empty" in content


async def test_every_gate_judges_the_next_reply_again() -> None:
    judged: list[str] = []

    def sees(text: str) -> bool:
        judged.append(text)
        return True

    gated = Step("a", prompt="x", gates=[Gate(sees), Gate(is_short), Gate(sees)])
    result = await Chain("c", gated, model=ScriptedModel("one two three four", "one")).run("x")
    assert judged == ["one two three four", "one", "one"]
    told = [(j.gate, j.attempt, j.verdict.decision) for j in result.steps["a"].judgements]
    assert told == [
        ("sees", 1, "allow"),
        ("is_short", 1, "retry"),
        ("sees", 2, "allow"),
        ("is_short", 2, "allow"),
        ("sees", 2, "allow"),
    ]


async def test_validation_and_gates_share_one_bound() -> None:
    unsure = Draft(content="maybe", confidence=0.1)
    gated = Step(
        "a",
        prompt="x",
        output=Draft,
        gates=[Gate(lambda d: d.confidence > 0.5, "be surer", on_fail="retry")],
        max_reasks=1,
    )
    model = ScriptedModel("no JSON", unsure, SURE)
    with pytest.raises(GateBlockedError, match="be surer"):
        await Chain("c", gated, model=model).run("x")
    assert model.pending == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Scripted(chunks=["half"], stop_reason="max_tokens"), MaxTokensError),
        (Scripted(stop_reason="refusal"), RefusalError),
        (OverloadedError("busy"), OverloadedError),
    ],
)
async def test_what_asking_again_would_not_mend_is_not_asked_again(reply: Any, kind: type[Exception]) -> None:
    model = ScriptedModel(reply, SURE)
    with pytest.raises(kind):
        await Chain("c", Step("a", prompt="x", output=Draft), model=model, policy=ONCE).run("x")
    assert model.pending == 1


async def test_a_blank_reply_is_none_also_where_text_is_given_at_once() -> None:
    model = ScriptedModel(Scripted(chunks=["  ", "\n"]), Scripted(chunks=["\n", " a", " second reply"]))
    async with Chain("c", Step("a", prompt="x"), model=model).stream("x") as stream:
        assert [text async for text in stream.text] == ["\n a", " second reply"]
        assert (await stream.result()).output == "\n a second reply"


async def test_a_failure_of_a_later_attempt_keeps_the_ledger_of_all(messages_api: MessagesAPI) -> None:
    messages_api.script("no JSON", Fault.status(529))
    chain = Chain("c", Step("draft", prompt="{input}", output=Draft), model=HAIKU, policy=ONCE)
    with pytest.raises(OverloadedError) as caught:
        await chain.run("Raft")
    assert caught.value.ledger is not None
    assert [attempt.number for attempt in caught.value.ledger] == [1, 2]
    assert caught.value.ledger.usage == messages_api.bill.usage


async def test_an_inner_step_asks_again_too_and_the_next_sees_only_what_was_allowed() -> None:
    model = ScriptedModel("one two three four", "one two", lambda r: str(r.messages[0]["content"]))
    chain = Chain("c", SHORT | Step("last", prompt="<{short}>"), model=model)
    assert (await chain.run("Raft")).output == "<one two>"


async def test_a_replacement_goes_on_in_place_of_the_reply() -> None:
    def tidied(text: str) -> Verdict:
        return Verdict.replace(text.strip().upper(), "tidied")

    model = ScriptedModel("  one two ", lambda r: str(r.messages[0]["content"]))
    first = Step("first", prompt="x", gates=[Gate(tidied)])
    result = await Chain("c", first | Step("last", prompt="<{first}>"), model=model).run("x")
    assert result.steps["first"].output == "ONE TWO"
    assert result.output == "<ONE TWO>"
    assert result.steps["first"].judgements[0].verdict == Verdict.replace("ONE TWO", "tidied")


async def test_a_replacement_is_what_the_reader_of_the_text_is_given() -> None:
    gated = Step("a", prompt="x", gates=[Gate(lambda text: Verdict.replace("clean"), "r")])
    async with Chain("c", gated, model=ScriptedModel("dirty words")).stream("x") as stream:
        assert [text async for text in stream.text] == ["clean"]

    typed = Step("a", prompt="x", output=Draft, gates=[Gate(lambda d: Verdict.replace(SURE), "r")])
    unsure = Draft(content="maybe", confidence=0.1)
    async with Chain("c", typed, model=ScriptedModel(unsure)).stream("x") as stream:
        assert [text async for text in stream.text] == [SURE.model_dump_json()]
        assert (await stream.result()).output == SURE


async def test_the_next_gate_judges_the_replacement() -> None:
    gates = [Gate[str](lambda t: Verdict.replace("b"), "r"), Gate[str](lambda t: t == "b", "must be b")]
    result = await Chain("c", Step("a", prompt="x", gates=gates), model=ScriptedModel("a")).run("x")
    assert result.output == "b"


@pytest.mark.parametrize("value", [None, 3, "", {"content": "x"}, {"content": "x", "confidence": 2}])
@pytest.mark.parametrize("output", [str, Draft])
async def test_a_replacement_of_another_type_is_a_crash(value: Any, output: Any) -> None:
    gates = [Gate[Any](lambda _: Verdict.replace(value), "tidies")]
    chain = Chain("c", Step("a", prompt="x", output=output, gates=gates), model=ScriptedModel(SURE))
    with pytest.raises(GateCrashedError, match="'tidies' replaced the value by one that does not fit"):
        await chain.run("x")


async def test_a_lenient_gate_keeps_its_verdict_and_the_run_goes_on() -> None:
    no = Gate[str](lambda text: False, "it is bad", mode="lenient")
    seen: list[Event] = []
    chain = Chain("c", Step("a", prompt="x", gates=[no]), model=ScriptedModel("one"))
    result = await chain.run("x", readers=[seen.append])
    assert result.output == "one"
    (judgement,) = result.steps["a"].judgements
    assert (judgement.verdict, judgement.mode, judgement.step) == (Verdict.block("it is bad"), "lenient", "a")
    assert [e.record for e in seen if isinstance(e, GateJudged)] == [judgement]
    assert [type(e) for e in seen if isinstance(e, TextRetracted | TextCommitted)] == [TextCommitted]
    assert result.judgements == (judgement,)
    assert result.as_dict()["judgements"] == [
        {
            "step": "a",
            "gate": "it is bad",
            "attempt": 1,
            "decision": "block",
            "reason": "it is bad",
            "mode": "lenient",
        }
    ]


async def test_a_lenient_gate_still_asks_again_and_goes_on_when_that_did_not_help() -> None:
    lenient = Step("a", prompt="x", gates=[Gate(is_short, mode="lenient")], max_reasks=1)
    model = ScriptedModel("one two three four", "one two three four five")
    result = await Chain("c", lenient, model=model).run("x")
    assert result.output == "one two three four five"
    assert [j.verdict.decision for j in result.steps["a"].judgements] == ["retry", "retry"]


@pytest.mark.parametrize(
    ("of_gate", "of_step", "of_chain", "stops"),
    [
        (None, None, None, True),
        (None, None, "lenient", False),
        (None, "strict", "lenient", True),
        (None, "lenient", "strict", False),
        ("strict", "lenient", "lenient", True),
        ("lenient", "strict", "strict", False),
    ],
)
async def test_the_mode_is_the_gates_or_the_steps_or_the_chains(
    of_gate: Any, of_step: Any, of_chain: Any, stops: bool
) -> None:
    no = Gate[str](lambda text: False, "no", mode=of_gate)
    asks = Step("a", prompt="x", gates=[no], gates_mode=of_step)
    chain = Chain("c", asks, model=ScriptedModel("one"), gates_mode=of_chain)
    if stops:
        with pytest.raises(GateBlockedError):
            await chain.run("x")
    else:
        assert (await chain.run("x")).output == "one"


async def test_a_gate_that_crashes_is_an_error_in_lenient_mode_too() -> None:
    def crash(text: str) -> bool:
        raise LookupError("no such word")

    asks = Step("a", prompt="x", gates=[Gate(crash, mode="lenient")])
    with pytest.raises(GateCrashedError, match="LookupError: no such word") as caught:
        await Chain("c", asks, model=ScriptedModel("one"), gates_mode="lenient").run("x")
    assert isinstance(caught.value.__cause__, LookupError)


async def test_the_value_of_a_function_goes_through_its_gates() -> None:
    @step(gates=[Gate(lambda n: n > 2, "it must be long", name="length")])
    def measure(text: str) -> int:
        return len(text)

    assert (await Chain("c", measure).run("abc")).output == 3
    with pytest.raises(GateBlockedError, match="step 'measure': the gate 'length' blocked") as caught:
        await Chain("c", measure).run("ab")
    assert caught.value.value == 2


async def test_behind_a_function_a_wish_for_another_value_is_a_block() -> None:
    @step(gates=[Gate(lambda n: Verdict.retry("longer"), "r", name="length")])
    def measure(text: str) -> int:
        return len(text)

    with pytest.raises(GateBlockedError, match="longer"):
        await Chain("c", measure).run("abc")
    lenient = Chain("c", measure, gates_mode="lenient")
    assert (await lenient.run("abc")).output == 3


async def test_what_a_chain_is_handed_goes_through_its_input_gates_before_anything_is_sent() -> None:
    model = ScriptedModel("one")
    polite = Gate[str](lambda text: "please" in text, "say please", name="politeness")
    chain = Chain("c", Step("a", prompt="{input}"), model=model, input_gates=[polite])
    with pytest.raises(GateBlockedError) as caught:
        await chain.run("tell me")
    assert str(caught.value) == "the gate 'politeness' blocked the input: say please."
    assert (caught.value.step, caught.value.value) == (None, "tell me")
    assert len(caught.value.ledger or ()) == 0
    assert caught.value.ledger is not None
    assert model.requests == []

    result = await chain.run("please tell me")
    assert [(j.step, j.gate, j.verdict) for j in result.judgements] == [("", "politeness", Verdict.allow())]
    assert result.as_dict()["judgements"][0]["gate"] == "politeness"


async def test_an_input_gate_may_replace_what_the_chain_is_handed() -> None:
    def without_addresses(text: str) -> Verdict:
        return Verdict.replace(text.replace("ann@example.com", "[address]"), "an address was taken out")

    model = ScriptedModel(lambda r: str(r.messages[0]["content"]))
    chain = Chain(
        "c", Step("a", prompt="{input}|{previous}"), model=model, input_gates=[Gate(without_addresses)]
    )
    assert (await chain.run("to ann@example.com")).output == "to [address]|to [address]"


@pytest.mark.parametrize("value", ["", None, 3])
async def test_an_input_that_is_replaced_by_what_the_chain_does_not_take_is_a_crash(value: Any) -> None:
    gates = [Gate[str](lambda _: Verdict.replace(value), "tidies")]
    chain = Chain("c", Step("a", prompt="{input}"), model=ScriptedModel(), input_gates=gates)
    with pytest.raises(GateCrashedError, match="does not fit"):
        await chain.run("x")


async def test_the_input_gates_of_an_inner_chain_judge_what_that_chain_is_handed() -> None:
    short = Gate[str](lambda text: len(text) < 4, "shorter, please", name="short")
    inner = Chain("inner", Step("b", prompt="{input}"), input_gates=[short])
    chain = Chain("outer", Step("a", prompt="x") | inner, model=ScriptedModel("too long", "two"))
    with pytest.raises(GateBlockedError) as caught:
        await chain.run("x")
    assert caught.value.step == "inner"
    result = await Chain("outer", Step("a", prompt="x") | inner, model=ScriptedModel("ok", "two")).run("x")
    assert [j.step for j in result.steps["inner"].judgements] == ["inner"]


@pytest.mark.parametrize("gates", [Gate(bool, "x"), [len], "gate", [None]])
def test_input_gates_that_are_none_are_refused(gates: Any) -> None:
    with pytest.raises(DefinitionError, match="input_gates is a list of gates"):
        Chain("c", Step("a", prompt="x"), input_gates=gates)


async def test_a_structured_output_is_seen_as_it_grows() -> None:
    long = Draft(content="one two three four five " * 100, confidence=0.5)
    seen: list[Event] = []
    chain = Chain("c", Step("draft", prompt="x", output=Draft), model=ScriptedModel("no", long))
    await chain.run("x", readers=[seen.append])
    grown: list[Any] = [e.value for e in seen if isinstance(e, PartialOutput) and e.attempt == 2]
    assert 10 < len(grown) < 500  # of 600 pieces: reading all of it at each would be quadratic work
    assert grown[-1] == long.model_dump()
    for before, after in itertools.pairwise(grown):
        assert before != after
        assert after.get("content", "").startswith(before.get("content", ""))
    assert not [e for e in seen if isinstance(e, PartialOutput) and e.attempt == 1]


async def test_a_gate_sees_the_run() -> None:
    def names_the_input(text: str, run: Run) -> bool:
        return str(run.input) in text and run.path == "a"

    asks = Step("a", prompt="x", gates=[Gate(names_the_input)])
    assert (await Chain("c", asks, model=ScriptedModel("of Raft")).run("Raft")).output == "of Raft"


async def test_the_offline_model_answers_the_question_again_and_not_the_feedback() -> None:
    asks = Step("a", prompt="{input}", gates=[Gate(is_short)])
    with pytest.raises(GateBlockedError) as caught:
        await Chain("c", asks, model="offline").run("Explain Raft and Paxos.")
    assert "Raft" in caught.value.reply
    assert "words are too many" not in caught.value.reply


async def test_what_a_validator_of_the_users_says_is_told_in_its_own_words() -> None:
    class Even(BaseModel):
        number: int

        @model_validator(mode="after")
        def is_even(self) -> Even:
            if self.number % 2:
                raise ValueError("the number is odd")
            return self

    model = ScriptedModel({"number": 3}, {"number": 4})
    await Chain("c", Step("a", prompt="x", output=Even), model=model).run("x")
    assert str(model.requests[1].messages[-1]["content"]).startswith(
        "That reply cannot be used: the model's reply is not a valid Even: the number is odd"
    )


async def test_the_result_has_every_verdict_of_the_run_in_order() -> None:
    inner = Chain("inner", SHORT, input_gates=[Gate[str](lambda t: True, "asks")])
    chain = Chain(
        "c", inner, model=ScriptedModel("one two three four", "one"), input_gates=[Gate[str](bool, "is")]
    )
    result = await chain.run("x")
    assert [(j.step, j.gate, j.verdict.decision) for j in result.judgements] == [
        ("", "bool", "allow"),
        ("inner", "asks", "allow"),
        ("inner/short", "is_short", "retry"),
        ("inner/short", "is_short", "allow"),
    ]
