"""What a request says of how its reply is drawn, on the wire: sampling, effort, service tier."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from anthropic import AsyncAnthropic, BadRequestError, DefaultAioHttpClient, DefaultAsyncHttpxClient

from promptchain import AnthropicModel, Chain, Step
from promptchain.errors import BadRequestError as Refused
from promptchain.messages import ModelRequest
from promptchain.models.base import complete
from promptchain.models.catalog import MODELS
from promptchain.testing import MessagesAPI

HAIKU = "claude-haiku-4-5"
SONNET = "claude-sonnet-4-6"
PRESENT = "2026-10-21"
EARLIER = "2023-06-01"
SAMPLING = tuple(model.alias for model in MODELS if model.sampling)
TRANSPORTS = {"httpx2": DefaultAsyncHttpxClient, "aiohttp": DefaultAioHttpClient}
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}


def asked(**changes: Any) -> ModelRequest:
    told: dict[str, Any] = {"max_tokens": 100, **changes}
    return ModelRequest(messages=({"role": "user", "content": "Say hello."},), **told)


@pytest.fixture(params=list(TRANSPORTS))
async def client(request: pytest.FixtureRequest, messages_api: MessagesAPI) -> AsyncGenerator[AsyncAnthropic]:
    http_client = TRANSPORTS[request.param]()
    async with AsyncAnthropic(base_url=messages_api.url, api_key="mine", http_client=http_client) as sdk:
        yield sdk


@pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-5' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", SAMPLING)
@pytest.mark.parametrize("said", [{"temperature": 0.2}, {"top_p": 0.9}], ids=str)
async def test_a_sampling_parameter_reaches_each_model_that_takes_it_under_the_earlier_version(
    messages_api: MessagesAPI, client: AsyncAnthropic, name: str, said: dict[str, float]
) -> None:
    messages_api.script("hello")
    reply = await complete(AnthropicModel(name, client=client), asked(**said))
    (entry,) = messages_api.bill
    assert reply.text == "hello"
    assert entry.headers["anthropic-version"] == EARLIER
    assert entry.received == {
        "model": name,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Say hello."}],
        "stream": True,
        **said,
    }


@pytest.mark.parametrize("temperature", [0, 0.0, 1, 1.0])
async def test_the_ends_of_the_range_are_said_and_not_taken_for_nothing(
    messages_api: MessagesAPI, client: AsyncAnthropic, temperature: float
) -> None:
    await complete(AnthropicModel(HAIKU, client=client), asked(temperature=temperature))
    (entry,) = messages_api.bill
    assert entry.received["temperature"] == temperature
    assert entry.headers["anthropic-version"] == EARLIER


async def test_temperature_goes_together_with_all_else_that_can_be_said(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    messages_api.script('{"word": "hello"}')
    reply = await complete(
        AnthropicModel(SONNET, client=client, timeout=30),
        asked(
            temperature=0.2,
            system="You are brief.",
            output_schema=SCHEMA,
            effort="low",
            thinking={"type": "disabled"},
            service_tier="standard_only",
            stop_sequences=("END",),
            request_id="caller-7",
        ),
    )
    (entry,) = messages_api.bill
    assert json.loads(reply.text) == {"word": "hello"}
    assert entry.received == {
        "model": SONNET,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Say hello."}],
        "stream": True,
        "temperature": 0.2,
        "system": "You are brief.",
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
        "thinking": {"type": "disabled"},
        "service_tier": "standard_only",
        "stop_sequences": ["END"],
    }
    assert entry.headers["anthropic-version"] == EARLIER
    assert entry.headers["x-request-id"] == "caller-7"


async def test_a_temperature_of_1_goes_together_with_thinking(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    await complete(
        AnthropicModel(HAIKU, client=client), asked(temperature=1, thinking=thinking, max_tokens=2_000)
    )
    (entry,) = messages_api.bill
    assert entry.received["thinking"] == thinking


async def test_only_the_request_that_samples_goes_under_the_earlier_version(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    model = AnthropicModel(HAIKU, client=client)
    for said in ({}, {"temperature": 0.2}, {"output_schema": SCHEMA, "service_tier": "auto"}):
        await complete(model, asked(**said))
    first, second, third = messages_api.bill
    assert [entry.headers["anthropic-version"] for entry in (first, second, third)] == [
        PRESENT,
        EARLIER,
        PRESENT,
    ]
    assert "temperature" not in first.received
    assert third.received["service_tier"] == "auto"


async def test_the_version_of_a_client_of_the_callers_own_gives_way_where_one_samples(
    messages_api: MessagesAPI,
) -> None:
    headers = {"Anthropic-Version": PRESENT}
    async with AsyncAnthropic(base_url=messages_api.url, api_key="mine", default_headers=headers) as client:
        await complete(AnthropicModel(HAIKU, client=client), asked(top_p=0.5))
    (entry,) = messages_api.bill
    assert entry.headers["anthropic-version"] == EARLIER


async def test_a_model_named_in_a_chain_samples_as_its_step_says(messages_api: MessagesAPI) -> None:
    first = Step("first", prompt="{input}", temperature=0)
    second = Step("second", prompt="{previous}", temperature=0.5)
    await Chain("both", first | second, model=HAIKU, temperature=0.9).run("Hello?")
    assert [entry.received["temperature"] for entry in messages_api.bill] == [0, 0.5]


async def test_the_present_version_refuses_sampling_parameters_also_at_their_defaults(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    for said in ({"temperature": 1.0}, {"top_p": 1.0}):
        with pytest.raises(BadRequestError, match="Extra inputs are not permitted"):
            await client.messages.create(
                model=HAIKU,
                max_tokens=10,
                messages=[{"role": "user", "content": "Hello."}],
                extra_body=said,
            )
    assert {entry.headers["anthropic-version"] for entry in messages_api.bill} == {PRESENT}


async def test_a_model_that_samples_no_more_refuses_it_under_the_earlier_version_too(
    messages_api: MessagesAPI, client: AsyncAnthropic
) -> None:
    with pytest.raises(Refused, match="`temperature` is deprecated for this model"):
        await complete(AnthropicModel("claude-opus-5-5", client=client), asked(temperature=1))
    assert len(messages_api.bill) == 1


@pytest.mark.parametrize("tier", ["priority", "", None, 1, ["auto"]], ids=repr)
async def test_the_simulated_api_refuses_a_service_tier_that_is_none(
    messages_api: MessagesAPI, client: AsyncAnthropic, tier: Any
) -> None:
    with pytest.raises(BadRequestError, match="service_tier: Input should be 'auto' or 'standard_only'"):
        await client.messages.create(
            model=HAIKU,
            max_tokens=10,
            messages=[{"role": "user", "content": "Hello."}],
            service_tier=tier,
        )


@pytest.mark.parametrize("tier", ["auto", "standard_only"])
async def test_a_reply_says_which_service_tier_it_was_given(
    messages_api: MessagesAPI, client: AsyncAnthropic, tier: Any
) -> None:
    messages = [{"role": "user", "content": "Hello."}]
    told: dict[str, Any] = {"model": HAIKU, "max_tokens": 10, "messages": messages, "service_tier": tier}
    reply = await client.messages.create(**told)
    async with client.messages.stream(**told) as stream:
        streamed = await stream.get_final_message()
    assert reply.usage.service_tier == streamed.usage.service_tier == "standard"
