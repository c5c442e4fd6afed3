"""The events of a run, in their order."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import dataclasses

import pytest

from promptchain import Chain, Gate, Step, step
from promptchain.errors import GateBlockedError
from promptchain.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    GateJudged,
    RunFailed,
    RunFinished,
    RunStarted,
    StepFailed,
    StepFinished,
    StepStarted,
    TextCommitted,
    TextRetracted,
    TextTentative,
    Thinking,
)
from promptchain.models.scripted import Scripted, ScriptedModel


async def test_a_whole_run_tells_everything_in_its_order() -> None:
    model = ScriptedModel(Scripted(thinking="hm", chunks=["in", "ner"]), "out")
    first = Step("a", prompt="x", gates=[Gate(bool, "there must be text")])
    seen: list[Event] = []
    result = await Chain("c", first | Step("b", prompt="x"), model=model).run("in", readers=[seen.append])
    assert [(type(event), event.step) for event in seen] == [
        (RunStarted, ""),
        (StepStarted, "a"),
        (AttemptStarted, "a"),
        (Thinking, "a"),
        (TextTentative, "a"),
        (TextTentative, "a"),
        (AttemptFinished, "a"),
        (GateJudged, "a"),
        (StepFinished, "a"),
        (StepStarted, "b"),
        (AttemptStarted, "b"),
        (TextCommitted, "b"),
        (AttemptFinished, "b"),
        (StepFinished, "b"),
        (RunFinished, ""),
    ]
    times = [event.at for event in seen]
    assert times == sorted(times)
    end = seen[-1]
    assert isinstance(end, RunFinished)
    assert end.ledger is result.ledger
    assert [e.record for e in seen if isinstance(e, AttemptFinished)] == list(result.ledger)
    begin = seen[0]
    assert isinstance(begin, RunStarted)
    assert (begin.run_id, begin.request_id, begin.chain) == (result.run_id, result.request_id, "c")


async def test_a_run_that_fails_tells_of_its_end_in_every_step_around() -> None:
    inner = Chain(
        "inner", Step("a", prompt="x", gates=[Gate(lambda text: False, "no")]), model=ScriptedModel("t")
    )
    seen: list[Event] = []
    with pytest.raises(GateBlockedError) as caught:
        await Chain("c", inner | step(name="after")(lambda text: text)).run("in", readers=[seen.append])
    assert [(type(event), event.step) for event in seen[-4:]] == [
        (TextRetracted, "inner/a"),
        (StepFailed, "inner/a"),
        (StepFailed, "inner"),
        (RunFailed, ""),
    ]
    end = seen[-1]
    assert isinstance(end, RunFailed)
    assert end.error is caught.value
    assert end.ledger is caught.value.ledger


@pytest.mark.parametrize("kind", Event.__subclasses__())
def test_an_event_cannot_be_changed(kind: type[Event]) -> None:
    event = kind(**{field.name: 1 for field in dataclasses.fields(kind)})  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.at = 2.0  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]


def test_a_piece_of_text_matters_less_than_an_end_without_an_output() -> None:
    levels = {kind.__name__: kind.level for kind in Event.__subclasses__()}
    pieces = {"PartialOutput", "TextCommitted", "TextTentative", "Thinking"}
    assert {name for name, level in levels.items() if level == "debug"} == pieces
    assert {name for name, level in levels.items() if level == "error"} == {"StepFailed", "RunFailed"}
