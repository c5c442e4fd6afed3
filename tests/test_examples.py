"""The examples show what they say they show. That each runs by itself, ``test_docs.py`` sees."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2
import pytest

from promptchain import AnthropicModel, Chain, Step
from promptchain.testing import Fault, MessagesAPI, Pace

EXAMPLES = Path(__file__).parents[1] / "examples"


def imported(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where types look for what their annotations name
    spec.loader.exec_module(module)
    return module


SHOWN = {
    "extraction": (
        "reply 1 was rejected: the model's reply is not a valid Invoice: .*before it was issued",
        "reply 2 was rejected: The lines add up to 640.00 EUR, and the total is 725.00 EUR: look again.",
        "3 requests,",
    ),
    "retry_with_feedback": (
        r"user: Write a headline .*\n    .*\n  assistant: The harbour museum .*\n  user: It has 18 words.",
        "attempt 1: 'The harbour museum of Bremen .*': It has 18 words.",
        r"attempt 1: \d+ in, \d+ out\n  attempt 2: \d+ in, \d+ out",
        "the last reply: 'Bremen has a harbour museum now!'",
    ),
    "lenient_mode": (
        "strict: .*the gate 'confidence' blocked the output",
        "1 of 2 replies were not asked for",
        r"confidence \(lenient\): block the confidence must be at least 0.7",
        r"content \(strict\): allow",
        "a gate that is always strict: step 'draft': the gate 'content' blocked",
    ),
    "tentative_text": (
        "attempt 1\nHigh water is at 14:20, .*\n-- retracted: Do not guess",
        "attempt 2\nI cannot see .*\n-- committed: I cannot see",
        "stream.text gave: I cannot see today's tide table",
        "2 requests were billed",
    ),
    "function_gates": (
        "50 kg Espresso\n  offer: 12 kg\n  is_in_stock: allow\n  no_more_than_there_is: replace",
        "5 kg Filter\n  GateBlockedError: step 'look_up': .*\n  requests to the model: 1",
        "1 kg Tea\n  StepTimeoutError: step 'look_up': .*\n  requests to the model: 1",
    ),
    "deadline": (
        "in time: The moon pulls the water.\n  at the API: 0 cut, none open",
        "stuck in a function: step 'look_up': the deadline of 1.5 s has passed",
        "stuck in the middle of the answer: step 'tell': .*next token",
    ),
    "optional_step": (
        "without sources: overloaded .instead: sources/from_the_shelf",
        "without example: overloaded .instead: default",
        "without example: left out for want of time .instead: default.\n  requests: 1",
        "a required step fails: step 'tell': no such model",
    ),
    "input_gate": (
        r"sent: .*write to \[e-mail address\]",
        "without_addresses: replace",
        "GateBlockedError: .* blocked the input",
        "0 requests in its ledger, 1 in all",
    ),
    "partial_output": (
        r'\{"title": "Shakshuka", "minutes": 25, "ingredients": \["4 eggs", "5',
        r"complete, valid, committed\n\nRecipe\(title='Shakshuka'",
    ),
    "fastapi_app": (
        r'200 \{"text": "The moon, and the sun a little.", "cost": "0\.\d+"',
        r'422 \{"error": "InputError"',
        r'422 \{"error": "GateBlockedError"',
        r'502 \{"error": "OverloadedError"',
        r"200, \d\d+ pieces",
        "the request to the API was ended: True\n  fewer tokens than the whole answer: True",
    ),
}


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_shows_its_point(name: str, tmp_path: Path, offline_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=offline_env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    missing = [shown for shown in SHOWN[name] if not re.search(shown, done.stdout)]
    assert missing == [], done.stdout
    assert done.stderr == ""


def test_the_readme_of_the_examples_lists_each_once() -> None:
    listed = re.findall(
        r"^\| \[`(.+?)`\]\(\1\) \| \w", (EXAMPLES / "README.md").read_text("utf-8"), re.MULTILINE
    )
    there = [
        path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"} and path.name[0] != "_"
    ]
    assert sorted(listed) == sorted(there)


@pytest.fixture
def slow_api() -> Any:
    with MessagesAPI(pace=Pace(between=0.02)) as api:
        yield api


@pytest.fixture
async def client(slow_api: MessagesAPI) -> AsyncGenerator[httpx2.AsyncClient]:
    app = imported("fastapi_app")
    two_steps = Chain(
        "two", Step("think", prompt="Think: {input}") | Step("tell", prompt="Tell: {think}"), max_tokens=500
    )
    model = AnthropicModel("claude-haiku-4-5", base_url=slow_api.url, api_key="local")
    async with (
        app.served(app.create_app(two_steps, model)) as url,
        httpx2.AsyncClient(base_url=url, timeout=30) as client,
    ):
        yield client


LONG = " ".join(str(number) for number in range(2_000))


@pytest.mark.parametrize("path", ["/answer", "/stream"])
async def test_a_client_that_goes_before_the_first_text_ends_the_run_of_the_app(
    path: str, client: httpx2.AsyncClient, slow_api: MessagesAPI
) -> None:
    slow_api.script(LONG)

    asking = asyncio.create_task(client.post(path, json={"text": "What makes the tide?"}))
    await asyncio.to_thread(slow_api.bill.wait, lambda bill: bool(bill) and bill[0].deltas_sent > 2, 30)
    asking.cancel()
    await asyncio.to_thread(slow_api.wait_idle, 30)

    assert [entry.aborted for entry in slow_api.bill] == [True]
    assert slow_api.bill[0].output_tokens < 1_000


async def test_a_client_that_goes_in_the_middle_ends_the_run_of_the_app(
    client: httpx2.AsyncClient, slow_api: MessagesAPI
) -> None:
    slow_api.script("a thought", LONG)

    async with client.stream("POST", "/stream", json={"text": "What makes the tide?"}) as response:
        first = await anext(response.aiter_text())
    await asyncio.to_thread(slow_api.wait_idle, 30)

    assert LONG.startswith(first)
    assert [entry.aborted for entry in slow_api.bill] == [False, True]


async def test_a_stream_of_the_app_that_fails_behind_its_first_text_is_cut_and_does_not_end_well(
    client: httpx2.AsyncClient, slow_api: MessagesAPI
) -> None:
    slow_api.script("a thought", Fault.end(after=8, answer=LONG))

    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post("/stream", json={"text": "What makes the tide?"})


async def test_a_failure_of_the_app_before_the_first_text_of_a_stream_has_a_status(
    client: httpx2.AsyncClient, slow_api: MessagesAPI
) -> None:
    slow_api.script("a thought", Fault.status(529, retry_after=60))  # longer than a retry would wait

    response = await client.post("/stream", json={"text": "What makes the tide?"})

    assert response.status_code == 502
    assert response.json()["error"] == "OverloadedError"
