"""Live progress: what each step is doing, on one line of a terminal that is written again and again."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from promptchain.cli.terminal import Terminal, printable
from promptchain.events import (
    AttemptFinished,
    AttemptStarted,
    Event,
    GateJudged,
    StepFailed,
    StepFinished,
    StepStarted,
    TextCommitted,
    TextRetracted,
    TextTentative,
    Thinking,
)
from promptchain.usage import Usage

__all__ = ["Progress"]

_REDRAW_SECONDS = 0.1


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


class Progress:
    """A reader of events that shows them. A step that ends leaves a line; the running one is redrawn.

    Text is never shown, as it may still be taken back: only how much of it has come.

    Args:
        terminal: Where it is shown, on standard error.
        environment: ``TERM`` set to ``dumb`` leaves the redrawing out, ``NO_COLOR`` the colors.
    """

    def __init__(self, terminal: Terminal, environment: Mapping[str, str] = os.environ) -> None:
        self._terminal = terminal
        self._redraws = environment.get("TERM", "") not in {"", "dumb"}
        self._colors = self._redraws and not environment.get("NO_COLOR")
        self._running: dict[str, _Activity] = {}
        self._is_drawn = False
        self._ended = False

    def read(self, event: Event) -> None:
        """Take in one event. This is the ``Reader``."""
        match event:
            case StepStarted(step=path):
                outer = self._running.get(path.rpartition("/")[0])
                if outer is not None:
                    outer.has_steps = True
                self._running[path] = _Activity(time.perf_counter())
            case StepFinished(step=path, seconds=seconds):
                self._leave(path, "done", seconds, "32")
            case StepFailed(step=path, error=error, seconds=seconds):
                cancelled = isinstance(error, asyncio.CancelledError)
                self._leave(path, "cancelled" if cancelled else "failed", seconds, "31")
            case _ if event.step in self._running:
                _note(self._running[event.step], event)
            case _:
                pass

    async def keep_drawing(self) -> None:
        """Draw the running steps again and again, until it is cancelled."""
        while self._redraws:
            self._draw()
            await asyncio.sleep(_REDRAW_SECONDS)

    def end(self) -> None:
        """Leave the terminal to others: nothing is shown from here on."""
        self._erase()
        self._ended = True

    def _leave(self, path: str, how: str, seconds: float, color: str) -> None:
        activity = self._running.pop(path, None)
        if activity is None or activity.has_steps or self._ended:
            return
        self._erase()
        usage = activity.usage
        tokens = f"  {usage.total_input_tokens:,} in, {usage.output_tokens:,} out" if usage != Usage() else ""
        self._terminal.note(f"{path}: {how}{tokens}  {seconds:.1f} s", color=color if self._colors else None)

    def _draw(self) -> None:
        lines = [_line(path, a) for path, a in self._running.items() if not a.has_steps]
        if self._ended or not lines:
            return
        line = printable(" | ".join(lines))
        width = self._width()
        if len(line) >= width:
            line = line[: width - 4] + "..."
        self._terminal.redraw(f"\x1b[2m{line}\x1b[0m" if self._colors else line)
        self._is_drawn = True

    def _erase(self) -> None:
        if self._is_drawn:
            self._terminal.redraw("")
            self._is_drawn = False

    def _width(self) -> int:
        try:
            return max(20, os.get_terminal_size(self._terminal.error_stream.fileno()).columns or 80)
        except (OSError, ValueError):
            return 80


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
