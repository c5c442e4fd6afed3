"""Function stages: Python between the prompts."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, get_type_hints, overload

from typing_extensions import TypeVar

from promptchain.arguments import Arguments
from promptchain.errors import DefinitionError
from promptchain.gates import Gate
from promptchain.gates.base import gates_of
from promptchain.judging import judged
from promptchain.optional import StandIn
from promptchain.performing import limited
from promptchain.policy import LEFT_OUT
from promptchain.run import Run
from promptchain.stage import In, Out, Stage

__all__ = ["FunctionStage", "step"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class FunctionStage(Stage[In, Out]):
    """A stage that calls a function. ``@step`` makes one.

    Args:
        function: Takes the value, and the run if it has a second parameter. An ``async`` function runs on the
            event loop; any other runs in a thread, so that it may block.
        name: Name of the stage; left out, the function's.
        gates: Checks that what it returns must pass, in order. One that asks for another value blocks.
        timeout: Seconds that it may take, its gates included. A function in a thread is left behind then.
        optional: Whether the run goes on when it fails; ``default`` or ``fallback`` says with what.
        default: A value of the type that it returns.
        fallback: Another stage, which is handed what the function was.

    Raises:
        DefinitionError: The function takes neither one value nor a value and the run, or another argument is
            not of its kind.
    """

    settable = ("timeout",)

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        *,
        gates: Sequence[Gate[Any]] = (),
        timeout: float | None = None,
        optional: bool = False,
        default: Any = LEFT_OUT,
        fallback: Stage[Any, Any] | None = None,
    ) -> None:
        super().__init__(name or str(getattr(function, "__name__", "function")))
        self._function = function
        self._takes_run, self.input_type, self.output_type = self._signature(function)
        try:
            self._gates = gates_of(gates, self.output_type)
            self._arguments = Arguments.of({"timeout": timeout})
            said = {"optional": optional, "default": default, "fallback": fallback}
            self.stand_in = StandIn.of(said, takes=self.input_type, gives=self.output_type)
        except DefinitionError as error:
            raise error.locate(step=self.name) from error.__cause__
        self.__doc__ = function.__doc__

    @property
    def function(self) -> Callable[..., Any]:
        """The function, as it was written."""
        return self._function

    @property
    def gates(self) -> Sequence[Gate[Any]]:
        """The checks of what it returns, in order."""
        return self._gates

    @property
    def arguments(self) -> Arguments:
        """What it says itself: its timeout."""
        return self._arguments

    def _signature(self, function: Callable[..., Any]) -> tuple[bool, Any, Any]:
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise DefinitionError(
                f"the function {self.name!r} cannot be a stage: it yields; return one value."
            )
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"{function!r} cannot be a stage: {error}.") from None
        every = signature.parameters.values()
        parameters = [p for p in every if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
        required = [p for p in parameters if p.default is p.empty]
        by_name = [p for p in every if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
        if not parameters or len(required) > 2 or by_name:
            raise DefinitionError(
                f"the function {self.name!r} cannot be a stage: it takes the value, and the run if it wants it."
            )
        annotated = function if inspect.isroutine(function) else getattr(function, "func", None)
        try:
            hints = get_type_hints(annotated or type(function).__call__)
        except Exception:  # noqa: BLE001 - evaluating an annotation is running code; some only a checker sees
            hints = {}
        takes_run = len(parameters) > 1 and (hints.get(parameters[1].name) is Run or len(required) > 1)
        return takes_run, hints.get(parameters[0].name, Any), hints.get("return", Any)

    async def execute(self, value: In, run: Run) -> Out:
        """Call the function, and pass what it returns through the gates.

        Raises:
            GateBlockedError: A gate rejected it.
            GateCrashedError: A gate could not judge it.
            StepTimeoutError: It took too long.
        """
        run.arguments = run.effective(self._arguments)
        return await limited(run.arguments.timeout, self._judged(value, run))

    async def _judged(self, value: In, run: Run) -> Out:
        output: Out = await judged(self._gates, await self._call(value, run), run)
        return output

    async def _call(self, value: In, run: Run) -> Any:
        arguments = (value, run) if self._takes_run else (value,)
        if inspect.iscoroutinefunction(self._function):
            return await self._function(*arguments)
        output = await _in_thread(self._function, *arguments)
        # An async function may be in a wrapper that does not show it.
        return await output if inspect.isawaitable(output) else output


async def _in_thread(function: Callable[..., Any], *arguments: object) -> Any:
    """Call ``function`` in a thread of its own, and wait; when cancelled, leave it behind.

    The event loop's pool would do for short calls. But a few functions that are left behind, or that wait for
    another run, would fill it, and a run in it would wait for ever; and ``asyncio.run`` would wait for them all.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Callable[[], Any]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(outcome: Callable[[], Any]) -> None:
        if not ended.done():
            ended.set_result(outcome)

    def call() -> None:
        try:
            outcome = functools.partial(_given, context.run(function, *arguments))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            outcome = functools.partial(_raised, error)
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=call, name=f"promptchain-{function!r}"[:80], daemon=True).start()
    return (await ended)()


def _given(output: object) -> object:
    return output


def _raised(error: BaseException) -> Any:
    if isinstance(error, StopIteration):
        # A coroutine cannot raise it.
        raise RuntimeError("the function let a StopIteration escape") from error  # noqa: TRY004
    raise error


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[[I], Awaitable[O]], /) -> FunctionStage[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I, Run], Awaitable[O]], /) -> FunctionStage[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I], O], /) -> FunctionStage[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I, Run], O], /) -> FunctionStage[I, O]: ...
    def __call__(self, function: Any, /) -> Any: ...


@overload
def step(function: Callable[[I], Awaitable[O]], /) -> FunctionStage[I, O]: ...
@overload
def step(function: Callable[[I, Run], Awaitable[O]], /) -> FunctionStage[I, O]: ...
@overload
def step(function: Callable[[I], O], /) -> FunctionStage[I, O]: ...
@overload
def step(function: Callable[[I, Run], O], /) -> FunctionStage[I, O]: ...
@overload
def step(
    *,
    name: str | None = None,
    gates: Sequence[Gate[Any]] = (),
    timeout: float | None = None,
    optional: bool = False,
    default: Any = ...,
    fallback: Stage[Any, Any] | None = None,
) -> _Decorator: ...
def step(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    gates: Sequence[Gate[Any]] = (),
    timeout: float | None = None,
    optional: bool = False,
    default: Any = LEFT_OUT,
    fallback: Stage[Any, Any] | None = None,
) -> Any:
    """Make a stage of a function.

    Its types are read from its annotations. A second parameter annotated with ``Run`` is given the run, with
    the outputs of earlier stages in ``run.outputs``. What it raises becomes a ``StageError``.

    Example:
        >>> @step
        ... def shorten(text: str) -> str:
        ...     return text[:100]

    Args:
        function: The function; left out where anything else is said, as in ``@step(timeout=5)``.
        name: Name of the stage; left out, the function's.
        gates: Checks that what it returns must pass, in order.
        timeout: Seconds that it may take, its gates included. A function in a thread is left behind then.
        optional: Whether the run goes on when it fails; ``default`` or ``fallback`` says with what.
        default: A value of the type that it returns.
        fallback: Another stage, which is handed what the function was.

    Raises:
        DefinitionError: The function takes neither one value nor a value and the run, or another argument is
            not of its kind.
    """
    make = functools.partial(
        FunctionStage[Any, Any],
        name=name,
        gates=gates,
        timeout=timeout,
        optional=optional,
        default=default,
        fallback=fallback,
    )
    return make if function is None else make(function)
