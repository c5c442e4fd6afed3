"""The script: order, functions, and scripts from other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from promptchain.testing import Answer, Fault, MessagesAPI, Pace, RecordedRequest

if TYPE_CHECKING:
    from conftest import Wire

Asked = dict[str, Any]


def said(wire: Wire, hello: Asked, prompt: str = "Say hello.", **more: Any) -> str:
    asked = {**hello, "messages": [{"role": "user", "content": prompt}], **more}
    return "".join(block["text"] for block in wire.ask(body=asked).json["content"])


def test_items_are_given_out_in_order_and_counted(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    api.script("one", "two")
    api.script("three")
    assert api.pending == 3
    assert [said(wire, hello), said(wire, hello)] == ["one", "two"]
    assert api.pending == 1
    assert said(wire, hello) == "three"
    assert api.pending == 0


def test_what_is_meant_for_certain_requests_goes_to_them_only(
    api: MessagesAPI, wire: Wire, hello: Asked
) -> None:
    api.script("any", "any again")
    api.script_for("Polish", "polished")
    api.script_for(lambda request: request.system == "judge", "judged")
    assert said(wire, hello, "Produce.") == "any"
    assert said(wire, hello, "Polish this.") == "polished"
    assert said(wire, hello, system=[{"type": "text", "text": "judge"}]) == "judged"
    assert said(wire, hello, "Polish this.") == "any again"


def test_a_function_answers_when_the_script_is_used_up(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    seen: list[RecordedRequest] = []

    def answer(request: RecordedRequest) -> str | Fault:
        seen.append(request)
        return Fault.status(503) if "fail" in request.prompt else request.prompt.upper()

    api.answer_with(answer)
    api.script("scripted")
    assert [said(wire, hello), said(wire, hello)] == ["scripted", "SAY HELLO."]
    assert wire.ask(body={**hello, "messages": [{"role": "user", "content": "fail"}]}).status == 503
    api.answer_with(None)
    assert "offline" in said(wire, hello)
    assert [request.prompt for request in seen] == ["Say hello.", "fail"]
    assert (seen[0].model, seen[0].api_version, seen[0].streamed) == ("claude-haiku-4-5", "2026-10-21", False)
    assert (seen[0].schema, seen[0].system) == (None, "")


def test_a_function_that_raises_is_a_500_that_says_so(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    def broken(request: RecordedRequest) -> str:
        raise KeyError(request.model)

    api.answer_with(broken)
    response = wire.ask(body=hello)
    assert response.status == 500
    assert response.json["error"]["message"] == "answer_with raised KeyError('claude-haiku-4-5')"
    assert (api.bill[0].fault, api.bill[0].usage.total_tokens) == ("answer_with", 0)


def test_another_process_scripts_it_over_http(api: MessagesAPI, wire: Wire, hello: Asked) -> None:
    api.script("forgotten")
    script = [
        "plain",
        {"answer": {"a": 1}},
        {"deltas": ["x", "y"], "pace": {"first": 0.0}},
        {"fault": "status", "status": 429, "retry_after": 2},
        {"fault": "refusal", "category": "bio", "answer": "no"},
    ]
    assert wire.ask("PUT", "/script", body={"script": script}).json == {"pending": 5}
    assert [said(wire, hello) for _ in range(3)] == ["plain", '{"a":1}', "xy"]
    limited = wire.ask(body=hello)
    assert (limited.status, limited.headers["retry-after"]) == (429, "2")
    assert wire.ask(body=hello).json["stop_details"]["category"] == "bio"
    assert wire.ask("GET", "/script").json == {"pending": 0}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("text", "a script is a list"),
        ({"script": 1}, "a script is a list"),
        ([7], "script.0: an item is a text, or has"),
        (["ok", {}], "script.1: an item is a text, or has"),
        ([{"fault": "flood"}], "script.0: no fault is called 'flood'"),
        ([{"fault": "status"}], "script.0: an error status is from 400 to 599, not 0"),
        (
            [{"fault": "status", "status": 429, "retry_after": "soon"}],
            "script.0: retry_after cannot be 'soon'",
        ),
        ([{"deltas": "abc"}], "script.0: deltas cannot be 'abc'"),
        ([{"deltas": [1]}], "script.0: deltas are texts"),
        ([{"fault": "status", "status": 200}], "script.0: an error status is from 400 to 599"),
        ([{"fault": "reset", "before": 1}], "script.0: "),
        ([{"answer": "a", "deltas": ["b"]}], "script.0: an Answer takes content or deltas"),
        ([{"answer": "a", "pace": {"first": -1}}], "script.0: first and between are seconds"),
        ([{"answer": "a", "speed": 1}], "script.0: unknown field 'speed'"),
    ],
)
def test_a_bad_script_is_refused_and_changes_nothing(
    api: MessagesAPI, wire: Wire, script: Any, words: str
) -> None:
    api.script("kept")
    response = wire.ask("PUT", "/script", body=script)
    assert response.status == 400
    assert words in response.json["error"]["message"]
    assert api.pending == 1


def test_health_asks_for_no_key(wire: Wire) -> None:
    response = wire.ask("GET", "/health", headers={"x-api-key": "", "anthropic-version": ""})
    assert (response.status, response.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Answer("text", deltas=["t"]),
        lambda: Pace(first=-1),
        lambda: Pace(between=-0.1),
        lambda: Pace(tokens_per_delta=0),
        lambda: Pace(events_per_write=0),
    ],
)
def test_an_impossible_answer_or_pace_is_an_error_where_it_is_written(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"not both|negative|at least 1"):
        wrong()


def test_it_can_be_started_again_with_its_script_and_bill(hello: Asked, connect: Any) -> None:
    api = MessagesAPI()
    api.script("one", "two")
    for expected in ("one", "two"):
        with api:
            assert said(connect(api), hello) == expected
    assert len(api.bill) == 2


def test_it_cannot_run_twice_at_once(api: MessagesAPI) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        api.__enter__()
    assert api.port


@pytest.mark.parametrize("item", [object(), Fault.reset(after=3, answer=object()), "\ud800"])  # type: ignore[arg-type]
def test_what_has_no_json_is_refused_where_it_is_scripted(api: MessagesAPI, item: Any) -> None:
    with pytest.raises(TypeError, match="cannot be sent as an answer"):
        api.script("first", item)
    assert api.pending == 0


def test_a_function_that_answers_what_cannot_be_sent_is_told_where_the_api_is_used(
    hello: Asked, connect: Any
) -> None:
    import h11

    api = MessagesAPI()
    item: Any = object()
    with pytest.raises((ValueError, TypeError)), api:
        api.answer_with(lambda request: item)
        with pytest.raises(h11.RemoteProtocolError):
            connect(api).ask(body=hello)
    assert (api.bill[0].aborted, api.bill[0].ended) == (True, True)
