"""Stages: what a chain is made of, and how one follows another."""

from __future__ import annotations

import itertools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, cast

from typing_extensions import TypeVar

from promptchain.arguments import NOTHING_SAID, Arguments
from promptchain.deadline import Shares
from promptchain.errors import DefinitionError, LinkError
from promptchain.fields import fits, shown
from promptchain.gates import Gate
from promptchain.performing import perform
from promptchain.places import Place
from promptchain.run import Run
from promptchain.settings.layers import Layer

if TYPE_CHECKING:
    from promptchain.optional import StandIn

__all__ = ["Pipeline", "Stage", "refuse_bad_name"]

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
        stand_in: What stands in for it when it fails; ``None`` for a stage that is required.
    """

    input_type: Any = Any
    output_type: Any = Any
    stand_in: StandIn | None = None
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
        if self.stand_in is not None:
            self.stand_in.check(names, self.name)

    def time_shares(self) -> Shares:
        """How a deadline is split for it: one share, unless it holds other stages."""
        return Shares(1, 1) if self.stand_in is None else self.stand_in.time_shares()

    def places(self, prefix: str = "", around: tuple[Layer, ...] = ()) -> Iterator[Place]:
        """Where it stands, and behind it where the stages within it do, in the order in which they run.

        Args:
            prefix: What its path begins with.
            around: What the chains around it say, inner before outer.
        """
        yield Place(prefix + self.name, self, (Layer("step", self.arguments), *around))
        if self.stand_in is not None and self.stand_in.fallback is not None:
            yield from self.stand_in.fallback.places(f"{prefix}{self.name}/", around)

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
        shares = [stage.time_shares() for stage in stages]
        self._shares = Shares(sum(share.all for share in shares), sum(share.required for share in shares))
        self._behind = tuple(
            sum(share.required for share in shares[place:]) for place in range(1, len(stages) + 1)
        )

    def parts(self) -> Iterator[Stage[Any, Any]]:
        """The stages in order."""
        yield from self._stages

    def time_shares(self) -> Shares:
        """How a deadline is split for its stages."""
        return self._shares

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
        for stage, behind in zip(self._stages, self._behind, strict=True):
            current = await perform(stage, current, run, is_last=stage is last, required_after=behind)
        return cast("Out", current)
