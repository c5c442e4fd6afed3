"""Words for messages: what somebody may have meant by a name, and a value in a few characters."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["brief", "nearest", "nearest_file"]


def nearest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the known name closest to ``name``, or an empty string."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {match[0]!r}?" if match else ""


def nearest_file(path: Path, suffix: str = "") -> str:
    """The same for a file that does not exist, among those of its folder whose names end in ``suffix``.

    A folder that cannot be listed has none.
    """
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - names are all that is asked for
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return ""
    return nearest(path.name, [name for name in names if name.endswith(suffix)])


def brief(value: object, most: int = 200) -> str:
    """The ``repr`` of ``value`` with ``most`` characters at most, also where it has none."""
    try:
        told = repr(value)
    except Exception:  # noqa: BLE001 - a message is made of it, which must not fail
        return f"<{type(value).__name__} without a repr>"
    return told if len(told) <= most else f"{told[: most - 3]}..."
