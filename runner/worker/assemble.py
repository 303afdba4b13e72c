"""The record of a measured session, made of what its phases found."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from runner import registry
from runner.cell import floors
from runner.cell.fieldtypes import ABSENT
from runner.job import Device, Job, head
from runner.machine import host
from runner.record import codekey, derive, gaterules, judgement, record
from runner.record.sections.head import GpuInfo, MeasuredKeys, MeasuredSession, Outcome
from runner.record.sections.passes import Prefill
from runner.record.sections.quantities import Bytes, Memory
from runner.record.sections.surroundings import Environment, Probes, Snapshots
from runner.record.sessionrecord import MeasuredRecord
from runner.worker import environment, probes
from runner.worker.progress import Clock
from runner.worker.timing import Timed

MEASURED = Outcome(status=record.MEASURED, reason=None, message=None, exit_code=0, signal=None, last_output=())


@dataclass(frozen=True)
class Found:
    """The findings of a session's phases. The job's shape is that of the loaded model; `weight_bytes` lie on the
    device."""

    job: Job
    weight_bytes: int
    snapshots: Snapshots
    probes: Probes
    prefill: Prefill
    timed: Timed
    memory: Memory
    environment: Environment


def measured(found: Found, clock: Clock) -> MeasuredRecord:
    """Returns the record: every section derived, time-stamped and judged."""
    job, timed = found.job, found.timed
    sizes, times = _bytes(job, found.weight_bytes), derive.latency(timed.passes, job.protocol)
    device = _device(job.device)
    finished_ms, total_s = clock.now_ms(), clock.total_s()
    return judgement.judged(
        MeasuredRecord(
            **head(job),
            session=MeasuredSession(**vars(job.session), finished_ms=finished_ms),
            keys=_keys(job, found.environment),
            outcome=MEASURED,
            valid=False,
            reasons=(),
            flags=(),
            gpu=device,
            snapshots=found.snapshots,
            probes=found.probes,
            prefill=found.prefill,
            actual=timed.actual,
            bytes=sizes,
            passes=timed.passes,
            kernels=timed.kernels,
            gate=gaterules.gate(timed.evidence),
            memory=found.memory,
            limits=judgement.LIMITS,
            environment=found.environment,
            host=environment.host_facts(),
            cost_s=derive.cost(clock.seconds | {"total": total_s}),
            latency=times,
            floor=derive.floor(sizes, device.bandwidth_gbs, found.probes.read_gbs, times.step_wall_ms),
        )
    )


def _bytes(job: Job, weight_bytes: int) -> Bytes:
    accounted = registry.weight_bytes(job.cell.quant, job.scheme, job.shape, floors.DTYPE_BYTES[job.cell.dtype])
    return derive.bytes_of(job.cell, job.protocol, job.shape, accounted, measured=weight_bytes)


def _keys(job: Job, versions: Environment) -> MeasuredKeys:
    return MeasuredKeys(
        cell_key=job.cell.key,
        code_key=codekey.code_key(),
        tree_key=codekey.tree_key(),
        env_key=record.env_key(versions),
        host_id=host.host_id(job.device.uuid),
    )


def _device(device: Device) -> GpuInfo:
    """Returns the device as the catalogue and the parent know it, and as it describes itself."""
    kind = torch.device(device.kind)
    properties = torch.cuda.get_device_properties(kind) if kind.type == "cuda" else None
    return GpuInfo(
        key=device.gpu,
        name=device.name,
        bandwidth_gbs=device.bandwidth_gbs,
        catalogued=device.catalogued,
        driver=device.driver,
        last_level_cache_bytes=probes.last_level_cache_bytes(kind),
        memory_bytes=properties.total_memory if properties else ABSENT,
        compute_capability=f"{properties.major}.{properties.minor}" if properties else ABSENT,
    )
