"""Observations: what the committed records show of each configuration, one for each row of the tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from analysis import groups
from analysis.group import Group
from analysis.prediction import kernelgroups
from analysis.prediction.kernelgroups import GroupTimes
from analysis.prediction.workload import PROTOCOL, Configuration, Workload, workload
from analysis.row import GROUP
from analysis.sources.frame import Frame
from analysis.sources.records import frame_of_records, read_folder
from runner.cell.shape import ModelShape
from runner.record.flags import DISTURBED
from runner.record.sessionrecord import MeasuredRecord, SessionRecord


@dataclass(frozen=True)
class HostTimes:
    """What one session shows of its host. `revisit_ms` is `wall_ms` without the cost of context lengths that are new to
    the process."""

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
    gate_version: str
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


def observations(folder: Path) -> tuple[list[Observation], list[str]]:
    """Returns the observations of a folder of records, and a line for each file that cannot be used.

    An observation is a valid row of the newest code on a GPU with a datasheet bandwidth, with the default options and
    the paper's protocol. Sessions that other processes disturbed are excluded, as in every table. Raises BadValue for a
    folder without records.
    """
    records, _, rejected = read_folder(folder)
    frame = frame_of_records(records.values(), [groups.WALL])
    valid = [group for group in groups.rows(frame, [groups.WALL]) if group.valid]
    sessions = _sessions(frame)
    seen = (_observation(group, [records[name] for name in sessions[group.key]]) for group in valid)
    return [each for each in seen if each is not None], rejected


def _sessions(frame: Frame) -> Mapping[object, list[str]]:
    """Returns the sessions behind each group, by the values of `GROUP`. Only undisturbed ones, if there are any."""
    by_group: dict[object, list[tuple[str, bool]]] = {}
    for *key, session, flags in frame.sessions.select(*GROUP, "session", "flags").iter_rows():
        by_group.setdefault(tuple(key), []).append((session, DISTURBED in (flags or "").split(",")))
    quiet = {key: [name for name, disturbed in each if not disturbed] for key, each in by_group.items()}
    return {key: quiet[key] or [name for name, _ in each] for key, each in by_group.items()}


def _observation(group: Group, records: Sequence[SessionRecord]) -> Observation | None:
    """Returns the observation of a group and its sessions; None if it is none."""
    measured = [record for record in records if isinstance(record, MeasuredRecord)]
    cell, gpu = measured[0].cell, measured[0].gpu
    configuration = Configuration(cell.quant, cell.kernel, cell.runtime, cell.cache)
    usual = configuration.cell(cell.gpu, cell.model, cell.ctx)
    is_usual = (cell.options, cell.attention, cell.weights_id) == (usual.options, usual.attention, usual.weights_id)
    if not is_usual or measured[0].protocol != PROTOCOL or not measured[0].kernels:
        return None
    if gpu.bandwidth_gbs is None or not isinstance(gpu.compute_capability, str):
        return None
    times = [kernelgroups.group_times(record.kernels, cell.kernel) for record in measured]
    return Observation(
        gpu=cell.gpu,
        capability=gpu.compute_capability,
        bandwidth_gbs=gpu.bandwidth_gbs,
        model=cell.model,
        ctx=cell.ctx,
        dtype=cell.dtype,
        configuration=configuration,
        shape=measured[0].model.shape,
        sessions=tuple(map(_host_times, measured)),
        rate_ms=_median(record.latency.step_rate_ms for record in measured),
        busy_ms=_median(record.latency.step_busy_ms for record in measured),
        kernels=_median(record.latency.kernels_per_step for record in measured),
        times=GroupTimes(*(_median(column) for column in zip(*map(_values, times), strict=True))),
        least_share=min(_floor_ms(record) / record.latency.step_wall_ms for record in measured),
        least_busy_share=min(_floor_ms(record) / (record.latency.step_busy_ms or math.inf) for record in measured),
        gate_version=group.gate_version,
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
