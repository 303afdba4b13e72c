"""Processes that live now: children of one, and the wait for their end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

WAIT_S = 10.0


def children(pid: int) -> list[int]:
    """Returns the pids of the children that the process's threads have started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def lives(pid: int) -> bool:
    """Returns whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def have_ended(pids: Iterable[int]) -> bool:
    """Waits until none of the processes lives. Returns whether that has come about in time."""
    awaited, until = [*pids], time.monotonic() + WAIT_S
    while any(map(lives, awaited)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(lives, awaited))
