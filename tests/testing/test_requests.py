"""What the API refuses, and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from promptchain.testing import MessagesAPI

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Wire

OLD = {"anthropic-version": "2023-06-01"}
TEXT = {"type": "text", "text": "Hi."}
MARKED = {**TEXT, "cache_control": {"type": "ephemeral"}}


def schema(**fields: Any) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": fields}}}


def turns(*contents: Any) -> dict[str, Any]:
    roles = ["user", "assistant"] * len(contents)
    return {"messages": [{"role": role, "content": c} for role, c in zip(roles, contents, strict=False)]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"max_tokens": 64_001}, "max_tokens: 64001 > 64000, which is the maximum allowed"),
        ({"max_tokens": 0, "stream": True}, "max_tokens: 0 only warms the cache"),
        ({"max_tokens": 0, **schema(type="string")}, "max_tokens: 0 only warms the cache"),
        ({"model": 7}, "model: Input should be a valid string"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"nonsense": 1}, "nonsense: Extra inputs are not permitted"),
        ({"stop_sequences": "END"}, "stop_sequences: Input should be a valid list"),
        ({"stop_sequences": [1]}, "stop_sequences.0: Input should be a valid string"),
        ({"stop_sequences": [" "]}, "stop_sequences.0: each stop sequence must contain non-whitespace"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": "Hi."}, "messages: Input should be a valid list"),
        ({"messages": ["Hi."]}, "messages.0: Input should be an object"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"content": "Hi."}]}, "messages.0.role: Field required"),
        ({"messages": [{"role": "robot", "content": "Hi."}]}, "messages.0.role: Input should be 'user'"),
        ({"messages": [{"role": "assistant", "content": "Hi."}]}, 'first message must use the "user" role'),
        (turns(""), "messages.0: all messages must have non-empty content"),
        (turns([]), "messages.0: all messages must have non-empty content"),
        (turns("  \n"), "messages: text content blocks must contain non-whitespace text"),
        (turns(7), "messages.0.content: Input should be a valid string or list"),
        (turns(["Hi."]), "messages.0.content.0: Input should be an object"),
        (turns([{"text": "Hi."}]), "messages.0.content.0.type: Field required"),
        (turns([{"type": "text"}]), "messages.0.content.0.text: Input should be a valid string"),
        (turns([{"type": "text", "text": ""}]), "messages: text content blocks must be non-empty"),
        (turns("Hi.", [{"type": "document"}], "So?"), "document blocks are not permitted"),
        (turns([{**TEXT, "citations": [{}]}]), "citations: Extra inputs are not permitted"),
        ({"system": 7}, "system: Input should be a valid string or list"),
        ({"system": [{"type": "image"}]}, "system.0.type: Input should be 'text'"),
        (turns([MARKED] * 5), "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        ({"system": [MARKED], **turns([MARKED] * 4)}, "Found 5."),
        ({"cache_control": {"type": "ephemeral"}, **turns([MARKED] * 4)}, "Found 5."),
        (turns([{**TEXT, "cache_control": {"type": "eternal"}}]), "cache_control.type"),
        ({"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control.ttl: Input should be"),
        ({"tool_choice": {"type": "any"}}, "the simulated Messages API calls no tools"),
        ({"temperature": 1.0}, "temperature: Extra inputs are not permitted"),
        ({"top_p": 1}, "top_p: Extra inputs are not permitted"),
        ({"top_k": 0}, "top_k: Extra inputs are not permitted"),
        ({"thinking": {"type": "deep"}}, "thinking.type: Input should be"),
        ({"thinking": {"type": "enabled"}}, "budget_tokens: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_023}}, "greater than or equal to 1024"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2_000}, "max_tokens": 2_000},
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        ({"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1_024}, "model": "claude-sonnet-5"},
            '"thinking.type.enabled" is not supported for this model',
        ),
        ({"thinking": {"type": "disabled"}, "model": "claude-opus-5-5"}, '"thinking.type.disabled" is not'),
        ({"thinking": {"type": "adaptive", "display": "all"}, "model": "claude-opus-5"}, "display: Input"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort: Input should be 'low'"),
        ({"output_config": {"effort": "low"}}, "This model does not support the effort parameter."),
        (
            {"output_config": {"effort": "xhigh"}, "model": "claude-sonnet-4-6"},
            "This model does not support effort level 'xhigh'. Supported levels: high, low, max, medium.",
        ),
        ({"output_config": {"format": {"type": "json"}}}, "output_config.format.type"),
        (
            {"output_config": {"format": {"type": "json_schema"}}},
            "output_config.format.schema: Field required",
        ),
        (schema(type="integer", minimum=0), "For 'integer' type, property 'minimum' is not supported"),
        (schema(type="string", maxLength=3), "For 'string' type, property 'maxLength' is not supported"),
        (schema(type="object", properties={}), "'additionalProperties' must be explicitly set to false"),
        (schema(type="array", items={"type": "null"}, minItems=2), "'minItems' values other than 0 or 1"),
        (schema(type="string", format="color"), "format 'color' is not supported"),
        (schema(type="array", items=True), "boolean schemas are not supported"),
        (schema(enum=[["a"]]), "Enum value is not supported"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": []}}},
            "schema: Input should be a valid",
        ),
        (schema(type="tuple"), "Schema type 'tuple' is not supported"),
        (schema(oneOf=[{"type": "null"}]), "Schema must have a 'type'"),
        (schema(), "Schema must have a 'type'"),
        (schema(anyOf=[{"type": "object"}]), "'additionalProperties' must be explicitly set to false"),
        (schema(**{"$ref": "https://example.org/x"}), "External $ref is not supported"),
        (schema(**{"$ref": "#/$defs/X"}), "definition that does not exist"),
        (
            schema(
                **{
                    "$ref": "#/$defs/Tree",
                    "$defs": {
                        "Tree": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"left": {"$ref": "#/$defs/Tree"}},
                        }
                    },
                }
            ),
            "Circular reference detected in schema definitions: Tree -> Tree",
        ),
        (
            {"model": "claude-sonnet-4-6", **turns("Hi.", "So")},
            "This model does not support assistant message prefill.",
        ),
        (turns("Hi.", "So "), "final assistant content cannot end with trailing whitespace"),
        ({**turns("Hi.", "{"), **schema(type="null")}, "prefill cannot be combined with structured outputs"),
    ],
)
def test_a_bad_request_is_400_and_says_what_is_wrong(
    api: MessagesAPI, wire: Wire, hello: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    response = wire.ask(body={**hello, **change})
    assert response.status == 400, response.body
    assert response.json["error"]["type"] == "invalid_request_error"
    assert words in response.json["error"]["message"]
    (entry,) = api.bill
    assert (entry.status, entry.usage.total_tokens, entry.cost, entry.ended) == (400, 0, 0, True)


@pytest.mark.parametrize("field", ["model", "messages", "max_tokens"])
def test_a_missing_field_is_named(wire: Wire, hello: dict[str, Any], field: str) -> None:
    del hello[field]
    response = wire.ask(body=hello)
    assert (response.status, response.json["error"]["message"]) == (400, f"{field}: Field required")


def test_an_unknown_model_is_404(wire: Wire, hello: dict[str, Any]) -> None:
    response = wire.ask(body={**hello, "model": "claude-haiku-9"})
    assert response.status == 404
    assert response.json == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "model: claude-haiku-9"},
        "request_id": response.headers["request-id"],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.2},
        {"top_p": 0.9},
        {"top_k": 5},
        {"temperature": 1, "thinking": {"type": "adaptive"}, "model": "claude-opus-4-6"},
    ],
)
def test_the_old_version_takes_sampling_parameters_on_models_up_to_4_6(
    wire: Wire, hello: dict[str, Any], change: dict[str, Any]
) -> None:
    assert wire.ask(body={**hello, **change}, headers=OLD).status == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": 1, "model": "claude-opus-4-7"}, "`temperature` is deprecated for this model."),
        ({"temperature": 2}, "temperature: range: 0..1"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number"),
        ({"temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
        (
            {
                "temperature": 0.5,
                "thinking": {"type": "enabled", "budget_tokens": 1_024},
                "max_tokens": 2_000,
            },
            "may only be set to 1 when thinking is enabled",
        ),
    ],
)
def test_the_old_version_refuses_bad_sampling(
    wire: Wire, hello: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    response = wire.ask(body={**hello, **change}, headers=OLD)
    assert response.status == 400
    assert words in response.json["error"]["message"]


@pytest.mark.parametrize(
    ("version", "words"),
    [("", "header is required"), ("2024-10-22", 'anthropic-version: "2024-10-22" is not a valid version')],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_missing_or_unknown_version_is_400(
    wire: Wire, hello: dict[str, Any], path: str, version: str, words: str
) -> None:
    response = wire.ask(path=path, body=hello, headers={"anthropic-version": version})
    assert response.status == 400
    assert words in response.json["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": "sk-right"}, 200),
        ({"x-api-key": "", "authorization": "Bearer sk-right"}, 200),
        ({"x-api-key": "sk-right", "authorization": "Bearer sk-wrong"}, 200),
        ({"x-api-key": "sk-wrong", "authorization": "Bearer sk-right"}, 401),
        ({"x-api-key": "", "authorization": "Bearer sk-wrong"}, 401),
        ({"x-api-key": "", "authorization": "Basic sk-right"}, 401),
        ({"x-api-key": ""}, 401),
    ],
)
def test_only_a_known_key_is_let_in(
    connect: Callable[..., Wire], hello: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    with MessagesAPI(keys={"sk-right"}) as api:
        response = connect(api).ask(body=hello, headers=headers)
    assert response.status == status
    if status == 401:
        assert response.json["error"]["type"] == "authentication_error"
        assert api.bill[0].usage.total_tokens == 0


def test_by_default_any_key_is_let_in_but_none_is_not(wire: Wire, hello: dict[str, Any]) -> None:
    assert wire.ask(body=hello, headers={"x-api-key": "anything"}).status == 200
    assert wire.ask(body=hello, headers={"x-api-key": ""}).status == 401


def test_a_beta_may_bring_fields_of_its_own(wire: Wire, hello: dict[str, Any]) -> None:
    body = {**hello, "context_management": {"edits": []}}
    assert wire.ask(body=body).status == 400
    assert wire.ask(body=body, headers={"anthropic-beta": "context-management-2025-06-27"}).status == 200


def test_a_prompt_over_the_context_window_is_refused(wire: Wire, hello: dict[str, Any]) -> None:
    response = wire.ask(body={**hello, **turns("word " * 200_001)})
    assert response.status == 400
    assert response.json["error"]["message"] == "prompt is too long: 200008 tokens > 200000 maximum"
    assert wire.ask(body={**hello, **turns("word " * 200_001), "model": "claude-haiku-5-5"}).status == 200


@pytest.mark.parametrize("query", ["limit=0", "limit=many", "limit=1001", "after_id=claude-nonsense"])
def test_a_page_of_models_that_does_not_exist_is_400(wire: Wire, query: str) -> None:
    assert wire.ask("GET", f"/v1/models?{query}").status == 400


def test_tools_and_pictures_are_counted_but_never_called(wire: Wire, hello: dict[str, Any]) -> None:
    tool = {"name": "clock", "description": "tells the time", "input_schema": {"type": "object"}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}}
    sizes: list[int] = []
    for change in ({}, {"tools": [tool]}, turns([image, TEXT])):
        response = wire.ask(body={**hello, **change}).json
        assert response["stop_reason"] == "end_turn"
        sizes.append(response["usage"]["input_tokens"])
    assert sizes[0] < sizes[1] < sizes[2] < 2_000
