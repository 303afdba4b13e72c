"""The size of a record: the space that it needs at most, and the steps that one can have."""

from __future__ import annotations

from runner.cell.protocol import Protocol
from runner.errors import BadValue
from runner.record.record import MAXIMUM_BYTES

SECTIONS_BYTES = 1 << 16
"""Sections of a record without its series."""
STEP_BYTES = 224
"""A step of one window, in every pass: its times, and the chosen token with two errors."""
WINDOW_BYTES, WINDOW_STEP_BYTES = 512, 48
"""A further window of the wall pass, and a step of it, if its tokens differ from those of every other window."""


def most_bytes(counts: Protocol) -> int:
    """Returns more bytes than a record of this protocol has."""
    further = WINDOW_BYTES + counts.steps * WINDOW_STEP_BYTES
    return SECTIONS_BYTES + counts.steps * STEP_BYTES + (counts.windows - 1) * further


def most_windows(steps: int) -> int:
    """Returns the largest number of windows of so many steps whose record can be read; 0 if there is none."""
    further = WINDOW_BYTES + steps * WINDOW_STEP_BYTES
    return max(0, 1 + (MAXIMUM_BYTES - SECTIONS_BYTES - steps * STEP_BYTES) // further)


def is_readable(counts: Protocol) -> bool:
    """Returns whether every record of this protocol is small enough to be read."""
    return most_bytes(counts) <= MAXIMUM_BYTES


def check(counts: Protocol) -> None:
    """Raises BadValue if a record of this protocol might be too large to be read."""
    if is_readable(counts):
        return
    most = most_windows(counts.steps)
    advice = f"choose windows={most} or fewer" if most else "choose fewer steps"
    raise BadValue(f"{counts.counts} are too many for a record of at most {MAXIMUM_BYTES >> 20} MiB: {advice}")
