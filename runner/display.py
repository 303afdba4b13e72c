"""The display of running sessions on standard error: one live line at a terminal, plain lines elsewhere.

It changes when a session enters a phase and at no other time: nothing may wake this process while steps are timed. The
elapsed time is therefore that of the phase's start.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from runner import terminal
from runner.errors import DecodeFloorError, PipeClosed

if TYPE_CHECKING:
    from rich.progress import Progress

    from runner.launch.session import Display

PHASE_WIDTH = 30
"""Columns for the phase, whose name changes while the bar keeps its place."""
START = "start"


class Lines:
    """A `session.Display` of one line for each phase and each note. A note is printed once."""

    def __init__(self) -> None:
        self._noted: set[str] = set()
        self._has_waited = False
        self._position = ""

    @contextmanager
    def session(self, title: str, expected_s: float | None) -> Iterator[None]:
        if expected_s is not None:
            terminal.say(f"{title}: about {duration(expected_s)}, like the last such session")
        yield

    def position(self, text: str) -> None:
        self._position = f"{text}: "

    def note(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._say(text if text.startswith("warning: ") else f"note: {text}")

    def wait(self, text: str) -> None:
        if not self._has_waited:
            self._has_waited = True
            self.note(text)

    def phase(self, name: str, elapsed_s: float) -> None:
        self._say(f"[{elapsed_s:6.1f} s] {self._position}{name}")

    def _say(self, line: str) -> None:
        terminal.say(line)


class Live(Lines):
    """A `session.Display` of one line that is drawn again in each phase and removed when the session ends.

    A terminal that can no longer be written to is ignored, as `terminal.say` does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None
        self._expected_s: float | None = None

    @contextmanager
    def session(self, title: str, expected_s: float | None) -> Iterator[None]:
        # a command of many sessions says which one it is, also after the first phase
        which = f"{self._position}{title}" if self._position else ""
        self._progress, self._expected_s = _progress(expected_s, which), expected_s
        try:
            self.phase(START if which else title, 0.0)
            yield
        finally:
            progress, self._progress = self._progress, None
            with suppress(DecodeFloorError, PipeClosed, OSError):
                progress.stop()

    def phase(self, name: str, elapsed_s: float) -> None:
        if self._progress is None:
            super().phase(name, elapsed_s)
            return
        total_s, (task,) = self._expected_s, self._progress.task_ids
        done_s = elapsed_s if total_s is None else min(elapsed_s, total_s)
        with suppress(DecodeFloorError, PipeClosed, OSError):
            self._progress.start()
            self._progress.update(task, description=name, completed=done_s, time=_times(elapsed_s, total_s))
            self._progress.refresh()

    def _say(self, line: str) -> None:
        if self._progress is None:
            super()._say(line)
            return
        with suppress(DecodeFloorError, PipeClosed, OSError):
            # rich prints it above the live line
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def choose(plain: bool = False) -> Display:
    """Returns the live display at a terminal that can move its cursor, if rich is installed, or else plain lines."""
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    return Live() if is_terminal and not plain and importlib.util.find_spec("rich") is not None else Lines()


def _progress(expected_s: float | None, which: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column

    one_line = Column(no_wrap=True, overflow="ellipsis")
    session = (TextColumn("{task.fields[session]}", table_column=one_line, markup=False),) if which else ()
    phase = TextColumn("{task.description}", table_column=Column(width=PHASE_WIDTH, no_wrap=True), markup=False)
    times = TextColumn("{task.fields[time]}", table_column=Column(no_wrap=True), markup=False)
    bar: tuple[ProgressColumn, ...] = () if expected_s is None else (BarColumn(bar_width=16),)
    progress = Progress(
        *(*session, phase, *bar, times),
        console=Console(file=sys.stderr),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    progress.add_task("", total=expected_s, time="", session=which)
    return progress


def _times(elapsed_s: float, expected_s: float | None) -> str:
    elapsed = duration(elapsed_s)
    return f"{elapsed} elapsed" if expected_s is None else f"{elapsed} of about {duration(expected_s)}"


def duration(seconds: float) -> str:
    """Returns a duration in words: `42 s`, `6 min 5 s`, `2 h 24 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
