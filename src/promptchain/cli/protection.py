"""What ``check`` says of the policy behind which models are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from promptchain.places import Held
from promptchain.policy import DEFAULT_POLICY, Fallback
from promptchain.settings.layers import PARTS

__all__ = ["described", "rows"]

_SECONDS: Final = frozenset({"max_wait", "reset", "total", "attempt", "first_token", "idle", "after"})


def described(place: Held) -> Mapping[str, Any] | None:
    """Each part of the policy of the model calls at ``place``, with where it comes from; a part that is off is ``None``.

    Gates that ask a model there do so behind the same policy. Where no model is asked, there is none.
    """
    if not any(True for _ in place.calls):
        return None
    said = place.effective.arguments.policy
    policy = DEFAULT_POLICY if said is None else said.over(DEFAULT_POLICY)
    return {
        part: {
            "value": _fields(getattr(policy, part)),
            "from": place.effective.origins.get(f"policy.{part}", "default"),
        }
        for part in PARTS
    }


def rows(policy: Mapping[str, Any] | None) -> Iterator[str]:
    """A line for each part of a described policy that is not as the default has it, or one that says so of all."""
    if policy is None:
        return
    lines: list[str] = []
    for part, held in policy.items():
        default = _fields(getattr(DEFAULT_POLICY, part))
        value = held["value"]
        if value == default:
            continue
        lines.append(f"{part} {_written(value, default or {})} ({held['from']})")
    yield from lines or ["default"]


def _fields(part: Any) -> Mapping[str, Any] | None:
    if part is None:
        return None
    if isinstance(part, Fallback):
        return {"models": [model if isinstance(model, str) else model.name for model in part.models]}
    return {field.name: getattr(part, field.name) for field in fields(part)}


def _written(value: Mapping[str, Any] | None, default: Mapping[str, Any]) -> str:
    if value is None:
        return "off"
    differs = {name: held for name, held in value.items() if name not in default or held != default[name]}
    return ", ".join(f"{name} {_one(name, held)}" for name, held in differs.items())


def _one(name: str, value: Any) -> str:
    if value is None:
        return "without end" if name in _SECONDS else "any"
    if name in _SECONDS:
        return f"{value:g} s"
    if name == "models":
        return ", then ".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else f"{value}"
