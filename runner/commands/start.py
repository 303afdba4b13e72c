"""The start of a command, which it receives from the program."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from runner import store


@dataclass(frozen=True)
class Start:
    """The start of the command: its time on the clock of `time.monotonic`, its MLflow run, if any, and the empty object
    that a command fills for `--json`."""

    monotonic_s: float
    run: store.EntryRun | None
    result: dict[str, Any]

    @property
    def ms(self) -> int:
        """Returns the start in milliseconds since the epoch, by the host's clock as it is set now."""
        return int((time.time() - (time.monotonic() - self.monotonic_s)) * 1000)
