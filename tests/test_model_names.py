"""Names that take the place of a chain's own models: they are asked for where those are."""

from __future__ import annotations

import pytest

from promptchain import AnthropicModel, Chain, JudgeGate, OfflineModel, ScriptedModel, Step
from promptchain.errors import RealCallForbiddenError
from promptchain.settings import Profile, Settings
from promptchain.testing import MessagesAPI

GOOD = {"reason": "It is.", "verdict": "pass"}


async def test_a_name_that_is_handed_to_the_run_is_asked_for_where_the_chain_asks(
    messages_api: MessagesAPI,
) -> None:
    with MessagesAPI() as own:
        model = AnthropicModel("claude-haiku-4-5", base_url=own.url, api_key="mine")
        chain = Chain("c", Step("a", prompt="{input}", gates=[JudgeGate("It is good.")]), model=model)
        own.script("one", GOOD)
        result = await chain.run("x", model="claude-opus-5")
        assert [(entry.model, entry.headers["authorization"]) for entry in own.bill] == [
            ("claude-opus-5", "Bearer mine")
        ] * 2
        assert [attempt.model for attempt in result.ledger] == ["claude-opus-5"] * 2
    assert len(messages_api.bill) == 0


async def test_a_model_that_is_handed_to_the_run_is_asked_itself(messages_api: MessagesAPI) -> None:
    model = AnthropicModel("claude-haiku-4-5", base_url="http://127.0.0.1:9", api_key="mine")
    chain = Chain("c", Step("a", prompt="{input}"), model=model)
    await chain.run("x", model=AnthropicModel("claude-opus-5"))
    assert [entry.model for entry in messages_api.bill] == ["claude-opus-5"]
    assert "offline" in (await chain.run("x", model="offline")).output


@pytest.mark.parametrize("own", [ScriptedModel("never"), OfflineModel()])
async def test_the_caller_of_a_run_may_name_a_model_in_the_place_of_any(
    own: ScriptedModel | OfflineModel, messages_api: MessagesAPI
) -> None:
    await Chain("c", Step("a", prompt="{input}"), model=own).run("x", model="claude-opus-5")
    assert [entry.model for entry in messages_api.bill] == ["claude-opus-5"]


async def test_settings_may_name_a_model_in_the_place_of_the_stand_in(messages_api: MessagesAPI) -> None:
    chain = Chain("c", Step("a", prompt="{input}"), model="offline")
    await chain.run("x", settings=Settings.read({"PROMPTCHAIN_PROFILE": "cost"}))
    assert [entry.model for entry in messages_api.bill] == ["claude-haiku-5-5"]


@pytest.mark.parametrize(
    ("said", "judge", "effort", "most"),
    [
        ({}, "claude-haiku-4-5", None, 4_096),
        ({"PROMPTCHAIN_A_MODEL": "claude-opus-5"}, "claude-opus-5", None, 4_096),
        ({"PROMPTCHAIN_A_JUDGE_MODEL": "claude-opus-5"}, "claude-opus-5", None, 4_096),
        ({"PROMPTCHAIN_JUDGE_MODEL": "claude-opus-5"}, "claude-opus-5", None, 4_096),
        ({"PROMPTCHAIN_PROFILE": "cost"}, "claude-haiku-5-5", None, 4_096),
        ({"PROMPTCHAIN_PROFILE": "mine"}, "claude-sonnet-5-5", "high", 9_000),
        (
            {"PROMPTCHAIN_PROFILE": "mine", "PROMPTCHAIN_A_JUDGE_MAX_TOKENS": "777"},
            "claude-sonnet-5-5",
            "high",
            777,
        ),
    ],
)
async def test_settings_say_of_a_judge_what_names_it(
    said: dict[str, str], judge: str, effort: str | None, most: int, messages_api: MessagesAPI
) -> None:
    mine = Profile(steps={"a/judge": {"model": "claude-sonnet-5-5", "effort": "high", "max_tokens": 9_000}})
    asks = Step("a", prompt="{input}", gates=[JudgeGate("It is good.")])
    chain = Chain("c", asks, model="claude-haiku-4-5", profiles={"mine": mine})
    messages_api.script("one", GOOD)
    await chain.run("x", settings=Settings.read(said))
    sent = messages_api.bill[1]
    assert (sent.model, sent.received["output_config"].get("effort")) == (judge, effort)
    assert sent.received["max_tokens"] == most
    (call,) = [
        call
        for place in chain.outline
        for call in place.held(Settings.read(said).overrides(chain.profiles)).calls
        if call.path == "a/judge"
    ]
    assert call.model is not None
    assert (call.model.name, call.arguments.effort) == (judge, effort)


async def test_where_real_calls_are_forbidden_that_is_said_and_not_that_a_key_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(RealCallForbiddenError, match="messages_api"):
        await Chain("c", Step("a", prompt="{input}"), model="claude-haiku-4-5").run("x")
