"""Checks the readings of energy: complete, in order, physically possible, and enough of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from runner.cell.vocabulary import CPU, ON
from runner.record import energy as rules
from runner.record import judgement
from runner.record.line import too_large, too_small
from runner.record.sections.energy import COUNTER, Energy, NoEnergy, Readings, Stretch
from runner.record.sessionrecord import MeasuredRecord

POWER_SLACK = 1.2
"""Mean power over a stretch, as a multiple of the enforced limit, that no card takes."""
LENGTH_SLACK_S = 30.0
"""A stretch ends at the first reading after its longest time; a step of a large cell may take seconds."""
REASONS = "sorted, each once"


def differences(record: MeasuredRecord) -> Iterator[str]:
    """Yields a line for each reading that is missing, impossible, or contradicts the rest of the record."""
    is_requested = record.request.get("energy") == ON
    if bool(record.energy) != is_requested:
        yield f"energy: {'missing, but' if is_requested else 'present, but not'} requested"
    if record.energy and record.cell.gpu == CPU:
        yield "energy: present, but the cell is on a CPU"
    if bool(record.cost_s.energy) and not record.energy:
        yield "cost_s.energy: present, but the record has no section energy"
    if isinstance(record.energy, NoEnergy) and not record.energy.unavailable:
        yield "energy.unavailable: empty"
    if isinstance(record.energy, Energy):
        yield from _section_differences(record, record.energy)


def _section_differences(record: MeasuredRecord, energy: Energy) -> Iterator[str]:
    yield from _source_differences(energy)
    yield from _stretch_differences(record, "idle", energy.idle)
    yield from _stretch_differences(record, "steps", energy.steps)
    yield from _length_differences(energy)
    steps = energy.steps
    least_ms = judgement.least_ms(record, record.bytes.streamed)
    yield from too_small("energy.steps", rules.step_ms(steps), least_ms, "the floor in ms, the time of a step")
    yield from too_large("energy.steps.gaps_s", steps.gaps_s, steps.seconds, "the stretch has")
    # the stretch may begin and end between two restarts
    if abs(steps.restarts - steps.count / record.protocol.steps) > 1:
        yield f"energy.steps.restarts: {steps.restarts} in {steps.count} steps, {record.protocol.steps} from each"
    measured_s = energy.idle.seconds + steps.seconds + (rules.seconds(energy.changes) if energy.changes else 0.0)
    yield from too_small("cost_s.energy", record.cost_s.energy or 0.0, measured_s, "its stretches took")


def _source_differences(energy: Energy) -> Iterator[str]:
    """Yields a line for each series of readings that is not of the section's source, or not complete."""
    counts = energy.source == COUNTER
    series = {"changes": energy.changes, "idle": energy.idle, "steps": energy.steps}
    if bool(energy.changes) != counts:
        yield f"energy.changes: {'missing' if counts else 'present, but power samples have none'}"
    for name, readings in series.items():
        if isinstance(readings, Readings):
            yield from _reading_differences(f"energy.{name}", readings, counts)
    if energy.changes and len(energy.changes.at_s) <= rules.FEWEST_CHANGES:
        yield f"energy.changes: {len(energy.changes.at_s) - 1} intervals, {rules.FEWEST_CHANGES} are needed"


def _reading_differences(place: str, readings: Readings, counts: bool) -> Iterator[str]:
    present, absent = ("counter_mj", "power_w") if counts else ("power_w", "counter_mj")
    values = getattr(readings, present) or ()
    if getattr(readings, absent):
        yield f"{place}.{absent}: present, but the source is another"
    if len(values) != len(readings.at_s):
        yield f"{place}.{present}: {len(values)} readings at {len(readings.at_s)} times"
    if readings.at_s[0] or any(after <= before for before, after in pairwise(readings.at_s)):
        yield f"{place}.at_s: not increasing from 0"
    if counts and values and (values[0] or any(after < before for before, after in pairwise(values))):
        yield f"{place}.counter_mj: not growing from 0"


def _stretch_differences(record: MeasuredRecord, name: str, stretch: Stretch) -> Iterator[str]:
    place, readings = f"energy.{name}", len(stretch.at_s)
    for field, clocks, most in (
        ("sm_clock_mhz", stretch.sm_clock_mhz, record.snapshots.before.sm_clock_max_mhz),
        ("memory_clock_mhz", stretch.memory_clock_mhz, record.snapshots.before.memory_clock_max_mhz),
    ):
        if clocks and len(clocks) != readings:
            yield f"{place}.{field}: {len(clocks)} clocks in {readings} readings"
        if clocks and most is not None:
            yield from too_large(f"{place}.{field}", max(clocks), most, "the card's maximum")
    if (reasons := stretch.throttle_reasons) is not None and list(reasons) != sorted({*reasons}):
        yield f"{place}.throttle_reasons: not {REASONS}"
    limit_w = record.snapshots.before.power_limit_w
    if limit_w is not None and stretch.seconds:
        yield from too_large(f"{place}: mean power in W", rules.watts(stretch), POWER_SLACK * limit_w, "the card takes")
    yield from too_large(f"{place}.seconds", stretch.seconds, rules.LONGEST_S + LENGTH_SLACK_S, "a stretch may take")


def _length_differences(energy: Energy) -> Iterator[str]:
    """Yields a line for each stretch that is too short for its rules, so that the pass would have refused it."""
    yield from too_small("energy.idle.seconds", energy.idle.seconds, rules.SHORTEST_IDLE_S, "the idle card needs")
    yield from too_small("energy.updates", energy.updates, rules.FEWEST_UPDATES, "one percent needs")
    if energy.source == COUNTER and energy.changes:
        grain, most = rules.grain_of_counter(energy.changes), rules.LARGEST_UNCERTAINTY
        for name, stretch in (("idle", energy.idle), ("steps", energy.steps)):
            yield from too_large(f"energy.{name}: uncertainty", grain.uncertainty(stretch), most, "is accepted")
