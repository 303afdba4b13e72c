"""Our values for the paper's figures, from the cell or the A/B that the paper describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from analysis import paper
from analysis.group import Group
from analysis.statistics import intervals
from analysis.tables._reasons import Evidence
from analysis.tables._verdict import Ours
from analysis.tables.graphs import GraphsRow
from runner import registry

Torch = Mapping[str, Mapping[str, str | None]]
"""Versions of each environment by env_key."""


def _torch(versions: Torch, env_key: str | None) -> str | None:
    return (versions.get(env_key or "") or {}).get("torch")


def _evidence(group: Group, versions: Torch) -> Evidence:
    return Evidence(
        gpu=group.gpu,
        runtime=group.runtime,
        cache=group.cache,
        flags=group.flags,
        step_wall_ms=group.wall_ms,
        step_busy_ms=group.step_busy_ms,
        read_gbs=group.read_gbs,
        torch=_torch(versions, group.env_key),
    )


def is_usual(group: Group) -> bool:
    """Returns whether the sessions have the paper's protocol and only default options."""
    kernel = registry.kernel(group.kernel).DECLARATION
    packing = registry.weight_format(group.quant).DECLARATION.options
    usual = ",".join(f"{name}:{values[0]}" for name, values in sorted(packing.items()))
    is_engine = registry.runtime(group.runtime).DECLARATION.owns_model
    return (
        group.protocol == paper.PROTOCOL
        and group.dtype == kernel.dtypes[0]
        and group.attention == ("engine" if is_engine else "sdpa")
        and (is_engine or group.options == usual)
    )


def ratio(cell: Group | None, share: float, versions: Torch) -> Ours | None:
    """Returns `share` times a cell's R_floor with the paper's count of bytes. Its interval follows from that of the
    step."""
    if cell is None or cell.r_floor_paper is None:
        return None
    value = share * cell.r_floor_paper
    step_ms, (step_low, step_high) = cell.wall_ms, _ends(cell)
    low, high = intervals.ratio_interval(value, step_ms, step_low, step_high)
    return Ours(value, low, high, cell.interval or intervals.NONE, cell.sessions, _evidence(cell, versions), False)


def _ends(cell: Group) -> tuple[float, float]:
    """Returns the ends of the interval of a measured cell's step."""
    low, high = cell.step_wall_ms_low, cell.step_wall_ms_high
    return (cell.wall_ms if low is None else low), (cell.wall_ms if high is None else high)


def plain_cell(groups: Sequence[Group], spot: paper.Spot) -> Group | None:
    """Returns the newest cell of that place; a growing cache is preferred to a static one."""
    fitting = [group for group in groups if (group.gpu, group.model, group.ctx) == spot]
    return max(fitting, key=lambda group: (group.cache == "dynamic", group.last_start_ms), default=None)


def range_ends(cells: Sequence[Group], versions: Torch) -> dict[str, Ours]:
    """Returns each end with its cell; for the median, the lower of the two middle cells."""
    in_order = sorted(cells, key=_r_floor_paper)
    chosen = {"low": in_order[0], "high": in_order[-1], "median": in_order[(len(in_order) - 1) // 2]}
    values = {name: _r_floor_paper(cell) for name, cell in chosen.items()}
    values["median"] = median(map(_r_floor_paper, in_order))
    return {
        name: Ours(values[name], None, None, intervals.NONE, cell.sessions, _evidence(cell, versions), grows=False)
        for name, cell in chosen.items()
    }


def _r_floor_paper(cell: Group) -> float:
    return cell.r_floor_paper or 0.0


def arm_a(pair: GraphsRow, versions: Torch) -> Ours:
    """Returns the step of an A/B's first arm in ms."""
    torch = _torch(versions, pair.env_key_a)
    cell = Evidence(pair.gpu, pair.arm_a, pair.cache, pair.flags, pair.a_ms, pair.busy_a_ms, pair.read_gbs, torch)
    return Ours(pair.a_ms, None, None, intervals.NONE, pair.sessions, cell, grows=True)


def arm_b(pair: GraphsRow, versions: Torch) -> Ours:
    """Returns the step of an A/B's second arm in ms."""
    torch = _torch(versions, pair.env_key_b)
    cell = Evidence(pair.gpu, pair.arm_b, pair.cache, pair.flags, pair.b_ms, pair.busy_b_ms, pair.read_gbs, torch)
    return Ours(pair.b_ms, None, None, intervals.NONE, pair.sessions, cell, grows=True)


def arms_ratio(pair: GraphsRow, versions: Torch) -> Ours:
    """Returns the ratio of an A/B's arms, with the first arm as evidence."""
    first = arm_a(pair, versions)
    return replace(first, value=pair.ratio, low=pair.ratio_low, high=pair.ratio_high, interval=pair.interval)


def step(cell: Group | None, versions: Torch) -> Ours | None:
    """Returns a cell's step in ms."""
    if cell is None:
        return None
    ends = (cell.step_wall_ms_low, cell.step_wall_ms_high, cell.interval or intervals.NONE)
    return Ours(cell.wall_ms, *ends, cell.sessions, _evidence(cell, versions), grows=True)
