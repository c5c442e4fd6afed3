"""Words for messages: what somebody may have meant by a name, and a value in a few characters."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["brief", "nearest"]


def nearest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {match[0]!r}?" if match else ""


def brief(value: object, most: int = 200) -> str:
    """The ``repr`` of ``value`` with ``most`` characters at most, also where it has none."""
    try:
        told = repr(value)
    except Exception:  # noqa: BLE001 - a message is made of it, which must not fail
        return f"<{type(value).__name__} without a repr>"
    return told if len(told) <= most else f"{told[: most - 3]}..."
