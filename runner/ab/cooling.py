"""Cool-down between sessions: a hot card slows the next session down."""

from __future__ import annotations

import time
from collections.abc import Callable

from runner.machine import nvml

HOT_C, COOL_C = 75, 65
LONGEST_WAIT_S = 180.0
POLL_S = 5.0


def cool_down(uuid: str | None, on_progress: Callable[[str, float], None]) -> float:
    """Waits until a card of HOT_C or more has cooled to COOL_C, at most LONGEST_WAIT_S. Returns the seconds waited.

    Does not wait on a CPU (`uuid` is None) or for a card that does not report its temperature.
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
