"""Which JSON schemas the Messages API takes in ``output_config.format``, and how it refuses the others."""

from __future__ import annotations

from typing import Any, Final

from promptchain.testing.json_values import as_array, as_object

__all__ = ["SchemaRefused", "check_schema"]

_ANYWHERE: Final = frozenset({"type", "title", "description", "default", "examples", "enum", "const"})
_COMBINING: Final = frozenset({"anyOf", "allOf", "$ref", "$defs", "definitions"})
_BY_TYPE: Final = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format", "pattern"}),
    "integer": frozenset[str](),
    "number": frozenset[str](),
    "boolean": frozenset[str](),
    "null": frozenset[str](),
}
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)


class SchemaRefused(Exception):  # noqa: N818 - an answer of the API, not a failure of ours
    """The API would answer 400; the message is the API's."""


def check_schema(schema: object) -> None:
    """Judge the schema of a request.

    Raises:
        SchemaRefused: It uses what structured outputs do not support.
    """
    root = as_object(schema)
    if root is None:
        raise SchemaRefused("Input should be a valid dictionary")
    _check(root, root, ())


def _check(node: object, root: dict[str, Any], path: tuple[str, ...]) -> None:
    schema = as_object(node)
    if schema is None:
        raise SchemaRefused("boolean schemas are not supported")
    for value in as_array(schema.get("enum")) or []:
        if isinstance(value, dict | list):
            raise SchemaRefused("Enum value is not supported: only strings, numbers, booleans and null are")
    if "$ref" in schema:
        _check_reference(schema["$ref"], root, path)
    declared = schema.get("type")
    types = [declared] if isinstance(declared, str) else as_array(declared) or []
    for type_ in types:
        if type_ not in _BY_TYPE:
            raise SchemaRefused(f"Schema type {type_!r} is not supported")
    if not types and not schema.keys() & {"enum", "const", "anyOf", "allOf", "$ref"}:
        raise SchemaRefused("Schema must have a 'type', 'anyOf', 'allOf', '$ref', 'enum' or 'const'")
    _check_keywords(schema, types)
    for keyword in ("anyOf", "allOf"):
        for part in as_array(schema.get(keyword)) or []:
            _check(part, root, path)
    for keyword in ("properties", "$defs", "definitions"):
        for part in (as_object(schema.get(keyword)) or {}).values():
            _check(part, root, path)
    if "items" in schema:
        _check(schema["items"], root, path)


def _check_keywords(schema: dict[str, Any], types: list[Any]) -> None:
    allowed = _ANYWHERE | _COMBINING
    for type_ in types:
        allowed |= _BY_TYPE[type_]
    for keyword in schema:
        if keyword not in allowed:
            where = f"For {types[0]!r} type, property" if types else "Schema keyword"
            raise SchemaRefused(f"{where} {keyword!r} is not supported")
    if "object" in types and schema.get("additionalProperties") is not False:
        raise SchemaRefused("For 'object' type, 'additionalProperties' must be explicitly set to false")
    if schema.get("minItems", 0) not in (0, 1):
        raise SchemaRefused("For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if "format" in schema and schema["format"] not in _FORMATS:
        raise SchemaRefused(f"For 'string' type, format {schema['format']!r} is not supported")


def _check_reference(reference: object, root: dict[str, Any], path: tuple[str, ...]) -> None:
    parts = reference.split("/") if isinstance(reference, str) else []
    if len(parts) != 3 or parts[0] != "#" or parts[1] not in {"$defs", "definitions"}:
        raise SchemaRefused(f"External $ref is not supported: {reference!r}")
    name = parts[2]
    target = (as_object(root.get(parts[1])) or {}).get(name)
    if target is None:
        raise SchemaRefused(f"$ref names a definition that does not exist: {reference!r}")
    if name in path:
        circle = " -> ".join((*path[path.index(name) :], name))
        raise SchemaRefused(f"Circular reference detected in schema definitions: {circle}")
    _check(target, root, (*path, name))
