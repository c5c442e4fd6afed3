"""What a run gives back: the output, and how it came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, Generic, Protocol

import pydantic_core
from typing_extensions import TypeVar

from promptchain.errors import PromptChainError
from promptchain.gates import Judgement
from promptchain.ledger import Ledger
from promptchain.pricing import in_digits
from promptchain.spelling import brief
from promptchain.usage import Usage

__all__ = ["Degraded", "Rejected", "Result", "StepResult"]

Out_co = TypeVar("Out_co", covariant=True, default=Any)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Stage(Protocol[T_co]):
    """As much of a stage as its result depends on, so that ``result[stage]`` has the stage's type."""

    name: str

    async def execute(self, value: Any, run: Any) -> T_co: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A reply that was taken back, after which the model was asked again.

    Attributes:
        attempt: Which of the step's attempts wrote it.
        reason: Why it was rejected.
        reply: Its text as it came.
    """

    attempt: int
    reason: str
    reply: str

    def as_dict(self) -> Mapping[str, Any]:
        """JSON-ready values."""
        return {"attempt": self.attempt, "reason": self.reason, "reply": self.reply}


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """An optional step that gave no output of its own, so that something stands in for it.

    Attributes:
        step: Path of the step.
        error: What it failed with, or ``None`` where it was left out for want of time.
        by: What stands in: ``"default"``, or the path of the stage that does.
    """

    step: str
    error: PromptChainError | None
    by: str

    @property
    def reason(self) -> str:
        """Why, as text."""
        return "left out for want of time" if self.error is None else self.error.message

    def as_dict(self) -> Mapping[str, Any]:
        """JSON-ready values."""
        kind = None if self.error is None else type(self.error).__name__
        return {"step": self.step, "reason": self.reason, "error": kind, "by": self.by}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult(Generic[Out_co]):
    """What one stage of a chain did.

    Attributes:
        name: The stage's name.
        path: Its path in the run: ``"draft/polish"`` for a stage of a chain that is itself a stage.
        output: What it gave, validated.
        seconds: How long it took.
        prompt_hash: SHA-256 of its prompt template in UTF-8, as ``sha256sum`` shows it for a prompt file;
            ``None`` for a stage that has no prompt.
        system_hash: The same of its system prompt.
        steps: The stages within it, by name; empty for a single step.
        model: Name of the model that gave the output; ``None`` where none did.
        judgements: What gates decided in it, the verdicts of replies that were rejected among them.
        rejected: The replies that were rejected before this output.
        degraded: Why the output is not the step's own, where it is optional and something stands in for it.
        run_ledger: Every attempt of the whole run, of which ``ledger`` is this stage's part.
    """

    name: str
    path: str
    output: Out_co
    seconds: float
    model: str | None = None
    prompt_hash: str | None = None
    system_hash: str | None = None
    steps: Mapping[str, StepResult] = field(default_factory=dict[str, "StepResult"])
    judgements: Sequence[Judgement] = ()
    rejected: Sequence[Rejected] = ()
    degraded: Degraded | None = None
    run_ledger: Ledger = field(default_factory=Ledger, repr=False)
    stage: _Stage[Any] | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> list[Any]:
        # Without the stage: it may hold functions that cannot be pickled, and a key that must not be.
        return [None if f.name == "stage" else getattr(self, f.name) for f in fields(self)]

    @property
    def ledger(self) -> Ledger:
        """The attempts of this stage and of those within it."""
        return self.run_ledger.of(self.path)

    @property
    def usage(self) -> Usage:
        """Tokens of all its attempts."""
        return self.ledger.usage

    @property
    def cost(self) -> Decimal | None:
        """USD of all its attempts, or ``None`` where a price is not known."""
        return self.ledger.cost

    def as_dict(self) -> Mapping[str, Any]:
        """JSON-ready values."""
        return {
            "name": self.name,
            "path": self.path,
            "output": _jsonable(self.output),
            "seconds": round(self.seconds, 6),
            "model": self.model,
            "usage": self.usage.as_dict(),
            "cost": in_digits(self.cost),
            "prompt_hash": self.prompt_hash,
            "system_hash": self.system_hash,
            "rejected": [reply.as_dict() for reply in self.rejected],
            "degraded": self.degraded and self.degraded.as_dict(),
            "steps": {name: step.as_dict() for name, step in self.steps.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Generic[Out_co]):
    """What a run gave.

    ``result[stage]`` is the typed way to a stage's part, ``result.steps["name"]`` the way by name.

    Attributes:
        output: The last step's output.
        steps: What each stage did, by name, in the order in which they ran.
        ledger: Every attempt, the failed ones too.
        judgements: Every verdict of a gate in the run, in order; ``judgement.step`` says of what.
        chain: Name of the chain.
        run_id: Id of the run.
        request_id: The caller's id, or the run's where the caller gave none.
        seconds: How long the run took.
        degraded: The optional steps that something stands in for, in the order in which that happened.
    """

    output: Out_co
    steps: Mapping[str, StepResult]
    ledger: Ledger
    chain: str
    run_id: str
    request_id: str
    seconds: float
    judgements: Sequence[Judgement] = ()
    degraded: Sequence[Degraded] = ()

    @property
    def usage(self) -> Usage:
        """Tokens of the whole run."""
        return self.ledger.usage

    @property
    def cost(self) -> Decimal | None:
        """USD of the whole run, or ``None`` where a price is not known."""
        return self.ledger.cost

    def __getitem__(self, stage: _Stage[T]) -> StepResult[T]:
        """What ``stage`` did, with the type of its output.

        Raises:
            PromptChainError: The stage was no part of the run.
        """
        if not hasattr(stage, "execute"):
            raise PromptChainError(
                f"result[...] takes a stage, as in result[analyze]; by name: result.steps[{stage!r}]."
            )
        for step in _all(self.steps):
            if step.stage is stage:
                return step
        raise PromptChainError(
            f"the stage {stage.name!r} has no part in this result of the chain {self.chain!r}; "
            f"it has: {', '.join(step.path for step in _all(self.steps))}."
        )

    def as_dict(self) -> Mapping[str, Any]:
        """The whole result as JSON-ready values; costs are strings, so that no digit is lost."""
        return {
            "output": _jsonable(self.output),
            "chain": self.chain,
            "run_id": self.run_id,
            "request_id": self.request_id,
            "seconds": round(self.seconds, 6),
            "usage": self.usage.as_dict(),
            "cost": in_digits(self.cost),
            "estimated": self.ledger.estimated,
            "judgements": [judgement.as_dict() for judgement in self.judgements],
            "degraded": [degraded.as_dict() for degraded in self.degraded],
            "steps": {name: step.as_dict() for name, step in self.steps.items()},
            "ledger": [attempt.as_dict() for attempt in self.ledger],
        }


def _all(steps: Mapping[str, StepResult]) -> Iterator[StepResult]:
    for step in steps.values():
        yield step
        yield from _all(step.steps)


def _jsonable(value: object) -> Any:
    # Through JSON itself: only there is what JSON has no number for brought to a text.
    try:
        return pydantic_core.from_json(pydantic_core.to_json(value, fallback=brief, inf_nan_mode="strings"))
    except Exception:  # noqa: BLE001 - bytes that are no text, or a value that holds itself
        return brief(value)
