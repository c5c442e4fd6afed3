"""Stages: what a chain is made of, and how one follows another."""

from __future__ import annotations

import asyncio
import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, cast

from typing_extensions import TypeVar

from promptchain.arguments import NOTHING_SAID, Arguments
from promptchain.errors import DefinitionError, LinkError, PromptChainError, StageError, StepTimeoutError
from promptchain.events import StepFailed, StepFinished, StepStarted
from promptchain.fields import fits, shown
from promptchain.gates import Gate
from promptchain.places import Place
from promptchain.result import StepResult
from promptchain.run import Run
from promptchain.settings.layers import Layer

__all__ = ["Pipeline", "Stage", "limited", "refuse_bad_name"]

In = TypeVar("In", contravariant=True, default=object)  # noqa: PLC0105 - read in every signature
Out = TypeVar("Out", covariant=True, default=str)  # noqa: PLC0105
T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_RESERVED: Final = frozenset({"input", "previous", "conversation"})


def refuse_bad_name(name: object) -> None:
    """Refuse what cannot stand in a path.

    Raises:
        DefinitionError: It is no letter and then letters, digits, ``_`` or ``-``, 64 at most.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise DefinitionError(
            f"{name!r} cannot be a name: use a letter, then letters, digits, '_' or '-', 64 at most"
            f"{'; name a lambda with step(name=...)' if name == '<lambda>' else ''}."
        )


class Stage(ABC, Generic[In, Out]):
    """One stage of a chain: a name, and an asynchronous function of a value and the run.

    Attributes:
        name: Its name, unique in the chain that holds it.
        input_type: Type it takes; ``typing.Any`` where none is declared.
        output_type: Type it gives; ``typing.Any`` where none is declared.
        asks_model: Whether it asks a model of its own, and so needs one.
        settable: What settings can say of it, by the names of ``Arguments``.
    """

    input_type: Any = Any
    output_type: Any = Any
    asks_model: ClassVar[bool] = False
    settable: ClassVar[Sequence[str]] = ()

    def __init__(self, name: str) -> None:
        refuse_bad_name(name)
        if name in _RESERVED:
            raise DefinitionError(f"{name!r} cannot be a name, as prompts use {{{name}}} for something else.")
        self.name = name

    @property
    def arguments(self) -> Arguments:
        """What it says itself of model calls."""
        return NOTHING_SAID

    @property
    def gates(self) -> Sequence[Gate[Any]]:
        """The checks of what it gives, in order; of a chain, those of what it is handed."""
        return ()

    @abstractmethod
    async def execute(self, value: In, run: Run) -> Out:
        """Do the work.

        Args:
            value: What the stage before gave, or the chain's input.
            run: The run, seen from this stage.
        """

    def parts(self) -> Iterator[Stage[Any, Any]]:
        """The stages that run one after another when this one runs; itself, unless it is a pipeline."""
        yield self

    def check(self, names: Mapping[str, Any]) -> None:
        """See that the stage can work where it stands. Called when a chain is built.

        Args:
            names: What its prompts can name, and the types: ``input``, ``previous`` and earlier stages.

        Raises:
            DefinitionError: It cannot.
        """

    def places(self, prefix: str = "", around: tuple[Layer, ...] = ()) -> Iterator[Place]:
        """Where it stands, and behind it where the stages within it do, in the order in which they run.

        Args:
            prefix: What its path begins with.
            around: What the chains around it say, inner before outer.
        """
        yield Place(prefix + self.name, self, (Layer("step", self.arguments), *around))

    def __or__(self, other: Stage[Out, T]) -> Pipeline[In, T]:
        """This stage, then ``other``.

        Raises:
            LinkError: What this one gives is surely not what ``other`` takes.
        """
        if not isinstance(other, Stage):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return Pipeline((*self.parts(), *other.parts()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class Pipeline(Stage[In, Out]):
    """Stages one after another, as ``|`` makes them. Pipelines of pipelines are flat.

    Raises:
        LinkError: Two neighbours surely do not fit.
        DefinitionError: Two stages have the same name.
    """

    def __init__(self, stages: tuple[Stage[Any, Any], ...]) -> None:
        super().__init__("-".join(stage.name for stage in stages)[:64].rstrip("-"))
        self._stages = stages
        names: set[str] = set()
        for stage in stages:
            if stage.name in names:
                raise DefinitionError(
                    f"two stages are named {stage.name!r}: give each its own name, as prompts and results go by it."
                )
            names.add(stage.name)
        for before, after in itertools.pairwise(stages):
            if not fits(before.output_type, after.input_type):
                raise LinkError(
                    f"{before.name!r} gives {shown(before.output_type)}, but {after.name!r}, which follows it, "
                    f"takes {shown(after.input_type)}: change one of them, or put a function stage in between."
                )
        self.input_type = stages[0].input_type
        self.output_type = stages[-1].output_type

    def parts(self) -> Iterator[Stage[Any, Any]]:
        """The stages in order."""
        yield from self._stages

    def check(self, names: Mapping[str, Any]) -> None:
        """See that each stage can work where it stands."""
        known = dict(names)
        for stage in self._stages:
            try:
                stage.check(known)
            except DefinitionError as error:
                raise error.locate(step=stage.name) from error.__cause__
            known[stage.name] = known["previous"] = stage.output_type

    def places(self, prefix: str = "", around: tuple[Layer, ...] = ()) -> Iterator[Place]:
        """Where its stages stand."""
        for stage in self._stages:
            yield from stage.places(prefix, around)

    async def execute(self, value: In, run: Run) -> Out:
        """Run the stages in order, each on what the one before gave."""
        current: Any = value
        last = self._stages[-1]
        for stage in self._stages:
            current = await perform(stage, current, run, is_last=stage is last)
        return cast("Out", current)


async def limited(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` gives, unless it takes too long; ``None`` lets it take its time.

    Raises:
        StepTimeoutError: It took longer, and was ended.
    """
    if seconds is None:
        return await work
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            given = await work
    except TimeoutError as error:
        if limit.expired():
            raise _too_long(seconds) from error
        raise
    if limit.expired():  # what happened in it did not let itself be ended
        raise _too_long(seconds)
    return given


def _too_long(seconds: float) -> StepTimeoutError:
    return StepTimeoutError(
        f"it took longer than its timeout of {seconds:g} s: allow it more time, or give it less to do."
    )


async def perform(stage: Stage[In, Out], value: In, run: Run, *, is_last: bool) -> Out:
    """Run one stage of a chain: say so, time it, keep its result, and tell an error where it happened."""
    if run.is_cancelled:
        raise asyncio.CancelledError  # an earlier stage swallowed it; nothing more may be spent
    here = run.at(stage.name, value, is_last=is_last)
    began = run.seconds
    here.emit(StepStarted(at=began, step=here.path))
    try:
        output = await stage.execute(value, here)
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
        prompt_hash=here.prompt_hash,
        system_hash=here.system_hash,
        judgements=tuple(here.judgements),
        rejected=tuple(here.rejected),
        steps=here.inner,
        run_ledger=run.ledger,
        stage=stage,
    )
    here.emit(StepFinished(at=run.seconds, step=here.path, output=output, seconds=seconds))
    return output


def _failure(error: BaseException, run: Run) -> BaseException:
    """What a stage fails with: ``error``, told where it happened, or a ``StageError`` in its place."""
    if isinstance(error, asyncio.CancelledError):
        if run.is_cancelled:
            return error
        failure: PromptChainError = StageError(
            "waited for something that was cancelled, while the run was not"
        )
    # One that has another run comes from that one, which a stage of this has started.
    elif isinstance(error, PromptChainError) and error.run_id in {None, run.id}:
        failure = error
    elif isinstance(error, KeyboardInterrupt | GeneratorExit):
        return error
    else:
        failure = StageError(f"raised {type(error).__name__}: {error}")
    return failure.locate(step=run.path, run_id=run.id, ledger=run.ledger)
