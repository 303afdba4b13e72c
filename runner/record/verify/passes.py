"""The timed passes and the table of kernels: all that the cell and protocol dictate, and what holds inside one pass.

Between passes nothing is an error: they are different runs (`flags.PASSES_DISAGREE` marks those far apart).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from statistics import mean, median
from typing import Any

from runner.cell.vocabulary import CPU, CUDA
from runner.record import judgement
from runner.record.verify import copies
from runner.record.verify.line import below

PASSES = {CPU: ("wall",), CUDA: ("wall", "span", "rate", "busy")}
OTHERS, SUMMED_ROWS = "(others)", 24  # the last row of a long profile, and how many a short one has at most
COUNT_ROUNDING = 0.005
US_ROUNDING = 0.005
SAME_TIME = 1e-6  # relative: what rounding does to a time

Record = Mapping[str, Any]


def device_kind(cell: Record) -> str:
    """Returns `cpu` or `cuda`."""
    return CPU if cell["gpu"] == CPU else CUDA


def pass_names(cell: Record) -> tuple[str, ...]:
    """The timed passes of a cell's session: only a growing cache has lengths to visit again."""
    return (*PASSES[device_kind(cell)], *(("revisit",) if cell["cache"] == "dynamic" else ()))


def differences(found: Record) -> Iterator[str]:
    """Yields a line for each pass that is missing, damaged, or whose own figures contradict each other."""
    yield from _series_differences(found)
    yield from _kernel_differences(found)
    yield from _profile_differences(found)
    yield from _twin_differences(found["passes"])
    yield from _repeat_differences(found["passes"])
    yield from _speed_differences(found)


def _series_differences(found: Record) -> Iterator[str]:
    expected, steps = pass_names(found["cell"]), found["protocol"]["steps"]
    for name in expected:
        if name not in found["passes"]:
            yield f"passes.{name}: missing"
    for name, window in found["passes"].items():
        if name not in expected:
            yield f"passes.{name}: a session of this cell has no such pass"
        for series, values in window.items():
            if isinstance(values, list | tuple) and len(values) != steps:
                yield f"passes.{name}.{series}: {len(values)} steps, the protocol says {steps}"
    if bool(found["kernels"]) != ("busy" in expected):
        yield f"kernels: {len(found['kernels'])} rows; a profiled pass leaves some, a CPU none"


def _kernel_differences(found: Record) -> Iterator[str]:
    """The table of kernels adds up to the profiled pass: to as many kernels, and to no less than they were busy."""
    rows, busy = found["kernels"], found["passes"].get("busy")
    if not busy or not is_complete(rows):
        return
    counted = sum(row["count"] for row in rows)
    if abs(counted - mean(busy["kernels"])) > COUNT_ROUNDING * (len(rows) + 1):
        yield f"kernels: {counted:g} a step in all rows, {median(busy['kernels']):g} in passes.busy"
    longest_us = 1e3 * max(busy["span_ms"])
    for row in rows:
        if row["us"] > (row["count"] + COUNT_ROUNDING) * longest_us:
            yield f"kernels: {row['us']:g} us of {row['name'][:40]} in {row['count']:g} runs, longer than a whole step"
    added_ms, rounding_ms = sum(row["us"] for row in rows) / 1e3, US_ROUNDING * (len(rows) + 1) / 1e3
    if added_ms + rounding_ms < mean(busy["steps_ms"]) * (1 - SAME_TIME):
        yield f"kernels: {added_ms:g} ms in all rows, less than the {mean(busy['steps_ms']):g} ms in which any ran"


def is_complete(rows: list[Record]) -> bool:
    """Returns whether a table of kernels has all of them: a long one sums up the rest in its last row."""
    return bool(rows) and (rows[-1]["name"] == OTHERS or len(rows) <= SUMMED_ROWS)


def _profile_differences(found: Record) -> Iterator[str]:
    """Inside a profiled step, kernels are busy no longer than from the first one's start to the last one's end."""
    busy = found["passes"].get("busy", {})
    for step, (ran, span) in enumerate(zip(busy.get("steps_ms", ()), busy.get("span_ms", ()), strict=False)):
        if ran > span * (1 + SAME_TIME):
            yield f"passes.busy: kernels ran {ran:g} ms of step {step}, which took {span:g} ms"
            return


def _series_of(passes: Record) -> dict[str, list[float]]:
    series = {f"passes.{name}": list(window["steps_ms"]) for name, window in passes.items() if "steps_ms" in window}
    return series | ({"passes.busy.span_ms": list(passes["busy"]["span_ms"])} if "busy" in passes else {})


def _twin_differences(passes: Record) -> Iterator[str]:
    """Two passes are two runs, and do not have the same steps."""
    for (one, ours), (other, theirs) in combinations(_series_of(passes).items(), 2):
        if how := copies.likeness(ours, theirs):
            yield f"{other}: {how} of {one}"


def _repeat_differences(passes: Record) -> Iterator[str]:
    """A pass is one run, and does not go through the same steps again and again."""
    for name, steps in _series_of(passes).items():
        if period := copies.period(steps):
            yield f"{name}: the same {period} steps again and again"


def _speed_differences(found: Record) -> Iterator[str]:
    """No pass is faster than the bytes of its steps can be read at the datasheet's peak. `wall` is judged by its
    r_floor, which makes a session invalid."""
    least = judgement.least_ms(found, found["bytes"]["streamed"])
    for name, window in found["passes"].items():
        if name != "wall":
            yield from below(f"passes.{name}", _step_ms(found, window), least, "the floor in ms")


def _step_ms(found: Record, window: Record) -> float:
    if "steps_ms" in window:
        return float(median(window["steps_ms"]))
    return float(window["total_ms"] / found["protocol"]["steps"])
