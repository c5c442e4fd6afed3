"""Settings of the commands: ``.env``, ``--env-file``, ``--profile``, and variables that say nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from promptchain.testing import MessagesAPI

Cli = Callable[..., subprocess.CompletedProcess[str]]

CHAINS = """
from promptchain import Chain, Gate, Profile, Step, step


@step(timeout=5)
def shorten(text: str) -> str:
    return text[:100]


def is_short(text: str) -> bool:
    return len(text) < 10_000


def is_asked(text: str) -> bool:
    return bool(text)


draft = Step("draft", prompt="{input}", max_tokens=300)
polish = Step(
    "polish",
    prompt="{previous}",
    gates=[Gate(is_short, "it must be short"), Gate(is_asked, "it must be there", mode="strict")],
)
inner = Chain("inner", polish, effort="medium")
tuned = Chain(
    "tuned",
    draft | shorten | inner,
    model="claude-sonnet-5-5",
    input_gates=[Gate(is_asked, "something must be asked")],
    profiles={"mine": Profile(model="claude-opus-5", steps={"inner/polish": {"max_tokens": 99}})},
)
""".replace("Gate, Profile, Step, step", "Gate, Step, step\nfrom promptchain.settings import Profile")


@pytest.fixture(autouse=True)
def _module(place: Path) -> None:
    (place / "tuned.py").write_text(CHAINS, "utf-8")


def test_check_shows_the_value_of_every_field_and_the_place_that_said_it(cli: Cli, place: Path) -> None:
    (place / ".env").write_text("# ours\nPROMPTCHAIN_POLISH_EFFORT=low\nPROMPTCHAIN_GATES_MODE=lenient\n")
    variables = {"PROMPTCHAIN_DRAFT_MODEL": "claude-opus-5-5", "PROMPTCHAIN_TIMEOUT": "30"}
    done = cli("check", "tuned:tuned", "--profile", "mine", env=dict(variables))
    shown = [line for line in done.stdout.splitlines() if "sha256" not in line]
    assert done.stderr == ""
    assert shown == [
        "tuned: str -> str, at most 4,194,304 bytes",
        "profile: mine, the chain's own (--profile); known: accuracy, balanced, cost, mine",
        "gates: on (default)",
        "input gate: is_asked: something must be asked (lenient, PROMPTCHAIN_GATES_MODE (.env, line 3))",
        "  draft: Step, Any -> str",
        "    model         claude-opus-5-5 (PROMPTCHAIN_DRAFT_MODEL)",
        "    max_tokens    300 (step)",
        "    max_reasks    2 (default)",
        "    timeout       30 s (PROMPTCHAIN_TIMEOUT)",
        "    policy        default",
        "  shorten: FunctionStage, str -> str",
        "    timeout       5 s (step)",
        "  inner: Chain, str -> str",
        "    inner/polish: Step, Any -> str",
        "      model         claude-opus-5 (profile 'mine')",
        "      max_tokens    99 (profile 'mine', for 'inner/polish')",
        "      effort        low (PROMPTCHAIN_POLISH_EFFORT (.env, line 2))",
        "      max_reasks    2 (default)",
        "      timeout       30 s (PROMPTCHAIN_TIMEOUT)",
        "      policy        default",
        "      gates         is_short: it must be short (lenient, PROMPTCHAIN_GATES_MODE (.env, line 3))",
        "                    is_asked: it must be there (strict, gate)",
        "ok",
    ]


def test_check_gives_all_of_it_as_json(cli: Cli) -> None:
    variables = {
        "PROMPTCHAIN_PROFILE": "balanced",
        "PROMPTCHAIN_GATES": "off",
        "PROMPTCHAIN_MIN_CONFIDENCE": "0.7",
    }
    told = json.loads(cli("check", "tuned:tuned", "--json", env=dict(variables)).stdout)
    assert told["ok"] is True
    assert told["errors"] == []
    assert told["profile"] == {"value": "balanced", "from": "PROMPTCHAIN_PROFILE", "of": "built-in"}
    assert told["profiles"] == ["accuracy", "balanced", "cost", "mine"]
    assert told["gates"] == {"value": False, "from": "PROMPTCHAIN_GATES"}
    assert told["min_confidence"] == {"value": 0.7, "from": "PROMPTCHAIN_MIN_CONFIDENCE"}
    assert told["input_gates"] == [
        {
            "name": "is_asked",
            "reason": "something must be asked",
            "mode": "off",
            "mode_from": "PROMPTCHAIN_GATES",
            "configuration": {},
        }
    ]
    draft, shorten, inner, polish = told["stages"]
    assert draft["configuration"]["effort"] == {"value": "medium", "from": "profile 'balanced'"}
    assert shorten["configuration"] == {"timeout": {"value": 5, "from": "step"}}
    assert (inner["configuration"], inner["input_gates"]) == ({}, [])
    assert [gate["mode_from"] for gate in polish["gates"]] == ["PROMPTCHAIN_GATES"] * 2


@pytest.mark.parametrize("profile", ["cost", "balanced", "accuracy", "mine"])
def test_a_run_asks_for_what_check_shows(cli: Cli, messages_api: MessagesAPI, profile: str) -> None:
    variables = {"PROMPTCHAIN_PROFILE": profile, "PROMPTCHAIN_POLISH_MAX_TOKENS": "777"}
    shown = json.loads(cli("check", "tuned:tuned", "--json", env=dict(variables)).stdout)
    done = cli("run", "tuned:tuned", "Say hello.", "--quiet", env=dict(variables))
    assert (done.returncode, done.stderr) == (0, "")
    steps = [stage["configuration"] for stage in shown["stages"] if stage["kind"] == "Step"]
    fields = ("model", "max_tokens", "effort")
    assert [tuple(step[name]["value"] if name in step else None for name in fields) for step in steps] == [
        (e.model, e.received["max_tokens"], e.received.get("output_config", {}).get("effort"))
        for e in messages_api.bill
    ]


def test_what_a_model_does_not_take_is_an_error_of_check_too(cli: Cli) -> None:
    done = cli("check", "tuned:tuned", env={"PROMPTCHAIN_DRAFT_TEMPERATURE": "0.2"})
    assert done.returncode == 2
    assert "error: step 'draft': claude-sonnet-5-5 takes no temperature" in done.stderr
    assert "    temperature   0.2 (PROMPTCHAIN_DRAFT_TEMPERATURE)" in done.stdout
    assert done.stdout.splitlines()[-1] != "ok"
    told = json.loads(
        cli("check", "tuned:tuned", "--json", env={"PROMPTCHAIN_DRAFT_TEMPERATURE": "0.2"}).stdout
    )
    assert (told["ok"], told["errors"][0]["step"]) == (False, "draft")


def test_an_option_chooses_the_profile_before_the_variable(cli: Cli) -> None:
    told = json.loads(
        cli(
            "check", "tuned:tuned", "--json", "--profile", "cost", env={"PROMPTCHAIN_PROFILE": "accuracy"}
        ).stdout
    )
    assert told["profile"] == {"value": "cost", "from": "--profile", "of": "built-in"}
    for command in (["check", "tuned:tuned"], ["run", "tuned:tuned", "x"]):
        done = cli(*command, "--profile", "cots")
        assert done.returncode == 2
        assert "error: --profile: there is no profile 'cots'. Did you mean 'cost'?" in done.stderr


def test_run_and_check_warn_of_a_variable_that_says_nothing(cli: Cli, place: Path) -> None:
    (place / ".env").write_text("PROMPTCHAIN_POLSH_EFFORT=low\n")
    said = (
        "warning: PROMPTCHAIN_POLSH_EFFORT (.env, line 1) says nothing of this chain. "
        "Did you mean 'PROMPTCHAIN_POLISH_EFFORT'?"
    )
    for command in (["check", "tuned:tuned"], ["run", "tuned:tuned", "Say hello.", "--model", "offline"]):
        done = cli(*command)
        assert done.returncode == 0
        assert done.stderr.splitlines()[0] == said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("PROMPTCHAIN_EFFORT=huge\n", "error: PROMPTCHAIN_EFFORT (.env, line 1): effort is one of low"),
        ("A=1\nB='\n", "error: .env, line 2 sets nothing"),
    ],
)
def test_what_is_wrong_in_the_file_is_wrong_use(cli: Cli, place: Path, text: str, says: str) -> None:
    (place / ".env").write_text(text)
    for command in (["check", "tuned:tuned"], ["run", "tuned:tuned", "Say hello."]):
        done = cli(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(says)
    assert json.loads(cli("check", "tuned:tuned", "--json").stdout)["error"]["type"] == "ConfigurationError"


def test_a_file_that_was_only_found_brings_neither_an_address_nor_a_key(cli: Cli, place: Path) -> None:
    (place / ".env").write_text("ANTHROPIC_BASE_URL=http://127.0.0.1:1\nANTHROPIC_API_KEY=found\n")
    done = cli("run", "tuned:tuned", "Say hello.")
    assert done.returncode == 0
    assert "No credential for the Anthropic API was found" in done.stderr


def test_a_file_that_is_named_brings_what_the_environment_does_not_have(
    cli: Cli, place: Path, messages_api: MessagesAPI
) -> None:
    file = place / "staging.env"
    file.write_text(
        f"ANTHROPIC_BASE_URL={messages_api.url}\nANTHROPIC_API_KEY=of-the-file\nPROMPTCHAIN_PROFILE=cost\n"
    )
    (place / ".env").write_text("PROMPTCHAIN_PROFILE=accuracy\n")
    absent = {"ANTHROPIC_BASE_URL": None, "ANTHROPIC_API_KEY": None}
    done = cli("run", "tuned:tuned", "Say hello.", "--quiet", "--env-file", str(file), env=dict(absent))
    assert (done.returncode, done.stderr) == (0, "")
    assert [entry.model for entry in messages_api.bill] == ["claude-haiku-5-5"] * 2
    file.write_text("ANTHROPIC_BASE_URL=http://127.0.0.1:1\n")
    assert cli("run", "tuned:tuned", "Say hello.", "--env-file", str(file)).returncode == 0
    assert len(messages_api.bill) == 4


def test_a_file_that_is_named_must_be_there_and_one_that_is_not_may_be_a_directory(
    cli: Cli, place: Path
) -> None:
    (place / ".env").mkdir()
    assert cli("check", "tuned:tuned").returncode == 0
    done = cli("check", "tuned:tuned", "--env-file", "nowhere.env")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the file 'nowhere.env' does not exist.\n"


def test_a_file_can_forbid_real_calls(cli: Cli, place: Path) -> None:
    (place / ".env").write_text("PROMPTCHAIN_FORBID_REAL_CALLS=1\n")
    variables = {
        "PROMPTCHAIN_FORBID_REAL_CALLS": None,
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_BASE_URL": "http://192.0.2.1",
    }
    done = cli("run", "tuned:tuned", "Say hello.", env=dict(variables))
    assert done.returncode == 2
    assert "a request to 192.0.2.1 was about to leave while real calls are forbidden" in done.stderr
