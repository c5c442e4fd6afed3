"""The timeout of a step: what it ends, what it leaves behind, and what was paid until then."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from promptchain import Chain, Gate, ScriptedModel, Step, step
from promptchain.errors import DefinitionError, StageError, StepTimeoutError
from promptchain.events import Event, StepFailed, TextRetracted
from promptchain.models import SchemaInPrompt
from promptchain.testing import Fault, MessagesAPI

HAIKU = "claude-haiku-4-5"


async def test_a_step_that_takes_too_long_is_ended_with_its_request(messages_api: MessagesAPI) -> None:
    messages_api.script("warm", Fault.stall(after=5, answer="one two three"))
    await Chain("c", Step("warm", prompt="{input}"), model=HAIKU).run("x")  # the SDK is imported by now
    messages_api.bill.clear()
    seen: list[Event] = []
    slow = Step("slow", prompt="{input}", timeout=1.5, gates=[Gate(lambda text: True, "r")])
    with pytest.raises(StepTimeoutError) as caught:
        await Chain("c", slow, model=HAIKU).run("x", readers=[seen.append])
    assert str(caught.value) == (
        "step 'slow': it took longer than its timeout of 1.5 s: allow it more time, or give it less to do."
    )
    assert caught.value.ledger is not None
    (attempt,) = caught.value.ledger
    assert (attempt.error, attempt.estimated) == ("cancelled", True)
    messages_api.bill.wait(lambda bill: bill[0].aborted)
    assert attempt.usage.output_tokens >= messages_api.bill.usage.output_tokens
    assert [e.reason for e in seen if isinstance(e, TextRetracted)] == ["cancelled"]
    assert [type(e.error) for e in seen if isinstance(e, StepFailed)] == [StepTimeoutError]


class SlowToPrepare(ScriptedModel):
    """As the SDK is, whose import alone takes two seconds."""

    async def prepare(self) -> None:
        await asyncio.sleep(1.5)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_what_a_model_does_once_a_process_is_no_part_of_a_steps_timeout(wrapped: bool) -> None:
    model = SlowToPrepare("one")
    asks = Step("a", prompt="x", timeout=1)
    result = await Chain("c", asks, model=SchemaInPrompt(model) if wrapped else model).run("x")
    assert result.output == "one"


async def test_the_timeout_is_of_the_whole_step_and_not_of_an_attempt() -> None:
    async def slow(text: str) -> bool:
        await asyncio.sleep(0.2)
        return False

    asks = Step("a", prompt="x", gates=[Gate(slow, "again", on_fail="retry")], max_reasks=20, timeout=0.5)
    with pytest.raises(StepTimeoutError):
        await Chain("c", asks, model=ScriptedModel(*["reply"] * 21)).run("x")


@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_function_that_takes_too_long_is_left(kind: str) -> None:
    let_go = threading.Event()

    @step(name="slow", timeout=0.1)
    async def waits(text: str) -> str:
        await asyncio.sleep(60)
        return text

    @step(name="slow", timeout=0.1)
    def blocks(text: str) -> str:
        let_go.wait(60)
        return text

    with pytest.raises(StepTimeoutError, match="step 'slow'"):
        await Chain("c", waits if kind == "async" else blocks).run("x")
    let_go.set()


async def test_a_function_that_does_not_let_itself_be_ended_has_still_taken_too_long() -> None:
    @step(timeout=0.05)
    async def stubborn(text: str) -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return "late"

    with pytest.raises(StepTimeoutError):
        await Chain("c", stubborn).run("x")


async def test_a_timeout_of_a_functions_own_is_its_own_error() -> None:
    @step(timeout=60)
    async def waits(text: str) -> str:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)
        return text

    with pytest.raises(StageError, match="TimeoutError"):
        await Chain("c", waits).run("x")


async def test_an_inner_chain_may_go_on_after_a_step_in_it_took_too_long() -> None:
    @step(timeout=0.05)
    async def waits(text: str) -> str:
        await asyncio.sleep(60)
        return text

    inner = Chain("inner", waits)

    @step
    async def tries(text: str) -> str:
        try:
            return (await inner.run(text)).output
        except StepTimeoutError:
            return "went on"

    assert (
        await Chain("outer", tries | Step("b", prompt="{tries}"), model=ScriptedModel("ok")).run("x")
    ).output


async def test_being_cancelled_within_a_timeout_is_being_cancelled() -> None:
    @step(timeout=60)
    async def waits(text: str) -> str:
        await asyncio.sleep(60)
        return text

    task = asyncio.create_task(Chain("c", waits).run("x"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("timeout", [0, -1, True, "5", float("inf"), float("nan")])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(DefinitionError, match="timeout is a number of seconds above 0"):
        Step("a", prompt="x", timeout=timeout)
    with pytest.raises(DefinitionError, match="step 'f': timeout is a number of seconds above 0"):
        step(name="f", timeout=timeout)(len)
