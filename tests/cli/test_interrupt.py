"""Ctrl-C: the spending stops, and what was spent is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from promptchain.testing import MessagesAPI, Pace


def start(place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "promptchain", *arguments],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_interrupt_closes_the_connection_and_prints_the_bill(
    place: Path, messages_api: MessagesAPI, flags: list[str]
) -> None:
    messages_api.pace = Pace(between=0.05)
    messages_api.script("word " * 500)
    process = start(place, "run", "chains:echo", "hello", *flags)
    messages_api.bill.wait(lambda bill: len(bill) == 1 and bill[0].deltas_sent > 3, timeout=30)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    told = stderr.decode()
    assert process.returncode == 130
    assert "Traceback" not in told
    assert "interrupted\n" in told
    assert told.splitlines()[-1].startswith("total")
    assert "estimated" in told.splitlines()[-1]
    messages_api.wait_idle()
    assert messages_api.bill[0].aborted
    if flags:
        document = json.loads(stdout)
        assert document["error"]["type"] == "Interrupted"
        assert document["ledger"][0]["error"] == "cancelled"
        assert document["usage"]["output_tokens"] >= messages_api.bill.usage.output_tokens
    else:
        assert "not the whole answer" in told


@pytest.mark.parametrize("interrupts", [1, 5])
def test_an_interrupt_ends_a_chain_whose_function_blocks(place: Path, interrupts: int) -> None:
    process = start(place, "run", "chains:stuck", "hello")
    assert process.stderr is not None
    for line in process.stderr:
        if line == b"blocked\n":
            break
    began = time.perf_counter()
    for _ in range(interrupts):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.perf_counter() - began < 10  # the function would block for 30
    assert b"interrupted\n" in rest
    assert b"Traceback" not in rest


def test_an_interrupt_while_the_input_is_awaited_is_no_traceback(place: Path) -> None:
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "promptchain", "run", "chains:echo"],
        cwd=place,
        stdin=read,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    os.close(read)
    assert process.stderr is not None
    assert process.stderr.readline() == b"printed by the module\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    os.close(write)
    assert (process.returncode, told) == (130, b"interrupted\n")
