"""JSON Schema as pydantic writes it, and as the SDK rewrites it for the API, brought to one form."""

from __future__ import annotations

import ast
import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Document", "Schema"]

Schema: TypeAlias = "dict[str, Any]"

_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = ("items", "additionalProperties", "propertyNames", "contentSchema")

_NUMBERS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_STRINGS = ("pattern", "format", "contentMediaType", "contentEncoding")
_LITERALS = (
    "uniqueItems", "prefixItems", "items", "enum", "const", "examples", "discriminator", "patternProperties",
    "propertyNames", "additionalProperties", "contentSchema",
)  # fmt: skip
# Known too, so that the value before them ends where it does.
_OTHERS = ("default", "deprecated", "readOnly", "writeOnly", "$comment")
_KEY = re.compile(
    r"(?:^|, )(" + "|".join(map(re.escape, (*_NUMBERS, *_STRINGS, *_LITERALS, *_OTHERS))) + "): "
)


class Document:
    """A schema with everything that its references point to.

    The SDK moves constraints that the API does not know into the description (``{minimum: 0, maximum: 1}``).
    Here they are constraints again, so that an answer also validates under the type behind the schema.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.root = _restored(dict(schema))
        self._targets: dict[str, Schema] = {}
        self._heights: dict[str, float] = {}
        for ref in _references(self.root):
            self._targets[ref] = self._find(ref)
            self._heights[ref] = math.inf
        # Recursive definitions depend on one another: repeat until no height gets lower.
        settled = False
        while not settled:
            lower = {ref: self.height(target) for ref, target in self._targets.items()}
            settled, self._heights = lower == self._heights, lower

    def resolve(self, schema: object) -> tuple[Schema, frozenset[str]]:
        """The schema without ``$ref`` and ``allOf`` at its top, and the references that were followed."""
        merged: Schema = {}
        followed: set[str] = set()
        waiting = [_as_schema(schema)]
        while waiting:
            part = dict(waiting.pop())
            ref = part.pop("$ref", None)
            if ref is not None and ref not in followed:
                followed.add(ref)
                waiting.append(self._targets.get(ref, {}))
            waiting += [_as_schema(each) for each in part.pop("allOf", ())]
            merged = _merged(merged, part)
        return merged, frozenset(followed)

    def height(self, schema: object) -> float:
        """How many containers the smallest value is deep; infinite where no value would ever end."""
        here = _as_schema(schema)
        if "const" in here or "enum" in here:
            return 0
        parts = [self._heights.get(here["$ref"], 0)] if "$ref" in here else []
        parts += [self.height(part) for part in here.get("allOf", ())]
        for keyword in ("anyOf", "oneOf"):
            if here.get(keyword):
                parts.append(min(self.height(variant) for variant in here[keyword]))
        if "properties" in here:
            required = here.get("required", ())
            parts.append(
                1 + max((self.height(here["properties"].get(name, True)) for name in required), default=0)
            )
        elif here.get("minProperties"):
            parts.append(1 + self.height(here.get("additionalProperties", True)))
        if here.get("prefixItems"):
            parts.append(1 + max(self.height(item) for item in here["prefixItems"]))
        elif here.get("minItems"):
            parts.append(1 + self.height(here.get("items", True)))
        return max(parts, default=0)

    def _find(self, ref: str) -> Schema:
        found: Any = self.root
        for key in ref.removeprefix("#").split("/")[1:]:
            name = key.replace("~1", "/").replace("~0", "~")
            found = found.get(name, {}) if hasattr(found, "get") else found[int(name)]
        return _as_schema(found)


def _as_schema(schema: object) -> Schema:
    return cast("Schema", schema) if isinstance(schema, dict) else {}


def _references(schema: object) -> Iterator[str]:
    here = _as_schema(schema)
    if isinstance(ref := here.get("$ref"), str):
        yield ref
    for part in _parts(here):
        yield from _references(part)


def _parts(schema: Schema) -> Iterator[object]:
    for key in _MAPS:
        yield from schema.get(key, {}).values()
    for key in _LISTS:
        yield from schema.get(key, ())
    yield from (schema[key] for key in _SINGLES if key in schema)


def _restored(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    here = cast("Schema", schema)
    restored = {**_constraints_in(here.get("description")), **here}
    for key in _MAPS:
        if key in restored:
            restored[key] = {name: _restored(part) for name, part in restored[key].items()}
    for key in _LISTS:
        if key in restored:
            restored[key] = [_restored(part) for part in restored[key]]
    for key in _SINGLES:
        if key in restored:
            restored[key] = _restored(restored[key])
    return restored


def _constraints_in(description: object) -> Schema:
    """The constraints that ``anthropic.transform_schema`` wrote at the end of a description."""
    if not isinstance(description, str) or not description.endswith("}"):
        return {}
    start = description.rfind("\n\n{")
    if start < 0 and not description.startswith("{"):
        return {}
    written = description[start + 3 : -1] if start >= 0 else description[1:-1]
    found: Schema = {}
    keys = list(_KEY.finditer(written))
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        name = key[1]
        value = written[key.end() : following.start() if following else len(written)]
        if name in _STRINGS:
            found[name] = value
            continue
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            continue
    return {name: value for name, value in found.items() if _fits(name, value)}


def _fits(name: str, value: object) -> bool:
    """Whether the value is of the keyword's kind: an author's own words may look like a constraint."""
    if name in _NUMBERS:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if name in {"prefixItems", "enum", "examples"}:
        return isinstance(value, list)
    if name in _STRINGS:
        return isinstance(value, str)
    return name not in _OTHERS and (name == "const" or isinstance(value, dict | bool))


def _merged(one: Schema, two: Schema) -> Schema:
    both = {**one, **two}
    for key in one.keys() & two.keys():
        if key in {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}:
            both[key] = max(one[key], two[key])
        elif key in {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}:
            both[key] = min(one[key], two[key])
        elif key in {"properties", "patternProperties"}:
            both[key] = {**one[key], **two[key]}
            for name in one[key].keys() & two[key].keys():
                both[key][name] = {"allOf": [one[key][name], two[key][name]]}
        elif key == "required":
            both[key] = list(dict.fromkeys([*one[key], *two[key]]))
        elif key == "enum":
            both[key] = [value for value in one[key] if value in two[key]]
    return both
