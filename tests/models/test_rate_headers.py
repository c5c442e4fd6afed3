"""What the API says of its limits, from its headers to the model's events and errors."""

from __future__ import annotations

import time
from contextlib import aclosing
from email.utils import formatdate
from typing import Any

import pytest
from anthropic import AsyncAnthropic

from promptchain import AnthropicModel
from promptchain.errors import RateLimitError
from promptchain.messages import (
    LimitsReported,
    ModelRequest,
    RateLimit,
    RateLimits,
    ReplyStarted,
    RequestReady,
)
from promptchain.models import ScriptedModel
from promptchain.models.rate_headers import rate_limits
from promptchain.models.schema_in_prompt import SchemaInPrompt
from promptchain.testing import MessagesAPI, TokenBuckets

REQUEST = ModelRequest(messages=[{"role": "user", "content": "hello"}], max_tokens=100)
NOON = 1_795_608_000.0  # 2026-11-25T12:00:00Z


def headers(**said: object) -> list[tuple[bytes, bytes]]:
    prefix = "Anthropic-RateLimit-"
    return [
        (f"{prefix}{name.replace('_', '-')}".encode(), str(value).encode()) for name, value in said.items()
    ]


def test_limits_are_read_whatever_the_case_of_their_names() -> None:
    said = headers(
        requests_limit=50,
        requests_remaining=49,
        requests_reset="2026-11-25T12:00:00Z",
        input_tokens_limit=40_000,
        input_tokens_remaining=39_000,
        tokens_limit=40_000,
        tokens_remaining=39_000,
    )
    assert rate_limits([(b"server", b"x"), *said]) == RateLimits(
        requests=RateLimit(50, 49, NOON), input_tokens=RateLimit(40_000, 39_000), output_tokens=None
    )


@pytest.mark.parametrize(
    "said",
    [
        [],
        [(b"content-type", b"text/event-stream")],
        headers(requests_limit=50),
        headers(requests_limit="many", requests_remaining="some"),
        headers(requests_limit=0, requests_remaining=0),
        headers(tokens_limit=50, tokens_remaining=49),
    ],
)
def test_headers_that_say_nothing_are_nothing(said: list[tuple[bytes, bytes]]) -> None:
    assert rate_limits(said) is None


@pytest.mark.parametrize("reset", ["soon", "", "\xff"])
def test_a_time_that_cannot_be_read_is_left_out(reset: str) -> None:
    limits = rate_limits(headers(requests_limit=5, requests_remaining=4, requests_reset=reset))
    assert limits is not None
    assert limits.requests == RateLimit(5, 4)


@pytest.mark.parametrize("ahead", [-3_600, 0, 3_600])
def test_a_time_is_told_by_our_clock_where_the_clock_of_the_api_differs(ahead: int) -> None:
    now = time.time()
    then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + ahead + 60))
    date = (b"Date", formatdate(now + ahead, usegmt=True).encode())
    limits = rate_limits([date, *headers(requests_limit=5, requests_remaining=4, requests_reset=then)])
    assert limits is not None
    assert limits.requests is not None
    assert limits.requests.reset == pytest.approx(now + 60, abs=3)


def test_a_date_that_cannot_be_read_is_passed_over() -> None:
    said = headers(requests_limit=5, requests_remaining=4, requests_reset="2026-11-25T12:00:00Z")
    limits = rate_limits([(b"date", b"yesterday"), *said])
    assert limits is not None
    assert limits.requests == RateLimit(5, 4, NOON)


async def events_of(model: AnthropicModel) -> list[Any]:
    async with aclosing(model.stream(REQUEST)) as events:
        return [event async for event in events]


async def test_limits_are_reported_before_the_reply(messages_api: MessagesAPI) -> None:
    messages_api.limits = TokenBuckets(requests=60, input_tokens=20_000)
    events = await events_of(AnthropicModel("claude-haiku-4-5"))
    assert [type(event) for event in events[:3]] == [RequestReady, LimitsReported, ReplyStarted]
    limits = events[1].limits
    assert (limits.requests.limit, limits.requests.remaining) == (60, 59)
    assert limits.input_tokens.limit == 20_000
    assert limits.output_tokens is None
    assert limits.requests.reset is not None


async def test_an_api_without_limits_reports_none(messages_api: MessagesAPI) -> None:
    messages_api.limits = TokenBuckets()
    events = await events_of(AnthropicModel("claude-haiku-4-5"))
    assert [type(event) for event in events[:2]] == [RequestReady, ReplyStarted]


async def test_the_error_of_a_429_says_what_the_limits_are(messages_api: MessagesAPI) -> None:
    messages_api.limits = TokenBuckets(requests=1)
    model = AnthropicModel("claude-haiku-4-5")
    await events_of(model)
    with pytest.raises(RateLimitError) as caught:
        await events_of(model)
    assert caught.value.limits is not None
    assert caught.value.limits.requests is not None
    assert (caught.value.limits.requests.limit, caught.value.limits.requests.remaining) == (1, 0)
    assert 0 < (caught.value.retry_after or 0) <= 60
    assert caught.value.anew().limits == caught.value.limits  # type: ignore[attr-defined]


def test_the_endpoint_is_the_address_that_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AnthropicModel("x").endpoint == "https://api.anthropic.com"
    assert AnthropicModel("x", base_url="http://127.0.0.1:8000/").endpoint == "http://127.0.0.1:8000"
    client = AsyncAnthropic(base_url="http://127.0.0.1:9000", api_key="k")
    assert AnthropicModel("x", client=client).endpoint == "http://127.0.0.1:9000"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:7000/")
    assert AnthropicModel("x").endpoint == "http://127.0.0.1:7000"


def test_the_account_is_the_key_that_is_in_force_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    given = AnthropicModel("x", api_key="sk-secret").account
    assert (
        given
        == AnthropicModel("y", api_key="sk-secret").account
        != AnthropicModel("x", api_key="other").account
    )
    assert "secret" not in repr(given) + repr(AnthropicModel("x", api_key="sk-secret"))
    clients = [AsyncAnthropic(api_key="sk-secret"), AsyncAnthropic(api_key="sk-secret")]
    assert {AnthropicModel("x", client=client).account for client in clients} == {given}
    keyless = AnthropicModel("x").account
    assert keyless == AnthropicModel("x").account != given
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    assert AnthropicModel("x").account == given
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "a-token")
    assert AnthropicModel("x").account not in {given, keyless}


def test_a_schema_in_the_prompt_changes_neither_endpoint_nor_account() -> None:
    model = AnthropicModel("qwen3", base_url="http://127.0.0.1:11434", api_key="ollama")
    told = SchemaInPrompt(model)
    assert (told.endpoint, told.account) == (model.endpoint, model.account)
    bare = SchemaInPrompt(ScriptedModel("a"))
    assert (bare.endpoint, bare.account) == (None, None)
