"""The pytest plugin: the fixture ``messages_api``, and ``--forbid-real-calls``. It imports nothing at start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptchain.testing.api import MessagesAPI

__all__ = ["messages_api"]

_SWITCH = "PROMPTCHAIN_FORBID_REAL_CALLS"
_BEFORE = pytest.StashKey[str | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag and the ini option."""
    told = "let no request of promptchain leave this machine"
    parser.getgroup("promptchain").addoption("--forbid-real-calls", action="store_true", help=told)
    parser.addini("forbid_real_calls", told, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Forbid real calls for the session where that is asked for."""
    if config.getoption("--forbid-real-calls") or config.getini("forbid_real_calls"):
        config.stash[_BEFORE] = os.environ.get(_SWITCH)
        os.environ[_SWITCH] = "1"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was."""
    if _BEFORE not in config.stash:
        return
    before = config.stash[_BEFORE]
    if before is None:
        os.environ.pop(_SWITCH, None)
    else:
        os.environ[_SWITCH] = before


@pytest.fixture
def messages_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[MessagesAPI]:
    """A simulated Messages API that model names reach during the test, while real calls are forbidden."""
    from promptchain.testing.api import MessagesAPI  # noqa: PLC0415 - nothing heavy when pytest starts

    with MessagesAPI() as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "simulated")
        for variable in ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"):
            monkeypatch.delenv(variable, raising=False)
        for variable in ("NO_PROXY", "no_proxy"):
            others = os.environ.get(variable)
            monkeypatch.setenv(variable, f"127.0.0.1,{others}" if others else "127.0.0.1")
        monkeypatch.setenv(_SWITCH, "1")
        yield api
        _forget_failures(api.url)


def _forget_failures(endpoint: str) -> None:
    """Close the circuits to an API that is gone: the next one may be given its port."""
    from promptchain.resilience import circuits  # noqa: PLC0415 - nothing heavy when pytest starts

    for circuit in circuits():
        if circuit.endpoint == endpoint:
            circuit.reset()
