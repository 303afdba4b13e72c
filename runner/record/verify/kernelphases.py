"""Checks the phases of a step that is one kernel: present, and possible by the record's own clocks and bytes."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from runner import registry
from runner.cell.fieldtypes import Absent
from runner.cell.jsonform import present_fields
from runner.record import judgement, phases
from runner.record.line import too_small
from runner.record.sections.passes import Phases
from runner.record.sessionrecord import MeasuredRecord
from runner.record.verify import kernelbuild, older

LEAST_MHZ, MOST_MHZ = 100, 5000
"""Clock rates of a multiprocessor that exist."""
MOST_SLOWDOWN = 1.25
"""Largest ratio of a step with clock stamps to a profiled step, medians of both. The median step of any committed
session has 0.90 to 0.95 times the clocks that the card's maximum would make in the profiled step's time."""
ROUNDING = 0.01
"""Largest distance of a sum of whole clocks from a whole number; in committed sessions it is 2e-6."""
ONCE = ("head",)
"""Phases that a step has once, and not in each layer."""


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line if a step of one kernel has no phases or another step has some, and for each fault in them."""
    is_one = registry.runtime(record.cell.runtime).DECLARATION.kernels_per_step is not None
    if isinstance(record.phases, Absent):
        if is_one and record.keys.code_key not in older.keys_without_phases():
            yield "phases: missing"
        return
    if not is_one:
        yield f"phases: a step of runtime {record.cell.runtime} is not one kernel"
    series: dict[str, tuple[float, ...]] = dict(present_fields(record.phases))
    if len({len(values) for values in series.values()}) > 1:
        yield "phases: the phases do not have the same number of steps"
    elif idle := [name for name, values in series.items() if not all(values)]:
        yield from (f"phases.{name}: no clock in a step" for name in idle)
    else:
        yield from _count_differences(series, kernelbuild.constants(record).get(kernelbuild.BLOCKS))
        if busy_ms := record.latency.step_busy_ms:
            yield from _rate_differences(record, [sum(step) for step in zip(*series.values(), strict=True)], busy_ms)
            yield from _speed_differences(record, record.phases, busy_ms)


def _count_differences(series: dict[str, tuple[float, ...]], blocks: int | None) -> Iterator[str]:
    """Yields a line for the first value of a phase that is not the mean of whole clocks over the blocks."""
    for name, values in series.items():
        for step, value in enumerate(values):
            if blocks and abs(value * blocks - round(value * blocks)) > ROUNDING:
                yield f"phases.{name}: {value:g} clocks in step {step} are no mean over {blocks} blocks"
                break


def _rate_differences(record: MeasuredRecord, steps: list[float], busy_ms: float) -> Iterator[str]:
    """Yields a line if the median step would need another clock rate than the card can have."""
    snapshots = (record.snapshots.before, record.snapshots.after)
    maxima = [snapshot.sm_clock_max_mhz for snapshot in snapshots if snapshot.sm_clock_max_mhz]
    most = MOST_SLOWDOWN * max(maxima) if maxima else MOST_MHZ
    mhz = median(steps) / busy_ms / 1e3
    if not LEAST_MHZ <= mhz <= most:
        yield (
            f"phases: a step of {busy_ms:g} ms would have {mhz:.0f} clocks in a microsecond, not within "
            f"{LEAST_MHZ} to {most:.0f}"
        )


def _speed_differences(record: MeasuredRecord, clocks: Phases, busy_ms: float) -> Iterator[str]:
    """Yields a line for each phase that is faster than reading its bytes."""
    times_ms = phases.phase_ms(clocks, busy_ms)
    for name, least in least_ms(record):
        yield from too_small(f"phases.{name}", times_ms[name], least, "reading its bytes takes, in ms")


def least_ms(record: MeasuredRecord) -> Iterator[tuple[str, float | None]]:
    """Yields each phase with the ms of reading its bytes at the datasheet's peak, without those that may have been on
    the chip when it began: as many as shared memory and L2 hold, in each layer. Yields nothing if these are unknown."""
    built, cached = kernelbuild.constants(record), record.gpu.last_level_cache_bytes
    if not cached or not {kernelbuild.BLOCKS, kernelbuild.LARGEST_SHARED} <= built.keys():
        return
    on_chip = built[kernelbuild.BLOCKS] * built[kernelbuild.LARGEST_SHARED] + cached
    for name, size in phases.phase_bytes(record).items():
        rounds = 1 if name in ONCE else record.model.shape.layers
        yield name, judgement.least_ms(record, size - rounds * on_chip)
