"""Fallbacks: other models answer where the first does not, and it is told who did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promptchain import AnthropicModel, Chain, Gate, JudgeGate, ScriptedModel, Step
from promptchain.errors import (
    AuthenticationError,
    BadRequestError,
    CircuitOpenError,
    ContextWindowError,
    DefinitionError,
    IncompleteReplyError,
    MaxTokensError,
    OverloadedError,
    PromptTooLongError,
    RateLimitError,
    RefusalError,
)
from promptchain.events import Event, ModelReplaced, TextCommitted, TextRetracted
from promptchain.models import Scripted
from promptchain.resilience import Breaker, Fallback, Policy, Retry, circuit_of
from promptchain.testing import Fault, MessagesAPI, ScriptItem

HAIKU, SONNET, OPUS = "claude-haiku-4-5", "claude-sonnet-5-5", "claude-opus-5-5"


def asking(*others: Any, model: Any = HAIKU, **parts: Any) -> Chain[str, str]:
    parts.setdefault("retry", Retry(multiplier=0.01))
    policy = Policy(fallback=Fallback(others or (SONNET,)), **parts)
    ask = Step("ask", prompt="{input}", gates=[Gate(lambda _: True, "no")])
    return Chain("c", ask, model=model, policy=policy)


def replaced(seen: list[Event]) -> list[tuple[str, str, type[BaseException]]]:
    return [(e.model, e.instead, type(e.error)) for e in seen if isinstance(e, ModelReplaced)]


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        ([Fault.status(529)] * 3, OverloadedError),
        ([Fault.status(429, retry_after=0)] * 3, RateLimitError),
        ([Fault.status(429, retry_after=600)], RateLimitError),
        ([Fault.reset(after=6, answer="text that breaks off")] * 3, IncompleteReplyError),
        ([Fault.status(400, message="prompt is too long: 9 tokens > 8 maximum")], PromptTooLongError),
        ([Fault.refusal(after=2, answer="well no I rather not")], RefusalError),
    ],
)
async def test_another_model_answers(
    faults: list[ScriptItem], kind: type[Exception], api: MessagesAPI
) -> None:
    api.script(*faults, "by the other")
    seen: list[Event] = []

    result = await asking().run("x", readers=[seen.append])

    assert result.output == "by the other"
    assert [entry.model for entry in api.bill] == [HAIKU] * len(faults) + [SONNET]
    assert [attempt.model for attempt in result.ledger] == [entry.model for entry in api.bill]
    assert [attempt.number for attempt in result.ledger] == list(range(1, len(faults) + 2))
    assert result.steps["ask"].model == SONNET
    assert result.as_dict()["steps"]["ask"]["model"] == SONNET
    assert replaced(seen) == [(HAIKU, SONNET, kind)]
    (event,) = [event for event in seen if isinstance(event, ModelReplaced)]
    assert (event.level, event.step) == ("warning", "ask")
    assert [event.text for event in seen if isinstance(event, TextCommitted)] == ["by the other"]


async def test_who_answers_at_once_is_told_too(api: MessagesAPI) -> None:
    result = await asking().run("x")
    assert result.steps["ask"].model == HAIKU
    assert [entry.model for entry in api.bill] == [HAIKU]


async def test_a_context_window_that_is_full_is_another_models_affair() -> None:
    small = ScriptedModel(
        Scripted(chunks=["half"], stop_reason="model_context_window_exceeded"), name="small"
    )
    large = ScriptedModel("whole", name="large")
    seen: list[Event] = []
    result = await asking(large, model=small).run("x", readers=[seen.append])
    assert (result.output, result.steps["ask"].model) == ("whole", "large")
    assert replaced(seen) == [("small", "large", ContextWindowError)]
    assert len([event for event in seen if isinstance(event, TextRetracted)]) == 1


async def test_a_prompt_that_does_not_fit_is_another_models_affair(api: MessagesAPI) -> None:
    large = ScriptedModel("read it all", name="large")
    result = await asking(large).run("a " * 250_000)
    assert result.steps["ask"].model == "large"
    assert [entry.status for entry in api.bill] == [400]


async def test_a_circuit_that_is_open_is_not_waited_for(api: MessagesAPI) -> None:
    breaker = Breaker(reset=60)
    api.script(*[Fault.status(529)] * 3)
    chain = asking(breaker=breaker)
    assert (await chain.run("x")).steps["ask"].model == SONNET
    assert circuit_of(HAIKU, breaker).state == "open"
    api.bill.clear()
    seen: list[Event] = []
    assert (await chain.run("x", readers=[seen.append])).steps["ask"].model == SONNET
    assert [entry.model for entry in api.bill] == [SONNET]
    assert replaced(seen) == [(HAIKU, SONNET, CircuitOpenError)]


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (Fault.status(401), AuthenticationError),
        (Fault.status(400), BadRequestError),
        (Fault.max_tokens(answer="a b c d e"), MaxTokensError),
    ],
)
async def test_what_another_model_would_meet_too_is_the_end(
    item: ScriptItem, kind: type[Exception], api: MessagesAPI
) -> None:
    api.script(item)
    seen: list[Event] = []
    with pytest.raises(kind):
        await asking().run("x", readers=[seen.append])
    assert len(api.bill) == 1
    assert replaced(seen) == []


async def test_they_are_asked_in_order_and_the_last_ones_failure_is_the_runs(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 6, Fault.status(503), Fault.refusal(category="cyber"))
    seen: list[Event] = []
    with pytest.raises(RefusalError) as caught:
        await asking(SONNET, OPUS, retry=Retry(multiplier=0.01), breaker=None).run("x", readers=[seen.append])
    assert [entry.model for entry in api.bill] == [HAIKU] * 3 + [SONNET] * 3 + [OPUS] * 2
    assert caught.value.category == "cyber"
    assert replaced(seen) == [(HAIKU, SONNET, OverloadedError), (SONNET, OPUS, OverloadedError)]


async def test_behind_committed_text_nobody_else_is_asked(api: MessagesAPI) -> None:
    api.script(Fault.reset(after=8, answer="the tide comes and goes twice a day"))
    chain = Chain("c", Step("ask", prompt="x"), model=HAIKU, policy=Policy(fallback=Fallback([SONNET])))
    got: list[str] = []
    async with chain.stream("x") as stream:
        with pytest.raises(IncompleteReplyError):
            async for text in stream.text:
                got.append(text)
    assert "".join(got)
    assert len(api.bill) == 1


async def test_a_refusal_behind_committed_text_is_an_error(api: MessagesAPI) -> None:
    api.script(Fault.refusal(after=2, answer="well no I rather not"))
    chain = Chain("c", Step("ask", prompt="x"), model=HAIKU, policy=Policy(fallback=Fallback([SONNET])))
    with pytest.raises(RefusalError):
        await chain.run("x")
    assert len(api.bill) == 1


async def test_a_reader_sees_what_the_first_wrote_taken_back(api: MessagesAPI) -> None:
    api.script(Fault.refusal(after=2, answer="well no I rather not"), "by the other")
    async with asking().stream("x") as stream:
        events = [event async for event in stream]
    (retracted,) = [event for event in events if isinstance(event, TextRetracted)]
    assert (retracted.attempt, retracted.is_answer) == (1, True)
    assert "refusal" in retracted.reason


async def test_a_question_anew_goes_to_the_first_again(api: MessagesAPI) -> None:
    api.script(Fault.refusal(), "bad", "good")
    ask = Step("ask", prompt="{input}", gates=[Gate(lambda t: t != "bad", "no", on_fail="retry")])
    chain = Chain("c", ask, model=HAIKU, policy=Policy(fallback=Fallback([SONNET])))
    result = await chain.run("x")
    assert [entry.model for entry in api.bill] == [HAIKU, SONNET, HAIKU]
    assert result.steps["ask"].model == HAIKU
    assert [(rejected.attempt, rejected.reply) for rejected in result.steps["ask"].rejected] == [(2, "bad")]


async def test_a_judge_falls_back_too(api: MessagesAPI) -> None:
    api.script("a draft", *[Fault.status(529)] * 3, {"reason": "good", "verdict": "pass"})
    draft = Step("draft", prompt="{input}", gates=[JudgeGate("It is good.")])
    policy = Policy(retry=Retry(multiplier=0.01), fallback=Fallback([SONNET]))
    result = await Chain("c", draft, model=HAIKU, policy=policy).run("x")
    assert [attempt.model for attempt in result.ledger.of("draft/judge")] == [HAIKU] * 3 + [SONNET]
    assert result.steps["draft"].model == HAIKU


async def test_there_is_no_time_to_wait_so_another_is_asked(api: MessagesAPI) -> None:
    api.script(Fault.status(529, retry_after=20), "by the other")
    result = await asking().run("x", deadline=15)
    assert result.steps["ask"].model == SONNET
    assert len(api.bill) == 2


async def test_who_is_asked_instead_of_all_is_asked_instead_of_these(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 3)
    with pytest.raises(OverloadedError):
        await asking().run("x", model=OPUS)
    assert [entry.model for entry in api.bill] == [OPUS] * 3


async def test_without_retries_another_is_asked_at_once(api: MessagesAPI) -> None:
    api.script(Fault.status(529), "by the other")
    assert (await asking(retry=None).run("x")).steps["ask"].model == SONNET
    assert len(api.bill) == 2


async def test_each_has_its_own_circuit(api: MessagesAPI) -> None:
    breaker = Breaker(failures=2, reset=60)
    api.script(*[Fault.status(529)] * 4)
    with pytest.raises(CircuitOpenError, match=SONNET):
        await asking(breaker=breaker).run("x")
    assert [entry.model for entry in api.bill] == [HAIKU] * 2 + [SONNET] * 2
    assert [circuit_of(name, breaker).state for name in (HAIKU, SONNET)] == ["open", "open"]
    assert circuit_of(HAIKU).state == "closed"


async def test_being_cancelled_is_no_reason_to_ask_another(api: MessagesAPI) -> None:
    api.script(Fault.stall())
    running = asyncio.create_task(asking().run("x"))
    await asyncio.to_thread(api.bill.wait, lambda bill: bill and bill[0].aborted)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(api.bill) == 1


# --- what is said of it ---------------------------------------------------------------------------------------------


def test_whether_they_take_what_is_said_is_seen_when_the_chain_is_built() -> None:
    other = Policy(fallback=Fallback([OPUS]))
    with pytest.raises(DefinitionError, match=f"{OPUS} takes no temperature"):
        Chain("c", Step("ask", prompt="x", temperature=0.5), model=HAIKU, policy=other)
    with pytest.raises(DefinitionError, match="writes at most"):
        Chain(
            "c",
            Step("ask", prompt="x", max_tokens=100_000, policy=Policy(fallback=Fallback([HAIKU]))),
            model=OPUS,
        )
    with pytest.raises(DefinitionError, match=f"{OPUS} takes no temperature"):
        gate = JudgeGate("It is good.", model=HAIKU, temperature=0.5)
        Chain("c", Step("ask", prompt="x", gates=[gate]), model=HAIKU, policy=other)


async def test_what_is_asked_in_their_place_need_not_be_fit_for_them() -> None:
    chain = Chain("c", Step("ask", prompt="x"), model=HAIKU, policy=Policy(fallback=Fallback([OPUS])))
    assert (await chain.run("x", model=ScriptedModel("ok"))).output == "ok"


def test_what_is_no_list_of_models_is_refused() -> None:
    wrong: Any
    for wrong in ("claude-haiku-4-5", [], None, 3, [None], [HAIKU, 3], [object()], ["two words"]):
        with pytest.raises(DefinitionError):
            Fallback(wrong)
    assert Fallback([HAIKU]) == Fallback([HAIKU])


async def test_a_name_is_asked_for_where_the_first_model_is(
    monkeypatch: pytest.MonkeyPatch, messages_api: MessagesAPI
) -> None:
    messages_api.script(Fault.status(529), "an answer")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    first = AnthropicModel(HAIKU, base_url=messages_api.url, api_key="own")
    chain = Chain(
        "c", Step("ask", prompt="x"), model=first, policy=Policy(retry=None, fallback=Fallback([OPUS]))
    )
    result = await chain.run("x")
    assert result.output == "an answer"
    assert [(entry.model, entry.headers["authorization"]) for entry in messages_api.bill] == [
        (HAIKU, "Bearer own"),
        (OPUS, "Bearer own"),
    ]
