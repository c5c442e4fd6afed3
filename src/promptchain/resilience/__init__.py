"""Resilience: what a policy does, as wrappers Model -> Model.

::

    from promptchain.resilience import Policy, Retry, Timeout

    Chain("answer", steps, model="claude-haiku-4-5", policy=Policy(retry=Retry(attempts=5)))

They are nested as ``fallback(retry(hedge(breaker(meter(timeout(model))))))``. The meter, which writes the ledger and
waits for budgets and limits, is not a part of the policy and is always there.
"""

from promptchain.policy import (
    DEFAULT_POLICY,
    Breaker,
    Fallback,
    Hedge,
    Limits,
    Policy,
    Retry,
    Timeout,
)
from promptchain.resilience.circuits import Circuit, circuit_of, circuits
from promptchain.resilience.protect import protected
from promptchain.resilience.retrying import is_retryable

__all__ = [
    "DEFAULT_POLICY",
    "Breaker",
    "Circuit",
    "Fallback",
    "Hedge",
    "Limits",
    "Policy",
    "Retry",
    "Timeout",
    "circuit_of",
    "circuits",
    "is_retryable",
    "protected",
]
