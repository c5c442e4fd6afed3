"""The offline model: what it reads, what it says, and JSON for any schema."""

# ruff: noqa: RUF001 - requests in many languages

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import ipaddress
import json
import time
import uuid
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import anthropic
import jsonschema
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

import promptchain.chains
from promptchain.errors import ConfigurationError
from promptchain.messages import ModelRequest, ReplyFinished, ReplyStarted, TextDelta, ThinkingDelta
from promptchain.models.base import Model, complete
from promptchain.models.offline import OfflineModel, answer
from promptchain.models.offline.reading import NOTICE
from promptchain.models.tokens import count_tokens

MEMO = (
    "Yesterday Anna Meier told the board of Contoso AG that revenue rose 14% to €2.5 million in 2025. "
    "The plant in Zurich will close in March 2026, and 120 people will move to Basel. "
    "Dr. Paul Weber leads the move. Investors were calm."
)


def ask(
    prompt: str, output: Any = None, *, form: str = "sdk", max_tokens: int = 4_000, **options: Any
) -> ModelRequest:
    schema = None
    if output is not None:
        schema = TypeAdapter(output).json_schema()
        if form == "sdk":
            schema = anthropic.transform_schema(schema)
    return ModelRequest(
        messages=[{"role": "user", "content": prompt}], max_tokens=max_tokens, output_schema=schema, **options
    )


# Text


def test_the_answer_quotes_the_request_and_says_once_that_no_model_was_asked() -> None:
    text = answer(ask("<request>Explain Raft to a new engineer</request>"))
    assert "“Explain Raft to a new engineer”" in text
    assert "a new engineer." in text
    assert text.count(NOTICE) == 1


def test_the_same_request_has_the_same_answer_and_another_one_another() -> None:
    first = ask("Explain Raft")
    assert answer(first) == answer(dataclasses.replace(first))
    assert answer(first) != answer(ask("Explain Paxos"))


def test_it_finds_the_names_and_figures_of_a_pasted_text() -> None:
    text = answer(ask(f"<request>Summarise this:\n\n{MEMO}</request>"))
    for told in ("Anna Meier", "Contoso AG", "Zurich", "14%", "€2.5 million", "2025"):
        assert told in text
    assert "Yesterday Anna" not in text.partition("It speaks of")[2]


def test_an_instruction_beside_the_tags_is_the_question_and_the_tagged_text_its_matter() -> None:
    text = answer(ask(f"Who leads the move?\n<document>{MEMO}</document>"))
    assert "You asked: “Who leads the move?”" in text
    assert "Paul Weber" in answer(ask(f"Who leads?\n<document>{MEMO}</document>", Entities))


def test_tags_of_code_that_are_never_closed_do_not_hide_the_request() -> None:
    text = answer(ask("<request>Explain List<String> and <br> in <p>Java</p> code</request>"))
    assert "“Explain List<String> and <br> in <p>Java</p> code”" in text


def test_code_is_counted_and_not_quoted() -> None:
    text = answer(ask("<request>Find the bug:\n```python\ndef fib(n):\n    return fib(n - 3)\n```</request>"))
    assert "two lines of code" in text
    assert "fib" in text
    assert "return fib" not in text


@pytest.mark.parametrize("prompt", ["", "   \n", "<request></request>", "<request>\n</request>", "?!", "🙂"])
def test_a_request_without_words_still_gets_a_reply(prompt: str) -> None:
    assert answer(ask(prompt)).endswith(NOTICE)
    assert Analysis.model_validate_json(answer(ask(prompt, Analysis)))


@pytest.mark.parametrize(
    ("request_text", "told"),
    [
        ("Erkläre mir bitte den Unterschied zwischen Raft und Paxos.", "Raft and Paxos"),
        ("Explique la différence entre Raft et Paxos à un débutant.", "Raft"),
        ("¿Cuál es la capital de Perú?", "Perú"),
        ("東京の天気はどうですか？", "東京"),
        ("Объясни алгоритм Raft новому инженеру.", "Raft"),
        ("اشرح خوارزمية Raft", "Raft"),
    ],
)
def test_requests_in_many_languages_are_answered_about_their_subject(request_text: str, told: str) -> None:
    text = answer(ask(f"<request>{request_text}</request>"))
    assert request_text in text
    assert told in text.partition("”")[2]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("What is the capital of the country?", "en"),
        ("Wie ist das Wetter und was soll ich tun?", "de"),
        ("Quelle est la capitale de ce pays et pourquoi ?", "fr"),
        ("東京の天気はどうですか？", "ja"),
        ("Где находится столица?", "ru"),
    ],
)
def test_a_language_field_has_the_language_of_the_text(text: str, code: str) -> None:
    class Detected(BaseModel):
        language: str

    assert Detected.model_validate_json(answer(ask(text, Detected))).language == code


@pytest.mark.parametrize(
    "text",
    [
        f"<text>{MEMO * 450}</text>",
        "<a>" * 35_000,
        "a" * 100_000,
        "((((" * 25_000,
        "x = {;\n" * 14_000,
        " \t" * 50_000,
        "1,000." * 17_000,
        "A B " * 25_000,
        "“" * 100_000,
    ],
    ids=["prose", "open tags", "one word", "brackets", "code", "spaces", "digits", "capitals", "quotes"],
)
def test_a_hundred_kilobytes_are_read_in_linear_time(text: str) -> None:
    assert len(text) >= 98_000
    started = time.process_time()
    reply = answer(ask(text))
    assert time.process_time() - started < 5
    assert reply.endswith(NOTICE)
    assert len(reply) < 3_000


# The chain's steps feed each other


class Analysis(BaseModel):
    intent: str = Field(description="what the user wants, in one sentence")
    key_entities: list[str]
    complexity: Literal["simple", "moderate", "complex"]
    context: str


class Draft(BaseModel):
    content: str
    confidence: float = Field(ge=0, le=1)


class Entities(BaseModel):
    entities: list[str]


def prompt_of(step: str, **values: str) -> ModelRequest:
    prompts = Path(promptchain.chains.__file__).parent / "prompts"
    text = (prompts / f"{step}.md").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace("{" + name.replace("__", ".") + "}", value)
    output = {"analyze": Analysis, "process": Draft}.get(step)
    return dataclasses.replace(
        ask(text, output), system=(prompts / f"{step}.system.md").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize(
    "request_text",
    [
        "Explain Raft to a new engineer",
        "What is the difference between TCP and UDP?",
        f"Summarise this for the board:\n\n{MEMO}",
        "Erkläre mir den Unterschied zwischen Raft und Paxos.",
        "Find the bug:\n```python\ndef fib(n):\n    return fib(n - 3)\n```",
        "Raft",
    ],
)
def test_the_notice_stands_once_at_the_end_of_the_answer_chain(request_text: str) -> None:
    analysis = Analysis.model_validate_json(answer(prompt_of("analyze", input=request_text)))
    assert NOTICE not in analysis.model_dump_json()
    draft = Draft.model_validate_json(
        answer(
            prompt_of(
                "process",
                input=request_text,
                analyze__intent=analysis.intent,
                analyze__key_entities=json.dumps(analysis.key_entities),
                analyze__complexity=analysis.complexity,
                analyze__context=analysis.context,
            )
        )
    )
    assert draft.content.count(NOTICE) == 1
    assert draft.confidence == pytest.approx(0.8)
    final = answer(prompt_of("synthesize", input=request_text, process__content=draft.content))
    assert final == draft.content
    assert final.startswith("You asked: “" + request_text.splitlines()[0].rstrip(":"))


def test_a_short_polish_prompt_without_tags_hands_the_draft_back() -> None:
    text = answer(ask(f"Polish this into the final answer:\nRaft elects a leader.\n\n{NOTICE}"))
    assert text == f"Raft elects a leader.\n\n{NOTICE}"


def test_a_draft_that_is_to_be_judged_is_not_handed_back() -> None:
    text = answer(ask("Does this hold water?\n<draft>Raft elects a leader. Paxos does too.</draft>"))
    assert text.startswith("You asked: “Does this hold water?”")


def test_after_a_rejection_without_tags_it_still_reads_the_request() -> None:
    request = ModelRequest(
        messages=[
            {"role": "user", "content": "<request>Explain Raft</request>"},
            {"role": "assistant", "content": "No."},
            {"role": "user", "content": "That was too short. Try again."},
        ],
        max_tokens=500,
    )
    assert "“Explain Raft”" in answer(request)


def test_text_blocks_are_read_as_text_is() -> None:
    blocks = ModelRequest(
        messages=[{"role": "user", "content": [{"type": "text", "text": "<request>Explain Raft</request>"}]}],
        max_tokens=500,
    )
    assert answer(blocks) == answer(ask("<request>Explain Raft</request>"))


# Values from the text


def test_fields_get_what_their_names_ask_for() -> None:
    class Report(BaseModel):
        intent: str
        people_names: list[str]
        title: str
        summary: str
        year: int
        confidence: float = Field(ge=0, le=10)
        word_count: int
        language: Literal["de", "en"]
        email: str
        is_urgent: bool

    report = Report.model_validate_json(
        answer(ask(f"<request>Summarise this in en:\n\n{MEMO}</request>", Report))
    )
    assert report.intent == "Summarise this in en"
    assert report.people_names[:2] == ["Anna Meier", "Contoso AG"]
    assert report.summary in MEMO
    assert report.year == 2025
    assert report.confidence == 8
    assert report.word_count > 40
    assert "@" in report.email


def test_complexity_grows_with_the_text() -> None:
    def complexity(text: str) -> str:
        return Analysis.model_validate_json(answer(ask(f"<request>{text}</request>", Analysis))).complexity

    assert complexity("Raft") == "simple"
    assert complexity(f"Summarise: {MEMO}") == "moderate"
    assert complexity(f"Summarise: {MEMO * 10}") == "complex"


def test_a_choice_that_the_text_names_is_taken() -> None:
    class Route(BaseModel):
        department: Literal["billing", "shipping", "returns"]

    reply = answer(ask("<request>My shipping is late.</request>", Route))
    assert Route.model_validate_json(reply).department == "shipping"


def test_the_notice_stands_once_in_json_with_many_prose_fields() -> None:
    class Section(BaseModel):
        title: str
        body: str

    class Article(BaseModel):
        sections: list[Section] = Field(min_length=3)
        text: str

    reply = answer(ask(f"<request>Write about this:\n{MEMO}</request>", Article))
    article = Article.model_validate_json(reply)
    assert reply.count(NOTICE) == 1
    assert len({section.body for section in article.sections}) == 3


def test_a_prose_field_without_room_for_the_notice_keeps_its_bound() -> None:
    class Short(BaseModel):
        text: str = Field(max_length=80)

    text = Short.model_validate_json(answer(ask("Explain Raft", Short))).text
    assert 0 < len(text) <= 80


# Any schema


class Tree(BaseModel):
    value: int
    children: list["Tree"]


class Chained(BaseModel):
    text: str
    next: "Chained | None" = None


class Leaf(BaseModel):
    kind: Literal["leaf"] = "leaf"
    value: float


class Fork(BaseModel):
    kind: Literal["fork"] = "fork"
    left: "Expression"
    right: "Expression"


Expression = Annotated[Leaf | Fork, Field(discriminator="kind")]
Fork.model_rebuild()


class Nonempty(BaseModel):
    inner: "Nested | int"


class Nested(BaseModel):
    items: list[Nonempty] = Field(min_length=1)


Nonempty.model_rebuild()


@dataclasses.dataclass
class Point:
    x: int
    label: str = "here"


class Pair(NamedTuple):
    number: int
    text: str


class Partial(TypedDict):
    needed: int
    extra: NotRequired[str]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


NAMED_TYPES: list[Any] = [
    Tree, Chained, Expression, Fork, Nonempty, Nested, Point, list[Point], Pair, Partial, Color, Level,
    list[Tree], dict[str, list[Tree]], Literal["a", "b", 3], Literal["only"], tuple[int, str], tuple[int, ...],
    tuple[int, Annotated[str, Field(max_length=2)], Leaf], set[int], frozenset[Color],
    dict[str, int], dict[int, str], dict[Color, int], dict[uuid.UUID, int],
    dict[Annotated[str, Field(pattern="^k[0-9]$")], int],
    int | None, int | str, str | Tree | None, list[int | Color | Point], bool, str, float, int, bytes,
    decimal.Decimal, Annotated[decimal.Decimal, Field(ge=0, le=1, decimal_places=1)],
    Annotated[list[Annotated[decimal.Decimal, Field(max_digits=10)]], Field(min_length=3)],
    dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID, pydantic.UUID1, pydantic.UUID5,
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Interface,
    pydantic.HttpUrl, pydantic.PostgresDsn, pydantic.Json[list[int]], pydantic.Base64Bytes, pydantic.SecretStr,
    pydantic.RootModel[list[int]],
    Annotated[int, Field(gt=3, lt=5)], Annotated[int, Field(ge=7, multiple_of=5)], Annotated[int, Field(ge=10**20)],
    Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=0.1, lt=0.1000001)],
    Annotated[float, Field(multiple_of=0.25, lt=-3)], Annotated[float, Field(ge=1e300)],
    Annotated[str, Field(pattern=r"^\d{3}-\d{2,4}$")], Annotated[str, Field(pattern=r"^[A-Z]{2}[^a-z]+$", min_length=9)],
    Annotated[str, Field(pattern=r"^(?:foo|bar)+, \w*$")],
    Annotated[str, Field(pattern=r"[\w.+-]+@[\w-]+\.[a-z]{2,}")],
    Annotated[str, Field(min_length=30, max_length=31)], Annotated[str, Field(max_length=0)],
    Annotated[str, Field(pattern="^ZZ-[1-9]$", examples=["ZZ-1"])],
    Annotated[set[int], Field(min_length=6)], Annotated[set[bool], Field(min_length=2)],
    Annotated[set[Annotated[int, Field(ge=0, le=3)]], Field(min_length=4)],
    Annotated[set[Annotated[float, Field(ge=0, le=1)]], Field(min_length=5)],
    Annotated[set[Annotated[str, Field(max_length=1)]], Field(min_length=3)],
    Annotated[set[Annotated[str, Field(pattern="^[ab]{2}$")]], Field(min_length=4)],
    Annotated[set[dt.date], Field(min_length=4)], Annotated[set[tuple[int, bool]], Field(min_length=3)],
    Annotated[list[str], Field(max_length=0)], Annotated[list[int], Field(min_length=7, max_length=7)],
    list[list[list[list[Tree]]]],
]  # fmt: skip

PROMPTS = [
    "<request>Explain Raft to a new engineer in 3 steps and 20 minutes, by 2026.</request>",
    f"Summarise:\n{MEMO}",
    "",
    "Füge 14,5 € und 1.234,50 € zusammen für Jürgen.",
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=["request", "memo", "empty", "German"])
@pytest.mark.parametrize("form", ["pydantic", "sdk"])
@pytest.mark.parametrize("output", NAMED_TYPES, ids=str)
def test_the_answer_validates_under_the_type_behind_the_schema(output: Any, form: str, prompt: str) -> None:
    reply = answer(ask(prompt, output, form=form))
    TypeAdapter(output).validate_json(reply)
    assert len(reply) < 20_000, "recursive types stay small"


FIELDS = ("intent", "content", "tags", "count", "score", "kind", "email", "price", "child", "notes")


def numbers() -> st.SearchStrategy[Any]:
    @st.composite
    def bounded(draw: st.DrawFn) -> Any:
        whole = draw(st.booleans())
        low = draw(st.none() | st.integers(-1_000, 1_000))
        high = draw(st.none() | st.integers(-1_000, 1_000).map(lambda n: (low or 0) + abs(n) + 12))
        step = draw(st.sampled_from([None, None, 2, 5, 0.5 if not whole else 3]))
        options: dict[str, Any] = {"multiple_of": step} if step else {}
        if low is not None:
            options[draw(st.sampled_from(["ge", "gt"]))] = low
        if high is not None:
            options[draw(st.sampled_from(["le", "lt"]))] = high
        return Annotated[int if whole else float, Field(**options)]

    return bounded()


def texts() -> st.SearchStrategy[Any]:
    lengths = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(
        lambda pair: Annotated[str, Field(min_length=pair[0], max_length=sum(pair))]
    )
    patterns = st.sampled_from(
        [r"^[a-z]+$", r"^[A-Z]{3}\d?$", r"^\d{4}-\d{2}$", r"^(yes|no|maybe)$", r"^#[0-9a-f]{6}$", r"\S"]
    ).map(lambda pattern: Annotated[str, Field(pattern=pattern)])
    return lengths | patterns | st.just(str)


def models(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    @st.composite
    def model(draw: st.DrawFn) -> Any:
        names = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4, unique=True))
        name = draw(st.sampled_from(["Answer", "Item", "Part"]))
        members = [(field, draw(types)) for field in names]
        if draw(st.booleans()):
            return dataclasses.make_dataclass(name, members)
        optional = draw(st.booleans())
        fields: dict[str, Any] = {
            field: (kind | None, None) if optional and isinstance(kind, type) else (kind, ...)
            for field, kind in members
        }
        return pydantic.create_model(name, **fields)

    return model()


def listed(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    sizes = st.tuples(st.integers(0, 4), st.integers(0, 4))
    return st.tuples(types, sizes).map(
        lambda drawn: Annotated[
            list[drawn[0]], Field(min_length=drawn[1][0], max_length=sum(drawn[1]))  # type: ignore[name-defined]
        ]
    )


TYPES = st.recursive(
    numbers()
    | texts()
    | st.sampled_from([bool, dt.date, Color, Level, Literal["a", "b"], Literal[1, "x"], Tree, Chained, Fork]),
    lambda types: (
        models(types)
        | listed(types)
        | st.tuples(types, types).map(lambda pair: tuple[pair[0], pair[1]])  # type: ignore[name-defined]
        | types.map(lambda kind: kind | None if isinstance(kind, type) else kind)
        | types.map(lambda kind: list[kind])
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(output=TYPES, prompt=st.sampled_from(PROMPTS) | st.text(max_size=200))
def test_any_type_gets_an_answer_that_validates(output: Any, prompt: str) -> None:
    for form in ("pydantic", "sdk"):
        request = ask(prompt, output, form=form)
        reply = answer(request)
        TypeAdapter(output).validate_json(reply)
        assert answer(request) == reply
        if form == "sdk":  # what the API itself would hold it against
            assert request.output_schema is not None
            jsonschema.validate(json.loads(reply), request.output_schema)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_gets_a_reply_with_one_notice(prompt: str) -> None:
    assert answer(ask(prompt)).count(NOTICE) == 1


def test_a_type_that_never_ends_does_not_hang() -> None:
    schema = {
        "$ref": "#/$defs/Endless",
        "$defs": {
            "Endless": {
                "type": "object",
                "properties": {"again": {"$ref": "#/$defs/Endless"}},
                "required": ["again"],
            }
        },
    }
    reply = answer(dataclasses.replace(ask("Explain Raft"), output_schema=schema))
    assert json.loads(reply)["again"]


def test_an_all_of_keeps_every_part() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"maximum": 3}, "b": {"const": "fixed"}}, "required": ["b"]},
        ]
    }
    assert json.loads(answer(dataclasses.replace(ask("Raft"), output_schema=schema))) == {
        "a": 3,
        "b": "fixed",
    }


def test_braces_of_an_author_are_no_constraints() -> None:
    class Braced(BaseModel):
        n: int = Field(description="{enum: 3}")
        s: str = Field(description="Like\n\n{maxLength: soon, items: 4}")

    Braced.model_validate_json(answer(ask("Raft", Braced)))


# Streaming


async def test_it_streams_word_by_word_and_says_what_it_used() -> None:
    request = ask("<request>Explain Raft</request>")
    events = [event async for event in OfflineModel().stream(request)]
    started, *deltas, finished = events
    assert isinstance(started, ReplyStarted)
    assert started.message_id.startswith("msg_offline_")
    assert 0 < started.usage.input_tokens <= request.input_bound()
    assert isinstance(finished, ReplyFinished)
    assert finished.stop_reason == "end_turn"
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    assert len(texts) == len(deltas) > 10
    assert "".join(texts) == answer(request)
    assert finished.usage.input_tokens == started.usage.input_tokens
    assert finished.usage.output_tokens == count_tokens(answer(request))


async def test_it_is_a_model_that_complete_can_ask() -> None:
    model = OfflineModel()
    assert isinstance(model, Model)
    first, second = [await complete(model, ask("Explain Raft")) for _ in range(2)]
    assert first == second
    assert first.model == "offline"


async def test_the_event_loop_takes_a_turn_at_every_delta() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count_turns())
    deltas = [event async for event in OfflineModel().stream(ask("Explain Raft"))][1:-1]
    counter.cancel()
    assert turns >= len(deltas)


async def test_a_delay_passes_before_each_delta() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with aclosing(OfflineModel(delay=0.02).stream(ask("Explain Raft"))) as events:
        seen = 0
        async for event in events:
            seen += isinstance(event, TextDelta)
            if seen == 3:
                break
    assert loop.time() - started >= 0.055


@pytest.mark.parametrize("delay", [-1, float("nan")])
def test_a_delay_that_is_no_time_is_refused(delay: float) -> None:
    with pytest.raises(ConfigurationError, match="seconds, 0 or more"):
        OfflineModel(delay=delay)


@pytest.mark.parametrize("max_tokens", [1, 2, 7])
async def test_max_tokens_cuts_the_reply(max_tokens: int) -> None:
    request = ask("Explain Raft", max_tokens=max_tokens)
    reply = await complete(OfflineModel(), request)
    assert reply.stop_reason == "max_tokens"
    assert reply.usage.output_tokens == max_tokens
    assert answer(request).startswith(reply.text)


async def test_a_stop_sequence_ends_the_reply_before_it() -> None:
    reply = await complete(OfflineModel(), ask("Explain Raft", stop_sequences=["nowhere", "An answer"]))
    assert reply.stop_reason == "stop_sequence"
    assert reply.text == "You asked: “Explain Raft”. "


async def test_thinking_comes_first_when_asked_for_and_counts() -> None:
    request = ask("Explain Raft", thinking={"type": "adaptive"})
    events = [event async for event in OfflineModel().stream(request)]
    assert isinstance(events[1], ThinkingDelta)
    assert isinstance(events[-1], ReplyFinished)
    assert events[-1].usage.output_tokens == count_tokens(events[1].text) + count_tokens(answer(request))
    quiet = await complete(OfflineModel(), ask("Explain Raft", thinking={"type": "disabled"}))
    assert quiet.thinking == ""


async def test_thinking_alone_can_use_up_max_tokens() -> None:
    reply = await complete(OfflineModel(), ask("Raft", thinking={"type": "adaptive"}, max_tokens=3))
    assert (reply.text, reply.stop_reason, reply.usage.output_tokens) == ("", "max_tokens", 3)


@given(st.text(max_size=50))
def test_a_text_has_at_most_as_many_tokens_as_bytes(text: str) -> None:
    assert bool(text) <= count_tokens(text) <= len(text.encode())


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.text(max_size=100))
async def test_counted_input_stays_under_the_bound(prompt: str, system: str) -> None:
    request = ask(prompt, Analysis, system=system)
    reply = await complete(OfflineModel(), request)
    assert 1 <= reply.usage.input_tokens <= request.input_bound()
