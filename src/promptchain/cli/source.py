"""Where the input of a run comes from: an argument, a file, or standard input. Always UTF-8, always bounded."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO, Final

from promptchain.errors import InputError
from promptchain.spelling import nearest_file

__all__ = ["STANDARD_INPUT", "read_text"]

STANDARD_INPUT: Final = "-"


def read_text(argument: str | None, file: str | None, limit: int) -> str | None:
    """The input as text, or ``None`` when there is none: nothing was named and a person sits at the terminal.

    Args:
        argument: The text itself; ``"-"`` for standard input, ``None`` when ``file`` or nothing is named.
        file: Path of a file; ``"-"`` for standard input.
        limit: Most bytes; one more is read at most.

    Raises:
        InputError: It cannot be read, is too long, or is not UTF-8; the message names the source.
    """
    if argument is not None and argument != STANDARD_INPUT:
        return _argument(argument)
    if file is not None and file != STANDARD_INPUT:
        return _file(Path(file), limit)
    named = STANDARD_INPUT in {argument, file}
    if sys.stdin is None or (sys.stdin.isatty() and not named):  # pyright: ignore[reportUnnecessaryComparison]
        return None
    return _bounded(sys.stdin.buffer, "standard input", limit)


def _argument(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        # What was not text in the locale's encoding stands in the argument as surrogates.
        return _decoded(os.fsencode(text), "the argument INPUT")
    return text


def _file(path: Path, limit: int) -> str:
    source = f"the file {str(path)!r}"
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size > limit:
                raise _too_long(source, f"{status.st_size:,} bytes", limit)
            return _bounded(file, source, limit)
    except FileNotFoundError:
        raise InputError(f"{source} does not exist.{nearest_file(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _bounded(file: BinaryIO, source: str, limit: int) -> str:
    try:
        data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}.") from None
    if len(data) > limit:
        raise _too_long(source, f"more than {limit:,} bytes", limit)
    return _decoded(data, source)


def _too_long(source: str, size: str, limit: int) -> InputError:
    return InputError(
        f"{source} is {size}, and this chain takes {limit:,} at most: split it, or raise max_input_bytes."
    )


def _decoded(data: bytes, source: str) -> str:
    try:
        # The mark that some editors put in front is no part of the text.
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{source} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start:,}. Save it as UTF-8, "
            "or convert it, as in: iconv -f latin1 -t utf-8"
        ) from None
