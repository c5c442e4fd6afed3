"""What people type and what chains give that a review found the command to stumble over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptchain import cli as command
from promptchain.cli import main

MODULE = """
from promptchain import Chain, Step, step


@step
def raw(text: str) -> bytes:
    return b"\\xff\\xfe"


@step
def ring(text: str) -> list[object]:
    items = []
    items.append(items)
    return items


echo = Chain("echo", Step("say", prompt="Say {input}"), model="offline")
blind = Chain("blind", Step("say", prompt="Say it."), model="offline")
undecodable = Chain("undecodable", Step("say", prompt="{input}", model="offline") | raw)
endless = Chain("endless", ring)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "hard_cases.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["--quiet", "hello there"],
        ["--json", "hello there"],
        ["--model", "offline", "hello there"],
        ["--model", "offline", "--", "hello there"],
        ["--quiet", "--", "-hello there"],
    ],
)
def test_the_input_may_stand_behind_the_options(words: list[str], capfd: Any) -> None:
    assert main(["run", "hard_cases:echo", *words]) == 0
    assert "hello there" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hello", "there"], "unrecognized arguments: there"),
        (["--modle", "offline", "hello"], "unrecognized arguments: --modle"),
        (["--file", "x", "hello"], "unrecognized arguments: hello"),
    ],
)
def test_what_is_left_over_is_refused_with_the_usage_of_the_command(
    words: list[str], said: str, capfd: Any
) -> None:
    assert main(["run", "hard_cases:echo", *words]) == 2
    error = capfd.readouterr().err
    assert said in error
    assert "promptchain run" in error


@pytest.mark.parametrize("target", ["undecodable", "endless"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_output_that_has_no_json_is_shown_as_python_shows_it(
    target: str, options: list[str], capfd: Any
) -> None:
    assert main(["run", f"hard_cases:{target}", *options, "x"]) == 0
    told = capfd.readouterr()
    document = json.loads(told.out)
    output = document["output"] if options else document
    assert output == {"undecodable": r"b'\xff\xfe'", "endless": "[[...]]"}[target]
    assert "total" in told.err or target == "endless"


def test_a_name_longer_than_a_file_may_have_is_a_clear_error(capfd: Any) -> None:
    assert main(["run", f"{'x' * 5000}.py:chain", "hello"]) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert "defect" not in error


def test_check_warns_of_a_prompt_that_sees_nothing(capfd: Any) -> None:
    assert main(["check", "hard_cases:blind"]) == 0
    assert "warning: step 'say': its prompt has no placeholder" in capfd.readouterr().err


def test_what_nobody_foresaw_is_one_line_and_no_traceback(
    capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(target: str) -> Any:
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr(command.run, "load_chain", fails)
    assert main(["run", "hard_cases:echo", "hello"]) == 1
    error = capfd.readouterr().err
    assert error == (
        "error: ZeroDivisionError: nobody foresaw this (this is a defect of promptchain; please report it)\n"
    )
