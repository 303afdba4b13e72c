"""The job: all that the worker is told, as one JSON file, and the marks of the lines that it answers with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.cell.cell import Cell
from runner.cell.protocol import Protocol
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.errors import BadValue
from runner.record.record import SCHEMA_VERSION
from runner.record.sections.head import ContainerInfo, SessionInfo

PHASE_MARK = "@phase "
ERROR_MARK = "@error "
"""Begin a line on the worker's standard output that the parent reads."""


@dataclass(frozen=True)
class Device:
    """Where to measure. `uuid` is NVML's, None for the CPU; `bandwidth_gbs` is the datasheet peak, None if unknown."""

    kind: str  # "cuda" or "cpu"
    uuid: str | None
    gpu: str
    name: str
    bandwidth_gbs: float | None
    catalogued: bool
    driver: str | None


@dataclass(frozen=True)
class Job:
    """One session of one resolved cell. `scheme` is how its weights are packed, None where they are not; `checkpoint`
    is a folder of safetensors, None for synthetic weights; `given_flags` are those the parent already knows of
    (`converted`, `unpinned`, `shared-host`, `other-tree`); `container` is None where the worker is a process of this
    host's; `explain` asks for a comparison layer by layer after all that is timed."""

    session: SessionInfo
    request: dict[str, str]
    cell: Cell
    protocol: Protocol
    model_name: str
    shape: ModelShape
    scheme: Scheme | None
    checkpoint: str | None
    device: Device
    given_flags: tuple[str, ...]
    record_path: str
    container: ContainerInfo | None = None
    explain: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        return cls(
            **{
                **data,
                "session": SessionInfo(**data["session"]),
                "cell": Cell.from_json(data["cell"]),
                "protocol": Protocol(**data["protocol"]),
                "shape": ModelShape.from_json(data["shape"]),
                "scheme": data["scheme"] and Scheme.from_json(data["scheme"]),
                "device": Device(**data["device"]),
                "given_flags": tuple(data["given_flags"]),
                "container": data["container"] and ContainerInfo(**data["container"]),
            }
        )


def read(path: Path) -> Job:
    """The job from its file. Raises BadValue where there is none, or it is not a whole job of this version."""
    try:
        return Job.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadValue(f"The job {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise BadValue(f"{path} is no job that this version of the worker understands: {error!r}") from error


def model_section(job: Job) -> dict[str, Any]:
    """Returns a record's section on the model."""
    described = {"name": job.model_name, "shape": job.shape.to_json()}
    return described | ({"scheme": job.scheme.to_json()} if job.scheme else {})


def record_head(job: Job) -> dict[str, Any]:
    """The sections every record of this job begins with, whatever becomes of the session."""
    return {
        "schema_version": SCHEMA_VERSION,
        "session": asdict(job.session),
        "request": job.request,
        "cell": job.cell.to_json(),
        "keys": {"cell_key": job.cell.key},
        "protocol": asdict(job.protocol),
        "outcome": {},
        "valid": False,
        "reasons": [],
        "flags": [],
        "given_flags": list(job.given_flags),
        "model": model_section(job),
        "gpu": {
            "key": job.device.gpu,
            "name": job.device.name,
            "bandwidth_gbs": job.device.bandwidth_gbs,
            "catalogued": job.device.catalogued,
            "driver": job.device.driver,
        },
        **({"container": asdict(job.container)} if job.container else {}),
    }
