"""Typed prompt chains on Claude: steps with gates between them, streamed, with an exact bill."""

from promptchain.chain import Chain
from promptchain.errors import PromptChainError
from promptchain.functions import step
from promptchain.gates import Gate
from promptchain.ledger import Attempt, Ledger
from promptchain.models import Model
from promptchain.models.anthropic import AnthropicModel
from promptchain.pricing import Price
from promptchain.result import Result, StepResult
from promptchain.run import Run
from promptchain.stage import Stage
from promptchain.step import Step
from promptchain.stream import RunStream
from promptchain.usage import Usage

__all__ = [
    "AnthropicModel",
    "Attempt",
    "Chain",
    "Gate",
    "Ledger",
    "Model",
    "Price",
    "PromptChainError",
    "Result",
    "Run",
    "RunStream",
    "Stage",
    "Step",
    "StepResult",
    "Usage",
    "step",
]
