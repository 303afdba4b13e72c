"""Messages from the worker to the parent: lines on standard output that begin with a mark.

The parent stores all other lines as the worker's last output. Nothing is written inside a timed window.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from runner.job import ERROR_MARK, PHASE_MARK


class Clock:
    """Announces phases, and measures the seconds of each and of the whole session.

    `started_ms` is the start of the command, in milliseconds since the epoch, and `started_s` the same moment on the
    monotonic clock of the host, so that setting the host's clock does not change the record's times.
    """

    def __init__(self, started_ms: int, started_s: float) -> None:
        self._started_ms = started_ms
        self._before_s = max(0.0, time.monotonic() - started_s)
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {"start": self._before_s}

    def total_s(self) -> float:
        """Returns the seconds since the command began."""
        return self._before_s + time.monotonic() - self._began

    def now_ms(self) -> int:
        """Returns the start of the command plus the monotonic time since then, in milliseconds since the epoch."""
        return self._started_ms + int(self.total_s() * 1e3)

    def print_progress(self, text: str) -> None:
        """Prints a progress line for the person at the terminal."""
        print(PHASE_MARK + text, flush=True)

    @contextmanager
    def phase(self, name: str, announce: str | None = None) -> Iterator[None]:
        """Adds the seconds of the block to the phase `name`. `announce` is a progress line, printed at the start."""
        if announce is not None:
            self.print_progress(announce)
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def report_error(reason: str, exit_code: int, message: str) -> None:
    """Reports to the parent why the worker writes no record. The parent then writes the record of the failure."""
    print(ERROR_MARK + json.dumps({"reason": reason, "exit_code": exit_code, "message": message}), flush=True)
