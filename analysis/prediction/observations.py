"""Observations: the rows of the tables as the fit sees them, with the kernels of their steps."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analysis import groups
from analysis.group import Group
from analysis.prediction import kernelgroups
from analysis.prediction.kernelgroups import GroupTimes
from analysis.prediction.workload import PROTOCOL, Configuration, Workload, workload
from analysis.sources.records import frame_of_records, read_folder
from runner.cell.cell import Cell
from runner.cell.shape import ModelShape
from runner.record.sessionrecord import MeasuredRecord


@dataclass(frozen=True)
class HostTimes:
    """Times of one session that depend on its host. `revisit_ms` is `wall_ms` without the cost of context lengths that
    are new to the process."""

    session: str
    host: str
    wall_ms: float
    revisit_ms: float
    launch_us: float


@dataclass(frozen=True)
class Observation:
    """A row of the tables: the medians over its sessions.

    The shares are the smallest of a session: floor over step, and floor over the time in which kernels run.
    """

    gpu: str
    capability: str
    bandwidth_gbs: float
    model: str
    ctx: int
    dtype: str
    configuration: Configuration
    shape: ModelShape
    sessions: tuple[HostTimes, ...]
    rate_ms: float
    busy_ms: float
    kernels: float
    times: GroupTimes
    least_share: float
    least_busy_share: float
    flags: tuple[str, ...]

    @property
    def wall_ms(self) -> float:
        return _median(each.wall_ms for each in self.sessions)

    @property
    def revisit_ms(self) -> float:
        return _median(each.revisit_ms for each in self.sessions)

    @property
    def launch_us(self) -> float:
        return _median(each.launch_us for each in self.sessions)

    @cached_property
    def work(self) -> Workload:
        return workload(self.configuration, self.shape, self.ctx)

    @property
    def name(self) -> str:
        """Returns the row in words."""
        fields = self.configuration
        words = (self.gpu, self.model, self.ctx, fields.quant, fields.kernel, fields.runtime, fields.cache)
        return " ".join(map(str, (*words, *([self.dtype] if self.dtype != fields.dtype else []))))


@dataclass(frozen=True)
class Observed:
    """The observations of a folder of records, a line for each file that cannot be used, and notes on rows that are no
    observations."""

    rows: list[Observation]
    left_out: list[str]
    notes: list[str]


def observed(folder: Path) -> Observed:
    """Returns the observations of a folder of records.

    An observation is a valid row of the newest code on a GPU with a datasheet bandwidth, with the default options and
    the paper's protocol. Sessions that other processes disturbed are excluded, as in every table. Raises BadValue for a
    folder without records.
    """
    records, _, rejected = read_folder(folder)
    frame = frame_of_records(records.values(), [groups.WALL])
    sessions = groups.counted_sessions(frame)
    rows, notes = [], []
    for group in groups.rows(frame, [groups.WALL]):
        measured = [record for name in sessions[group.key] if isinstance(record := records[name], MeasuredRecord)]
        if not group.valid or not _is_usual(measured[0]):
            continue
        times = [kernelgroups.group_times(record.kernels, group.kernel) for record in measured]
        known = [each for each in times if each is not None]
        if len(known) == len(times):
            rows.append(_observation(group, measured, known))
        else:
            notes.append(f"not fitted: {measured[0].cell.title}: its kernels have names that are not known here")
    return Observed(rows, rejected, notes)


def _is_usual(record: MeasuredRecord) -> bool:
    """Returns whether the cell has the default options, the protocol the paper's, and the GPU a bandwidth."""
    cell, gpu = record.cell, record.gpu
    usual = _configuration(cell).cell(cell.gpu, cell.model, cell.ctx)
    is_usual = (cell.options, cell.attention, cell.weights_id) == (usual.options, usual.attention, usual.weights_id)
    is_known = gpu.bandwidth_gbs is not None and isinstance(gpu.compute_capability, str)
    return is_usual and is_known and record.protocol == PROTOCOL and bool(record.kernels)


def _configuration(cell: Cell) -> Configuration:
    return Configuration(cell.quant, cell.kernel, cell.runtime, cell.cache)


def _observation(group: Group, records: Sequence[MeasuredRecord], times: Sequence[GroupTimes]) -> Observation:
    cell, gpu = records[0].cell, records[0].gpu
    assert gpu.bandwidth_gbs is not None
    return Observation(
        gpu=cell.gpu,
        capability=str(gpu.compute_capability),
        bandwidth_gbs=gpu.bandwidth_gbs,
        model=cell.model,
        ctx=cell.ctx,
        dtype=cell.dtype,
        configuration=_configuration(cell),
        shape=records[0].model.shape,
        sessions=tuple(map(_host_times, records)),
        rate_ms=_median(record.latency.step_rate_ms for record in records),
        busy_ms=_median(record.latency.step_busy_ms for record in records),
        kernels=_median(record.latency.kernels_per_step for record in records),
        times=GroupTimes(*(_median(column) for column in zip(*map(_values, times), strict=True))),
        least_share=min(_floor_ms(record) / record.latency.step_wall_ms for record in records),
        least_busy_share=min(_floor_ms(record) / (record.latency.step_busy_ms or math.inf) for record in records),
        flags=tuple(group.flags),
    )


def _host_times(record: MeasuredRecord) -> HostTimes:
    wall_ms, revisit_ms = record.latency.step_wall_ms, record.latency.step_wall_revisit_ms
    launch_us = record.probes.launch_us
    assert launch_us is not None  # a GPU has this probe
    times = (wall_ms, wall_ms if revisit_ms is None else revisit_ms, launch_us)
    return HostTimes(record.session.id, record.keys.host_id, *times)


def _values(times: GroupTimes) -> tuple[float, ...]:
    return times.products, times.head, times.attention, times.others


def _median(values: Iterable[float | None]) -> float:
    return statistics.median(value for value in values if value is not None)


def _floor_ms(record: MeasuredRecord) -> float:
    assert record.floor.floor_ms is not None  # an observation's GPU has a datasheet
    return record.floor.floor_ms
