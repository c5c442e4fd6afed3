"""What the type checkers must accept and must reject: both, strict, at exactly the lines that say so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "typing"
FILES = sorted(path.name for path in FOLDER.glob("*.py"))


def checked(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


@cache
def mypy() -> dict[str, dict[int, str]]:
    """Messages by file and line."""
    said: dict[str, dict[int, str]] = {name: {} for name in FILES}
    out = checked(
        "mypy", "--config-file", str(ROOT / "pyproject.toml"), *(str(FOLDER / name) for name in FILES)
    )
    for path, line, message in re.findall(r"^(\S+?):(\d+): error: (.*)$", out, re.MULTILINE):
        said[Path(path).name][int(line)] = message
    assert re.search(r"^(Found|Success)", out, re.MULTILINE), out
    return said


@cache
def pyright() -> dict[str, dict[int, str]]:
    """Messages by file and line."""
    said: dict[str, dict[int, str]] = {name: {} for name in FILES}
    out = checked("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(FOLDER))
    for found in json.loads(out)["generalDiagnostics"]:
        if found["severity"] == "error":
            said[Path(found["file"]).name][found["range"]["start"]["line"] + 1] = found["message"]
    return said


def marked(name: str) -> set[int]:
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    return {number for number, line in enumerate(lines, start=1) if line.endswith("  # error")}


def test_there_is_something_to_accept_and_something_to_reject() -> None:
    assert "accept.py" in FILES
    assert marked("accept.py") == set()
    assert all(marked(name) for name in FILES if name.startswith("reject_"))
    assert sum(name.startswith("reject_") for name in FILES) == len(FILES) - 1


@pytest.mark.parametrize("checker", [mypy, pyright])
@pytest.mark.parametrize("name", FILES)
def test_a_checker_rejects_the_marked_lines_and_no_other(name: str, checker: object) -> None:
    said = mypy()[name] if checker is mypy else pyright()[name]
    wrong = marked(name)
    assert {line: said[line] for line in said.keys() - wrong} == {}, "rejected, and should not be"
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    assert [lines[line - 1] for line in sorted(wrong - said.keys())] == [], "accepted, and should not be"
