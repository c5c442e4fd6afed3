"""Output types: what a step's reply must be, as a JSON Schema for the API and as validation afterwards."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, cast

import pydantic
import pydantic_core
from pydantic import TypeAdapter
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
)
from typing_extensions import TypeForm, TypeVar

from promptchain.errors import OutputError, OutputTypeError
from promptchain.fields import shown
from promptchain.spelling import brief

__all__ = ["GrowingJSON", "OutputType"]

T = TypeVar("T")

# A growing output is read again when it has grown by one part in so many.
_STEADINESS = 32

_REFERENCE = re.compile(r'"\$ref":"#/\$defs/([^"]+)"')


class OutputType(Generic[T]):
    """The type of a step's output.

    Args:
        form: ``str`` for text, or anything pydantic can describe: a model, a dataclass, a ``TypedDict``, a
            ``Literal``, a union, ``list[Model]``.

    Attributes:
        form: As given.
        schema: Its JSON Schema, or ``None`` for text.

    Raises:
        OutputTypeError: It has no JSON Schema, or one that structured outputs cannot express.
    """

    __slots__ = ("_adapter", "form", "schema")

    def __init__(self, form: TypeForm[T]) -> None:
        self.form = form
        self.schema: Mapping[str, Any] | None = None
        self._adapter: TypeAdapter[T] | None = None
        if form is str:
            return
        try:
            self._adapter = TypeAdapter(cast("Any", form))
            self.schema = self._adapter.json_schema()
        except (
            PydanticSchemaGenerationError,
            PydanticInvalidForJsonSchema,
            PydanticUndefinedAnnotation,
            pydantic.PydanticUserError,
        ) as error:
            raise OutputTypeError(
                f"{shown(form)} cannot be an output type, as it has no JSON Schema: "
                f"{str(error).splitlines()[0]} "
                "Use a pydantic model, a dataclass, a Literal, a list of these, or str."
            ) from error
        for path, problem in _inexpressible(self.schema):
            raise OutputTypeError(f"{shown(form)} cannot be an output type: {path or 'it'} {problem}")

    def parse(self, reply: str) -> T:
        """The value that a reply stands for, validated.

        Raises:
            OutputError: The reply is empty, is not JSON, or does not validate.
        """
        if not reply.strip():
            raise OutputError("the model's reply is empty.", reply=reply)
        if self._adapter is None:
            return cast("T", reply)
        try:
            return self._adapter.validate_json(reply)
        except pydantic.ValidationError as error:
            errors = error.errors(include_url=False, include_context=False)
            raise OutputError(
                f"the model's reply is not a valid {shown(self.form)}: {_summary(errors, reply)}",
                reply=reply,
                errors=cast("list[Mapping[str, Any]]", errors),
            ) from error
        except Exception as error:  # a validator of the user's may raise anything
            raise OutputError(
                f"the model's reply cannot be made a {shown(self.form)}: {type(error).__name__}: {error}",
                reply=reply,
            ) from error

    def validated(self, value: object) -> T:
        """``value``, which a gate has put in the place of a reply's.

        Raises:
            ValueError: It is not of the type.
        """
        if self._adapter is None:
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"a text that is not empty is wanted, not {brief(value)}")
            value.encode()
            return cast("T", value)
        # An instance would pass as it is, whatever was put into it: it is taken apart and made anew.
        try:
            return self._adapter.validate_python(self._apart(value), by_alias=True, by_name=True)
        except pydantic_core.PydanticSerializationError:  # a mapping of its fields, or no such value
            output = self._adapter.validate_python(value, by_alias=True, by_name=True)
            self._apart(output)
            return output

    def _apart(self, value: object) -> object:
        adapter = cast("TypeAdapter[Any]", self._adapter)
        return adapter.dump_python(value, round_trip=True, warnings="error")

    def text_of(self, value: T, reply: str) -> str:
        """``value`` as a model would have written it: the ``reply``, where that says the same."""
        if self._adapter is None:
            return cast("str", value)
        if self._adapter.validate_json(reply) == value:
            return reply
        return self._adapter.dump_json(value, by_alias=True).decode()


class GrowingJSON:
    """JSON as it arrives, read again and again.

    Attributes:
        value: What has come until now as plain data: fields may be missing, and the last text be cut short.
    """

    __slots__ = ("_length", "_pieces", "_read", "value")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._read = 0
        self.value: Any = None

    def feed(self, text: str) -> bool:
        """Take in a piece; ``True`` where ``value`` is another one now."""
        self._pieces.append(text)
        self._length += len(text)
        # Reading it all at each piece would be quadratic work: each time it has grown by a part of itself is not.
        if self._length < self._read + self._read // _STEADINESS:
            return False
        return self.finish()

    def finish(self) -> bool:
        """Read all that has come; ``True`` where ``value`` is another one now."""
        self._read = self._length
        whole = "".join(self._pieces)
        self._pieces = [whole]
        try:
            value = pydantic_core.from_json(whole, allow_partial="trailing-strings")
        except (ValueError, TypeError):  # no JSON, or not yet, or half of a surrogate pair
            return False
        if value == self.value:
            return False
        self.value = value
        return True


def _summary(errors: list[Any], reply: str) -> str:
    if errors[0]["type"] == "json_invalid":
        return f"it is not JSON ({errors[0]['msg'].removeprefix('Invalid JSON: ')}); it begins {reply[:60]!r}"
    told = [": ".join(filter(None, [".".join(map(str, e["loc"])), _said(e["msg"])])) for e in errors[:3]]
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return "; ".join(told) + more


def _said(message: str) -> str:
    """What a validator of the user's said, without the kind of its exception."""
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _inexpressible(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Places that structured outputs would silently empty or that the SDK refuses to send.

    Every object of a structured output is closed (``additionalProperties: false``), so a mapping with free
    keys could only ever come back empty; and a value of any type has no schema to ask for.
    """
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    try:
        graphlib.TopologicalSorter({name: _referred(d) for name, d in definitions.items()}).prepare()
    except graphlib.CycleError as error:
        yield (
            error.args[1][0],
            "holds itself, which structured outputs cannot return. Use a list without nesting.",
        )
    for name, definition in definitions.items():
        yield from _inexpressible(definition, name)
    if "$ref" in schema:
        return
    variants = [variant for key in ("anyOf", "oneOf", "allOf") for variant in schema.get(key, ())]
    for variant in variants:
        yield from _inexpressible(variant, path)
    if not variants and not {"type", "enum", "const"} & schema.keys():
        yield path, "can be anything, which has no schema. Declare its type."
    free = schema.get("additionalProperties", False) is not False or "patternProperties" in schema
    if schema.get("type") == "object" and free:
        yield (
            path,
            "is a mapping with free keys, which structured outputs cannot return. Use a list of pairs.",
        )
    for name, field in schema.get("properties", {}).items():
        yield from _inexpressible(field, f"{path}.{name}" if path else name)
    if isinstance(items := schema.get("items"), dict):
        yield from _inexpressible(cast("dict[str, Any]", items), f"{path}[]")
    elif schema.get("type") == "array":
        problem = "is a tuple" if "prefixItems" in schema else "is a list of anything"
        yield path, f"{problem}, which structured outputs cannot return. Use list[...] of a declared type."


def _referred(definition: Mapping[str, Any]) -> list[str]:
    return _REFERENCE.findall(pydantic_core.to_json(definition).decode())
