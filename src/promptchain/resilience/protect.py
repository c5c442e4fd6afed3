"""The wiring: which wrappers stand around a model, in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from promptchain.metered import Metered
from promptchain.models import Model
from promptchain.policy import DEFAULT_POLICY, Breaker, Fallback, Hedge, Limits, Policy, Retry, Timeout
from promptchain.resilience.circuits import Guarded, circuit_of
from promptchain.resilience.fallback import FallingBack
from promptchain.resilience.hedging import Hedged
from promptchain.resilience.retrying import Retried
from promptchain.resilience.timing import Timed
from promptchain.run import Run

__all__ = ["protected"]

_NO_TIMEOUT: Final = Timeout(attempt=None, first_token=None, idle=None)


def protected(model: Model, run: Run) -> Model:
    """``model`` as the step of ``run`` asks it: on the ledger, and behind the policy that holds there.

    It is made for one reply: ``fallback(retry(hedge(breaker(meter(timeout(model))))))``, and ``Timeout.total`` around
    all of it.
    """
    said = run.arguments.policy
    policy = DEFAULT_POLICY if said is None else said.over(DEFAULT_POLICY)
    # Who is asked in the place of every model is so in the place of these, too.
    others: Sequence[Model] = ()
    if isinstance(policy.fallback, Fallback) and run.execution.model is None:
        others = policy.fallback.behind(model)
    asked, *behind = (
        _with_retries(each, policy, run, behind=len(others) - place)
        for place, each in enumerate((model, *others))
    )
    if behind:
        asked = FallingBack(asked, behind, run)
    if isinstance(policy.timeout, Timeout) and policy.timeout.total is not None:
        whole = replace(_NO_TIMEOUT, total=policy.timeout.total)
        asked = Timed(asked, whole)
    return asked


def _with_retries(model: Model, policy: Policy, run: Run, *, behind: int) -> Model:
    """The model with its retries; ``behind`` says how many other models are there to be asked after it."""
    retried: Retried | None = None

    def share() -> float | None:
        """What is left of the deadline is shared by the requests that may still follow."""
        requests = (1 if retried is None else retried.left) + behind
        if run.deadline is None or requests < 2 or run.execution.has_committed:
            return None
        return run.deadline.left / requests

    lane = partial(_request, model, policy, run, share if run.deadline is not None else None)
    asked = Hedged(lane, policy.hedge, run) if isinstance(policy.hedge, Hedge) else lane()
    if isinstance(policy.retry, Retry):
        asked = retried = Retried(asked, policy.retry, run)
    return asked


def _request(model: Model, policy: Policy, run: Run, share: Callable[[], float | None] | None) -> Model:
    """The wrappers that each request has for itself."""
    asked = model
    if isinstance(policy.timeout, Timeout):
        each = policy.timeout
        asked = Timed(asked, each if each.total is None else replace(each, total=None), share)
    elif share is not None:
        asked = Timed(asked, _NO_TIMEOUT, share)
    limits = policy.limits if isinstance(policy.limits, Limits) else None
    asked = Metered(asked, run, bare=model, limits=limits)
    if isinstance(policy.breaker, Breaker):
        asked = Guarded(asked, circuit_of(model, policy.breaker), run)
    return asked
