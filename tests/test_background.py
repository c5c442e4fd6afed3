"""``run_sync``: from anywhere, as often as one likes, and with nothing left behind."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from promptchain import Chain, Gate, Step, step
from promptchain.errors import ConfigurationError, GateCrashedError, OverloadedError
from promptchain.models.scripted import ScriptedModel
from promptchain.resilience import Policy

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@step
def shout(text: str) -> str:
    return text.upper()


@step
async def greet(text: str) -> str:
    await asyncio.sleep(0)
    return f"{text} {who.get()}"


SHOUT = Chain("shout", shout)


def test_it_gives_the_result_and_raises_the_error() -> None:
    assert SHOUT.run_sync("x").output == "X"
    failing = Chain(
        "c", Step("a", prompt="x"), model=ScriptedModel(OverloadedError("busy")), policy=Policy(retry=None)
    )
    with pytest.raises(OverloadedError) as caught:
        failing.run_sync("x")
    assert caught.value.step == "a"


async def test_it_works_inside_a_running_loop() -> None:
    assert SHOUT.run_sync("x").output == "X"


def test_it_works_from_many_threads_at_once() -> None:
    with ThreadPoolExecutor(20) as pool:
        assert [r.output for r in pool.map(SHOUT.run_sync, map(str, range(200)))] == [
            str(i) for i in range(200)
        ]


def test_the_runs_of_many_threads_overlap() -> None:
    arrived: list[str] = []

    @step
    async def meet(text: str) -> int:
        arrived.append(text)
        async with asyncio.timeout(10):
            while len(arrived) < 10:
                await asyncio.sleep(0.001)
        return len(arrived)

    with ThreadPoolExecutor(10) as pool:
        assert [r.output for r in pool.map(Chain("c", meet).run_sync, ["x"] * 10)] == [10] * 10


def test_the_context_variables_of_the_caller_are_seen() -> None:
    chain = Chain("c", greet)

    def call(name: str) -> str:
        who.set(name)
        return chain.run_sync("hello").output

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(call, "abcde")) == [f"hello {name}" for name in "abcde"]
    assert chain.run_sync("hello").output == "hello nobody"


def test_all_runs_share_one_loop_so_that_connections_stay_warm() -> None:
    @step
    async def loop(text: str) -> int:
        return id(asyncio.get_running_loop())

    chain = Chain("c", loop)
    assert chain.run_sync("x").output == chain.run_sync("x").output


def test_in_a_gate_that_it_runs_itself_it_says_what_to_do_instead_of_hanging() -> None:
    gate = Gate[str](lambda text: SHOUT.run_sync(text).output == "T", "r")
    asks = Step("a", prompt="x", gates=[gate], model=ScriptedModel("t", "t"))
    with pytest.raises(GateCrashedError, match="await chain.run") as caught:
        Chain("c", asks).run_sync("x")
    assert isinstance(caught.value.__cause__, ConfigurationError)


async def test_in_a_gate_of_a_run_on_another_loop_it_works() -> None:
    gate = Gate[str](lambda text: SHOUT.run_sync(text).output == "T", "r")
    asks = Step("a", prompt="x", gates=[gate], model=ScriptedModel("t"))
    assert (await Chain("c", asks).run("x")).output == "t"


def test_in_a_synchronous_function_stage_it_works() -> None:
    nested = Chain("c", step(name="nested")(lambda text: SHOUT.run_sync(text).output))
    assert nested.run_sync("x").output == "X"


PROGRAM = """
import asyncio, os, signal, sys, threading, time
from promptchain import Chain, step

ended = []

@step
async def sleep(text: str) -> str:
    print("running", flush=True)
    try:
        await asyncio.sleep(30)
    finally:
        ended.append("cancelled")
    return text

try:
    Chain("c", sleep).run_sync("x")
except KeyboardInterrupt:
    print("interrupted", ended, flush=True)
"""


def test_an_interrupt_cancels_the_run_and_is_raised_when_it_has_ended(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("interrupted ['cancelled']\n", "", 0)
    assert time.monotonic() - began < 4


FORKING = """
import os, sys, threading, time
from promptchain import Chain, step

@step
def shout(text: str) -> str:
    return text.upper()

chain = Chain("c", shout)
assert chain.run_sync("before").output == "BEFORE"
child = os.fork()
if child == 0:
    os._exit(0 if chain.run_sync("child").output == "CHILD" else 1)
deadline = time.monotonic() + 20
while True:
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        break
    if time.monotonic() > deadline:
        os.kill(child, 9)
        sys.exit("the child hangs")
    time.sleep(0.01)
assert os.waitstatus_to_exitcode(status) == 0
assert chain.run_sync("parent").output == "PARENT"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_it_works_in_a_forked_child_and_still_in_the_parent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_it_leaves_no_thread_that_keeps_the_process_alive() -> None:
    code = (
        "from promptchain import Chain, step\n"
        "print(Chain('c', step(name='f')(lambda text: text)).run_sync('x').output)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("x\n", "", 0)
