"""``promptchain run``: run a chain, give its answer, and say what it cost."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from typing import Any

from promptchain.chain import Chain
from promptchain.cli import settings as cli_settings
from promptchain.cli.bill import bill, degradation, estimate
from promptchain.cli.endings import ending_of
from promptchain.cli.exits import DONE, FAILED, code_of
from promptchain.cli.outline import calls_of, needs_credential, outline
from promptchain.cli.progress import Progress
from promptchain.cli.source import read_text
from promptchain.cli.terminal import OutputLost, Terminal, one_line
from promptchain.errors import InputError, PromptChainError
from promptchain.ledger import Ledger
from promptchain.loading import load_chain
from promptchain.models.clients import credentials_found
from promptchain.pricing import in_digits
from promptchain.result import Result
from promptchain.settings import Settings

__all__ = ["configure"]

_OFFLINE = "offline"


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = (
        "Run a chain. The answer goes to standard output; progress, the bill and errors go to standard error."
    )
    parser.add_argument("chain", metavar="CHAIN", help="module:attribute, or path/to/file.py:attribute")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "input",
        metavar="INPUT",
        nargs="?",
        help="the input, as UTF-8: text, or JSON for a chain that takes something else; '-' or nothing reads "
        "standard input; write '--' before one that begins with '-'",
    )
    source.add_argument("--file", metavar="PATH", help="read the input from a file")
    parser.add_argument(
        "--model", metavar="NAME", help="ask this model instead of those the chain names; 'offline' asks none"
    )
    parser.add_argument(
        "--deadline", metavar="SECONDS", type=float, help="end the run when it has taken so long"
    )
    cli_settings.configure(parser)
    parser.add_argument("--json", action="store_true", help="give the whole result as one JSON document")
    parser.add_argument("--quiet", action="store_true", help="no progress and no bill")
    parser.add_argument("--request-id", metavar="ID", help="your id for the run; sent to the API")
    parser.set_defaults(command=_run, parser=parser)


def _run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    return _Command(arguments, terminal).run()


class _Command:
    """One call of the command. Whatever way it ends, what it cost until then is said."""

    def __init__(self, arguments: argparse.Namespace, terminal: Terminal) -> None:
        self._arguments = arguments
        self._terminal = terminal
        self._quiet: bool = arguments.quiet
        self._json: bool = arguments.json
        self._model: str | None = arguments.model
        self._settings = Settings()
        self._named: dict[str, str] = {}  # what the chain would ask, by step
        self._ledger = Ledger()
        self._began = time.perf_counter()
        self._last = ""  # what was given last, to know whether its line has ended

    def run(self) -> int:
        try:
            return self._run()
        except PromptChainError as error:
            if error.ledger is not None:
                self._ledger = error.ledger
            return self._fail(error)
        except OutputLost:
            raise
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - whatever it is, what was spent is told
            return self._stop(error)

    def _run(self) -> int:
        self._settings = cli_settings.read_settings(self._arguments)
        chain = load_chain(self._arguments.chain)
        text = read_text(self._arguments.input, self._arguments.file, chain.max_input_bytes)
        if text is None:
            self._terminal.note(self._arguments.parser.format_usage().rstrip())
            raise InputError("there is no input: give it as an argument, with --file, or on standard input.")
        value = chain.read_input(text)
        self._choose_model(chain)
        self._began = time.perf_counter()
        return self._on_a_loop(chain, value)

    def _choose_model(self, chain: Chain[Any, Any]) -> None:
        places = outline(chain, self._settings.overrides(chain.profiles))
        for warning in cli_settings.unmatched(self._settings, places):
            self._terminal.note(one_line(f"warning: {warning}"))
        self._named = {call.path: call.model.name for call in calls_of(places) if call.model is not None}
        asked = needs_credential(places)
        lacking = any(call.model is None for call in calls_of(places))
        if self._model is None and asked and not lacking and not credentials_found():
            self._model = _OFFLINE
            self._terminal.note(
                "No credential for the Anthropic API was found, so an offline stand-in answers, not a model.\n"
                f"Set ANTHROPIC_API_KEY to ask {', '.join(asked)}; '--model offline' does this on purpose."
            )

    def _on_a_loop(self, chain: Chain[Any, Any], value: object) -> int:
        try:
            with asyncio.Runner() as runner:
                result = runner.run(self._give(chain, value))
            self._finish(result)
        except OutputLost as lost:
            if lost.exit_code == FAILED:
                self._terminal.note(f"error: {lost}")
            self._say_bill()
            return lost.exit_code
        else:
            return DONE

    async def _give(self, chain: Chain[Any, Any], value: object) -> Result[Any]:
        """Run the chain, and give its text as it is committed."""
        if self._quiet or not self._terminal.error_stream.isatty():
            return await self._stream(chain, value, None)
        progress = Progress(self._terminal)
        others = progress.beside(self._terminal.error_stream)
        drawing = asyncio.create_task(progress.keep_drawing())
        try:
            with contextlib.redirect_stdout(others), contextlib.redirect_stderr(others):
                return await self._stream(chain, value, progress)
        finally:
            drawing.cancel()
            progress.end()

    async def _stream(self, chain: Chain[Any, Any], value: object, progress: Progress | None) -> Result[Any]:
        stream = chain.stream(
            value,
            request_id=self._arguments.request_id,
            model=self._model,
            readers=[progress.read] if progress else [],
            settings=self._settings,
            deadline=self._arguments.deadline,
        )
        self._ledger = stream.ledger
        async with stream:
            if not self._json:
                async for text in stream.text:
                    if progress is not None and self._terminal.shows_answer:
                        progress.end()  # the answer and the progress share one screen
                    self._terminal.write(text)
                    self._last = text
            return await stream.result()

    def _finish(self, result: Result[Any]) -> None:
        if self._json:
            self._terminal.write_json(result.as_dict())
        elif self._last:
            self._terminal.write("" if self._last.endswith("\n") else "\n")
        elif isinstance(result.output, str):
            self._terminal.write(result.output + "\n")
        else:
            self._terminal.write_json(result.as_dict()["output"])
        self._say_bill()
        if not self._quiet:
            for degraded in result.degraded:
                self._terminal.note(one_line(degradation(degraded)))

    def _fail(self, error: PromptChainError) -> int:
        document = {"type": type(error).__name__, "message": error.message, "step": error.step}
        self._say_why(f"error: {error}")
        if error.request_id:
            self._terminal.note(f"request id: {error.request_id}")
        self._end_without_answer({**document, "request_id": error.request_id, "run_id": error.run_id})
        return code_of(error)

    def _stop(self, error: BaseException) -> int:
        ending = ending_of(error)
        self._say_why(ending.told)
        self._end_without_answer(
            {
                "type": ending.type,
                "message": ending.message,
                "step": None,
                "request_id": None,
                "run_id": None,
            }
        )
        return ending.exit_code

    def _say_why(self, reason: str) -> None:
        if self._last and not self._last.endswith("\n") and self._terminal.shows_answer:
            self._terminal.note("")
        self._terminal.note(one_line(reason))
        if self._last:
            self._terminal.note("What was written to standard output is not the whole answer.")

    def _end_without_answer(self, error: dict[str, str | None]) -> None:
        if self._ledger:
            self._say_bill()
        if self._json and not self._terminal.has_given:
            cost = self._ledger.cost
            self._terminal.write_json(
                {
                    "error": error,
                    "usage": self._ledger.usage.as_dict(),
                    "cost": in_digits(cost),
                    "estimated": self._ledger.estimated,
                    "ledger": [attempt.as_dict() for attempt in self._ledger],
                }
            )

    def _say_bill(self) -> None:
        if self._quiet:
            return
        for line in bill(self._ledger, time.perf_counter() - self._began):
            self._terminal.note(line)
        elsewhere = {step: name for step, name in self._named.items() if name != _OFFLINE}
        if any(attempt.model == _OFFLINE and attempt.step in elsewhere for attempt in self._ledger):
            self._terminal.note(f"offline: no model was asked; {estimate(self._ledger, elsewhere)}")
