"""The summary of a session, made from its record, and the costs of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from runner import tailsummary
from runner.cell.fieldtypes import value_or_none
from runner.cell.jsonform import present_fields
from runner.cell.vocabulary import DEFAULT_PROTOCOL
from runner.counts import counted
from runner.hostcondition import condition
from runner.layout import WIDTH, line
from runner.record import derive
from runner.record import energy as rules
from runner.record.flags import FLAG_MEANINGS
from runner.record.sections.energy import COUNTER, POWER_SAMPLES, Energy, NoEnergy
from runner.record.sections.gate import GateVersion1, GateVersion2
from runner.record.sections.quantities import Floor
from runner.record.sections.surroundings import Cost
from runner.record.sessionrecord import MeasuredRecord, SessionRecord

FIXED_PHASES = ("start", "import", "probe", "build", "reference", "verify")
MEASURED_PHASES = ("prefill", "steps", "compile", "energy")
"""Phases whose time depends on the cell's ctx, protocol and runtime (`derive.fixed_cost`)."""


def lines(record: SessionRecord, width: int = WIDTH) -> Iterator[str]:
    """Yields the lines of the summary, of at most `width` columns. For a session that was not measured they name its
    status; the command's error says why."""
    under = condition.requested(record.request)
    yield " ".join(filter(None, (record.cell.title, under, f"(session {record.session.id})")))
    if not isinstance(record, MeasuredRecord):
        yield from line("status", record.outcome.status, width)
        return
    p90_ms = record.latency.step_wall_p90_ms
    yield from line("step", f"{record.latency.step_wall_ms:.3f} ms, {record.latency.tokens_per_s:.1f} tokens/s", width)
    if record.protocol.name != DEFAULT_PROTOCOL:
        yield from tailsummary.lines(tailsummary.tail(record), width)
    elif p90_ms is not None:
        yield from line("p90", f"{p90_ms:.3f} ms", width)
    for place, share in enumerate(_shares(record.floor)):
        yield from line("" if place else "floor", share, width)
    yield from line("achieved", f"{achieved_gbs(record):.4g} GB/s", width)
    for place, text in enumerate(_energy(record)):
        yield from line("" if place else "energy", text, width)
    yield from line("valid", f"yes: {_gate(record.gate)}" if record.valid else "NO", width)
    for place, flag in enumerate(record.flags):
        yield from line("" if place else "flags", f"{flag}: {FLAG_MEANINGS.get(flag, 'see docs/flags.md')}", width)


def _energy(record: MeasuredRecord) -> Iterator[str]:
    """Yields the joules per token with their uncertainty, or why there are none; nothing about a wrong step."""
    energy = record.energy
    if isinstance(energy, NoEnergy):
        yield f"not measured: {energy.unavailable}"
    elif isinstance(energy, Energy) and record.valid:
        yield f"{energy.joules_per_token:.3f} J/token (± {100 * energy.uncertainty:.1f} %{_SOURCES[energy.source]})"
        share = energy.uncertainty_above_idle
        error = "" if share is None else f" (± {100 * share:.1f} %)"
        yield f"{energy.joules_per_token_above_idle:.3f} J/token above the idle card{error}"
        yield f"steps of {rules.step_ms(energy.steps):.3f} ms while it was measured"


_SOURCES = {COUNTER: "", POWER_SAMPLES: ", from samples of power: the card has no energy counter"}


def achieved_gbs(record: MeasuredRecord) -> float:
    """Returns the bytes that a step reads, divided by its time, in GB/s: 1e9 B / s = 1e6 B / ms."""
    return record.bytes.streamed / record.latency.step_wall_ms / 1e6


def _gate(gate: GateVersion1 | GateVersion2) -> str:
    ratio = value_or_none(gate.ratio)
    if isinstance(gate, GateVersion1) or ratio is None:
        return f"logit error {gate.error:.2e}, bound {gate.bound:.2e}"
    steps = sum(len(each.chosen) * len(each.passes) for each in gate.tokens)
    return f"logit error {gate.error:.2e}, {ratio:.2f} times that of trusted eager; {steps} timed tokens checked"


def _shares(floor: Floor) -> Iterator[str]:
    """Yields the share of each known floor that the step reaches."""
    datasheet = floor.floor_ms, floor.r_floor, "datasheet's bandwidth", "r_floor"
    measured = floor.floor_achievable_ms, floor.r_floor_achievable, "bandwidth measured here", "r_floor_achievable"
    for floor_ms, ratio, bandwidth, name in (datasheet, measured):
        if floor_ms is not None and ratio is not None:
            yield f"{100 * ratio:.1f} % of the floor ({floor_ms:.3f} ms at the {bandwidth}; {name} {ratio:.3f})"


def cost_lines(costs: Sequence[Cost], width: int = WIDTH) -> Iterator[str]:
    """Yields the lines of the mean seconds that a session takes in each phase: the fixed cost, then the measurement.

    `costs` are of one or more sessions. A phase is the mean over all of them, 0 for one without it. `other` is the part
    of the fixed cost outside the phases.
    """
    seconds = [dict(present_fields(cost)) for cost in costs]
    means = {name: fmean(each.get(name) or 0.0 for each in seconds) for name in (*FIXED_PHASES, *MEASURED_PHASES)}
    fixed_s, total_s = fmean(map(derive.fixed_cost, costs)), fmean(cost.total for cost in costs)
    fixed = {name: means[name] for name in FIXED_PHASES}
    fixed["other"] = fixed_s - sum(fixed.values())
    measured = {name: means[name] for name in MEASURED_PHASES}
    yield from line(
        "cost",
        f"{total_s:.1f} s per session (mean of {counted(len(costs), 'session')}): {fixed_s:.1f} s fixed "
        f"({_phases(fixed)}), {total_s - fixed_s:.1f} s measurement ({_phases(measured)})",
        width,
    )


def _phases(seconds: Mapping[str, float]) -> str:
    """Returns the phases that take any time."""
    return ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if value >= 0.05)
