"""``promptchain`` on a terminal: live progress, and nothing that would steer the terminal."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

Cli = Callable[..., subprocess.CompletedProcess[str]]

# What comes before and behind a line that is drawn again.
ERASE = "\r\x1b[J"
WHOLE, WRAPPED = r"\x1b\[\?7l", r"\x1b\[\?7h\r"


def test_each_step_shows_what_it_does_and_leaves_a_line(screen: Cli) -> None:
    done = screen("run", "chains:shown", "hello")
    assert done.returncode == 0
    lines = done.stderr.split(ERASE)
    drawn = re.compile(rf"{WHOLE}\x1b\[2mdraft: asking  scripted  \d+\.\d s\x1b\[0m{WRAPPED}")
    assert any(map(drawn.fullmatch, lines))
    assert any("draft: writing  scripted  7 characters" in line for line in lines)
    assert re.search(r"\x1b\[32mdraft: done  \d+ in, \d+ out  \d+\.\d s\x1b\[0m\n", done.stderr)


def test_the_answer_stands_between_the_progress_and_the_bill(screen: Cli) -> None:
    shown = screen("run", "chains:shown", "hello").stderr
    before, answer, after = shown.partition(f"{ERASE}final\n")
    assert answer
    assert "draft: done" in before
    assert ERASE not in after
    assert after.splitlines()[0].startswith("draft")
    assert after.splitlines()[-1].startswith("total")


def test_the_text_of_an_inner_step_is_never_shown(screen: Cli) -> None:
    assert "secret" not in screen("run", "chains:shown", "hello").stderr


def test_with_the_answer_elsewhere_progress_goes_on_until_the_end(screen: Cli) -> None:
    done = screen("run", "chains:shown", "hello", piped=True)
    assert done.stdout == "final\n"
    assert "final: writing" in done.stderr
    assert "final: done" in done.stderr


def test_quiet_shows_nothing_but_the_answer(screen: Cli) -> None:
    assert screen("run", "chains:shown", "hello", "--quiet").stderr == "printed by the module\nfinal\n"


def test_no_color_means_no_color(screen: Cli) -> None:
    shown = screen("run", "chains:shown", "hello", env={"NO_COLOR": "1"}).stderr
    assert "draft: writing" in shown
    assert re.search(r"\x1b\[[\d;]*m", shown) is None


def test_a_dumb_terminal_gets_whole_lines_only(screen: Cli) -> None:
    shown = screen("run", "chains:shown", "hello", env={"TERM": "dumb"}).stderr
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert re.search(r"^draft: done  \d+ in, \d+ out  \d+\.\d s$", shown, re.MULTILINE)


def test_the_live_line_fits_a_narrow_terminal(screen: Cli) -> None:
    shown = screen("run", "chains:shown", "hello", columns=30, env={"NO_COLOR": "1"}).stderr
    live = re.findall(rf"{WHOLE}(draft: writing.*?){WRAPPED}", shown)
    assert live
    assert {len(line) for line in live} == {29}
    assert all(line.endswith("...") for line in live)


def test_a_reply_cannot_steer_the_terminal(screen: Cli) -> None:
    shown = screen("run", "chains:hostile", "hello").stderr
    assert "a\\x1b]0;title\\x07b\\x0dc" in shown
    assert "\x1b]" not in shown


def test_a_reply_leaves_through_a_pipe_as_it_came(screen: Cli) -> None:
    assert screen("run", "chains:hostile", "hello", piped=True).stdout == "a\x1b]0;title\x07b\rc\n"


def test_a_failed_step_says_so_and_its_live_line_is_gone(screen: Cli) -> None:
    done = screen("run", "chains:gated", "hello", env={"NO_COLOR": "1"})
    assert done.returncode == 1
    assert re.search(r"^ask: failed  \d+ in, \d+ out  \d+\.\d s$", done.stderr.split(ERASE)[-1], re.MULTILINE)
    assert "\nerror: step 'ask': a gate blocked the output" in done.stderr


def test_without_an_input_a_terminal_is_not_read(screen: Cli) -> None:
    done = screen("run", "chains:echo")
    assert done.returncode == 2
    assert "usage: promptchain run" in done.stderr
    assert "error: there is no input" in done.stderr
