"""The record of a session as a type: the fields of all records, and those of measured and failed sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.cell import Cell
from runner.cell.fieldtypes import ABSENT, NOT_EMPTY, Marks, OneOf, OrAbsent, Stated, WithOrWithout
from runner.cell.protocol import Protocol
from runner.record.sections.energy import Energy, EnergyPass, NoEnergy
from runner.record.sections.gate import Gate, GateVersion1, GateVersion2
from runner.record.sections.head import (
    ContainerInfo,
    GpuInfo,
    Keys,
    MeasuredKeys,
    MeasuredSession,
    ModelInfo,
    Outcome,
    SessionInfo,
)
from runner.record.sections.passes import Actual, KernelTime, Passes, Phases, Prefill
from runner.record.sections.quantities import Bytes, Floor, Latency, Memory
from runner.record.sections.surroundings import Cost, Environment, Host, HostConditions, Limits, Probes, Snapshots

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """The complete result of a session. `python -m runner verify` derives every number again that follows from the raw
    values (steps, samples, counts). GB/s is 1e9 B/s, ms since the epoch is UTC. A null value is not supported or does
    not exist on that device."""

    schema_version: Annotated[int, OneOf((SCHEMA_VERSION,))]
    """version of this schema"""
    session: SessionInfo
    request: dict[str, str]
    """the request as typed, before anything was resolved, without paths and UUIDs"""
    cell: Annotated[Cell, Stated()]
    keys: Keys
    protocol: Protocol
    outcome: Outcome
    valid: bool
    """whether the result is valid; false for a session that was not measured"""
    reasons: tuple[str, ...]
    """reasons why it is not valid; empty if it is"""
    flags: Marks
    """marks of a valid but suspect session, in alphabetical order"""
    given_flags: Marks
    """flags known before the measurement (converted, other-tree, shared-card, shared-host, unpinned)"""
    model: ModelInfo
    gpu: GpuInfo
    container: OrAbsent[ContainerInfo] = ABSENT


@dataclass(frozen=True, kw_only=True)
class MeasuredRecord(SessionRecord):
    """The record of a session that ran to its end, valid or not."""

    session: MeasuredSession
    keys: MeasuredKeys
    snapshots: Snapshots
    probes: Probes
    prefill: Prefill
    actual: Actual
    bytes: Bytes
    passes: Passes
    kernels: tuple[KernelTime, ...]
    """the kernels of a step that take longest, and a row for all others; empty on a CPU"""
    gate: Annotated[GateVersion1 | GateVersion2, WithOrWithout("gate_version", Gate, GateVersion2, GateVersion1)]
    memory: Memory
    limits: Limits
    environment: Environment
    host: Host
    cost_s: Cost
    latency: Latency
    floor: Floor
    host_condition: OrAbsent[HostConditions] = ABSENT
    phases: OrAbsent[Phases] = ABSENT
    energy: OrAbsent[
        Annotated[Energy | NoEnergy, WithOrWithout("unavailable", EnergyPass, with_it=NoEnergy, without=Energy)]
    ] = ABSENT


@dataclass(frozen=True, kw_only=True)
class FailedRecord(SessionRecord):
    """The record of a session that was not measured, with the reason."""

    valid: Annotated[bool, OneOf((False,))]
    reasons: Annotated[tuple[str, ...], NOT_EMPTY]
