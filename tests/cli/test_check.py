"""``promptchain check``, and the command itself: version, help, how much it imports."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import promptchain.chains
from promptchain.models.catalog import KNOWN_ON

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_check_shows_every_step_of_the_built_in_chain(cli: Cli) -> None:
    done = cli("check", "promptchain.chains:answer")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert done.stderr == ""
    assert lines[0] == "answer: str -> str, at most 4,194,304 bytes"
    assert lines[-1] == "ok"
    assert [line.strip() for line in lines if line.startswith("  ") and line[2] != " "] == [
        "analyze: Step, Any -> Analysis",
        "process: Step, Any -> Draft",
        "synthesize: Step, Any -> str",
    ]
    prompt = Path(promptchain.chains.__file__).parent / "prompts" / "synthesize.md"
    digest = hashlib.sha256(prompt.read_bytes()).hexdigest()
    assert any(
        line.endswith(f"synthesize.md  sha256 {digest[:12]}  {{input}} {{process.content}}") for line in lines
    )
    assert lines[1:3] == ["profile: none; known: accuracy, balanced, cost", "gates: on (default)"]
    assert "    gates         content: the content must not be empty (strict, default)" in lines
    assert any(line.startswith("                  min_confidence: ") for line in lines)
    assert lines.count("    model         claude-haiku-4-5 (chain 'answer')") == 3
    assert lines.count("    max_tokens    2,048 (step)") == 2
    assert lines.count("    max_reasks    2 (default)") == 3


def test_check_gives_the_same_as_json(cli: Cli) -> None:
    told = json.loads(cli("check", "chains:nested", "--json").stdout)
    assert told["ok"] is True
    assert [(stage["path"], stage["kind"]) for stage in told["stages"]] == [
        ("draft", "Step"),
        ("inner", "Chain"),
        ("inner/polish", "Step"),
    ]
    draft, _, polish = told["stages"]
    assert draft["configuration"] == {
        "model": {"value": "claude-haiku-4-5", "from": "chain 'nested'"},
        "max_tokens": {"value": 4096, "from": "default"},
        "max_reasks": {"value": 2, "from": "default"},
    }
    assert polish["configuration"] == {
        "model": {"value": "claude-sonet-4-5", "from": "step"},
        "max_tokens": {"value": 50, "from": "step"},
        "max_reasks": {"value": 2, "from": "default"},
    }
    assert draft["prompt"] == {
        "file": None,
        "sha256": hashlib.sha256(b"{input}").hexdigest(),
        "placeholders": ["input"],
    }
    assert draft["system"]["placeholders"] == []
    assert draft["gates"] == []


def test_check_warns_of_a_model_that_is_not_known_and_says_when_it_would_have_been(cli: Cli) -> None:
    done = cli("check", "chains:nested")
    assert done.returncode == 0
    said = (
        f"'claude-sonet-4-5' is not among the models known on {KNOWN_ON}. Did you mean 'claude-sonnet-4-5'?"
    )
    assert done.stderr.splitlines()[1:] == [f"warning: step 'inner/polish': {said}"]
    assert json.loads(cli("check", "chains:nested", "--json").stdout)["warnings"]
    assert cli("check", "chains:mystery").stderr == "printed by the module\n"


def test_check_gives_an_error_as_json_too(cli: Cli) -> None:
    done = cli("check", "chains:ecko", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert document["ok"] is False
    assert document["error"]["type"] == "LoadError"


def test_the_version_is_that_of_the_distribution(cli: Cli) -> None:
    assert cli("--version").stdout == f"promptchain {importlib.metadata.version('promptchain-ai')}\n"


def test_without_a_command_the_help_is_shown_and_the_use_was_wrong(cli: Cli) -> None:
    done = cli()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: promptchain" in done.stderr
    assert "check a chain" in done.stderr


def test_help_is_no_failure(cli: Cli) -> None:
    for arguments in (["--help"], ["run", "--help"], ["check", "--help"]):
        done = cli(*arguments)
        assert done.returncode == 0
        assert done.stdout.startswith("usage: promptchain")


def test_the_installed_command_is_the_same(cli: Cli, place: Path) -> None:
    command = Path(sys.executable).with_name("promptchain")
    done = subprocess.run(
        [command, "check", "chains:nested"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == cli("check", "chains:nested").stdout


def test_checking_a_chain_imports_neither_the_sdk_nor_the_prices(place: Path) -> None:
    script = (
        "import sys; from promptchain.cli import main; code = main(['check', 'promptchain.chains:answer']); "
        "print(code, sorted({'anthropic', 'genai_prices', 'aiohttp', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=place, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
