"""Ends that are no answer and no error of promptchain's own: Ctrl-C, and what nobody foresaw."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass

from promptchain.cli.exits import FAILED, INTERRUPTED

__all__ = ["Ending", "ending_of"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended.

    Attributes:
        exit_code: Its exit code.
        type: What it was, for the JSON document.
        message: What happened, for the JSON document.
        told: The same for people.
    """

    exit_code: int
    type: str
    message: str
    told: str


def ending_of(error: BaseException) -> Ending:
    """What is said of ``error``. After a Ctrl-C the process ignores further ones, so that it can be said."""
    if isinstance(error, KeyboardInterrupt):
        with contextlib.suppress(ValueError):  # only the main thread may, and is interrupted
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return Ending(INTERRUPTED, "Interrupted", "interrupted", "interrupted")
    # Whoever types a command has no use for a traceback.
    kind = type(error).__name__
    told = f"error: {kind}: {error} (this is a defect of promptchain; please report it)"
    return Ending(FAILED, kind, str(error), told)
