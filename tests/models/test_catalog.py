"""What is known of models, and that all who need it know the same."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from anthropic import AsyncAnthropic
from anthropic.types import ModelParam, ThinkingConfigParam
from typing_extensions import get_type_hints

from promptchain.messages import Effort
from promptchain.models import catalog
from promptchain.models.catalog import KNOWN_MODELS, MODELS, KnownModel, ThinkingKind, known_model
from promptchain.testing import MessagesAPI
from promptchain.testing.catalogue import MODELS as SIMULATED
from promptchain.testing.catalogue import find_model


def test_every_name_that_the_sdk_lists_is_known_and_no_other() -> None:
    names, _ = get_args(ModelParam)
    assert set(KNOWN_MODELS) == set(get_args(names))
    assert list(KNOWN_MODELS) == sorted(set(KNOWN_MODELS))


def test_a_model_is_known_with_its_date_and_without() -> None:
    model = known_model("claude-haiku-4-5-20251001")
    assert model is not None
    assert model is known_model("claude-haiku-4-5")
    assert model.names == ("claude-haiku-4-5-20251001", "claude-haiku-4-5")
    assert model.line == "haiku"


def test_a_model_without_a_date_has_one_name() -> None:
    model = known_model("claude-opus-4-6")
    assert model is not None
    assert model.names == ("claude-opus-4-6",)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "offline",
        "claude-haiku-4",
        "claude-haiku-4-5-20251002",
        "claude-haiku-9",
        "claude-mythos-preview",  # the SDK lists it, and nothing more is known of it
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "claude-haiku-4-5@20251001",
    ],
)
def test_what_is_unknown_stays_unknown(name: str) -> None:
    assert known_model(name) is None


def test_no_two_models_share_a_name() -> None:
    names = [name for model in MODELS for name in model.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_the_facts_of_a_model_fit_together(model: KnownModel) -> None:
    assert 0 < model.cache_minimum < model.max_tokens < model.context
    assert set(model.effort) <= set(get_args(Effort))
    assert model.thinking
    assert set(model.thinking) <= set(get_args(ThinkingKind))
    assert model.effort == tuple(level for level in get_args(Effort) if level in model.effort)


def test_the_kinds_of_thinking_are_those_of_the_sdk() -> None:
    kinds = {get_args(get_type_hints(param)["type"])[0] for param in get_args(ThinkingConfigParam)}
    assert kinds == set(get_args(ThinkingKind))


def test_the_simulated_api_knows_exactly_these_models_and_these_facts() -> None:
    assert [model.id for model in SIMULATED] == [model.id for model in MODELS]
    for model in MODELS:
        for name in model.names:
            simulated = find_model(name)
            assert simulated is not None
            for field in fields(KnownModel):
                assert getattr(simulated, field.name) == getattr(model, field.name)


async def test_the_sdk_reads_the_same_facts_from_the_simulated_api(messages_api: MessagesAPI) -> None:
    async with AsyncAnthropic(base_url=messages_api.url, api_key="mine") as client:
        told = await client.models.retrieve("claude-opus-4-5")
    known = known_model("claude-opus-4-5")
    assert known is not None
    assert (told.id, told.max_input_tokens, told.max_tokens) == (known.id, known.context, known.max_tokens)
    assert told.capabilities is not None
    levels = told.capabilities.effort.model_dump()
    assert tuple(level for level in get_args(Effort) if levels[level]["supported"]) == known.effort


def test_the_day_of_the_last_comparison_is_a_day() -> None:
    assert date.fromisoformat(catalog.KNOWN_ON)


def test_the_page_on_model_arguments_shows_these_models_and_this_day() -> None:
    page = (Path(__file__).parents[2] / "docs" / "model-arguments.md").read_text("utf-8")
    shown = [line for line in page.splitlines() if line.startswith("| `claude-")]
    assert shown == [row(model) for model in MODELS]
    assert f"as of {catalog.KNOWN_ON}" in page


def row(model: KnownModel) -> str:
    cells = [
        f"`{model.alias}`",
        f"{model.context:,}",
        f"{model.max_tokens:,}",
        ", ".join(model.effort) or "none",
        ", ".join(model.thinking),
        "yes" if model.sampling else "no",
        f"{model.cache_minimum:,}",
    ]
    return f"| {' | '.join(cells)} |"
