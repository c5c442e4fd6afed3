"""What can be said of a policy, and what of it holds where."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import promptchain
from promptchain import Chain, ScriptedModel, Step
from promptchain.errors import DefinitionError
from promptchain.policy import (
    DEFAULT_POLICY,
    LEFT_OUT,
    Breaker,
    Fallback,
    Hedge,
    Limits,
    Policy,
    Retry,
    Timeout,
)

PARTS = ("retry", "breaker", "timeout", "fallback", "hedge", "limits")


def test_the_defaults_are_these() -> None:
    assert Retry() == Retry(attempts=3, max_wait=30, multiplier=1)
    assert Breaker() == Breaker(failures=3, reset=30, successes=1, counts_rate_limits=False)
    assert Timeout() == Timeout(total=None, attempt=600, first_token=300, idle=120)
    assert Limits() == Limits(concurrency=None, pace=True)
    parts = [getattr(DEFAULT_POLICY, part) for part in PARTS]
    assert parts == [Retry(), Breaker(), Timeout(), None, None, Limits()]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Retry(attempts=0), "Retry: attempts is a whole number from 1, not 0."),
        (lambda: Retry(attempts=True), "not True"),
        (lambda: Retry(attempts=2.0), "not 2.0"),  # type: ignore[arg-type] # pyright: ignore
        (lambda: Retry(max_wait=0), "Retry: max_wait is a number above 0, not 0."),
        (lambda: Retry(max_wait=float("inf")), "not inf"),
        (lambda: Retry(multiplier=-1), "Retry: multiplier is a number above 0"),
        (lambda: Breaker(failures=0), "Breaker: failures is a whole number from 1"),
        (lambda: Breaker(successes="1"), "Breaker: successes is a whole number from 1, not '1'."),  # type: ignore[arg-type] # pyright: ignore
        (lambda: Breaker(reset=0), "Breaker: reset is a number of seconds above 0"),
        (lambda: Breaker(counts_rate_limits="no"), "Breaker: counts_rate_limits is True or False, not 'no'."),  # type: ignore[arg-type] # pyright: ignore
        (lambda: Timeout(total=0), "Timeout: total is a number of seconds above 0, or None, not 0."),
        (lambda: Timeout(attempt=float("nan")), "Timeout: attempt"),
        (lambda: Timeout(first_token=False), "Timeout: first_token"),
        (lambda: Timeout(idle="5"), "Timeout: idle"),  # type: ignore[arg-type] # pyright: ignore
        (lambda: Hedge(after=0), "Hedge: after is a number of seconds above 0"),
        (lambda: Hedge(after=1, max_extra=0), "Hedge: max_extra is a whole number from 1"),
        (lambda: Limits(concurrency=0), "Limits: concurrency is a whole number from 1, or None, not 0."),
        (lambda: Limits(pace=1), "Limits: pace is True or False, not 1."),  # type: ignore[arg-type] # pyright: ignore
        (lambda: Retry(attempts=10**400), None),
        (lambda: Retry(max_wait=10**400), "Retry: max_wait is a number above 0"),
    ],
)
def test_what_is_out_of_range_is_refused(make: Any, words: str | None) -> None:
    if words is None:
        make()
        return
    with pytest.raises(DefinitionError) as caught:
        make()
    assert words in str(caught.value)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("wrong", [True, False, 3, "on", object(), Retry, Policy()])
def test_what_is_no_such_part_is_refused(part: str, wrong: Any) -> None:
    with pytest.raises(DefinitionError, match=f"policy: {part} is {part.capitalize()}"):
        Policy(**{part: wrong})


@pytest.mark.parametrize(("part", "other"), [("retry", Breaker()), ("hedge", Retry()), ("timeout", Limits())])
def test_a_part_of_another_kind_is_refused(part: str, other: Any) -> None:
    with pytest.raises(DefinitionError, match=part):
        Policy(**{part: other})


def test_a_part_that_is_left_out_is_what_is_said_around() -> None:
    inner, outer = Policy(retry=None, hedge=Hedge(after=1)), Policy(retry=Retry(), breaker=None)
    both = inner.over(outer)
    assert both == Policy(retry=None, hedge=Hedge(after=1), breaker=None)
    assert both.timeout is LEFT_OUT
    assert both.over(DEFAULT_POLICY).timeout == Timeout()
    assert both.over(DEFAULT_POLICY).breaker is None
    assert DEFAULT_POLICY.over(inner) is DEFAULT_POLICY


def test_over_is_associative() -> None:
    a, b, c = (
        Policy(retry=None),
        Policy(retry=Retry(attempts=2), hedge=None),
        Policy(hedge=Hedge(after=1), breaker=None),
    )
    assert a.over(b).over(c) == a.over(b.over(c))
    assert Policy().over(a) == a == a.over(Policy())


def test_the_policies_of_nested_chains_are_said_part_by_part() -> None:
    ask = Step("ask", prompt="x", policy=Policy(retry=None))
    inner = Chain("inner", ask, policy=Policy(retry=Retry(attempts=5), breaker=None))
    outer = Chain(
        "outer", inner, policy=Policy(breaker=Breaker(), hedge=Hedge(after=1)), model=ScriptedModel("ok")
    )
    (place,) = [place for place in outer.outline if place.path == "inner/ask"]
    policy = place.held().effective.arguments.policy
    assert policy == Policy(retry=None, breaker=None, hedge=Hedge(after=1))


def test_a_policy_is_a_value() -> None:
    policy = Policy(retry=None, breaker=Breaker(failures=2), hedge=Hedge(after=1))
    assert {policy, Policy(retry=None, breaker=Breaker(failures=2), hedge=Hedge(after=1))} == {policy}
    copied = pickle.loads(pickle.dumps(policy))  # noqa: S301 - our own
    assert copy.deepcopy(policy) == policy == copied
    assert copied.timeout is LEFT_OUT
    assert repr(Policy(retry=None)) == (
        "Policy(retry=None, breaker=left out, timeout=left out, fallback=left out, hedge=left out, limits=left out)"
    )
    with pytest.raises(AttributeError):
        policy.retry = Retry()  # type: ignore[misc] # pyright: ignore
    with pytest.raises(TypeError):
        Policy(Retry())  # type: ignore[misc] # pyright: ignore


@pytest.mark.parametrize("wrong", [True, {"retry": None}, Retry(), "default"])
def test_a_step_and_a_chain_take_a_policy_and_nothing_else(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match=r"policy is a Policy\(...\), not"):
        Step("ask", prompt="x", policy=wrong)
    with pytest.raises(DefinitionError, match=r"policy is a Policy\(...\), not"):
        Chain("c", Step("ask", prompt="x"), policy=wrong)


def test_a_fallback_takes_models_and_names() -> None:
    model = ScriptedModel(name="own")
    fallback = Fallback(["claude-haiku-4-5", model])
    assert fallback.models == ("claude-haiku-4-5", model)
    assert [other.name for other in fallback.behind(ScriptedModel())] == ["claude-haiku-4-5", "own"]
    assert fallback.models[1] is model
    assert Policy(fallback=fallback).fallback is fallback


def test_what_is_imported_to_say_a_policy_loads_neither_tenacity_nor_pybreaker() -> None:
    import subprocess
    import sys

    code = (
        "import sys, promptchain; from promptchain.resilience import Policy, Retry; Policy(retry=Retry());"
        "print([name for name in ('tenacity', 'pybreaker') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert promptchain.__doc__
