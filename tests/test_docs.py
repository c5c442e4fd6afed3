"""What the README, the documentation and the examples show works as it is shown.

The python blocks of a page run in order, in one namespace, in a directory of their own, and ask a simulated
Messages API over HTTP. The ``promptchain`` commands of its console blocks run without a key. A block is left
out only where its first line says why: ``{.python no-run="needs two machines"}``.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from pytest_examples import CodeExample, find_examples

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

BLOCKS: dict[Path, list[CodeExample]] = {page: list(find_examples(page)) for page in PAGES}
CONSOLE = re.compile(
    r"^ *``` *(?P<info>\{?\.?console\b[^\n]*)\n(?P<body>.*?)^ *```", re.MULTILINE | re.DOTALL
)
NO_RUN = re.compile(r"""\bno-run=(["'])(?P<why>.*?\w.*?)\1""")
COMMAND = re.compile(r"\b(promptchain|python -m promptchain)\s")


@dataclass(frozen=True)
class Command:
    """A command as a page shows it."""

    page: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}: {self.text}"


def place(block: CodeExample) -> str:
    return f"{block.path.relative_to(ROOT)}:{block.start_line}"


def runs(info: str) -> bool:
    return NO_RUN.search(info) is None


def commands(page: Path) -> list[Command]:
    """The ``promptchain`` commands of the console blocks. Beside lines with ``$`` the others are output."""
    found: list[Command] = []
    text = page.read_text("utf-8")
    for block in CONSOLE.finditer(text):
        if not runs(block["info"]):
            continue
        lines = block["body"].replace("\\\n", " \0").splitlines()
        prompted = any(line.lstrip().startswith("$ ") for line in lines)
        number = text.count("\n", 0, block.start()) + 1
        for line in lines:
            number += 1 + line.count("\0")
            command = line.replace("\0", "").strip()
            if prompted and not command.startswith("$ "):
                continue
            parts = [part.strip() for part in command.removeprefix("$ ").split("&&")]
            kept = " && ".join(part for part in parts if not re.match(r"(python -m )?pip install ", part))
            if COMMAND.search(kept + " "):
                found.append(Command(page, number - line.count("\0"), kept))
    return found


COMMANDS = [command for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if BLOCKS[page]], ids=lambda p: str(p.relative_to(ROOT))
)
@pytest.mark.usefixtures("messages_api")
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"page_{page.stem}")
    # Registered, as types that are written on the page look for their module by name.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with asyncio.Runner() as runner:
        for block in BLOCKS[page]:
            if not runs(block.prefix):
                continue
            try:
                run(block, module, runner)
            except Exception as error:
                error.add_note(f"{page.relative_to(ROOT)}:{_line_on(page, error) or block.start_line}")
                raise


def run(block: CodeExample, module: ModuleType, runner: asyncio.Runner) -> None:
    """Run a block with the line numbers of its page, and in an event loop only where it says ``await``."""
    code = compile(
        "\n" * block.start_line + block.source,
        str(block.path),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    outcome = eval(code, module.__dict__)  # noqa: S307 - our own pages
    if inspect.iscoroutine(outcome):
        runner.run(outcome)


def _line_on(page: Path, error: BaseException) -> int | None:
    if isinstance(error, SyntaxError):
        return error.lineno
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(page):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def test_every_block_is_python_or_says_why_it_does_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    unclear: list[str] = []
    left_out: list[str] = []
    for block in (block for blocks in BLOCKS.values() for block in blocks):
        if not re.match(r"\{?\.?(python|py)\b", block.prefix):
            unclear.append(f"{place(block)}: {block.prefix!r} is never run: write ```python")
        elif why := NO_RUN.search(block.prefix):
            left_out.append(f"{place(block)}: {why['why']}")
        elif "no-run" in block.prefix:
            unclear.append(f'{place(block)}: say why: {{.python no-run="…"}}')
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in CONSOLE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            if why := NO_RUN.search(match["info"]):
                left_out.append(f"{page.relative_to(ROOT)}:{line}: {why['why']}")
            elif "no-run" in match["info"]:
                unclear.append(f'{page.relative_to(ROOT)}:{line}: say why: {{.console no-run="…"}}')
    if left_out:
        with capsys.disabled():
            print("", f"{len(left_out)} blocks of the documentation are left out:", *left_out, sep="\n  ")
    assert not unclear, "\n".join(unclear)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_of_a_page_runs_without_a_key(
    command: Command, tmp_path: Path, offline_env: dict[str, str]
) -> None:
    for folder in ("examples", "docs", "README.md"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for block in BLOCKS[command.page]:
        title = block.prefix_settings().get("title", "")
        if title.endswith((".py", ".toml", ".md", ".txt")):
            (tmp_path / title).write_text(block.source, "utf-8")
    # The tests' own interpreter first, so that `promptchain` and `python` are the ones under test.
    path = os.pathsep.join([str(Path(sys.executable).parent), offline_env.get("PATH", "")])
    done = subprocess.run(
        ["sh", "-c", command.text],
        cwd=tmp_path,
        env={**offline_env, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{command}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert (done.stdout + done.stderr).strip(), f"{command}\nprinted nothing"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_without_a_key(example: Path, tmp_path: Path, offline_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,
        env=offline_env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"{example.name} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), f"{example.name} printed nothing"


def test_the_readme_shows_its_first_command_and_its_tests() -> None:
    """The commands that a newcomer copies first; the first of them runs above, without its pip install."""
    shown = [shlex.split(line) for line in _console_lines(ROOT / "README.md")]
    assert shown[0][:7] == ["pip", "install", "-e", ".[dev]", "&&", "promptchain", "run"]
    assert shown[1] == ["python", "-m", "pytest"]


def _console_lines(page: Path) -> list[str]:
    blocks = CONSOLE.finditer(page.read_text("utf-8"))
    return [
        line.removeprefix("$ ") for block in blocks for line in block["body"].splitlines() if line.strip()
    ]


def test_the_changelog_tells_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    headings = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings, "CHANGELOG.md has no '## …' heading"
    assert headings[0] in {"Unreleased", version}


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(
    tmp_path: Path, offline_env: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**offline_env, "NO_MKDOCS_2_WARNING": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    loads = re.compile(
        r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(https?:)?//|<link\b[^>]*\bhref=["']?(https?:)?//"""
    )
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    assert [page.name for page in pages if loads.search(page.read_text("utf-8"))] == []
