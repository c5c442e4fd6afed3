"""``python -m promptchain.testing`` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

COMMAND = [sys.executable, "-W", "error", "-m", "promptchain.testing"]


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, [process.stdout.readline().strip() for _ in range(3)]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_serves_and_ends_on_a_signal(number: signal.Signals) -> None:
    with running("--key", "sk-mine", "--tokens-per-delta", "3") as (process, lines):
        url = lines[1].removeprefix("export ANTHROPIC_BASE_URL=")
        assert url in lines[0]
        assert lines[2] == "export ANTHROPIC_API_KEY=sk-mine"
        for key, status in (("sk-mine", 200), ("sk-other", 401)):
            assert _ask(url, key) == status
        with urllib.request.urlopen(f"{url}/bill") as response:  # noqa: S310 - our own server
            assert [entry["status"] for entry in json.load(response)["requests"]] == [200, 401]
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_it_knows_the_models_that_it_is_told() -> None:
    with running("--model", "qwen3:8b", "--model", "llama3.2") as (_, lines):
        url = lines[1].removeprefix("export ANTHROPIC_BASE_URL=")
        asked = [_ask(url, "any", model) for model in ("qwen3:8b", "llama3.2", "mistral")]
    assert asked == [200, 200, 404]


def _ask(url: str, key: str, model: str = "claude-haiku-4-5") -> int:
    body = {
        "model": model,
        "max_tokens": 9,
        "stream": True,
        "messages": [{"role": "user", "content": "Hi."}],
    }
    headers = {"x-api-key": key, "anthropic-version": "2026-10-21"}
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{url}/v1/messages", json.dumps(body).encode(), headers
    )
    try:
        with urllib.request.urlopen(request) as response:  # noqa: S310
            assert response.read().endswith(b'{"type":"message_stop"}\n\n')
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_port_in_use_is_one_line_and_exit_code_1() -> None:
    with running() as (_, lines):
        port = lines[1].rpartition(":")[2]
        done = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert f"port {port} cannot be used" in done.stderr


@pytest.mark.parametrize(
    "wrong", [["--first", "soon"], ["--between", "-1"], ["--events-per-write", "0"], ["--model", "qwen 3"]]
)
def test_wrong_use_is_exit_code_2(wrong: list[str]) -> None:
    done = subprocess.run([*COMMAND, *wrong], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
