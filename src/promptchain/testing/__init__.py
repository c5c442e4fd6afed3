"""Tools to test chains with: a simulated Messages API, and a switch that forbids real calls."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promptchain.models.base import forbid_real_calls
    from promptchain.models.tokens import count_tokens
    from promptchain.testing.api import MessagesAPI
    from promptchain.testing.bill import Bill, BillEntry
    from promptchain.testing.limits import TokenBuckets
    from promptchain.testing.script import Answer, Fault, Pace, RecordedRequest, ScriptItem

__all__ = [
    "Answer",
    "Bill",
    "BillEntry",
    "Fault",
    "MessagesAPI",
    "Pace",
    "RecordedRequest",
    "ScriptItem",
    "TokenBuckets",
    "count_tokens",
    "forbid_real_calls",
]

_HOMES = {
    "Answer": "promptchain.testing.script",
    "Bill": "promptchain.testing.bill",
    "BillEntry": "promptchain.testing.bill",
    "Fault": "promptchain.testing.script",
    "MessagesAPI": "promptchain.testing.api",
    "Pace": "promptchain.testing.script",
    "RecordedRequest": "promptchain.testing.script",
    "ScriptItem": "promptchain.testing.script",
    "TokenBuckets": "promptchain.testing.limits",
    "count_tokens": "promptchain.models.tokens",
    "forbid_real_calls": "promptchain.models.base",
}


def __getattr__(name: str) -> Any:
    # pytest imports this package for its plugin in every session, so the door opens room by room.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return __all__
