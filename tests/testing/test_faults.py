"""Each scripted fault, as the real SDK and as a bare socket see it, and what it is billed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anthropic
import h11
import httpx2
import pytest
from anthropic import AsyncAnthropic

from promptchain.testing import Fault, MessagesAPI
from promptchain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Wire

Asked = dict[str, Any]
WORDS = "one two some more text"
INPUT = 16


async def read(client: AsyncAnthropic, asked: Asked, texts: list[str] | None = None) -> tuple[list[str], Any]:
    texts, final = [] if texts is None else texts, None
    async for event in await client.messages.create(**asked, stream=True):
        if event.type == "content_block_delta":
            texts.append(event.delta.text)
        elif event.type == "message_delta":
            final = event
    return texts, final


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("code", "type_", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (402, "billing_error", anthropic.PaymentRequiredError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (413, "request_too_large", anthropic.ContentTooLargeError),
        (418, "invalid_request_error", anthropic.APIStatusError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (503, "api_error", anthropic.ServiceUnavailableError),
        (504, "timeout_error", anthropic.GatewayTimeoutError),
        (529, "overloaded_error", anthropic.OverloadedError),
    ],
)
async def test_a_status_has_the_type_of_the_api_and_is_not_billed(
    api: MessagesAPI,
    client: AsyncAnthropic,
    hello: Asked,
    code: int,
    type_: str,
    error: type[anthropic.APIStatusError],
    streamed: bool,
) -> None:
    api.script(Fault.status(code, message="as the script says"))
    with pytest.raises(error) as caught:
        await client.messages.create(**hello, stream=streamed)
    assert (caught.value.status_code, caught.value.type) == (code, type_)
    assert caught.value.api_message == "as the script says"
    (entry,) = api.bill
    assert (entry.status, entry.usage, entry.cost, entry.fault) == (code, Usage(), 0, "status")
    assert entry.request_id == caught.value.request_id
    assert not entry.aborted


def test_a_status_tells_when_to_come_back(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    api.script(Fault.status(429, retry_after=0.3, retry_after_ms=300, should_retry=False), Fault.status(529))
    headers = wire.ask(body=hello).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("0.3", "300")
    assert headers["x-should-retry"] == "false"
    assert not {"retry-after", "retry-after-ms", "x-should-retry"} & wire.ask(body=hello).headers.keys()


async def test_the_sdk_obeys_a_scripted_retry_after(api: MessagesAPI, hello: Asked) -> None:
    api.script(Fault.status(529, retry_after=0.01), "second")
    async with AsyncAnthropic(base_url=api.url, api_key="test", max_retries=1) as client:
        message = await client.messages.create(**hello)
    assert message.content[0].text == "second"
    assert [entry.status for entry in api.bill] == [529, 200]


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_reset_before_the_response_is_a_connection_error(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, streamed: bool
) -> None:
    api.script(Fault.reset(answer=WORDS))
    with pytest.raises(anthropic.APIConnectionError):
        await client.messages.create(**hello, stream=streamed)
    (entry,) = api.bill
    assert (entry.status, entry.aborted, entry.fault) == (None, True, "reset")
    assert entry.usage == Usage(INPUT)


async def test_a_reset_after_events_comes_after_exactly_these(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.script(Fault.reset(after=5, answer=WORDS))
    texts: list[str] = []
    with pytest.raises((httpx2.TransportError, anthropic.APIConnectionError)):
        await read(client, hello, texts)
    assert texts == ["one", " two"]
    (entry,) = api.bill
    assert (entry.status, entry.aborted, entry.deltas_sent, entry.usage) == (200, True, 2, Usage(INPUT, 2))


def test_a_reset_is_a_real_reset(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    api.script(Fault.reset())
    wire.send(body=hello)
    with pytest.raises(ConnectionResetError):
        wire.receive()


@pytest.mark.parametrize("after", [0, 4])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_stall_lasts_until_the_client_goes(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, after: int, streamed: bool
) -> None:
    api.script(Fault.stall(after=after, answer=WORDS))
    impatient = client.with_options(timeout=httpx2.Timeout(5, read=0.2))
    with pytest.raises((anthropic.APITimeoutError, httpx2.ReadTimeout)):
        await (read(impatient, hello) if streamed else impatient.messages.create(**hello))
    await asyncio.to_thread(api.wait_idle)
    (entry,) = api.bill
    assert (entry.aborted, entry.fault) == (True, "stall")
    assert entry.seconds >= 0.15
    written = {(0, True): 0, (0, False): 0, (4, True): 1, (4, False): 5}[after, streamed]
    assert entry.usage == Usage(INPUT, written)


async def test_a_malformed_event_stands_in_place_of_one_and_the_rest_follows(
    api: MessagesAPI, client: AsyncAnthropic, wire: Wire, hello: Asked
) -> None:
    api.script(*[Fault.malformed(after=4, answer=WORDS)] * 2)
    with pytest.raises(json.JSONDecodeError):
        await read(client, hello)
    data = wire.ask(body={**hello, "stream": True}).body
    blocks = data.split(b"\n\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(blocks[4].partition(b"data: ")[2])
    assert b'" two"' not in data
    assert b'" some"' in data
    assert data.endswith(b'data: {"type":"message_stop"}\n\n')


async def test_a_malformed_reply_without_a_stream_is_half_a_reply(
    api: MessagesAPI, wire: Wire, hello: Asked
) -> None:
    api.script(Fault.malformed(answer=WORDS))
    response = wire.ask(body=hello)
    assert response.status == 200
    with pytest.raises(json.JSONDecodeError):
        _ = response.json


async def test_an_error_event_comes_inside_the_stream(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.script(Fault.error("overloaded_error", after=5, answer=WORDS), Fault.error("api_error", answer=WORDS))
    for type_, sent in (("overloaded_error", 2), ("api_error", 0)):
        with pytest.raises(anthropic.APIStatusError) as caught:
            await read(client, hello)
        assert (caught.value.status_code, caught.value.type) == (200, type_)
        entry = api.bill[-1]
        assert (entry.status, entry.aborted, entry.usage) == (200, True, Usage(INPUT, sent))


async def test_where_there_is_no_stream_an_error_is_its_status(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.script(Fault.error("overloaded_error"))
    with pytest.raises(anthropic.OverloadedError):
        await client.messages.create(**hello)
    assert api.bill.usage == Usage()


async def test_an_end_without_a_stop_is_a_proper_end_of_the_body(
    api: MessagesAPI, client: AsyncAnthropic, wire: Wire, hello: Asked
) -> None:
    api.script(*[Fault.end(after=4, answer=WORDS)] * 2, Fault.end(answer=WORDS))
    assert await read(client, hello) == (["one"], None)
    data = wire.ask(body={**hello, "stream": True}).body
    assert data.count(b"event: ") == 4
    assert wire.ask(body={**hello, "stream": True}).body == b""
    assert [entry.aborted for entry in api.bill] == [True] * 3
    assert [entry.usage.output_tokens for entry in api.bill] == [1, 1, 0]


def test_a_body_that_ends_early_has_fewer_bytes_than_it_promised(
    api: MessagesAPI, wire: Wire, hello: Asked
) -> None:
    api.script(Fault.end(answer=WORDS))
    wire.send(body=hello)
    with pytest.raises(h11.RemoteProtocolError):
        wire.receive()
    assert api.bill[0].aborted


@pytest.mark.parametrize("kind", ["reset", "stall", "error", "end"])
def test_a_fault_past_the_end_still_keeps_the_stop_reason_back(
    api: MessagesAPI, connect: Callable[..., Wire], hello: Asked, kind: str
) -> None:
    api.script(getattr(Fault, kind)(after=1_000, answer=WORDS))
    wire = connect()
    wire.send(body={**hello, "stream": True})
    api.bill.wait(lambda bill: bill and bill[0].aborted)
    assert api.bill[0].usage == Usage(INPUT, 5)
    assert not api.bill[0].ended or kind != "stall"
    if kind in {"error", "end"}:
        assert b"message_delta" not in wire.receive().body


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_refusal_has_its_category_and_what_was_said_before(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, streamed: bool
) -> None:
    api.script(
        Fault.refusal(category="cyber", explanation="no", after=2, answer=WORDS), Fault.refusal(answer=WORDS)
    )
    for text, category, explanation, tokens in (("one two", "cyber", "no", 2), ("", None, None, 1)):
        if streamed:
            async with client.messages.stream(**hello) as events:
                message = await events.get_final_message()
        else:
            message = await client.messages.create(**hello)
        assert message.stop_reason == "refusal"
        assert message.stop_details is not None
        assert (message.stop_details.category, message.stop_details.explanation) == (category, explanation)
        assert "".join(block.text for block in message.content) == text
        assert api.bill[-1].usage == Usage(INPUT, tokens)
        assert (api.bill[-1].fault, api.bill[-1].aborted) == ("refusal", False)


@pytest.mark.parametrize("streamed", [True, False])
async def test_max_tokens_stops_where_the_script_says(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked, streamed: bool
) -> None:
    api.script(Fault.max_tokens(after=1, answer=WORDS), Fault.max_tokens(answer=WORDS))
    for text, tokens in (("one", 1), ("one two", 2)):
        if streamed:
            async with client.messages.stream(**hello) as events:
                message = await events.get_final_message()
        else:
            message = await client.messages.create(**hello)
        assert (message.stop_reason, message.content[0].text) == ("max_tokens", text)
        assert message.usage.output_tokens == tokens == api.bill[-1].usage.output_tokens


async def test_a_fault_without_an_answer_interrupts_what_would_have_been_answered(
    api: MessagesAPI, client: AsyncAnthropic, hello: Asked
) -> None:
    api.answer_with(lambda request: "made by the function")
    api.script(Fault.end(after=5))
    texts, _ = await read(client, hello)
    assert texts == ["made", " by"]
    api.answer_with(lambda request: Fault.end(after=4))
    texts, final = await read(client, hello)
    assert len(texts) == 1
    assert final is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Fault.status(200),
        lambda: Fault.reset(after=-1),
    ],
)
def test_an_impossible_fault_is_an_error_where_it_is_written(wrong: Callable[[], Fault]) -> None:
    with pytest.raises(ValueError, match=r"status|after"):
        wrong()
