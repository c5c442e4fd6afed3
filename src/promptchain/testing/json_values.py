"""JSON that came from outside, seen with types."""

from __future__ import annotations

from typing import Any, TypeGuard

__all__ = ["as_array", "as_object"]


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def as_object(value: object) -> dict[str, Any] | None:
    """``value`` where it is an object, or ``None``."""
    return value if _is_object(value) else None


def as_array(value: object) -> list[Any] | None:
    """``value`` where it is an array, or ``None``."""
    return value if _is_array(value) else None
