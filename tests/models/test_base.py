"""The protocol of a model, and the switch that keeps tests away from the real API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from promptchain.errors import IncompleteReplyError, OverloadedError, RealCallForbiddenError
from promptchain.messages import ModelEvent, ModelRequest, Reply, ReplyFinished, ReplyStarted, TextDelta
from promptchain.models.anthropic import AnthropicModel
from promptchain.models.base import Model, complete, forbid_real_calls, refuse_real_call
from promptchain.models.offline import OfflineModel
from promptchain.models.scripted import Scripted, ScriptedModel
from promptchain.usage import Usage

REQUEST = ModelRequest(messages=({"role": "user", "content": "x"},), max_tokens=10)
STARTED = ReplyStarted("msg_1", "told", Usage(1, 1), "req_1")


class Told:
    """Yields what it was told, and says whether it was closed."""

    name = "told"

    def __init__(self, *events: ModelEvent) -> None:
        self.events = events
        self.closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        try:
            for event in self.events:
                await asyncio.sleep(0)
                yield event
        finally:
            self.closed = True


async def test_a_whole_reply_is_collected_and_the_stream_closed() -> None:
    model = Told(STARTED, TextDelta("a"), TextDelta("b"), ReplyFinished("end_turn", Usage(1, 2), {"k": "v"}))
    assert await complete(model, REQUEST) == Reply(
        text="ab",
        thinking="",
        stop_reason="end_turn",
        stop_details={"k": "v"},
        usage=Usage(1, 2),
        model="told",
        message_id="msg_1",
        request_id="req_1",
    )
    assert model.closed


@pytest.mark.parametrize(
    "events",
    [
        (),
        (STARTED,),
        (STARTED, TextDelta("prose")),
        (ReplyFinished("end_turn", Usage()),),
        (TextDelta("prose"), ReplyFinished("end_turn", Usage())),
    ],
)
async def test_a_stream_without_a_start_or_an_end_is_no_reply(events: tuple[ModelEvent, ...]) -> None:
    model = Told(*events)
    with pytest.raises(IncompleteReplyError, match="'told'"):
        await complete(model, REQUEST)
    assert model.closed


async def test_what_the_model_raises_comes_out_as_it_is() -> None:
    error = OverloadedError("busy")
    with pytest.raises(OverloadedError) as caught:
        await complete(ScriptedModel(Scripted(chunks=["a"], error=error)), REQUEST)
    assert caught.value is error


@pytest.mark.parametrize(
    "model", [Told(), ScriptedModel(), OfflineModel(), AnthropicModel("claude-haiku-4-5")]
)
def test_whatever_answers_is_a_model(model: Model) -> None:
    assert isinstance(model, Model)


LOCAL = ["127.0.0.1", "127.1.2.3", "localhost", "::1"]
REMOTE = ["api.anthropic.com", "10.0.0.1", "0.0.0.0", "localhost.example.com", "127.0.0.1.example.com"]  # noqa: S104


@pytest.mark.parametrize("host", LOCAL)
def test_this_machine_is_reached_whatever_is_forbidden(host: str) -> None:
    with forbid_real_calls():
        refuse_real_call(host)


@pytest.mark.parametrize("host", REMOTE)
def test_another_machine_is_not_reached_inside_the_block(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTCHAIN_FORBID_REAL_CALLS")
    refuse_real_call(host)
    with forbid_real_calls(), pytest.raises(RealCallForbiddenError, match=host):
        refuse_real_call(host)
    refuse_real_call(host)


@pytest.mark.parametrize(("value", "forbids"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_the_environment_forbids_for_a_whole_process(
    value: str, forbids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTCHAIN_FORBID_REAL_CALLS", value)
    if not forbids:
        refuse_real_call("api.anthropic.com")
        return
    with pytest.raises(RealCallForbiddenError):
        refuse_real_call("api.anthropic.com")
