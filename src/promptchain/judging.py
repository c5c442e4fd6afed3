"""Judging: a value goes through its gates, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from promptchain.arguments import DEFAULT_GATES_MODE
from promptchain.errors import GateBlockedError, GateCrashedError
from promptchain.gates import Gate, Judgement, Mode, Verdict
from promptchain.run import Run, Scope

__all__ = ["INPUT", "AskAgain", "judged"]

OUTPUT: Final = "output"
INPUT: Final = "input"


class AskAgain(Exception):  # noqa: N818 - a turn of the conversation, which no caller sees
    """The reply is rejected, and the model can be asked for another one.

    Attributes:
        reason: Why.
        feedback: What the model is told of it.
        reply: What it wrote.
    """

    def __init__(self, reason: str, feedback: str, reply: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.feedback = feedback
        self.reply = reply


async def judged(
    gates: Sequence[Gate[Any]],
    value: Any,
    run: Run,
    *,
    what: str = OUTPUT,
    validated: Callable[[Any], Any] | None = None,
    may_ask_again: bool = False,
    reply: str = "",
) -> Any:
    """The value when all gates have judged it: itself, or what one of them put in its place.

    Args:
        gates: They judge in order. A gate judges what the one before has let through.
        value: What is judged.
        run: The run, seen from the stage that made the value; its record of judgements grows.
        what: What the value is: ``OUTPUT`` or ``INPUT``.
        validated: Makes a replacement what the value must be, or raises ``ValueError``; left out, it may be anything.
        may_ask_again: Whether the model can be asked for another value.
        reply: The model's text, for the error.

    Raises:
        AskAgain: A gate wants another value, and the model can be asked for it.
        GateBlockedError: A strict gate rejected the value.
        GateCrashedError: A gate could not judge it, or replaced it by something else.
    """
    if not run.gates_are_on:
        return value
    for gate in gates:
        # In front of a chain the run has come to nothing yet but this value: a gate must not see what the one
        # before has taken out of it.
        seen = replace(run, scope=Scope(value, {})) if what == INPUT else run
        run.phase = "gate"
        verdict = await gate.judge(value, seen)
        if run.is_cancelled:
            raise asyncio.CancelledError  # the gate swallowed it; nothing more may be spent
        run.phase = "stage"
        mode = _mode(gate, run)
        run.record(Judgement(step=run.path, gate=gate.name, attempt=run.attempt, verdict=verdict, mode=mode))
        if verdict.decision == "retry" and may_ask_again:
            raise AskAgain(verdict.reason, verdict.reason, reply)
        if verdict.decision == "replace":
            value = _replacement(gate, verdict, validated, value)
        elif not verdict.allowed and mode == "strict":
            raise _blocked(gate, verdict, value, what=what, reply=reply)
    return value


def _mode(gate: Gate[Any], run: Run) -> Mode:
    return gate.mode or run.arguments.gates_mode or DEFAULT_GATES_MODE


def _replacement(
    gate: Gate[Any], verdict: Verdict, validated: Callable[[Any], Any] | None, value: object
) -> Any:
    try:
        return verdict.value if validated is None else validated(verdict.value)
    except Exception as error:  # a validator of the user's may raise anything
        raise GateCrashedError(
            f"the gate {gate.name!r} replaced the value by one that does not fit: {error}",
            gate=gate.name,
            value=value,
        ) from error


def _blocked(gate: Gate[Any], verdict: Verdict, value: object, *, what: str, reply: str) -> GateBlockedError:
    reason = verdict.reason.rstrip(".")
    by = "a gate" if gate.name.rstrip(".") == reason else f"the gate {gate.name!r}"
    return GateBlockedError(
        f"{by} blocked the {what}: {reason}.",
        gate=gate.name,
        reason=verdict.reason,
        value=value,
        reply=reply,
    )
