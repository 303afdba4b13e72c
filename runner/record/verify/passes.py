"""Checks the timed passes and the table of kernels: presence and length, and consistency inside each pass.

Differences between passes are no errors, since passes are different runs. The flag `flags.PASSES_DISAGREE` marks large
ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from statistics import mean, median

from runner.cell.cell import Cell
from runner.cell.jsonform import present_fields
from runner.cell.protocol import Protocol
from runner.cell.vocabulary import CPU, CUDA
from runner.counts import counted
from runner.record import judgement
from runner.record.line import too_small
from runner.record.sections.passes import (
    OTHERS,
    SUMMARY_ROWS,
    BusyPass,
    HostPass,
    KernelTime,
    Passes,
    RatePass,
    StepwisePass,
    TimedPass,
    WindowedPass,
    timed_passes,
)
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify import copies

PASSES = {CPU: ("wall",), CUDA: ("wall", "span", "rate", "busy")}
COUNT_ROUNDING = 0.005
US_ROUNDING = 0.005
SAME_TIME = 1e-6  # relative rounding error of a time


OBSERVED = ("voluntary_switches", "involuntary_switches", "cpu_mhz")
"""Facts about the host: a record has all of them or, if it is older, none."""
PER_WINDOW = ("cpu_mhz", "windows_us")
"""Series with one value per window, and not per step."""


def device_kind(cell: Cell) -> str:
    """Returns `cpu` or `cuda`."""
    return CPU if cell.gpu == CPU else CUDA


def pass_names(cell: Cell) -> tuple[str, ...]:
    """Returns the names of the timed passes of a cell. Only a dynamic cache has a second visit to each length."""
    return (*PASSES[device_kind(cell)], *(("revisit",) if cell.cache == "dynamic" else ()))


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each pass that is missing, incomplete, or inconsistent."""
    yield from _series_differences(record)
    if record.passes.busy:
        if is_complete(record.kernels):
            yield from _kernel_differences(record.kernels, record.passes.busy)
        yield from _profile_differences(record.passes.busy)
    yield from _twin_differences(record.passes)
    yield from _repeat_differences(record.passes)
    yield from _speed_differences(record)


def _series_differences(record: MeasuredRecord) -> Iterator[str]:
    expected, passes = pass_names(record.cell), timed_passes(record.passes)
    for name in expected:
        if name not in passes:
            yield f"passes.{name}: missing"
    for name, window in passes.items():
        if name not in expected:
            yield f"passes.{name}: a session of this cell has no such pass"
        yield from _length_differences(name, window, record.protocol)
        if isinstance(window, HostPass):
            present = [series for series, _ in present_fields(window) if series in OBSERVED]
            if len(present) not in ((len(OBSERVED),) if isinstance(window, WindowedPass) else (0, len(OBSERVED))):
                yield f"passes.{name}: without {', '.join(series for series in OBSERVED if series not in present)}"
    if bool(record.kernels) != ("busy" in expected):
        yield f"kernels: {len(record.kernels)} rows, expected {'some' if 'busy' in expected else 'none'}"


def _length_differences(name: str, timed: TimedPass, protocol: Protocol) -> Iterator[str]:
    """Yields a line for each series of a pass that has another number of windows or steps than the protocol."""
    windows = protocol.windows if name == "wall" else 1
    steps = protocol.steps if name == "wall" else protocol.other_steps
    if isinstance(timed, HostPass) and isinstance(timed, WindowedPass) != (windows > 1):
        form = "windows_us" if windows == 1 else "steps_ms"
        yield f"passes.{name}.{form}: the protocol says {counted(windows, 'window')}"
    for series, values in present_fields(timed):
        if series in PER_WINDOW and values is not None and len(values) != windows:
            yield f"passes.{name}.{series}: {counted(len(values), 'window')}, the protocol says {windows}"
        if isinstance(values, tuple) and series not in PER_WINDOW and len(values) != steps:
            yield f"passes.{name}.{series}: {len(values)} steps, the protocol says {steps}"
    if isinstance(timed, WindowedPass):
        for number, window in enumerate(timed.windows_us):
            if len(window) != steps:
                yield f"passes.{name}.windows_us[{number}]: {len(window)} steps, the protocol says {steps}"


def _kernel_differences(rows: Sequence[KernelTime], busy: BusyPass) -> Iterator[str]:
    """Yields a line if the table of kernels does not add up to the profiled pass's number of kernels and busy time."""
    counted = sum(row.count for row in rows)
    if abs(counted - mean(busy.kernels)) > COUNT_ROUNDING * (len(rows) + 1):
        yield f"kernels: {counted:g} per step in all rows, but {median(busy.kernels):g} in passes.busy"
    longest_us = 1e3 * max(busy.span_ms)
    for row in rows:
        if row.us > (row.count + COUNT_ROUNDING) * longest_us:
            yield f"kernels: {row.us:g} us of {row.name[:40]} in {row.count:g} launches, longer than the longest step"
    added_ms, rounding_ms = sum(row.us for row in rows) / 1e3, US_ROUNDING * (len(rows) + 1) / 1e3
    if added_ms + rounding_ms < mean(busy.steps_ms) * (1 - SAME_TIME):
        yield f"kernels: {added_ms:g} ms in all rows, less than the busy time of {mean(busy.steps_ms):g} ms"


def is_complete(rows: Sequence[KernelTime]) -> bool:
    """Returns whether the table covers all kernels. A long one sums up the rest in its last row."""
    return bool(rows) and (rows[-1].name == OTHERS or len(rows) <= SUMMARY_ROWS)


def _profile_differences(busy: BusyPass) -> Iterator[str]:
    """Yields a line for the first profiled step whose busy time exceeds its span, or whose one kernel was shorter."""
    series = zip(busy.steps_ms, busy.span_ms, busy.kernels, strict=False)
    for step, (busy_ms, span_ms, kernels) in enumerate(series):
        if busy_ms > span_ms * (1 + SAME_TIME):
            yield f"passes.busy: kernels ran {busy_ms:g} ms of step {step}, which took {span_ms:g} ms"
            return
        if kernels == 1 and busy_ms < span_ms * (1 - SAME_TIME):
            yield f"passes.busy: the one kernel of step {step} ran {busy_ms:g} ms, but the step took {span_ms:g} ms"
            return


def _step_series(passes: Passes) -> dict[str, tuple[float, ...]]:
    series = {
        place: steps
        for name, timed in timed_passes(passes).items()
        if not isinstance(timed, RatePass)
        for place, steps in _windows(f"passes.{name}", timed)
    }
    # a step of one kernel is busy for its whole span
    spans = passes.busy if passes.busy and set(passes.busy.kernels) != {1} else None
    return series | ({"passes.busy.span_ms": spans.span_ms} if spans else {})


def _windows(place: str, timed: StepwisePass) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yields place and steps in ms of each window of a pass."""
    if not isinstance(timed, WindowedPass):
        yield place, timed.steps_ms
        return
    for number, steps in enumerate(timed.windows_ms):
        yield f"{place}.windows_us[{number}]", steps


def _twin_differences(passes: Passes) -> Iterator[str]:
    """Yields a line for each pass with the steps of another one, compared over the shorter length, and for each window
    with the steps of an earlier one."""
    series = _step_series(passes)
    windows = dict(_windows("passes.wall", passes.wall)) if isinstance(passes.wall, WindowedPass) else {}
    others = {name: steps for name, steps in series.items() if name not in windows}
    for (first, ours), (second, theirs) in (
        *product(windows.items(), others.items()),
        *combinations(others.items(), 2),
    ):
        if kind_of_copy := copies.likeness(ours[: len(theirs)], theirs[: len(ours)]):
            yield f"{second}: {kind_of_copy} as {first}"
    seen = copies.KnownSeries()
    for name, steps in windows.items():
        # a few steps in whole microseconds are equal by chance in two of many windows
        if len(steps) >= copies.MINIMUM_STEPS and (original := seen.add(name, steps)):
            yield f"{name}: {original[1]} as {original[0]}"


def _repeat_differences(passes: Passes) -> Iterator[str]:
    """Yields a line for each pass that repeats the same steps."""
    for name, steps in _step_series(passes).items():
        if period := copies.period(steps):
            yield f"{name}: repeats the same {period} steps"


def _speed_differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each pass that is faster than reading the step's bytes at the datasheet's peak. `wall` is not
    included: its r_floor makes a session invalid."""
    least, steps = judgement.least_ms(record, record.bytes.streamed), record.protocol.other_steps
    for name, window in timed_passes(record.passes).items():
        if name != "wall":
            yield from too_small(f"passes.{name}", _step_ms(window, steps), least, "the floor in ms")


def _step_ms(window: TimedPass, steps: int) -> float:
    return window.total_ms / steps if isinstance(window, RatePass) else median(window.steps_ms)
