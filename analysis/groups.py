"""The groups of a frame: where polars' rows become types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars

from analysis.group import Group, Key
from analysis.row import GROUP
from analysis.sources.frame import Frame
from analysis.statistics import intervals
from runner.record.flags import DISTURBED, MIXED_HOST, WIDE_RANGE
from runner.record.record import MEASURED

KEYS = ("cell_key", "protocol", "code_key", "env_key")
CELL_ORDER = ("gpu", "model", "ctx", "quant", "kernel", "runtime", "cache", "dtype", "weights_id", "options")
WALL = "step_wall_ms"
WORST = frozenset({"peak_bytes", "logit_error", "step_wall_p90_ms", "step_wall_p95_ms", "step_wall_p99_ms"})
"""Metrics of which a group has the worst session's value; of every other it has the median session's."""
WIDE = 3
"""A row whose slowest session takes at least so many times as long as its quickest is flagged `wide-range`."""


def rows(frame: Frame, metrics: Sequence[str], every_code: bool = False) -> list[Group]:
    """Returns the groups in the order of the cell's fields. Valid, invalid and unmeasured sessions never mix.

    Of several codes only the newest has groups: the one whose last session began last, valid or not. The valid groups
    count the valid sessions of the other codes in `superseded`, the invalid ones the invalid. Invalid sessions of older
    code that no group of the newest counts keep theirs, marked `older_code`. With `every_code` each code has its own.
    """
    found = _groups(frame, metrics)
    return sorted(found if every_code else _newest(found), key=_order)


def walls_of_hosts(frame: Frame) -> dict[Key, dict[str, tuple[float, ...]]]:
    """Returns the sessions' medians behind each group's `step_wall_ms` by host; groups by the values of `GROUP`."""
    kept = frame.sessions.filter(
        _kept(over=GROUP) & polars.col(WALL).is_not_null() & polars.col("host_id").is_not_null()
    )
    found: dict[Key, dict[str, tuple[float, ...]]] = defaultdict(dict)
    for *group, host, walls in kept.group_by(*GROUP, "host_id", maintain_order=True).agg(WALL).iter_rows():
        found[tuple(group)][host] = tuple(walls)
    return found


def _kept(over: Sequence[str] = ()) -> polars.Expr:
    """True for sessions that others did not disturb, and for all of a group whose sessions all were disturbed."""
    quiet = ~polars.col("flags").str.split(",").list.contains(DISTURBED)
    return quiet | ~(quiet.any().over(*over) if over else quiet.any())


def _groups(frame: Frame, metrics: Sequence[str]) -> list[Group]:
    """Returns every group of a frame: where polars ends and types begin."""
    found = list(_aggregated(frame, metrics).iter_rows(named=True))
    walls = [[value for value in each.pop("walls") if value is not None] for each in found]
    ends = _intervals(walls)
    return [_group(frame, each, own, end) for each, own, end in zip(found, walls, ends, strict=True)]


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


def _group(frame: Frame, values: Mapping[str, Any], walls: Sequence[float], ends: Mapping[str, Any]) -> Group:
    found = flags(values["flag_words"], values["hosts"])
    if walls and max(walls) >= WIDE * min(walls):
        found = sorted({*found, WIDE_RANGE})
    reasons = [text for text in values["reasons"] if text]
    own = {name: value for name, value in values.items() if name != "flag_words"}
    return Group(**{**frame.cells[values["cell_key"]], **own, **ends, "flags": found, "reasons": reasons})


def flags(words: Iterable[str], hosts: Sequence[str]) -> list[str]:
    """Returns each flag that any session carries, and `mixed-host` when they come from several hosts."""
    found = {flag for word in words for flag in word.split(",") if flag}
    return sorted(found | ({MIXED_HOST} if len(hosts) > 1 else set()))


def _intervals(walls: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Returns the fields of the interval of each group; groups of equally many sessions are computed at once."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, own in enumerate(walls):
        by_size[len(own)].append(place)
    found: list[dict[str, Any]] = [{} for _ in walls]
    for size, places in by_size.items():
        ends = intervals.of_groups([walls[place] for place in places]) if size else []
        for place, (low, high, kind) in zip(places, ends, strict=False):
            found[place] = {
                f"{WALL}_low": low,
                f"{WALL}_high": high,
                "interval": kind,
                "interval_label": intervals.label(kind, size),
            }
    return found


def _newest(found: Iterable[Group]) -> list[Group]:
    in_time = sorted(found, key=_age)
    by_cell: dict[Key, list[Group]] = defaultdict(list)
    checked = {(group.cell_key, group.protocol): group for group in in_time if _is_checked(group)}
    for group in in_time:
        # of a cell whose timed steps were checked, what was measured without is older, in whatever environment
        newer = checked.get((group.cell_key, group.protocol), group) if _is_unchecked(group) else group
        by_cell[newer.cell_key, newer.protocol, newer.env_key].append(group)
    return [shown for same in by_cell.values() for shown in _shown(same)]


def _shown(same: Sequence[Group]) -> list[Group]:
    """Returns the groups of one cell that have rows; `same` are all of them, the newest last."""
    newest = [group for group in same if group.code_key == same[-1].code_key]
    older = [group for group in same if group.code_key != same[-1].code_key]
    counted = [
        replace(group, superseded=sum(one.sessions for one in older if _kind(one) == _kind(group))) for group in newest
    ]
    kinds = {_kind(group) for group in newest}
    rejected = [group for group in older if _is_invalid(group) and _kind(group) not in kinds]
    return [*counted, *(replace(group, older_code=True) for group in rejected)]


def _age(group: Group) -> tuple[bool, int, str]:
    return not _is_unchecked(group), group.last_start_ms, group.code_key or ""


def _is_checked(group: Group) -> bool:
    """True if the group's sessions were measured, and each timed step was checked: since gate version 2."""
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
