"""What a chain is handed: checked before anything is sent."""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from promptchain.errors import DefinitionError, InputError
from promptchain.fields import shown

__all__ = ["InputType"]

DEFAULT_MAX_BYTES = 4 * 1024 * 1024


class InputType:
    """The type of a chain's input.

    Args:
        form: The type; ``typing.Any`` where none is declared, which then means text.
        max_bytes: Most bytes of UTF-8 that a text may have. The default is beyond every model's context window.

    Attributes:
        form: The type.
        max_bytes: As given.
        is_declared: Whether a type was declared. Within another chain, one without takes anything.

    Raises:
        DefinitionError: The type cannot be understood, or the limit is no number of bytes.
    """

    def __init__(self, form: Any, max_bytes: int) -> None:
        if type(max_bytes) is not int or max_bytes < 1:
            raise DefinitionError(f"max_input_bytes is a whole number of bytes above 0, not {max_bytes!r}.")
        self.is_declared = form is not Any and form is not object
        self.form = form if self.is_declared else str
        self.max_bytes = max_bytes
        self._adapter: TypeAdapter[Any] = _adapter(self.form)

    def accept(self, value: object) -> Any:
        """The value that a run begins with: ``value``, or the model that a mapping of its fields stands for.

        Raises:
            InputError: No run can begin with it.
        """
        if isinstance(value, str):
            self._accept_text(value)
        if self.form is str:
            if not isinstance(value, str):
                raise InputError(
                    f"the chain takes text, not {type(value).__name__}; "
                    "declare what it takes with input= on its first step."
                )
            return value
        try:
            return self._adapter.validate_python(value, strict=True)
        except pydantic.ValidationError as error:
            raise InputError(f"the chain takes {shown(self.form)}: {_first(error)}") from error
        except Exception as error:  # a validator of the user's may raise anything
            raise InputError(
                f"the chain takes {shown(self.form)}: {type(error).__name__}: {error}"
            ) from error

    def replacement(self, value: object) -> Any:
        """``value``, which a gate has put in the place of an input.

        Raises:
            ValueError: No run can begin with it.
        """
        try:
            return self.accept(value)
        except InputError as error:
            raise ValueError(error.message) from error

    def read(self, text: str) -> Any:
        """The input that ``text`` stands for: itself, or JSON for a chain that takes something else.

        Raises:
            InputError: The text is not JSON, or not of the type.
        """
        if self.form is str:
            return text
        try:
            return self._adapter.validate_json(text)
        except pydantic.ValidationError as error:
            raise InputError(f"the chain takes {shown(self.form)} as JSON: {_first(error)}") from error

    def _accept_text(self, text: str) -> None:
        if not text.strip():
            raise InputError("the input is empty: say what the chain is to work on.")
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise InputError(
                f"the input holds half of a surrogate pair at character {error.start}, which is no text; "
                "read it as UTF-8, with errors='replace' if need be."
            ) from None
        if size > self.max_bytes:
            raise InputError(
                f"the input is {size:,} bytes, and this chain takes {self.max_bytes:,} at most: "
                "split it, or raise max_input_bytes."
            )


def _first(error: pydantic.ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _adapter(form: Any) -> TypeAdapter[Any]:
    try:
        try:
            adapter = TypeAdapter[Any](form)
        except PydanticSchemaGenerationError:  # a class that pydantic can only recognise
            adapter = TypeAdapter[Any](form, config=ConfigDict(arbitrary_types_allowed=True))
        adapter.rebuild(raise_errors=True)
    except (PydanticUserError, PydanticUndefinedAnnotation, NameError) as error:
        problem = str(error).splitlines()[0]
        raise DefinitionError(f"{shown(form)} cannot be the type of an input: {problem}") from error
    return adapter
