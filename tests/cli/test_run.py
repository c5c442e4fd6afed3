"""``promptchain run`` with pipes: what goes where, and what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from promptchain.pricing import cost_of
from promptchain.testing import Fault, MessagesAPI, Pace
from promptchain.usage import Usage

Cli = Callable[..., subprocess.CompletedProcess[str]]

ANSWER = "promptchain.chains:answer"
QUESTION = "Explain the Raft consensus algorithm to Ada"


def test_without_a_key_the_stand_in_answers_about_the_input_and_the_command_says_so(cli: Cli) -> None:
    done = cli("run", ANSWER, QUESTION)
    assert done.returncode == 0
    assert "Raft" in done.stdout
    assert "Ada" in done.stdout
    assert done.stdout.endswith("\n")
    assert done.stderr.startswith("No credential")
    assert "ANTHROPIC_API_KEY" in done.stderr
    names = [line.split()[0] for line in done.stderr.splitlines()[2:]]
    assert names == ["analyze", "process", "synthesize", "total", "offline:"]


def test_the_bill_says_what_the_stand_ins_tokens_would_cost_on_the_chains_model(cli: Cli) -> None:
    result = json.loads(cli("run", ANSWER, QUESTION, "--model", "offline", "--json").stdout)
    usages = [Usage(**attempt["usage"]) for attempt in result["ledger"]]
    costs = [cost_of(usage, "claude-haiku-4-5") for usage in usages]
    expected = sum((cost for cost in costs if cost), Decimal(0))
    done = cli("run", ANSWER, QUESTION, "--model", "offline")
    assert "No credential" not in done.stderr
    assert f"on claude-haiku-4-5 these tokens would cost about ${expected:.6f}" in done.stderr
    assert done.stderr.splitlines()[-2].endswith("  $0")


def test_the_input_is_the_same_from_an_argument_a_file_and_standard_input(cli: Cli, place: Path) -> None:
    (place / "question.txt").write_bytes(b"\xef\xbb\xbf" + QUESTION.encode())
    answers = {
        cli("run", ANSWER, QUESTION).stdout,
        cli("run", ANSWER, "--file", "question.txt").stdout,
        cli("run", ANSWER, "--file", "-", input=QUESTION).stdout,
        cli("run", ANSWER, input=QUESTION).stdout,
        cli("run", ANSWER, "-", input=QUESTION).stdout,
    }
    assert len(answers) == 1


def test_json_is_one_document_with_everything(cli: Cli) -> None:
    done = cli("run", "chains:echo", "Grüße", "--json", "--request-id", "mine-1")
    result = json.loads(done.stdout)
    assert result["request_id"] == "mine-1"
    assert "Grüße" in result["output"]
    assert [attempt["step"] for attempt in result["ledger"]] == ["say"]
    assert result["usage"] == result["ledger"][0]["usage"]
    assert result["cost"] == "0"


def test_what_the_chains_own_code_prints_stays_off_standard_output(cli: Cli) -> None:
    done = cli("run", "chains:counted", "four")
    assert json.loads(done.stdout) == [4, 2]
    assert "printed by the module" in done.stderr
    assert "printed by the function" in done.stderr


def test_text_that_a_function_returns_is_the_answer(cli: Cli) -> None:
    assert cli("run", "chains:shouted", "hello").stdout == "HELLO\n"


def test_an_input_that_begins_with_a_dash_stands_behind_two_dashes(cli: Cli) -> None:
    assert cli("run", "chains:shouted", "--", "-5 degrees").stdout == "-5 DEGREES\n"


def test_a_chain_that_takes_a_model_is_given_json(cli: Cli) -> None:
    done = cli("run", "chains:typed", '{"text": "Ask Grace about COBOL", "words": 4}')
    assert done.returncode == 0
    assert "COBOL" in done.stdout


def test_quiet_leaves_out_the_bill_but_not_an_error(cli: Cli) -> None:
    done = cli("run", "chains:mystery", "hello", "--quiet")
    assert (done.stdout, done.stderr) == ("yes\n", "printed by the module\n")
    failed = cli("run", "chains:gated", "hello", "--quiet")
    assert failed.stderr.splitlines()[1:] == [
        "error: step 'ask': a gate blocked the output: the text must please."
    ]


def test_an_unknown_price_is_unknown_and_not_nothing(cli: Cli) -> None:
    lines = cli("run", "chains:mystery", "hello").stderr.splitlines()
    assert [line.rpartition("  ")[2] for line in lines[-2:]] == ["cost unknown", "cost unknown"]
    assert json.loads(cli("run", "chains:mystery", "hello", "--json").stdout)["cost"] is None


def test_text_that_a_gate_blocks_is_not_given(cli: Cli) -> None:
    done = cli("run", "chains:gated", "hello")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the text must please" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("total")


def test_the_answer_is_utf_8_whatever_the_locale(cli: Cli) -> None:
    done = cli("run", "chains:foreign", "hello", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert (done.returncode, done.stdout) == (0, "日本 €\n")


def test_over_http_the_bill_is_that_of_the_api(cli: Cli, messages_api: MessagesAPI) -> None:
    done = cli("run", ANSWER, QUESTION, "--request-id", "mine-2")
    assert done.returncode == 0
    assert [entry.headers["x-request-id"] for entry in messages_api.bill] == ["mine-2"] * 3
    usage, cost = messages_api.bill.usage, messages_api.bill.cost
    total = done.stderr.splitlines()[-1]
    assert total.startswith("total")
    assert f" {usage.input_tokens:,} in  " in total
    assert f" {usage.output_tokens:,} out  " in total
    assert total.endswith(f"  ${cost:.6f}")
    assert "offline" not in done.stderr


def test_text_leaves_while_the_rest_is_being_written(place: Path, messages_api: MessagesAPI) -> None:
    messages_api.pace = Pace(between=0.1)
    text = "one two three four five six seven eight nine ten\n" * 3
    messages_api.script(text)
    with _started(place, "run", "chains:echo", "hello") as process:
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1_000)
        entry = messages_api.bill[0]
        assert first
        assert not entry.ended
        rest, _ = process.communicate(timeout=30)
    assert (first + rest).decode() == text


def test_a_reply_that_breaks_off_is_a_failure_with_its_bill(cli: Cli, messages_api: MessagesAPI) -> None:
    messages_api.script(
        Fault.error("overloaded_error", after=8, answer="one two three four five six seven eight")
    )
    done = cli("run", "chains:echo", "hello")
    assert done.returncode == 1
    assert done.stdout.startswith("one ")
    assert not done.stdout.endswith("\n")
    assert "error: step 'say'" in done.stderr
    assert "overloaded_error" in done.stderr
    assert "not the whole answer" in done.stderr
    assert f"request id: {messages_api.bill[0].request_id}" in done.stderr
    assert "at most $" in done.stderr.splitlines()[-1]
    assert "estimated" in done.stderr.splitlines()[-1]


def test_a_failure_as_json_has_the_error_and_the_ledger(cli: Cli, messages_api: MessagesAPI) -> None:
    messages_api.script(Fault.status(429, retry_after=60))  # longer than a retry would wait
    done = cli("run", "chains:echo", "hello", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document["error"]["type"] == "RateLimitError"
    assert document["error"]["step"] == "say"
    assert document["error"]["request_id"] == messages_api.bill[0].request_id
    assert [attempt["step"] for attempt in document["ledger"]] == ["say"]
    assert document["cost"] == "0"
    assert "error: step 'say'" in done.stderr


def test_a_closed_pipe_ends_the_run_without_a_word(place: Path, messages_api: MessagesAPI) -> None:
    messages_api.pace = Pace(between=0.02)
    messages_api.script("first line\n" + "more words " * 500)
    with _started(place, "run", "chains:echo", "hello") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first line\n"
        process.stdout.close()
        assert process.wait(timeout=20) == 141
        assert process.stderr is not None
        told = process.stderr.read().decode()
    assert "error" not in told.lower()
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith("total")
    messages_api.wait_idle()
    assert messages_api.bill[0].aborted


@pytest.mark.parametrize(("redirection", "code"), [(">/dev/full", 1), (">&-", 0), ("2>&-", 0), ("<&-", 0)])
def test_a_standard_stream_that_does_not_work_is_no_crash(place: Path, redirection: str, code: int) -> None:
    command = f"'{sys.executable}' -m promptchain run chains:shouted hello {redirection}"
    done = subprocess.run(
        ["sh", "-c", command], cwd=place, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if code:
        assert "error: standard output cannot be written: No space left on device" in done.stderr


def _started(place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "promptchain", *arguments],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
