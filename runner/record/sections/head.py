"""The sections of every record: the session, its outcome, its model and its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import (
    ABSENT,
    Count,
    Distinct,
    Integer,
    Key,
    Limit,
    OneOf,
    OrAbsent,
    Positive,
    Series,
    Stated,
)
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape
from runner.record.codekey import PATH_PATTERN

MEASURED = "measured"
STATUSES = (MEASURED, "infeasible", "oom", "failed", "timeout", "interrupted")


@dataclass(frozen=True)
class SessionInfo:
    """A measurement in a fresh process."""

    id: Annotated[str, Limit("pattern", "pattern", "^[A-Za-z0-9._-]+$")]
    """unique id of the session"""
    study: str
    """name of its study"""
    index: Count
    """number of the session among those of its cell in the study"""
    seed: Integer
    """seed of the random prompt"""
    started_ms: Count
    """ms since the epoch at the start of the command"""


@dataclass(frozen=True)
class MeasuredSession(SessionInfo):
    """A measurement in a fresh process that ran to its end."""

    finished_ms: Count
    """ms since the epoch when the record was made; absent if nothing was measured"""


@dataclass(frozen=True)
class Keys:
    """The keys. Sessions form a group only if cell_key, protocol, code_key and env_key are equal."""

    cell_key: Key
    """short hash of the resolved cell"""


@dataclass(frozen=True)
class MeasuredKeys(Keys):
    """The keys of a measured session."""

    code_key: Key
    """hash of the project's modules and data files that this session loaded"""
    tree_key: Key
    """hash of all the runner's modules and data files"""
    env_key: Key
    """hash of the versions that a number depends on"""
    host_id: Key
    """hash of machine-id and GPU UUID"""
    code_files: OrAbsent[Annotated[Series[Annotated[str, Limit("pattern", "pattern", PATH_PATTERN)]], Distinct()]] = (
        ABSENT
    )
    """sorted paths of the files that code_key is a hash of, relative to the package runner; absent if one lies outside
    it"""


@dataclass(frozen=True)
class Outcome:
    """The outcome of the session."""

    status: Annotated[str, OneOf(STATUSES)]
    """measured: the session ran to its end, valid or not"""
    reason: str | None
    """the error's short name (docs/exit-codes.md); null if measured"""
    message: str | None
    """the error's line; null if measured"""
    exit_code: Count | None
    """exit code of the worker process; null if it was killed by a signal or never started"""
    signal: str | None
    """signal that killed the worker, such as SIGSEGV"""
    last_output: tuple[str, ...]
    """the worker's last lines, redacted"""


@dataclass(frozen=True)
class ContainerInfo:
    """The container of the session; absent if it was measured in the runner's own environment."""

    engine: str
    """docker or podman"""
    image: str
    """the image's name"""
    digest: Annotated[str, Limit("pattern", "pattern", "^sha256:[0-9a-f]{64}$")]
    """digest of the image's configuration, which covers all its layers"""
    tree_key: str
    """tree_key of the code that the image was built from; empty if the image does not state it"""


@dataclass(frozen=True)
class ModelInfo:
    """The model."""

    name: str
    """the model's catalogue key"""
    shape: ModelShape
    scheme: OrAbsent[Annotated[Scheme, Stated()]] = ABSENT


@dataclass(frozen=True)
class GpuInfo:
    """The device. The last three fields are absent if the session failed before it read them from the device."""

    key: str
    """catalogue key"""
    name: str
    """NVML's name of the card, or the name of the CPU"""
    bandwidth_gbs: Positive | None
    """GB/s: datasheet peak; null if the catalogue has none"""
    catalogued: bool
    """whether the card is in the catalogue"""
    driver: str | None
    """driver version"""
    last_level_cache_bytes: OrAbsent[Count | None] = ABSENT
    """B: L2 cache of a GPU, last-level cache of a CPU"""
    memory_bytes: OrAbsent[Count] = ABSENT
    """B of device memory"""
    compute_capability: OrAbsent[str] = ABSENT
    """CUDA compute capability, such as 9.0"""
