"""The simulated API's token buckets: what is taken, what is refused, and what the headers say of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from promptchain.testing import MessagesAPI, TokenBuckets
from promptchain.testing.limits import AccountLimits, RateLimiter
from promptchain.testing.validation import Refused

if TYPE_CHECKING:
    from conftest import Wire

HEADER = "anthropic-ratelimit-{}-{}"


class Clock:
    """Seconds, as a test lets them pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def left(account: AccountLimits, name: str) -> int:
    return int(dict(account.headers())[HEADER.format(name, "remaining")])


def refusal(account: AccountLimits, tokens: int = 1) -> Refused:
    with pytest.raises(Refused) as caught:
        account.admit(tokens)
    assert caught.value.status == 429
    return caught.value


def test_a_request_beyond_the_limit_is_refused_with_what_is_left(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any]
) -> None:
    api.limits = TokenBuckets(requests=6, filled=0.5)
    api.script("one", "two", "three", "four")
    assert [wire.ask(body=hello).status for _ in range(3)] == [200, 200, 200]
    refused = wire.ask(body=hello)
    assert refused.status == 429
    assert refused.json["error"]["type"] == "rate_limit_error"
    assert "6 requests per minute" in refused.json["error"]["message"]
    assert 5 < float(refused.headers["retry-after"]) <= 10
    assert refused.headers["anthropic-ratelimit-requests-limit"] == "6"
    assert refused.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert [entry.status for entry in api.bill] == [200, 200, 200, 429]
    assert api.bill[-1].usage.total_tokens == 0
    assert api.pending == 1, "what is refused takes nothing from the script"


@pytest.mark.parametrize("streamed", [True, False])
def test_answers_say_what_is_left_when_they_begin(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any], streamed: bool
) -> None:
    api.limits = TokenBuckets(requests=6, input_tokens=60_000, output_tokens=6_000, filled=0.5)
    api.script("word " * 2_000)
    before = time.time()
    headers = wire.ask(body={**hello, "max_tokens": 3_000, "stream": streamed}).headers
    assert headers["anthropic-ratelimit-requests-remaining"] == "2"
    assert headers["anthropic-ratelimit-input-tokens-remaining"] == "30000"
    written = api.bill[0].usage.output_tokens
    assert 1_500 < written < 2_500
    assert headers["anthropic-ratelimit-output-tokens-remaining"] == ("3000" if streamed else "1000")
    assert (
        headers["anthropic-ratelimit-tokens-remaining"]
        == headers["anthropic-ratelimit-output-tokens-remaining"]
    ), "the one with the least left"
    assert headers["anthropic-ratelimit-tokens-limit"] == "6000"
    assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    reset = datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
    assert before + 35 < reset.timestamp() < time.time() + 42


def test_every_key_and_every_model_has_buckets_of_its_own(
    wire: Wire, api: MessagesAPI, hello: dict[str, Any]
) -> None:
    api.limits = TokenBuckets(requests=1)
    keys = [{"x-api-key": "one"}, {"x-api-key": "one"}, {"x-api-key": "", "authorization": "Bearer two"}]
    assert [wire.ask(body=hello, headers=key).status for key in keys] == [200, 429, 200]
    other = {**hello, "model": "claude-sonnet-4-5"}
    assert [wire.ask(body=other, headers={"x-api-key": "one"}).status for _ in range(2)] == [200, 429]


def test_input_that_is_read_from_the_cache_does_not_count(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any]
) -> None:
    api.limits = TokenBuckets(input_tokens=8_000)
    kept = {"type": "text", "text": "word " * 5_000, "cache_control": {"type": "ephemeral"}}
    asked = {**hello, "system": [kept]}
    assert [wire.ask(body=asked).status for _ in range(3)] == [200, 200, 200]
    assert [entry.usage.cache_read_input_tokens for entry in api.bill] == [0, 5_000, 5_000]
    new = {**hello, "system": [{**kept, "text": "other " * 5_000}]}
    assert wire.ask(body=new).status == 429
    api.limits = None
    wire.ask(body=new)
    assert api.bill[-1].usage.cache_read_input_tokens == 0, "what was refused was not written to the cache"


def test_output_counts_as_it_is_written_and_not_as_it_might_be(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any]
) -> None:
    api.limits = TokenBuckets(output_tokens=100, filled=0.1)
    api.script("a b c", "word " * 50)
    asked = {**hello, "max_tokens": 1_000, "stream": True}
    assert wire.ask(body=asked).status == 200
    assert wire.ask(body=asked).status == 200, "there was some left"
    refused = wire.ask(body=asked)
    assert refused.status == 429
    assert "100 output tokens per minute" in refused.json["error"]["message"]
    assert float(refused.headers["retry-after"]) > 10, "the debt is paid first"


def test_buckets_fill_up_again_little_by_little() -> None:
    clock = Clock()
    account = AccountLimits(TokenBuckets(requests=60, filled=0.05), clock)
    for _ in range(3):
        account.admit(1)
    refused = refusal(account)
    assert dict(refused.headers)["retry-after"] == "1.0"
    clock.now = 0.999
    refusal(account)
    clock.now = 1.0
    account.admit(1)
    clock.now = 1_000.0
    assert left(account, "requests") == 60


def test_a_refusal_takes_nothing() -> None:
    clock = Clock()
    account = AccountLimits(TokenBuckets(requests=60, input_tokens=6_000), clock)
    refused = refusal(account, 6_001)
    assert 0 < float(dict(refused.headers)["retry-after"]) < 0.1
    assert (left(account, "requests"), left(account, "input-tokens")) == (60, 6_000)


def test_remaining_tokens_are_told_in_thousands() -> None:
    account = AccountLimits(TokenBuckets(requests=100, input_tokens=10_000), Clock())
    account.admit(1_400)
    assert (left(account, "requests"), left(account, "input-tokens")) == (99, 9_000)
    account.admit(200)
    assert left(account, "input-tokens") == 8_000


def test_what_is_not_limited_has_no_headers(api: MessagesAPI, wire: Wire, hello: dict[str, Any]) -> None:
    api.limits = TokenBuckets()
    assert not [name for name in wire.ask(body=hello).headers if "ratelimit" in name]
    limiter = RateLimiter(TokenBuckets(requests=5))
    assert {name.split("-")[2] for name, _ in limiter.of("key", "model").headers()} == {"requests"}


def test_limits_are_given_with_the_api_and_changed_while_it_runs(
    connect: Callable[..., Wire], hello: dict[str, Any]
) -> None:
    with MessagesAPI(limits=TokenBuckets(requests=1)) as api:
        wire = connect(api)
        assert [wire.ask(body=hello).status for _ in range(2)] == [200, 429]
        api.limits = TokenBuckets(requests=2)
        assert [wire.ask(body=hello).status for _ in range(3)] == [200, 200, 429]
        api.limits = None
        assert {wire.ask(body=hello).status for _ in range(20)} == {200}


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"requests": 0}, "requests is a whole number a minute from 1, or None, not 0"),
        ({"input_tokens": 1.5}, "input_tokens is a whole number"),
        ({"output_tokens": True}, "output_tokens is a whole number"),
        ({"filled": 1.5}, "filled is a part of 1, from 0 to 1, not 1.5"),
    ],
)
def test_limits_that_cannot_be_are_refused(said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TokenBuckets(**said)
