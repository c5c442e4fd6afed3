"""What all tests share: no key, no way to the real API, and no deadline for examples on a busy machine."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "PROMPTCHAIN_"))]:
    del os.environ[name]
os.environ["PROMPTCHAIN_FORBID_REAL_CALLS"] = "1"

settings.register_profile("house", settings.default, deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def offline_env() -> dict[str, str]:
    """The environment of somebody who has no key, for a subprocess that may not reach the real API."""
    return {**os.environ, "NO_COLOR": "1", "PYTHONUTF8": "1"}
