"""Groups of a frame, aggregated from its polars rows into typed values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars

from analysis.group import Group, Key
from analysis.row import GROUP
from analysis.sources.columns import BACKEND, SESSION
from analysis.sources.frame import Frame
from analysis.statistics import intervals
from runner.record.flags import DISTURBED, ENERGY_DISAGREES, MIXED_HOST, WIDE_RANGE
from runner.record.record import MEASURED

KEYS = ("cell_key", "protocol", "code_key", "env_key")
CELL_ORDER = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "weights_id", "options")
WALL, ENERGY = "step_wall_ms", "joules_per_token"
WORST = frozenset({"peak_bytes", "logit_error", "step_wall_p90_ms", "step_wall_p95_ms"})
"""Metrics that a group takes from its worst session; all others, without bounds, are the median over sessions."""
BOUNDS = frozenset({"p99_ms"})
"""Bounds that the steps of a session may be too few for. A group has the largest, and none if a session has none."""
JOULES = frozenset({ENERGY, "joules_per_token_above_idle"})
"""Metrics of the sessions that measured the energy of the step that they timed. They have a range over these sessions,
if these are at least `FEWEST_FOR_A_RANGE`."""
FEWEST_FOR_A_RANGE = 3
WIDE = 3
"""Ratio of the slowest to the fastest session from which a row is flagged `wide-range`."""


def rows(frame: Frame, metrics: Sequence[str], every_code: bool = False) -> list[Group]:
    """Returns the groups in the order of the cell's fields. Valid, invalid and unmeasured sessions never mix.

    Only the newest code of a cell has groups: the code whose last session began last, valid or not. In `superseded`,
    valid groups count the valid sessions of older code, and invalid groups the invalid ones. Invalid sessions of older
    code that no group of the newest code counts form groups of their own, marked `older_code`. With `every_code` each
    code has its own groups.
    """
    all_groups = _groups(frame, metrics)
    return sorted(all_groups if every_code else _newest(all_groups), key=_order)


def walls_of_hosts(frame: Frame) -> dict[Key, dict[str, tuple[float, ...]]]:
    """Returns the session medians behind each group's `step_wall_ms` by host. Groups are keyed by the values of
    `GROUP`."""
    sessions = frame.sessions.filter(
        _is_counted(over=GROUP) & polars.col(WALL).is_not_null() & polars.col("host_id").is_not_null()
    )
    by_group: dict[Key, dict[str, tuple[float, ...]]] = defaultdict(dict)
    for *group, host, walls in sessions.group_by(*GROUP, "host_id", maintain_order=True).agg(WALL).iter_rows():
        by_group[tuple(group)][host] = tuple(walls)
    return by_group


def counted_sessions(frame: Frame) -> dict[Key, list[str]]:
    """Returns the ids of the sessions behind each group's values, the newest last. Groups are keyed by the values of
    `GROUP`."""
    grouped = frame.sessions.filter(_is_counted(over=GROUP)).group_by(*GROUP, maintain_order=True).agg(SESSION)
    return {tuple(group): sessions for *group, sessions in grouped.iter_rows()}


def _is_counted(over: Sequence[str] = ()) -> polars.Expr:
    """Returns an expression that is true for undisturbed sessions, and for all sessions of a group where every session
    was disturbed."""
    quiet = ~_has(DISTURBED)
    return quiet | ~(quiet.any().over(*over) if over else quiet.any())


def _has(flag: str) -> polars.Expr:
    """Returns an expression that is true for sessions with this flag."""
    return polars.col("flags").str.split(",").list.contains(flag)


def _groups(frame: Frame, metrics: Sequence[str]) -> list[Group]:
    """Returns every group of a frame as a typed value."""
    rows = list(_aggregated(frame, metrics).iter_rows(named=True))
    walls = [[value for value in row.pop("walls") if value is not None] for row in rows]
    ends = _intervals(walls)
    return [_group(frame, row, group_walls, end) for row, group_walls, end in zip(rows, walls, ends, strict=True)]


def _aggregated(frame: Frame, metrics: Sequence[str]) -> polars.DataFrame:
    column = polars.col
    counted = _is_counted()
    centres = [_centre(name, counted) for name in metrics]
    ends = [end for name in metrics if name in JOULES for end in _ends(name, counted)]
    return frame.sessions.group_by(*GROUP).agg(
        counted.sum().alias("sessions"),
        (~counted).sum().alias("disturbed"),
        column("started_ms").max().alias("last_start_ms"),
        column("gate_version").min(),
        column(BACKEND).drop_nulls().first(),
        column("host_id").drop_nulls().unique().sort().alias("hosts"),
        column("flags").unique().alias("flag_words"),
        column("reasons").unique().sort().alias("reasons"),
        column(WALL).filter(counted).sort().alias("walls"),
        *centres,
        *ends,
        *([_values(ENERGY, counted).max().alias(f"{ENERGY}_most")] if ENERGY in metrics else []),
    )


def _centre(name: str, counted: polars.Expr) -> polars.Expr:
    values = _values(name, counted)
    if name in BOUNDS:
        return polars.when(~values.has_nulls()).then(values.max()).alias(name)
    return (values.max() if name in WORST else values.median()).alias(name)


def _values(name: str, counted: polars.Expr) -> polars.Expr:
    """Returns a metric's values in the counted sessions. Joules of other steps than the timed ones are left out."""
    return polars.col(name).filter(counted & ~_has(ENERGY_DISAGREES) if name in JOULES else counted)


def _ends(name: str, counted: polars.Expr) -> Iterator[polars.Expr]:
    values = _values(name, counted).drop_nulls()
    enough = polars.when(values.len() >= FEWEST_FOR_A_RANGE)
    yield enough.then(values.min()).alias(f"{name}_low")
    yield enough.then(values.max()).alias(f"{name}_high")


def _group(frame: Frame, values: Mapping[str, Any], walls: Sequence[float], ends: Mapping[str, Any]) -> Group:
    group_flags = flags(values["flag_words"], values["hosts"])
    if walls and max(walls) >= WIDE * min(walls):
        group_flags = sorted({*group_flags, WIDE_RANGE})
    reasons = [text for text in values["reasons"] if text]
    fields = {name: value for name, value in values.items() if name != "flag_words"}
    return Group(**{**frame.cells[values["cell_key"]], **fields, **ends, "flags": group_flags, "reasons": reasons})


def flags(words: Iterable[str], hosts: Sequence[str]) -> list[str]:
    """Returns each flag of any session, and `mixed-host` if the sessions come from several hosts."""
    session_flags = {flag for word in words for flag in word.split(",") if flag}
    return sorted(session_flags | ({MIXED_HOST} if len(hosts) > 1 else set()))


def _intervals(walls: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Returns the interval fields of each group. Groups of equal size are computed together."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, group_walls in enumerate(walls):
        by_size[len(group_walls)].append(place)
    fields: list[dict[str, Any]] = [{} for _ in walls]
    for size, places in by_size.items():
        ends = intervals.group_intervals([walls[place] for place in places]) if size else []
        for place, (low, high, kind) in zip(places, ends, strict=False):
            fields[place] = {
                f"{WALL}_low": low,
                f"{WALL}_high": high,
                f"{WALL}_least": min(walls[place]),
                f"{WALL}_most": max(walls[place]),
                "interval": kind,
                "interval_label": intervals.label(kind, size),
            }
    return fields


def _newest(all_groups: Iterable[Group]) -> list[Group]:
    in_time = sorted(all_groups, key=_age)
    by_cell: dict[Key, list[Group]] = defaultdict(list)
    checked = {(group.cell_key, group.protocol): group for group in in_time if _is_checked(group)}
    for group in in_time:
        # sessions without checked timed steps count as older than checked ones, in any environment
        newer = checked.get((group.cell_key, group.protocol), group) if _is_unchecked(group) else group
        by_cell[newer.cell_key, newer.protocol, newer.env_key].append(group)
    return [row for cell_groups in by_cell.values() for row in _rows_of_cell(cell_groups)]


def _rows_of_cell(cell_groups: Sequence[Group]) -> list[Group]:
    """Returns the groups of one cell that have rows. `cell_groups` are all of them, the newest last."""
    newest = [group for group in cell_groups if group.code_key == cell_groups[-1].code_key]
    older = [group for group in cell_groups if group.code_key != cell_groups[-1].code_key]
    counted = [
        replace(group, superseded=sum(old.sessions for old in older if _kind(old) == _kind(group))) for group in newest
    ]
    kinds = {_kind(group) for group in newest}
    rejected = [group for group in older if _is_invalid(group) and _kind(group) not in kinds]
    return [*counted, *(replace(group, older_code=True) for group in rejected)]


def _age(group: Group) -> tuple[bool, int, str]:
    return not _is_unchecked(group), group.last_start_ms, group.code_key or ""


def _is_checked(group: Group) -> bool:
    """Returns whether the group's timed steps were checked, which the gate does since version 2."""
    return group.status == MEASURED and group.gate_version != "1"


def _is_unchecked(group: Group) -> bool:
    return group.status == MEASURED and group.gate_version == "1"


def _is_invalid(group: Group) -> bool:
    return group.status == MEASURED and not group.valid


def _kind(group: Group) -> tuple[str, bool]:
    return group.status, group.valid


def _order(group: Group) -> tuple[Any, ...]:
    keys = (group.code_key or "", group.env_key or "")
    return (*(getattr(group, field) for field in CELL_ORDER), group.protocol, group.last_start_ms, *keys)
