"""Function stages."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import contextvars
import functools
import subprocess
import sys
import threading
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from promptchain import Chain, Run, step
from promptchain.errors import DefinitionError, StageError
from promptchain.functions import FunctionStage

if TYPE_CHECKING:
    from decimal import Decimal as OnlyTheCheckerKnows

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="nowhere")


async def told(stage: Any, value: Any = "ab") -> Any:
    return (await Chain("c", stage).run(value)).output


async def test_a_synchronous_function_runs_in_a_thread_and_sees_the_context() -> None:
    @step
    def look(text: str) -> list[object]:
        return [threading.current_thread() is threading.main_thread(), where.get()]

    where.set("here")
    assert await told(look) == [False, "here"]


async def test_an_async_function_runs_on_the_event_loop() -> None:
    loop = asyncio.get_running_loop()

    @step
    async def look(text: str) -> bool:
        return asyncio.get_running_loop() is loop

    assert await told(look) is True


async def test_the_run_is_given_to_a_function_that_asks_for_it() -> None:
    @step
    def one(text: str) -> str:
        return text + "1"

    @step
    def two(text: str, run: Run) -> list[object]:
        return [run.input, run.previous, dict(run.outputs), run.path, run.is_last, text]

    assert await told(one | two) == ["ab", "ab1", {"one": "ab1"}, "two", True, "ab1"]


async def test_a_required_second_parameter_is_the_run_even_without_an_annotation() -> None:
    assert await told(step(name="f")(lambda text, run: run.path)) == "f"


async def test_a_second_parameter_with_a_default_is_left_alone() -> None:
    @step
    def repeat(text: str, times: int = 3) -> str:
        return text * times

    assert await told(repeat) == "ababab"


async def test_a_second_parameter_with_a_default_that_is_annotated_with_run_is_given_it() -> None:
    @step
    def look(text: str, run: Run | None = None, *, other: int = 0) -> bool:
        return run is None

    def maybe(text: str, run: Run = None) -> bool:  # type: ignore[assignment] # pyright: ignore[reportArgumentType]
        return run is not None  # pyright: ignore[reportUnnecessaryComparison]

    assert await told(look) is True
    assert await told(step(maybe)) is True


class Callables:
    def __call__(self, text: str) -> str:
        return text + "!"

    def method(self, text: str) -> str:
        return text + "?"


class AsyncCallable:
    async def __call__(self, text: str) -> str:
        return text + "~"


async def exclaim(text: str) -> str:
    return text + "!"


def wrapped(text: str) -> Awaitable[str]:
    return exclaim(text)


@pytest.mark.parametrize(
    ("function", "output"),
    [
        (Callables(), "ab!"),
        (Callables().method, "ab?"),
        (AsyncCallable(), "ab~"),
        (functools.partial(str.replace, "xay", "a"), "xaby"),
        (functools.partial(exclaim), "ab!"),
        (wrapped, "ab!"),
        (lambda text: exclaim(text), "ab!"),
        (str.upper, "AB"),
    ],
)
async def test_whatever_can_be_called_with_a_value_is_a_stage(function: Any, output: str) -> None:
    assert await told(step(name="f")(function)) == output


def test_types_come_from_the_annotations_of_whatever_is_called() -> None:
    for function in (Callables(), Callables().method, AsyncCallable(), functools.partial(exclaim)):
        stage = FunctionStage[Any, Any](function, "f")
        assert (stage.input_type, stage.output_type) == (str, str)


def test_annotations_that_only_a_type_checker_can_read_are_no_obstacle() -> None:
    @step
    def price(text: OnlyTheCheckerKnows) -> OnlyTheCheckerKnows:
        return text

    assert (price.input_type, price.output_type) == (Any, Any)


@pytest.mark.parametrize(
    "function",
    [
        lambda: 1,
        lambda a, b, c: a,
        lambda *values: values,
        lambda a, *, needed: a,
        int,
        None,
        3,
    ],
)
def test_what_cannot_take_a_value_is_refused_when_it_is_written(function: Any) -> None:
    with pytest.raises(DefinitionError, match="cannot be a stage"):
        FunctionStage[Any, Any](function, "f")


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(DefinitionError, match="cannot be a name"):
        step(lambda text: text)


def test_the_name_of_a_stage_is_that_of_the_function_or_the_one_told() -> None:
    def named(text: str) -> str:
        """What it does."""
        return text

    assert step(named).name == "named"
    assert step(name="other")(named).name == "other"
    assert step(named).__doc__ == "What it does."


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration(), StopAsyncIteration(), MemoryError("m")])
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_what_a_function_raises_ends_the_run_as_a_stage_error(
    error: Exception, asynchronous: bool
) -> None:
    def fails(text: str) -> str:
        raise error

    async def fails_later(text: str) -> str:
        raise error

    async with asyncio.timeout(5):
        with pytest.raises(StageError, match=r"step 'f': raised") as caught:
            await told(step(name="f")(fails_later if asynchronous else fails))
    cause = caught.value.__cause__
    assert error in (cause, cause and cause.__cause__)


async def test_an_iterator_that_is_empty_does_not_hang_the_run() -> None:
    @step
    def first(text: str) -> str:
        empty: Iterator[str] = iter(())
        return next(empty)

    async with asyncio.timeout(5):
        with pytest.raises(StageError, match="StopIteration"):
            await told(first)


async def test_a_function_that_is_cancelled_in_its_thread_does_not_hold_the_caller() -> None:
    entered, release = threading.Event(), threading.Event()

    @step
    def blocks(text: str) -> str:
        entered.set()
        release.wait(10)
        return text

    task = asyncio.create_task(told(blocks))
    try:
        await asyncio.to_thread(entered.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), 5)
    finally:
        release.set()


def test_functions_that_wait_for_other_runs_do_not_wait_for_each_other() -> None:
    inner = Chain("inner", step(name="inside")(lambda text: text))
    barrier = threading.Barrier(64)

    @step
    def asks(text: str) -> str:
        barrier.wait(20)
        return inner.run_sync(text).output

    with ThreadPoolExecutor(64) as pool:
        waiting = [pool.submit(Chain("outer", asks).run_sync, "x") for _ in range(64)]
        assert [future.result(timeout=30).output for future in waiting] == ["x"] * 64


def test_a_function_that_is_left_behind_does_not_hold_up_the_end_of_the_program() -> None:
    code = (
        "import asyncio, time\n"
        "from promptchain import Chain, step\n"
        "chain = Chain('c', step(name='sleeps')(lambda text: time.sleep(60)))\n"
        "async def main():\n"
        "    async with asyncio.timeout(0.1):\n"
        "        await chain.run('x')\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except TimeoutError:\n"
        "    print('in time')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("in time\n", "", 0)


async def test_a_function_that_ends_after_it_was_left_behind_disturbs_nobody() -> None:
    entered, release = threading.Event(), threading.Event()

    @step
    def late(text: str) -> str:
        entered.set()
        release.wait(10)
        raise ValueError("too late to matter")

    task = asyncio.create_task(told(late))
    await asyncio.to_thread(entered.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await asyncio.sleep(0.05)
