"""Retries: which failures are asked again after, how often, when, and what a reader sees of it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel

from promptchain import Chain, Gate, JudgeGate, ScriptedModel, Step
from promptchain.errors import (
    AuthenticationError,
    BadRequestError,
    CircuitOpenError,
    ConflictError,
    DeadlineError,
    GateCrashedError,
    IncompleteReplyError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelStatusError,
    ModelTimeoutError,
    OverloadedError,
    PermissionDeniedError,
    PromptTooLongError,
    RateLimitError,
    ServerError,
)
from promptchain.events import (
    AttemptStarted,
    Event,
    PartialOutput,
    RetryScheduled,
    TextCommitted,
    TextRetracted,
    TextTentative,
)
from promptchain.messages import (
    ModelEvent,
    ModelRequest,
    ReplyFinished,
    ReplyRestarted,
    ReplyStarted,
    TextDelta,
)
from promptchain.models import Scripted, complete
from promptchain.resilience import Policy, Retry, Timeout, is_retryable
from promptchain.testing import Fault, MessagesAPI, ScriptItem
from promptchain.usage import Usage

HAIKU = "claude-haiku-4-5"
QUICK = Retry(multiplier=0.01)


def asking(policy: Policy | None = None, **options: Any) -> Chain[str, str]:
    return Chain(
        "c", Step("ask", prompt="{input}"), model=HAIKU, policy=policy or Policy(retry=QUICK), **options
    )


def waits(seen: list[Event]) -> list[float]:
    return [event.seconds for event in seen if isinstance(event, RetryScheduled)]


TROUBLES: dict[str, tuple[ScriptItem, type[ModelError]]] = {
    "overloaded": (Fault.status(529), OverloadedError),
    "in the stream": (Fault.error("overloaded_error"), OverloadedError),
    "api error in the stream": (Fault.error("api_error", after=2), ServerError),
    "reset": (Fault.reset(), ModelConnectionError),
    "reset behind the head": (Fault.reset(after=2), IncompleteReplyError),
    "cut": (Fault.end(after=2), IncompleteReplyError),
    "stall before the head": (Fault.stall(), ModelTimeoutError),
    "stall behind the head": (Fault.stall(after=2), ModelTimeoutError),
    "408": (Fault.status(408), ModelTimeoutError),
    "409": (Fault.status(409), ConflictError),
    "429": (Fault.status(429), RateLimitError),
    "500": (Fault.status(500), ServerError),
    "503": (Fault.status(503), ServerError),
    "504": (Fault.status(504), ServerError),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_another_request_mends_it(trouble: str, api: MessagesAPI) -> None:
    fault, kind = TROUBLES[trouble]
    seen: list[Event] = []
    api.script(fault, fault, "all is well")
    patient = Policy(retry=QUICK, timeout=Timeout(first_token=0.5))

    result = await asking(patient).run("x", readers=[seen.append])

    assert result.output == "all is well"
    assert len(api.bill) == 3
    assert [(a.number, a.error is None) for a in result.ledger] == [(1, False), (2, False), (3, True)]
    told = [event for event in seen if isinstance(event, RetryScheduled)]
    assert [(event.attempt, type(event.error), event.step) for event in told] == [
        (1, kind, "ask"),
        (2, kind, "ask"),
    ]
    assert {event.level for event in told} == {"warning"}
    assert [event.attempt for event in seen if isinstance(event, AttemptStarted)] == [1, 2, 3]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_three_attempts_are_three_requests(trouble: str, api: MessagesAPI) -> None:
    fault, kind = TROUBLES[trouble]
    api.script(*[fault] * 20)
    patient = Policy(retry=QUICK, timeout=Timeout(first_token=0.3), breaker=None)

    with pytest.raises(kind) as caught:
        await asking(patient).run("x")

    assert len(api.bill) == 3
    assert caught.value.ledger is not None
    assert [attempt.number for attempt in caught.value.ledger] == [1, 2, 3]
    assert caught.value.step == "ask"


async def test_the_policies_of_a_step_and_of_the_chains_around_it_do_not_multiply(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 30)
    policy = Policy(retry=QUICK, breaker=None)
    inner = Chain("inner", Step("ask", prompt="{input}", policy=policy), policy=policy, model=HAIKU)

    with pytest.raises(OverloadedError):
        await Chain("outer", inner, policy=policy).run("x")
    assert len(api.bill) == 3

    with pytest.raises(OverloadedError):
        await Chain(
            "one", Step("ask", prompt="x", policy=Policy(retry=Retry(attempts=1))), policy=policy, model=HAIKU
        ).run("x")
    assert len(api.bill) == 4


async def test_nobody_else_retries_where_retries_are_off(api: MessagesAPI) -> None:
    api.script(Fault.status(529), Fault.status(429, retry_after=0), Fault.reset(), Fault.status(408))
    for kind in (OverloadedError, RateLimitError, ModelConnectionError, ModelTimeoutError):
        with pytest.raises(kind):
            await asking(Policy(retry=None)).run("x")
    assert len(api.bill) == 4


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, ModelNotFoundError),
        (413, BadRequestError),
        (422, BadRequestError),
    ],
)
async def test_what_another_request_would_meet_too_is_not_asked_again(
    status: int, kind: type[ModelError], api: MessagesAPI
) -> None:
    api.script(Fault.status(status))
    with pytest.raises(kind):
        await asking().run("x")
    assert len(api.bill) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault.refusal(),
        Fault.max_tokens(answer="a b c d"),
        Fault.malformed(after=2),
        Fault.error("invalid_request_error", after=2),
    ],
)
async def test_a_reply_that_is_none_is_not_asked_for_again(fault: Fault, api: MessagesAPI) -> None:
    api.script(fault)
    seen: list[Event] = []
    with pytest.raises(Exception, match="ask"):
        await asking().run("x", readers=[seen.append])
    assert (len(api.bill), waits(seen)) == (1, [])


# --- when -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault.status(429, retry_after=0.3), 0.3),
        (Fault.status(529, retry_after=0.2), 0.2),
        (Fault.status(503, retry_after_ms=150), 0.15),
        (Fault.status(429, retry_after_ms=100, retry_after=60), 0.1),
        (Fault.status(408, retry_after=0.2), 0.2),
    ],
)
async def test_the_wait_is_what_the_api_says(fault: Fault, seconds: float, api: MessagesAPI) -> None:
    api.script(fault, fault, "all is well")
    seen: list[Event] = []

    result = await asking(Policy(retry=Retry())).run("x", readers=[seen.append])

    assert len(waits(seen)) == 2
    for wait in waits(seen):
        assert seconds <= wait <= seconds * 1.1
    # It was waited, too; how much longer depends on the machine.
    first, second, third = (attempt.started for attempt in result.ledger)
    assert second - first >= seconds
    assert third - second >= seconds


async def test_a_date_says_when_as_well() -> None:
    from promptchain.models.failures import retry_after

    in_a_minute = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    seconds = retry_after({"retry-after": in_a_minute})
    assert seconds is not None
    assert 50 < seconds <= 60
    assert retry_after({"retry-after": "Mon, 01 Jan 2024 00:00:00 GMT"}) == 0.0
    assert retry_after({"retry-after": "soon"}) is None


async def test_the_waits_grow_and_are_never_longer_than_allowed(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 5, "all is well")
    seen: list[Event] = []
    policy = Policy(retry=Retry(attempts=6, multiplier=0.02, max_wait=0.1), breaker=None)

    await asking(policy).run("x", readers=[seen.append])

    lows = [0.02, 0.04, 0.08, 0.1, 0.1]
    assert [low <= wait <= min(0.1, low + 0.02) for low, wait in zip(lows, waits(seen), strict=True)] == [
        True
    ] * 5


async def test_the_api_may_ask_for_no_wait_at_all(api: MessagesAPI) -> None:
    api.script(Fault.status(529, retry_after=0), "all is well")
    seen: list[Event] = []
    assert (await asking(Policy()).run("x", readers=[seen.append])).output == "all is well"
    assert waits(seen) == [0.0]


async def test_a_wait_that_is_longer_than_allowed_is_not_begun(api: MessagesAPI) -> None:
    api.script(Fault.status(429, retry_after=31))
    seen: list[Event] = []
    with pytest.raises(RateLimitError) as caught:
        await asking(Policy()).run("x", readers=[seen.append])
    assert caught.value.retry_after == 31
    assert (len(api.bill), waits(seen)) == (1, [])


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_the_api_may_ask_for_a_retry_where_there_would_be_none(status: int, api: MessagesAPI) -> None:
    api.script(Fault.status(status, should_retry=True), "all is well")
    assert (await asking().run("x")).output == "all is well"
    assert len(api.bill) == 2


@pytest.mark.parametrize("status", [408, 409, 429, 500, 529])
async def test_the_api_may_forbid_a_retry_where_there_would_be_one(status: int, api: MessagesAPI) -> None:
    api.script(Fault.status(status, should_retry=False, retry_after=0))
    with pytest.raises(ModelError):
        await asking().run("x")
    assert len(api.bill) == 1


async def test_a_wait_that_is_longer_than_the_deadline_leaves_is_not_begun(api: MessagesAPI) -> None:
    api.script("warm", Fault.status(529, retry_after=20))
    chain = asking(Policy())
    await chain.run("x")
    seen: list[Event] = []
    with pytest.raises(DeadlineError) as caught:
        await chain.run("x", readers=[seen.append], deadline=10)
    assert caught.value.phase == "backoff"
    assert isinstance(caught.value.__cause__, OverloadedError)
    assert caught.value.step == "ask"
    assert caught.value.ledger is not None
    assert [attempt.error is None for attempt in caught.value.ledger] == [False]
    assert (len(api.bill), waits(seen)) == (2, [])


async def test_a_failure_that_no_wait_follows_is_itself_also_under_a_deadline(api: MessagesAPI) -> None:
    api.script(Fault.status(401), *[Fault.status(529, retry_after=0)] * 3, Fault.status(429, retry_after=31))
    for kind in (AuthenticationError, OverloadedError, RateLimitError):
        with pytest.raises(kind):
            await asking(Policy(breaker=None)).run("x", deadline=30)
    assert len(api.bill) == 5


# --- what a reader sees ---------------------------------------------------------------------------------------------


def gated(**options: Any) -> Chain[str, str]:
    ask = Step("ask", prompt="{input}", gates=[Gate(lambda text: "bad" not in text, "no", on_fail="retry")])
    return Chain("c", ask, model=HAIKU, policy=Policy(retry=QUICK), **options)


async def test_a_reader_sees_what_came_taken_back_and_then_the_new_text(api: MessagesAPI) -> None:
    api.script(
        Fault.reset(after=6, answer="the first reply that breaks"),
        Fault.error("overloaded_error", after=6, answer="the second one breaks too"),
        "and this is whole",
    )
    seen: list[Event] = []
    async with gated().stream("x") as stream:
        async for event in stream:
            seen.append(event)
        result = await stream.result()

    assert result.output == "and this is whole"
    assert len(api.bill) == 3
    story = [event for event in seen if isinstance(event, TextTentative | TextRetracted | TextCommitted)]
    by_attempt = {
        number: "".join(e.text for e in story if isinstance(e, TextTentative) and e.attempt == number)
        for number in (1, 2, 3)
    }
    assert "the first reply that breaks".startswith(by_attempt[1].strip())
    assert "the second one breaks too".startswith(by_attempt[2].strip())
    assert by_attempt[3] == "and this is whole"
    retracted = [event for event in story if isinstance(event, TextRetracted)]
    assert [(event.attempt, event.is_answer) for event in retracted] == [(1, True), (2, True)]
    # In order: nothing of a later attempt before an earlier one is taken back.
    order = [(event.attempt, isinstance(event, TextRetracted)) for event in story]
    assert order == sorted(order)
    assert [(e.text, e.attempt) for e in story if isinstance(e, TextCommitted)] == [("and this is whole", 3)]


async def test_stream_text_gives_nothing_of_a_reply_that_broke(api: MessagesAPI) -> None:
    api.script(Fault.end(after=8, answer="words that are void"), "whole")
    async with gated().stream("x") as stream:
        assert [text async for text in stream.text] == ["whole"]


async def test_a_retry_and_a_question_anew_number_their_requests_on(api: MessagesAPI) -> None:
    api.script(Fault.reset(after=6, answer="breaks in the middle"), "bad", Fault.status(529), "good")
    result = await gated().run("x")
    assert result.output == "good"
    assert [(a.number, a.error is None) for a in result.ledger] == [
        (1, False),
        (2, True),
        (3, False),
        (4, True),
    ]
    assert [(r.attempt, r.reply) for r in result.steps["ask"].rejected] == [(2, "bad")]
    assert [(j.attempt, j.verdict.decision) for j in result.judgements] == [(2, "retry"), (4, "allow")]


async def test_behind_committed_text_a_failure_is_an_error(api: MessagesAPI) -> None:
    api.script(Fault.reset(after=8, answer="the tide comes and goes twice a day"), "never asked for")
    seen: list[Event] = []
    got: list[str] = []
    async with asking().stream("x", readers=[seen.append]) as stream:
        with pytest.raises(IncompleteReplyError):
            async for text in stream.text:
                got.append(text)

    assert "".join(got)
    assert "the tide comes and goes twice a day".startswith("".join(got))
    assert (len(api.bill), waits(seen)) == (1, [])
    assert not [event for event in seen if isinstance(event, TextRetracted)]


async def test_white_space_alone_is_not_given_away_yet() -> None:
    model = ScriptedModel(Scripted(chunks=[" ", "\n"], error=OverloadedError("busy")), "whole")
    chain = Chain("c", Step("ask", prompt="x"), model=model, policy=Policy(retry=QUICK))
    async with chain.stream("x") as stream:
        assert "".join([text async for text in stream.text]) == "whole"


class Sides(BaseModel):
    left: str
    right: str


async def test_a_partial_output_begins_anew(api: MessagesAPI) -> None:
    api.script(
        Fault.reset(after=60, answer={"left": "one two three four " * 20, "right": "x"}),
        {"left": "new", "right": "y"},
    )
    seen: list[Event] = []
    ask = Step("ask", prompt="{input}", output=Sides)
    chain = Chain("c", ask, model=HAIKU, policy=Policy(retry=QUICK))

    result = await chain.run("x", readers=[seen.append])

    assert result.output == Sides(left="new", right="y")
    partial = [(e.attempt, e.value) for e in seen if isinstance(e, PartialOutput)]
    assert partial[0][0] == 1
    assert partial[-1] == (2, {"left": "new", "right": "y"})
    assert all("one" not in str(value) for number, value in partial if number == 2)


async def test_an_inner_step_is_asked_again_also_without_a_reader(api: MessagesAPI) -> None:
    api.script(Fault.reset(after=6, answer="a thought that breaks"), "a thought", "the answer")
    two = Step("think", prompt="{input}") | Step("tell", prompt="Tell: {think}")
    result = await Chain("c", two, model=HAIKU, policy=Policy(retry=QUICK)).run("x")
    assert result.output == "the answer"
    assert api.bill[2].received["messages"][0]["content"] == "Tell: a thought"


async def test_what_a_judge_asks_is_asked_again_too(api: MessagesAPI) -> None:
    api.script("a draft", Fault.status(529), Fault.reset(after=4), {"reason": "good", "verdict": "pass"})
    draft = Step("draft", prompt="{input}", gates=[JudgeGate("It is good.")])
    seen: list[Event] = []

    result = await Chain("c", draft, model=HAIKU, policy=Policy(retry=QUICK)).run("x", readers=[seen.append])

    assert result.output == "a draft"
    assert [(a.step, a.number) for a in result.ledger] == [
        ("draft", 1),
        ("draft/judge", 1),
        ("draft/judge", 2),
        ("draft/judge", 3),
    ]
    told = [event for event in seen if isinstance(event, RetryScheduled)]
    assert [(event.step, event.attempt) for event in told] == [("draft/judge", 1), ("draft/judge", 2)]


async def test_a_judge_that_fails_again_and_again_is_three_requests(api: MessagesAPI) -> None:
    api.script("a draft", *[Fault.status(529)] * 9)
    draft = Step("draft", prompt="{input}", gates=[JudgeGate("It is good.")])
    with pytest.raises(GateCrashedError) as caught:
        await Chain("c", draft, model=HAIKU, policy=Policy(retry=QUICK)).run("x")
    assert isinstance(caught.value.__cause__, OverloadedError)
    assert len(api.bill) == 4


# --- the parts by themselves ----------------------------------------------------------------------------------------


class Restarting:
    name = "restarting"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield ReplyStarted("m1", "first", Usage(1), "req_1")
        yield TextDelta("void")
        yield ReplyRestarted(OverloadedError("busy"))
        yield ReplyStarted("m2", "second", Usage(2), "req_2")
        yield TextDelta("whole")
        yield ReplyFinished("end_turn", Usage(2, 1))


async def test_complete_gives_what_came_behind_a_restart() -> None:
    reply = await complete(
        Restarting(), ModelRequest(messages=({"role": "user", "content": "x"},), max_tokens=9)
    )
    assert (reply.text, reply.message_id, reply.model, reply.request_id) == ("whole", "m2", "second", "req_2")


async def test_a_restart_without_a_reply_behind_it_is_no_reply() -> None:
    class Ending(Restarting):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            yield ReplyStarted("m1", "first", Usage(1), "req_1")
            yield ReplyRestarted(OverloadedError("busy"))
            yield ReplyFinished("end_turn", Usage(2, 1))

    with pytest.raises(IncompleteReplyError):
        await complete(Ending(), ModelRequest(messages=({"role": "user", "content": "x"},), max_tokens=9))


async def test_a_reply_that_just_ends_is_asked_for_again() -> None:
    class Short:
        name = "short"
        asked = 0

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            self.asked += 1
            if self.asked < 3:
                yield ReplyStarted("m", self.name, Usage(1))
                return
            yield ReplyStarted("m", self.name, Usage(1))
            yield TextDelta("whole")
            yield ReplyFinished("end_turn", Usage(1, 1))

    chain = Chain("c", Step("ask", prompt="x"), model=Short(), policy=Policy(retry=QUICK))
    result = await chain.run("x")
    assert result.output == "whole"
    assert [attempt.error for attempt in result.ledger][2] is None


def test_a_breaker_that_is_open_is_not_asked_again() -> None:
    assert not is_retryable(CircuitOpenError("open", model="m", retry_after=1.0))
    assert not is_retryable(ModelError("who knows"))
    assert not is_retryable(ModelTimeoutError("late", phase="total"))
    assert is_retryable(ModelTimeoutError("late", phase="idle"))
    assert is_retryable(ModelStatusError("418", status=418, should_retry=True))
    assert not is_retryable(PromptTooLongError("long", status=400))
    assert not is_retryable(ValueError("x"))


async def test_one_error_that_a_model_raises_again_and_again_is_told_each_time() -> None:
    busy = OverloadedError("busy")
    seen: list[Event] = []
    chain = Chain(
        "c", Step("ask", prompt="x"), model=ScriptedModel(busy, busy, "ok"), policy=Policy(retry=QUICK)
    )
    await chain.run("x", readers=[seen.append])
    errors = [event.error for event in seen if isinstance(event, RetryScheduled)]
    assert len({id(error) for error in errors}) == 2
    assert busy.step is None
    assert errors[0].__traceback__ is not None


async def test_a_breaker_ends_the_retries_of_one_reply_too(api: MessagesAPI) -> None:
    api.script(*[Fault.status(529)] * 8, "at last")
    patient = Policy(retry=Retry(attempts=10, multiplier=0.001))
    with pytest.raises(CircuitOpenError):
        await asking(patient).run("x")
    assert len(api.bill) == 3
    assert (await asking(Policy(retry=patient.retry, breaker=None)).run("x")).output == "at last"
    assert len(api.bill) == 9
