"""The start of a command, which it receives from the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner import store


@dataclass(frozen=True)
class Start:
    """The start of the command: its time, in milliseconds since the epoch, its MLflow run, if any, and the empty object
    that a command fills for `--json`."""

    ms: int
    run: store.EntryRun | None
    result: dict[str, Any]
