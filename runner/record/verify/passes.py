"""The timed passes and the table of kernels: all that the cell and protocol dictate, and what holds inside one pass.

Between passes nothing is an error: they are different runs (`flags.PASSES_DISAGREE` marks those far apart).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from statistics import mean, median
from typing import TypeAlias

from runner.cell.cell import Cell
from runner.cell.jsonform import stated
from runner.cell.vocabulary import CPU, CUDA
from runner.record import judgement
from runner.record.line import below
from runner.record.sections.passes import BusyPass, KernelTime, Passes, RatePass, SpanPass, WallPass
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify import copies

TimedPass: TypeAlias = WallPass | SpanPass | RatePass | BusyPass

PASSES = {CPU: ("wall",), CUDA: ("wall", "span", "rate", "busy")}
OTHERS, SUMMED_ROWS = "(others)", 24  # the last row of a long profile, and how many a short one has at most
COUNT_ROUNDING = 0.005
US_ROUNDING = 0.005
SAME_TIME = 1e-6  # relative: what rounding does to a time


def device_kind(cell: Cell) -> str:
    """Returns `cpu` or `cuda`."""
    return CPU if cell.gpu == CPU else CUDA


def pass_names(cell: Cell) -> tuple[str, ...]:
    """Returns the timed passes of a cell's session: only a growing cache has lengths to visit again."""
    return (*PASSES[device_kind(cell)], *(("revisit",) if cell.cache == "dynamic" else ()))


def timed(passes: Passes) -> dict[str, TimedPass]:
    """Returns the passes that a record has, by name."""
    return dict(stated(passes))


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each pass that is missing, damaged, or whose own figures contradict each other."""
    yield from _series_differences(record)
    if record.passes.busy:
        if is_complete(record.kernels):
            yield from _kernel_differences(record.kernels, record.passes.busy)
        yield from _profile_differences(record.passes.busy)
    yield from _twin_differences(record.passes)
    yield from _repeat_differences(record.passes)
    yield from _speed_differences(record)


def _series_differences(record: MeasuredRecord) -> Iterator[str]:
    expected, steps, passes = pass_names(record.cell), record.protocol.steps, timed(record.passes)
    for name in expected:
        if name not in passes:
            yield f"passes.{name}: missing"
    for name, window in passes.items():
        if name not in expected:
            yield f"passes.{name}: a session of this cell has no such pass"
        for series, values in stated(window):
            if isinstance(values, tuple) and len(values) != steps:
                yield f"passes.{name}.{series}: {len(values)} steps, the protocol says {steps}"
    if bool(record.kernels) != ("busy" in expected):
        yield f"kernels: {len(record.kernels)} rows; a profiled pass leaves some, a CPU none"


def _kernel_differences(rows: Sequence[KernelTime], busy: BusyPass) -> Iterator[str]:
    """The table of kernels adds up to the profiled pass: to as many kernels, and to no less than they were busy."""
    counted = sum(row.count for row in rows)
    if abs(counted - mean(busy.kernels)) > COUNT_ROUNDING * (len(rows) + 1):
        yield f"kernels: {counted:g} a step in all rows, {median(busy.kernels):g} in passes.busy"
    longest_us = 1e3 * max(busy.span_ms)
    for row in rows:
        if row.us > (row.count + COUNT_ROUNDING) * longest_us:
            yield f"kernels: {row.us:g} us of {row.name[:40]} in {row.count:g} runs, longer than a whole step"
    added_ms, rounding_ms = sum(row.us for row in rows) / 1e3, US_ROUNDING * (len(rows) + 1) / 1e3
    if added_ms + rounding_ms < mean(busy.steps_ms) * (1 - SAME_TIME):
        yield f"kernels: {added_ms:g} ms in all rows, less than the {mean(busy.steps_ms):g} ms in which any ran"


def is_complete(rows: Sequence[KernelTime]) -> bool:
    """Returns whether a table of kernels has all of them: a long one sums up the rest in its last row."""
    return bool(rows) and (rows[-1].name == OTHERS or len(rows) <= SUMMED_ROWS)


def _profile_differences(busy: BusyPass) -> Iterator[str]:
    """Inside a profiled step, kernels are busy no longer than from the first one's start to the last one's end."""
    for step, (ran, span) in enumerate(zip(busy.steps_ms, busy.span_ms, strict=False)):
        if ran > span * (1 + SAME_TIME):
            yield f"passes.busy: kernels ran {ran:g} ms of step {step}, which took {span:g} ms"
            return


def _series_of(passes: Passes) -> dict[str, tuple[float, ...]]:
    windows = ((f"passes.{name}", window) for name, window in timed(passes).items())
    series = {place: window.steps_ms for place, window in windows if not isinstance(window, RatePass)}
    return series | ({"passes.busy.span_ms": passes.busy.span_ms} if passes.busy else {})


def _twin_differences(passes: Passes) -> Iterator[str]:
    """Two passes are two runs, and do not have the same steps."""
    for (one, ours), (other, theirs) in combinations(_series_of(passes).items(), 2):
        if how := copies.likeness(ours, theirs):
            yield f"{other}: {how} of {one}"


def _repeat_differences(passes: Passes) -> Iterator[str]:
    """A pass is one run, and does not go through the same steps again and again."""
    for name, steps in _series_of(passes).items():
        if period := copies.period(steps):
            yield f"{name}: the same {period} steps again and again"


def _speed_differences(record: MeasuredRecord) -> Iterator[str]:
    """No pass is faster than the bytes of its steps can be read at the datasheet's peak. `wall` is judged by its
    r_floor, which makes a session invalid."""
    least = judgement.least_ms(record, record.bytes.streamed)
    for name, window in timed(record.passes).items():
        if name != "wall":
            yield from below(f"passes.{name}", _step_ms(window, record.protocol.steps), least, "the floor in ms")


def _step_ms(window: TimedPass, steps: int) -> float:
    return window.total_ms / steps if isinstance(window, RatePass) else median(window.steps_ms)
