"""What a known model does not take is refused before a request leaves, and nothing else is."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
from anthropic import AsyncAnthropic
from anthropic import BadRequestError as SaidByAPI

from promptchain import Chain, ScriptedModel, Step
from promptchain.arguments import DEFAULT_MAX_TOKENS, Arguments
from promptchain.errors import DefinitionError
from promptchain.fitness import refuse_unfit
from promptchain.messages import Effort
from promptchain.models import model_named
from promptchain.models.catalog import MODELS, KnownModel, ThinkingKind
from promptchain.testing import MessagesAPI
from promptchain.testing.catalogue import Catalogue
from promptchain.testing.validation import Refused, check_request

PLACES = "the step, its chain or the settings"
ENABLED = {"type": "enabled", "budget_tokens": 2_000}


def refused(name: str, **said: Any) -> str:
    """Why ``name`` does not take ``said``, or an empty string."""
    try:
        refuse_unfit(Arguments(**said), model_named(name))
    except DefinitionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "said", "says"),
    [
        (
            "claude-opus-5-5",
            {"temperature": 0.2},
            (
                f"claude-opus-5-5 takes no temperature: leave it out of {PLACES} and steer it with effort or "
                "thinking, or give model= one that takes it, such as claude-opus-4-6, claude-sonnet-4-6 or "
                "claude-haiku-4-5."
            ),
        ),
        (
            "claude-sonnet-5",
            {"temperature": 1, "top_p": 1},
            (
                f"claude-sonnet-5 takes no temperature or top_p: leave both out of {PLACES} and steer it with "
                "effort or thinking, or give model= one that takes it, such as claude-opus-4-6, "
                "claude-sonnet-4-6 or claude-haiku-4-5."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"temperature": 0.2, "top_p": 0.9},
            f"claude-haiku-4-5 takes temperature or top_p, not both: leave one of them out of {PLACES}.",
        ),
        (
            "claude-sonnet-4-6",
            {"temperature": 0.2, "thinking": {"type": "adaptive"}},
            (
                "claude-sonnet-4-6 takes no temperature but 1 while it thinks, and it is 0.2: leave temperature "
                f"or thinking out of {PLACES}."
            ),
        ),
        (
            "claude-haiku-4-5-20251001",
            {"effort": "low"},
            (
                f"claude-haiku-4-5-20251001 takes no effort: leave it out of {PLACES} and steer it with thinking, "
                "or give model= one that takes it, such as claude-haiku-5-5."
            ),
        ),
        (
            "claude-opus-4-5",
            {"effort": "max"},
            (
                f"claude-opus-4-5 takes no effort 'max': say 'low', 'medium' or 'high' in {PLACES}, or give model= "
                "one that takes it, such as claude-opus-5-5."
            ),
        ),
        (
            "claude-opus-5-5",
            {"thinking": ENABLED},
            (
                "claude-opus-5-5 takes no thinking of type 'enabled': say thinking={'type': 'adaptive'} in "
                f"{PLACES}. How much it thinks is up to effort."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"thinking": {"type": "adaptive"}},
            (
                "claude-haiku-4-5 takes no thinking of type 'adaptive': say thinking={'type': 'enabled', "
                f"'budget_tokens': 1024}} or {{'type': 'disabled'}} in {PLACES}."
            ),
        ),
        (
            "claude-opus-5",
            {"thinking": {}},
            (
                "claude-opus-5 takes no thinking without a type: say thinking={'type': 'disabled'} or "
                f"{{'type': 'adaptive'}} in {PLACES}."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"thinking": {"type": "enabled"}},
            (
                "claude-haiku-4-5 thinks with budget_tokens, a whole number of tokens, and budget_tokens is "
                f"missing: say thinking={{'type': 'enabled', 'budget_tokens': 1024}}, or more tokens, in {PLACES}."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"thinking": {"type": "enabled", "budget_tokens": "2000"}},
            (
                "claude-haiku-4-5 thinks with budget_tokens, a whole number of tokens, and budget_tokens is "
                f"'2000': say thinking={{'type': 'enabled', 'budget_tokens': 1024}}, or more tokens, in {PLACES}."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"thinking": {"type": "enabled", "budget_tokens": 1_023}},
            (
                "claude-haiku-4-5 thinks with budget_tokens of at least 1,024, and they are 1,023: raise them in "
                f"thinking= of {PLACES}."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"thinking": {"type": "enabled", "budget_tokens": 4_096}},
            (
                "claude-haiku-4-5 thinks within max_tokens, which is 4,096 where nothing is said, and "
                f"budget_tokens is 4,096: raise max_tokens above it, or lower budget_tokens, in {PLACES}."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"thinking": ENABLED, "max_tokens": 1_500},
            (
                "claude-haiku-4-5 thinks within max_tokens, which is 1,500, and budget_tokens is 2,000: raise "
                f"max_tokens above it, or lower budget_tokens, in {PLACES}."
            ),
        ),
        (
            "claude-haiku-4-5",
            {"max_tokens": 64_001},
            (
                "claude-haiku-4-5 writes at most 64,000 tokens, and max_tokens is 64,001: lower it in "
                f"{PLACES}."
            ),
        ),
    ],
)
def test_what_a_known_model_does_not_take_is_refused_with_what_to_say_instead(
    name: str, said: dict[str, Any], says: str
) -> None:
    assert refused(name, **said) == says


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("claude-haiku-4-5", {"temperature": 0.2}),
        ("claude-haiku-4-5", {"temperature": 0}),
        ("claude-haiku-4-5", {"top_p": 0.9, "max_tokens": 64_000}),
        ("claude-haiku-4-5", {"temperature": 0.2, "thinking": {"type": "disabled"}}),
        ("claude-haiku-4-5", {"temperature": 1.0, "thinking": ENABLED}),
        ("claude-sonnet-4-6", {"temperature": 0.2, "effort": "max"}),
        ("claude-opus-5-5", {"effort": "xhigh", "thinking": {"type": "adaptive", "display": "summarized"}}),
        ("claude-opus-5-5", {"service_tier": "standard_only"}),
        ("claude-opus-5-5", {}),
    ],
)
def test_what_it_takes_is_not_refused(name: str, said: dict[str, Any]) -> None:
    assert not refused(name, **said)


@pytest.mark.parametrize("name", ["claude-haiku-9", "claude-mythos-preview", "qwen3:8b", "offline"])
def test_of_an_unknown_model_nothing_is_refused(name: str) -> None:
    everything = {"temperature": 0.2, "top_p": 0.1, "effort": "max", "thinking": {"type": "enabled"}}
    assert not refused(name, **everything, max_tokens=10_000_000)


def test_a_model_is_what_its_name_says() -> None:
    said = Arguments(temperature=0.2)
    refuse_unfit(said, ScriptedModel("x"))
    with pytest.raises(DefinitionError, match="takes no temperature"):
        refuse_unfit(said, ScriptedModel("x", name="claude-opus-5-5"))


def combinations() -> list[dict[str, Any]]:
    """What could be said, in every combination of values that matter."""
    budgets = ({}, {"budget_tokens": 1_023}, {"budget_tokens": 1_024}, {"budget_tokens": 4_096})
    thinking: list[Any] = [None, *({"type": kind} for kind in get_args(ThinkingKind) if kind != "enabled")]
    thinking += [{"type": "enabled", **budget} for budget in budgets]
    values: dict[str, tuple[Any, ...]] = {
        "temperature": (None, 0.2, 1),
        "top_p": (None, 1),
        "effort": (None, *get_args(Effort)),
        "thinking": tuple(thinking),
        "max_tokens": (None, 64_001, 128_001),
    }
    said = [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    return [{name: value for name, value in row.items() if value is not None} for row in said]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.alias)
def test_what_is_refused_is_what_the_api_refuses(model: KnownModel) -> None:
    for said in combinations():
        body: dict[str, Any] = {
            "model": model.alias,
            "messages": [{"role": "user", "content": "Hello."}],
            "max_tokens": DEFAULT_MAX_TOKENS,
            **{name: value for name, value in said.items() if name != "effort"},
        }
        if "effort" in said:
            body["output_config"] = {"effort": said["effort"]}
        try:
            check_request(body, Catalogue(), version="2023-06-01")
            answer = ""
        except Refused as error:
            answer = error.message
        assert bool(refused(model.alias, **said)) == bool(answer), (said, answer)


async def test_what_is_refused_would_be_a_400_of_the_api(
    messages_api: MessagesAPI,
) -> None:
    assert refused("claude-opus-5-5", effort="low", thinking={"type": "disabled"})
    async with AsyncAnthropic(base_url=messages_api.url, api_key="mine") as client:
        with pytest.raises(SaidByAPI, match="thinking.type.disabled"):
            await client.messages.create(
                model="claude-opus-5-5",
                max_tokens=10,
                messages=[{"role": "user", "content": "Hello."}],
                thinking={"type": "disabled"},
            )


def test_a_chain_is_not_built_of_a_step_that_its_model_does_not_fit() -> None:
    step = Step("tell", prompt="{input}", temperature=0.2)
    with pytest.raises(DefinitionError, match="claude-opus-5-5 takes no temperature") as caught:
        Chain("c", step, model="claude-opus-5-5")
    assert caught.value.step == "tell"
    Chain("c", step, model="claude-haiku-4-5")


async def test_another_model_of_a_run_is_looked_at_before_its_request_leaves(
    messages_api: MessagesAPI,
) -> None:
    chain = Chain("c", Step("tell", prompt="{input}", temperature=0.2), model="claude-haiku-4-5")
    await chain.run("Hello?")
    with pytest.raises(DefinitionError, match="takes no temperature"):
        await chain.run("Hello?", model="claude-opus-5-5")
    (entry,) = messages_api.bill
    assert entry.received["temperature"] == 0.2
