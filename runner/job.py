"""The job: the worker's whole input, as one JSON file, and the marks of the lines that it prints for the parent."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar

from runner.cell.cell import Cell
from runner.cell.fieldtypes import ABSENT, Absent
from runner.cell.jsonform import from_json
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.errors import BadValue
from runner.hostcondition.condition import HostCondition
from runner.record.sections.head import ContainerInfo, GpuInfo, Keys, ModelInfo, Outcome, SessionInfo
from runner.record.sessionrecord import SCHEMA_VERSION, FailedRecord

Order = TypeVar("Order")
BENCH = "--bench"
"""Option of the worker that measures several runtimes in one process."""
PHASE_MARK = "@phase "
ERROR_MARK = "@error "
"""Prefixes of the lines on the worker's standard output that the parent reads."""


@dataclass(frozen=True)
class Device:
    """The device to measure on. `uuid` is NVML's, None for the CPU. `bandwidth_gbs` is the datasheet peak, None if
    unknown."""

    kind: str  # "cuda" or "cpu"
    uuid: str | None
    gpu: str
    name: str
    bandwidth_gbs: float | None
    catalogued: bool
    driver: str | None


@dataclass(frozen=True)
class Job:
    """One session of one resolved cell."""

    session: SessionInfo
    request: dict[str, str]
    cell: Cell
    protocol: Protocol
    model_name: str
    shape: ModelShape
    scheme: Scheme | None
    """packing of the weights; None if they are not packed"""
    checkpoint: str | None
    """folder of safetensors; None for synthetic weights"""
    device: Device
    given_flags: tuple[str, ...]
    """flags that the parent sets: `converted`, `unpinned`, `shared-host`, `other-tree`"""
    record_path: str
    started_s: float
    """start of the session on the host's monotonic clock, which nobody sets"""
    container: ContainerInfo | None = None
    """None if the worker is a process of the host itself"""
    explain: bool = False
    """compare layer by layer with the reference, after all timed passes"""
    energy: bool = False
    """measure the energy of a step in a pass of its own"""
    host_condition: HostCondition | None = None
    """condition of the host that the worker brings about; None for the host as it is"""


def monotonic_s(started_ms: int) -> float:
    """Returns a moment of the host's clock, in milliseconds since the epoch, on the monotonic clock.

    It is right if the host's clock was not set since that moment.
    """
    return time.monotonic() - max(0.0, time.time() - started_ms / 1e3)


def read(kind: type[Order], path: Path) -> Order:
    """Returns the job in a file, or another order of this type.

    Raises BadValue if the file cannot be read or is not a complete order of this version.
    """
    try:
        return from_json(kind, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadValue(
            f"the job {path} cannot be read: {error.strerror or error}: start `python -m runner cell`, which writes it"
        ) from error
    except ValueError as error:
        raise BadValue(
            f"{path} is not a job of this version of the worker ({error}): in a container, build the image again; "
            "otherwise start `python -m runner cell` again"
        ) from error


class Head(TypedDict):
    """First fields of every record of a job, measured or failed."""

    schema_version: int
    request: dict[str, str]
    cell: Cell
    protocol: Protocol
    given_flags: tuple[str, ...]
    model: ModelInfo
    container: ContainerInfo | Absent


def head(job: Job) -> Head:
    """Returns the fields of a record that the job states: request, cell, protocol, flags, model and container."""
    return {
        "schema_version": SCHEMA_VERSION,
        "request": job.request,
        "cell": job.cell,
        "protocol": job.protocol,
        "given_flags": job.given_flags,
        "model": ModelInfo(job.model_name, job.shape, job.scheme or ABSENT),
        "container": job.container or ABSENT,
    }


def failed_record(job: Job, outcome: Outcome) -> FailedRecord:
    """Returns the record of a session without a measurement. Its device is the requested one."""
    device = job.device
    return FailedRecord(
        **head(job),
        session=job.session,
        keys=Keys(job.cell.key),
        outcome=outcome,
        valid=False,
        reasons=() if outcome.message is None else (outcome.message,),
        flags=(),
        gpu=GpuInfo(device.gpu, device.name, device.bandwidth_gbs, device.catalogued, device.driver),
    )
