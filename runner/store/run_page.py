"""The Markdown that MLflow shows on the page of a run: cell, verdict, numbers, costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from runner.record import judgement, metrics
from runner.record import record as records
from runner.record.flags import FLAG_MEANINGS

Record = Mapping[str, Any]

HEADLINES = (
    ("latency.step_wall_ms", "one step, host clock (`step_wall_ms`)"),
    ("latency.tokens_per_s", "tokens per second"),
    ("floor.floor_ms", "floor of a step at the datasheet peak (`floor_ms`)"),
    ("floor.r_floor", "fraction of that floor reached (`r_floor`)"),
    ("floor.r_floor_achievable", "… of the floor at this device's own read bandwidth (`r_floor_achievable`)"),
    ("floor.r_floor_paper", "… as the paper counts bytes (`r_floor_paper`)"),
    ("latency.step_busy_ms", "of a step, kernels running (`step_busy_ms`)"),
    ("prefill.ms", "prefill to ctx"),
    ("gate.error", "logit error against the reference"),
    ("gate.bound", "… which may be at most"),
    ("memory.peak_bytes", "peak memory"),
)


def run_description(record: Record) -> str:
    """Result, cell, verdict, headline numbers with units, flags, and where the time went.

    MLflow shows the first three lines and hides the rest behind "Show more": the result comes first.
    """
    parts = [_result(record), _what(record), _verdict(record)]
    if records.is_measured(record):
        parts.append(_table(("", "value", "unit"), _headlines(record)))
    parts += [_flags(record), _costs(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _result(record: Record) -> str:
    if not records.is_measured(record):
        return f"**not measured**: {record['outcome']['status']}"
    step_ms, r_floor = record["latency"]["step_wall_ms"], metrics.lookup(record, "floor.r_floor")
    marks = ", ".join(("valid" if record["valid"] else "**not valid**", *judgement.marks(record)))
    reached = "" if r_floor is None else f" · `r_floor` **{_number(r_floor)}**"
    return f"**{_number(step_ms)} ms** per step{reached} · {marks}"


def _what(record: Record) -> str:
    cell, protocol, session = record["cell"], record["protocol"], record["session"]
    fields = ("quant", "kernel", "runtime", "cache", "attention", "dtype", "weights_id")
    return (
        f"**{record['model']['name']}** at ctx **{cell['ctx']}** on **{record['gpu']['name']}**\n\n"
        f"{' · '.join(f'{field} `{cell[field]}`' for field in fields)}\n\n"
        f"protocol `{protocol['name']}`: {protocol['warmup']} warm-up and {protocol['steps']} timed steps · "
        f"study `{session['study']}`, session {session['index']}, seed {session['seed']}"
    )


def _verdict(record: Record) -> str:
    outcome = record["outcome"]
    if not records.is_measured(record):
        return f"### Not measured: {outcome['status']}\n\n{outcome.get('message') or ''}"
    if record["valid"]:
        return "### Valid: every gate passed"
    return "### Not valid\n\n" + "\n".join(f"- {reason}" for reason in record["reasons"])


def _headlines(record: Record) -> Iterator[tuple[str, str, str]]:
    units = {metric.path: metric.unit for metric in metrics.METRICS}
    for path, words in HEADLINES:
        value = metrics.lookup(record, path)
        if value is not None:
            yield words, *_with_unit(value, units[path])


def _with_unit(value: float, unit: str) -> tuple[str, str]:
    if unit == "B":
        return _number(value / 1e9), "GB"
    return _number(value), "" if unit == "1" else unit


def _flags(record: Record) -> str:
    if not judgement.marks(record):
        return ""
    rows = [f"- `{flag}`: {FLAG_MEANINGS.get(flag, 'see docs/')}" for flag in judgement.marks(record)]
    return "### Flags: right, but suspect\n\n" + "\n".join(rows)


def _costs(record: Record) -> str:
    """Phases, longest first, and what no phase claims."""
    costs = dict(record.get("cost_s") or {})
    total = costs.pop("total", None)
    costs.pop("fixed", None)  # derived: a sum of phases
    if total is None:
        return ""
    costs["other"] = max(0.0, total - sum(costs.values()))
    rows = [(phase, f"{seconds:.2f}") for phase, seconds in sorted(costs.items(), key=lambda item: -item[1])]
    return f"### Where {total:.1f} s went, from command to record\n\n" + _table(("phase", "s"), rows)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.4g}"
