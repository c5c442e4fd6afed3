"""Every check of the house, each in an environment of its own: ``nox -l`` lists them."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2026.4"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True
# pip and virtualenv obey a configured package index; uv would not read pip's configuration.
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
DEV = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["dev"]


def pinned(*names: str) -> list[str]:
    """The requirements of the dev extra for ``names``, so that a floor is written down once."""
    found = {re.split(r"[\[><=~! ]", requirement, maxsplit=1)[0]: requirement for requirement in DEV}
    return [found[name] for name in names]


# A session that reused its environment could test the wheel of yesterday.
@nox.session(reuse_venv=False)
def tests(session: nox.Session) -> None:
    """Run the suite against the built wheel, with branch coverage. Arguments go to pytest."""
    dist = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.install(*pinned("hatch"))
    session.run("hatch", "build", "--target", "wheel", str(dist))
    (wheel,) = dist.glob("*.whl")
    session.install(f"promptchain-ai[dev] @ {wheel.as_uri()}")
    home = session.run("python", "-c", "import promptchain; print(promptchain.__file__)", silent=True)
    if not home or "site-packages" not in Path(home.strip()).parts:
        session.error(f"the tests would import {home} instead of the wheel")

    session.run("coverage", "erase")
    # Not pytest's --cov: our own plugin is imported by pytest before that would begin to count.
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, and that every file imports lower floors only."""
    session.install(*pinned("ruff", "import-linter"))
    session.install("--no-deps", "-e", ".")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")


@nox.session
def format(session: nox.Session) -> None:  # noqa: A001 - the name that people type
    """Mend what can be mended without a thought."""
    session.install(*pinned("ruff"))
    session.run("ruff", "check", "--fix-only")
    session.run("ruff", "format")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types twice, strictly: mypy and pyright."""
    session.install("-e", ".[dev]")
    session.run("mypy")
    session.run("pyright", "--pythonpath", str(Path(session.bin) / "python"))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into ``site/``; a broken link or name fails."""
    session.install("-e", ".[dev]")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure CPU per run beside a hand-written loop on the bare SDK."""
    session.install(".[all]")
    session.run("python", "benchmarks/chain.py", *session.posargs)


@nox.session(venv_backend="none")
def dev(session: nox.Session) -> None:
    """Make ``.venv`` with everything that work on promptchain needs."""
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    session.run(sys.executable, "-m", "venv", ".venv", external=True)
    session.run(
        str(ROOT / ".venv" / scripts / "python"), "-m", "pip", "install", "-e", ".[dev]", external=True
    )
