"""A cool-down between sessions: a hot card would make the session after it slower than the one before."""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.machine import nvml

HOT_C, COOL_C = 75, 65
LONGEST_WAIT_S = 180.0
POLL_S = 5.0


def cool_down(uuid: str | None, on_progress: Callable[[str, float], None]) -> float:
    """Wait while the card is hot, until it is cool again or for LONGEST_WAIT_S; returns the seconds waited.

    On a CPU, and where the card does not tell its temperature, nothing is waited for.
    """
    temperature = _temperature_c(uuid)
    if temperature is None or temperature < HOT_C:
        return 0.0
    started = time.monotonic()
    while (waited := time.monotonic() - started) < LONGEST_WAIT_S:
        on_progress(f"cooling down from {temperature} to {COOL_C} °C", waited)
        time.sleep(POLL_S)
        temperature = _temperature_c(uuid)
        if temperature is None or temperature <= COOL_C:
            break
    return round(time.monotonic() - started, 1)


def _temperature_c(uuid: str | None) -> float | None:
    return None if uuid is None else nvml.snapshot(uuid).temperature_c
