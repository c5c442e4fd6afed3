"""A run: one execution of a chain, as the stages in it see it."""

from __future__ import annotations

import asyncio
import time
import uuid
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, cast

from promptchain.arguments import NOTHING_SAID, Arguments
from promptchain.budget import Budget, current_budgets
from promptchain.deadline import Deadline, Phase
from promptchain.errors import InputError
from promptchain.events import Event, GateJudged, Reader, TextCommitted
from promptchain.gates import Judgement
from promptchain.ledger import Ledger
from promptchain.models import Model, in_place_of, model_of
from promptchain.result import Degraded, Rejected, StepResult
from promptchain.settings import Layer, Overrides, Profile, Settings

__all__ = ["Run"]

_NO_PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({})


@dataclass(slots=True, kw_only=True)
class Execution:
    """What all stages of a run share."""

    id: str
    request_id: str
    ledger: Ledger
    readers: tuple[Reader, ...]
    model: Model | None
    names_model: bool
    room: Callable[[], Awaitable[None]] | None
    began: float
    cancellations: int
    overrides: Overrides | None = None
    judgements: list[Judgement] = field(default_factory=list[Judgement])
    degraded: list[Degraded] = field(default_factory=list[Degraded])
    has_committed: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What the templates of one chain can name: its input and the results of its stages until now."""

    input: object
    results: dict[str, StepResult]


@dataclass(slots=True, kw_only=True)
class Run:
    """One execution, seen from one stage of it.

    A function stage that takes a second parameter annotated with ``Run`` is given this.

    Attributes:
        path: Path of the stage: its name, behind the names of the chains around it (``"draft/polish"``).
        is_last: Whether the text of this stage is the answer of the whole run.
        previous: What the stage was handed.
        attempt: Which request of the stage is the one that counts: whose reply is read, or judged.
        sent: How many requests the stage has sent.
        phase: What it is doing.
        deadline: Until when it may take, if that is bounded.
        budgets: What it may cost at most; all of them hold.
        required_after: How many required stages are still to come behind it, counted where there is a deadline.
        degraded: Why something stands in for the stage, where it is optional.
        model: Name of the model that gave the reply.
        arguments: What the chains around the stage say of its model calls; while the stage runs, what holds.
        judgements: What gates have decided of what the stage made.
        rejected: Replies of the stage that were rejected.
    """

    execution: Execution
    scope: Scope
    arguments: Arguments
    path: str = ""
    is_last: bool = True
    previous: object = None
    attempt: int = 0
    sent: int = 0
    phase: Phase = "stage"
    deadline: Deadline | None = None
    required_after: int = 0
    budgets: tuple[Budget, ...] = ()
    model: str | None = None
    prompt_hash: str | None = None
    system_hash: str | None = None
    inner: Mapping[str, StepResult] = field(default_factory=dict[str, StepResult])
    judgements: list[Judgement] = field(default_factory=list[Judgement])
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    degraded: Degraded | None = None

    @classmethod
    def begin(
        cls,
        value: object,
        *,
        request_id: str | None = None,
        readers: Sequence[Reader] = (),
        model: str | Model | None = None,
        ledger: Ledger | None = None,
        room: Callable[[], Awaitable[None]] | None = None,
        settings: Settings | None = None,
        profiles: Mapping[str, Profile] = _NO_PROFILES,
        budget: Budget | None = None,
    ) -> Run:
        """A new run of a chain that is handed ``value``.

        Args:
            value: The input.
            request_id: The caller's id for it; left out, the run's own.
            readers: Called with each event.
            model: Asked instead of every model that the chain names. A name is asked for where those are asked.
            ledger: Where the attempts go; left out, a new one.
            room: Awaited after each piece of text, so that a slow reader slows the run.
            settings: What is said outside of the code; left out, the environment of the process is read.
            profiles: Profiles of the chain's own.
            budget: What it may cost at most, beside what the budgets around it allow.

        Raises:
            InputError: The request id is not printable ASCII of 1 to 128 characters, or another argument is not
                of its kind.
            ConfigurationError: A setting is wrong, or names a profile that does not exist.
        """
        if request_id is not None and not _is_request_id(request_id):
            raise InputError(
                f"a request id is 1 to 128 printable ASCII characters, not {str(request_id)[:140]!r}; "
                "leave it out to have one made."
            )
        if not _are_readers(readers):
            raise InputError(f"readers is a list of functions that take an event, not {readers!r}.")
        budgets = current_budgets()
        if budget is not None:
            budgets = (*budgets, budget)
        run_id = f"run_{uuid.uuid4().hex}"
        execution = Execution(
            id=run_id,
            request_id=request_id or run_id,
            ledger=Ledger() if ledger is None else ledger,
            readers=tuple(readers),
            model=model_of(model),
            names_model=isinstance(model, str),
            room=room,
            began=time.perf_counter(),
            cancellations=_cancellations(),
            overrides=_overrides(settings, profiles),
        )
        return cls(
            execution=execution,
            scope=Scope(value, {}),
            arguments=NOTHING_SAID,
            previous=value,
            budgets=budgets,
        )

    @property
    def id(self) -> str:
        """Id of the run."""
        return self.execution.id

    @property
    def request_id(self) -> str:
        """The caller's id, or the run's where the caller gave none."""
        return self.execution.request_id

    @property
    def ledger(self) -> Ledger:
        """Every attempt until now."""
        return self.execution.ledger

    @property
    def input(self) -> object:
        """What the chain that holds this stage was handed."""
        return self.scope.input

    @property
    def outputs(self) -> Mapping[str, Any]:
        """Outputs of the earlier stages of the chain that holds this one, by name."""
        return {name: step.output for name, step in self.scope.results.items()}

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.execution.began

    @property
    def is_cancelled(self) -> bool:
        """Whether its task was cancelled since it began, by somebody or a deadline; also if a stage swallowed that."""
        return _cancellations() > self.execution.cancellations

    @property
    def is_watched(self) -> bool:
        """Whether anybody reads the events."""
        return bool(self.execution.readers)

    @property
    def gates_are_on(self) -> bool:
        """Whether gates judge at all."""
        overrides = self.execution.overrides
        return overrides is None or overrides.gates_are_on

    @property
    def min_confidence(self) -> float | None:
        """What the settings say of the least confidence, instead of what gates say themselves."""
        overrides = self.execution.overrides
        return None if overrides is None else overrides.min_confidence

    def effective(self, own: Arguments) -> Arguments:
        """What holds for the model calls of this stage, which itself says ``own``."""
        overrides = self.execution.overrides
        if overrides is None:
            return own.over(self.arguments)
        said = (Layer("step", own), Layer("chain", self.arguments))
        return overrides.effective(self.path, said).arguments

    def effective_of_gate(self, name: str, own: Arguments) -> Arguments:
        """What holds for the model calls of a gate that judges here, and itself says ``own``."""
        overrides = self.execution.overrides
        lent = Arguments(model=self.arguments.model, policy=self.arguments.policy)
        if overrides is None:
            return own.over(lent)
        said = (Layer("judge", own), Layer("step", lent))
        return overrides.effective_of_gate(f"{self.path}/{name}".removeprefix("/"), said).arguments

    def asked(self, model: Model | None) -> Model | None:
        """Who is asked where the chain names ``model``: it, or whom the run was given in the place of all."""
        instead = self.execution.model
        if instead is None or model is None or not self.execution.names_model:
            return instead or model
        return in_place_of(model, instead) or instead

    def lookup(self, name: str) -> object:
        """The value of a template's name, which was checked when the chain was built."""
        if name == "input":
            return self.scope.input
        if name == "previous":
            return self.previous
        return self.scope.results[name].output

    def record(self, judgement: Judgement) -> None:
        """Keep what a gate has decided, and tell the readers."""
        self.judgements.append(judgement)
        self.execution.judgements.append(judgement)
        self.emit(GateJudged(at=self.seconds, step=self.path, record=judgement))

    def commit(self, text: str) -> None:
        """Give away the whole text of the run's answer, unless that was done piece by piece."""
        if text and self.is_last and not self.execution.has_committed:
            self.commit_piece(text)

    def commit_piece(self, text: str) -> None:
        """Give away a piece of the text of the run's answer."""
        self.execution.has_committed = True
        if self.is_watched:
            self.emit(TextCommitted(at=self.seconds, step=self.path, attempt=max(1, self.attempt), text=text))

    def emit(self, event: Event) -> None:
        """Tell every reader. One that raises is warned about (``RuntimeWarning``), and the run goes on."""
        for reader in self.execution.readers:
            try:
                reader(event)
            except Exception as error:  # noqa: BLE001 - whatever it is, the run is worth more
                warnings.warn(
                    f"a reader of events failed on {type(event).__name__}: {error!r}",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def at(self, name: str, value: object, *, is_last: bool) -> Run:
        """This run, seen from the stage ``name`` that is handed ``value``."""
        path = f"{self.path}/{name}" if self.path else name
        return Run(
            execution=self.execution,
            scope=self.scope,
            arguments=self.arguments,
            path=path,
            is_last=self.is_last and is_last,
            previous=value,
            deadline=self.deadline,
            required_after=self.required_after,
            budgets=self.budgets,
        )

    def within(self, value: object, arguments: Arguments) -> Run:
        """This run, seen from inside a chain that is handed ``value``: names start anew.

        Args:
            value: What the chain is handed.
            arguments: What it, and the chains around it, say of model calls.
        """
        return replace(self, scope=Scope(value, {}), arguments=arguments)


def _overrides(settings: Settings | None, profiles: Mapping[str, Profile]) -> Overrides | None:
    """What is said outside of the code, or ``None`` where that is nothing, as mostly."""
    if settings is None:
        settings = Settings.read()
    elif not isinstance(settings, Settings):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"settings are what Settings.read() gives, not {settings!r}.")
    return None if settings.says_nothing else settings.overrides(profiles)


def _cancellations() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _is_request_id(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 128 and text.isascii() and text.isprintable()


def _are_readers(readers: object) -> bool:
    return isinstance(readers, Sequence) and all(map(callable, cast("Sequence[object]", readers)))
