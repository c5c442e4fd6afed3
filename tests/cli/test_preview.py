"""What a person sees on a terminal while an answer is written that may be taken back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from promptchain.cli.preview import cells
from promptchain.testing import MessagesAPI, Pace

Cli = Callable[..., subprocess.CompletedProcess[str]]

CHAINS = '''
"""Chains whose answer may be taken back."""

from typing import Literal

from promptchain import Chain, Gate, Step, Verdict, step
from promptchain.models.scripted import Scripted, ScriptedModel


def replies(*texts, delay=0.25):
    return ScriptedModel(*(Scripted(chunks=text.split("|"), delay=delay) for text in texts))


def needs(word, feedback="say where", mode=None, says=()):
    def judge(text):
        for line in says:
            print(line)
        return word in text

    return Gate(judge, feedback, name="place", mode=mode, on_fail="retry")


def chain(model, *gates, **options):
    return Chain("story", Step("tell", prompt="{input}", gates=gates, **options), model=model)


again = chain(replies("Once upon |a time |there was", "In Ulm |there |was"), needs("Ulm"))
never = chain(replies("Once upon |a time"), needs("Ulm"), max_reasks=0)
lenient = chain(replies("Once |upon"), needs("Ulm", mode="lenient"), max_reasks=0)
both = chain(replies("Once |upon", "In |Ulm"), needs("Ulm", mode="lenient"))
printing = chain(replies("Once |upon |a |time"), needs("time", says=["one", "two", "three", "four"]))
wide = chain(replies("\\u65e5\\u672c\\u8a9e\\u306e|\\u9577\\u3044\\u6587\\u7ae0|\\u3067\\u3059" * 3), needs("\\u65e5"))
hostile = chain(replies("a\\x1b[2J\\x1b]0;title\\x07|b\\x9b5A|c\\td|!"), needs("a"))
endless = chain(replies("|".join(["word "] * 500)), needs("Ulm"))
inner = Chain(
    "inner",
    Step("draft", prompt="{input}", gates=[needs("Ulm")]) | Step("tell", prompt="{draft}"),
    model=replies("Once |upon", "In |Ulm", "The |end"),
)
typed = Chain("typed", Step("pick", prompt="{input}", output=Literal["ship"]), model=replies('"sh|ore"', '"sh|ip"'))
asked = Chain("asked", Step("tell", prompt="{input}", gates=[needs("Ulm")]), model="claude-haiku-4-5")
strange = Chain(
    "strange",
    Step("tell", prompt="{input}"),
    model=replies("fine"),
    input_gates=[Gate(lambda text: False, "the input is\\nstrange", mode="lenient")],
)
'''


@pytest.fixture(autouse=True)
def stories(place: Path) -> None:
    (place / "stories.py").write_text(CHAINS, "utf-8")


def frames(told: str, columns: int = 80, lines: int = 24) -> list[list[str]]:
    """What a terminal has shown: the rows that were not empty, before each redrawing and at the end."""
    seen = pyte.Screen(columns, lines)
    seen.set_mode(pyte.modes.LNM)
    stream = pyte.Stream(seen)
    shown: list[list[str]] = []
    for piece in re.split(r"(?=\r\x1b\[J)", told):
        stream.feed(piece)
        shown.append([row.rstrip() for row in seen.display if row.strip()])
    return shown


def told_rows(shown: list[list[str]], text: str) -> list[list[str]]:
    """The frames in which ``text`` stands somewhere."""
    return [rows for rows in shown if text in "\n".join(rows)]


def test_a_rejected_attempt_is_seen_and_taken_away_and_the_answer_stands_there_once(screen: Cli) -> None:
    done = screen("run", "stories:again", "hello")
    shown = frames(done.stderr)
    first = told_rows(shown, "tentative, attempt 1:")
    assert first
    assert first[0][-2:] == ["tentative, attempt 1:", "  Once upon"]
    assert re.match(r"tell: writing  scripted  10 characters  \d+\.\d s$", first[0][-3])
    second = told_rows(shown, "tentative, attempt 2:")
    assert second[0][-2:] == ["tentative, attempt 2:", "  In Ulm"]
    assert not told_rows(second, "Once")
    assert re.fullmatch(
        r"tell: attempt 1 retracted: say where\n"
        r"tell: done  \d+ in, \d+ out  \d+\.\d s\n"
        r"In Ulm there was\n"
        r"tell  +scripted .*\n"
        r"total .*",
        "\n".join(shown[-1]),
    )


def test_nothing_tentative_reaches_standard_output(screen: Cli) -> None:
    done = screen("run", "stories:again", "hello", piped=True)
    assert done.stdout == "In Ulm there was\n"
    assert told_rows(frames(done.stderr), "  Once upon")
    end = "\n".join(frames(done.stderr)[-1])
    assert "tell: attempt 1 retracted: say where" in end
    assert "tentative" not in end
    assert "Ulm" not in end


def test_the_simulated_api_is_shown_while_it_writes(screen: Cli, messages_api: MessagesAPI) -> None:
    messages_api.pace = Pace(between=0.2)
    messages_api.script("Once upon a time there was a ship", "In Ulm there was a ship")
    done = screen("run", "stories:asked", "hello")
    shown = frames(done.stderr)
    assert told_rows(shown, "  Once upon")
    assert told_rows(shown, "  In Ulm")
    end = "\n".join(shown[-1])
    assert "Once" not in end
    assert end.count("In Ulm there was a ship") == 1
    assert len(messages_api.bill) == 2


def test_an_answer_that_is_blocked_is_taken_away(screen: Cli) -> None:
    done = screen("run", "stories:never", "hello")
    assert done.returncode == 1
    shown = frames(done.stderr)
    assert told_rows(shown, "  Once upon")
    end = "\n".join(shown[-1])
    assert "Once" not in end
    assert "tell: attempt 1 retracted: the gate 'place' blocked the output: say where." in end
    assert "tell: failed" in end


def test_a_structured_answer_is_shown_as_it_is_written(screen: Cli) -> None:
    shown = frames(screen("run", "stories:typed", "hello").stderr)
    assert told_rows(shown, '  "sh')
    end = "\n".join(shown[-1])
    assert "shore" not in re.sub("(?m)^pick: attempt 1 retracted: .*$", "", end)
    assert '\n"ship"\n' in end


def test_of_an_inner_step_only_the_characters_are_counted(screen: Cli) -> None:
    shown = frames(screen("run", "stories:inner", "hello").stderr)
    assert not told_rows(shown, "tentative")
    assert not told_rows(shown, "Once")
    assert told_rows(shown, "5 characters")
    assert told_rows(shown, "draft: attempt 1 retracted: say where") == [
        rows for rows in shown if any("draft: attempt 1 retracted" in row for row in rows)
    ]


def test_a_lenient_verdict_leaves_a_line(screen: Cli) -> None:
    done = screen("run", "stories:lenient", "hello")
    assert done.returncode == 0
    end = "\n".join(frames(done.stderr)[-1])
    assert "tell: the gate 'place' would have blocked: say where\n" in end
    assert "\nOnce upon\n" in end


def test_a_lenient_wish_that_was_granted_is_no_verdict_to_tell(screen: Cli) -> None:
    end = "\n".join(frames(screen("run", "stories:both", "hello").stderr)[-1])
    assert "would have blocked" not in end
    assert "tell: attempt 1 retracted: say where" in end


def test_a_lenient_verdict_on_the_input_is_told_on_one_line(screen: Cli) -> None:
    end = frames(screen("run", "stories:strange", "hello").stderr)[-1]
    assert [row for row in end if row.startswith("input: ")] == [
        "input: a gate would have blocked: the input is strange"
    ]


def test_what_the_chain_prints_stands_in_lines_of_its_own(screen: Cli) -> None:
    shown = frames(screen("run", "stories:printing", "hello").stderr)
    end = shown[-1]
    at = end.index("one")
    assert end[at : at + 4] == ["one", "two", "three", "four"]
    assert "\n".join(end).count("Once") == 1
    assert not any("tentative" in row for row in end)


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 19, 40])
def test_a_narrow_terminal_keeps_what_is_drawn_in_its_rows(screen: Cli, columns: int) -> None:
    told = screen("run", "stories:again", "hello", columns=columns, piped=True).stderr
    shown = frames(told, columns)
    assert not any("Once" in row or "tentative" in row for row in shown[-1])
    if columns >= 19:
        assert told_rows(shown, "  Once upon")
    # A drawn row is never wider than the terminal, which would then be a row further down.
    for drawing in re.findall(r"\x1b\[\?7l(.*?)\x1b\[\?7h", told, re.DOTALL):
        plain = re.sub(r"\x1b\[\d+m", "", drawing)
        assert all(len(row) <= max(columns, 3) for row in plain.split("\n"))


def test_wide_characters_are_counted_as_wide(screen: Cli) -> None:
    told = screen("run", "stories:wide", "hello", columns=17, piped=True).stderr
    rows = [row for frame in frames(told, 17) for row in frame if row.startswith("  ")]
    text = "日本語の長い文章です" * 3
    assert "".join(rows[0].split()) in text
    assert any(len("".join(row.split())) == 7 for row in rows)
    for drawing in re.findall(r"\x1b\[\?7l(.*?)\x1b\[\?7h", told, re.DOTALL):
        plain = re.sub(r"\x1b\[\d+m", "", drawing)
        assert all(sum(map(cells, row)) < 17 for row in plain.split("\n"))


def test_a_tentative_reply_cannot_steer_the_terminal(screen: Cli) -> None:
    told = screen("run", "stories:hostile", "hello").stderr
    assert told_rows(frames(told), "  a\\x1b[2J\\x1b]0;title\\x07b\\x9b5Ac    d")
    assert "\x1b[2J" not in told
    assert "\x1b]" not in told
    assert "\x9b" not in told


def test_without_colors_the_heading_alone_says_that_text_is_tentative(screen: Cli) -> None:
    told = screen("run", "stories:again", "hello", env={"NO_COLOR": "1"}).stderr
    assert told_rows(frames(told), "tentative, attempt 1:")
    assert re.search(r"\x1b\[[\d;]*m", told) is None


def test_tentative_text_is_dimmed(screen: Cli) -> None:
    assert "\x1b[2m  Once upon\x1b[0m" in screen("run", "stories:again", "hello").stderr


def test_a_dumb_terminal_is_told_of_the_retraction_only(screen: Cli) -> None:
    told = screen("run", "stories:again", "hello", env={"TERM": "dumb"}).stderr
    assert "\x1b" not in told
    assert "\r" not in told
    assert "Once" not in told
    assert "tell: attempt 1 retracted: say where\n" in told


def test_quiet_and_a_pipe_are_told_nothing_of_what_was_retracted(screen: Cli, cli: Cli) -> None:
    assert screen("run", "stories:again", "hello", "--quiet").stderr == "In Ulm there was\n"
    piped = cli("run", "stories:again", "hello")
    assert piped.stdout == "In Ulm there was\n"
    assert "\x1b" not in piped.stderr
    assert "retracted" not in piped.stderr
    assert "Once" not in piped.stderr


def test_json_is_given_behind_what_was_tentative(screen: Cli) -> None:
    done = screen("run", "stories:again", "hello", "--json", piped=True)
    assert '"output": "In Ulm there was"' in done.stdout
    assert told_rows(frames(done.stderr), "  Once upon")


def test_an_interrupt_takes_tentative_text_away(place: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "promptchain", "run", "stories:endless", "hello"],
        cwd=place,
        env={**os.environ, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    told = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while data := os.read(master, 65_536):
            told += data
            if b"word word" in data:
                process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    os.close(master)
    shown = frames(told.decode().replace("\r\n", "\n"))
    assert told_rows(shown, "  word word")
    assert not any("word" in row or "tentative" in row for row in shown[-1])
    assert "interrupted" in shown[-1]
