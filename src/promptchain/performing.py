"""Performing: one stage of a chain runs, in its time, and where it is optional something may stand in for it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from promptchain.deadline import Deadline, Shares
from promptchain.errors import (
    ConfigurationError,
    DeadlineError,
    DefinitionError,
    GateCrashedError,
    PromptChainError,
    StageError,
    StepTimeoutError,
)
from promptchain.events import StepDegraded, StepFailed, StepFinished, StepStarted
from promptchain.result import Degraded, StepResult
from promptchain.run import Run, Scope
from promptchain.templates import as_text

if TYPE_CHECKING:
    from promptchain.optional import StandIn
    from promptchain.stage import Stage

__all__ = ["in_time", "limited", "perform"]

In = TypeVar("In")
Out = TypeVar("Out")
T = TypeVar("T")


async def limited(seconds: float | None, work: Coroutine[Any, Any, T], told: str = "") -> T:
    """What ``work`` gives, unless it takes too long; ``None`` lets it take its time.

    Args:
        seconds: How long it may take.
        work: What may take so long.
        told: What the error says; left out, that a timeout has passed.

    Raises:
        StepTimeoutError: It took longer, and was ended.
    """
    if seconds is None:
        return await work
    told = told or (
        f"it took longer than its timeout of {seconds:g} s: allow it more time, or give it less to do."
    )
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            given = await work
    except TimeoutError as error:
        if limit.expired():
            raise StepTimeoutError(told) from error
        raise
    if limit.expired():  # what happened in it did not let itself be ended
        raise StepTimeoutError(told)
    return given


async def in_time(seconds: float, shares: Shares, work: Coroutine[Any, Any, T], run: Run) -> T:
    """What ``work`` gives, unless a deadline passes before.

    Args:
        seconds: How long it may take. Where the run has less time than that already, this says nothing new.
        shares: Into how many shares it is split.
        work: What a chain does.
        run: The run, seen from that chain.

    Raises:
        DeadlineError: It passed. Whatever was going on was ended.
    """
    outer = run.deadline
    if outer is not None and outer.left <= seconds:
        return await work
    deadline = Deadline(seconds, stages=shares.all, behind=run.required_after, outer=outer)
    async with deadline.limit:
        run.deadline = deadline
        try:
            given = await work
        except asyncio.CancelledError as error:
            late = deadline.cause
            if late is None:
                raise
            raise late.error(run.phase) from error
        else:
            late = deadline.cause
            if late is not None:  # something in it did not let itself be ended
                raise late.error(run.phase)
        finally:
            run.deadline = outer
    return given


async def perform(
    stage: Stage[In, Out], value: In, run: Run, *, is_last: bool, required_after: int = 0
) -> Out:
    """Run one stage of a chain: say so, time it, keep its result, and tell an error where it happened.

    Args:
        stage: The stage.
        value: What it is handed.
        run: The run, seen from the chain.
        is_last: Whether it is the chain's last.
        required_after: How many required stages follow it in the chain.
    """
    here = run.at(stage.name, value, is_last=is_last)
    if run.is_cancelled:
        raise asyncio.CancelledError  # an earlier stage swallowed it; nothing more may be spent
    deadline = here.deadline
    if deadline is not None:
        here.required_after += required_after
        if deadline.left <= 0:
            late = deadline.error("stage", "before this stage could begin")
            raise late.locate(step=here.path, run_id=run.id, ledger=run.ledger)
    began = run.seconds
    here.emit(StepStarted(at=began, step=here.path))
    try:
        if stage.stand_in is None:
            output = await stage.execute(value, here)
        else:
            output = await _optional(stage, value, here, run)
        if deadline is not None and deadline.cause is not None:
            raise asyncio.CancelledError  # the stage swallowed it
    except BaseException as error:
        failure = _failure(error, here)
        here.emit(StepFailed(at=run.seconds, step=here.path, error=failure, seconds=run.seconds - began))
        if failure is error:
            raise
        raise failure from error
    if is_last and isinstance(output, str):
        here.commit(output)
    seconds = run.seconds - began
    run.scope.results[stage.name] = StepResult(
        name=stage.name,
        path=here.path,
        output=output,
        seconds=seconds,
        model=here.model,
        prompt_hash=here.prompt_hash,
        system_hash=here.system_hash,
        judgements=tuple(here.judgements),
        rejected=tuple(here.rejected),
        degraded=here.degraded,
        steps=here.inner,
        run_ledger=run.ledger,
        stage=stage,
    )
    here.emit(StepFinished(at=run.seconds, step=here.path, output=output, seconds=seconds))
    return output


async def _optional(stage: Stage[In, Out], value: In, here: Run, run: Run) -> Out:
    """What an optional stage gives, or what stands in for it."""
    deadline, spare, told = here.deadline, None, ""
    if deadline is not None:
        spare = deadline.spare(here.required_after, stage.time_shares())
        if spare is None:
            return await _stood_in(stage, value, here, run, None)
        told = (
            f"it took longer than the {spare:.3g} s that the deadline of {deadline.seconds:g} s leaves an "
            "optional step here: allow the run more time, or give the step less to do."
        )
    try:
        return await limited(spare, stage.execute(value, here), told)
    except BaseException as error:
        failure = _failure(error, here)
        if not (isinstance(failure, PromptChainError) and _may_be_replaced(failure, here)):
            if failure is error:
                raise
            raise failure from error
        if failure is not error:
            failure.__cause__ = error
        # In here, so that a failure of what stands in says what it stood in for.
        return await _stood_in(stage, value, here, run, failure)


def _may_be_replaced(failure: PromptChainError, run: Run) -> bool:
    """Whether an optional step that failed so is left out."""
    why = failure.__cause__ if isinstance(failure, GateCrashedError) else failure
    if isinstance(why, DefinitionError | ConfigurationError):
        return False
    # Before its end a deadline may be why nobody asks again; then there is time for what stands in.
    deadline = run.deadline if isinstance(failure, DeadlineError) else None
    if run.is_cancelled or (deadline is not None and deadline.left <= 0):
        return False
    return not (run.is_last and run.execution.has_committed)


async def _stood_in(
    stage: Stage[In, Out], value: In, here: Run, run: Run, failure: PromptChainError | None
) -> Out:
    """What the default is, or the stage that stands in gives."""
    stand_in = cast("StandIn", stage.stand_in)
    by = "default" if stand_in.fallback is None else f"{here.path}/{stand_in.fallback.name}"
    degraded = Degraded(step=here.path, error=failure, by=by)
    here.emit(StepDegraded(at=here.seconds, step=here.path, error=failure, by=by))
    if stand_in.fallback is None:
        output = copy.deepcopy(stand_in.default)  # what one run makes of it is not the next one's
    else:
        # It sees what the step saw, and what the chains around say; what it gives is named after the step.
        results = dict(run.scope.results)
        within = replace(here, scope=Scope(run.scope.input, results), arguments=run.arguments)
        output = await perform(stand_in.fallback, value, within, is_last=True)
        here.inner = {**here.inner, stand_in.fallback.name: results[stand_in.fallback.name]}
    if here.is_last and stage.asks_model:
        here.commit(as_text(output))
    here.degraded = degraded
    run.execution.degraded.append(degraded)
    return cast("Out", output)


def _failure(error: BaseException, run: Run) -> BaseException:
    """What a stage fails with: ``error``, told where it happened, or another in its place."""
    # One that has another run comes from that one, which a stage of this has started.
    is_own = isinstance(error, PromptChainError) and error.run_id in {None, run.id}
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return error
    late = None if run.deadline is None else run.deadline.cause
    failure: PromptChainError
    if late is not None and not (is_own and isinstance(error, DeadlineError)):
        failure = late.error(run.phase)  # whatever the stage has made of being ended
    elif isinstance(error, asyncio.CancelledError):
        if run.is_cancelled:
            return error
        failure = StageError("waited for something that was cancelled, while the run was not")
    elif is_own:
        failure = cast("PromptChainError", error)
    else:
        failure = StageError(f"raised {type(error).__name__}: {error}")
    return failure.locate(step=run.path, run_id=run.id, ledger=run.ledger)
