"""Prompt caching: what is written, what is read, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from promptchain.testing import MessagesAPI
from promptchain.testing.catalogue import ModelFacts, find_model
from promptchain.testing.prompt_cache import PromptCache, count_input
from promptchain.usage import Usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}


def block(words: int, mark: dict[str, str] | None = None, word: str = "word") -> dict[str, Any]:
    text = " ".join([word] * words)
    return {"type": "text", "text": text} | ({"cache_control": mark} if mark else {})


def body(*system: dict[str, Any], ask: Any = "So?", **more: Any) -> dict[str, Any]:
    return {"system": list(system), "messages": [{"role": "user", "content": ask}], **more}


@pytest.fixture
def model() -> ModelFacts:
    found = find_model("claude-sonnet-4-6")
    assert found is not None
    assert found.cache_minimum == 1_024
    return found


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_marked_prefix_is_written_once_and_then_read(model: ModelFacts) -> None:
    cache, asked = PromptCache(), body(block(2_000, MARK))
    rest = 4 + 3 + 1
    assert cache.charge(asked, model) == Usage(rest, cache_creation_input_tokens=2_000)
    assert cache.charge(asked, model) == Usage(rest, cache_read_input_tokens=2_000)
    other = body(block(2_000, MARK), ask="What now then?")
    assert cache.charge(other, model) == Usage(4 + 3 + 4, cache_read_input_tokens=2_000)


def test_the_kinds_of_input_sum_to_the_count_of_tokens(model: ModelFacts) -> None:
    cache = PromptCache()
    asked = body(block(1_500, HOUR), block(600, MARK), ask=[block(300, MARK), block(5)])
    for _ in range(2):
        assert cache.charge(asked, model).total_input_tokens == count_input(asked)


def test_each_lifetime_has_its_own_count(model: ModelFacts) -> None:
    usage = PromptCache().charge(body(block(1_500, HOUR), block(600, MARK)), model)
    assert usage.cache_creation_input_tokens == 2_100
    assert usage.cache_creation_1h_input_tokens == 1_500


def test_a_prefix_is_forgotten_after_its_lifetime_and_kept_by_use(model: ModelFacts) -> None:
    clock = Clock()
    cache = PromptCache(clock)
    short, long = body(block(2_000, MARK)), body(block(2_000, HOUR, word="long"))
    for asked in (short, long):
        cache.charge(asked, model)
    clock.now += 299
    assert cache.charge(short, model).cache_read_input_tokens == 2_000
    clock.now += 299
    assert cache.charge(short, model).cache_read_input_tokens == 2_000
    clock.now += 301
    assert cache.charge(short, model).cache_read_input_tokens == 0
    assert cache.charge(long, model).cache_read_input_tokens == 2_000
    clock.now += 3_601
    assert cache.charge(long, model).cache_read_input_tokens == 0


def test_a_prefix_under_the_minimum_is_not_cached(model: ModelFacts) -> None:
    cache = PromptCache()
    for _ in range(2):
        assert cache.charge(body(block(1_023, MARK)), model) == Usage(1_023 + 8)
    assert cache.charge(body(block(1_024, MARK)), model).cache_creation_input_tokens == 1_024


def test_another_prefix_or_model_is_a_miss(model: ModelFacts) -> None:
    cache = PromptCache()
    cache.charge(body(block(2_000, MARK)), model)
    assert cache.charge(body(block(2_000, MARK, word="worn")), model).cache_read_input_tokens == 0
    assert cache.charge(body(block(1), block(2_000, MARK)), model).cache_read_input_tokens == 0
    opus = find_model("claude-opus-5")
    assert opus is not None
    assert cache.charge(body(block(2_000, MARK)), opus).cache_read_input_tokens == 0


def test_without_a_mark_nothing_is_cached(model: ModelFacts) -> None:
    cache = PromptCache()
    for _ in range(2):
        assert cache.charge(body(block(2_000)), model) == Usage(2_008)


def test_a_mark_on_the_request_caches_all_of_it_and_moves_on_with_the_conversation(
    model: ModelFacts,
) -> None:
    cache = PromptCache()
    first = body(block(2_000), cache_control=MARK)
    assert cache.charge(first, model) == Usage(4, cache_creation_input_tokens=2_004)
    turns = [
        *first["messages"],
        {"role": "assistant", "content": "This."},
        {"role": "user", "content": "And?"},
    ]
    usage = cache.charge({**first, "messages": turns}, model)
    assert usage == Usage(4, cache_read_input_tokens=2_004, cache_creation_input_tokens=9)


def test_a_mark_looks_back_20_blocks_and_no_further(model: ModelFacts) -> None:
    for between, read in ((20, 2_000), (21, 0)):
        cache = PromptCache()
        cache.charge(body(block(2_000, MARK)), model)
        more = [block(1) for _ in range(between - 1)] + [block(1, MARK)]
        assert cache.charge(body(block(2_000), *more), model).cache_read_input_tokens == read


async def test_the_sdk_sees_the_cache_in_usage_and_the_bill_prices_it(
    api: MessagesAPI, client: AsyncAnthropic
) -> None:
    asked = body(block(2_000, HOUR), model="claude-sonnet-4-6", max_tokens=50)
    api.script("four", "four")
    warm = await client.messages.create(**{**asked, "max_tokens": 0})
    assert (warm.content, warm.stop_reason, warm.usage.output_tokens) == ([], "max_tokens", 0)
    assert warm.usage.cache_creation is not None
    assert warm.usage.cache_creation.ephemeral_1h_input_tokens == 2_000
    assert api.pending == 2
    read = await client.messages.create(**asked)
    assert (read.usage.cache_read_input_tokens, read.usage.cache_creation_input_tokens) == (2_000, 0)
    written, cheaper = api.bill
    # USD 3 in and 15 out per million tokens; an hour's write costs twice the input, a read a tenth of it.
    assert [str(entry.cost.normalize()) for entry in (written, cheaper)] == ["0.012024", "0.000639"]
    api.forget_cache()
    assert (await client.messages.create(**asked)).usage.cache_creation_input_tokens == 2_000


async def test_a_request_that_is_answered_with_an_error_warms_nothing(
    api: MessagesAPI, client: AsyncAnthropic
) -> None:
    from anthropic import OverloadedError

    from promptchain.testing import Fault

    asked = body(block(2_000, MARK), model="claude-sonnet-4-6", max_tokens=50)
    api.script(Fault.status(529))
    with pytest.raises(OverloadedError):
        await client.messages.create(**asked)
    assert (await client.messages.create(**asked)).usage.cache_read_input_tokens == 0
