"""What mypy and pyright, both strict, must accept; read by tests/test_typing.py and never run."""

from collections.abc import AsyncGenerator, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal, assert_type

from pydantic import BaseModel, Field

from promptchain import (
    Chain,
    Gate,
    Ledger,
    Model,
    Result,
    Run,
    RunStream,
    Stage,
    Step,
    StepResult,
    Usage,
    Verdict,
    step,
)
from promptchain.events import Event
from promptchain.gates import (
    does_not_match,
    in_range,
    json_schema,
    length,
    matches,
    min_confidence,
    not_empty,
    one_of,
)
from promptchain.messages import ModelEvent, ModelRequest, TextDelta


class Analysis(BaseModel):
    intent: str = Field(description="what the user wants, in one sentence")
    key_entities: list[str]
    complexity: Literal["simple", "moderate", "complex"]


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


analyze = Step(
    "analyze",
    prompt="What does this ask for?\n<request>{input}</request>",
    output=Analysis,
    gates=[Gate(lambda a: bool(a.intent.strip()), "the intent must be stated")],
)
process = Step(
    "process",
    prompt="Write the content.\nIntent: {analyze.intent}\n<request>{input}</request>",
    output=Draft,
    gates=[Gate(lambda d: d.confidence >= 0.5, "confidence must be at least 0.5")],
)
synthesize = Step("synthesize", prompt="Polish this into the final answer:\n{process.content}")
answer = Chain("answer", analyze | process | synthesize, model="claude-haiku-4-5")

assert_type(analyze, Step[object, Analysis])
assert_type(synthesize, Step[object, str])
assert_type(answer, Chain[str, str])


async def run_it() -> None:
    result = await answer.run("Explain Raft to a new engineer", request_id="mine", model="claude-opus-5")
    assert_type(result, Result[str])
    assert_type(result.output, str)
    assert_type(result[analyze], StepResult[Analysis])
    assert_type(result[analyze].output, Analysis)
    assert_type(result[process].output.confidence, float)
    assert_type(result[synthesize].output, str)
    assert_type(result.usage, Usage)
    assert_type(result.cost, Decimal | None)
    assert_type(result.ledger, Ledger)
    assert_type(answer.run_sync("x").output, str)


async def stream_it() -> None:
    async with answer.stream("Explain Raft to a new engineer") as stream:
        assert_type(stream, RunStream[str])
        async for text in stream.text:
            assert_type(text, str)
        async for event in stream:
            print(event.at)
        assert_type((await stream.result()).output, str)


# Every kind of output.
assert_type(Step("a", prompt="x", output=list[Draft]), Step[object, list[Draft]])
assert_type(Step("a", prompt="x", output=Literal["yes", "no"]), Step[object, Literal["yes", "no"]])
assert_type(Step("a", prompt="x", output=int | None), Step[object, int | None])
assert_type(Step("a", prompt="x", output=str), Step[object, str])
assert_type(Step("a", prompt="x", input=Analysis), Step[Analysis, str])
assert_type(Step("a", prompt="x", input=Analysis, output=Draft), Step[Analysis, Draft])

# An optional step gives what it would have given.
assert_type(Step("a", prompt="x", optional=True, default=""), Step[object, str])
assert_type(Step("a", prompt="x", optional=True, fallback=synthesize), Step[object, str])
assert_type(Step("a", prompt="x", output=int | None, optional=True, default=None), Step[object, int | None])
assert_type(
    Step("a", prompt="x", input=Analysis, output=Draft, optional=True, fallback=process),
    Step[Analysis, Draft],
)

# An input that is declared is what the chain takes.
typed = Chain("typed", Step("first", prompt="{input.intent}", input=Analysis, output=Draft))
assert_type(typed, Chain[Analysis, Draft])


async def run_typed(analysis: Analysis) -> Draft:
    return (await typed.run(analysis)).output


# Functions.
@step
def shout(text: str) -> str:
    return text.upper()


@step
async def count(text: str) -> int:
    return len(text)


@step
def with_run(number: int, run: Run) -> list[str]:
    return [run.path] * number


@step
async def later_with_run(texts: list[str], run: Run) -> Draft:
    return Draft(content=" ".join(texts), confidence=1)


@step(optional=True, default=0)
def guessed(text: str) -> int:
    return int(text)


@step(optional=True, fallback=shout)
async def whispered(text: str) -> str:
    return text.lower()


assert_type(Chain("guess", whispered | guessed, deadline=1.5).run_sync("x", deadline=1).output, int)


@step(name="renamed")
def named(draft: Draft) -> str:
    return draft.content


functions = shout | count | with_run | later_with_run | named
assert_type((Chain("functions", functions)).run_sync("x").output, str)
assert_type(Chain("prefix", shout | count | with_run).run_sync("x").output, list[str])


# Gates of every kind, written in place or apart.
def long(text: str) -> bool:
    return len(text) > 3


async def fits_the_page(text: str) -> bool:
    return len(text) < 3_000


checks: Sequence[Gate[str]] = [Gate(long, "must be long"), Gate(fits_the_page, "must fit")]
checked = Step("checked", prompt="x", gates=checks)
anything_goes = Step("anything", prompt="x", output=Draft, gates=[Gate(bool, "must be there")])

# Chains in chains, in every place.
inner = Chain("inner", shout)
outer = Chain("outer", inner | count)
assert_type(outer.run_sync("x").output, int)
assert_type(Chain("deep", Chain("middle", outer | with_run) | later_with_run).run_sync("x").output, Draft)
assert_type(outer.run_sync("x")[inner].output, str)


# A stage, a model and a reader of the user's own.
class Doubled(Stage[str, str]):
    async def execute(self, value: str, run: Run) -> str:
        return value * 2


class Echo:
    name = "echo"

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        yield TextDelta(str(request.messages))


def told(event: Event) -> None:
    print(event)


mine: Model = Echo()
own = Chain("own", Doubled("twice") | Step("last", prompt="{previous}", model=Echo()), model=mine)
assert_type(own.run_sync("x", readers=[told]).output, str)


def is_confident(draft: Draft) -> bool:
    return draft.confidence > 0.5


async def is_asked_for(draft: Draft, run: Run) -> Verdict:
    return Verdict.allow() if str(run.input) in draft.content else Verdict.retry("answer what was asked")


Step(
    "gated",
    prompt="x",
    output=Draft,
    gates=[
        Gate(is_confident),
        Gate(is_asked_for),
        Gate(lambda d: d.confidence > 0.5, "be surer", on_fail="retry", mode="lenient"),
        Gate(lambda d, run: d.content != run.input, "do not repeat the question"),
        Gate(lambda d: Verdict.replace(Draft(content=d.content.strip(), confidence=d.confidence)), "tidied"),
    ],
)


@step(gates=[Gate(lambda n: n > 3, "longer")], timeout=5)
def measured(text: str) -> int:
    return len(text)


# Ready-made gates fit a step of any output, beside gates of one's own.
checked_text = Step(
    "text",
    prompt="x",
    gates=[
        length(max=500, unit="words"),
        matches("^[A-Z]"),
        does_not_match("TODO", on_fail="retry"),
        one_of(["yes", "no"]),
        json_schema({"type": "object"}, mode="lenient"),
        Gate(lambda text: text.isascii(), "must be ASCII"),
    ],
)
assert_type(checked_text, Step[object, str])
checked_draft = Step(
    "draft",
    prompt="x",
    output=Draft,
    gates=[
        not_empty(field="content", on_fail="retry"),
        min_confidence(0.7),
        in_range("confidence", ge=0, lt=Decimal("0.99")),
        in_range("due", gt=date(2026, 1, 1)),
        Gate(lambda draft: draft.confidence >= 0.5, "confidence must be at least 0.5"),
    ],
)
assert_type(checked_draft, Step[object, Draft])
ready_made = [length(max=3), not_empty()]
assert_type(ready_made, list[Gate[object]])
Step("listed", prompt="x", output=Draft, gates=ready_made)
Chain("judged", checked_text, input_gates=[not_empty(), length(max=9_000)])


@step(gates=[not_empty(), length(max=9_000)])
def trimmed(text: str) -> str:
    return text.strip()
