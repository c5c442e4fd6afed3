"""What is kept for each model."""

from __future__ import annotations

import gc

from promptchain.models import AnthropicModel, OfflineModel, ScriptedModel
from promptchain.models.per_model import PerModel


def keep(kept: PerModel[str], model: AnthropicModel | OfflineModel | ScriptedModel, value: str) -> None:
    kept.of(model)[kept.key(model)] = value


def test_models_at_one_endpoint_with_one_name_have_it_in_common() -> None:
    kept: PerModel[str] = PerModel()
    one = AnthropicModel("claude-haiku-4-5", base_url="http://127.0.0.1:1", api_key="a")
    same = AnthropicModel("claude-haiku-4-5", base_url="http://127.0.0.1:1/", api_key="b")
    elsewhere = AnthropicModel("claude-haiku-4-5", base_url="http://127.0.0.1:2", api_key="a")
    keep(kept, one, "one")
    assert kept.of(same)[kept.key(same)] == "one"
    assert kept.key(elsewhere) not in kept.of(elsewhere)


def test_a_model_without_an_endpoint_has_it_for_itself_and_takes_it_along() -> None:
    kept: PerModel[str] = PerModel()
    one, other = ScriptedModel("x"), ScriptedModel("x")
    keep(kept, one, "one")
    keep(kept, other, "other")
    assert sorted(kept) == ["one", "other"]
    del one
    gc.collect()
    assert list(kept) == ["other"]


class Slotted:
    __slots__ = ("name",)

    def __init__(self) -> None:
        self.name = "slotted"

    stream = ScriptedModel.stream


def test_models_that_cannot_be_seen_to_go_share_by_class_and_name() -> None:
    kept: PerModel[str] = PerModel()
    one: object = Slotted()
    same: object = Slotted()
    kept.of(one)[kept.key(one)] = "one"  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert kept.of(same)[kept.key(same)] == "one"  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
