"""Edits of a record, as somebody makes them who wants another number, or none; all that follows is derived again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from runner.cell.cell import Cell
from runner.cell.jsonform import Misfit
from runner.record import record
from tests.support.derive import derive, env_key, is_measured, judge

Record = dict[str, Any]
Edit = Callable[[Record], object]

FLASH: dict[str, Any] = {"name": "flash_fwd_splitkv_kernel", "count": 28.0, "us": 148.91}
MANY_ROWS = {"names": [(f"k{number}", 1.0) for number in range(22)]}


def derived_again(found: Record) -> Record:
    """The record with every key, number, verdict and flag that follows from the rest. What has not its type is left as
    it is: nothing can be derived from it."""
    found["keys"]["cell_key"] = Cell.from_json(found["cell"]).key
    if is_measured(found):
        found["keys"]["env_key"] = env_key(found["environment"])
        with suppress(Misfit):
            derive(found)
            judge(found)
    return found


def put(path: str, value: Any) -> Edit:
    """`value` at a dotted path; a number in the path is an index, a function changes what is there."""

    def edit(found: Record) -> None:
        target: Any = found
        *parents, leaf = [int(part) if part.lstrip("-").isdigit() else part for part in path.split(".")]
        for parent in parents:
            target = target[parent]
        target[leaf] = value(target[leaf]) if callable(value) else value

    return edit


def drop(path: str) -> Edit:
    def edit(found: Record) -> None:
        *parents, leaf = path.split(".")
        target: Any = found
        for parent in parents:
            target = target[parent]
        del target[leaf]

    return edit


def times(factor: float) -> Callable[[Any], Any]:
    """A number, or each of a series, times a factor."""
    return lambda value: [one * factor for one in value] if isinstance(value, list) else value * factor


def all_of(*edits: Edit) -> Edit:
    def edit(found: Record) -> None:
        for each in edits:
            each(found)

    return edit


def passes_times(factor: float) -> Edit:
    """Every timed series, and the kernels' durations, times a factor."""

    def edit(found: Record) -> None:
        for window in found["passes"].values():
            for series in ("steps_ms", "span_ms", "total_ms"):
                if series in window:
                    window[series] = times(factor)(window[series])
        for row in found["kernels"]:
            row["us"] *= factor

    return edit


def of_ctx(ctx: int) -> Edit:
    """The session is said to have had another ctx, wherever cell, request and gate name it."""

    def edit(found: Record) -> None:
        later = ctx - found["cell"]["ctx"]
        found["cell"]["ctx"], found["request"]["ctx"] = ctx, str(ctx)
        for check in (*found["gate"]["checks"], *found["gate"].get("eager", ())):
            if check["name"] != "short":
                check["positions"] = [position + later for position in check["positions"]]

    return edit


def without_measurement(found: Record) -> None:
    """What a session that failed leaves."""
    for section in set(found) - set(record.ALWAYS_PRESENT) - {"schema_version", "given_flags"}:
        del found[section]
    del found["session"]["finished_ms"]
    found["keys"] = {"cell_key": found["keys"]["cell_key"]}
    found["gpu"] = {name: found["gpu"][name] for name in ("key", "name", "bandwidth_gbs", "catalogued", "driver")}
    called_failed(found)


def called_failed(found: Record) -> None:
    message = "the worker was killed by SIGKILL"
    found["outcome"] |= {"status": "failed", "reason": "worker-failed", "message": message, "exit_code": None}
    found |= {"valid": False, "reasons": [message], "flags": []}


def of_gate_version_1(found: Record) -> None:
    """Every trace of the gate's second version is taken out."""
    gate = found["gate"]
    for name in ("gate_version", "stated_ratio", "stated_spread", "checkpoint_spread", "dtype_ratio", "dtype_spread"):
        del gate[name]
    for name in ("regret_limit", "timed_trusted", "tokens", "rows", "ratio", "regret", "repeatable"):
        gate.pop(name, None)
    gate["noise"] = 0.002
    for check in (*gate["checks"], *gate.get("eager", ())):
        for series in [name for name in check if name != "name"]:
            check[series] = check[series][:8]
    del found["memory"]["held_bytes"]
    for name in ("disturbed_share", "passes_disagreement", "energy_disagreement"):
        found["limits"].pop(name, None)


def rename_cell(**changes: Any) -> Edit:
    """Another cell, with the key that it has."""

    def edit(found: Record) -> None:
        found["cell"] |= changes
        found["keys"]["cell_key"] = Cell.from_json(found["cell"]).key

    return edit


def rows(*counts: float, names: Iterable[tuple[str, float]] = (), others: float | None = None) -> Edit:
    """A table of kernels: nvjet rows by count, others by name, and what is summed up; with a pass of as many."""
    table = [{"name": f"nvjet_{number}", "count": count, "us": 3512.6} for number, count in enumerate(counts)]
    table += [{"name": name, "count": count, "us": 300.0} for name, count in names]
    table += [FLASH]
    table += [{"name": "(others)", "count": others, "us": 1208.4}] if others is not None else []

    def edit(found: Record) -> None:
        found["kernels"] = [dict(row) for row in table]
        total = sum(row["count"] for row in table)
        found["passes"]["busy"]["kernels"] = [round(total)] * 30
        if others is None:
            found["actual"]["kernel_names"] = ["nvjet_0"]

    return edit


def products(count: float) -> Edit:
    return put("actual.products_per_step", count)


def shorten(values: list[Any]) -> list[Any]:
    return values[:-1]
