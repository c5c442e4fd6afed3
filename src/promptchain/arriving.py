"""A reply as it arrives: its text is tentative until it is committed or retracted."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from promptchain.errors import (
    ContextWindowError,
    IncompleteReplyError,
    MaxTokensError,
    RefusalError,
    UnexpectedStopError,
)
from promptchain.events import PartialOutput, TextRetracted, TextTentative, Thinking
from promptchain.messages import (
    ModelRequest,
    Reply,
    ReplyFinished,
    ReplyRestarted,
    ReplyStarted,
    RequestReady,
    TextDelta,
    ThinkingDelta,
)
from promptchain.models import Model
from promptchain.outputs import GrowingJSON, OutputType
from promptchain.run import Run

__all__ = ["ArrivingReply", "refuse_stop"]


class ArrivingReply:
    """The text of a reply as it arrives: tentative until it is committed or retracted."""

    __slots__ = ("_at_once", "_begun", "_growing", "_held", "_run", "_tentative", "request_id", "text")

    def __init__(self, run: Run, output: OutputType[Any], *, at_once: bool) -> None:
        self._run = run
        self._at_once = at_once
        self._growing = GrowingJSON() if output.schema is not None and run.is_watched else None
        self._tentative = False
        self._begun = False
        self._held = ""
        self.request_id: str | None = None
        self.text = ""

    async def receive(self, model: Model, request: ModelRequest) -> None:
        """Take in the whole reply.

        Raises:
            ModelError: No complete reply came.
            ReplyError: The model stopped for a reason that makes the reply no answer.
        """
        run = self._run
        pieces: list[str] = []
        async with aclosing(model.stream(request)) as events:
            async for event in events:
                match event:
                    case TextDelta(text):
                        pieces.append(text)
                        self._show(text)
                        if run.execution.room is not None:
                            await run.execution.room()
                    case ThinkingDelta(text):
                        if run.is_watched:
                            run.emit(Thinking(at=run.seconds, step=run.path, attempt=run.attempt, text=text))
                        if run.execution.room is not None:
                            await run.execution.room()
                    case RequestReady():
                        run.attempt = event.attempt
                    case ReplyRestarted():
                        self.retract(event.reason)
                        self._forget()
                        pieces.clear()
                    case ReplyStarted():
                        self.request_id = event.request_id
                    case ReplyFinished():
                        self.text = "".join(pieces)
                        if self._growing is not None and self._growing.finish():
                            self._show_value(self._growing.value)
                        refuse_stop(event, self.text, request)
                        return
                    case _:
                        pass
        raise IncompleteReplyError(f"the model {model.name!r} ended its stream without a stop reason.")

    def retract(self, error: BaseException) -> None:
        """Take back what was tentative, because of ``error``."""
        if self._tentative:
            self._tentative = False
            run = self._run
            reason = "cancelled" if isinstance(error, asyncio.CancelledError) else str(error)
            run.emit(
                TextRetracted(
                    at=run.seconds,
                    step=run.path,
                    attempt=run.attempt,
                    reason=reason or type(error).__name__,
                    is_answer=run.is_last,
                )
            )

    def _forget(self) -> None:
        """Begin anew, as another reply follows."""
        if self._growing is not None:
            self._growing = GrowingJSON()
        self._begun = False
        self._held = ""
        self.request_id = None

    def _show(self, text: str) -> None:
        run = self._run
        if self._at_once:
            # White space in front is held back until more comes: a blank reply is none, and can be asked for again.
            if not self._begun:
                text = self._held = self._held + text
                self._begun = bool(text.strip())
            if self._begun:
                run.commit_piece(text)
            return
        if not run.is_watched:
            return
        self._tentative = True
        run.emit(
            TextTentative(
                at=run.seconds, step=run.path, attempt=run.attempt, text=text, is_answer=run.is_last
            )
        )
        if self._growing is not None and self._growing.feed(text):
            self._show_value(self._growing.value)

    def _show_value(self, value: object) -> None:
        run = self._run
        run.emit(PartialOutput(at=run.seconds, step=run.path, attempt=run.attempt, value=value))


def refuse_stop(end: ReplyFinished | Reply, text: str, request: ModelRequest) -> None:
    """Refuse a reply that stopped before it was an answer.

    Raises:
        ReplyError: The model stopped for a reason that makes the reply no answer.
    """
    match end.stop_reason:
        case "end_turn" | "stop_sequence":
            return
        case "refusal":
            category = end.stop_details.get("category")
            explanation = end.stop_details.get("explanation")
            raise RefusalError(
                "the model refused to answer"
                + (f" ({category})" if category else "")
                + (f": {explanation}" if explanation else "."),
                reply=text,
                category=category,
                explanation=explanation,
            )
        case "max_tokens":
            raise MaxTokensError(
                f"the reply stops in the middle, at max_tokens={request.max_tokens}: raise max_tokens, "
                "or ask for less.",
                reply=text,
            )
        case "model_context_window_exceeded":
            raise ContextWindowError(
                "the reply stops in the middle, as the model's context window is full: shorten the input, "
                "or use a model with a larger window.",
                reply=text,
            )
        case other:
            raise UnexpectedStopError(
                f"the model stopped with {other!r}, which a step cannot use.",
                reply=text,
            )
