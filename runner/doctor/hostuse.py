"""Use of the host: whether a session is being measured now, and whether other programs use its processors."""

from __future__ import annotations

import time

from runner.doctor.finding import Finding, failed, note, ok
from runner.errors import DecodeFloorError
from runner.machine import host, hostlock
from runner.record.judgement import BUSY_HOST_CORES

HOST = "host"
SAMPLE_S = 0.3


def finding() -> Finding:
    """Returns who uses the host now."""
    try:
        holder = hostlock.holder()
    except DecodeFloorError as error:
        return failed(HOST, error)
    if holder is not None:
        return note(HOST, f"{holder} is being measured", "a command waits for its end")
    cores = _other_cores()
    if cores is None:
        return ok(HOST, "no session is being measured; the processors' use is not reported here")
    text = f"no session is being measured; other programs use {cores:.1f} of {host.cores()} cores"
    if cores > BUSY_HOST_CORES:
        return note(HOST, f"{text}: sessions would be flagged host-busy", "stop these programs, or wait until they end")
    return ok(HOST, text)


def _other_cores() -> float | None:
    """Returns the cores that other processes use during SAMPLE_S; None if /proc/stat does not say."""
    started = time.monotonic()
    before = host.busy_seconds()
    time.sleep(SAMPLE_S)
    after = host.busy_seconds()
    if before is None or after is None:
        return None
    return max(0.0, after[0] - before[0] - (after[1] - before[1])) / (time.monotonic() - started)
