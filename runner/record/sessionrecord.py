"""The record of a session as a type: what all records have, and what those of measured and other sessions add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.cell import Cell
from runner.cell.fieldtypes import ABSENT, NOT_EMPTY, Marks, OneOf, OrAbsent, Stated, WithOrWithout
from runner.cell.protocol import Protocol
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
from runner.record.sections.passes import Actual, KernelTime, Passes, Prefill
from runner.record.sections.quantities import Bytes, Floor, Latency, Memory
from runner.record.sections.surroundings import Cost, Environment, Host, Limits, Probes, Snapshots

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """The complete result of one session. Raw values (steps, samples, counts) come first; `python -m runner verify`
    derives every other number again. Bytes are decimal counts, GB/s is 1e9 B/s, ms since the epoch is UTC. What is null
    was not supported or does not exist on that device."""

    schema_version: Annotated[int, OneOf((SCHEMA_VERSION,))]
    """version of this schema"""
    session: SessionInfo
    request: dict[str, str]
    """What was typed, before anything was resolved; paths and UUIDs taken out"""
    cell: Annotated[Cell, Stated()]
    keys: Keys
    protocol: Protocol
    outcome: Outcome
    valid: bool
    """the answer is right: every gate passed"""
    reasons: tuple[str, ...]
    """why it is not valid; empty when it is"""
    flags: Marks
    """marks of a right but suspect session, in alphabetical order"""
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
    """The kernels of a step that take longest, the rest as one row; empty on a CPU"""
    gate: Annotated[GateVersion1 | GateVersion2, WithOrWithout("gate_version", Gate, GateVersion2, GateVersion1)]
    memory: Memory
    limits: Limits
    environment: Environment
    host: Host
    cost_s: Cost
    latency: Latency
    floor: Floor


@dataclass(frozen=True, kw_only=True)
class FailedRecord(SessionRecord):
    """The record of a session that was not measured. It says why."""

    valid: Annotated[bool, OneOf((False,))]
    reasons: Annotated[tuple[str, ...], NOT_EMPTY]
