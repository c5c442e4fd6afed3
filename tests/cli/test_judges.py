"""Judges on the command line: who they ask, and what they would have cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

JUDGED = """
from promptchain import Chain, JudgeGate, ScriptedModel, Step

judged = Chain(
    "judged",
    Step("write", prompt="{input}", gates=[JudgeGate("It is polite.", model="claude-opus-5-5")]),
    model="claude-haiku-4-5",
    input_gates=[JudgeGate("It is a question.", name="door")],
)
"""


def test_check_says_whom_a_judge_asks(cli: Any, place: Path) -> None:
    (place / "judges.py").write_text(JUDGED, "utf-8")
    told = cli("check", "judges.py:judged").stdout
    assert (
        "input gate: door: it does not meet the rubric: It is a question. (strict, default; asks claude-haiku-4-5, chain 'judged')"
        in told
    )
    assert "(strict, default; asks claude-opus-5-5)" in told


def test_check_says_what_settings_say_of_a_judge_and_what_says_nothing(cli: Any, place: Path) -> None:
    (place / "judges.py").write_text(JUDGED, "utf-8")
    env = {
        "PROMPTCHAIN_WRITE_JUDGE_EFFORT": "low",
        "PROMPTCHAIN_DOOR_MODEL": "claude-sonnet-5",
        "PROMPTCHAIN_MODEL": "x",
    }
    done = cli("check", "judges.py:judged", env=env)
    assert "asks claude-sonnet-5, PROMPTCHAIN_DOOR_MODEL)" in done.stdout
    assert "asks claude-opus-5-5; effort low, PROMPTCHAIN_WRITE_JUDGE_EFFORT)" in done.stdout
    assert done.stderr.startswith("warning: PROMPTCHAIN_MODEL holds for no step")
    assert len(done.stderr.splitlines()) == 1


def test_what_a_stand_in_tells_of_the_cost_counts_the_judges_too(cli: Any, place: Path) -> None:
    (place / "judges.py").write_text(JUDGED, "utf-8")
    done = cli("run", "judges.py:judged", "What is it?")
    assert "Set ANTHROPIC_API_KEY to ask claude-haiku-4-5, claude-opus-5-5" in done.stderr
    assert "on claude-haiku-4-5, claude-opus-5-5 these tokens would cost about $0.00" in done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines() if " in " in line and " out " in line] == [
        "door",
        "write",
        "write/judge",
        "total",
    ]
