"""The display of sessions: plain lines, and one live line at a terminal."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from runner import display
from tests.support import terminals
from tests.support.processes import environment

SESSION = """
from runner import display
shown = display.choose()
shown.note("docker is away")
for _ in range(2):
    with shown.session("tiny 64 eager cpu", {expected}):
        shown.note("docker is away")
        shown.phase("load", 5.0)
        shown.note("waiting [1]")
        shown.phase("measure: wall", 65.0)
print("done")
"""


def at_terminal(columns: int, expected: str = "100.0", script: str = SESSION, **variables: str) -> str:
    """Returns what the display writes to a terminal of this width."""
    command = [sys.executable, "-c", script.format(expected=expected)]
    own = environment(**{"TERM": "xterm", "COLUMNS": str(columns), **variables})
    return terminals.written(columns, command, own, ("stdin", "stderr"), stdout=subprocess.PIPE)


def frames(text: str) -> list[str]:
    """Returns the states of the line, without control sequences."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r", text)
    return [" ".join(state.split()) for state in re.split(r"[\r\n]+", plain) if state.strip()]


@pytest.mark.medium
@pytest.mark.parametrize("columns", [80, 120])
def test_at_a_terminal_one_line_shows_phase_elapsed_and_expected_time(columns: int) -> None:
    text = at_terminal(columns, NO_COLOR="1")
    states = frames(text)
    assert states[0] == "note: docker is away"
    assert states.count("note: docker is away") == 1
    assert any(re.fullmatch(r"load [━╸]+ 5 s of about 1 min 40 s", each) for each in states)
    assert any(re.fullmatch(r"measure: wall [━╸]+ 1 min 5 s of about 1 min 40 s", each) for each in states)
    assert states.count("note: waiting [1]") == 1
    assert text.count("\n") == 4  # two notes, and the end of each removed line
    assert not re.search(r"\x1b\[[0-9;]*m", text)
    assert max(map(len, re.split(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n", text))) <= columns


@pytest.mark.medium
def test_without_an_earlier_session_nothing_is_expected() -> None:
    states = frames(at_terminal(80, "None"))
    assert "load 5 s elapsed" in states
    assert not any("about" in each for each in states)


@pytest.mark.medium
def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    lines = at_terminal(80, TERM="dumb").splitlines()
    assert lines == [
        "note: docker is away",
        "tiny 64 eager cpu: about 1 min 40 s, like the last such session",
        "[   5.0 s] load",
        "note: waiting [1]",
        "[  65.0 s] measure: wall",
        "tiny 64 eager cpu: about 1 min 40 s, like the last such session",
        "[   5.0 s] load",
        "[  65.0 s] measure: wall",
    ]


def test_without_rich_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert type(display.choose()) is display.Live
    assert type(display.choose(plain=True)) is display.Lines
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert type(display.choose()) is display.Lines


def test_into_a_file_there_are_lines_and_a_warning_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display.choose()
    with shown.session("tiny", None):
        shown.note("warning: gpu 1 is lost")
        shown.note("warning: gpu 1 is lost")
        shown.phase("import", 1.25)
    assert capsys.readouterr().err == "warning: gpu 1 is lost\n[   1.2 s] import\n"


def test_only_the_first_wait_of_a_command_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display.choose()
    for number in (1, 2):
        with shown.session("tiny", None):
            shown.wait(f"waiting for another session on this host (pid {number})")
    assert capsys.readouterr().err == "note: waiting for another session on this host (pid 1)\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3725.0, "1 h 2 min")])
def test_a_duration_has_minutes_from_sixty_seconds_on(seconds: float, text: str) -> None:
    assert display.duration(seconds) == text


NUMBERED = """
from runner import display
shown = display.choose()
shown.position("3/12")
with shown.session("tiny 64 eager cpu", {expected}):
    shown.phase("measure: wall", 65.0)
"""


@pytest.mark.medium
def test_one_of_many_sessions_is_named_in_each_phase() -> None:
    shown = frames(at_terminal(120, script=NUMBERED))
    assert {"3/12: tiny 64 eager cpu start", "3/12: tiny 64 eager cpu measure: wall"} <= {*shown}
    assert "1 min 5 s of about 1 min 40 s" in shown


@pytest.mark.medium
def test_plain_lines_have_the_number_of_the_session() -> None:
    assert "[  65.0 s] 3/12: measure: wall" in at_terminal(120, script=NUMBERED, TERM="dumb")
