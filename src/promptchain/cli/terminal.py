"""The standard streams: what a command gives on one, and what it says on the other."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

import pydantic_core

from promptchain.cli.exits import FAILED, PIPE_CLOSED

__all__ = ["OutputLost", "Terminal", "one_line", "printable"]

# All of C0 and C1 but tab and line feed: a model's text could move the cursor or retitle the window.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    r"""``text`` without anything that would steer a terminal; an escape becomes ``\x1b``."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found.group()):02x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """``text`` on one line, as ``printable`` has it: what chains and models say could look like lines of ours."""
    lines = (line.strip() for line in printable(text).splitlines())
    return " ".join(line for line in lines if line)


class OutputLost(Exception):  # noqa: N818 - a reader that has read enough is no error
    """Standard output takes nothing any more.

    Attributes:
        exit_code: 141 when its reader has gone, which is nothing to talk about; else 1.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"standard output cannot be written: {cause.strerror or cause}")
        self.exit_code = PIPE_CLOSED if isinstance(cause, BrokenPipeError) else FAILED


@dataclass(slots=True)
class Terminal:
    """The two standard streams of the process.

    Attributes:
        stream: Standard output: the answer, and nothing else.
        error_stream: Standard error: progress, the bill, errors.
        has_given: Whether anything was written to standard output.
    """

    stream: TextIO
    error_stream: TextIO
    has_given: bool = field(default=False, init=False)

    @classmethod
    def standard(cls) -> Terminal:
        """The streams of the process; one that is closed swallows what it is given."""
        stream: TextIO = sys.stdout or _nowhere()
        reconfigure = getattr(stream, "reconfigure", None)  # a stand-in for the stream may have none
        if reconfigure is not None:
            # An answer is UTF-8, whatever the locale; half of a surrogate pair has none.
            reconfigure(encoding="utf-8", errors="replace")
        return cls(stream, sys.stderr or _nowhere())

    @property
    def shows_answer(self) -> bool:
        """Whether somebody sees standard output as it is written."""
        return self.stream.isatty()

    def write(self, text: str) -> None:
        """Give a piece of the answer, at once.

        Raises:
            OutputLost: Standard output is closed, or full.
        """
        self.has_given = True
        try:
            self.stream.write(printable(text) if self.shows_answer else text)
            self.stream.flush()
        except OSError as error:
            _abandon(self.stream)
            raise OutputLost(error) from error

    def write_json(self, document: object) -> None:
        """Give one JSON document; what JSON has no number for becomes a string.

        Raises:
            OutputLost: Standard output is closed, or full.
        """
        plain: Any = pydantic_core.to_jsonable_python(document, inf_nan_mode="strings", fallback=repr)
        self.write(json.dumps(plain, ensure_ascii=False, indent=2) + "\n")

    def note(self, text: str, *, color: str | None = None) -> None:
        """Say something on standard error. That nobody listens is no failure.

        Args:
            text: Whole lines, without the last line feed.
            color: Number of a color (SGR), which goes around the text.
        """
        text = printable(text)
        self._say(f"\x1b[{color}m{text}\x1b[0m\n" if color else f"{text}\n")

    def legible(self, text: str) -> str:
        """``text`` as standard error will show it: without controls, and in characters that it can encode."""
        encoding = self.error_stream.encoding or "utf-8"
        return printable(text).encode(encoding, "backslashreplace").decode(encoding)

    def redraw(self, *lines: str) -> None:
        """Show ``lines`` from the cursor's line downwards, in the place of all that stands there.

        The cursor stays at the beginning of the first. So the next call finds them again, also when the
        terminal has another size by then.
        """
        # Without wrapping, as a terminal may take more columns for a character than was counted.
        drawn = "\x1b[?7l" + "\n".join(lines) + "\x1b[?7h" if lines else ""
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        self._say(f"\r\x1b[J{drawn}{up}\r" if lines else "\r\x1b[J")

    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal that standard error is; 80 and 24 where it does not say."""
        try:
            columns, rows = os.get_terminal_size(self.error_stream.fileno())
        except (OSError, ValueError):
            columns = rows = 0
        return columns or 80, rows or 24

    def _say(self, text: str) -> None:
        try:
            self.error_stream.write(text)
            self.error_stream.flush()
        except (OSError, ValueError):
            _abandon(self.error_stream)

    def finish(self) -> None:
        """Write out what is still buffered, so that nothing is left to fail when the process ends."""
        for stream in (self.stream, self.error_stream):
            try:
                stream.flush()
            except (OSError, ValueError):
                _abandon(stream)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - as long as the process


def _abandon(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, as python would complain about it when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass
