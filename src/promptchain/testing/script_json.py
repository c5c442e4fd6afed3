"""A script as other processes write it, in JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from promptchain.testing.json_values import as_array, as_object
from promptchain.testing.script import Answer, Fault, Pace, ScriptItem

__all__ = ["script_from_json"]

_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "fault": str,
    "after": int,
    "status": int,
    "type": str,
    "message": str,
    "retry_after": (int, float),
    "retry_after_ms": (int, float),
    "should_retry": bool,
    "category": str,
    "explanation": str,
    "deltas": list,
    "thinking": str,
    "pace": dict,
}


def script_from_json(data: object) -> list[ScriptItem]:
    """A script as other processes write it.

    Each item of the list is a text, ``{"answer": …}`` with the fields of ``Answer`` and ``Pace`` beside it, or
    ``{"fault": kind}`` with the arguments of that fault beside it.

    Raises:
        ValueError: It is not such a list; the message names the item.
    """
    whole = as_object(data)
    items = as_array(whole.get("script") if whole else data)
    if items is None:
        raise ValueError("a script is a list of items")
    script: list[ScriptItem] = []
    for index, item in enumerate(items):
        try:
            script.append(_item(item))
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"script.{index}: {error}") from None
    return script


def _item(item: object) -> ScriptItem:
    if isinstance(item, str):
        return item
    fields = dict(as_object(item) or {})
    for name, value in fields.items():
        if value is not None and not isinstance(value, _TYPES.get(name, object)):
            raise ValueError(f"{name} cannot be {value!r}")
    if not all(isinstance(delta, str) for delta in fields.get("deltas") or ()):
        raise ValueError("deltas are texts")
    if "fault" in fields:
        kind = fields.pop("fault")
        if kind == "status":
            return Fault.status(fields.pop("status", 0), **fields)
        makers: Mapping[str, Callable[..., Fault]] = {
            "reset": Fault.reset,
            "stall": Fault.stall,
            "malformed": Fault.malformed,
            "error": Fault.error,
            "end": Fault.end,
            "refusal": Fault.refusal,
            "max_tokens": Fault.max_tokens,
        }
        if kind not in makers:
            raise ValueError(f"no fault is called {kind!r}")
        return makers[kind](**fields)
    if not fields.keys() & {"answer", "deltas"}:
        raise ValueError("an item is a text, or has 'answer', 'deltas' or 'fault'")
    pace = fields.pop("pace", None)
    answer = Answer(
        fields.pop("answer", ""),
        deltas=fields.pop("deltas", ()),
        thinking=fields.pop("thinking", None),
        pace=None if pace is None else Pace(**pace),
    )
    if fields:
        raise ValueError(f"unknown field {next(iter(fields))!r}")
    return answer
