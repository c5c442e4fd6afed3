"""Names outside of the catalogue: the models of a local server, served because a test said so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from anthropic import Anthropic
from pydantic import BaseModel

from promptchain import AnthropicModel, Chain, Step
from promptchain.errors import ModelNotFoundError
from promptchain.models import SchemaInPrompt
from promptchain.testing import MessagesAPI, RecordedRequest
from promptchain.testing.catalogue import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Wire

NAMES = ["qwen3:8b", "llama3.2", "meta-llama/Llama-3.1-8B-Instruct", "gpt-oss:20b", "local"]
OLD = {"anthropic-version": "2023-06-01"}
CONTEXT = 131_072


class City(BaseModel):
    name: str
    people: int


@pytest.fixture
def served(api: MessagesAPI) -> MessagesAPI:
    api.serve("qwen3:8b")
    return api


def asked(hello: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**hello, "model": "qwen3:8b", **changes}


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_asks_a_model_that_was_named_when_the_api_was_made(name: str) -> None:
    with MessagesAPI(models=[name]) as api:
        local = AnthropicModel(name, base_url=api.url, api_key="any")
        api.script("The moon.")
        result = Chain("answer", Step("tell", prompt="{input}"), model=local).run_sync("What makes the tide?")
    assert result.output == "The moon."
    assert result.usage == api.bill.usage
    assert result.cost is None
    assert api.bill.cost is None
    assert api.bill.as_dict()["cost"] is None


def test_the_fixture_serves_a_model_from_the_moment_it_is_told(messages_api: MessagesAPI) -> None:
    answer = Chain("answer", Step("tell", prompt="{input}"), model="qwen3:8b")
    with pytest.raises(ModelNotFoundError, match="qwen3:8b"):
        answer.run_sync("What makes the tide?")
    messages_api.serve("qwen3:8b", "llama3.2")
    messages_api.script("The moon.", "The moon again.")
    assert answer.run_sync("What makes the tide?").output == "The moon."
    assert answer.run_sync("And now?", model="llama3.2").output == "The moon again."
    assert [entry.status for entry in messages_api.bill] == [404, 200, 200]


def test_served_models_are_listed_first_and_found_one_by_one(api: MessagesAPI) -> None:
    api.serve(*NAMES)
    api.serve("qwen3:8b", "claude-haiku-4-5")
    with Anthropic(base_url=api.url, api_key="any") as client:
        listed = [model.id for model in client.models.list()]
        assert listed == [*NAMES, *(model.id for model in MODELS)]
        page = client.models.list(limit=2, after_id="llama3.2")
        assert [model.id for model in page.data] == NAMES[2:4]
        assert page.has_more
        for name in NAMES:
            found = client.models.retrieve(name)
            assert (found.id, found.display_name, found.max_input_tokens) == (name, name, CONTEXT)
            assert found.capabilities is not None
            assert not found.capabilities.effort.supported
            assert found.capabilities.thinking.types.enabled.supported
            assert not found.capabilities.thinking.types.adaptive.supported


def test_a_name_of_the_catalogue_keeps_what_is_known_of_it(hello: dict[str, Any]) -> None:
    with (
        MessagesAPI(models=["claude-haiku-4-5"]) as api,
        Anthropic(base_url=api.url, api_key="any") as client,
    ):
        assert client.models.retrieve("claude-haiku-4-5").max_tokens == 64_000
        assert client.messages.create(**hello).usage.output_tokens
        assert api.bill.cost


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 1.5, "top_p": 0.9, "top_k": 40},
        {"temperature": 0.2, "thinking": {"type": "enabled"}},
        {"thinking": {"type": "enabled", "budget_tokens": 64}},
        {"thinking": {"type": "enabled", "budget_tokens": 5_000}},
        {"thinking": {"type": "disabled"}},
        {"max_tokens": CONTEXT},
        {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Well"}]},
        {"cache_control": {"type": "ephemeral"}},
    ],
)
@pytest.mark.parametrize("version", [{}, OLD])
@pytest.mark.usefixtures("served")
def test_what_local_servers_take_is_taken_in_both_versions(
    wire: Wire, hello: dict[str, Any], change: dict[str, Any], version: dict[str, str]
) -> None:
    response = wire.ask(body=asked(hello, **change), headers=version)
    assert response.status == 200, response.body
    assert response.json["model"] == "qwen3:8b"
    assert response.json["usage"]["cache_creation_input_tokens"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"output_config": {"effort": "low"}}, "This model does not support the effort parameter."),
        ({"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "budget_tokens: Input should be"),
        ({"thinking": {"type": "enabled", "budget_tokens": "64"}}, "budget_tokens: Input should be"),
        ({"temperature": "warm"}, "temperature: Input should be a valid number"),
        ({"temperature": -1}, "temperature: must be at least 0"),
        ({"max_tokens": CONTEXT + 1}, f"max_tokens: {CONTEXT + 1} > {CONTEXT}"),
        ({"nonsense": 1}, "nonsense: Extra inputs are not permitted"),
    ],
)
@pytest.mark.usefixtures("served")
def test_what_they_do_not_take_is_refused(
    wire: Wire, hello: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    response = wire.ask(body=asked(hello, **change), headers=OLD)
    assert response.status == 400
    assert words in response.json["error"]["message"]


@pytest.mark.usefixtures("served")
def test_a_prompt_over_their_context_is_refused(wire: Wire, hello: dict[str, Any]) -> None:
    long = [{"role": "user", "content": "tide " * CONTEXT}]
    response = wire.ask(body=asked(hello, messages=long))
    assert (response.status, f"> {CONTEXT} maximum" in response.json["error"]["message"]) == (400, True)


def test_models_may_be_named_by_many_threads_while_requests_run(
    api: MessagesAPI, connect: Callable[..., Wire], hello: dict[str, Any]
) -> None:
    failures: list[str] = []

    def use(name: str) -> None:
        api.serve(name)
        response = wires[name].ask(body={**hello, "model": name})
        if response.status != 200:
            failures.append(name)

    names = [f"local-{number}" for number in range(32)]
    wires = {name: connect() for name in names}
    threads = [threading.Thread(target=use, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("name", ["", " ", " qwen3", "qwen3\n", "qwen 3", "\ud800"])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a model"):
        MessagesAPI(models=[name])
    with pytest.raises(ValueError, match="cannot be the name of a model"):
        MessagesAPI().serve(name)


def test_one_name_in_the_place_of_several_is_refused() -> None:
    with pytest.raises(TypeError, match=r"models=\['qwen3:8b'\]"):
        MessagesAPI(models="qwen3:8b")


async def test_a_schema_that_went_into_the_prompt_is_answered_in_json(messages_api: MessagesAPI) -> None:
    messages_api.serve("qwen3:8b")
    find = Step("find", prompt="Which city is meant?\n{input}", system="Be brief.", output=City)
    tell = Step("tell", prompt="Tell of {find.name}.")
    chain = Chain("city", find | tell, model=SchemaInPrompt(AnthropicModel("qwen3:8b")))
    result = await chain.run("The one with the cathedral, Cologne.")
    assert result[find].output.name == "Cologne"
    assert "Cologne" in result.output
    assert len(messages_api.bill) == 2
    assert "output_config" not in messages_api.bill[0].received


def test_a_function_may_answer_for_a_served_model(messages_api: MessagesAPI) -> None:
    messages_api.serve("qwen3:8b")

    def told(request: RecordedRequest) -> str:
        return f"{request.model} has {request.facts.context}"

    messages_api.answer_with(told)
    chain = Chain("answer", Step("tell", prompt="{input}"), model="qwen3:8b")
    assert chain.run_sync("How much do you read?").output == f"qwen3:8b has {CONTEXT}"
