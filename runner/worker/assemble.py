"""The record of a measured session, assembled from the results of its phases."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from runner import registry
from runner.cell import floors
from runner.cell.fieldtypes import ABSENT, Absent
from runner.job import Device, Job, head
from runner.machine import host
from runner.record import codekey, derive, gaterules, judgement, record
from runner.record.sections.energy import Energy, NoEnergy
from runner.record.sections.head import GpuInfo, MeasuredKeys, MeasuredSession, Outcome
from runner.record.sections.passes import Phases, Prefill
from runner.record.sections.quantities import Bytes, Memory
from runner.record.sections.surroundings import Environment, HostConditions, Probes, Snapshots
from runner.record.sessionrecord import MeasuredRecord
from runner.worker import environment, probes
from runner.worker.progress import Clock
from runner.worker.timing import Timed

MEASURED = Outcome(status=record.MEASURED, reason=None, message=None, exit_code=0, signal=None, last_output=())


@dataclass(frozen=True)
class Findings:
    """Results of a session's phases. The job's shape is the loaded model's; `weight_bytes` are on the device."""

    job: Job
    weight_bytes: int
    snapshots: Snapshots
    probes: Probes
    prefill: Prefill
    timed: Timed
    phases: Phases | Absent
    energy: Energy | NoEnergy | Absent
    memory: Memory
    environment: Environment
    host_condition: HostConditions | Absent = ABSENT


def measured(findings: Findings, clock: Clock) -> MeasuredRecord:
    """Returns the record: derived, time-stamped and judged."""
    job, timed = findings.job, findings.timed
    sizes, times = step_bytes(job, findings.weight_bytes), derive.latency(timed.passes, job.protocol)
    device = device_info(job.device)
    finished_ms, total_s = clock.now_ms(), clock.total_s()
    return judgement.with_judgement(
        MeasuredRecord(
            **head(job),
            session=MeasuredSession(**vars(job.session), finished_ms=finished_ms),
            keys=_keys(job, findings.environment),
            outcome=MEASURED,
            valid=False,
            reasons=(),
            flags=(),
            gpu=device,
            snapshots=findings.snapshots,
            probes=findings.probes,
            prefill=findings.prefill,
            actual=timed.actual,
            bytes=sizes,
            passes=timed.passes,
            kernels=timed.kernels,
            gate=gaterules.gate(timed.evidence),
            memory=findings.memory,
            phases=findings.phases,
            energy=findings.energy,
            limits=judgement.LIMITS,
            environment=findings.environment,
            host=environment.host_facts(),
            host_condition=findings.host_condition,
            cost_s=derive.cost(clock.seconds | {"total": total_s}),
            latency=times,
            floor=derive.floor(sizes, device.bandwidth_gbs, findings.probes.read_gbs, times.step_wall_ms),
        )
    )


def step_bytes(job: Job, weight_bytes: int) -> Bytes:
    """Returns the bytes of a step. `weight_bytes` is what the weights take on the device."""
    accounted = registry.weight_bytes(job.cell.quant, job.scheme, job.shape, floors.DTYPE_BYTES[job.cell.dtype])
    return derive.bytes_of(job.cell, job.protocol, job.shape, accounted, measured=weight_bytes)


def _keys(job: Job, versions: Environment) -> MeasuredKeys:
    return MeasuredKeys(
        cell_key=job.cell.key,
        code_key=codekey.code_key(),
        tree_key=codekey.tree_key(),
        env_key=record.env_key(versions),
        host_id=host.host_id(job.device.uuid),
        code_files=codekey.code_files() or ABSENT,
    )


def device_info(device: Device) -> GpuInfo:
    """Returns the device: facts from the catalogue and the parent, and from its own properties."""
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
