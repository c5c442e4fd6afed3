"""Chains: what users run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast, overload

from typing_extensions import TypeVar, Unpack

from promptchain.arguments import Arguments, Options, refuse_unknown
from promptchain.background import wait_for
from promptchain.budget import Budget, budget_or_none
from promptchain.deadline import Shares, refuse_bad_deadline
from promptchain.errors import DefinitionError, InputError, PromptChainError
from promptchain.events import Reader, RunFailed, RunFinished, RunStarted
from promptchain.gates import Gate
from promptchain.gates.base import gates_of
from promptchain.inputs import DEFAULT_MAX_BYTES, InputType
from promptchain.judging import INPUT, judged
from promptchain.ledger import Ledger
from promptchain.models import Model, model_of
from promptchain.performing import in_time
from promptchain.places import ModelCall, Place, refuse_doubles, refuse_other_profiles
from promptchain.pricing import PriceBook
from promptchain.result import Result
from promptchain.run import Run
from promptchain.settings import Layer, Profile, Settings
from promptchain.stage import In, Out, Pipeline, Stage
from promptchain.stream import RunStream

__all__ = ["Chain"]

T = TypeVar("T")


class ChainOptions(Options, total=False):
    """What a chain says for all its steps, and of its own input."""

    prices: PriceBook
    max_input_bytes: int
    input_gates: Sequence[Gate[Any]] | None
    profiles: Mapping[str, Profile] | None
    deadline: float | None
    budget: Budget | None


class Chain(Stage[In, Out]):
    """Stages in order, with a name and defaults. A chain is itself a stage, so chains nest.

    Args:
        name: Name of the chain.
        stages: A stage, or several joined with ``|``.
        model: Model of the steps that name none.
        max_tokens: Most tokens of a reply, for the steps that do not say.
        effort: Effort of the steps that do not say.
        thinking: Thinking of the steps that do not say.
        temperature: Temperature of the steps that do not say.
        top_p: The same of ``top_p``.
        service_tier: Service tier of the steps that do not say.
        max_reasks: How often a step that does not say asks again after a reply that was rejected.
        gates_mode: ``"strict"`` or ``"lenient"``, for the gates of which neither they nor their step say.
        input_gates: Checks that what the chain is handed must pass, in order, before anything else happens.
        profiles: Profiles of its own by name, before the built-in ones. When chains nest, those of the one that
            is run count.
        prices: Prices of the caller's own by model name, before the published ones.
        max_input_bytes: Most bytes of UTF-8 of a text that a run is begun with; 4 MiB.
        deadline: Seconds that it may take, with everything in it. Where chains nest, and where ``run`` says one
            too, the one that passes first holds.
        budget: What each run of it may cost at most. Where chains nest, and where ``run`` says one too, all hold.

    Raises:
        DefinitionError: A prompt names what does not exist, two stages have one name or do not fit, or a
            setting is out of range. Nothing of a chain that was built can be misspelt any more.
    """

    @overload
    def __init__(
        self: Chain[str, T], name: str, stages: Stage[str, T], **options: Unpack[ChainOptions]
    ) -> None: ...
    @overload
    def __init__(self, name: str, stages: Stage[In, Out], **options: Unpack[ChainOptions]) -> None: ...
    def __init__(self, name: str, stages: Stage[Any, Any], **options: Unpack[ChainOptions]) -> None:
        super().__init__(name)
        try:
            refuse_unknown(options, ChainOptions.__optional_keys__, "a chain")
            if not isinstance(stages, Stage):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise DefinitionError(
                    f"it takes a stage, or stages joined with '|', not {type(stages).__name__}."
                )
            self._arguments = Arguments.of(options)
            self._input = InputType(stages.input_type, options.get("max_input_bytes", DEFAULT_MAX_BYTES))
            self._gates = gates_of(options.get("input_gates"), stages.input_type, "input_gates")
            self._deadline = options.get("deadline")
            refuse_bad_deadline(self._deadline, DefinitionError)
            self._budget = budget_or_none(options.get("budget"), DefinitionError)
        except DefinitionError as error:
            error.args = (f"the chain {name!r}: {error.message}",)
            raise
        self._stages: Pipeline[In, Out] = Pipeline(tuple(stages.parts()))
        self.input_type = self._input.form
        self.output_type = self._stages.output_type
        self._stages.check({"input": self.input_type, "previous": self.input_type})
        said = (Layer(f"chain {name!r}", self._arguments),)
        self._outline = (Place("", self, said), *self._stages.places("", said))
        self._calls = tuple(call for place in self._outline for call in place.held().calls)
        refuse_doubles(self._calls, name)
        for call in self._calls:
            call.refuse_unfit()
        self._profiles = refuse_other_profiles(options.get("profiles"), self._outline, name)

    @property
    def stages(self) -> Sequence[Stage[Any, Any]]:
        """The stages in order."""
        return tuple(self._stages.parts())

    @property
    def arguments(self) -> Arguments:
        """What it says of the model calls of steps that do not say it themselves."""
        return self._arguments

    @property
    def gates(self) -> Sequence[Gate[Any]]:
        """The checks of what it is handed, in order."""
        return self._gates

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """The profiles of its own, by name."""
        return self._profiles

    @property
    def max_input_bytes(self) -> int:
        """The most bytes of UTF-8 that a text input may have."""
        return self._input.max_bytes

    @property
    def deadline(self) -> float | None:
        """Seconds that it may take, or ``None``."""
        return self._deadline

    @property
    def budget(self) -> Budget | None:
        """What each run of it may cost at most, or ``None``. Runs draw on new ones like it."""
        return self._budget

    @property
    def outline(self) -> Sequence[Place]:
        """Where it stands itself, without a path, and then every stage in it in the order in which they run."""
        return self._outline

    def places(self, prefix: str = "", around: tuple[Layer, ...] = ()) -> Iterator[Place]:
        """Where it stands as a stage of another chain, and where its stages do."""
        said = (Layer(f"chain {self.name!r}", self._arguments), *around)
        yield Place(prefix + self.name, self, said)
        yield from self._stages.places(f"{prefix}{self.name}/", said)

    def read_input(self, text: str) -> In:  # type: ignore[misc]  # the one place where In is given out
        """The input that ``text`` stands for: itself, or JSON for a chain that takes something else.

        Raises:
            InputError: The text does not stand for an input of this chain.
        """
        return cast("In", self._input.read(text))

    async def run(
        self,
        input: In,
        *,
        request_id: str | None = None,
        model: str | Model | None = None,
        readers: Sequence[Reader] = (),
        settings: Settings | None = None,
        deadline: float | None = None,
        budget: Budget | None = None,
    ) -> Result[Out]:
        """Run the chain.

        Args:
            input: What the chain works on: text, or what its first step declares with ``input=``.
            request_id: The caller's id, of 1 to 128 printable ASCII characters; it is sent to the API as
                ``x-request-id``.
            model: Asked instead of every model that the chain names.
            readers: Called with each event as it happens.
            settings: What is said outside of the code; left out, the environment of the process is read.
            deadline: Seconds that the run may take; what is going on then is ended.
            budget: What it may cost at most, beside what the chain and the blocks around it say. Several runs can
                be handed the same one.

        Raises:
            InputError: The input, or another argument, cannot be used. Nothing was sent.
            ConfigurationError: A setting is wrong. Nothing was sent.
            DeadlineError: It took longer than it was given.
            BudgetExceededError: A request could have cost more than what is left. It was not sent.
            PromptChainError: The run failed; ``.step`` says where, ``.ledger`` what it cost until then.
        """
        refuse_bad_deadline(deadline, InputError)
        value = self._input.accept(input)
        run = Run.begin(
            value,
            request_id=request_id,
            model=model,
            readers=readers,
            settings=settings,
            profiles=self._profiles,
            budget=budget_or_none(budget, InputError),
        )
        return await self._run(value, run, deadline)

    def run_sync(
        self,
        input: In,
        *,
        request_id: str | None = None,
        model: str | Model | None = None,
        readers: Sequence[Reader] = (),
        settings: Settings | None = None,
        deadline: float | None = None,
        budget: Budget | None = None,
    ) -> Result[Out]:
        """``run`` for code that is not asynchronous; also where an event loop is already running.

        The run happens on a loop in a thread of its own, which keeps its connections from call to call.
        """
        return wait_for(
            self.run(
                input,
                request_id=request_id,
                model=model,
                readers=readers,
                settings=settings,
                deadline=deadline,
                budget=budget,
            )
        )

    def stream(
        self,
        input: In,
        *,
        request_id: str | None = None,
        model: str | Model | None = None,
        readers: Sequence[Reader] = (),
        settings: Settings | None = None,
        deadline: float | None = None,
        budget: Budget | None = None,
    ) -> RunStream[Out]:
        """Run the chain and read what happens while it happens.

        Example:
            ```
            async with chain.stream("…") as stream:
                async for text in stream.text:
                    print(text, end="", flush=True)
                result = await stream.result()
            ```

        Args and errors are those of ``run``. The run begins when the block is entered and is cancelled, with
        its connection to the API, when the block is left.
        """
        refuse_bad_deadline(deadline, InputError)
        value = self._input.accept(input)
        budget_or_none(budget, InputError)
        model_of(model)  # what is wrong with it is said here, not in the block

        async def start(put: Reader, room: Callable[[], Awaitable[None]], ledger: Ledger) -> Result[Out]:
            run = Run.begin(
                value,
                request_id=request_id,
                model=model,
                readers=(put, *readers),
                ledger=ledger,
                room=room,
                settings=settings,
                profiles=self._profiles,
                budget=budget,
            )
            return await self._run(value, run, deadline)

        return RunStream(start)

    def time_shares(self) -> Shares:
        """How a deadline is split for its stages."""
        return self._stages.time_shares()

    async def execute(self, value: In, run: Run) -> Out:
        """Run as a stage of another chain."""
        return await self._in_time(value, run, self._deadline)

    async def _in_time(self, value: In, run: Run, seconds: float | None) -> Out:
        work = self._execute(value, run)
        return await (work if seconds is None else in_time(seconds, self.time_shares(), work, run))

    async def _execute(self, value: In, run: Run) -> Out:
        if self._budget is not None:
            run.budgets = (*run.budgets, self._budget.anew(f"of the chain {self.name!r}"))
        said = self._arguments.over(run.arguments)
        accepted = value
        if self._gates:
            run.arguments = run.effective(self._arguments)
            takes_anything = bool(run.path) and not self._input.is_declared
            validated = None if takes_anything else self._input.replacement
            accepted = await judged(self._gates, value, run, what=INPUT, validated=validated)
        inside = run.within(accepted, said)
        run.inner = inside.scope.results
        return await self._stages.execute(accepted, inside)

    async def _run(self, value: In, run: Run, deadline: float | None) -> Result[Out]:
        said = [seconds for seconds in (deadline, self._deadline) if seconds is not None]
        if (overrides := run.execution.overrides) and not run.budgets and self._budget is None:
            run.budgets = overrides.new_budgets()
        run.emit(RunStarted(at=0.0, run_id=run.id, request_id=run.request_id, chain=self.name))
        try:
            self._see_models(run)
            default = overrides.deadline if overrides else None
            output = await self._in_time(value, run, min(said, default=default))
        except BaseException as error:
            if isinstance(error, PromptChainError):
                error.locate(run_id=run.id, ledger=run.ledger)
            run.emit(RunFailed(at=run.seconds, error=error, ledger=run.ledger, seconds=run.seconds))
            raise
        seconds = run.seconds
        run.emit(RunFinished(at=seconds, output=output, ledger=run.ledger, seconds=seconds))
        return Result(
            output=output,
            steps=run.inner,
            ledger=run.ledger,
            chain=self.name,
            run_id=run.id,
            request_id=run.request_id,
            seconds=seconds,
            judgements=tuple(run.execution.judgements),
            degraded=tuple(run.execution.degraded),
        )

    def _see_models(self, run: Run) -> None:
        """See before anything is sent that all who are asked are named, and take what is said of the calls."""
        overrides = run.execution.overrides
        calls: Sequence[ModelCall] = self._calls
        if overrides is not None:
            calls = [call for place in self._outline for call in place.held(overrides).calls]
        missing = [call.path for call in calls if run.asked(call.model) is None]
        if missing:
            raise DefinitionError(
                f"no model is named for {', '.join(missing)}: give the chain one, as in "
                f"Chain({self.name!r}, ..., model='claude-haiku-4-5')."
            )
        # What the code says was seen when the chain was built.
        if run.execution.model is not None or overrides is not None:
            for call in calls:
                call.refuse_unfit(run.asked(call.model))
