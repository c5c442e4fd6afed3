"""Settings of the policy, the deadline and the budget: ranges, precedence, and what a run makes of them."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptchain import Budget, Chain, Gate, JudgeGate, Run, ScriptedModel, Step, step
from promptchain.arguments import ARGUMENT_NAMES
from promptchain.errors import (
    BudgetExceededError,
    CircuitOpenError,
    ConfigurationError,
    DeadlineError,
    GateCrashedError,
    ServerError,
)
from promptchain.resilience import Breaker, Fallback, Limits, Policy, Retry, Timeout, circuits
from promptchain.settings import Settings
from promptchain.settings.layers import PARTS
from promptchain.settings.protection import POLICY_NAMES
from promptchain.testing import Fault, MessagesAPI


@pytest.fixture(autouse=True)
def closed_circuits() -> None:
    for circuit in circuits():
        circuit.reset()


def say(**variables: str) -> Settings:
    return Settings.read({f"PROMPTCHAIN_{name}": text for name, text in variables.items()})


class Seen:
    """A step whose gate keeps the policy that holds for it."""

    def __init__(self, name: str = "polish", policy: Policy | None = None) -> None:
        self.policy: Policy | None = None

        def keep(_: object, run: Run) -> bool:
            self.policy = run.arguments.policy
            return True

        self.step = Step(name, prompt="{input}", gates=[Gate(keep)], policy=policy)


def policy_of_a_run(settings: Settings, policy: Policy | None = None) -> Policy | None:
    seen = Seen(policy=policy)
    Chain("c", seen.step, model=ScriptedModel("done")).run_sync("x", settings=settings)
    return seen.policy


# Values

SPANS: Mapping[str, tuple[str, str, str, str, str]] = {
    # least and greatest, one below and one above, and how they are told
    "BREAKER_FAILURES": ("1", "10", "0", "11", "a whole number from 1 to 10"),
    "BREAKER_RESET": ("10", "300", "9.99", "301", "a number of seconds from 10 to 300"),
    "BREAKER_SUCCESSES": ("1", "5", "0", "6", "a whole number from 1 to 5"),
    "RETRY_ATTEMPTS": ("1", "10", "0", "11", "a whole number from 1 to 10"),
    "RETRY_MULTIPLIER": ("0.5", "5", "0.49", "5.1", "a number from 0.5 to 5"),
    "RETRY_MAX_WAIT": ("5", "300", "4.9", "300.5", "a number of seconds from 5 to 300"),
    "TIMEOUT_TOTAL": ("0.01", "3600", "0", "3601", "a number of seconds above 0 and up to 3600"),
    "TIMEOUT_ATTEMPT": ("0.01", "3600", "0", "3601", "a number of seconds above 0 and up to 3600"),
    "TIMEOUT_FIRST_TOKEN": ("0.01", "3600", "0", "3601", "a number of seconds above 0 and up to 3600"),
    "TIMEOUT_IDLE": ("0.01", "3600", "0", "3601", "a number of seconds above 0 and up to 3600"),
    "CONCURRENCY": ("1", "99999", "0", "-1", "a whole number from 1"),
    "TIMEOUT": ("1", "270", "0.9", "270.1", "a number of seconds from 1 to 270"),
    "DEADLINE": ("1", "3600", "0.9", "3601", "a number of seconds from 1 to 3600"),
    "BUDGET_USD": ("0", "1000000", "-0.01", "1000000.01", "a number of USD from 0 to 1000000"),
    "BUDGET_TOKENS": ("0", "99999999", "-1", "-5", "a whole number from 0"),
}


@pytest.mark.parametrize("name", SPANS)
def test_a_number_is_taken_within_its_range_and_refused_outside_of_it(name: str) -> None:
    least, most, below, above, told = SPANS[name]
    for text in (least, most):
        assert not say(**{name: text}).says_nothing
    what = ": timeout" if name == "TIMEOUT" else ""
    whole = ("1.5",) if "whole" in told else ()
    for text in (below, above, "nan", "inf", "1_0", "\u0663", "soon", "9" * 400, *whole):
        with pytest.raises(ConfigurationError) as caught:
            say(**{name: text})
        assert str(caught.value).startswith(f"PROMPTCHAIN_{name}{what} is {told}, not '{text[:9]}")
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["BREAKER", "RETRY", "PACE"])
def test_a_switch_is_on_or_off(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"^PROMPTCHAIN_{name} is on or off, not 'of'. Did you mean 'off'"
    ):
        say(**{name: "of"})


def test_an_error_of_a_file_names_the_line_and_the_process_comes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# ours\nPROMPTCHAIN_RETRY_ATTEMPTS=50\n", "utf-8")
    with pytest.raises(
        ConfigurationError,
        match=r"^PROMPTCHAIN_RETRY_ATTEMPTS \(.*\.env, line 2\) is a whole number from 1 to 10, not '50'",
    ):
        Settings.read({}, file)
    settings = Settings.read({"PROMPTCHAIN_RETRY_ATTEMPTS": "4"}, file)
    assert policy_of_a_run(settings) == Policy(retry=Retry(attempts=4))


def test_the_deadline_and_the_budget_are_held_with_where_they_come_from() -> None:
    settings = say(DEADLINE="60", BUDGET_USD="0.10", BUDGET_TOKENS="50000")
    assert (
        settings.deadline and settings.deadline.value,
        settings.deadline and settings.deadline.origin,
    ) == (
        60.0,
        "PROMPTCHAIN_DEADLINE",
    )
    assert settings.budget_usd is not None
    assert (settings.budget_usd.value, str(settings.budget_usd.value)) == (Decimal("0.1"), "0.10")
    assert settings.budget_tokens is not None
    assert (settings.budget_tokens.value, type(settings.budget_tokens.value)) == (50_000, int)


# What comes before what


def test_a_part_of_which_the_code_says_nothing_is_that_of_the_settings() -> None:
    settings = say(RETRY_ATTEMPTS="5", BREAKER_RESET="12.5", TIMEOUT_TOTAL="90", CONCURRENCY="4", PACE="off")
    assert policy_of_a_run(settings) == Policy(
        retry=Retry(attempts=5),
        breaker=Breaker(reset=12.5),
        timeout=Timeout(total=90),
        limits=Limits(concurrency=4, pace=False),
    )


def test_a_part_of_the_code_replaces_the_whole_part_of_the_settings() -> None:
    settings = say(RETRY_ATTEMPTS="5", RETRY_MAX_WAIT="100", BREAKER_FAILURES="9")
    held = policy_of_a_run(settings, Policy(retry=Retry(attempts=2)))
    assert held == Policy(retry=Retry(attempts=2), breaker=Breaker(failures=9))
    held = policy_of_a_run(settings, Policy(retry=None))
    assert held == Policy(retry=None, breaker=Breaker(failures=9))


def test_an_off_switch_beats_the_numbers_beside_it_which_are_checked_all_the_same() -> None:
    settings = say(RETRY="off", RETRY_ATTEMPTS="5", BREAKER="on", BREAKER_FAILURES="9")
    assert policy_of_a_run(settings) == Policy(retry=None, breaker=Breaker(failures=9))
    assert [layer.origin for layer in settings.policy] == [
        "PROMPTCHAIN_RETRY",
        "PROMPTCHAIN_BREAKER, PROMPTCHAIN_BREAKER_FAILURES",
    ]
    with pytest.raises(ConfigurationError, match="PROMPTCHAIN_RETRY_ATTEMPTS is"):
        say(RETRY="off", RETRY_ATTEMPTS="50")
    code = Policy(retry=Retry(), breaker=None)
    assert policy_of_a_run(settings, code) == code


ONE_OF_EACH: Mapping[str, st.SearchStrategy[Any]] = {
    "retry": st.one_of(st.none(), st.builds(Retry, attempts=st.integers(1, 10))),
    "breaker": st.one_of(st.none(), st.builds(Breaker, failures=st.integers(1, 10))),
    "timeout": st.one_of(st.none(), st.builds(Timeout, idle=st.sampled_from([60.0, 90.0]))),
    "fallback": st.one_of(st.none(), st.builds(lambda: Fallback([ScriptedModel("other")]))),
    "limits": st.one_of(st.none(), st.builds(Limits, concurrency=st.integers(1, 9))),
}
SAID = st.one_of(st.none(), st.fixed_dictionaries({}, optional=dict(ONE_OF_EACH)))
VARIABLES: Mapping[str, st.SearchStrategy[str]] = {
    "RETRY": st.sampled_from(["on", "off"]),
    "RETRY_ATTEMPTS": st.integers(1, 10).map(str),
    "BREAKER": st.sampled_from(["on", "off"]),
    "BREAKER_SUCCESSES": st.integers(1, 5).map(str),
    "TIMEOUT_IDLE": st.sampled_from(["120", "300"]),
    "CONCURRENCY": st.integers(1, 9).map(str),
}


def said_by(variables: Mapping[str, str]) -> dict[str, Any]:
    """The parts that ``variables`` say, told in another way."""
    retry = variables.get("RETRY_ATTEMPTS")
    breaker = variables.get("BREAKER_SUCCESSES")
    parts: dict[str, Any] = {}
    if retry or "RETRY" in variables:
        parts["retry"] = None if variables.get("RETRY") == "off" else Retry(attempts=int(retry or 3))
    if breaker or "BREAKER" in variables:
        parts["breaker"] = None if variables.get("BREAKER") == "off" else Breaker(successes=int(breaker or 1))
    if "TIMEOUT_IDLE" in variables:
        parts["timeout"] = Timeout(idle=float(variables["TIMEOUT_IDLE"]))
    if "CONCURRENCY" in variables:
        parts["limits"] = Limits(concurrency=int(variables["CONCURRENCY"]))
    return parts


@given(code=st.tuples(SAID, SAID, SAID), variables=st.fixed_dictionaries({}, optional=dict(VARIABLES)))
def test_the_first_place_that_says_a_part_wins_in_a_run_and_in_what_check_shows(
    code: tuple[dict[str, Any] | None, ...], variables: dict[str, str]
) -> None:
    of_step, of_inner, of_outer = [None if said is None else Policy(**said) for said in code]
    seen = Seen(policy=of_step)
    chain = Chain("outer", Chain("inner", seen.step, policy=of_inner), policy=of_outer)
    settings = say(**variables)

    order = [*(said or {} for said in code), said_by(variables)]
    places = ["step", "chain 'inner'", "chain 'outer'", "PROMPTCHAIN_"]
    expected: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for said, place in zip(order, places, strict=True):
        for part, value in said.items():
            if part not in expected:
                expected[part], origins[part] = value, place

    chain.run_sync("x", model=ScriptedModel("done"), settings=settings)
    (place,) = [each for each in chain.outline if each.path == "inner/polish"]
    effective = place.held(settings.overrides({})).effective
    for held in (seen.policy, effective.arguments.policy):
        assert (held or Policy()) == Policy(**expected)
    shown = {part: effective.origins.get(f"policy.{part}", "") for part in PARTS}
    assert {part: origin for part, origin in shown.items() if origin}.keys() == origins.keys()
    assert all(shown[part].startswith(origin) for part, origin in origins.items())


def test_a_profile_and_variables_of_a_step_leave_the_policy_alone() -> None:
    settings = say(PROFILE="cost", POLISH_MAX_TOKENS="7", RETRY_ATTEMPTS="5")
    seen = Seen(policy=Policy(breaker=None))
    Chain("c", seen.step).run_sync("x", model=ScriptedModel("done"), settings=settings)
    assert seen.policy == Policy(retry=Retry(attempts=5), breaker=None)


def test_what_says_nothing_of_the_policy_costs_a_run_nothing() -> None:
    assert say(LOG_LEVEL="debug", RETRY_ATTEMPTS=" ").says_nothing
    assert not say(BREAKER="on").says_nothing
    assert not say(DEADLINE="5").says_nothing
    assert say(MAX_TOKENS="5").policy == ()
    assert policy_of_a_run(say(MAX_TOKENS="5")) is None


def test_settings_of_the_policy_can_be_copied_and_sent_to_another_process() -> None:
    settings = say(RETRY_ATTEMPTS="5", BREAKER="off", BUDGET_TOKENS="50000")
    for copied in (copy.deepcopy(settings), pickle.loads(pickle.dumps(settings))):  # noqa: S301 - our own
        assert copied == settings
        assert policy_of_a_run(copied) == Policy(retry=Retry(attempts=5), breaker=None)


# Steps that are called like a part


def test_no_variable_of_the_policy_can_be_one_of_a_step() -> None:
    of_runs = [
        *POLICY_NAMES,
        *(f"PROMPTCHAIN_{name}" for name in ("DEADLINE", "BUDGET_USD", "BUDGET_TOKENS")),
    ]
    assert not [n for n in of_runs for field in ARGUMENT_NAMES if n.endswith(f"_{field.upper()}")]


@pytest.mark.parametrize("name", ["retry", "breaker", "timeout", "budget", "pace"])
def test_a_step_that_is_called_like_a_part_has_its_own_variables(name: str) -> None:
    stem = name.upper()
    settings = say(
        **{f"{stem}_TIMEOUT": "30", f"{stem}_MAX_TOKENS": "9", "TIMEOUT": "60"},
        RETRY_ATTEMPTS="5",
        BREAKER_FAILURES="7",
        TIMEOUT_TOTAL="90",
    )
    chain = Chain("c", Step(name, prompt="{input}") | Step("other", prompt="{input}"))
    overrides = settings.overrides({})
    own, other = (place.held(overrides).effective.arguments for place in chain.outline if place.path)
    assert (own.timeout, own.max_tokens, other.timeout, other.max_tokens) == (30, 9, 60, 4_096)
    expected = Policy(retry=Retry(attempts=5), breaker=Breaker(failures=7), timeout=Timeout(total=90))
    assert own.policy == other.policy == expected
    assert settings.unmatched([(name, ("timeout", "max_tokens"))]) == {}
    strays = settings.unmatched([("else", ("timeout", "max_tokens"))])
    assert list(strays) == [f"PROMPTCHAIN_{stem}_TIMEOUT", f"PROMPTCHAIN_{stem}_MAX_TOKENS"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RETRY_ATTEMPT", "RETRY_ATTEMPTS"),
        ("RETRY_MAX_ATTEMPTS", "RETRY_ATTEMPTS"),
        ("BREAKER_FAILURE", "BREAKER_FAILURES"),
        ("BREAKER_TIMEOUT", None),
        ("TIMEOUT_FIRST_TOKENS", "TIMEOUT_FIRST_TOKEN"),
        ("FIRST_TOKEN_TIMEOUT", None),
        ("CONCURENCY", "CONCURRENCY"),
        ("DEADLIN", "DEADLINE"),
        ("BUDGET", None),
        ("BUDGET_EUR", None),
        ("BUDGET_TOKEN", "BUDGET_TOKENS"),
        ("DRAFT_RETRY_ATTEMPTS", "RETRY_ATTEMPTS"),
        ("DRAFT_BREAKER", None),
    ],
)
def test_a_misspelt_variable_of_the_policy_is_told_with_the_one_that_was_meant(
    name: str, meant: str | None
) -> None:
    ((origin, hint),) = say(**{name: "5"}).unmatched([("draft", ("timeout",))]).items()
    assert origin == f"PROMPTCHAIN_{name}"
    assert meant is None or hint == f" Did you mean 'PROMPTCHAIN_{meant}'?"


def test_variables_of_the_policy_say_something_of_every_chain() -> None:
    settings = say(
        **dict.fromkeys(["RETRY", "BREAKER", "PACE"], "on"), **{name: span[0] for name, span in SPANS.items()}
    )
    assert settings.unmatched([]) == {}


# On the wire


async def test_settings_say_how_often_a_chain_asks_again(messages_api: MessagesAPI) -> None:
    chain = Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5", policy=Policy(breaker=None))
    messages_api.answer_with(lambda _: Fault.status(500, retry_after_ms=1))
    sent: list[int] = []
    for settings in (
        say(),
        say(RETRY_ATTEMPTS="2"),
        say(RETRY_ATTEMPTS="5"),
        say(RETRY="off", RETRY_ATTEMPTS="5"),
    ):
        before = len(messages_api.bill)
        with pytest.raises(ServerError):
            await chain.run("x", settings=settings)
        sent.append(len(messages_api.bill) - before)
    assert sent == [3, 2, 5, 1]


async def test_settings_say_how_many_failures_open_the_circuit(messages_api: MessagesAPI) -> None:
    chain = Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5")
    once = say(BREAKER_FAILURES="1", RETRY="off")
    messages_api.script(Fault.status(500))
    with pytest.raises(ServerError):
        await chain.run("x", settings=once)
    with pytest.raises(CircuitOpenError):
        await chain.run("x", settings=once)
    assert len(messages_api.bill) == 1
    await chain.run("x", settings=say(BREAKER="off", BREAKER_FAILURES="1"))
    assert len(messages_api.bill) == 2


async def test_a_judge_asks_behind_the_policy_of_the_settings_too(messages_api: MessagesAPI) -> None:
    judge = JudgeGate("It is polite.", model="claude-haiku-4-5")
    write = Chain("c", Step("write", prompt="{input}", gates=[judge]), model=ScriptedModel("Good day."))
    door = Chain("d", Step("write", prompt="{input}"), model=ScriptedModel("Good day."), input_gates=[judge])
    for chain in (write, door):
        before = len(messages_api.bill)
        messages_api.script(Fault.status(500, retry_after_ms=1))
        with pytest.raises(GateCrashedError):
            await chain.run("x", settings=say(RETRY="off"))
        assert len(messages_api.bill) == before + 1


# Deadlines and budgets of runs of which the code says none


async def test_a_run_without_a_deadline_of_its_own_has_that_of_the_settings() -> None:
    given: list[float | None] = []

    @step
    def told(text: str, run: Run) -> str:
        given.append(run.deadline and run.deadline.seconds)
        return text

    settings = say(DEADLINE="60")
    await Chain("c", told).run("x", settings=settings)
    async with Chain("c", told).stream("x", settings=settings) as stream:
        await stream.result()
    await Chain("c", told).run("x", settings=settings, deadline=90)
    await Chain("c", told, deadline=120).run("x", settings=settings)
    await Chain("c", told).run("x", settings=Settings())
    assert given == [60, 60, 90, 120, None]


async def test_a_deadline_of_the_settings_ends_a_run() -> None:
    @step
    async def waits(text: str) -> str:
        await asyncio.sleep(30)
        return text

    with pytest.raises(DeadlineError):
        await Chain("c", waits).run("x", settings=say(DEADLINE="1"))


@pytest.mark.parametrize("name", ["BUDGET_USD", "BUDGET_TOKENS"])
async def test_a_run_without_a_budget_of_its_own_has_that_of_the_settings(
    name: str, messages_api: MessagesAPI
) -> None:
    settings = say(**{name: "0"})
    a = Step("a", prompt="{input}")
    plain = Chain("c", a, model="claude-haiku-4-5")
    with pytest.raises(BudgetExceededError) as caught:
        await plain.run("x", settings=settings)
    assert caught.value.budget == f"PROMPTCHAIN_{name}"
    assert len(messages_api.bill) == 0

    own = Budget(usd="1", tokens=100_000)
    await plain.run("x", settings=settings, budget=own)
    await Chain("c", a, model="claude-haiku-4-5", budget=own).run("x", settings=settings)
    async with own:
        await plain.run("x", settings=settings)
    assert len(messages_api.bill) == 3


async def test_each_run_has_a_budget_of_the_settings_to_itself(messages_api: MessagesAPI) -> None:
    chain = Chain("c", Step("a", prompt="{input}", max_tokens=100), model="claude-haiku-4-5")
    settings = say(BUDGET_TOKENS="400", BUDGET_USD="0.01")
    for _ in range(5):
        await chain.run("x", settings=settings)
    assert len(messages_api.bill) == 5
