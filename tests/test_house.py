"""The promises of the house itself: who imports whom, what an import does, and what is shipped."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "promptchain"
FILES = sorted(SOURCE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# What costs much to import, or is not always there.
LATE = (
    *(
        "aiohttp",
        "anthropic",
        "dbos",
        "dotenv",
        "genai_prices",
        "h11",
        "httpx",
        "httpx2",
        "jsonschema",
        "litestar",
    ),
    *("loguru", "msgspec", "opentelemetry", "pybreaker", "pytest", "tenacity"),
)

IMPORT = f"""
import json, logging, sys, threading, warnings

deeds = []

def watch(event, args):
    match event:
        case "open":
            path, mode, flags = args
            if isinstance(mode, str) and set(mode) & set("wax+") or mode is None and flags & 3:
                deeds.append(f"open {{path}} to write")
            elif not str(path).endswith((".py", ".pyc", ".so", ".pyd")):
                deeds.append(f"open {{path}} to read")  # as the metadata of all that is installed
        case "subprocess.Popen" | "os.system" | "os.mkdir" | "os.remove" | "os.rename" | "os.putenv":
            deeds.append(f"{{event}} {{args}}")
        case _ if event.startswith(("socket.", "urllib.", "http.")):
            deeds.append(f"{{event}} {{args}}")

filters = list(warnings.filters)
sys.addaudithook(watch)
import promptchain
done = list(deeds)
print(json.dumps({{
    "deeds": done,
    "loaded": sorted(set({LATE!r}) & set(sys.modules)),
    "handlers": [repr(handler) for handler in logging.getLogger().handlers],
    "threads": threading.active_count(),
    "filters changed": filters != warnings.filters,
}}))
"""


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_file_imports_lower_floors_only(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("lint-imports")
    said = run(str(command), "--no-logo", "--cache-dir", str(tmp_path))
    assert re.search(r"[1-9]\d* kept, 0 broken", said), said


def test_importing_promptchain_loads_nothing_heavy_and_touches_nothing(
    tmp_path: Path, offline_env: dict[str, str]
) -> None:
    # Without coverage's hook, which opens files of its own; without -B python would write bytecode.
    env = {name: value for name, value in offline_env.items() if not name.startswith("COVERAGE_")}
    seen = json.loads(run(sys.executable, "-B", "-c", IMPORT, cwd=tmp_path, env=env))
    assert seen == {"deeds": [], "loaded": [], "handlers": [], "threads": 1, "filters changed": False}


def test_the_watch_of_that_test_sees_what_it_looks_for(tmp_path: Path, offline_env: dict[str, str]) -> None:
    opens = "open('x', 'w').close(); os.close(os.open('y', os.O_CREAT | os.O_WRONLY)); open('x').close()"
    deed = f"import os, socket, msgspec; {opens}; socket.socket()"
    env = {name: value for name, value in offline_env.items() if not name.startswith("COVERAGE_")}
    seen = json.loads(
        run(sys.executable, "-B", "-c", IMPORT.replace("import promptchain", deed), cwd=tmp_path, env=env)
    )
    assert [deed.split()[0] for deed in seen["deeds"]] == ["open", "open", "open", "socket.__new__"]
    assert seen["loaded"] == ["msgspec"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as it would be published, built from a copy so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "dist", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    meta = f"promptchain_ai-{PROJECT['version']}.dist-info/"
    shipped = {name for name in wheel.namelist() if not name.startswith(meta)}
    written = {
        path.relative_to(ROOT / "src").as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == written
    assert "promptchain/py.typed" in shipped


def test_the_wheel_brings_its_prompts_license_and_entry_points(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    meta = f"promptchain_ai-{PROJECT['version']}.dist-info/"
    assert [name for name in names if re.fullmatch(r"promptchain/chains/prompts/[\w.]+\.md", name)]
    assert f"{meta}licenses/LICENSE" in names
    entry_points = wheel.read(f"{meta}entry_points.txt").decode()
    assert "promptchain = promptchain.cli:main" in entry_points
    assert "promptchain = promptchain.testing.plugin" in entry_points


def test_the_version_is_the_same_everywhere(wheel: zipfile.ZipFile, offline_env: dict[str, str]) -> None:
    version = PROJECT["version"]
    assert importlib.metadata.version("promptchain-ai") == version, "install again: pip install -e '.[dev]'"
    assert f"-{version}-" in str(wheel.filename)
    assert version in run(sys.executable, "-m", "promptchain", "--version", env=offline_env)
    literals = [
        path.name
        for path in FILES
        if re.search(rf"""["']{re.escape(version)}["']""", path.read_text("utf-8"))
    ]
    assert literals == [], "the version is written in pyproject.toml only"


def test_every_source_file_says_what_it_is() -> None:
    silent = [_name(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []


def test_every_source_file_can_be_read_in_one_sitting() -> None:
    lines = {_name(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > 350} == {}


def test_a_dependency_that_is_optional_or_behind_a_wrapper_is_imported_in_one_file() -> None:
    seen: dict[str, set[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import(names=names):
                    roots = {alias.name.partition(".")[0] for alias in names}
                case ast.ImportFrom(module=str(module), level=0):
                    roots = {module.partition(".")[0]}
                case _:
                    continue
            for root in roots:
                seen.setdefault(root, set()).add(_name(path))
    held = {"aiohttp", "h11", "jsonschema", "pybreaker", "tenacity"}
    assert {name: files for name, files in seen.items() if name in held and len(files) > 1} == {}


def test_the_build_machine_runs_the_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    script = ROOT / ".ci" / "run"
    assert "```console\npython -m pytest\n```" in readme
    assert re.search(r"^ *(timeout .* )?python -m pytest\b *2>&1 \|", script.read_text("utf-8"), re.MULTILINE)
    assert os.access(script, os.X_OK)
    run("bash", "-n", str(script))


def test_every_extra_is_part_of_dev() -> None:
    extras: dict[str, Any] = PROJECT["optional-dependencies"]
    offered = {name for name in extras if name not in {"all", "dev"}}
    assert extras["all"] == [f"promptchain-ai[{','.join(sorted(offered))}]"]
    assert "promptchain-ai[all]" in extras["dev"]


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()
