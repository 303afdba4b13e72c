"""What the worker tells the parent while it runs: lines on standard output that begin with a mark.

Everything else the process prints is kept by the parent as its last output. Nothing is written inside a timed window.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from runner.job import ERROR_MARK, PHASE_MARK


class Clock:
    """Announces phases and keeps how many seconds each took, and the session as a whole.

    `started_ms` is when the command began, in milliseconds since the epoch. From here on a monotonic clock counts, so
    that a host's clock that is set meanwhile moves no time of the record.
    """

    def __init__(self, started_ms: int) -> None:
        self._started_ms = started_ms
        self._before_s = max(0.0, time.time() - started_ms / 1e3)
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {"start": self._before_s}

    def total_s(self) -> float:
        """Returns the seconds since the command began."""
        return self._before_s + time.monotonic() - self._began

    def now_ms(self) -> int:
        """Returns the time in milliseconds since the epoch."""
        return self._started_ms + int(self.total_s() * 1e3)

    def say(self, text: str) -> None:
        """Tell the person at the terminal."""
        print(PHASE_MARK + text, flush=True)

    @contextmanager
    def phase(self, name: str, announce: str | None = None) -> Iterator[None]:
        """Time a phase under `name`; `announce` is what the person at the terminal reads."""
        if announce is not None:
            self.say(announce)
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def report_error(reason: str, exit_code: int, message: str) -> None:
    """Tell the parent why no record will come; it writes the record of the failure."""
    print(ERROR_MARK + json.dumps({"reason": reason, "exit_code": exit_code, "message": message}), flush=True)
