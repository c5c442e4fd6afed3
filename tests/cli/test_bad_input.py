"""Wrong use, on the command line: the place, the mend, exit code 2, and nothing sent."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from promptchain.testing import MessagesAPI

Cli = Callable[..., subprocess.CompletedProcess[str]]

IMPORTS = "from pathlib import Path\nfrom promptchain import *\nfrom pydantic import BaseModel\n"
STEP = "ask = Step('ask', prompt='{input}')\n"
TEN_MEGABYTES = b"x" * 10_000_000

CHAINS = {
    "an unknown placeholder": (
        "chain = Chain('c', Step('ask', prompt='{inptu}'), model='claude-haiku-4-5')",
        ["wrong.py:4", "{inptu}", "Did you mean 'input'?", "step 'ask'"],
    ),
    "an unknown field": (
        "class A(BaseModel): x_1: str\nchain = Chain('c', Step('a', prompt='a', output=A) | Step('b', prompt='{a.x_2}'))",
        ["wrong.py:5", "{a.x_2}", "Did you mean 'x_1'?", "step 'b'"],
    ),
    "two steps of one name": (
        STEP + "chain = Chain('c', ask | Step('ask', prompt='{input}'))",
        ["wrong.py:5", "two stages are named 'ask'"],
    ),
    "types that do not link": (
        STEP + "chain = Chain('c', ask | Step('n', prompt='{previous}', input=int, output=int))",
        ["wrong.py:5", "'ask' gives str", "takes int"],
    ),
    "an output type without a schema": (
        "chain = Chain('c', Step('ask', prompt='{input}', output=dict[str, int]))",
        ["wrong.py:4", "step 'ask'", "free keys"],
    ),
    "a missing prompt file": (
        "chain = Chain('c', Step('ask', prompt=Path('prompt.md')))",
        ["wrong.py:4", "'prompt.md' does not exist", "Did you mean 'prompts.md'?"],
    ),
    "no model": (STEP + "chain = Chain('c', ask)", ["no model is named for ask"]),
    "a blank model name": (
        STEP + "chain = Chain('c', ask, model=' ')",
        ["wrong.py:5", "cannot be the name of a model"],
    ),
    "a bare step": (STEP + "chain = ask", ["is a stage, not a chain", "Chain('my-chain', chain)"]),
    "a module that raises": ("{}['key']", ["wrong.py:4", "KeyError", "'key'"]),
    "a module that ends the program": (
        "raise SystemExit(3)",
        ["wrong.py:4", "ended the program (3)", "__main__"],
    ),
    "a syntax error": ("chain = = 1", ["wrong.py:4", "SyntaxError", "invalid syntax"]),
    "a missing import": (
        "import nothing_of_this_name",
        ["wrong.py:4", "No module named 'nothing_of_this_name'"],
    ),
    "a circular import": ("import circular", ["circular.py:1", "partially initialized module 'wrong'"]),
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("case", CHAINS)
def test_a_chain_that_is_wrong_as_written_is_said_with_its_place(
    cli: Cli, place: Path, messages_api: MessagesAPI, case: str, command: str
) -> None:
    source, expected = CHAINS[case]
    (place / "wrong.py").write_text(IMPORTS + source + "\n", "utf-8")
    (place / "circular.py").write_text("from wrong import chain\n", "utf-8")
    (place / "prompts.md").write_text("{input}", "utf-8")
    done = cli(command, "wrong:chain", *(["hello"] if command == "run" else []))
    if case == "no model" and command == "check":
        assert done.returncode == 0  # as --model may name one
        assert "warning: step 'ask': no model is named" in done.stderr
        return
    assert done.returncode == 2
    assert done.stdout == ""
    assert [part for part in ["error: ", *expected] if part not in done.stderr] == []
    assert len(done.stderr.splitlines()) == 1
    assert len(messages_api.bill) == 0


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("chains", "write module:attribute, as in 'promptchain.chains:answer'"),
        ("chians:echo", "Did you mean 'chains'?"),
        ("promptchain.chain_s:answer", "Did you mean 'promptchain.chains'?"),
        ("chains:ecko", "Did you mean 'echo'? Chains of chains: echo, shown,"),
        ("chains:slow", "is of type function, not a chain: name what it returns"),
        ("chain.py:echo", "Did you mean 'chains.py'?"),
        ("../x/chains:echo", "For a file, end it with '.py'"),
        ("", "names no chain"),
    ],
)
def test_a_chain_that_does_not_exist_is_said_with_the_nearest(cli: Cli, target: str, expected: str) -> None:
    done = cli("run", target, "hello")
    assert done.returncode == 2
    assert expected in done.stderr


@pytest.mark.parametrize(
    ("arguments", "input", "expected"),
    [
        (["promptchain.chains:answer", ""], b"", "the input is empty"),
        (["promptchain.chains:answer", " \n"], b"", "the input is empty"),
        (["promptchain.chains:answer"], b"", "the input is empty"),
        (["chains:echo", b"caf\xe9"], b"", "the argument INPUT is not UTF-8: byte 0xe9 at offset 3"),
        (["chains:echo"], b"\xc3\xa9\xff", "standard input is not UTF-8: byte 0xff at offset 2"),
        (
            ["chains:echo", "--file", "latin.txt"],
            b"",
            "the file 'latin.txt' is not UTF-8: byte 0xe9 at offset 3",
        ),
        (["chains:echo"], TEN_MEGABYTES, "standard input is more than 4,194,304 bytes"),
        (
            ["chains:echo", "--file", "large.txt"],
            b"",
            "the file 'large.txt' is 10,000,000 bytes, and this chain takes 4,194,304",
        ),
        (["chains:small", "more than ten"], b"", "the input is 13 bytes, and this chain takes 10 at most"),
        (["chains:small"], b"more than ten", "standard input is more than 10 bytes"),
        (
            ["chains:echo", "--file", "lagre.txt"],
            b"",
            "'lagre.txt' does not exist. Did you mean 'large.txt'?",
        ),
        (["chains:echo", "--file", "."], b"", "cannot be read: Is a directory"),
        (["chains:echo", "hello", "--file", "latin.txt"], b"", "not allowed with argument"),
        (["chains:typed", "hello"], b"", "takes Question as JSON"),
        (["chains:typed", '{"text": "a", "words": "many"}'], b"", "words: Input should be a valid integer"),
        (["chains:echo", "hello", "--request-id", "zwölf"], b"", "a request id is 1 to 128 printable ASCII"),
        (["chains:echo", "hello", "--model", "claude haiku"], b"", "cannot be the name of a model"),
        (["chains:echo", "hello", "--modle", "x"], b"", "unrecognized arguments"),
        ([], b"", "required: CHAIN"),
    ],
)
def test_an_input_that_cannot_be_used_is_said_with_its_source(
    cli: Cli,
    place: Path,
    messages_api: MessagesAPI,
    arguments: list[str | bytes],
    input: bytes,
    expected: str,
) -> None:
    (place / "latin.txt").write_bytes(b"caf\xe9")
    (place / "large.txt").write_bytes(TEN_MEGABYTES)
    done = cli("run", *arguments, input=input)
    assert done.returncode == 2
    assert done.stdout == ""
    assert expected in done.stderr
    assert len(messages_api.bill) == 0


def test_standard_input_is_read_no_further_than_the_chain_takes(cli: Cli, place: Path) -> None:
    """An endless input would otherwise be read forever."""
    endless = Path("/dev/zero")
    done = cli("run", "chains:small", "--file", str(endless))
    assert done.returncode == 2
    assert "more than 10 bytes" in done.stderr


def test_a_wrong_input_is_an_error_document_too(cli: Cli) -> None:
    done = cli("run", "chains:echo", "", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert document["error"]["type"] == "InputError"
    assert document["ledger"] == []


def test_a_model_that_is_asked_for_without_a_key_is_not_replaced(cli: Cli) -> None:
    here = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}  # elsewhere it would be forbidden, key or no key
    done = cli("run", "chains:echo", "hello", "--model", "claude-haiku-4-5", env=here)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "there is no credential for the Anthropic API: set ANTHROPIC_API_KEY" in done.stderr


def test_a_model_that_the_api_does_not_know_is_said_with_the_nearest(
    cli: Cli, messages_api: MessagesAPI
) -> None:
    done = cli("run", "chains:echo", "hello", "--model", "claude-haiku-45")
    assert done.returncode == 1
    assert "error: step 'say'" in done.stderr
    assert "Did you mean 'claude-haiku-4-5'?" in done.stderr
    assert messages_api.bill.usage.total_tokens == 0
