"""What every record begins with: which session it is, how it ended, its model and its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from runner.cell.fieldtypes import ABSENT, Count, Integer, Key, Limit, OneOf, OrAbsent, Positive, Stated
from runner.cell.scheme import Scheme
from runner.cell.shape import ModelShape

MEASURED = "measured"
STATUSES = (MEASURED, "infeasible", "oom", "failed", "timeout", "interrupted")


@dataclass(frozen=True)
class SessionInfo:
    """One measurement in one fresh process."""

    id: Annotated[str, Limit("pattern", "pattern", "^[A-Za-z0-9._-]+$")]
    """unique id of the session"""
    study: str
    """name of the study it belongs to"""
    index: Count
    """which session of its cell within the study"""
    seed: Integer
    """seed of the random prompt"""
    started_ms: Count
    """ms since the epoch: when the command began"""


@dataclass(frozen=True)
class MeasuredSession(SessionInfo):
    """One measurement in one fresh process that came to its end."""

    finished_ms: Count
    """ms since the epoch: when the record was made; absent where nothing was measured"""


@dataclass(frozen=True)
class Keys:
    """Sessions are one group only with equal cell_key, protocol, code_key and env_key."""

    cell_key: Key
    """short hash of the resolved cell"""


@dataclass(frozen=True)
class MeasuredKeys(Keys):
    """The keys of a measured session."""

    code_key: Key
    """hash of the worker's modules and data that this session loaded"""
    tree_key: Key
    """hash of all of them"""
    env_key: Key
    """hash of the versions a number depends on"""
    host_id: Key
    """hash of machine-id and GPU UUID"""


@dataclass(frozen=True)
class Outcome:
    """How the session ended."""

    status: Annotated[str, OneOf(STATUSES)]
    """measured: the session ran to its end, valid or not"""
    reason: str | None
    """the error's short name (docs/exit-codes.md); null when measured"""
    message: str | None
    """one line for the person at the terminal; null when measured"""
    exit_code: Count | None
    """of the worker process; null when it was killed by a signal or never started"""
    signal: str | None
    """that killed the worker, such as SIGSEGV"""
    last_output: tuple[str, ...]
    """the worker's last lines, redacted"""


@dataclass(frozen=True)
class ContainerInfo:
    """The container that the session was measured in; absent where it was the runner's own interpreter."""

    engine: str
    """docker or podman"""
    image: str
    """the image's name"""
    digest: Annotated[str, Limit("pattern", "pattern", "^sha256:[0-9a-f]{64}$")]
    """of the image's configuration, and so of all its layers"""
    tree_key: str
    """of the code that the image was built from; empty where it does not say"""


@dataclass(frozen=True)
class ModelInfo:
    """The model."""

    name: str
    """the model's catalogue key"""
    shape: ModelShape
    scheme: OrAbsent[Annotated[Scheme, Stated()]] = ABSENT


@dataclass(frozen=True)
class GpuInfo:
    """The device. A session that failed before it looked at the device lacks the last three."""

    key: str
    """catalogue key"""
    name: str
    """NVML's name of the card, or the CPU's"""
    bandwidth_gbs: Positive | None
    """GB/s: datasheet peak; null where the catalogue has none"""
    catalogued: bool
    """is the card in the catalogue"""
    driver: str | None
    """driver version"""
    last_level_cache_bytes: OrAbsent[Count | None] = ABSENT
    """B: L2 of a GPU, last level of a CPU"""
    memory_bytes: OrAbsent[Count] = ABSENT
    """B of device memory"""
    compute_capability: OrAbsent[str] = ABSENT
    """such as 9.0"""
