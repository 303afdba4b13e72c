"""Sessions that may stand in one row: equal cell, protocol, code and environment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars

from analysis.sources.frame import Frame
from analysis.statistics import intervals
from runner.record.flags import DISTURBED, MIXED_HOST, WIDE_RANGE
from runner.record.record import MEASURED

Row = dict[str, Any]

KEYS = ("cell_key", "protocol", "code_key", "env_key")
GROUP = (*KEYS, "status", "valid")
"""What the sessions of one row have in common."""
SAME_BUT_CODE = ("cell_key", "protocol", "env_key")
CELL_ORDER = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "weights_id", "options")
WALL = "step_wall_ms"
WORST = frozenset({"peak_bytes", "logit_error", "step_wall_p90_ms", "step_wall_p95_ms", "step_wall_p99_ms"})
"""Of these a row has the worst session's, of every other metric the median session's."""
WIDE = 3
"""A row whose slowest session takes at least so many times as long as its quickest is flagged `wide-range`."""


def rows(frame: Frame, metrics: Sequence[str], every_code: bool = False) -> list[Row]:
    """One row per group, in the order of the cell's fields; what is valid, invalid and not measured never mixes.

    A row has the cell's fields, `cell_key`, `protocol`, `code_key`, `env_key`, `status`, `valid`, `sessions` (their
    number), `hosts` (theirs), `flags`, `reasons`, the metrics, and of `step_wall_ms` its interval over sessions:
    `step_wall_ms_low`, `step_wall_ms_high`, `interval` (see `intervals.of_sessions`) and what that covers,
    `interval_label`. Of several codes only the
    newest has rows, the one whose last session began last, valid or not: what older code got right says nothing of it.
    `disturbed` counts the sessions that the medians and `sessions` leave out, because others kept the host busy.
    `superseded` counts the valid sessions of the others in the row of its valid ones, the invalid in that of its
    invalid. Invalid sessions of older code that no row of the newest counts keep theirs, marked `older_code`: they
    were rejected, and that stays told. With `every_code` each code has its own.
    """
    found = [_row(frame, group) for group in _aggregated(frame, metrics).iter_rows(named=True)]
    _add_intervals(found)
    shown = found if every_code else _newest(found)
    return sorted(shown, key=_order)


def walls_of_hosts(frame: Frame) -> dict[tuple[Any, ...], dict[str, tuple[float, ...]]]:
    """The sessions' medians behind each group's `step_wall_ms`, by host; the groups by the values of `GROUP`."""
    kept = frame.sessions.filter(
        _kept(over=GROUP) & polars.col(WALL).is_not_null() & polars.col("host_id").is_not_null()
    )
    found: dict[tuple[Any, ...], dict[str, tuple[float, ...]]] = defaultdict(dict)
    for *group, host, walls in kept.group_by(*GROUP, "host_id", maintain_order=True).agg(WALL).iter_rows():
        found[tuple(group)][host] = tuple(walls)
    return found


def _kept(over: Sequence[str] = ()) -> polars.Expr:
    """Sessions that others did not disturb; where all were disturbed there is nothing better."""
    quiet = ~polars.col("flags").str.split(",").list.contains(DISTURBED)
    return quiet | ~(quiet.any().over(*over) if over else quiet.any())


def _aggregated(frame: Frame, metrics: Sequence[str]) -> polars.DataFrame:
    column = polars.col
    kept = _kept()
    centres = [_centre(name, kept) for name in metrics]
    return frame.sessions.group_by(*GROUP).agg(
        kept.sum().alias("sessions"),
        (~kept).sum().alias("disturbed"),
        column("started_ms").max().alias("last_start_ms"),
        column("gate_version").min(),
        column("host_id").drop_nulls().unique().sort().alias("hosts"),
        column("flags").unique().alias("flag_words"),
        column("reasons").unique().sort().alias("reasons"),
        column(WALL).filter(kept).sort().alias("walls"),
        *centres,
    )


def _centre(name: str, kept: polars.Expr) -> polars.Expr:
    values = polars.col(name).filter(kept)
    return (values.max() if name in WORST else values.median()).alias(name)


def _row(frame: Frame, group: Mapping[str, Any]) -> Row:
    no_interval = {f"{WALL}_low": None, f"{WALL}_high": None, "interval": None, "interval_label": None}
    row = {**frame.cells[group["cell_key"]], **group, **no_interval, "superseded": 0, "older_code": False}
    row["reasons"] = [text for text in group["reasons"] if text]
    row["flags"] = flags(row.pop("flag_words"), group["hosts"])
    walls = [value for value in group["walls"] if value is not None]
    if walls and max(walls) >= WIDE * min(walls):
        row["flags"] = sorted({*row["flags"], WIDE_RANGE})
    return row


def flags(words: Iterable[str], hosts: Sequence[str]) -> list[str]:
    """Each flag that any session carries; `mixed-host` when they come from several."""
    found = {flag for word in words for flag in word.split(",") if flag}
    return sorted(found | ({MIXED_HOST} if len(hosts) > 1 else set()))


def _add_intervals(found: list[Row]) -> None:
    """Of all groups of as many sessions at once."""
    of_size: dict[int, list[Row]] = defaultdict(list)
    for row in found:
        row["walls"] = [value for value in row["walls"] if value is not None]
        of_size[len(row["walls"])].append(row)
    for size, same in of_size.items():
        if size:
            ends = intervals.of_groups([row["walls"] for row in same])
            for row, (low, high, kind) in zip(same, ends, strict=True):
                row |= {f"{WALL}_low": low, f"{WALL}_high": high, "interval": kind}
                row["interval_label"] = intervals.label(kind, size)
    for row in found:
        del row["walls"]


def _newest(found: list[Row]) -> list[Row]:
    of_cell: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    checked = {_place(row): row for row in sorted(found, key=_age) if _is_checked(row)}
    for row in sorted(found, key=_age):
        # of a cell whose timed steps were checked, what was measured without is older, in whatever environment
        of_cell[_same(checked.get(_place(row), row) if _is_unchecked(row) else row)].append(row)
    shown: list[Row] = []
    for same in of_cell.values():
        newest = [row for row in same if row["code_key"] == same[-1]["code_key"]]
        older = [row for row in same if row["code_key"] != same[-1]["code_key"]]
        for row in newest:
            row["superseded"] = sum(one["sessions"] for one in older if _kind(one) == _kind(row))
        told = {_kind(row) for row in newest}
        rejected = [row for row in older if _is_invalid(row) and _kind(row) not in told]
        shown += [*newest, *(row | {"older_code": True} for row in rejected)]
    return shown


def _age(row: Row) -> tuple[Any, ...]:
    return not _is_unchecked(row), row["last_start_ms"], row["code_key"] or ""


def _place(row: Row) -> tuple[Any, ...]:
    return row["cell_key"], row["protocol"]


def _same(row: Row) -> tuple[Any, ...]:
    return tuple(row[key] for key in SAME_BUT_CODE)


def _is_checked(row: Row) -> bool:
    """True if the rows' sessions were measured, and each timed step was checked: since gate version 2."""
    return bool(row["status"] == MEASURED and row["gate_version"] != "1")


def _is_unchecked(row: Row) -> bool:
    return bool(row["status"] == MEASURED and row["gate_version"] == "1")


def _is_invalid(row: Row) -> bool:
    return row["status"] == "measured" and not row["valid"]


def _kind(row: Row) -> tuple[str, bool]:
    return row["status"], row["valid"]


def _order(row: Row) -> tuple[Any, ...]:
    keys = (row["code_key"] or "", row["env_key"] or "")
    return (*(row[field] for field in CELL_ORDER), row["protocol"], row["last_start_ms"], *keys)
