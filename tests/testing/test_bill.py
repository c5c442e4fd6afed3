"""The bill: live, exact, and right about whoever left early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from promptchain.ledger import Attempt
from promptchain.testing import Answer, Bill, Fault, MessagesAPI, Pace
from promptchain.usage import Usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

    from conftest import Wire

Asked = dict[str, Any]
SLOW = Answer(deltas=["word "] * 100, pace=Pace(between=0.05))


async def left(api: MessagesAPI, since: float) -> float:
    await asyncio.to_thread(api.wait_idle)
    return time.perf_counter() - since


async def test_who_leaves_between_deltas_is_billed_what_was_written(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.script(SLOW)
    texts: list[str] = []
    async with client.messages.stream(**hello) as events:
        async for text in events.text_stream:
            texts.append(text)
            if len(texts) == 3:
                break
    assert await left(api, time.perf_counter()) < 1  # the whole reply would take 5
    (entry,) = api.bill
    assert (entry.status, entry.aborted, entry.fault) == (200, True, None)
    assert entry.usage == Usage(16, entry.deltas_sent)
    assert 3 <= entry.deltas_sent <= 4


@pytest.mark.parametrize("streamed", [True, False])
async def test_who_leaves_before_the_first_delta_is_noticed_at_once(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, streamed: bool
) -> None:
    api.script(Answer("never", pace=Pace(first=60)))

    async def ask() -> None:
        async for _ in await client.messages.create(**hello, stream=True):
            pass

    task = asyncio.create_task(ask() if streamed else client.messages.create(**hello))
    await asyncio.to_thread(api.bill.wait, lambda bill: bill and bill[0].input.input_tokens)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await left(api, time.perf_counter()) < 1  # the whole reply would take 5
    assert (api.bill[0].aborted, api.bill[0].usage) == (True, Usage(16))


def test_who_hangs_up_on_a_socket_is_noticed_at_once(
    api: MessagesAPI, connect: Callable[[], Wire], hello: Asked
) -> None:
    for item in (SLOW, Fault.stall(), Fault.stall(after=3)):
        api.script(item)
        api.bill.clear()
        wire = connect()
        wire.send(body={**hello, "stream": True})
        api.bill.wait(lambda bill: bill and (bill[0].aborted or bill[0].deltas_sent))
        wire.socket.close()
        since = time.perf_counter()
        api.wait_idle()
        assert time.perf_counter() - since < 1
        assert api.bill[0].aborted


def test_a_client_that_does_not_read_holds_up_nobody_but_itself(
    api: MessagesAPI, connect: Callable[[], Wire], hello: Asked
) -> None:
    # White space costs no tokens here, so this is 20 MB: more than the kernel keeps for a connection.
    api.script(Answer(deltas=[" " * 20_000 + "x"] * 1_000, pace=Pace(events_per_write=8)), "quick")
    slow, quick = connect(), connect()
    slow.send(body={**hello, "stream": True})
    api.bill.wait(lambda bill: bill and bill[0].deltas_sent)
    assert quick.ask(body=hello).status == 200
    assert not api.bill[0].ended
    slow.socket.close()
    api.wait_idle()
    assert api.bill[0].aborted


def test_an_entry_follows_its_request_while_it_runs(
    api: MessagesAPI, connect: Callable[[], Wire], hello: Asked
) -> None:
    api.script(SLOW)
    wire = connect()
    wire.send(body={**hello, "stream": True})
    api.bill.wait(lambda bill: bill and bill[0].deltas_sent >= 2)
    entry = api.bill[0]
    assert (entry.ended, entry.aborted, entry.status) == (False, False, 200)
    seen, seconds = entry.usage.output_tokens, entry.seconds
    api.bill.wait(lambda bill: bill[0].usage.output_tokens > seen)
    assert entry.seconds > seconds


def test_the_cost_is_that_of_the_ledger(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    api.script("one two three four")
    wire.ask(body=hello)
    wire.ask(body={**hello, "model": "claude-opus-5-5"})
    for entry in api.bill:
        attempt = Attempt(
            step="s",
            number=1,
            model=entry.model,
            usage=entry.usage,
            estimated=False,
            started=entry.started,
            seconds=0,
        )
        assert entry.cost == attempt.cost
    assert api.bill[0].cost == (16 + 5 * 5) * Decimal("0.000001")
    assert api.bill.cost == api.bill[0].cost + api.bill[1].cost


def test_where_one_price_is_unknown_the_sum_is_unknown(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    wire.ask(body={**hello, "model": "claude-mythos-5"})
    wire.ask(body=hello)
    assert api.bill[0].cost is None
    assert api.bill[0].usage.output_tokens > 0
    assert api.bill.cost is None


def test_an_entry_keeps_what_was_received(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    wire.ask(body=hello, headers={"x-client-request-id": "run-7"})
    (entry,) = api.bill
    assert entry.received == hello
    assert entry.headers["x-client-request-id"] == "run-7"
    assert (entry.model, entry.streamed) == ("claude-haiku-4-5", False)


def test_the_bill_is_served_and_cleared_over_http(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    api.script("four", Fault.status(529))
    wire.ask(body=hello)
    wire.ask(body=hello)
    bill = wire.ask("GET", "/bill", headers={"x-api-key": ""}).json
    first, second = bill["requests"]
    assert (first["status"], first["usage"]["output_tokens"], first["cost"]) == (200, 1, "0.000021")
    assert (second["status"], second["cost"], second["fault"]) == (529, "0", "status")
    assert first["received"] == hello
    assert "headers" not in first
    assert Decimal(bill["cost"]) == api.bill.cost
    assert wire.ask("DELETE", "/bill").json["requests"] == []
    assert len(api.bill) == 0


def test_waiting_for_what_never_comes_ends_with_a_timeout() -> None:
    bill = Bill()
    with pytest.raises(TimeoutError, match="not true after"):
        bill.wait(lambda bill: len(bill) == 1, timeout=0.01)


async def test_a_wait_that_blocks_the_event_loop_says_so() -> None:
    with pytest.raises(TimeoutError, match=r"asyncio\.to_thread"):
        Bill().wait(lambda bill: False, timeout=0.01)
