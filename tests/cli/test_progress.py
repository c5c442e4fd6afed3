"""What progress draws on a terminal, event by event: a real one of this process, seen by an emulator."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import struct
import termios
import threading
import tty
from collections.abc import Iterator
from dataclasses import dataclass

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptchain.cli.preview import Preview, cells, fitted
from promptchain.cli.progress import Progress
from promptchain.cli.terminal import Terminal
from promptchain.events import (
    AttemptStarted,
    GateJudged,
    StepFinished,
    StepStarted,
    TextCommitted,
    TextRetracted,
    TextTentative,
)
from promptchain.gates import Judgement, Verdict


@dataclass
class Screen:
    """A terminal of this process, which its progress is shown on, and the person in front of it."""

    master: int
    slave: int
    seen: pyte.Screen
    stream: pyte.Stream
    progress: Progress
    terminal: Terminal

    def rows(self) -> list[str]:
        """What stands on it now."""
        marker = "\x1b]0;until here\x07"
        self.terminal.error_stream.write(marker)
        self.terminal.error_stream.flush()
        got = b""
        while not got.endswith(marker.encode()):
            got += os.read(self.master, 65_536)
        self.stream.feed(got.decode().removesuffix(marker))
        return [row.rstrip() for row in self.seen.display if row.strip()]

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.seen.resize(lines, columns)

    def write(self, text: str, attempt: int = 1) -> None:
        self.progress.read(TextTentative(at=0, step="tell", attempt=attempt, text=text, is_answer=True))
        self.progress.draw()
        self.rows()  # a terminal that nobody reads takes no more


@pytest.fixture
def shown() -> Iterator[Screen]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    seen = pyte.Screen(40, 24)
    with os.fdopen(slave, "w", encoding="utf-8", closefd=False) as error_stream:
        terminal = Terminal(io.StringIO(), error_stream)
        progress = Progress(terminal, {"TERM": "xterm"})
        progress.read(StepStarted(at=0, step="tell"))
        progress.read(AttemptStarted(at=0, step="tell", attempt=1, model="claude"))
        yield Screen(master, slave, seen, pyte.Stream(seen), progress, terminal)
    os.close(slave)
    os.close(master)


def retracted(reason: str) -> TextRetracted:
    return TextRetracted(at=0, step="tell", attempt=1, reason=reason)


def verdict(decision: Verdict, *, attempt: int = 1, mode: str = "lenient") -> GateJudged:
    record = Judgement(step="tell", gate="length", attempt=attempt, verdict=decision, mode=mode)  # type: ignore[arg-type]
    return GateJudged(at=0, step="tell", record=record)


def test_only_the_end_of_a_long_text_is_shown_and_nothing_scrolls(shown: Screen) -> None:
    for number in range(500):
        shown.write(f"word{number} and\n" if number % 7 == 0 else f"word{number} ")
    rows = shown.rows()
    assert len(rows) == 6
    assert rows[1] == "tentative, attempt 1:"
    assert rows[-1].endswith("word499")
    assert shown.seen.cursor.y == 0


def test_a_retraction_is_told_in_one_row(shown: Screen) -> None:
    shown.write("Once upon a time")
    shown.progress.read(retracted("it must say where,\nand when, and who, and why, and at what length"))
    assert shown.rows() == ["tell: attempt 1 retracted: it must s..."]


def test_what_another_step_takes_back_leaves_the_answer_where_it_is(shown: Screen) -> None:
    shown.write("Once upon a time")
    shown.progress.read(TextRetracted(at=0, step="tell/judge", attempt=1, reason="no verdict"))
    shown.progress.draw()
    rows = shown.rows()
    assert rows[0] == "tell/judge: attempt 1 retracted: no ..."
    assert rows[-1] == "  Once upon a time"


def test_committed_text_is_not_tentative_any_more(shown: Screen) -> None:
    shown.write("Once upon a time")
    shown.progress.read(TextCommitted(at=0, step="tell", attempt=1, text="Once upon a time"))
    assert shown.rows() == []
    shown.progress.draw()
    assert len(shown.rows()) == 1


@pytest.mark.parametrize("size", [(12, 24), (120, 24), (40, 6), (40, 4), (40, 3), (40, 1), (5, 5)])
def test_a_terminal_that_is_resized_keeps_nothing_of_what_was_taken_away(
    shown: Screen, size: tuple[int, int]
) -> None:
    shown.terminal.note("before")
    shown.write("Once upon a time there was a ship " * 5)
    shown.rows()
    shown.resize(*size)
    shown.write("and it sailed ")
    shown.rows()
    shown.progress.read(retracted("no"))
    shown.progress.end()
    left = shown.rows()
    if min(size[0], 4 * size[1]) >= 12:
        assert left[-1].startswith("tell: at")
    assert not any("Once" in row or "ship" in row or "sailed" in row or "tentative" in row for row in left)


def test_a_terminal_without_room_shows_the_line_alone(shown: Screen) -> None:
    shown.resize(40, 3)
    shown.write("Once upon a time")
    assert len(shown.rows()) == 1


def test_a_character_that_is_wider_than_counted_does_not_scroll(shown: Screen) -> None:
    shown.resize(10, 8)
    shown.write("\u4dc0" * 30)  # wide since Unicode 16, which few know
    assert len(shown.rows()) == 6
    assert shown.seen.cursor.y == 0


def test_a_lenient_wish_to_ask_again_is_told_where_it_led_to_nothing(shown: Screen) -> None:
    shown.write("Once")
    shown.progress.read(verdict(Verdict.retry("longer")))
    assert not any("blocked" in row for row in shown.rows())
    shown.progress.read(verdict(Verdict.allow()))
    assert shown.rows() == ["tell: the gate 'length' would have block"[:36] + "..."]


def test_verdicts_that_end_the_run_or_let_pass_are_not_told_twice(shown: Screen) -> None:
    for event in (verdict(Verdict.block("no"), mode="strict"), verdict(Verdict.replace("x", "no"))):
        shown.progress.read(event)
    assert shown.rows() == []
    shown.resize(80, 24)
    shown.progress.read(verdict(Verdict.block("no")))
    assert shown.rows() == ["tell: the gate 'length' would have blocked: no"]


def test_half_a_line_of_somebody_else_is_left_alone(shown: Screen) -> None:
    others = shown.progress.beside(shown.terminal.error_stream)
    shown.write("Once upon")
    thread = threading.Thread(target=print, args=("half",), kwargs={"end": "", "file": others})
    thread.start()
    thread.join()
    shown.progress.draw()
    assert shown.rows() == ["half"]
    print(" of it", file=others)
    shown.progress.draw()
    assert shown.rows()[0] == "half of it"
    assert shown.rows()[-1] == "  Once upon"
    print("more", end="", file=others)
    shown.progress.read(StepFinished(at=0, step="tell", output="", seconds=1.0))
    assert shown.rows() == ["half of it", "more", "tell: done  1.0 s"]
    assert others.isatty()


def test_a_stream_that_cannot_write_a_character_names_it() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    with os.fdopen(slave, "w", encoding="ascii", errors="backslashreplace") as error_stream:
        progress = Progress(Terminal(io.StringIO(), error_stream), {"TERM": "xterm", "NO_COLOR": "1"})
        progress.read(StepStarted(at=0, step="tell"))
        progress.read(TextTentative(at=0, step="tell", attempt=1, text="\u65e5" * 13, is_answer=True))
        progress.draw()
        told = os.read(master, 65_536).decode()
    assert told.replace("\n  ", "").count("\\u65e5") == 13
    assert all(len(row) <= 90 for row in told.split("\n"))
    with contextlib.suppress(OSError):
        os.close(master)


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("ab  \n日"), max_size=200),
    st.integers(1, 30),
)
def test_rows_are_no_wider_than_the_terminal_and_lose_nothing_but_spaces(text: str, columns: int) -> None:
    preview = Preview("tell", 1)
    preview.add(text)
    rows = preview.rows(columns, 1_000)
    # A character that is wider than the terminal has no place to go.
    assert all(sum(map(cells, row)) <= max(columns, 2) for row in rows)
    assert "".join("".join(rows).split()) == "".join(text.split())


@given(st.lists(st.text("ab 日\n", max_size=30), max_size=40), st.integers(2, 30))
def test_text_in_pieces_wraps_as_the_whole_does(pieces: list[str], columns: int) -> None:
    growing, whole = Preview("tell", 1), Preview("tell", 1)
    for piece in pieces:
        growing.add(piece)
        growing.rows(columns, 4)
    whole.add("".join(pieces))
    assert growing.rows(columns, 4) == whole.rows(columns, 4)


def test_of_a_huge_text_the_last_rows_are_given() -> None:
    preview = Preview("tell", 1)
    for _ in range(100):
        preview.add("word " * 1_000)
    assert preview.rows(79, 4) == [("word " * 16).strip()] * 3 + [preview.rows(79, 4)[-1]]


@given(st.text(max_size=80), st.integers(0, 40))
def test_a_line_is_shortened_to_the_columns(text: str, columns: int) -> None:
    short = fitted(text, columns)
    assert sum(map(cells, short)) <= columns
    if short != text:
        assert text.startswith(short.removesuffix("..."))


@pytest.mark.parametrize(
    ("character", "columns"),
    [
        ("a", 1),
        ("\u65e5", 2),
        ("\uff21", 2),
        ("\u0301", 0),
        ("\u200d", 0),
        ("\U0001f600", 2),
        ("\U0001fae9", 2),
    ],
)
def test_a_character_takes_the_columns_of_its_kind(character: str, columns: int) -> None:
    assert cells(character) == columns
