"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def run_pytest(
    directory: Path, test: str, *arguments: str, ini: str = ""
) -> subprocess.CompletedProcess[str]:
    (directory / "test_user.py").write_text(textwrap.dedent(test), encoding="utf-8")
    (directory / "pytest.ini").write_text(f"[pytest]\n{ini}", encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *arguments],
        cwd=directory,
        # What this session is told on the side is not for that one.
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_fixture_leads_the_sdk_to_the_simulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "real")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "internal")
    monkeypatch.delenv("PROMPTCHAIN_FORBID_REAL_CALLS", raising=False)
    done = run_pytest(
        tmp_path,
        """
        import os
        from anthropic import Anthropic

        def test_chain(messages_api):
            messages_api.script("hello")
            assert "ANTHROPIC_AUTH_TOKEN" not in os.environ
            assert os.environ["PROMPTCHAIN_FORBID_REAL_CALLS"] == "1"
            assert os.environ["NO_PROXY"] == "127.0.0.1,internal"
            with Anthropic() as client:
                message = client.messages.create(
                    model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "Hi."}]
                )
            assert message.content[0].text == "hello"
            assert len(messages_api.bill) == 1

        def test_afterwards_all_is_as_before():
            assert os.environ["ANTHROPIC_AUTH_TOKEN"] == "real"
            assert "ANTHROPIC_BASE_URL" not in os.environ
            assert "PROMPTCHAIN_FORBID_REAL_CALLS" not in os.environ
        """,
        ini="asyncio_default_fixture_loop_scope = function\n",
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("file", "ini", "outcome"),
    [
        ("test_answer.py", "", "3 passed"),
        ("test_stream.py", "", "1 passed"),
        ("test_stream.py", "asyncio_mode = strict\n", "1 passed"),
        ("test_stream.py", "asyncio_mode = auto\n", "1 passed"),
    ],
)
def test_the_tests_that_the_documentation_shows_pass(
    tmp_path: Path, file: str, ini: str, outcome: str
) -> None:
    page = Path(__file__).parents[2] / "docs" / "testing.md"
    shown = page.read_text(encoding="utf-8").partition(f'```python title="{file}"\n')[2]
    done = run_pytest(
        tmp_path, shown.partition("```")[0], ini=f"asyncio_default_fixture_loop_scope = function\n{ini}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcome in done.stdout


FORBIDDEN = """
    import pytest
    from promptchain.errors import RealCallForbiddenError
    from promptchain.models.base import refuse_real_call

    def test_real_calls():
        with pytest.raises(RealCallForbiddenError):
            refuse_real_call("api.anthropic.com")
"""


@pytest.mark.parametrize(
    ("arguments", "ini", "code"),
    [
        ((), "", 1),
        (("--forbid-real-calls",), "", 0),
        ((), "forbid_real_calls = true\n", 0),
        ((), "forbid_real_calls = false\n", 1),
    ],
)
def test_real_calls_are_forbidden_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], ini: str, code: int
) -> None:
    monkeypatch.delenv("PROMPTCHAIN_FORBID_REAL_CALLS", raising=False)
    # The entry point is proven above; without the other plugins a session starts in half the time.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    arguments = ("-p", "promptchain.testing.plugin", *arguments)
    done = run_pytest(tmp_path, FORBIDDEN, *arguments, ini=ini)
    assert done.returncode == code, done.stdout + done.stderr


def test_the_plugin_itself_brings_nothing_into_every_session() -> None:
    program = (
        "import sys, pytest, promptchain\n"
        "before = set(sys.modules)\n"
        "import promptchain.testing.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["promptchain.testing", "promptchain.testing.plugin"]


def test_every_name_of_the_door_opens() -> None:
    import promptchain.testing as door

    assert dir(door) == door.__all__ == sorted(door.__all__)
    assert all(getattr(door, name) is not None for name in door.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = door.nonsense
