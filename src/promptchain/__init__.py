"""Typed prompt chains on Claude: steps with gates between them, streamed, with an exact bill."""

from promptchain.budget import Budget
from promptchain.chain import Chain
from promptchain.errors import PromptChainError
from promptchain.gates import Gate, Verdict
from promptchain.judge import JudgeGate
from promptchain.ledger import Attempt, Ledger
from promptchain.models import AnthropicModel, Model, OfflineModel, ScriptedModel
from promptchain.policy import Breaker, Fallback, Hedge, Limits, Policy, Retry, Timeout
from promptchain.pricing import Price
from promptchain.result import Result, StepResult
from promptchain.run import Run
from promptchain.stage import Stage
from promptchain.step import Step
from promptchain.stream import RunStream
from promptchain.usage import Usage

# Last, as importing the module promptchain.step puts that module at the name of the decorator.
from promptchain.functions import step  # isort: skip

__all__ = [
    "AnthropicModel",
    "Attempt",
    "Breaker",
    "Budget",
    "Chain",
    "Fallback",
    "Gate",
    "Hedge",
    "JudgeGate",
    "Ledger",
    "Limits",
    "Model",
    "OfflineModel",
    "Policy",
    "Price",
    "PromptChainError",
    "Result",
    "Retry",
    "Run",
    "RunStream",
    "ScriptedModel",
    "Stage",
    "Step",
    "StepResult",
    "Timeout",
    "Usage",
    "Verdict",
    "step",
]
