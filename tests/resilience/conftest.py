"""What the tests of a policy share: circuits that know nothing of other tests, and nothing left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from promptchain.resilience import circuits
from promptchain.testing import MessagesAPI


@pytest.fixture(autouse=True)
def closed_circuits() -> None:
    # An API of an earlier test may have listened on the same port.
    for circuit in circuits():
        circuit.reset()


@pytest.fixture
async def api(messages_api: MessagesAPI) -> AsyncGenerator[MessagesAPI]:
    """The simulated API; when the test is over, no task of it runs and no request is open."""
    yield messages_api
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.to_thread(messages_api.wait_idle)
