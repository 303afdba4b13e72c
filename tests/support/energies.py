"""Sessions that measured the energy of a step: example records, as the worker makes them."""

from __future__ import annotations

import copy
from typing import Any

from runner.cell.fieldtypes import ABSENT, Absent
from runner.cell.jsonform import to_json
from runner.record import energy as rules
from runner.record.sections.energy import COUNTER, POWER_SAMPLES, Energy, IdleStretch, Readings, StepsStretch
from tests.support.derive import derive, judge
from tests.support.records import example_record

INTERVAL_S, RESOLUTION_MJ = 0.1, 10
IDLE_W, STEPS_W = 120.0, 480.0
IDLE_S, GAP_S = 20.5, 0.0005
READING_S = {COUNTER: 0.5, POWER_SAMPLES: 0.2}
ABOUT_IDLE = {"throttle_reasons": ["gpu_idle"], "settled": True}
ABOUT_STEPS = {"throttle_reasons": ["sw_power_cap"], "segments": 0, "compiled": 0, "captured": 0, "collected": 0}
PAUSE_S = 12.0
"""Time of the pass outside its readings: warm-ups, and the wait for the clock."""


def energy_section(step_ms: float = 36.0, watts: float = STEPS_W, source: str = COUNTER) -> Energy:
    """Returns the section of steps of `step_ms` at so many watts."""
    count = round(20.5e3 / step_ms)
    restarts = count // 30
    at_s = _moments(count * step_ms / 1e3, source)
    idle_s = _moments(IDLE_S, source)
    idle = {**_series(idle_s, IDLE_W, source), **_clocks(idle_s, 1980), **ABOUT_IDLE}
    steps = {**_series(at_s, watts, source), **_clocks(at_s, 1755), **ABOUT_STEPS}
    gaps_s = round((len(at_s) - 1 + restarts) * GAP_S, 6)
    numbers: dict[str, Any] = {"seconds": 0.0, "joules": 0.0}
    return rules.of_readings(
        source,
        _changes(watts) if source == COUNTER else ABSENT,
        IdleStretch(**_frozen(idle), **numbers),
        StepsStretch(**_frozen(steps), **numbers, count=count, restarts=restarts, gaps_s=gaps_s),
    )


def _moments(seconds: float, source: str) -> tuple[float, ...]:
    pause_s = READING_S[source]
    return (*(round(pause_s * place, 6) for place in range(int(seconds / pause_s))), round(seconds, 6))


def _series(at_s: tuple[float, ...], watts: float, source: str) -> dict[str, Any]:
    if source == POWER_SAMPLES:
        return {"at_s": at_s, "power_w": tuple(watts for _ in at_s)}
    return {"at_s": at_s, "counter_mj": tuple(_counted(moment, watts) for moment in at_s)}


def _counted(moment_s: float, watts: float) -> int:
    return int(moment_s * watts * 1000 / RESOLUTION_MJ) * RESOLUTION_MJ


def _clocks(at_s: tuple[float, ...], sm_mhz: float) -> dict[str, Any]:
    return {"sm_clock_mhz": tuple(sm_mhz for _ in at_s), "memory_clock_mhz": tuple(3201 for _ in at_s)}


def _changes(watts: float) -> Readings:
    at_s = tuple(round(INTERVAL_S * place, 6) for place in range(rules.FEWEST_CHANGES + 1))
    jitter_mj = [RESOLUTION_MJ * (place % 2) for place in range(len(at_s))]
    return Readings(
        at_s=at_s,
        counter_mj=tuple(_counted(moment, watts) + more for moment, more in zip(at_s, jitter_mj, strict=True)),
    )


def _frozen(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def with_energy(record: dict[str, Any], section: Energy | Absent = ABSENT) -> dict[str, Any]:
    """Returns a record, as if its session had measured the energy of its steps, too: the gate checked these."""
    record = copy.deepcopy(record)
    found = section or energy_section(record["latency"]["step_wall_ms"])
    record["energy"] = to_json(found)
    record["request"]["energy"] = "on"
    for series in ("checks", "tokens", "rows"):
        of_wall = next(each for each in record["gate"][series] if each["name"] == "wall")
        record["gate"][series].append({**copy.deepcopy(of_wall), "name": "energy"})
    took_s = found.idle.seconds + found.steps.seconds + PAUSE_S
    record["cost_s"] |= {"energy": took_s, "total": record["cost_s"]["total"] + took_s}
    record["session"]["finished_ms"] += round(took_s * 1e3)
    record["snapshots"]["after"]["taken_ms"] += round(took_s * 1e3)
    derive(record)
    judge(record)
    return record


def energy_record(**changes: Any) -> dict[str, Any]:
    """Returns the example record with energy, `changes` as of `example_record`."""
    return with_energy(example_record(**changes))


def power_record() -> dict[str, Any]:
    """Returns the same of a card without an energy counter."""
    return with_energy(example_record(), energy_section(source=POWER_SAMPLES))
