"""Streams: read while it happens, left at any time, never whole when it was not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from promptchain import Chain, Gate, PromptChainError, RunStream, Step, step
from promptchain.errors import GateBlockedError, IncompleteReplyError, OverloadedError
from promptchain.events import Event, RunFailed, RunFinished, RunStarted, TextCommitted
from promptchain.messages import ModelEvent, ModelRequest, ReplyFinished, ReplyStarted, TextDelta
from promptchain.models.scripted import Scripted, ScriptedModel
from promptchain.resilience import Policy
from promptchain.testing import Answer, MessagesAPI, Pace
from promptchain.usage import Usage

BUSY = OverloadedError("busy")
ONCE = Policy(retry=None)


class Faucet:
    """A model that counts what it has given, and says whether it was closed."""

    name = "faucet"

    def __init__(self, deltas: int) -> None:
        self.deltas = deltas
        self.given = 0
        self.closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        try:
            yield ReplyStarted("m", "faucet", Usage(1, 1))
            for _ in range(self.deltas):
                await asyncio.sleep(0)
                self.given += 1
                yield TextDelta("x")
            yield ReplyFinished("end_turn", Usage(1, self.deltas))
        finally:
            self.closed = True


def chain_of(*replies: Any, gates: Any = (), policy: Policy | None = None) -> Chain[str, str]:
    asks = Step("a", prompt="{input}", gates=gates)
    return Chain("c", asks, model=ScriptedModel(*replies), policy=policy)


async def text_of(stream: RunStream[Any]) -> list[str]:
    return [text async for text in stream.text]


async def settled(tasks: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Tasks that are there now and were not before."""
    return asyncio.all_tasks() - tasks


async def test_the_text_then_the_result() -> None:
    async with chain_of("one two").stream("x") as stream:
        assert await text_of(stream) == ["one ", "two"]
        result = await stream.result()
    assert result.output == "one two"
    assert stream.ledger is result.ledger
    assert len(stream.ledger) == 1


async def test_the_result_without_reading() -> None:
    async with chain_of("one two").stream("x") as stream:
        assert (await stream.result()).output == "one two"
        assert (await stream.result()).output == "one two"
        assert [event async for event in stream] == []


async def test_the_result_without_reading_of_more_than_the_queue_holds() -> None:
    faucet = Faucet(5_000)
    async with asyncio.timeout(20), Chain("c", Step("a", prompt="x"), model=faucet).stream("x") as stream:
        await asyncio.sleep(0.05)
        assert (await stream.result()).output == "x" * 5_000


async def test_text_and_events_share_one_cursor() -> None:
    async with chain_of("one two three").stream("x") as stream:
        assert isinstance(await anext(stream), RunStarted)
        assert await anext(stream.text) == "one "
        rest = [event async for event in stream]
    assert [event.text for event in rest if isinstance(event, TextCommitted)] == ["two ", "three"]
    assert isinstance(rest[-1], RunFinished)


async def test_a_slow_reader_holds_the_run_up() -> None:
    faucet = Faucet(5_000)
    async with Chain("c", Step("a", prompt="x"), model=faucet).stream("x") as stream:
        for _ in range(3_000):
            await asyncio.sleep(0)
        assert 100 < faucet.given < 400
        held = faucet.given
        assert len([await anext(stream.text) for _ in range(200)]) == 200
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert held < faucet.given < 700
        assert len(await text_of(stream)) == 5_000 - 200


async def test_leaving_while_the_run_is_held_up_does_not_hang() -> None:
    faucet = Faucet(5_000)
    before = asyncio.all_tasks()
    async with asyncio.timeout(5):
        async with Chain("c", Step("a", prompt="x"), model=faucet).stream("x"):
            for _ in range(1_000):
                await asyncio.sleep(0)
    assert faucet.closed
    assert await settled(before) == set()


@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_leaving_early_ends_the_run_and_closes_the_model(pieces: int) -> None:
    faucet = Faucet(5_000)
    before = asyncio.all_tasks()
    async with Chain("c", Step("a", prompt="x", max_tokens=100), model=faucet).stream("x") as stream:
        for _ in range(pieces):
            await anext(stream.text)
    assert faucet.closed or not pieces
    assert faucet.given < 400
    assert await settled(before) == set()
    assert all(a.estimated and a.usage.output_tokens == 100 and a.error == "cancelled" for a in stream.ledger)
    assert len(stream.ledger) == (1 if pieces else 0)


async def test_leaving_by_an_exception_passes_it_on_and_ends_the_run() -> None:
    faucet = Faucet(5_000)
    with pytest.raises(ZeroDivisionError):
        async with Chain("c", Step("a", prompt="x"), model=faucet).stream("x") as stream:
            await anext(stream.text)
            raise ZeroDivisionError
    assert faucet.closed


async def test_an_error_comes_up_behind_the_last_event_and_again_at_the_result() -> None:
    chain = chain_of(Scripted(chunks=["one ", "two"], error=BUSY))
    async with chain.stream("x") as stream:
        seen: list[str] = []
        with pytest.raises(OverloadedError) as caught:
            async for text in stream.text:
                seen.append(text)
        assert seen == ["one ", "two"]
        assert caught.value.ledger is stream.ledger
        with pytest.raises(OverloadedError):
            await anext(stream)
        with pytest.raises(OverloadedError):
            await stream.result()


async def test_the_events_tell_of_the_failure_before_it_is_raised() -> None:
    seen: list[Event] = []
    async with chain_of(OverloadedError("busy"), policy=ONCE).stream("x") as stream:
        with pytest.raises(OverloadedError):
            async for event in stream:
                seen.append(event)
    assert isinstance(seen[-1], RunFailed)


async def test_an_error_that_nobody_reads_is_not_complained_about(caplog: pytest.LogCaptureFixture) -> None:
    async with chain_of(OverloadedError("busy"), policy=ONCE).stream("x"):
        await asyncio.sleep(0.02)
    assert caplog.records == []


async def test_text_that_a_gate_blocks_is_never_given() -> None:
    seen: list[str] = []
    async with chain_of("secret text", gates=[Gate(lambda text: False, "no")]).stream("x") as stream:
        with pytest.raises(GateBlockedError):
            async for text in stream.text:
                seen.append(text)
    assert seen == []


async def test_only_the_last_step_of_the_outermost_chain_gives_its_text() -> None:
    model = ScriptedModel("a a", "b b", "c c", "d d")
    inner = Chain("inner", Step("a", prompt="x") | Step("b", prompt="x"))
    last = Chain("last", Step("c", prompt="x") | Step("d", prompt="x"))
    async with Chain("outer", inner | last, model=model).stream("x") as stream:
        assert await text_of(stream) == ["d ", "d"]


async def test_a_function_as_the_last_stage_gives_its_text_in_one_piece() -> None:
    @step
    def shout(text: str) -> str:
        return text.upper()

    chain = Chain("c", Step("a", prompt="x") | shout, model=ScriptedModel("one two"))
    async with chain.stream("x") as stream:
        assert await text_of(stream) == ["ONE TWO"]


async def test_a_function_that_gives_no_text_gives_none_to_the_stream() -> None:
    async with Chain("c", step(name="f")(len)).stream("x") as stream:
        assert await text_of(stream) == []
        assert (await stream.result()).output == 1


async def test_a_stream_is_entered_first_and_once() -> None:
    stream = chain_of("one").stream("x")
    for use in (anext(stream), anext(stream.text), stream.result()):
        with pytest.raises(PromptChainError, match="entered first"):
            await use
    async with stream:
        await stream.result()
    with pytest.raises(PromptChainError, match="one run"):
        async with stream:
            pass


async def test_two_readers_at_once_are_refused_instead_of_losing_one() -> None:
    async with asyncio.timeout(5), Chain("c", Step("a", prompt="x"), model=Waiting()).stream("x") as stream:
        first = asyncio.create_task(text_of(stream))
        await asyncio.sleep(0.02)
        with pytest.raises(PromptChainError, match="one reader"):
            await text_of(stream)
        first.cancel()


class Waiting:
    """A model that never answers."""

    name = "waiting"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        await asyncio.get_running_loop().create_future()
        yield TextDelta("never")


async def test_cancelling_the_reader_leaves_nothing_running() -> None:
    faucet = Faucet(5_000)
    before = asyncio.all_tasks()

    async def read() -> None:
        async with Chain("c", Step("a", prompt="x"), model=faucet).stream("x") as stream:
            async for _ in stream.text:
                await asyncio.sleep(0.01)

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.05)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert faucet.closed
    assert await settled(before) == set()


async def test_cancelling_somebody_who_waits_for_the_result_does_not_cancel_the_run() -> None:
    async with chain_of(Scripted(chunks=["a", "b"], delay=0.05)).stream("x") as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await stream.result()
        assert (await stream.result()).output == "ab"


async def test_a_stage_that_cancels_itself_does_not_end_the_text_as_if_it_were_whole() -> None:
    class Cancels:
        name = "cancels"

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            yield ReplyStarted("m", "cancels", Usage(1, 1))
            yield TextDelta("half")
            raise asyncio.CancelledError

    async with Chain("c", Step("a", prompt="x"), model=Cancels()).stream("x") as stream:
        assert await anext(stream.text) == "half"
        with pytest.raises(PromptChainError, match="waited for something that was cancelled"):
            await text_of(stream)
        with pytest.raises(PromptChainError, match="waited for something that was cancelled"):
            await stream.result()


async def test_reading_on_after_the_block_was_left_is_an_error_and_no_end() -> None:
    async with Chain("c", Step("a", prompt="x"), model=Faucet(50)).stream("x") as stream:
        await anext(stream.text)
    with pytest.raises(PromptChainError, match="cancelled before its end"):
        await text_of(stream)


async def test_a_stream_that_ends_in_the_middle_is_an_error_behind_its_text() -> None:
    class Ends:
        name = "ends"

        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            yield ReplyStarted("m", "ends", Usage(1, 1))
            yield TextDelta("half")

    seen: list[str] = []
    async with Chain("c", Step("a", prompt="x"), model=Ends()).stream("x") as stream:
        with pytest.raises(IncompleteReplyError):
            async for text in stream.text:
                seen.append(text)
    assert seen == ["half"]


async def test_readers_see_what_the_stream_gives_and_also_what_nobody_read() -> None:
    seen: list[Event] = []
    async with chain_of("one two").stream("x", readers=[seen.append]) as stream:
        await stream.result()
    assert [e.text for e in seen if isinstance(e, TextCommitted)] == ["one ", "two"]


async def test_the_first_text_reaches_the_caller_before_upstream_has_sent_the_third_token(
    messages_api: MessagesAPI,
) -> None:
    messages_api.script("inner words", Answer(deltas=["word "] * 100, pace=Pace(between=0.05)))
    chain = Chain("c", Step("a", prompt="{input}") | Step("b", prompt="{a}"), model="claude-haiku-4-5")
    async with chain.stream("x") as stream:
        assert await anext(stream.text) == "word "
        assert messages_api.bill[1].deltas_sent < 3


async def test_leaving_after_the_third_delta_closes_upstream_in_under_50_ms(
    messages_api: MessagesAPI,
) -> None:
    messages_api.script("inner words", Answer(deltas=["word "] * 100, pace=Pace(between=0.05)))
    chain = Chain("c", Step("a", prompt="{input}") | Step("b", prompt="{a}"), model="claude-haiku-4-5")
    async with chain.stream("x") as stream:
        for _ in range(3):
            await anext(stream.text)
    messages_api.bill.wait(lambda bill: bill[1].ended, 0.05)
    entry = messages_api.bill[1]
    assert entry.aborted
    assert 3 <= entry.deltas_sent <= 5
    assert stream.ledger[1].estimated
    assert stream.ledger[1].usage.output_tokens >= entry.usage.output_tokens
