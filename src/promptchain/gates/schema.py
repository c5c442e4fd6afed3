"""A ready-made gate for JSON that must fit a schema."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, cast

import pydantic_core

from promptchain.errors import DefinitionError, MissingExtraError
from promptchain.gates.base import Gate, Mode, OnFail
from promptchain.gates.part import Part, gate_of_part

if TYPE_CHECKING:
    from promptchain.run import Run

__all__ = ["json_schema"]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TOLD: Final = 3
_LONGEST: Final = 200


class _Violation(Protocol):
    json_path: str
    message: str


class _Validator(Protocol):
    def iter_errors(self, instance: Any) -> Iterator[_Violation]: ...


def json_schema(
    schema: Mapping[str, Any],
    *,
    field: str | None = None,
    name: str | None = None,
    mode: Mode | None = None,
    on_fail: OnFail = "block",
) -> Gate[object]:
    """A gate for JSON that fits a JSON Schema. It needs the extra ``gates``.

    A text is read as JSON first; everything else is judged as the JSON that pydantic makes of it. A text that
    is no JSON does not pass. ``format`` says nothing about validity, as the standard has it. Nothing is fetched
    from a network.

    Args:
        schema: Of Draft 2020-12, unless its ``$schema`` names another draft. It is copied.
        field: The part that is judged, as a dotted path; left out, the value itself.
        name: See ``Gate``; left out, ``"json_schema"``, with the field in parentheses.
        mode: See ``Gate``.
        on_fail: See ``Gate``.

    Raises:
        DefinitionError: The schema is wrong, or refers to what is not in it.
        MissingExtraError: The package ``jsonschema`` is not installed.
    """
    part = Part(field)
    validator = _validator(_copied(schema))

    def judge(value: object, _: Run) -> str | None:
        text = value if isinstance(value, str) else pydantic_core.to_json(value).decode()
        try:
            document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            return f"is not JSON that can be used: {error}; it begins {text[:60]!r}"
        return _violations(validator, document)

    return gate_of_part(
        judge,
        part,
        kind="json_schema",
        wanted="must fit the JSON schema",
        name=name,
        mode=mode,
        on_fail=on_fail,
    )


def _violations(validator: _Validator, document: object) -> str | None:
    found = sorted(validator.iter_errors(document), key=lambda error: error.json_path)
    if not found:
        return None
    # What is wrong within the likeliest variant says more than that no variant fits.
    best_match = importlib.import_module("jsonschema.exceptions").best_match
    told: list[_Violation] = [best_match([error]) for error in found[:_TOLD]]
    more = f"; and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return f"does not fit the JSON schema: {'; '.join(f'{e.json_path}: {_short(e.message)}' for e in told)}{more}"


def _copied(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise DefinitionError(f"json_schema takes a JSON Schema as a mapping, not {schema!r}.")
    try:
        return cast("dict[str, Any]", json.loads(json.dumps({**schema}, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise DefinitionError(f"the schema is not JSON: {error}.") from error


def _validator(schema: dict[str, Any]) -> _Validator:
    try:
        validators = importlib.import_module("jsonschema.validators")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the gate json_schema validates with jsonschema, which is not installed: "
            "pip install 'promptchain-ai[gates]'"
        ) from error
    # Packages that jsonschema stands on. Its own registry would fetch what it does not know.
    referencing = importlib.import_module("referencing")
    known = importlib.import_module("jsonschema_specifications").REGISTRY
    dialect = schema.setdefault("$schema", _DIALECT)
    draft = validators.validator_for(schema, default=None) if isinstance(dialect, str) else None
    if draft is None:
        raise DefinitionError(
            f"the schema is of {dialect!r}, which is not known; leave $schema out for Draft 2020-12."
        )
    try:
        draft.check_schema(schema)
    except validators.exceptions.SchemaError as error:
        raise DefinitionError(
            f"the schema is wrong at {error.json_path}: {_short(error.message)}."
        ) from error
    root = referencing.Resource.from_contents(schema)
    _refuse_unknown_references(root, known.resolver_with_root(root), referencing.exceptions.Unresolvable)
    return cast("_Validator", draft(schema, registry=known))


def _refuse_unknown_references(resource: Any, resolver: Any, unresolvable: type[Exception]) -> None:
    contents: Any = resource.contents
    if not isinstance(contents, bool):
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(reference := contents.get(key), str):
                try:
                    resolver.lookup(reference)
                except unresolvable as error:
                    raise DefinitionError(
                        f"the schema refers to {reference!r}, which is not in it, and nothing is fetched: "
                        "put it into $defs, and refer to '#/$defs/<name>'."
                    ) from error
    for inner in resource.subresources():
        _refuse_unknown_references(inner, resolver.in_subresource(inner), unresolvable)


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"it has no {constant}")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"the number {number[:30]} is too large")
    return value


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"
