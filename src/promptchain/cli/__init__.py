"""The command ``promptchain``: its arguments, its commands and its exit codes."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

from promptchain.cli import check, run
from promptchain.cli.endings import ending_of
from promptchain.cli.exits import FAILED, USAGE
from promptchain.cli.terminal import OutputLost, Terminal, one_line

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments without the program's name; left out, those of the process.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 wrong use, 130 interrupted, 141 standard output was closed.
    """
    terminal = Terminal.standard()
    try:
        return _ended(argv, terminal)
    except OutputLost as lost:
        if lost.exit_code == FAILED:
            terminal.note(f"error: {lost}")
        return lost.exit_code
    finally:
        terminal.finish()


def _ended(argv: Sequence[str] | None, terminal: Terminal) -> int:
    arguments: argparse.Namespace | int = 0
    try:
        arguments = _parsed(argv, terminal)
        if isinstance(arguments, int):
            return arguments
        # Standard output is for what the command gives, so what a chain's own code prints goes elsewhere.
        with contextlib.redirect_stdout(terminal.error_stream):
            return int(arguments.command(arguments, terminal))
    except OutputLost:
        raise
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - whatever it is, it is told in one line
        ending = ending_of(error)
        terminal.note(one_line(ending.told))
        if getattr(arguments, "json", False) and not terminal.has_given:
            document = {"type": ending.type, "message": ending.message, "step": None}
            terminal.write_json({"ok": False, "error": document})
        return ending.exit_code


def _take_input(arguments: argparse.Namespace, left: list[str], parser: argparse.ArgumentParser) -> None:
    """Take an input that stands behind options: argparse looks for it right behind CHAIN only."""
    text = left[1:] if left[0] == "--" else left
    behind_options = len(text) == 1 and (left[0] == "--" or not text[0].startswith("-") or text[0] == "-")
    if behind_options and getattr(arguments, "input", "") is None and arguments.file is None:
        arguments.input = text[0]
    else:
        getattr(arguments, "parser", parser).error(f"unrecognized arguments: {' '.join(left)}")


def _parsed(argv: Sequence[str] | None, terminal: Terminal) -> argparse.Namespace | int:
    parser = argparse.ArgumentParser(
        prog="promptchain",
        description="Run typed prompt chains on Claude, and know what they cost.",
        epilog="exit codes: 0 done, 1 the run failed, 2 wrong use, 130 interrupted",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    run.configure(commands.add_parser("run", help="run a chain on an input"))
    check.configure(commands.add_parser("check", help="check a chain and show what it is; nothing is sent"))
    try:
        arguments, left = parser.parse_known_args(argv)
        if left:
            _take_input(arguments, left, parser)
    except SystemExit as ended:  # argparse has said what there is to say
        return ended.code if isinstance(ended.code, int) else USAGE
    if arguments.version:
        import importlib.metadata  # noqa: PLC0415 - seldom asked for, and 20 ms

        terminal.write(f"promptchain {importlib.metadata.version('promptchain-ai')}\n")
        return 0
    if "command" not in arguments:
        parser.print_help(sys.stderr)
        return USAGE
    return arguments
