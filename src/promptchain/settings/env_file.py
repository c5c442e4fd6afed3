"""``.env`` files, read with python-dotenv. It is imported on first use."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from promptchain.errors import ConfigurationError
from promptchain.spelling import nearest_file

__all__ = ["Line", "read_env_file"]

_MOST_BYTES: Final = 1024 * 1024
_MOST_BLANKS: Final = 250
_BLANKS: Final = re.compile(r"[^\S\r\n]+")


class Line(NamedTuple):
    """What a line of the file sets a variable to."""

    value: str
    number: int


def read_env_file(path: Path) -> Mapping[str, Line]:
    """The variables that the file sets, the last line of each name. Values are taken as they are written.

    Raises:
        ConfigurationError: The file cannot be read, a line of it sets nothing, or a name cannot be that of a
            variable. The line itself is not told, as there may be a key in it.
    """
    from dotenv.parser import parse_stream  # noqa: PLC0415 - seldom needed

    text = _text(path)
    _refuse_odd(text, path)
    found: dict[str, Line] = {}
    for binding in parse_stream(io.StringIO(text, newline="")):
        written = binding.original.string
        # What python-dotenv counts from are the blank lines before.
        number = binding.original.line + written[: len(written) - len(written.lstrip())].count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigurationError(
                f"{path}, line {number} sets nothing: write NAME=value, and end every quotation mark that begins."
            )
        if binding.key is not None and not _can_be_a_name(binding.key):
            raise ConfigurationError(
                f"{path}, line {number}: what stands before the '=' cannot be the name of a variable."
            )
        if binding.key is not None and binding.value is not None:
            found[binding.key] = Line(binding.value, number)
    return found


def _refuse_odd(text: str, path: Path) -> None:
    """Refuse what no environment takes, and what python-dotenv takes hours for."""
    odd = text.find("\0")
    if odd >= 0:
        raise ConfigurationError(
            f"{path}, line {_line_at(text, odd)} holds a NUL, which no variable can: save the file as UTF-8 text."
        )
    # It looks from each blank to the end of the run for the "#" of a comment.
    for run in _BLANKS.finditer(text):
        if run.end() - run.start() > _MOST_BLANKS:
            raise ConfigurationError(
                f"{path}, line {_line_at(text, run.start())} has more than {_MOST_BLANKS} blanks in a row: "
                "leave them out."
            )


def _line_at(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def _can_be_a_name(key: str) -> bool:
    return key.isprintable() and "=" not in key


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"the file {str(path)!r} does not exist.{nearest_file(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"the file {str(path)!r} cannot be read: {reason}.") from None
    if len(data) > _MOST_BYTES:
        raise ConfigurationError(f"the file {str(path)!r} is longer than {_MOST_BYTES:,} bytes.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path}, line {line} is not UTF-8: byte 0x{data[error.start]:02x}. Save the file as UTF-8."
        ) from None
