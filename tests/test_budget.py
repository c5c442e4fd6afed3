"""Budgets: the worst case is reserved before a request is sent, and settled after it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal, localcontext
from typing import Any

import pytest
from pydantic import BaseModel

from promptchain import Chain, JudgeGate, Step
from promptchain.budget import Budget, Reservation, current_budgets, reserve
from promptchain.errors import (
    BudgetExceededError,
    DeadlineError,
    DefinitionError,
    InputError,
    OverloadedError,
    PromptChainError,
    UnknownPriceError,
)
from promptchain.events import Event, Waiting
from promptchain.holding import exclusive
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished
from promptchain.models import AnthropicModel, OfflineModel, SchemaInPrompt, ScriptedModel
from promptchain.models import base as models_base
from promptchain.models.base import Model, complete, count_input
from promptchain.policy import Policy, Retry
from promptchain.pricing import Price, PriceBook
from promptchain.testing import Fault, MessagesAPI
from promptchain.usage import Usage

HAIKU = "claude-haiku-4-5"
MODEL = ScriptedModel(name=HAIKU)


def asking(content: Any = "What makes the tide?", *, max_tokens: int = 100, **more: Any) -> ModelRequest:
    return ModelRequest(messages=({"role": "user", "content": content},), max_tokens=max_tokens, **more)


class Uncounting(ScriptedModel):
    """A model that cannot count, so that the bound is all there is."""

    count_tokens = None  # type: ignore[assignment] # pyright: ignore


class Waits:
    """Counts how often somebody began to wait."""

    def __init__(self) -> None:
        self.begun = 0

    def __call__(self) -> None:
        self.begun += 1


async def held(
    *budgets: Budget,
    tokens: int,
    model: Model = MODEL,
    prices: PriceBook | None = None,
    on_wait: Waits | None = None,
) -> Reservation:
    """A reservation of exactly this many tokens."""
    bare = asking(max_tokens=0).input_bound()
    assert tokens >= bare
    request = asking(max_tokens=tokens - bare)
    reservation = await reserve(
        budgets, request, Uncounting(name=model.name), prices, on_wait=on_wait or Waits()
    )
    assert reservation is not None
    assert reservation.tokens == tokens
    return reservation


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "a budget has a limit"),
        ({"usd": 0.1}, "write it as a text, usd='0.1'"),
        ({"usd": float("nan")}, "write it as a text"),
        ({"usd": "-0.01"}, "0 or more"),
        ({"usd": Decimal("NaN")}, "0 or more"),
        ({"usd": "Infinity"}, "0 or more"),
        ({"usd": "ten cents"}, "such as '0.10', not 'ten cents'"),
        ({"usd": True}, "0 or more"),
        ({"usd": (0, (1,), 0)}, "0 or more"),
        ({"tokens": -1}, "whole number"),
        ({"tokens": True}, "whole number"),
        ({"tokens": 1.5}, "whole number"),
        ({"tokens": "10"}, "whole number"),
        ({"tokens": 1, "name": " "}, "name is a text"),
        ({"tokens": 1, "name": 3}, "name is a text"),
        ({"tokens": 1, "allow_unpriced": 1}, "True or False"),
    ],
)
def test_what_is_no_budget_is_refused_with_what_to_write(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Budget(**arguments)
    assert said in str(caught.value)


def test_a_budget_says_what_it_is() -> None:
    budget = Budget(usd="0.10", tokens=5_000, name="nightly")
    assert (budget.usd, budget.tokens, budget.name, budget.allow_unpriced) == (
        Decimal("0.10"),
        5_000,
        "nightly",
        False,
    )
    assert (budget.left_usd, budget.left_tokens) == (Decimal("0.10"), 5_000)
    assert repr(budget) == (
        "<Budget 'nightly': limit USD 0.10, spent 0, held by running requests 0; "
        "limit 5,000 tokens, spent 0, held by running requests 0>"
    )


def test_what_is_not_limited_is_not_counted_in_usd() -> None:
    budget = Budget(tokens=10)
    assert (budget.usd, budget.spent_usd, budget.reserved_usd, budget.left_usd) == (None, None, None, None)
    assert Budget(usd=1).left_tokens is None


def test_a_new_one_of_a_budget_has_its_limits_and_nothing_of_what_was_spent() -> None:
    async def spend() -> None:
        (await held(budget, tokens=2_000)).settle(Usage(100, 10), estimated=False)

    budget = Budget(usd=1, tokens=50_000, allow_unpriced=True)
    asyncio.run(spend())
    other = budget.anew("of the chain 'answer'")
    assert (other.usd, other.tokens, other.allow_unpriced) == (Decimal(1), 50_000, True)
    assert (other.spent_usd, other.spent_tokens, budget.spent_tokens) == (0, 0, 110)
    assert other.account.called == "of the chain 'answer'"


async def test_the_worst_case_is_held_and_what_was_used_is_spent() -> None:
    budget = Budget(usd=1, tokens=50_000)
    request = asking(max_tokens=100)
    reservation = await reserve([budget], request, MODEL, None, on_wait=Waits())
    assert reservation is not None
    worst = request.input_bound() + 100
    assert budget.reserved_tokens == reservation.tokens == worst
    assert budget.reserved_usd == reservation.usd == Decimal(request.input_bound() + 5 * 100) / 1_000_000
    assert budget.left_tokens == 50_000 - worst
    reservation.settle(Usage(20, 7), estimated=False)
    assert (budget.reserved_tokens, budget.reserved_usd) == (0, 0)
    assert (budget.spent_tokens, budget.spent_usd) == (27, Decimal(20 + 5 * 7) / 1_000_000)
    assert budget.left_usd == 1 - Decimal(55) / 1_000_000


async def test_only_the_first_end_of_a_reservation_counts() -> None:
    budget = Budget(tokens=50_000)
    reservation = await held(budget, tokens=2_000)
    reservation.settle(Usage(20, 7), estimated=False)
    reservation.release()
    reservation.settle(Usage(20, 7), estimated=False)
    assert (budget.spent_tokens, budget.reserved_tokens) == (27, 0)
    unsent = await held(budget, tokens=2_000)
    unsent.release()
    unsent.settle(Usage(20, 7), estimated=False)
    assert (budget.spent_tokens, budget.reserved_tokens) == (27, 0)


async def test_an_estimate_counts_as_what_was_reserved_at_most_and_a_report_as_it_is() -> None:
    budget = Budget(usd=1, tokens=50_000)
    reservation = await held(budget, tokens=2_000)
    reservation.settle(Usage(9_000, 9_000), estimated=True)
    assert (budget.spent_tokens, budget.spent_usd) == (2_000, reservation.usd)
    less = await held(budget, tokens=2_000)
    less.settle(Usage(10, 0), estimated=True)
    assert budget.spent_tokens == 2_010
    reported = await held(budget, tokens=2_000)
    reported.settle(Usage(9_000, 9_000), estimated=False)
    assert budget.spent_tokens == 20_010
    reported = await held(budget, tokens=20_000)
    reported.settle(Usage(50_000), estimated=False)
    assert (budget.left_tokens, budget.spent_tokens) == (0, 70_010)


async def test_without_budgets_nothing_is_held_and_no_price_is_looked_for() -> None:
    assert await reserve([], asking(), ScriptedModel(name="of tomorrow"), None, on_wait=Waits()) is None


async def test_a_budget_that_stands_there_twice_is_drawn_on_once() -> None:
    budget = Budget(tokens=5_000)
    await held(budget, budget, tokens=3_000)
    assert budget.reserved_tokens == 3_000


async def test_sums_are_exact_whatever_the_precision_of_the_thread() -> None:
    budget = Budget(usd=1_000)
    with localcontext(prec=4):
        for _ in range(3):
            reservation = await held(budget, tokens=2_000, prices={HAIKU: Price(input="1.2345678", output=0)})
            reservation.settle(Usage(1_000), estimated=False)
    assert budget.reserved_usd == 0


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(usd="0.0001", name="nightly"), "the budget 'nightly' has no room"),
        (Budget(usd="0.0001"), "the budget of the run has no room"),
        (Budget(usd="0.0001").anew("of the chain 'answer'"), "the budget of the chain 'answer' has no room"),
        (Budget(usd="0.0001"), "limit USD 0.0001, spent 0, held by running requests 0."),
        (Budget(usd="0.0001"), "it could take USD 0.000539 (139 tokens);"),
        (
            Budget(tokens=100),
            "it could take 139 tokens; limit 100 tokens, spent 0, held by running requests 0.",
        ),
        (Budget(usd="0.0001"), "Lower max_tokens, or raise the limit."),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_amounts_in_plain_digits(
    budget: Budget, said: str
) -> None:
    model = ScriptedModel("x", name=HAIKU)
    request = asking(max_tokens=100)
    with pytest.raises(BudgetExceededError) as caught:
        await reserve([budget], request, model, None, on_wait=Waits())
    told = str(caught.value)
    counted = await model.count_tokens(request)
    read = -(-counted * 105 // 100) + 16
    said = said.replace("139", str(read + 100)).replace("0.000539", f"{Decimal(read + 500) / 1_000_000:f}")
    assert said in told
    assert caught.value.budget == (budget.name or budget.account.whose)
    assert (budget.reserved_tokens, budget.spent_tokens) == (0, 0)


async def test_a_tiny_sum_is_told_in_digits_too() -> None:
    budget = Budget(usd="0.00000001")
    with pytest.raises(BudgetExceededError, match=r"limit USD 0\.00000001, spent 0,"):
        await held(budget, tokens=2_000)


async def test_a_request_reserves_in_all_scopes_or_in_none_and_the_error_names_the_one_that_was_hit() -> None:
    outer, middle, inner = Budget(tokens=10_000), Budget(tokens=1_000, name="tight"), Budget(usd=1)
    with pytest.raises(BudgetExceededError) as caught:
        await held(outer, middle, inner, tokens=2_000)
    assert caught.value.budget == "tight"
    assert [budget.reserved_tokens for budget in (outer, middle, inner)] == [0, 0, 0]
    reservation = await held(outer, inner, tokens=2_000)
    assert [budget.reserved_tokens for budget in (outer, middle, inner)] == [2_000, 0, 2_000]
    reservation.settle(Usage(5, 5), estimated=False)
    assert [budget.spent_tokens for budget in (outer, middle, inner)] == [10, 0, 10]


async def test_an_unknown_price_is_an_error_under_a_limit_in_usd() -> None:
    model = ScriptedModel(name="of tomorrow")
    budget = Budget(usd=1, name="nightly")
    with pytest.raises(
        UnknownPriceError, match="the price of 'of tomorrow' is not known, and the budget 'nightly'"
    ):
        await reserve([Budget(tokens=5_000), budget], asking(), model, None, on_wait=Waits())
    assert budget.reserved_tokens == 0
    reservation = await reserve([Budget(tokens=5_000)], asking(), model, None, on_wait=Waits())
    assert reservation is not None
    told = {"of tomorrow": Price(input=1, output=1)}
    priced = await reserve([budget], asking(), model, told, on_wait=Waits())
    assert priced is not None
    assert budget.reserved_usd == Decimal(priced.tokens) / 1_000_000


async def test_where_unpriced_models_are_allowed_only_their_tokens_count_and_the_budget_says_so() -> None:
    model = ScriptedModel(name="of tomorrow")
    budget = Budget(usd=0, tokens=5_000, allow_unpriced=True)
    reservation = await reserve([budget], asking(), model, None, on_wait=Waits())
    assert reservation is not None
    assert not budget.has_unpriced
    reservation.settle(Usage(10, 10), estimated=False)
    assert (budget.spent_usd, budget.spent_tokens, budget.has_unpriced) == (0, 20, True)
    unsent = await reserve([Budget(usd=0, allow_unpriced=True)], asking(), model, None, on_wait=Waits())
    assert unsent is not None
    unsent.release()
    with pytest.raises(UnknownPriceError):
        await reserve([budget, Budget(usd=1)], asking(), model, None, on_wait=Waits())


async def test_a_budget_of_nothing_lets_pass_what_is_free() -> None:
    budget = Budget(usd=0)
    reservation = await reserve([budget], asking(), OfflineModel(), None, on_wait=Waits())
    assert reservation is not None
    with pytest.raises(BudgetExceededError):
        await reserve([budget], asking(), MODEL, None, on_wait=Waits())


@pytest.mark.parametrize(
    ("marks", "factor"), [({}, 1), ({"cache_control": {"type": "ephemeral"}}, 2)], ids=["bare", "marked"]
)
async def test_a_request_that_marks_the_cache_could_write_all_of_its_input_to_it(
    marks: dict[str, Any], factor: int
) -> None:
    request = asking([{"type": "text", "text": "cache_control", **marks}], max_tokens=10)
    budget = Budget(usd=1)
    reservation = await reserve([budget], request, MODEL, None, on_wait=Waits())
    assert reservation is not None
    assert reservation.usd == Decimal(factor * request.input_bound() + 5 * 10) / 1_000_000


async def test_a_told_price_of_the_cache_counts_where_it_is_the_highest() -> None:
    request = asking([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}], max_tokens=0)
    prices = {HAIKU: Price(input=1, output=1, cache_read=7)}
    reservation = await reserve([Budget(usd=1)], request, MODEL, prices, on_wait=Waits())
    assert reservation is not None
    assert reservation.usd == Decimal(7 * request.input_bound()) / 1_000_000


async def test_a_long_prompt_is_reserved_at_the_price_of_its_tier() -> None:
    request = asking("x" * 200_000, max_tokens=1_000)
    reservation = await reserve(
        [Budget(usd=1)], request, ScriptedModel(name="claude-haiku-5-5"), None, on_wait=Waits()
    )
    assert reservation is not None
    plain = (Decimal(request.input_bound()) / 10 + Decimal(1_000) / 2) / 1_000_000
    assert reservation.usd == 5 * plain


class Counting(ScriptedModel):
    """Keeps what it was asked to count."""

    def __init__(self, *replies: Any, count: int | Exception | None, name: str = HAIKU) -> None:
        super().__init__(*replies, name=name)
        self.count = count
        self.counted: list[ModelRequest] = []

    async def count_tokens(self, request: ModelRequest) -> int | None:  # type: ignore[override] # pyright: ignore
        self.counted.append(request)
        if isinstance(self.count, Exception):
            raise self.count
        return self.count


async def test_input_is_counted_only_where_its_bound_does_not_fit() -> None:
    model, request = Counting(count=100), asking(max_tokens=100)
    await reserve([Budget(tokens=50_000)], request, model, None, on_wait=Waits())
    assert model.counted == []
    budget = Budget(tokens=221)
    reservation = await reserve([budget], request, model, None, on_wait=Waits())
    assert model.counted == [request]
    assert reservation is not None
    assert reservation.tokens == budget.reserved_tokens == 105 + 16 + 100
    with pytest.raises(BudgetExceededError, match="221 tokens"):
        await reserve([Budget(tokens=220)], request, model, None, on_wait=Waits())


async def test_a_count_never_reserves_more_than_the_bound() -> None:
    request = asking(max_tokens=100)
    budget = Budget(tokens=10)
    with pytest.raises(BudgetExceededError, match=f"{request.input_bound() + 100:,} tokens"):
        await reserve([budget], request, Counting(count=1_000_000), None, on_wait=Waits())


@pytest.mark.parametrize("count", [None, OverloadedError("busy"), RuntimeError("a bug")], ids=repr)
async def test_where_nobody_can_count_the_bound_stands(count: Exception | None) -> None:
    request = asking(max_tokens=100)
    with pytest.raises(BudgetExceededError, match=f"{request.input_bound() + 100:,} tokens"):
        await reserve([Budget(tokens=10)], request, Counting(count=count), None, on_wait=Waits())


async def test_a_count_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(ScriptedModel):
        async def count_tokens(self, request: ModelRequest) -> int:
            await asyncio.sleep(60)
            return 1

    monkeypatch.setattr(models_base, "_COUNT_SECONDS", 0.01)
    assert await count_input(Slow(), asking()) is None


class Answer(BaseModel):
    text: str
    sure: bool


REQUESTS = {
    "plain": asking(),
    "all that is said": asking(
        system="Be brief.",
        output_schema=Answer.model_json_schema(),
        temperature=0.5,
        stop_sequences=("END",),
        request_id="r1",
        service_tier="auto",
    ),
    "thinking": asking(max_tokens=3_000, thinking={"type": "enabled", "budget_tokens": 1_024}),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_the_api_counts_a_request_as_it_bills_it_and_the_count_is_on_no_bill(
    messages_api: MessagesAPI, request_: ModelRequest
) -> None:
    model = AnthropicModel(HAIKU, base_url=messages_api.url, api_key="x")
    counted = await model.count_tokens(request_)
    assert len(messages_api.bill) == 0
    reply = await complete(model, request_)
    assert counted == reply.usage.input_tokens
    assert await count_input(model, request_) == counted


async def test_a_client_of_the_callers_own_counts_too(messages_api: MessagesAPI) -> None:
    from anthropic import AsyncAnthropic

    async with AsyncAnthropic(base_url=messages_api.url, api_key="x") as client:
        model = AnthropicModel(HAIKU, client=client, timeout=3)
        counted = await model.count_tokens(asking())
        assert counted == (await complete(model, asking())).usage.input_tokens


async def test_what_cannot_be_asked_is_not_counted(messages_api: MessagesAPI) -> None:
    assert await count_input(AnthropicModel(HAIKU), asking()) is not None
    assert await count_input(AnthropicModel("claude-of-tomorrow"), asking()) is None
    unreachable = AnthropicModel(HAIKU, base_url="http://127.0.0.1:1", api_key="x")
    assert await count_input(unreachable, asking()) is None
    forbidden = AnthropicModel(HAIKU, base_url="http://api.example.com", api_key="x")
    assert await count_input(forbidden, asking()) is None


@pytest.mark.parametrize("model", [ScriptedModel("Yes."), OfflineModel()], ids=["scripted", "offline"])
async def test_stand_ins_count_what_they_report(model: Model) -> None:
    counted = await count_input(model, REQUESTS["all that is said"])
    assert counted == (await complete(model, REQUESTS["all that is said"])).usage.input_tokens


async def test_a_schema_in_words_is_counted_in_words() -> None:
    model = SchemaInPrompt(ScriptedModel(Answer(text="x", sure=True)))
    counted = await count_input(model, REQUESTS["all that is said"])
    assert counted == (await complete(model, REQUESTS["all that is said"])).usage.input_tokens
    assert await count_input(SchemaInPrompt(Uncounting()), asking()) is None


async def test_what_others_hold_is_waited_for_in_the_order_of_arrival() -> None:
    budget = Budget(tokens=10_000)
    running = await held(budget, tokens=6_000)
    waits, served = Waits(), list[str]()

    async def ask(name: str, tokens: int) -> None:
        reservation = await held(budget, tokens=tokens, on_wait=waits)
        served.append(name)
        await turns()
        reservation.settle(Usage(100), estimated=False)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask("large", 7_000))
        await turns()
        # There would be room for the others, but they came later.
        group.create_task(ask("small", 2_000))
        group.create_task(ask("smaller", 1_500))
        await turns(20)
        assert (served, waits.begun) == ([], 3)
        assert budget.reserved_tokens == 6_000
        running.settle(Usage(100), estimated=False)
    assert served == ["large", "small", "smaller"]
    assert (budget.spent_tokens, budget.reserved_tokens) == (400, 0)


async def test_who_waits_is_refused_as_soon_as_no_settlement_could_help() -> None:
    budget = Budget(tokens=10_000)
    running = await held(budget, tokens=6_000)
    waiting = asyncio.create_task(held(budget, tokens=7_000))
    behind = asyncio.create_task(held(budget, tokens=2_000))
    await turns()
    running.settle(Usage(5_000), estimated=False)
    with pytest.raises(
        BudgetExceededError, match=r"limit 10,000 tokens, spent 5,000, held by running requests 0"
    ):
        await waiting
    assert (await behind).tokens == 2_000


async def test_who_is_cancelled_while_waiting_holds_nothing_and_lets_the_next_one_pass() -> None:
    budget = Budget(tokens=10_000)
    running = await held(budget, tokens=6_000)
    first = asyncio.create_task(held(budget, tokens=7_000))
    second = asyncio.create_task(held(budget, tokens=2_000))
    await turns()
    first.cancel()
    await turns()
    assert (await second).tokens == 2_000
    assert budget.reserved_tokens == 8_000
    running.release()
    assert budget.reserved_tokens == 2_000
    assert first.cancelled()


async def test_who_is_cancelled_in_the_moment_of_being_served_gives_it_back() -> None:
    budget = Budget(tokens=10_000)
    running = await held(budget, tokens=6_000)
    waiting = asyncio.create_task(held(budget, tokens=7_000))
    await turns()
    running.release()
    assert budget.reserved_tokens == 7_000  # served, and not told yet
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.reserved_tokens == 0


async def test_who_is_told_of_the_wait_and_fails_leaves_the_queue() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    budget = Budget(tokens=10_000)
    running = await held(budget, tokens=6_000)
    with pytest.raises(ZeroDivisionError):
        await reserve([budget], asking(max_tokens=8_000), Uncounting(name=HAIKU), None, on_wait=fail)
    assert budget.account.queue == []
    running.release()
    assert budget.reserved_tokens == 0


async def test_what_waits_for_the_budget_of_its_run_is_in_nobodys_way_at_the_one_around_all_runs() -> None:
    around, one, other = Budget(tokens=100_000), Budget(tokens=5_000), Budget(tokens=5_000)
    running = await held(around, one, tokens=4_000)
    waiting = asyncio.create_task(held(around, one, tokens=3_000))
    await turns()
    passing = await held(around, other, tokens=4_000)
    assert not waiting.done()
    running.release()
    await turns()
    assert (await waiting).tokens == 3_000
    passing.release()


async def test_who_once_waited_for_a_budget_is_not_overtaken_there_while_waiting_for_another() -> None:
    left, right = Budget(tokens=10_000), Budget(tokens=10_000)
    in_left, in_right = await held(left, tokens=9_000), await held(right, tokens=2_000)
    both = asyncio.create_task(held(left, right, tokens=5_000))
    await turns()
    more_right = await held(right, tokens=8_000)  # nothing was short there until now
    in_left.release()  # now it is the other one that is short
    later_left = asyncio.create_task(held(left, tokens=6_000))
    later_right = asyncio.create_task(held(right, tokens=2_000))
    await turns()
    in_right.release()
    await turns()
    assert not any(task.done() for task in (both, later_left, later_right))
    more_right.release()
    assert (await both).tokens == 5_000
    await turns()
    assert (later_left.done(), later_right.done()) == (False, True)
    (await both).release()
    assert (await later_left).tokens == 6_000


async def test_the_count_makes_room_where_the_bound_would_have_to_wait() -> None:
    budget = Budget(tokens=2_500)
    running = await held(budget, tokens=2_000)
    waits = Waits()
    reservation = await reserve([budget], asking(max_tokens=100), Counting(count=20), None, on_wait=waits)
    assert reservation is not None
    assert (reservation.tokens, waits.begun) == (137, 0)
    running.release()


def test_a_budget_is_shared_by_event_loops_in_several_threads() -> None:
    budget = Budget(usd="0.02", tokens=10_000_000)
    done = list[int]()

    def work() -> None:
        async def ask() -> None:
            try:
                reservation = await held(budget, tokens=2_000)
            except BudgetExceededError:
                return
            await asyncio.sleep(0)
            reservation.settle(Usage(50, 10), estimated=False)
            done.append(1)

        async def many() -> None:
            await asyncio.gather(*(ask() for _ in range(60)))

        asyncio.run(many())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert (budget.reserved_usd, budget.reserved_tokens, budget.account.queue) == (0, 0, [])
    assert budget.spent_tokens == 60 * len(done)
    assert budget.spent_usd == Decimal(100 * len(done)) / 1_000_000
    # Each could have cost a little more than half a cent, so that much may be left.
    assert Decimal("0.014") < (budget.spent_usd or 0) <= Decimal("0.02")


def test_who_waited_in_an_event_loop_that_is_gone_is_passed_over() -> None:
    budget = Budget(tokens=10_000)
    loop = asyncio.new_event_loop()
    running = loop.run_until_complete(held(budget, tokens=6_000))
    waiting = loop.create_task(held(budget, tokens=7_000))
    loop.run_until_complete(turns())
    loop.close()
    assert len(budget.account.queue) == 1
    running.release()
    assert (budget.account.queue, budget.reserved_tokens) == ([], 0)
    waiting._log_destroy_pending = False  # type: ignore[attr-defined] # pyright: ignore
    del waiting
    gc.collect()
    assert budget.reserved_tokens == 0


def test_a_request_that_ends_in_the_thread_that_holds_the_lock_is_settled_when_that_is_free() -> None:
    budget = Budget(tokens=10_000)
    reservation = asyncio.run(held(budget, tokens=2_000))
    with exclusive:  # as where the collector of garbage ends a request in the middle of another one's turn
        reservation.settle(Usage(10), estimated=False)
        assert budget.account.held_tokens == 2_000
    assert (budget.account.held_tokens, budget.account.spent_tokens) == (0, 10)


async def test_blocks_nest_and_hold_in_the_tasks_that_are_started_within() -> None:
    async def within() -> tuple[Budget, ...]:
        return current_budgets()

    outer, inner = Budget(tokens=1), Budget(tokens=2)
    assert current_budgets() == ()
    async with outer as entered:
        assert entered is outer
        with inner:
            task = asyncio.create_task(within())
            assert await asyncio.to_thread(current_budgets) == (outer, inner)
        assert current_budgets() == (outer,)
    assert await task == (outer, inner)
    assert current_budgets() == ()
    assert outer.account.called == "around the run"


async def test_one_budget_can_be_entered_by_many_tasks_and_twice_by_one() -> None:
    budget, other = Budget(tokens=1), Budget(tokens=2)

    async def enter() -> None:
        async with budget, other:
            await asyncio.sleep(0)
            async with budget:
                assert current_budgets() == (budget, other, budget)
            assert current_budgets() == (budget, other)

    await asyncio.gather(enter(), enter(), enter())
    assert current_budgets() == ()


def test_a_block_that_is_left_in_another_context_ends_quietly() -> None:
    budget = Budget(tokens=1)
    contextvars.copy_context().run(budget.__enter__)
    budget.__exit__(None, None, None)
    assert current_budgets() == ()


def test_a_block_passes_on_what_is_raised_in_it() -> None:
    with pytest.raises(ZeroDivisionError), Budget(tokens=1):
        raise ZeroDivisionError
    assert current_budgets() == ()


class Drawing:
    """A model whose requests draw on a budget, as those of a run do."""

    def __init__(self, model: Model, budget: Budget) -> None:
        self._model = model
        self._budget = budget
        self.name = model.name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        reservation = await reserve([self._budget], request, self._model, None, on_wait=Waits())
        assert reservation is not None
        usage, estimated = Usage(request.input_bound(), request.max_tokens), True
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    if isinstance(event, ReplyFinished):
                        usage, estimated = event.usage, False
                        reservation.settle(usage, estimated)
                    yield event
        except PromptChainError as error:
            if not getattr(error, "billable", True):
                usage, estimated = Usage(), False
            raise
        finally:
            reservation.settle(usage, estimated)


async def test_the_next_request_is_not_sent_once_the_budget_is_spent(messages_api: MessagesAPI) -> None:
    budget = Budget(usd="0.001")
    model = Drawing(AnthropicModel(HAIKU, base_url=messages_api.url, api_key="x"), budget)
    messages_api.script(*["word " * 60] * 10)
    with pytest.raises(BudgetExceededError):
        for _ in range(10):
            await complete(model, asking(max_tokens=70))
    assert len(messages_api.bill) == 2
    assert budget.spent_usd == messages_api.bill.cost


async def test_what_the_api_refuses_costs_nothing_and_what_was_cut_costs_what_was_reserved(
    messages_api: MessagesAPI,
) -> None:
    budget = Budget(usd=1)
    model = Drawing(AnthropicModel(HAIKU, base_url=messages_api.url, api_key="x"), budget)
    messages_api.script(Fault.status(529), Fault.reset(after=4))
    with pytest.raises(PromptChainError):
        await complete(model, asking())
    assert (budget.spent_usd, budget.reserved_usd) == (0, 0)
    with pytest.raises(PromptChainError):
        await complete(model, asking())
    assert budget.spent_usd == Decimal(asking().input_bound() + 500) / 1_000_000


TELL = Step("tell", prompt="{input}", max_tokens=100)


def telling(api: MessagesAPI, **options: Any) -> Chain[str, str]:
    model = AnthropicModel(HAIKU, base_url=api.url, api_key="x")
    return Chain("answer", TELL, **{"model": model, **options})


async def test_a_run_draws_on_the_budget_that_it_is_handed_as_do_others(messages_api: MessagesAPI) -> None:
    chain, budget = telling(messages_api), Budget(usd=1, tokens=100_000)
    first = await chain.run("What makes the tide?", budget=budget)
    assert (budget.spent_usd, budget.spent_tokens) == (first.cost, first.usage.total_tokens)
    await asyncio.to_thread(chain.run_sync, "And the waves?", budget=budget)
    async with chain.stream("And the wind?", budget=budget) as stream:
        await stream.result()
    assert budget.spent_usd == messages_api.bill.cost
    assert budget.spent_tokens == messages_api.bill.usage.total_tokens
    assert (budget.reserved_usd, budget.reserved_tokens) == (0, 0)


async def test_each_run_of_a_chain_has_a_new_one_of_the_chains_budget(messages_api: MessagesAPI) -> None:
    chain = telling(messages_api, budget=Budget(tokens=200))
    for _ in range(5):
        await chain.run("What makes the tide?")
    assert chain.budget is not None
    assert chain.budget.spent_tokens == 0
    with pytest.raises(BudgetExceededError, match="the budget of the chain 'answer' has no room") as caught:
        await chain.run("word " * 100)
    assert (caught.value.budget, caught.value.step) == ("of the chain 'answer'", "tell")


async def test_all_budgets_around_a_run_hold_and_the_error_says_which_one_was_hit(
    messages_api: MessagesAPI,
) -> None:
    inner = telling(messages_api, budget=Budget(tokens=5_000))
    outer = Chain("outer", inner, budget=Budget(usd=1))
    handed = Budget(tokens=6_000, name="handed")
    with Budget(usd=2) as around:
        result = await outer.run("What makes the tide?", budget=handed)
        assert around.spent_usd == result.cost
        assert handed.spent_tokens == result.usage.total_tokens
        for tight, called in (
            ({"budget": Budget(tokens=1)}, "of the run"),
            ({"budget": Budget(tokens=1, name="tight")}, "tight"),
        ):
            with pytest.raises(BudgetExceededError) as caught:
                await outer.run("What makes the tide?", **tight)
            assert caught.value.budget == called
        with Budget(tokens=1), pytest.raises(BudgetExceededError, match="the budget around the run"):
            await outer.run("What makes the tide?")
    assert len(messages_api.bill) == 1


async def test_a_run_that_has_spent_its_budget_stops_with_its_ledger_and_sends_nothing_more(
    messages_api: MessagesAPI,
) -> None:
    two = TELL | Step("more", prompt="{tell}", max_tokens=100)
    chain = Chain("two", two, model=AnthropicModel(HAIKU, base_url=messages_api.url, api_key="x"))
    messages_api.script("word " * 60, "never asked")
    with pytest.raises(BudgetExceededError) as caught:
        await chain.run("What makes the tide?", budget=Budget(tokens=200))
    assert caught.value.step == "more"
    assert len(caught.value.ledger or ()) == len(messages_api.bill) == 1
    assert messages_api.pending == 1


async def test_a_model_without_a_price_is_not_asked_under_a_limit_in_usd(messages_api: MessagesAPI) -> None:
    messages_api.serve("home-made")
    model = AnthropicModel("home-made", base_url=messages_api.url, api_key="x")
    chain = telling(messages_api, model=model)
    with pytest.raises(UnknownPriceError):
        await chain.run("What makes the tide?", budget=Budget(usd=1))
    assert len(messages_api.bill) == 0
    budget = Budget(usd=1)
    priced = telling(messages_api, model=model, prices={"home-made": Price(input=1, output=1)})
    result = await priced.run("What makes the tide?", budget=budget)
    assert budget.spent_usd == result.cost == Decimal(result.usage.total_tokens) / 1_000_000


async def test_each_attempt_is_reserved_and_settled_by_itself(messages_api: MessagesAPI) -> None:
    policy = Policy(retry=Retry(multiplier=0.001), breaker=None)
    messages_api.script(Fault.status(529, retry_after_ms=1), Fault.end(after=3), "At last.")
    budget = Budget(usd=1)
    result = await telling(messages_api, policy=policy).run("What makes the tide?", budget=budget)
    assert len(result.ledger) == 3
    assert budget.spent_usd == result.cost
    assert result.ledger.estimated


async def test_a_wait_for_a_budget_is_an_event_and_is_bounded_by_the_deadline(
    messages_api: MessagesAPI,
) -> None:
    chain, budget = telling(messages_api), Budget(tokens=5_000)
    seen: list[Event] = []
    running = await held(budget, tokens=4_950)
    with pytest.raises(DeadlineError) as caught:
        await chain.run("What makes the tide?", budget=budget, deadline=0.2, readers=[seen.append])
    assert caught.value.phase == "queue"
    assert [event.reason for event in seen if isinstance(event, Waiting)] == ["budget"]
    assert (len(messages_api.bill), budget.reserved_tokens, budget.account.queue) == (0, 4_950, [])
    waiting = asyncio.create_task(chain.run("What makes the tide?", budget=budget))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    running.release()
    assert (await waiting).usage.total_tokens == budget.spent_tokens


async def test_a_judge_draws_on_the_budget_when_the_reply_that_it_judges_is_settled(
    messages_api: MessagesAPI,
) -> None:
    judge = JudgeGate("It is about the sea.", max_tokens=100)
    step = Step("tell", prompt="{input}", max_tokens=100, gates=[judge])
    budget = Budget(tokens=1_000)
    messages_api.script("The sea.", {"reason": "It is.", "verdict": "pass"})
    chain = Chain("answer", step, model=AnthropicModel(HAIKU, base_url=messages_api.url, api_key="x"))
    async with asyncio.timeout(30):
        result = await chain.run("What makes the tide?", budget=budget)
    assert budget.spent_tokens == result.usage.total_tokens == messages_api.bill.usage.total_tokens


async def test_what_is_no_budget_is_refused_where_it_is_said(messages_api: MessagesAPI) -> None:
    wrong: Any = "0.10"
    with pytest.raises(DefinitionError, match=r"the chain 'answer': budget is a Budget\(usd='0.10'\)"):
        telling(messages_api, budget=wrong)
    chain = telling(messages_api)
    with pytest.raises(InputError, match="budget is a Budget"):
        await chain.run("x", budget=wrong)
    with pytest.raises(InputError, match="budget is a Budget"):
        chain.stream("x", budget=wrong)
    assert len(messages_api.bill) == 0
