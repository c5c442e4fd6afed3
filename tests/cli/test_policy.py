"""What the commands say of the policy, the deadline and the budget, and of variables about them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from promptchain.testing import Fault, MessagesAPI

Cli = Callable[..., subprocess.CompletedProcess[str]]

CHAINS = """
from promptchain import Budget, Chain, JudgeGate, Step, step
from promptchain.resilience import Breaker, Fallback, Hedge, Policy, Retry, Timeout

draft = Step("draft", prompt="{input}", policy=Policy(retry=Retry(attempts=2), breaker=None))
polish = Step("polish", prompt="{previous}")


@step
def shout(text: str) -> str:
    return text.upper()


guarded = Chain(
    "guarded",
    draft | shout | polish,
    model="claude-haiku-4-5",
    policy=Policy(
        fallback=Fallback(["claude-sonnet-4-5", "claude-opus-4-5"]),
        hedge=Hedge(after=2.5),
        timeout=Timeout(attempt=None, idle=60),
    ),
)
bare = Chain("bare", Step("ask", prompt="{input}"), model="claude-haiku-4-5")
same = Chain("same", Step("ask", prompt="{input}", policy=Policy(breaker=Breaker())), model="claude-haiku-4-5")
judged = Chain("judged", shout, model="claude-haiku-4-5", input_gates=[JudgeGate("It is polite.", name="door")])
silent = Chain("silent", shout)
bounded = Chain("bounded", polish, model="claude-haiku-4-5", deadline=30, budget=Budget(usd="0.5"))
"""


@pytest.fixture(autouse=True)
def _module(place: Path) -> None:
    (place / "policies.py").write_text(CHAINS, "utf-8")


def policy_lines(shown: str) -> list[str]:
    """The lines of each step's policy, without those around."""
    found: list[str] = []
    within = False
    for line in shown.splitlines():
        name, text = line[4:16].strip(), line[18:]
        within = line.startswith("    ") and (name == "policy" or (within and not name))
        if within:
            found.append(text)
    return found


def test_check_shows_each_part_that_is_not_as_by_default_and_who_says_so(cli: Cli, place: Path) -> None:
    (place / ".env").write_text("PROMPTCHAIN_BREAKER_RESET=12.5\nPROMPTCHAIN_BREAKER_FAILURES=5\n", "utf-8")
    env = {"PROMPTCHAIN_RETRY_ATTEMPTS": "5", "PROMPTCHAIN_CONCURRENCY": "4", "PROMPTCHAIN_PACE": "off"}
    done = cli("check", "policies:guarded", env=dict(env))
    assert (done.returncode, done.stderr) == (0, "")
    both = ("PROMPTCHAIN_BREAKER_FAILURES (.env, line 2)", "PROMPTCHAIN_BREAKER_RESET (.env, line 1)")
    of_chain = [
        "timeout attempt without end, idle 60 s (chain 'guarded')",
        "fallback models claude-sonnet-4-5, then claude-opus-4-5 (chain 'guarded')",
        "hedge after 2.5 s, max_extra 1 (chain 'guarded')",
        "limits concurrency 4, pace off (PROMPTCHAIN_CONCURRENCY, PROMPTCHAIN_PACE)",
    ]
    assert policy_lines(done.stdout) == [
        "retry attempts 2 (step)",
        "breaker off (step)",
        *of_chain,
        "retry attempts 5 (PROMPTCHAIN_RETRY_ATTEMPTS)",
        f"breaker failures 5, reset 12.5 s ({', '.join(both)})",
        *of_chain,
    ]


def test_check_says_in_a_line_that_a_policy_is_the_default(cli: Cli) -> None:
    for chain in ("bare", "same"):
        assert policy_lines(cli("check", f"policies:{chain}").stdout) == ["default"]
    assert "policy" not in cli("check", "policies:silent").stdout


def test_check_shows_the_policy_of_the_judges_of_an_input(cli: Cli) -> None:
    done = cli("check", "policies:judged", env={"PROMPTCHAIN_RETRY": "off"})
    assert "\npolicy of the judges of its input: retry off (PROMPTCHAIN_RETRY)\n" in done.stdout
    assert done.stderr == ""
    told = json.loads(cli("check", "policies:judged", "--json", env={"PROMPTCHAIN_RETRY": "off"}).stdout)
    assert told["policy"]["retry"] == {"value": None, "from": "PROMPTCHAIN_RETRY"}
    assert told["stages"][0]["policy"] is None


def test_check_gives_the_whole_policy_as_json(cli: Cli) -> None:
    env = {"PROMPTCHAIN_RETRY_MAX_WAIT": "60"}
    told = json.loads(cli("check", "policies:guarded", "--json", env=dict(env)).stdout)
    draft, shout, polish = told["stages"]
    assert shout["policy"] is told["policy"] is None
    assert draft["policy"]["retry"] == {
        "value": {"attempts": 2, "max_wait": 30.0, "multiplier": 1.0},
        "from": "step",
    }
    assert polish["policy"] == {
        "retry": {
            "value": {"attempts": 3, "max_wait": 60.0, "multiplier": 1.0},
            "from": "PROMPTCHAIN_RETRY_MAX_WAIT",
        },
        "breaker": {
            "value": {"failures": 3, "reset": 30.0, "successes": 1, "counts_rate_limits": False},
            "from": "default",
        },
        "timeout": {
            "value": {"total": None, "attempt": None, "first_token": 300.0, "idle": 60},
            "from": "chain 'guarded'",
        },
        "fallback": {
            "value": {"models": ["claude-sonnet-4-5", "claude-opus-4-5"]},
            "from": "chain 'guarded'",
        },
        "hedge": {"value": {"after": 2.5, "max_extra": 1}, "from": "chain 'guarded'"},
        "limits": {"value": {"concurrency": None, "pace": True}, "from": "default"},
    }


def test_check_shows_the_deadline_and_the_budget_of_a_run_and_who_says_so(cli: Cli) -> None:
    env = {
        "PROMPTCHAIN_DEADLINE": "60",
        "PROMPTCHAIN_BUDGET_USD": "0.10",
        "PROMPTCHAIN_BUDGET_TOKENS": "50000",
    }
    shown = cli("check", "policies:bare", env=dict(env)).stdout
    assert shown.splitlines()[3:6] == [
        "deadline: 60 s (PROMPTCHAIN_DEADLINE)",
        "budget: USD 0.10 (PROMPTCHAIN_BUDGET_USD)",
        "budget: 50,000 tokens (PROMPTCHAIN_BUDGET_TOKENS)",
    ]
    done = cli("check", "policies:bounded", env=dict(env))
    assert done.stdout.splitlines()[3:5] == [
        "deadline: 30 s (chain 'bounded')",
        "budget: USD 0.5 (chain 'bounded')",
    ]
    assert "50,000" not in done.stdout
    assert done.stderr.splitlines() == [
        f"warning: PROMPTCHAIN_{name}: no run of this chain takes it, as it has a {kind} of its own."
        for name, kind in (("DEADLINE", "deadline"), ("BUDGET_USD", "budget"), ("BUDGET_TOKENS", "budget"))
    ]
    told = json.loads(cli("check", "policies:bare", "--json", env=dict(env)).stdout)
    assert told["deadline"] == {"value": 60.0, "from": "PROMPTCHAIN_DEADLINE"}
    assert told["budget_usd"] == {"value": "0.10", "from": "PROMPTCHAIN_BUDGET_USD"}
    assert told["budget_tokens"] == {"value": 50_000, "from": "PROMPTCHAIN_BUDGET_TOKENS"}


def test_run_and_check_warn_of_a_variable_of_the_policy_that_says_nothing(cli: Cli) -> None:
    env = {"PROMPTCHAIN_BREAKER_SUCCESSES": "2", "PROMPTCHAIN_RETRY_ATTEMPT": "5"}
    warnings = [
        "warning: PROMPTCHAIN_RETRY_ATTEMPT says nothing of this chain. Did you mean 'PROMPTCHAIN_RETRY_ATTEMPTS'?",
        "warning: PROMPTCHAIN_BREAKER_SUCCESSES: no model call takes it, as the code says the breaker of each.",
    ]
    for command in (["check", "policies:same"], ["run", "policies:same", "Hello.", "--model", "offline"]):
        done = cli(*command, env=dict(env))
        assert done.returncode == 0
        assert done.stderr.splitlines()[:2] == warnings
    assert len(cli("check", "policies:silent", env=dict(env)).stderr.splitlines()) == 1
    assert len(cli("check", "policies:bare", env=dict(env)).stderr.splitlines()) == 1


def test_a_value_out_of_its_range_is_wrong_use(cli: Cli) -> None:
    for command in (["check", "policies:bare"], ["run", "policies:bare", "Hello."]):
        done = cli(*command, env={"PROMPTCHAIN_BREAKER_RESET": "5"})
        assert (done.returncode, done.stdout) == (2, "")
        told = "error: PROMPTCHAIN_BREAKER_RESET is a number of seconds from 10 to 300, not '5'."
        assert done.stderr.splitlines()[0] == told


def test_a_run_asks_again_as_often_as_check_shows(cli: Cli, messages_api: MessagesAPI) -> None:
    messages_api.script(*[Fault.status(500, retry_after_ms=1)] * 5)
    done = cli("run", "policies:bare", "Hello.", "--quiet", env={"PROMPTCHAIN_RETRY_ATTEMPTS": "2"})
    assert done.returncode == 1
    assert len(messages_api.bill) == 2
