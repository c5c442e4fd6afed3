"""The command as people run it: a process with pipes, or with a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

CHAINS = '''
"""Chains to run."""

from pydantic import BaseModel

from promptchain import Chain, Gate, Step, step
from promptchain.models.offline import OfflineModel
from promptchain.models.scripted import Scripted, ScriptedModel

print("printed by the module")


class Question(BaseModel):
    text: str
    words: int


@step
def numbers(text: str) -> list[int]:
    print("printed by the function")
    return [len(text), 2]


@step
def loud(text: str) -> str:
    return text.upper()


@step
def blocked(text: str) -> str:
    import time

    print("blocked", flush=True)
    time.sleep(30)
    return text


def slow():
    return ScriptedModel(Scripted(chunks=["secret ", "draft"], delay=0.3), Scripted(chunks=["fin", "al"], delay=0.3))


echo = Chain("echo", Step("say", prompt="Say {input}"), model="claude-haiku-4-5")
shown = Chain("shown", Step("draft", prompt="{input}") | Step("final", prompt="{draft}"), model=slow())
counted = Chain("counted", numbers)
shouted = Chain("shouted", loud)
stuck = Chain("stuck", blocked)
mystery = Chain("mystery", Step("ask", prompt="{input}"), model=ScriptedModel("yes", name="mystery-1"))
hostile = Chain("hostile", Step("ask", prompt="{input}"), model=ScriptedModel("a\\x1b]0;title\\x07b\\rc"))
foreign = Chain("foreign", Step("ask", prompt="{input}"), model=ScriptedModel("\\u65e5\\u672c \\u20ac"))
small = Chain("small", Step("ask", prompt="{input}"), model=OfflineModel(), max_input_bytes=10)
typed = Chain("typed", Step("ask", prompt="{input.text}", input=Question, output=str), model=OfflineModel())
gated = Chain(
    "gated",
    Step("ask", prompt="{input}", gates=[Gate(lambda text: False, "the text must please")]),
    model=ScriptedModel("half of it"),
)
inner = Chain("inner", Step("polish", prompt="{previous}", model="claude-sonet-4-5", max_tokens=50))
nested = Chain("nested", Step("draft", prompt="{input}", system="Be brief.") | inner, model="claude-haiku-4-5")
'''

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The current directory of the command, with the module ``chains``."""
    (tmp_path / "chains.py").write_text(CHAINS, "utf-8")
    return tmp_path


def _environment(changes: dict[str, str | None]) -> dict[str, str]:
    merged: dict[str, str | None] = {**os.environ, "PYTHONWARNINGS": "default", **changes}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture
def cli(place: Path) -> Cli:
    """Runs ``promptchain`` with pipes. Its environment is the test's, with what is given in ``env``."""

    def call(
        *arguments: str | bytes, input: str | bytes = b"", env: dict[str, str | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "promptchain", *arguments],
            cwd=place,
            env=_environment(env or {}),
            input=input.encode() if isinstance(input, str) else input,
            capture_output=True,
            timeout=60,
            check=False,
        )
        stdout, stderr = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in stderr
        assert "Warning" not in stderr
        return subprocess.CompletedProcess(done.args, done.returncode, stdout, stderr)

    return call


@pytest.fixture
def screen(place: Path) -> Cli:
    """Runs ``promptchain`` on a terminal; what it shows there is in ``stderr``.

    ``piped=True`` keeps standard output apart from it.
    """

    def call(
        *arguments: str, columns: int = 80, piped: bool = False, env: dict[str, str | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        changes = {"TERM": "xterm", "NO_COLOR": None, **(env or {})}
        process = subprocess.Popen(
            [sys.executable, "-m", "promptchain", *arguments],
            cwd=place,
            env=_environment(changes),
            stdin=slave,
            stdout=subprocess.PIPE if piped else slave,
            stderr=slave,
        )
        os.close(slave)
        shown: list[bytes] = []

        def read() -> None:
            with contextlib.suppress(OSError):  # how a terminal ends
                while data := os.read(master, 65_536):
                    shown.append(data)

        reader = threading.Thread(target=read)
        reader.start()
        stdout, _ = process.communicate(timeout=60)
        reader.join()
        os.close(master)
        told = b"".join(shown).decode().replace("\r\n", "\n")
        assert "Traceback" not in told
        return subprocess.CompletedProcess(process.args, process.returncode, (stdout or b"").decode(), told)

    return call
