"""What the Messages API refuses, in its own words, before a model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from promptchain.testing.catalogue import Catalogue, ModelFacts, ServedModel
from promptchain.testing.json_values import as_array, as_object
from promptchain.testing.output_format import SchemaRefused, check_schema

__all__ = ["CURRENT_VERSION", "Refused", "check_request", "check_version"]

CURRENT_VERSION: Final = "2026-10-21"
_VERSIONS: Final = (CURRENT_VERSION, "2023-06-01")
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_EFFORT: Final = ("low", "medium", "high", "xhigh", "max")
_SERVICE_TIERS: Final = ("auto", "standard_only")
_COUNTED: Final = frozenset(
    {"model", "messages", "system", "thinking", "tools", "tool_choice", "output_config", "cache_control"}
)
_KNOWN: Final = _COUNTED | {
    *_SAMPLING,
    "max_tokens",
    "stream",
    "stop_sequences",
    "metadata",
    "container",
    "diagnostics",
    "inference_geo",
    "service_tier",
    "speed",
    "user_profile_id",
    "workspace_id",
}


@dataclass
class Refused(Exception):  # noqa: N818 - an answer of the API, not a failure of ours
    """The API answers with an error instead of a reply; ``headers`` go with it."""

    status: int
    type: str
    message: str
    headers: Sequence[tuple[str, str]] = ()


def _refuse(message: str) -> Refused:
    return Refused(400, "invalid_request_error", message)


def check_version(headers: Mapping[str, str]) -> str:
    """The API version that a request asks for.

    Raises:
        Refused: The header is missing, or names no version.
    """
    version = headers.get("anthropic-version", "")
    if not version:
        raise _refuse("anthropic-version: header is required")
    if version not in _VERSIONS:
        raise _refuse(f'anthropic-version: "{version}" is not a valid version')
    return version


def check_request(
    body: Mapping[str, Any], catalogue: Catalogue, *, version: str, beta: bool = False, counting: bool = False
) -> ModelFacts:
    """Judge the body of a request as the API does, up to its first fault.

    Args:
        body: The parsed body.
        catalogue: The models that are known.
        version: The API version.
        beta: Whether the request names a beta, whose own fields are then let through.
        counting: Whether it asks for a count of tokens only.

    Returns:
        The facts of the model that is asked.

    Raises:
        Refused: 400, or 404 for a model that the API does not know.
    """
    for field in ("model", "messages") if counting else ("model", "messages", "max_tokens"):
        if field not in body:
            raise _refuse(f"{field}: Field required")
    known = _COUNTED if counting else _KNOWN
    name = body["model"]
    model = catalogue.find(name) if isinstance(name, str) else None
    for field in body:
        removed = field in _SAMPLING and version == CURRENT_VERSION and not isinstance(model, ServedModel)
        if removed or (field not in known and not beta):
            raise _refuse(f"{field}: Extra inputs are not permitted")
    if not isinstance(name, str):
        raise _refuse("model: Input should be a valid string")
    if model is None:
        raise Refused(404, "not_found_error", f"model: {name}")
    _check_scalars(body, model, counting=counting)
    _check_system(body.get("system"))
    messages = _check_messages(body["messages"], version)
    _check_cache_control(body)
    _check_thinking(body, model)
    _check_output(body, model, messages)
    _check_prefill(body, model, messages)
    if not counting:
        _check_sampling(body, model)
        _check_prewarming(body)
    return model


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_scalars(body: Mapping[str, Any], model: ModelFacts, *, counting: bool) -> None:
    if not counting:
        limit = body["max_tokens"]
        if not _is_integer(limit):
            raise _refuse("max_tokens: Input should be a valid integer")
        if limit < 0:
            raise _refuse("max_tokens: Input should be greater than or equal to 0")
        if limit > model.max_tokens:
            raise _refuse(
                f"max_tokens: {limit} > {model.max_tokens}, which is the maximum allowed number of output "
                f"tokens for {body['model']}"
            )
    if not isinstance(body.get("stream", False), bool):
        raise _refuse("stream: Input should be a valid boolean")
    stops = as_array(body.get("stop_sequences", []))
    if stops is None:
        raise _refuse("stop_sequences: Input should be a valid list")
    for index, stop in enumerate(stops):
        if not isinstance(stop, str):
            raise _refuse(f"stop_sequences.{index}: Input should be a valid string")
        if not stop.strip():
            raise _refuse(f"stop_sequences.{index}: each stop sequence must contain non-whitespace")
    if "service_tier" in body and body["service_tier"] not in _SERVICE_TIERS:
        raise _refuse("service_tier: Input should be 'auto' or 'standard_only'")
    choice = as_object(body.get("tool_choice")) or {}
    if choice.get("type") in {"any", "tool"}:
        raise _refuse("tool_choice: the simulated Messages API calls no tools; use 'auto' or 'none'")


def _check_system(system: object) -> None:
    if system is None or isinstance(system, str):
        return
    blocks = as_array(system)
    if blocks is None:
        raise _refuse("system: Input should be a valid string or list")
    for index, block in enumerate(blocks):
        _check_block(block, f"system.{index}", only_text=True)


def _check_block(block: object, where: str, *, only_text: bool = False) -> dict[str, Any]:
    field = where.partition(".")[0]
    fields = as_object(block)
    if fields is None:
        raise _refuse(f"{where}: Input should be an object")
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise _refuse(f"{where}.type: Field required")
    if only_text and kind != "text":
        raise _refuse(f"{where}.type: Input should be 'text'")
    if kind == "text":
        text = fields.get("text")
        if not isinstance(text, str):
            raise _refuse(f"{where}.text: Input should be a valid string")
        if not text:
            raise _refuse(f"{field}: text content blocks must be non-empty")
        if not text.strip():
            raise _refuse(f"{field}: text content blocks must contain non-whitespace text")
    return fields


def _check_messages(value: object, version: str) -> Sequence[Mapping[str, Any]]:
    turns = as_array(value)
    if turns is None:
        raise _refuse("messages: Input should be a valid list")
    if not turns:
        raise _refuse("messages: at least one message is required")
    messages: list[Mapping[str, Any]] = []
    for index, turn in enumerate(turns):
        message = as_object(turn)
        if message is None:
            raise _refuse(f"messages.{index}: Input should be an object")
        for field in ("role", "content"):
            if field not in message:
                raise _refuse(f"messages.{index}.{field}: Field required")
        if message["role"] not in {"user", "assistant", "system"}:
            raise _refuse(f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
        if index == 0 and message["role"] != "user":
            raise _refuse('messages: first message must use the "user" role')
        _check_content(message, index, version, last=index == len(turns) - 1)
        messages.append(message)
    return messages


def _check_content(message: Mapping[str, Any], index: int, version: str, *, last: bool) -> None:
    where, role, content = f"messages.{index}", message["role"], message["content"]
    blocks = as_array(content)
    if not isinstance(content, str) and blocks is None:
        raise _refuse(f"{where}.content: Input should be a valid string or list")
    if not content and not (last and role == "assistant"):
        raise _refuse(
            f"{where}: all messages must have non-empty content except for the optional final assistant "
            "message"
        )
    if isinstance(content, str) and content and not content.strip():
        raise _refuse("messages: text content blocks must contain non-whitespace text")
    for position, item in enumerate(blocks or []):
        block = _check_block(item, f"{where}.content.{position}", only_text=role == "system")
        if version != CURRENT_VERSION:
            continue
        if role == "assistant" and block["type"] == "document":
            raise _refuse(f"{where}.content.{position}: document blocks are not permitted in assistant turns")
        if role == "user" and block["type"] == "text" and block.get("citations"):
            raise _refuse(f"{where}.content.{position}.citations: Extra inputs are not permitted")


def _check_cache_control(body: Mapping[str, Any]) -> None:
    blocks: list[Any] = [body, *(as_array(body.get("tools")) or []), *(as_array(body.get("system")) or [])]
    for message in body["messages"]:
        blocks += as_array(message["content"]) or []
    marks = [mark for block in blocks if (mark := (as_object(block) or {}).get("cache_control")) is not None]
    for mark in marks:
        control = as_object(mark) or {}
        if control.get("type") != "ephemeral":
            raise _refuse("cache_control.type: Input should be 'ephemeral'")
        if control.get("ttl", "5m") not in {"5m", "1h"}:
            raise _refuse("cache_control.ttl: Input should be '5m' or '1h'")
    if len(marks) > 4:
        raise _refuse(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")


def _check_thinking(body: Mapping[str, Any], model: ModelFacts) -> None:
    if body.get("thinking") is None:
        return
    thinking = as_object(body["thinking"]) or {}
    kind = thinking.get("type")
    if kind not in {"enabled", "disabled", "adaptive", "between_tools"}:
        raise _refuse("thinking.type: Input should be 'enabled', 'disabled', 'adaptive' or 'between_tools'")
    if kind not in model.thinking:
        if kind == "adaptive":
            raise _refuse("adaptive thinking is not supported on this model")
        instead = "enabled" if "adaptive" not in model.thinking else "adaptive"
        raise _refuse(
            f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.{instead}" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if thinking.get("display") not in {None, "summarized", "omitted"}:
        raise _refuse(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if isinstance(model, ServedModel):
        if budget is not None and not (_is_integer(budget) and budget > 0):
            raise _refuse("thinking.enabled.budget_tokens: Input should be an integer greater than 0")
        return
    if not _is_integer(budget):
        raise _refuse("thinking.enabled.budget_tokens: Field required")
    if cast("int", budget) < 1_024:
        raise _refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if "max_tokens" in body and cast("int", budget) >= body["max_tokens"]:
        raise _refuse("`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_output(body: Mapping[str, Any], model: ModelFacts, messages: Sequence[Mapping[str, Any]]) -> None:
    if body.get("output_config") is None:
        return
    config = as_object(body["output_config"])
    if config is None:
        raise _refuse("output_config: Input should be an object")
    effort = config.get("effort")
    if effort is not None and effort not in _EFFORT:
        raise _refuse("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if effort is not None and not model.effort:
        raise _refuse("This model does not support the effort parameter.")
    if effort is not None and effort not in model.effort:
        levels = ", ".join(sorted(model.effort))
        raise _refuse(f"This model does not support effort level '{effort}'. Supported levels: {levels}.")
    if config.get("format") is None:
        return
    wanted = as_object(config["format"]) or {}
    if wanted.get("type") != "json_schema":
        raise _refuse("output_config.format.type: Input should be 'json_schema'")
    if "schema" not in wanted:
        raise _refuse("output_config.format.schema: Field required")
    try:
        check_schema(wanted["schema"])
    except SchemaRefused as refused:
        raise _refuse(f"output_config.format.schema: {refused}") from None
    if messages[-1]["role"] == "assistant":
        raise _refuse("output_config.format: prefill cannot be combined with structured outputs")


def _check_prefill(body: Mapping[str, Any], model: ModelFacts, messages: Sequence[Mapping[str, Any]]) -> None:
    last = messages[-1]
    if last["role"] != "assistant":
        return
    thinking = (as_object(body.get("thinking")) or {}).get("type", "disabled")
    if not model.prefill or thinking != "disabled":
        raise _refuse(
            "This model does not support assistant message prefill. The conversation must end with a user "
            "message."
        )
    content = last["content"]
    text = content if isinstance(content, str) else str(content[-1].get("text", "")) if content else ""
    if text != text.rstrip():
        raise _refuse("messages: final assistant content cannot end with trailing whitespace")


def _check_sampling(body: Mapping[str, Any], model: ModelFacts) -> None:
    sent = [field for field in _SAMPLING if body.get(field) is not None]
    for field in sent:
        value = body[field]
        if not model.sampling:
            raise _refuse(f"`{field}` is deprecated for this model.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _refuse(f"{field}: Input should be a valid number")
        bounded = field != "top_k" and not isinstance(model, ServedModel)
        if value < 0 or (bounded and value > 1):
            raise _refuse(f"{field}: range: 0..1" if bounded else f"{field}: must be at least 0")
    if isinstance(model, ServedModel):
        return
    if "temperature" in sent and "top_p" in sent:
        raise _refuse(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )
    thinking = (as_object(body.get("thinking")) or {}).get("type", "disabled")
    if "temperature" in sent and thinking != "disabled" and body["temperature"] != 1:
        raise _refuse("`temperature` may only be set to 1 when thinking is enabled.")


def _check_prewarming(body: Mapping[str, Any]) -> None:
    if body["max_tokens"] > 0:
        return
    thinking = (as_object(body.get("thinking")) or {}).get("type", "disabled")
    config = as_object(body.get("output_config")) or {}
    if body.get("stream") or thinking in {"enabled", "adaptive"} or config.get("format") is not None:
        raise _refuse(
            "max_tokens: 0 only warms the cache, and cannot be combined with stream, thinking or "
            "output_config.format"
        )
