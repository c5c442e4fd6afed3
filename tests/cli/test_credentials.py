"""What the command takes for a credential, and what it says of one that is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from promptchain.testing import MessagesAPI

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    "header", ["Authorization: Bearer mine", "X-Api-Key: mine", "x-other: 1\nX-API-KEY:mine"]
)
def test_a_credential_in_the_custom_headers_asks_the_model(
    cli: Cli, messages_api: MessagesAPI, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    done = cli("run", "chains:echo", "hello", env={"ANTHROPIC_CUSTOM_HEADERS": header})
    assert done.returncode == 0
    assert "offline" not in done.stderr
    headers = messages_api.bill[0].headers
    assert "mine" in headers.get("authorization", "") + headers.get("x-api-key", "")


def test_other_custom_headers_are_no_credential(
    cli: Cli, messages_api: MessagesAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    done = cli("run", "chains:echo", "hello", env={"ANTHROPIC_CUSTOM_HEADERS": "x-team: authorization"})
    assert done.returncode == 0
    assert "No credential for the Anthropic API was found" in done.stderr
    assert len(messages_api.bill) == 0


def test_a_profile_that_does_not_exist_is_said_and_no_stand_in_answers(
    cli: Cli, messages_api: MessagesAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    done = cli("run", "chains:echo", "hello", env={"ANTHROPIC_PROFILE": "nope"})
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error: step 'say': the credentials for the API cannot be loaded" in done.stderr
    assert "nope" in done.stderr
    assert "defect" not in done.stderr
    assert len(messages_api.bill) == 0


def test_a_chain_that_fails_where_nobody_looks_is_one_line_and_no_traceback(cli: Cli, place: Path) -> None:
    source = """
from promptchain import Chain, Step


class Odd(Chain[str, str]):
    @property
    def max_input_bytes(self) -> int:
        raise ZeroDivisionError("odd")


chain = Odd("odd", Step("say", prompt="{input}"), model="offline")
"""
    (place / "odd.py").write_text(source, "utf-8")
    done = cli("run", "odd:chain", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == "error: ZeroDivisionError: odd (this is a defect of promptchain; please report it)\n"
    )
