"""Live progress: what each step is doing, on a line of a terminal that is written again and again.

Under it stands the end of the answer that is being written, marked as tentative, until it is committed or retracted.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO, cast

from promptchain.cli.preview import Preview, fitted
from promptchain.cli.terminal import Terminal
from promptchain.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    GateJudged,
    StepDegraded,
    StepFailed,
    StepFinished,
    StepStarted,
    TextCommitted,
    TextRetracted,
    TextTentative,
    Thinking,
)
from promptchain.gates import Judgement
from promptchain.usage import Usage

__all__ = ["Progress"]

_REDRAW_SECONDS = 0.1

# Rows of tentative text.
_MOST_ROWS = 4

_DIM, _RED, _GREEN, _YELLOW = "2", "31", "32", "33"


@dataclass(slots=True)
class _Activity:
    """What is known of one running step."""

    began: float
    doing: str = "working"
    model: str = ""
    attempt: int = 1
    characters: int = 0
    usage: Usage = field(default_factory=Usage)
    has_steps: bool = False
    is_degraded: bool = False


class Progress:
    """A reader of events that shows them. A step that ends leaves a line; the running one is redrawn.

    Tentative text of the answer is shown below, dimmed, and goes away again. Of other text only is shown how
    much has come. A retracted attempt leaves a line that says why, as does what a lenient gate rejected.

    Args:
        terminal: Where it is shown, on standard error.
        environment: ``TERM`` set to ``dumb`` leaves the redrawing out, ``NO_COLOR`` the colors.
    """

    def __init__(self, terminal: Terminal, environment: Mapping[str, str] = os.environ) -> None:
        self._terminal = terminal
        self._redraws = environment.get("TERM", "") not in {"", "dumb"}
        self._colors = self._redraws and not environment.get("NO_COLOR")
        self._running: dict[str, _Activity] = {}
        self._preview: Preview | None = None
        self._unsettled: dict[
            str, Judgement
        ] = {}  # a lenient wish to ask again, until it is seen what it led to
        self._is_drawn = False
        self._line_is_open = False  # somebody else has written half a line
        self._ended = False
        # A function of the chain prints in its own thread.
        self._lock = threading.RLock()

    def read(self, event: Event) -> None:
        """Take in one event. This is the ``Reader``."""
        path = event.step
        match event:
            case StepStarted():
                outer = self._running.get(path.rpartition("/")[0])
                if outer is not None:
                    outer.has_steps = True
                self._running[path] = _Activity(time.perf_counter())
            case AttemptStarted():
                self._unsettled.pop(path, None)
            case TextTentative(attempt=attempt, text=text, is_answer=True) if self._redraws:
                if self._preview is None or (self._preview.step, self._preview.attempt) != (path, attempt):
                    self._preview = Preview(path, attempt)
                self._preview.add(self._terminal.legible(text))
            case TextRetracted(attempt=attempt, reason=reason):
                self._unsettled.pop(path, None)
                self._forget(path)
                self._tell(f"{path}: attempt {attempt} retracted: {reason}")
            case TextCommitted():
                self._settle(path)
                self._withdraw()
            case GateJudged(record=record):
                self._take_verdict(record)
            case StepDegraded() if path in self._running:
                self._running[path].is_degraded = True
            case StepFinished(seconds=seconds):
                self._settle(path)
                self._leave(path, "done", seconds, _GREEN)
            case StepFailed(error=error, seconds=seconds):
                self._unsettled.pop(path, None)
                cancelled = isinstance(error, asyncio.CancelledError)
                self._leave(path, "cancelled" if cancelled else "failed", seconds, _RED)
            case _:
                pass
        if path in self._running:
            _note(self._running[path], event)

    async def keep_drawing(self) -> None:
        """Draw the running steps again and again, until it is cancelled."""
        while self._redraws:
            self.draw()
            await asyncio.sleep(_REDRAW_SECONDS)

    def draw(self) -> None:
        """Draw the running steps, and the text that is being written."""
        doing = [_line(path, a) for path, a in self._running.items() if not a.has_steps]
        with self._lock:
            if self._ended or self._line_is_open or not doing:
                return
            columns, rows = self._terminal.size()
            lines = [fitted(_one_line(self._terminal.legible(" | ".join(doing))), columns - 1)]
            most = min(_MOST_ROWS, rows - 3)  # the two lines above the text, and the one the cursor came from
            if self._preview is not None and most > 0:
                text = self._preview.rows(max(1, columns - 3), most)
                lines.append(fitted(f"tentative, attempt {self._preview.attempt}:", columns - 1))
                lines.extend(f"  {row}" for row in text)
            self._terminal.redraw(*(f"\x1b[{_DIM}m{line}\x1b[0m" if self._colors else line for line in lines))
            self._is_drawn = True

    def beside(self, stream: TextIO) -> TextIO:
        """``stream`` for others to write to: what is drawn makes room for it."""
        return cast("TextIO", _Beside(stream, self))

    def make_room(self, stream: TextIO, text: str) -> int:
        """Write ``text`` of somebody else, where what is drawn has stood."""
        with self._lock:
            self._erase()
            if text and not self._ended:
                self._line_is_open = not text.endswith("\n")
            return stream.write(text)

    def end(self) -> None:
        """Leave the terminal to others: nothing is shown from here on."""
        with self._lock:
            if not self._ended:
                self._clear()
            self._ended = True

    def _take_verdict(self, record: Judgement) -> None:
        self._settle(record.step)  # the gate before this one has let the value go on
        if record.verdict.allowed or record.mode != "lenient":
            return
        if record.verdict.decision == "retry" and record.attempt:
            self._unsettled[record.step] = record
        else:
            self._tell_rejected(record)

    def _settle(self, path: str) -> None:
        record = self._unsettled.pop(path, None)
        if record is not None:
            self._tell_rejected(record)

    def _tell_rejected(self, record: Judgement) -> None:
        reason = record.verdict.reason
        by = "a gate" if record.gate.rstrip(".") == reason.rstrip(".") else f"the gate {record.gate!r}"
        self._tell(f"{record.step or 'input'}: {by} would have blocked: {reason}")

    def _tell(self, text: str) -> None:
        columns, _ = self._terminal.size()
        self._say(fitted(_one_line(self._terminal.legible(text)), columns - 1), _YELLOW)

    def _leave(self, path: str, how: str, seconds: float, color: str) -> None:
        self._forget(path)
        activity = self._running.pop(path, None)
        if activity is None or activity.has_steps:
            return
        if activity.is_degraded and how == "done":
            how, color = "degraded", _YELLOW
        usage = activity.usage
        tokens = f"  {usage.total_input_tokens:,} in, {usage.output_tokens:,} out" if usage != Usage() else ""
        self._say(f"{path}: {how}{tokens}  {seconds:.1f} s", color)

    def _say(self, text: str, color: str) -> None:
        with self._lock:
            if not self._ended:
                self._clear()
                self._terminal.note(text, color=color if self._colors else None)

    def _forget(self, path: str) -> None:
        if self._preview is not None and self._preview.step == path:
            self._preview = None

    def _withdraw(self) -> None:
        if self._preview is not None:
            self._preview = None
            with self._lock:
                self._erase()

    def _clear(self) -> None:
        self._erase()
        if self._line_is_open:
            self._terminal.note("")
            self._line_is_open = False

    def _erase(self) -> None:
        if self._is_drawn:
            self._terminal.redraw()
            self._is_drawn = False


class _Beside:
    """A stream whose writers do not know that something is drawn on the same terminal."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        self._stream = stream
        self._progress = progress

    def write(self, text: str) -> int:
        return self._progress.make_room(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _note(activity: _Activity, event: Event) -> None:
    match event:
        case AttemptStarted(model=model, attempt=attempt):
            activity.model, activity.attempt = model, attempt
            activity.doing, activity.characters = "asking", 0
        case Thinking():
            activity.doing = "thinking"
        case TextTentative(text=text) | TextCommitted(text=text):
            # A gated answer is committed once more as a whole; its pieces have been counted.
            if not activity.doing.startswith("checking"):
                activity.doing = "writing"
                activity.characters += len(text)
        case AttemptFinished(record=record):
            activity.doing = "checking"
            activity.usage += record.usage
        case TextRetracted():
            activity.doing, activity.characters = "starting again", 0
        case GateJudged(record=judgement):
            activity.doing = f"checking ({judgement.gate})"
        case _:
            pass


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _line(path: str, activity: _Activity) -> str:
    parts = [f"{path}: {activity.doing}"]
    if activity.model:
        parts.append(activity.model)
    if activity.attempt > 1:
        parts.append(f"attempt {activity.attempt}")
    if activity.characters:
        parts.append(f"{activity.characters:,} characters")
    if activity.usage != Usage():
        parts.append(f"{activity.usage.total_input_tokens:,} in, {activity.usage.output_tokens:,} out")
    parts.append(f"{time.perf_counter() - activity.began:.1f} s")
    return "  ".join(parts)
