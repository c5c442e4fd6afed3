"""However a command ends: one line for people, one document for programs, and the bill."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptchain import cli as command
from promptchain.cli import main
from promptchain.testing import MessagesAPI, Pace

Cli = Callable[..., subprocess.CompletedProcess[str]]

ENDINGS = """
import sys
from promptchain import Chain, Gate, JudgeGate, Step, step
from promptchain.models.offline import OfflineModel
from promptchain.models.scripted import ScriptedModel

quiet = Chain("quiet", Step("say", prompt="Say {input}"), model="claude-haiku-4-5")


def refuse(text: str) -> bool:
    return False


forged = Chain(
    "forged",
    Step("ask", prompt="{input}", gates=[Gate(refuse, "no\\nFAKE: done\\x1b[2J\\r\\nerror: none")]),
    model=ScriptedModel("x"),
)


class Fickle:
    @property
    def chain(self):
        raise SystemExit(0)


fickle = Fickle()


@step(gates=[JudgeGate("It must be kind.")])
def shorten(text: str) -> str:
    return text


@step(gates=[JudgeGate("It must be kind.", model="offline")])
def settled(text: str) -> str:
    return text


inner = Chain("inner", Step("polish", prompt="{input}"), input_gates=[JudgeGate("It must be short.")])
judged = Chain("judged", shorten | settled | inner, model="claude-haiku-4-5")
"""


@pytest.fixture(autouse=True)
def _module(place: Path) -> None:
    (place / "endings.py").write_text(ENDINGS, "utf-8")
    (place / "endless.py").write_text(
        "import sys, time\nprint('begun', flush=True)\ntime.sleep(60)\n", "utf-8"
    )


def ignores_interrupts(process: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:")]
    return bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it is seen in /proc")
def test_a_second_interrupt_loses_neither_the_document_nor_the_bill(
    place: Path, messages_api: MessagesAPI
) -> None:
    messages_api.pace = Pace(between=0.05)
    messages_api.script("word " * 500)
    read, write = os.pipe()
    flags = fcntl.fcntl(write, fcntl.F_GETFL)
    fcntl.fcntl(write, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    stuffed = 0
    try:
        while True:
            stuffed += os.write(write, b"." * 1024)
    except BlockingIOError:
        fcntl.fcntl(write, fcntl.F_SETFL, flags)  # so the first word about the end waits
    process = subprocess.Popen(
        [sys.executable, "-m", "promptchain", "run", "endings:quiet", "hello", "--json"],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=write,
    )
    os.close(write)
    messages_api.bill.wait(lambda bill: len(bill) == 1 and bill[0].deltas_sent > 3, timeout=30)
    process.send_signal(signal.SIGINT)
    until = time.monotonic() + 20
    while not ignores_interrupts(process):
        assert time.monotonic() < until, "another Ctrl-C would still end it"
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    with os.fdopen(read, "rb") as stderr:
        told = stderr.read()[stuffed:].decode()
    stdout, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told.startswith("interrupted\n")
    assert told.splitlines()[-1].startswith("total")
    document = json.loads(stdout)
    assert document["error"]["type"] == "Interrupted"
    assert document["ledger"][0]["error"] == "cancelled"


@pytest.mark.parametrize("name", ["run", "check"])
def test_an_interrupt_while_the_module_loads_gives_a_document_too(place: Path, name: str) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "promptchain",
            name,
            "endless:chain",
            *(["x"] if name == "run" else []),
            "--json",
        ],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, b"interrupted\n")
    document = json.loads(stdout)
    assert document["error"]["type"] == "Interrupted"
    assert document.get("ledger", []) == []
    assert document.get("ok") is (False if name == "check" else None)


def test_an_interrupt_while_the_input_is_awaited_gives_a_document_too(place: Path) -> None:
    (place / "waiting.py").write_text(
        "from endings import quiet\nimport sys\nprint('loaded', flush=True)\n", "utf-8"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "promptchain", "run", "waiting:quiet", "--json"],
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"loaded\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (130, b"interrupted\n")
    assert json.loads(stdout)["error"]["type"] == "Interrupted"


def test_no_input_at_a_terminal_is_an_error_document_too(screen: Cli) -> None:
    done = screen("run", "endings:quiet", "--json", piped=True)
    assert done.returncode == 2
    assert "usage: " in done.stderr
    assert (
        "error: there is no input: give it as an argument, with --file, or on standard input." in done.stderr
    )
    document = json.loads(done.stdout)
    assert (document["error"]["type"], document["ledger"]) == ("InputError", [])


@pytest.mark.parametrize("name", ["run", "check"])
def test_what_nobody_foresaw_is_an_error_document_too(
    name: str, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(target: str) -> Any:
        raise ZeroDivisionError("nobody\nforesaw this")

    monkeypatch.setattr(getattr(command, name), "load_chain", fails)
    assert main([name, "endings:quiet", *(["hello"] if name == "run" else []), "--json"]) == 1
    told = capfd.readouterr()
    assert json.loads(told.out)["error"]["type"] == "ZeroDivisionError"
    assert json.loads(told.out)["error"]["message"] == "nobody\nforesaw this"
    assert told.err == (
        "error: ZeroDivisionError: nobody foresaw this (this is a defect of promptchain; please report it)\n"
    )


def test_an_error_is_one_line_for_people_and_as_it_is_in_the_document(cli: Cli) -> None:
    done = cli("run", "endings:forged", "hello", "--json")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    (told,) = [line for line in lines if "FAKE" in line]
    assert told.startswith("error: step 'ask': ")
    assert r"no FAKE: done\x1b[2J error: none" in told
    assert "no\nFAKE: done\x1b[2J\r\nerror: none" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize("name", ["run", "check"])
def test_an_attribute_that_ends_the_program_is_an_error(cli: Cli, name: str) -> None:
    words = ["hello"] if name == "run" else []
    done = cli(name, "endings.py:fickle.chain", *words, "--json")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["error"]["type"] == "LoadError"
    assert "ended the program (0) while it was loaded at endings.py:" in document["error"]["message"]


def test_a_variable_for_a_judge_is_not_warned_about(cli: Cli) -> None:
    variables = {f"PROMPTCHAIN_{name}_MODEL": "claude-opus-5" for name in ("SHORTEN", "SETTLED", "INNER")}
    done = cli("check", "endings:judged", "--json", env=dict(variables))
    document = json.loads(done.stdout)
    shorten, _, inner, polish = document["stages"]
    assert shorten["gates"][0]["configuration"]["model"]["value"] == "claude-opus-5"
    assert inner["input_gates"][0]["configuration"]["model"]["value"] == "claude-opus-5"
    assert polish["configuration"]["model"]["value"] == "claude-haiku-4-5"
    (warning,) = document["warnings"]
    assert warning.startswith("PROMPTCHAIN_SETTLED_MODEL says nothing of this chain.")


def test_variables_of_another_purpose_are_not_warned_about(cli: Cli) -> None:
    variables = {"PROMPTCHAIN_TOKEN": "x", "PROMPTCHAIN_SERVER_PORT": "80", "PROMPTCHAIN_A\nFAKE_MODEL": "x"}
    done = cli("check", "endings:quiet", env=dict(variables))
    (told,) = done.stderr.splitlines()
    assert told.startswith("warning: PROMPTCHAIN_A FAKE_MODEL says nothing of this chain.")


def test_a_wrong_value_for_a_step_is_wrong_use_of_check_too(cli: Cli) -> None:
    for words in (["check", "endings:quiet"], ["run", "endings:quiet", "x"]):
        done = cli(*words, "--json", env={"PROMPTCHAIN_SAY_TIMEOUT": "5m"})
        assert done.returncode == 2
        assert json.loads(done.stdout)["error"]["type"] == "ConfigurationError"
        assert done.stderr.startswith("error: PROMPTCHAIN_SAY_TIMEOUT: timeout is a number of seconds")


def test_a_value_that_no_environment_takes_is_wrong_use(cli: Cli, place: Path) -> None:
    for data in (
        b"ANTHROPIC_API_KEY=a\0b\n",
        b"'ANTHROPIC_X=Y'=v\n",
        b"PROMPTCHAIN_FORBID_REAL_CALLS=1\0\n",
        b"'PROMPTCHAIN_A\nerror: FAKE_MODEL'=x\n",
    ):
        (place / "odd.env").write_bytes(data)
        done = cli("check", "endings:quiet", "--env-file", "odd.env")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: odd.env, line 1")
        assert len(done.stderr.splitlines()) == 1


def test_a_value_that_the_locale_cannot_write_is_wrong_use(cli: Cli, place: Path) -> None:
    (place / "odd.env").write_text("ANTHROPIC_API_KEY=\u65e5\n", "utf-8")
    strict = "import sys, os\nos.environ.encodevalue = lambda text: text.encode('latin-1')\n"
    code = f"{strict}from promptchain.cli import main\nsys.exit(main(['check', 'endings:quiet', '--env-file', 'odd.env']))"
    absent = {name: text for name, text in os.environ.items() if not name.startswith("ANTHROPIC_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=absent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: ANTHROPIC_API_KEY (odd.env, line 1) cannot be put into the environment of the process.\n"
    )


# Places that may not be looked at

AS_SOMEBODY_ELSE = """
import encodings.utf_8_sig, json, os, sys
import promptchain.chains, promptchain.cli.check, promptchain.cli.run, dotenv.parser
place, here, removed = json.loads(sys.argv[1])
os.chdir(here)
if removed:
    os.rmdir(here)
if os.getuid() == 0:
    os.setuid(65534)
sys.exit(promptchain.cli.main(sys.argv[2:]))
"""


def as_somebody_else(
    place: str, here: str, *words: str, removed: bool = False
) -> subprocess.CompletedProcess[str]:
    """The command, run by a user who may not read what is forbidden to others; its own code is loaded before."""
    where = json.dumps([place, here, removed])
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY_ELSE, where, *words],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    return done


@pytest.mark.skipif(os.getuid() != 0, reason="it becomes another user")
def test_a_folder_that_may_not_be_looked_at_is_a_clear_error() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        entered, closed = Path(place, "entered"), Path(place, "closed")
        for folder, mode in ((entered, 0o311), (closed, 0o700)):
            folder.mkdir()
            (folder / ".env").write_text("PROMPTCHAIN_TIMEOUT=60\n", "utf-8")
            (folder / "chains.py").touch()
            folder.chmod(mode)
        answer = "promptchain.chains:answer"
        for words, code, says in (
            (["run", answer, "--file", str(entered / "x.txt")], 2, "x.txt' does not exist."),
            (["run", answer, "--file", str(closed / "x.txt")], 2, "cannot be read: Permission denied."),
            (["check", str(entered / "chain.py:x")], 2, "chain.py' does not exist."),
            (["check", str(closed / "chain.py:x")], 2, "is in a folder that may not be entered."),
            (["check", answer, "--env-file", str(closed / ".env")], 2, "cannot be read: Permission denied."),
        ):
            done = as_somebody_else(place, place, *words)
            assert (done.returncode, done.stdout) == (code, "")
            assert done.stderr.endswith(f"{says}\n")
        for folder in (entered, closed):
            done = as_somebody_else(place, str(folder), "check", answer)
            assert (done.returncode, done.stderr) == (0, "")
            done = as_somebody_else(place, str(folder), "check", "nothing_of_this_name:x")
            assert done.returncode == 2
            assert "there is no module 'nothing_of_this_name'" in done.stderr


def test_a_working_directory_that_was_removed_is_no_reason_for_a_crash() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        for words, code, says in (
            (["check", "promptchain.chains:answer"], 0, ""),
            (
                ["check", "nothing_of_this_name:x"],
                2,
                "the working directory, which does not exist, nor installed.",
            ),
            (["check", "nothing.py:x"], 2, "'nothing.py' does not exist."),
        ):
            here = Path(place, "removed")
            here.mkdir()
            done = as_somebody_else(place, str(here), *words, removed=True)
            assert done.returncode == code
            assert says in done.stderr
