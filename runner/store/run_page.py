"""Markdown on the page of a run in MLflow: cell, verdict, numbers, costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from runner.cell.jsonform import to_json
from runner.hostcondition import condition
from runner.record import judgement, metrics
from runner.record.flags import FLAG_MEANINGS
from runner.record.sections.energy import NoEnergy
from runner.record.sections.surroundings import Cost
from runner.record.sessionrecord import MeasuredRecord, SessionRecord

HEADLINES = {
    "latency/step_wall_ms": "one step, host clock (`step_wall_ms`)",
    "latency/tokens_per_s": "tokens per second",
    "floor/floor_ms": "floor of a step at the datasheet peak (`floor_ms`)",
    "floor/r_floor": "fraction of that floor reached (`r_floor`)",
    "floor/r_floor_achievable": "… of the floor at this device's own read bandwidth (`r_floor_achievable`)",
    "floor/r_floor_paper": "… as the paper counts bytes (`r_floor_paper`)",
    "latency/step_busy_ms": "time of a step with kernels running (`step_busy_ms`)",
    "latency/prefill_ms": "prefill to ctx",
    "energy/joules_per_token": "energy of a step (`joules_per_token`)",
    "energy/joules_per_token_above_idle": "… above that of the idle card (`joules_per_token_above_idle`)",
    "gate/error": "logit error against the reference",
    "gate/bound": "… and its upper limit",
    "memory/peak": "peak memory",
}
"""Metric → its label on the page."""
PHASES = ("start", "import", "probe", "build", "reference", "compile", "verify", "prefill", "steps", "energy")
"""Phases of a session, in their order of time."""
CELL_FIELDS = ("quant", "kernel", "runtime", "cache", "attention", "dtype", "weights_id")


def run_description(record: SessionRecord) -> str:
    """Returns result, cell, verdict, headline numbers with units, flags, and the time of each phase.

    MLflow shows the first three lines and hides the rest behind "Show more", so that the result comes first.
    """
    marks = judgement.displayed_flags(record)
    parts = [_result(record, marks), _conditions(record), _verdict(record)]
    if isinstance(record, MeasuredRecord):
        parts.append(_table(("", "value", "unit"), _headlines(record)))
        if isinstance(record.energy, NoEnergy):
            parts.append(f"No energy was measured: {record.energy.unavailable}")
    parts.append(_flags(marks))
    if isinstance(record, MeasuredRecord):
        parts.append(_costs(record.cost_s))
    return "\n\n".join(part for part in parts if part) + "\n"


def _result(record: SessionRecord, marks: Iterable[str]) -> str:
    if not isinstance(record, MeasuredRecord):
        return f"**not measured**: {record.outcome.status}"
    verdict = ", ".join(("valid" if record.valid else "**not valid**", *marks))
    r_floor = record.floor.r_floor
    reached = "" if r_floor is None else f" · `r_floor` **{_number(r_floor)}**"
    return f"**{_number(record.latency.step_wall_ms)} ms** per step{reached} · {verdict}"


def _conditions(record: SessionRecord) -> str:
    """Returns model and card, the cell's other fields, and the protocol."""
    cell, protocol, session = record.cell, record.protocol, record.session
    declared = condition.requested(record.request)
    return (
        f"**{record.model.name}** at ctx **{cell.ctx}** on **{record.gpu.name}**\n\n"
        f"{' · '.join(f'{field} `{getattr(cell, field)}`' for field in CELL_FIELDS)}\n\n"
        f"protocol `{protocol.name}`: {protocol.counts} · "
        f"study `{session.study}`, session {session.index}, seed {session.seed}"
        f"{'' if declared is None else f' · host condition `{declared}`'}"
    )


def _verdict(record: SessionRecord) -> str:
    if not isinstance(record, MeasuredRecord):
        return f"### Not measured: {record.outcome.status}\n\n{record.outcome.message or ''}"
    if record.valid:
        return "### Valid: every gate passed"
    return "### Not valid\n\n" + "\n".join(f"- {reason}" for reason in record.reasons)


def _headlines(record: MeasuredRecord) -> Iterator[tuple[str, str, str]]:
    table = {metric.name: metric for metric in metrics.METRICS}
    for name, label in HEADLINES.items():
        if (value := table[name].value(record)) is not None:
            yield label, *_with_unit(value, table[name].unit)


def _with_unit(value: float, unit: str) -> tuple[str, str]:
    if unit == "B":
        return _number(value / 1e9), "GB"
    return _number(value), "" if unit == "1" else unit


def _flags(marks: Iterable[str]) -> str:
    rows = [f"- `{flag}`: {FLAG_MEANINGS.get(flag, 'see docs/')}" for flag in marks]
    return "\n".join(("### Flags: correct, but suspect\n", *rows)) if rows else ""


def _costs(cost_s: Cost) -> str:
    """Returns the phases, longest first, and the time outside all phases."""
    costs = to_json(cost_s)
    phases = {name: costs[name] for name in PHASES if name in costs}
    phases["other"] = max(0.0, cost_s.total - sum(phases.values()))
    rows = [(phase, f"{seconds:.2f}") for phase, seconds in sorted(phases.items(), key=lambda item: -item[1])]
    return f"### Time of each phase: {cost_s.total:.1f} s from command to record\n\n" + _table(("phase", "s"), rows)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.4g}"
