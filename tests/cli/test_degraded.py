"""Deadlines and optional steps on the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]

MODULE = """
import asyncio

from pydantic import BaseModel

from promptchain import Chain, ScriptedModel, Step, step
from promptchain.errors import ModelNotFoundError

GONE = ModelNotFoundError("no such model,\\nand no other", status=404)


class Tip(BaseModel):
    text: str


@step
async def waits(text: str) -> str:
    await asyncio.sleep(60)
    return text


plan_b = Step("plan-b", prompt="{input}", model=ScriptedModel("two"))
tips = Step("tips", prompt="{input}", optional=True, default="none", model=ScriptedModel(GONE))
more = Step("more", prompt="{input}", optional=True, fallback=plan_b, model=ScriptedModel(GONE))
tip = Step("tip", prompt="{input}", output=Tip, optional=True, default=Tip(text="none"), model=ScriptedModel(GONE))
degraded = Chain("degraded", tips | more)
typed = Chain("typed", tip)
slow = Chain("slow", Step("first", prompt="{input}", model=ScriptedModel("one")) | waits)
"""


@pytest.fixture(autouse=True)
def _module(place: Path) -> None:
    (place / "made.py").write_text(MODULE, "utf-8")


def test_what_stands_in_is_told_behind_the_bill(cli: Cli) -> None:
    done = cli("run", "made:degraded", "x")
    assert (done.returncode, done.stdout) == (0, "two\n")
    assert done.stderr.splitlines()[-2:] == [
        "tips: degraded, its default stands in: no such model, and no other",
        "more: degraded, more/plan-b stands in: no such model, and no other",
    ]
    assert cli("run", "made:degraded", "x", "--quiet").stderr == ""


def test_progress_tells_what_is_degraded(screen: Cli) -> None:
    done = screen("run", "made:degraded", "x", piped=True)
    assert "tips: degraded" in done.stderr
    assert "more/plan-b: done" in done.stderr


def test_the_document_has_what_was_degraded(cli: Cli) -> None:
    told = json.loads(cli("run", "made:typed", "x", "--json").stdout)
    assert told["output"] == {"text": "none"}
    assert [(degraded["step"], degraded["by"]) for degraded in told["degraded"]] == [("tip", "default")]


def test_a_typed_default_is_given_as_json(cli: Cli) -> None:
    assert json.loads(cli("run", "made:typed", "x").stdout) == {"text": "none"}


def test_a_deadline_has_an_exit_code_of_its_own_and_one_line(cli: Cli) -> None:
    done = cli("run", "made:slow", "x", "--deadline", "0.3")
    assert (done.returncode, done.stdout) == (124, "")
    assert done.stderr.splitlines()[0] == (
        "error: step 'waits': the deadline of 0.3 s has passed in the middle of a stage: "
        "allow the run more time, or give it less to do."
    )
    assert done.stderr.splitlines()[-1].startswith("total")
    told = json.loads(cli("run", "made:slow", "x", "--deadline", "0.3", "--json").stdout)
    assert (told["error"]["type"], told["error"]["step"]) == ("DeadlineError", "waits")
    assert [attempt["step"] for attempt in told["ledger"]] == ["first"]


@pytest.mark.parametrize("given", ["0", "-1", "nan", "soon"])
def test_a_deadline_that_is_none_is_wrong_use(cli: Cli, given: str) -> None:
    done = cli("run", "made:slow", "x", f"--deadline={given}")
    assert done.returncode == 2
    assert "deadline" in done.stderr


def test_check_shows_what_stands_in(cli: Cli) -> None:
    done = cli("check", "made:degraded")
    assert "    optional      default 'none'" in done.stdout.splitlines()
    assert "    optional      fallback more/plan-b" in done.stdout.splitlines()
    told = json.loads(cli("check", "made:degraded", "--json").stdout)
    assert [stage["optional"] for stage in told["stages"]] == [
        {"default": "none"},
        {"fallback": "more/plan-b"},
        None,
    ]
    assert json.loads(cli("check", "made:typed", "--json").stdout)["stages"][0]["optional"] == {
        "default": {"text": "none"}
    }
