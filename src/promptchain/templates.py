"""Prompt templates: text with placeholders, checked before a run and filled in it.

A placeholder is a name, or a name and fields: ``{input}``, ``{previous}``, ``{analyze.intent}``. ``{{`` and
``}}`` are literal braces. Nothing else is allowed: no calls, no indexing, no conversions, no attribute that
begins with an underscore, as ``str.format`` would give a prompt's author the interpreter's globals.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias, cast

import pydantic_core

from promptchain.errors import PromptFileError, TemplateError
from promptchain.fields import NoFields, field_types, shown
from promptchain.spelling import nearest

__all__ = ["Prompt", "Template"]

Prompt: TypeAlias = str | Path
"""A template's text, or the path of a file that holds it."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}|[{}]")
_FILE_NAME = re.compile(r"\S+\.(md|txt)")
_PLACEHOLDER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class _Placeholder:
    name: str
    fields: tuple[str, ...]
    line: int

    def __str__(self) -> str:
        return "{" + ".".join((self.name, *self.fields)) + "}"


class Template:
    """A prompt, parsed.

    Args:
        prompt: The text, or the path of a UTF-8 file.
        role: What it is for, as messages call it: ``"prompt"`` or ``"system prompt"``.

    Attributes:
        text: The template as written.
        path: The file it was read from, or ``None``.
        digest: SHA-256 of the text in UTF-8, in hexadecimal.

    Raises:
        TemplateError: A brace or a placeholder is not as the module's text says, or the text is blank.
        PromptFileError: The file is missing, cannot be read, or is not UTF-8.
    """

    __slots__ = ("_parts", "_where", "digest", "path", "text")

    def __init__(self, prompt: Prompt, role: str = "prompt") -> None:
        self.path = prompt if isinstance(prompt, Path) else None
        self._where = f"the {role}" if self.path is None else f"the {role} {self.path}"
        self.text = text_of(prompt, role)
        self._parts = tuple(self._parse())
        self.digest = hashlib.sha256(self.text.encode()).hexdigest()

    def _parse(self) -> list[str | _Placeholder]:
        parts: list[str | _Placeholder] = []
        literal = ""
        end = 0
        for match in _TOKEN.finditer(self.text):
            literal += self.text[end : match.start()]
            end = match.end()
            token = match.group()
            if token in {"{{", "}}"}:
                literal += token[0]
                continue
            line = self.text.count("\n", 0, match.start()) + 1
            if not _PLACEHOLDER.fullmatch(match.group(1) or ""):
                raise TemplateError(f"{self._where}, line {line}: {_refusal(token)}")
            if literal:
                parts.append(literal)
                literal = ""
            name, *fields = match.group(1).split(".")
            parts.append(_Placeholder(name, tuple(fields), line))
        literal += self.text[end:]
        if literal:
            parts.append(literal)
        return parts

    @property
    def placeholders(self) -> Sequence[str]:
        """What it names, each once and without braces, in order: ``"input"``, ``"analyze.intent"``."""
        named = [str(part)[1:-1] for part in self._parts if not isinstance(part, str)]
        return tuple(dict.fromkeys(named))

    def check(self, names: Mapping[str, Any]) -> None:
        """See that every placeholder exists.

        Args:
            names: The names that can be used and their types; ``typing.Any`` where a type is not known.

        Raises:
            TemplateError: One does not; the message says which, and the nearest that does.
        """
        for part in self._parts:
            if isinstance(part, str):
                continue
            if part.name not in names:
                raise TemplateError(
                    f"{self._where}, line {part.line}: {part} names nothing that is known here."
                    f"{nearest(part.name, names)} Known: {', '.join(sorted(names))}."
                )
            self._check_fields(part, names[part.name])

    def _check_fields(self, placeholder: _Placeholder, known: Any) -> None:
        path = placeholder.name
        for field in placeholder.fields:
            try:
                fields = field_types(known)
            except NoFields as reason:
                place = f"{self._where}, line {placeholder.line}"
                raise TemplateError(f"{place}: {placeholder} asks for a field of {path}, {reason}.") from None
            if fields is None:
                return
            if field not in fields:
                raise TemplateError(
                    f"{self._where}, line {placeholder.line}: {placeholder} does not exist; {path} is "
                    f"{shown(known)}, without {field!r}.{nearest(field, fields)} "
                    f"Known: {', '.join(sorted(fields)) or 'none'}."
                )
            known = fields[field]
            path += f".{field}"

    def render(self, lookup: Callable[[str], object]) -> str:
        """The text with every placeholder filled.

        Args:
            lookup: Gives the value of a name.

        Raises:
            TemplateError: A value has no such field after all, or cannot be written as text.
        """
        return "".join(part if isinstance(part, str) else self._fill(part, lookup) for part in self._parts)

    def _fill(self, placeholder: _Placeholder, lookup: Callable[[str], object]) -> str:
        value = lookup(placeholder.name)
        for field in placeholder.fields:
            try:
                value = _field(value, field)
            except (AttributeError, KeyError):
                raise TemplateError(
                    f"{self._where}, line {placeholder.line}: {placeholder} cannot be filled: "
                    f"{type(value).__name__} has no {field!r} here."
                ) from None
        try:
            text = as_text(value)
            text.encode()  # or else no request could be written
        except UnicodeEncodeError:
            raise TemplateError(
                f"{self._where}, line {placeholder.line}: {placeholder} cannot be filled: "
                "the value holds half of a surrogate pair, which is no text."
            ) from None
        except pydantic_core.PydanticSerializationError as error:
            raise TemplateError(
                f"{self._where}, line {placeholder.line}: {placeholder} cannot be written as text: {error}"
            ) from error
        return text


def text_of(prompt: Prompt, role: str) -> str:
    """The text that is meant, which is not blank.

    Args:
        prompt: The text, or the path of a UTF-8 file.
        role: What it is for, as messages call it.

    Raises:
        TemplateError: It is neither, the text is blank or no text, or it is the name of a file.
        PromptFileError: The file is missing, cannot be read, or is not UTF-8.
    """
    if isinstance(prompt, Path):
        where, text = f"the {role} {prompt}", _read(prompt, role)
    elif isinstance(prompt, str):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        where, text = f"the {role}", prompt
    else:
        raise TemplateError(f"a {role} is a string or a pathlib.Path, not {type(prompt).__name__}.")
    if not text.strip():
        raise TemplateError(f"{where} is empty: write a text, or leave it out where it may be left out.")
    if isinstance(prompt, str) and _FILE_NAME.fullmatch(text):
        raise TemplateError(
            f"{where} {text!r} looks like the name of a file: for its text, give pathlib.Path({text!r})."
        )
    _refuse_half_pairs(text, where)
    return text


def as_text(value: object) -> str:
    """A value as it stands in a prompt: text as it is, everything else as JSON.

    Raises:
        pydantic_core.PydanticSerializationError: It has no JSON.
    """
    if isinstance(value, Enum):
        value = value.value
    return value if isinstance(value, str) else pydantic_core.to_json(value).decode()


def _field(value: Any, field: str) -> object:
    if isinstance(value, Mapping):
        return cast("Mapping[str, object]", value)[field]
    return getattr(value, field)


def _refusal(token: str) -> str:
    if token in {"{", "}"}:
        return f"a single {token!r}; write {token * 2!r} for a literal brace."
    inner = token[1:-1].strip()
    if not inner:
        return "{} names nothing; write {{}} for literal braces, or a name such as {input}."
    if any(part.startswith("_") for part in inner.split(".")):
        return f"{token} names something that begins with an underscore, which prompts may not."
    return (
        f"{token} is not a placeholder: only names and fields, as in {{input}} or {{analyze.intent}}. "
        "Write {{ and }} for literal braces."
    )


def _read(path: Path, role: str) -> str:
    try:
        return path.read_bytes().decode()  # line ends as they are, so that the digest is that of the file
    except FileNotFoundError:
        folder = path.parent
        others = sorted(p.name for p in folder.glob("*.md")) if folder.is_dir() else []
        known = nearest(path.name, others) if folder.is_dir() else f" There is no folder {str(folder)!r}."
        raise PromptFileError(f"the {role} file {str(path)!r} does not exist.{known}") from None
    except UnicodeDecodeError as error:
        raise PromptFileError(
            f"the {role} file {str(path)!r} is not UTF-8 (byte {error.start}); save it as UTF-8."
        ) from None
    except OSError as error:
        raise PromptFileError(f"the {role} file {str(path)!r} cannot be read: {error.strerror}.") from None


def _refuse_half_pairs(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise TemplateError(
            f"{where}, line {line}: holds half of a surrogate pair, which is no text."
        ) from None
